"""Crossnobis where designs are not balanced or runs differ in noise; test_rdm.py has the balanced form."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import rsatoolbox
import torch

from brainalign.checks import BrainalignError
from brainalign.geometry import noise_covariance, rdm

RUNS, CONDITIONS, CHANNELS = 5, 6, 12
PAIRS = list(combinations(range(CONDITIONS), 2))


@pytest.fixture
def unbalanced() -> dict[str, np.ndarray]:
    """Return patterns whose runs lack conditions and list them in orders of their own; every pair shares 2 runs."""
    rng = np.random.default_rng(0)
    runs, conditions = np.repeat(np.arange(RUNS), CONDITIONS), np.tile(np.arange(CONDITIONS), RUNS)
    keep = ~np.isin(np.arange(RUNS * CONDITIONS), [7, 10, 14, 15, 29])  # the first run holds all, in order
    order = np.r_[np.arange(CONDITIONS), CONDITIONS + rng.permutation((RUNS - 1) * CONDITIONS)]
    rows = order[keep[order]]
    return {
        "patterns": rng.normal(size=(len(rows), CHANNELS)) + 3 * runs[rows, None],
        "conditions": np.array([f"c{k}" for k in [3, 1, 5, 0, 2, 4]])[conditions[rows]],
        "runs": np.array(["e", "d", "c", "b", "a"])[runs[rows]],
    }


def names_of(data: dict[str, np.ndarray]) -> list[str]:
    return list(dict.fromkeys(data["conditions"]))


def by_hand(data: dict[str, np.ndarray], precisions: list[np.ndarray]) -> np.ndarray:
    """Average products of differences over the pairs of runs that hold both conditions."""
    runs, found = list(dict.fromkeys(data["runs"])), []
    for i, j in PAIRS:
        products = []
        for a, b in combinations(range(RUNS), 2):
            rows = [
                data["patterns"][(data["runs"] == runs[r]) & (data["conditions"] == names_of(data)[c])]
                for r in (a, b)
                for c in (i, j)
            ]
            if all(len(row) for row in rows):
                x, y, u, v = (row.mean(axis=0) for row in rows)
                both = (np.linalg.inv(precisions[a]) + np.linalg.inv(precisions[b])) / 2
                products.append((x - y) @ np.linalg.inv(both) @ (u - v) / CHANNELS)
        found.append(np.mean(products))
    return np.array(found)


def precisions_of_runs() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [np.linalg.inv(np.cov(rng.normal(size=(40, CHANNELS)).T * (1 + r))) for r in range(RUNS)]


def test_pairs_take_the_runs_that_hold_both(unbalanced: dict[str, np.ndarray]) -> None:
    precisions = precisions_of_runs()
    for precision, each in ((None, [np.eye(CHANNELS)] * RUNS), (precisions[0], precisions[:1] * RUNS)):
        found = rdm(**unbalanced, method="crossnobis", precision=precision)
        np.testing.assert_allclose(found, by_hand(unbalanced, each), atol=1e-12)


def test_repeats_within_a_run_are_averaged(unbalanced: dict[str, np.ndarray]) -> None:
    rows = np.r_[np.arange(len(unbalanced["runs"])), [2, 2, 9, 11]]
    again = {name: values[rows] for name, values in unbalanced.items()}
    again["patterns"] = again["patterns"] + np.random.default_rng(2).normal(size=again["patterns"].shape)
    found = rdm(**again, method="crossnobis")
    np.testing.assert_allclose(found, by_hand(again, [np.eye(CHANNELS)] * RUNS), atol=1e-12)


def test_a_precision_per_run(unbalanced: dict[str, np.ndarray]) -> None:
    precisions = precisions_of_runs()
    expected = by_hand(unbalanced, precisions)
    for given in (precisions, np.stack(precisions), [torch.from_numpy(P) for P in precisions]):
        np.testing.assert_allclose(rdm(**unbalanced, method="crossnobis", precision=given), expected, atol=1e-10)
    tensors = unbalanced | {"patterns": torch.from_numpy(unbalanced["patterns"])}
    found = rdm(**tensors, method="crossnobis", precision=precisions)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    # Covariances in few numbers are averaged without a matrix of channels by channels.
    rng = np.random.default_rng(3)
    covariances = [noise_covariance(rng.normal(size=(5, CHANNELS))) for _ in range(RUNS)]
    found = rdm(**unbalanced, method="crossnobis", precision=covariances)
    np.testing.assert_allclose(found, by_hand(unbalanced, [c.precision() for c in covariances]), atol=1e-10)


def test_a_precision_per_run_equals_rsatoolbox(unbalanced: dict[str, np.ndarray]) -> None:
    """It sorts runs and conditions by label; our precisions follow the order of the runs in the data."""
    rng, precisions = np.random.default_rng(4), precisions_of_runs()
    runs, conditions = np.repeat(["b", "a", "d", "e", "c"], CONDITIONS), np.tile(np.arange(CONDITIONS), RUNS)
    patterns = rng.normal(size=(RUNS * CONDITIONS, CHANNELS))
    dataset = rsatoolbox.data.Dataset(patterns, obs_descriptors={"condition": conditions, "run": runs})
    in_order = [precisions[k] for k in np.argsort(["b", "a", "d", "e", "c"])]
    theirs = rsatoolbox.rdm.calc_rdm(dataset, "crossnobis", "condition", in_order, cv_descriptor="run")
    found = rdm(patterns, "crossnobis", conditions, runs, precisions)
    np.testing.assert_allclose(found, theirs.dissimilarities[0], atol=1e-10)


def test_pairs_equal_rsatoolbox_on_the_runs_they_share(unbalanced: dict[str, np.ndarray]) -> None:
    """Given all runs, it takes the products of a condition with itself from runs that lack the other as well."""
    found = rdm(**unbalanced, method="crossnobis")
    for place, (i, j) in enumerate(PAIRS):
        pair = np.isin(unbalanced["conditions"], [names_of(unbalanced)[i], names_of(unbalanced)[j]])
        shared = [r for r in unbalanced["runs"] if (unbalanced["runs"][pair] == r).sum() == 2]
        rows = pair & np.isin(unbalanced["runs"], shared)
        dataset = rsatoolbox.data.Dataset(
            unbalanced["patterns"][rows],
            obs_descriptors={"condition": unbalanced["conditions"][rows], "run": unbalanced["runs"][rows]},
        )
        theirs = rsatoolbox.rdm.calc_rdm_unbalanced(dataset, "crossnobis", "condition", cv_descriptor="run")
        np.testing.assert_allclose(found[place], theirs.dissimilarities[0, 0], atol=1e-10)


def test_what_runs_add_cancels_and_noise_averages_to_zero(unbalanced: dict[str, np.ndarray]) -> None:
    rng = np.random.default_rng(5)
    codes = np.unique(unbalanced["runs"], return_inverse=True)[1]
    shifted = unbalanced["patterns"] + rng.normal(size=(RUNS, CHANNELS))[codes] * 100
    labels = unbalanced["conditions"], unbalanced["runs"]
    np.testing.assert_allclose(
        rdm(shifted, "crossnobis", *labels), rdm(unbalanced["patterns"], "crossnobis", *labels), atol=1e-9
    )
    noise = rdm(rng.normal(size=(1500, len(codes), CHANNELS)) + shifted * 0, "crossnobis", *labels)
    assert (np.abs(noise.mean(axis=0)) < 3.5 * noise.std(axis=0) / np.sqrt(1500)).all()
    assert (noise < 0).mean() > 0.3


def test_conditions_that_share_too_few_runs() -> None:
    runs, conditions = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
    patterns = np.random.default_rng(6).normal(size=(20, CHANNELS))
    whole = rdm(patterns, "crossnobis", conditions, runs)
    # Condition 0 is left in runs 0 and 1, condition 1 in runs 0, 2 and 3: they share one.
    held = ~((conditions == 0) & (runs > 1)) & ~((conditions == 1) & (runs == 1))
    with pytest.warns(RuntimeWarning, match="1 of 10 pairs of conditions share fewer than 2 runs"):
        found = rdm(patterns[held], "crossnobis", conditions[held], runs[held])
    assert np.isnan(found).tolist() == [True] + [False] * 9
    np.testing.assert_allclose(found[7:], whole[7:], atol=1e-12)  # pairs of conditions 2, 3 and 4
    held &= ~((conditions == 0) & (runs == 1))
    with pytest.raises(BrainalignError, match=r"1 conditions share 2 or more runs with no other condition \(0\)"):
        rdm(patterns[held], "crossnobis", conditions[held], runs[held])
