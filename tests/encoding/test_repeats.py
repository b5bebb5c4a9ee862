"""Averages over repeats, against pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.encoding.scoring import average_repeats


@pytest.mark.parametrize("ids", [list("bacabca"), [3, 1, 2, 1, 3, 2, 1]], ids=["names", "numbers"])
def test_stimuli_stand_in_order_of_first_appearance(ids: list) -> None:
    values = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    found = average_repeats(values, np.array(ids))
    grouped = pd.DataFrame(values.astype(np.float64)).groupby(pd.Series(ids), sort=False)
    assert found.ids.tolist() == list(dict.fromkeys(ids))
    np.testing.assert_allclose(found.values, grouped.mean().loc[found.ids], rtol=1e-6)
    np.testing.assert_array_equal(found.counts, grouped.size().loc[found.ids])
    assert found.first.tolist() == [ids.index(name) for name in found.ids]
    assert found.values.dtype == np.float32


def test_images_shown_once_stay_as_they_are() -> None:
    values = np.arange(6.0).reshape(3, 2)
    found = average_repeats(values, np.array(list("zyx")))
    assert found.ids.tolist() == list("zyx")
    np.testing.assert_array_equal(found.values, values)
    assert found.counts.tolist() == [1, 1, 1]


def test_averages_of_counts_are_not_rounded() -> None:
    found = average_repeats(np.array([[1], [2], [0], [1]]), np.array(list("aabb")))
    assert found.values.ravel().tolist() == [1.5, 0.5]
    assert average_repeats(np.array([[3], [4]], dtype=np.int16), np.array(list("ab"))).values.dtype == np.float32


def test_one_id_per_trial() -> None:
    refused("give one stimulus id per trial", average_repeats, np.zeros((3, 1)), np.array(["a", "b"]))
