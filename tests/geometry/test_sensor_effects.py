"""Effects per sensor against scikit-learn and the analysis of variance, and under permutation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_selection import f_classif
from sklearn.metrics import roc_auc_score

from brainalign.geometry import sensor_effects


def test_areas_of_two_and_shares_of_variance_of_more() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 3, 4))
    two, three = rng.choice(["a", "b"], size=40), rng.choice(["a", "b", "c"], size=40)
    orders = np.stack([rng.permutation(40) for _ in range(3)])
    effect, null = sensor_effects(values, two, two[orders])
    assert effect[1, 2] + 0.5 == pytest.approx(roc_auc_score(two == "b", values[:, 1, 2]))
    assert null[2, 0, 1] + 0.5 == pytest.approx(roc_auc_score(two[orders[2]] == "b", values[:, 0, 1]))
    share, _ = sensor_effects(values, three, three[orders])
    f, _ = f_classif(values.reshape(40, -1), three)
    np.testing.assert_allclose(share.ravel(), 2 * f / (2 * f + 37), atol=1e-12)
