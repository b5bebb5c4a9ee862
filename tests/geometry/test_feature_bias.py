"""Variance of known features: planted shares come back, and the controls take their weight out of comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from sklearn.linear_model import Ridge

from brainalign.geometry import (
    equal_variance,
    feature_bias,
    whitened,
)

N = 240


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Easy: 55 % of the variance, hard: 5 %, a category: 20 %, the rest unknown."""
    rng = np.random.default_rng(0)
    features: dict[str, np.ndarray] = {
        "easy": np.tile([-1.0, 1.0], N // 2),
        "hard": np.zeros(N),
        "kind": np.tile(np.repeat(["face", "house", "tool"], 2), N // 6),
    }
    # Balanced, and no feature correlated with another: shares are exact.
    others = np.column_stack([features["easy"], features["kind"] == "face", features["kind"] == "house", np.ones(N)])
    hard = rng.normal(size=N)
    features["hard"] = hard - others @ np.linalg.lstsq(others, hard, rcond=None)[0]
    axes = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    kinds = (features["kind"][:, None] == np.array(["face", "house", "tool"])) - 1 / 3
    parts = [np.outer(features["easy"], axes[0]), np.outer(features["hard"], axes[1]), kinds @ axes[2:5]]
    parts.append(rng.normal(size=(N, 35)) @ axes[5:])
    shares = (0.55, 0.05, 0.2, 0.2)
    middle = [part - part.mean(0) for part in parts]
    X = sum(np.sqrt(share) * part / part.std() for share, part in zip(shares, middle, strict=True))
    return X + 7, features


def test_planted_shares_come_back(planted: tuple[np.ndarray, dict[str, np.ndarray]]) -> None:
    X, features = planted
    rng = np.random.default_rng(1)
    table = feature_bias(X, features | {"none": rng.normal(size=N)}, Ridge(1e-3)).set_index("feature")
    for name, share in {"easy": 0.55, "hard": 0.05, "kind": 0.2}.items():
        assert table.loc[name, "explained"] == pytest.approx(share, abs=0.02)
        assert table.loc[name, "unique"] == pytest.approx(share, abs=0.02)
    # What can be read out says nothing of the variance.
    assert table.loc[["easy", "hard", "kind"], "decodability"].min() > 0.95
    assert table.loc["none", "decodability"] < 0.1
    assert table.loc["none", "explained"] < 4 * table.loc["none", "chance"]
    assert table.loc["kind", "n_columns"] == 2


def test_shares_of_correlated_features_are_not_given_twice() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=N)
    b = 0.8 * a + 0.6 * rng.normal(size=N)
    table = feature_bias(np.outer(a, np.ones(5)), {"a": a, "b": b}).set_index("feature")
    r = np.corrcoef(a, b)[0, 1]
    assert table.loc["a", "unique"] == pytest.approx(1 - r**2)
    assert table.loc["b", "explained"] == pytest.approx(r**2)
    assert table.loc["b", "unique"] == pytest.approx(0, abs=1e-12)


def test_features_of_equal_variance(planted: tuple[np.ndarray, dict[str, np.ndarray]]) -> None:
    X, features = planted
    even = equal_variance(X, features)
    shares = feature_bias(even, features)["unique"]
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    # A feature that is not there is not made out of noise.
    absent = features | {"none": np.random.default_rng(3).normal(size=N)}
    assert np.allclose(equal_variance(X, absent), even, atol=0.2)
    refused("feature 'kind' is the same for all 240 stimuli", equal_variance, X, {"kind": np.full(N, "face")})


def test_whitening_lifts_small_components_but_not_noise(planted: tuple[np.ndarray, dict[str, np.ndarray]]) -> None:
    X, features = planted
    before, after = (feature_bias(Z, features).set_index("feature")["explained"] for Z in (X, whitened(X)))
    assert before["easy"] / before["hard"] > 9
    assert after["easy"] / after["hard"] < 1.5
    variances = np.linalg.svd(whitened(X, 1e-6), compute_uv=False)[:39] ** 2
    assert variances == pytest.approx(np.ones(39), rel=1e-3)
    assert not whitened(np.ones((5, 3))).any()
    refused(r"shrinkage must be above 0 and up to 1; got 0", whitened, X, 0)
