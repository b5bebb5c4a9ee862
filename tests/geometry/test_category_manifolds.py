"""Categories as manifolds: planted ones stand out from shuffled ones, unrelated ones do not, numbers are equal."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from brainalign.geometry import balanced_categories, category_manifolds, neural_collapse
from brainalign.regression import Ridge

READ_OUT = Ridge(np.logspace(-3, 6, 10), per_target_alpha=False, dtype="float64")
LABELS = np.repeat(list("abcd"), 8)


def measured(X: np.ndarray, labels: np.ndarray = LABELS, draws: int = 3, seed: int = 0):
    return category_manifolds(X, labels, READ_OUT, draws, n_probes=20, seed=seed).set_index("measure")


def test_every_category_gets_as_many_as_the_smallest() -> None:
    words = np.repeat(["cup", "dog", "key", "sun"], [40, 31, 13, 7])
    drawn = balanced_categories(words)
    assert (drawn.n_each, drawn.n_categories, drawn.left_out) == (12, 3, ["sun"])
    assert np.unique(drawn.rows).size == 36
    assert (words[drawn.rows] == drawn.labels).all()
    assert set(np.unique(drawn.labels, return_counts=True)[1]) == {12}
    assert balanced_categories(words, 8).n_each == 8
    few = balanced_categories(np.repeat(["cup", "dog"], [40, 7]))
    assert few.note == "1 of 2 categories have 8 or more stimuli; two are needed"
    assert not len(few.rows)
    refused("8 or more stimuli each; got most = 6", balanced_categories, words, 6)


def test_planted_categories_stand_out_and_rotation_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(32, 60)) + 1.5 * rng.normal(size=(4, 60))[np.repeat(np.arange(4), 8)]
    found = measured(X)
    assert found.loc["capacity", "value"] > 1.5 * found.loc["capacity", "null_high"]
    assert found.loc["radius", "value"] < found.loc["radius", "null_low"]
    assert found.loc["accuracy", "value"] == 1
    assert found.loc["told_apart", "value"] == 1
    for measure in ("nc1", "cdnv"):
        assert found.loc[measure, "value"] < found.loc[measure, "null_low"] / 3
    turned = measured(X @ np.linalg.qr(rng.normal(size=(60, 60)))[0] + 5, draws=1)["value"]
    exact = ["nc1", "cdnv", "simplex", "equinorm", "nc3", "agreement"]
    np.testing.assert_allclose(turned[exact], found["value"][exact], rtol=1e-6)
    assert turned["capacity"] == pytest.approx(found.loc["capacity", "value"], rel=0.1)  # other probes


def test_halves_are_those_of_neural_collapse() -> None:
    """Its mean over both directions, with the least-squares read-out trained beside the means."""
    rng = np.random.default_rng(1)
    X, labels = rng.normal(size=(32, 5)) + np.repeat(np.eye(4, 5), 8, axis=0), LABELS
    first = np.tile([True, False], 16)
    expected = []
    for fit in (first, ~first):
        in_turn = np.arange(16).reshape(4, 4).T.ravel()  # of the four categories
        READ_OUT.fit(X[fit][in_turn], np.eye(4)[np.repeat(np.arange(4), 8)[fit]][in_turn])
        classifier = (READ_OUT.coef_.T, READ_OUT.intercept_)
        expected.append(neural_collapse(X[fit], labels[fit], held_out=(X[~fit], labels[~fit]), classifier=classifier))
    found = measured(X, draws=1)["value"]
    for name in ("nc1", "cdnv", "nc3", "agreement", "accuracy", "simplex"):
        assert found[name] == pytest.approx(np.mean([getattr(half, name) for half in expected]), rel=1e-6)


def test_unrelated_categories_lie_among_shuffled_ones() -> None:
    """The rank of the value among 3 draws is uniform: outside them in half of the worlds, not in all."""
    outside = {"capacity": 0, "nc1": 0, "accuracy": 0}
    for seed in range(24):
        found = measured(np.random.default_rng([7, seed]).normal(size=(32, 12)), seed=seed)
        for name in outside:
            row = found.loc[name]
            outside[name] += not row["null_low"] <= row["value"] <= row["null_high"]
    assert max(outside.values()) <= 19  # of 24 at 1/2: P < .004


def test_mistakes_end_with_a_message() -> None:
    X = np.random.default_rng(0).normal(size=(32, 5))
    refused(r"2 categories of 15 to 17 stimuli .*balanced_categories", measured, X, np.repeat(["a", "b"], [17, 15]))
    constant = measured(np.ones((32, 3)))
    assert constant["value"].isna().all()
    assert set(constant["note"]) == {"the same for all stimuli"}
    assert measured(X[:, :2]).loc["simplex", "note"] == "more categories than units + 1: no simplex"
