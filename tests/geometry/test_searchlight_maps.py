from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from brainalign.condensed import square_rdms
from brainalign.geometry import COMPARISONS, Searchlight, compare, rdm, searchlight_map, volume_neighbourhoods
from brainalign.geometry.searchlights import searchlight_maps
from brainalign.statistics import fdr

N, DRAWS, SEED = 7, 59, 3


@pytest.fixture(scope="module")
def search() -> Searchlight:
    """With a voxel that is NaN, and neighbourhoods in which one pattern is constant."""
    rng = np.random.default_rng(0)
    voxels = np.argwhere(np.ones((5, 4, 4), dtype=bool))
    patterns = rng.normal(size=(N, len(voxels)))
    patterns[0, 3] = np.nan
    patterns[2, voxels[:, 0] < 2] = 1.0
    return Searchlight(patterns, volume_neighbourhoods(voxels, np.eye(4), 1.5), "correlation")


@pytest.fixture(scope="module")
def models() -> np.ndarray:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(2, N, 10))
    halves = np.repeat([0.0, 1.0], [3, 4])[:, None]  # which orders leave as it is: ties
    return np.stack([*rdm(features, "correlation"), rdm(halves, "euclidean"), np.ones(N * (N - 1) // 2)])


@pytest.mark.parametrize("comparison", [name for name in COMPARISONS if name != "tau-a"])
def test_equals_comparing_every_permutation(search: Searchlight, models: np.ndarray, comparison: str) -> None:
    found = searchlight_map(search, models, comparison, DRAWS, SEED)
    rdms = search.rdms()
    partly = np.isfinite(rdms).any(axis=1) & ~np.isfinite(rdms).all(axis=1)
    assert partly.any()
    orders = np.random.default_rng(SEED).permuted(np.tile(np.arange(N), (DRAWS, 1)), axis=1)
    i, j = np.triu_indices(N, 1)
    expected = compare(models, rdms, comparison)
    np.testing.assert_allclose(found.scores, expected, atol=1e-10)
    np.testing.assert_array_equal(found.n_nan, np.isnan(expected).sum(axis=1))
    for k, model in enumerate(models):
        null = compare(rdms, square_rdms(model)[orders[:, i], orders[:, j]], comparison)
        score = expected[k][:, None]
        undefined = np.isnan(expected[k])
        p = (1 + (null >= score - 1e-10).sum(axis=1)) / (1 + DRAWS)
        np.testing.assert_allclose(found.p[k], np.where(undefined, np.nan, p))
        np.testing.assert_allclose(found.q[k], fdr(np.where(undefined, np.nan, p)))
        np.testing.assert_allclose(found.null_mean[k], np.where(undefined, np.nan, null.mean(axis=1)), atol=1e-10)
        largest = np.nan_to_num(null, nan=-np.inf).max(axis=0)
        p = (1 + (largest >= score - 1e-10).sum(axis=1)) / (1 + DRAWS)
        np.testing.assert_allclose(found.p_fwer[k], np.where(undefined, np.nan, p))
        above = found.scores[k] > found.threshold(0.05)[k] + 1e-9
        np.testing.assert_array_equal(above, found.p_fwer[k] <= 0.05)


def test_float32_changes_no_verdict(search: Searchlight, models: np.ndarray) -> None:
    exact = searchlight_map(search, models, "pearson", DRAWS, SEED)
    arguments = (np.where(np.isnan(search.cube[0]), 0, search.cube[0]), search.neighbourhoods, "correlation")
    found = searchlight_map(Searchlight(*arguments, dtype="float32"), models, "pearson", DRAWS, SEED)
    np.testing.assert_allclose(found.scores, exact.scores, atol=1e-5)
    np.testing.assert_allclose(found.p_fwer, exact.p_fwer)


def test_a_killed_run_goes_on(
    search: Searchlight, models: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchlight_maps, "BLOCK", 16)
    whole = searchlight_map(search, models, "pearson", DRAWS, SEED)
    computed: list[int] = []
    block = searchlight_maps._Test.block

    def counted(self: object, number: int) -> dict[str, np.ndarray]:
        if len(computed) == 3:
            computed.append(-1)
            raise KeyboardInterrupt
        computed.append(number)
        return block(self, number)

    monkeypatch.setattr(searchlight_maps._Test, "block", counted)
    progress = tmp_path / "progress"
    with pytest.raises(KeyboardInterrupt):
        searchlight_map(search, models, "pearson", DRAWS, SEED, progress=progress)
    found = searchlight_map(search, models, "pearson", DRAWS, SEED, progress=progress)
    assert computed == [0, 1, 2, -1, 3, 4]
    assert not list(tmp_path.iterdir())
    np.testing.assert_allclose(found.scores, whole.scores, atol=1e-6)
    np.testing.assert_allclose(found.p, whole.p)
    np.testing.assert_allclose(found.p_fwer, whole.p_fwer)
    # Blocks of other options are not taken over.
    computed.clear()
    with pytest.raises(KeyboardInterrupt):
        searchlight_map(search, models, "pearson", DRAWS, SEED, progress=progress)
    searchlight_map(search, models, "spearman", DRAWS, SEED, progress=progress)
    assert computed == [0, 1, 2, -1, 0, 1, 2, 3, 4]


def test_few_stimuli_are_warned_of_and_other_pairs_refused(search: Searchlight, models: np.ndarray) -> None:
    refused("models have 20 pairs and searchlights 21", searchlight_map, search, models[:, :-1])
    refused("comparison must be one of", searchlight_map, search, models, "tau-a")
    few = Searchlight(search.cube[0][:5], search.neighbourhoods, "correlation")
    with pytest.warns(RuntimeWarning, match="5 stimuli have 120 orders"):
        searchlight_map(few, np.arange(10.0), n_permutations=9)
