from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nilearn.datasets import load_fsaverage
from refusals import refused
from rsatoolbox.util.searchlight import get_searchlight_RDMs
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from brainalign.checks import BrainalignError
from brainalign.condensed import square_rdms
from brainalign.geometry import (
    COMPARISONS,
    Neighbourhoods,
    Searchlight,
    compare,
    joined_hemispheres,
    noise_precision,
    rdm,
    searchlight_map,
    searchlight_rdms,
    surface_neighbourhoods,
    volume_neighbourhoods,
)
from brainalign.geometry.searchlights import searchlight_maps
from brainalign.statistics import fdr

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


def test_what_cannot_be_is_refused(data: dict[str, np.ndarray], around: Neighbourhoods) -> None:
    patterns = data["patterns"]
    refused("the second axis of patterns has", searchlight_rdms, patterns[:, :-1], around, "correlation")
    refused("needs 2 or more; got 1", searchlight_rdms, patterns[:CONDITIONS], around, "crossnobis")
    with pytest.raises(BrainalignError, match="correlation distance uses no noise"):
        searchlight_rdms(patterns, around, "correlation", residuals=data["residuals"])
    refused("degrees of freedom", searchlight_rdms, patterns, around, "euclidean", residuals=data["residuals"], dof=0)
    refused("did you mean 'crossnobis'", searchlight_rdms, patterns, around, "crosnobis")


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
    anywhere = found.largest[np.isfinite(found.scores).any(axis=1)].max(axis=0)
    reached = (anywhere >= found.scores[..., None] - 1e-5).sum(axis=2)
    p = np.where(np.isnan(found.scores), np.nan, (1 + reached) / (1 + DRAWS))
    np.testing.assert_allclose(found.p_anywhere(), p)
    assert (found.p_anywhere() <= 0.05).sum() == (found.scores > found.threshold_anywhere() + 1e-9).sum()
    assert found.threshold_anywhere(1 / 60) == anywhere.max()
    assert found.threshold_anywhere(0.01) == np.inf  # fewer than 60 orders
    np.testing.assert_array_equal(found.sizes, search.neighbourhoods.sizes)


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


def test_a_radius_of_two_voxels_holds_33() -> None:
    inside = np.argwhere(np.ones((7, 7, 7), dtype=bool))
    found = volume_neighbourhoods(inside, np.eye(4), 2.0)
    assert found.sizes.max() == 33  # a voxel at exactly the radius is inside; without them 27
    middle = np.flatnonzero((inside == 3).all(axis=1))[0]
    assert found.sizes[middle] == 33


def test_millimetres_come_from_the_affine_and_nothing_outside_the_mask_is_used() -> None:
    rng = np.random.default_rng(0)
    voxels = np.argwhere(rng.random((8, 7, 6)) > 0.3)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ np.diag([2.0, 3.0, 3.5]), [-50, 20, 7]
    found = volume_neighbourhoods(voxels, affine, 6.0)
    mm = voxels * [2.0, 3.0, 3.5]
    near = np.linalg.norm(mm[:, None] - mm[None], axis=2) <= 6.0 + 1e-9
    np.testing.assert_array_equal(found.members.toarray(), near)
    np.testing.assert_array_equal(found.centres, np.arange(len(voxels)))


@pytest.fixture(scope="module")
def hemisphere() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A patch of fsaverage5's left hemisphere: coordinates, faces, and vertices that are no medial wall."""
    part = load_fsaverage("fsaverage5")["white_matter"].parts["left"]
    coordinates = np.asarray(part.coordinates, dtype=float)
    near = np.flatnonzero(np.linalg.norm(coordinates - coordinates[500], axis=1) < 35)
    number = np.full(len(coordinates), -1)
    number[near] = np.arange(len(near))
    faces = number[part.faces]
    cortex = np.random.default_rng(0).random(len(near)) > 0.15
    return coordinates[near], faces[(faces >= 0).all(axis=1)], cortex


