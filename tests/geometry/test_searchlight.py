from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from refusals import refused
from rsatoolbox.util.searchlight import get_searchlight_RDMs

from brainalign.checks import BrainalignError
from brainalign.geometry import (
    Neighbourhoods,
    Searchlight,
    noise_precision,
    rdm,
    searchlight_rdms,
    volume_neighbourhoods,
)

RUNS, CONDITIONS, DOF = 4, 7, 50
Precision = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def around() -> Neighbourhoods:
    inside = np.random.default_rng(0).random((6, 5, 5)) > 0.2
    return volume_neighbourhoods(np.argwhere(inside), np.diag([3, 3, 3.5, 1]), 5.0)


@pytest.fixture(scope="module")
def data(around: Neighbourhoods) -> dict[str, np.ndarray]:
    """Patterns on a large offset, conditions in an order of their own in every run, and noise."""
    rng = np.random.default_rng(1)
    n = around.members.shape[1]
    residuals = rng.normal(size=(60, n)) @ (np.eye(n) + 0.1 * rng.normal(size=(n, n)))
    return {
        "patterns": 100 + rng.normal(size=(RUNS * CONDITIONS, n)),
        "conditions": np.concatenate([rng.permutation(CONDITIONS) for _ in range(RUNS)]),
        "runs": np.repeat(np.arange(RUNS), CONDITIONS),
        "residuals": residuals - residuals.mean(axis=0),
    }


def looped(data: dict[str, np.ndarray], around: Neighbourhoods, method: str, precision: Precision | None) -> np.ndarray:
    found = []
    for centre in range(len(around.centres)):
        members = around.members[[centre]].indices
        P = None if precision is None else precision(data["residuals"][:, members])
        found.append(rdm(data["patterns"][:, members], method, data["conditions"], data["runs"], P))
    return np.stack(found)


CASES = {
    "correlation": ("correlation", None, {}),
    "euclidean": ("euclidean", None, {}),
    "crossnobis": ("crossnobis", None, {}),
    "crossnobis, diagonal": ("crossnobis", lambda E: noise_precision(E, DOF, "diag"), {"noise": "diagonal"}),
    "crossnobis, full": ("crossnobis", lambda E: noise_precision(E, DOF), {"noise": "full"}),
    "mahalanobis": ("euclidean", lambda E: noise_precision(E, DOF), {"noise": "full"}),
}


@pytest.mark.parametrize(("method", "precision", "options"), CASES.values(), ids=CASES.keys())
def test_equals_the_rdm_of_each_neighbourhood(
    data: dict[str, np.ndarray], around: Neighbourhoods, method: str, precision: Precision | None, options: dict
) -> None:
    noise = {} if precision is None else {"residuals": data["residuals"], "dof": DOF}
    arguments = (data["patterns"], around, method, data["conditions"], data["runs"])
    found = searchlight_rdms(*arguments, **noise, **options)
    named = "mahalanobis" if method == "euclidean" and precision is not None else method
    expected = looped(data, around, named, precision)
    np.testing.assert_allclose(found, expected, atol=1e-10, rtol=0)
    single = searchlight_rdms(
        *arguments, **noise, **options, dtype="float32"
    )  # centred first: the offset costs nothing
    np.testing.assert_allclose(single, expected, atol=1e-5, rtol=0)
    search = Searchlight(*arguments, **noise, **options)
    np.testing.assert_allclose(search.rdms(slice(40, 60)), found[40:60], rtol=0, atol=1e-14)


def test_equals_rsatoolbox(data: dict[str, np.ndarray], around: Neighbourhoods) -> None:
    patterns = rdm_patterns(data)
    lists = [around.members[[k]].indices for k in range(len(around.centres))]
    for method in ("correlation", "euclidean"):
        theirs = get_searchlight_RDMs(patterns, around.centres, lists, np.arange(CONDITIONS), method, verbose=False)
        found = searchlight_rdms(patterns, around, method)
        np.testing.assert_allclose(found, theirs.dissimilarities, atol=1e-10, rtol=0)


def rdm_patterns(data: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack([data["patterns"][data["conditions"] == k].mean(axis=0) for k in range(CONDITIONS)])


def test_missing_channels_and_constant_patterns_are_nan_not_the_end(
    data: dict[str, np.ndarray], around: Neighbourhoods
) -> None:
    patterns = rdm_patterns(data)
    patterns[2, 7] = np.nan
    near = around.members[[50]].indices
    patterns[3, near] = 1.5
    search = Searchlight(patterns, around, "correlation")
    found = search.rdms()
    assert search.n_channels_left_out == 1
    assert np.isnan(found[7]).all()
    i, j = np.triu_indices(CONDITIONS, 1)
    np.testing.assert_array_equal(np.isnan(found[50]), (i == 3) | (j == 3))
    touched = around.members[:, [7]].nonzero()[0]
    assert len(touched) > 1  # its neighbours go without it
    for centre in touched[touched != 7]:
        members = np.setdiff1d(around.members[[centre]].indices, 7)
        np.testing.assert_allclose(found[centre], rdm(patterns[:, members], "correlation"), atol=1e-12)


def test_a_single_voxel_has_no_correlation_but_a_distance() -> None:
    alone = volume_neighbourhoods(np.array([[0, 0, 0], [5, 0, 0], [6, 0, 0]]), np.eye(4), 1.0)
    patterns = np.random.default_rng(0).normal(size=(4, 3))
    assert np.isnan(searchlight_rdms(patterns, alone, "correlation")[0]).all()
    expected = rdm(patterns[:, :1], "euclidean")
    np.testing.assert_allclose(searchlight_rdms(patterns, alone, "euclidean")[0], expected, atol=1e-12)


def test_flat_noise_leaves_a_channel_out(data: dict[str, np.ndarray], around: Neighbourhoods) -> None:
    residuals = data["residuals"].copy()
    residuals[:, 4] = 0
    arguments = (data["patterns"], around, "crossnobis", data["conditions"], data["runs"])
    search = Searchlight(*arguments, residuals=residuals, dof=DOF)
    assert search.n_channels_left_out == 1
    found = search.rdms()
    assert np.isnan(found[4]).all()
    assert np.isfinite(np.delete(found, 4, axis=0)).all()


def test_noise_alone_has_crossnobis_zero() -> None:
    rng = np.random.default_rng(2)
    around = volume_neighbourhoods(np.argwhere(np.ones((8, 8, 4), dtype=bool)), np.eye(4), 2.0)
    patterns, runs = rng.normal(size=(6 * 5, 256)), np.repeat(np.arange(6), 5)
    found = searchlight_rdms(patterns, around, "crossnobis", runs=runs).mean()
    biased = searchlight_rdms(patterns, around, "euclidean", runs=runs).mean()
    assert abs(found) < 3 * 0.02
    assert abs(biased - 2 / 6) < 0.05


def test_what_cannot_be_is_refused(data: dict[str, np.ndarray], around: Neighbourhoods) -> None:
    patterns = data["patterns"]
    refused("the second axis of patterns has", searchlight_rdms, patterns[:, :-1], around, "correlation")
    refused("needs 2 or more; got 1", searchlight_rdms, patterns[:CONDITIONS], around, "crossnobis")
    with pytest.raises(BrainalignError, match="correlation distance uses no noise"):
        searchlight_rdms(patterns, around, "correlation", residuals=data["residuals"])
    refused("degrees of freedom", searchlight_rdms, patterns, around, "euclidean", residuals=data["residuals"], dof=0)
    refused("did you mean 'crossnobis'", searchlight_rdms, patterns, around, "crosnobis")