def distances(coordinates: np.ndarray, faces: np.ndarray, cortex: np.ndarray) -> np.ndarray:
    """Return all shortest ways along edges of cortex."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = ends[cortex[ends].all(axis=1)]
    graph = np.zeros((len(coordinates),) * 2)
    graph[ends[:, 0], ends[:, 1]] = np.linalg.norm(coordinates[ends[:, 0]] - coordinates[ends[:, 1]], axis=1)
    return np.asarray(dijkstra(csr_array(np.maximum(graph, graph.T))))


def test_discs_follow_the_mesh(hemisphere: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    coordinates, faces, cortex = hemisphere
    found = surface_neighbourhoods(coordinates, faces, radius_mm=9.0, cortex=cortex)
    near = (distances(coordinates, faces, cortex) <= 9.0)[cortex]
    near[:, ~cortex] = False
    np.testing.assert_array_equal(found.members.toarray(), near)
    np.testing.assert_array_equal(found.centres, np.flatnonzero(cortex))
    straight = np.linalg.norm(coordinates[cortex][:, None] - coordinates[None], axis=2) <= 9.0
    assert straight.sum() > 1.2 * near.sum()  # the next bank of a sulcus is near, but not along the mesh


def test_nearest_vertices_follow_the_mesh(hemisphere: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    coordinates, faces, cortex = hemisphere
    found = surface_neighbourhoods(coordinates, faces, n_nearest=12, cortex=cortex)
    length = distances(coordinates, faces, cortex)
    for row, centre in enumerate(found.centres):
        expected = [v for v in np.argsort(length[centre], kind="stable")[:12] if np.isfinite(length[centre, v])]
        assert set(found.members[[row]].indices) == set(expected)


def test_hemispheres_stay_apart(hemisphere: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    coordinates, faces, cortex = hemisphere
    left = surface_neighbourhoods(coordinates, faces, radius_mm=9.0)
    right = surface_neighbourhoods(coordinates, faces, radius_mm=9.0, cortex=cortex)  # in the same place
    both = joined_hemispheres([left, right])
    n = len(coordinates)
    np.testing.assert_array_equal(both.members.toarray()[:n, n:], 0)
    np.testing.assert_array_equal(both.members.toarray()[n:, n:], right.members.toarray())
    np.testing.assert_array_equal(both.centres, np.concatenate([np.arange(n), n + np.flatnonzero(cortex)]))


def test_channels_can_be_left_out() -> None:
    found = volume_neighbourhoods(np.argwhere(np.ones((4, 4, 1), dtype=bool)), np.eye(4), 1.0)
    gone = np.zeros(16, dtype=bool)
    gone[[0, 5]] = True
    expected = found.members.toarray()
    expected[:, gone] = expected[gone] = 0
    np.testing.assert_array_equal(found.without(gone).members.toarray(), expected)


def test_what_is_no_neighbourhood_is_refused(hemisphere: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    voxels = np.argwhere(np.ones((3, 3, 3), dtype=bool))
    refused(r"radius_mm is 2\.9, but voxels are 3 mm wide", volume_neighbourhoods, voxels, np.diag([3.0, 3, 4, 1]), 2.9)
    refused("54 voxels lie in 27 places", volume_neighbourhoods, np.concatenate([voxels, voxels]), np.eye(4), 2.0)
    refused("give indices", volume_neighbourhoods, voxels[:, :2], np.eye(4), 2.0)
    coordinates, faces, cortex = hemisphere
    refused("the shortest edge of the mesh has", surface_neighbourhoods, coordinates, faces, radius_mm=0.01)
    refused("radius_mm or n_nearest", surface_neighbourhoods, coordinates, faces)
    refused("2 or more vertices", surface_neighbourhoods, coordinates, faces, n_nearest=1)
    refused("cortex has", surface_neighbourhoods, coordinates, faces, n_nearest=5, cortex=cortex[:-1])
