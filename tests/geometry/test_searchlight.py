from pathlib import Path

import numpy as np
import pytest
from nilearn.datasets import load_fsaverage
from refusals import refused, stopping
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

import brainalign.geometry as g
from brainalign.condensed import square_rdms
from brainalign.geometry.searchlights import searchlight_maps
from brainalign.statistics import fdr

RUNS, CONDITIONS, DOF = 4, 7, 50
N, DRAWS, SEED = 7, 59, 3


@pytest.fixture(scope="module")
def around() -> g.Neighbourhoods:
    inside = np.random.default_rng(0).random((6, 5, 5)) > 0.2
    return g.volume_neighbourhoods(np.argwhere(inside), np.diag([3, 3, 3.5, 1]), 5.0)


@pytest.fixture(scope="module")
def data(around: g.Neighbourhoods) -> dict[str, np.ndarray]:
    """Patterns on a large offset, conditions in an order of their own in every run, and noise."""
    rng, n = np.random.default_rng(1), around.members.shape[1]
    residuals = rng.normal(size=(60, n)) @ (np.eye(n) + 0.1 * rng.normal(size=(n, n)))
    made = {"patterns": 100 + rng.normal(size=(RUNS * CONDITIONS, n)), "runs": np.repeat(np.arange(RUNS), CONDITIONS)}
    made["conditions"] = np.concatenate([rng.permutation(CONDITIONS) for _ in range(RUNS)])
    return made | {"residuals": residuals - residuals.mean(axis=0)}


CASES = {
    "correlation": ("correlation", None, {}),
    "euclidean": ("euclidean", None, {}),
    "crossnobis": ("crossnobis", None, {}),
    "crossnobis, diagonal": ("crossnobis", lambda E: g.noise_precision(E, DOF, "diag"), {"noise": "diagonal"}),
    "crossnobis, full": ("crossnobis", lambda E: g.noise_precision(E, DOF), {"noise": "full"}),
    "mahalanobis": ("euclidean", lambda E: g.noise_precision(E, DOF), {"noise": "full"}),
}


@pytest.mark.parametrize(("method", "precision", "options"), CASES.values(), ids=CASES.keys())
def test_equals_the_rdm_of_each_neighbourhood(data: dict, around, method: str, precision, options: dict) -> None:
    noise = {} if precision is None else {"residuals": data["residuals"], "dof": DOF}
    arguments = (data["patterns"], around, method, data["conditions"], data["runs"])
    found = g.searchlight_rdms(*arguments, **noise, **options)
    named = "mahalanobis" if method == "euclidean" and precision is not None else method
    expected = []
    for centre in range(len(around.centres)):
        members = around.members[[centre]].indices
        P = None if precision is None else precision(data["residuals"][:, members])
        expected.append(g.rdm(data["patterns"][:, members], named, data["conditions"], data["runs"], P))
    np.testing.assert_allclose(found, expected, atol=1e-10, rtol=0)
    single = g.searchlight_rdms(*arguments, **noise, **options, dtype="float32")  # centred: the offset costs nothing
    np.testing.assert_allclose(single, expected, atol=1e-5, rtol=0)
    search = g.Searchlight(*arguments, **noise, **options)
    np.testing.assert_allclose(search.rdms(slice(40, 60)), found[40:60], rtol=0, atol=1e-14)


def test_a_single_voxel_has_a_distance_and_what_cannot_be_is_refused(data: dict, around: g.Neighbourhoods) -> None:
    alone = g.volume_neighbourhoods(np.array([[0, 0, 0], [5, 0, 0], [6, 0, 0]]), np.eye(4), 1.0)
    three = np.random.default_rng(0).normal(size=(4, 3))
    assert np.isnan(g.searchlight_rdms(three, alone, "correlation")[0]).all()
    expected = g.rdm(three[:, :1], "euclidean")
    np.testing.assert_allclose(g.searchlight_rdms(three, alone, "euclidean")[0], expected, atol=1e-12)
    flat = np.random.default_rng(1).normal(size=(21, 3)) * [1, 1, 0] + [0, 0, 0.1]
    assert g.Searchlight(three, alone, "euclidean", residuals=flat).n_channels_left_out == 1
    patterns, noise = data["patterns"], data["residuals"]
    refused("the second axis of patterns has", g.searchlight_rdms, patterns[:, :-1], around, "correlation")
    refused("needs 2; got 1", g.searchlight_rdms, patterns[:CONDITIONS], around, "crossnobis")
    refused("correlation distance uses no noise", g.searchlight_rdms, patterns, around, "correlation", residuals=noise)
    refused("degrees of freedom", g.searchlight_rdms, patterns, around, "euclidean", residuals=noise, dof=0)
    refused("did you mean 'crossnobis'", g.searchlight_rdms, patterns, around, "crosnobis")


@pytest.fixture(scope="module")
def search() -> g.Searchlight:
    """With a voxel that is masked, one that is NaN, and neighbourhoods in which one pattern is constant."""
    rng, voxels = np.random.default_rng(0), np.argwhere(np.ones((5, 4, 4), dtype=bool))
    patterns = rng.normal(size=(N, len(voxels)))
    patterns = np.ma.masked_equal(patterns, patterns[0, 3])
    patterns[0, 60] = np.nan
    patterns[2, voxels[:, 0] < 2] = 1.0
    return g.Searchlight(patterns, g.volume_neighbourhoods(voxels, np.eye(4), 1.5), "correlation")


@pytest.fixture(scope="module")
def models() -> np.ndarray:
    features = np.random.default_rng(1).normal(size=(2, N, 10))
    halves = np.repeat([0.0, 1.0], [3, 4])[:, None]  # which orders leave as it is: ties
    return np.stack([*g.rdm(features, "correlation"), g.rdm(halves, "euclidean"), np.ones(N * (N - 1) // 2)])


@pytest.mark.parametrize("comparison", [name for name in g.COMPARISONS if name != "tau-a"])
def test_equals_comparing_every_permutation(search: g.Searchlight, models: np.ndarray, comparison: str) -> None:
    found, rdms = g.searchlight_map(search, models, comparison, DRAWS, SEED), search.rdms()
    assert (np.isfinite(rdms).any(axis=1) & ~np.isfinite(rdms).all(axis=1)).any()
    orders = np.random.default_rng(SEED).permuted(np.tile(np.arange(N), (DRAWS, 1)), axis=1)
    i, j = np.triu_indices(N, 1)
    expected = g.compare(models, rdms, comparison)
    np.testing.assert_allclose(found.scores, expected, atol=1e-10)
    np.testing.assert_array_equal(found.n_nan, np.isnan(expected).sum(axis=1))
    for k, model in enumerate(models):
        null = g.compare(rdms, square_rdms(model)[orders[:, i], orders[:, j]], comparison)
        score, undefined = expected[k][:, None], np.isnan(expected[k])
        p = (1 + (null >= score - 1e-10).sum(axis=1)) / (1 + DRAWS)
        np.testing.assert_allclose(found.p[k], np.where(undefined, np.nan, p))
        np.testing.assert_allclose(found.q[k], fdr(np.where(undefined, np.nan, p)))
        np.testing.assert_allclose(found.null_mean[k], np.where(undefined, np.nan, null.mean(axis=1)), atol=1e-10)
        p = (1 + (np.nan_to_num(null, nan=-np.inf).max(axis=0) >= score - 1e-10).sum(axis=1)) / (1 + DRAWS)
        np.testing.assert_allclose(found.p_fwer[k], np.where(undefined, np.nan, p))
        np.testing.assert_array_equal(found.scores[k] > found.threshold(0.05)[k] + 1e-9, found.p_fwer[k] <= 0.05)
    anywhere = found.largest[np.isfinite(found.scores).any(axis=1)].max(axis=0)
    reached = (anywhere >= found.scores[..., None] - 1e-5).sum(axis=2)
    p = np.where(np.isnan(found.scores), np.nan, (1 + reached) / (1 + DRAWS))
    np.testing.assert_allclose(found.p_anywhere(), p)
    assert (found.p_anywhere() <= 0.05).sum() == (found.scores > found.threshold_anywhere() + 1e-9).sum()
    assert found.threshold_anywhere(1 / 60) == anywhere.max()
    assert found.threshold_anywhere(0.01) == np.inf  # fewer than 60 orders
    np.testing.assert_array_equal(found.sizes, search.neighbourhoods.sizes)


def test_float32_changes_no_verdict_and_what_does_not_fit_is_named(search: g.Searchlight, models: np.ndarray) -> None:
    exact = g.searchlight_map(search, models, "pearson", DRAWS, SEED)
    cube = np.where(np.isnan(search.cube[0]), 0, search.cube[0])
    single = g.Searchlight(cube, search.neighbourhoods, "correlation", dtype="float32")
    found = g.searchlight_map(single, models, "pearson", DRAWS, SEED)
    np.testing.assert_allclose(found.scores, exact.scores, atol=1e-5)
    np.testing.assert_allclose(found.p_fwer, exact.p_fwer)
    refused("a model has 20 pairs but a searchlight has 21", g.searchlight_map, search, models[:, :-1])
    refused("comparison must be one of", g.searchlight_map, search, models, "tau-a")
    few = g.Searchlight(search.cube[0][:5], search.neighbourhoods, "correlation")
    with pytest.warns(RuntimeWarning, match="5 stimuli have 120 orders"):
        g.searchlight_map(few, np.arange(10.0), n_permutations=9)


def test_a_killed_run_goes_on(search: g.Searchlight, models: np.ndarray, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(searchlight_maps, "BLOCK", 16)
    whole = g.searchlight_map(search, models, "pearson", DRAWS, SEED)
    computed, block = stopping(4, searchlight_maps._Test.block)
    monkeypatch.setattr(searchlight_maps._Test, "block", block)
    progress = tmp_path / "progress"
    with pytest.raises(KeyboardInterrupt):
        g.searchlight_map(search, models, "pearson", DRAWS, SEED, progress=progress)
    found = g.searchlight_map(search, models, "pearson", DRAWS, SEED, progress=progress)
    assert [number for _, number in computed] == [0, 1, 2, 3, 3, 4]
    assert not list(tmp_path.iterdir())
    np.testing.assert_allclose(found.scores, whole.scores, atol=1e-6)
    np.testing.assert_allclose(found.p, whole.p)
    np.testing.assert_allclose(found.p_fwer, whole.p_fwer)
    computed.clear()  # blocks of other options are not taken over
    with pytest.raises(KeyboardInterrupt):
        g.searchlight_map(search, models, "pearson", DRAWS, SEED, progress=progress)
    g.searchlight_map(search, models, "spearman", DRAWS, SEED, progress=progress)
    assert [number for _, number in computed] == [0, 1, 2, 3, 0, 1, 2, 3, 4]


def test_millimetres_come_from_the_affine_and_nothing_outside_the_mask_is_used(rng: np.random.Generator) -> None:
    voxels, turn = np.argwhere(rng.random((8, 7, 6)) > 0.3), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ np.diag([2.0, 3.0, 3.5]), [-50, 20, 7]
    found, mm = g.volume_neighbourhoods(voxels, affine, 6.0), voxels * [2.0, 3.0, 3.5]
    near = np.linalg.norm(mm[:, None] - mm[None], axis=2) <= 6.0 + 1e-9
    np.testing.assert_array_equal(found.members.toarray(), near)
    np.testing.assert_array_equal(found.centres, np.arange(len(voxels)))
    gone = np.isin(np.arange(len(voxels)), [0, 5])
    near[:, gone] = near[gone] = False
    np.testing.assert_array_equal(found.without(gone).members.toarray(), near)
    cube = np.argwhere(np.ones((7, 7, 7), dtype=bool))  # voxels at exactly the radius are inside; without them 27
    assert (sizes := g.volume_neighbourhoods(cube, np.eye(4), 2.0).sizes).max() == sizes[len(cube) // 2] == 33
    refused(r"radius_mm is 2\.9, but voxels are 3 mm wide", g.volume_neighbourhoods, cube, np.diag([3.0, 3, 4, 1]), 2.9)
    refused("686 voxels lie in 343 places", g.volume_neighbourhoods, np.concatenate([cube, cube]), np.eye(4), 2.0)
    for wrong in (cube[:, :2], 3 * cube):  # in mm, which were searchlights of one voxel each
        refused("give indices", g.volume_neighbourhoods, wrong, 3 * np.eye(4), 3.0)


def distances(coordinates: np.ndarray, faces: np.ndarray, cortex: np.ndarray) -> np.ndarray:
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends, graph = ends[cortex[ends].all(axis=1)], np.zeros((len(coordinates),) * 2)
    graph[ends[:, 0], ends[:, 1]] = np.linalg.norm(coordinates[ends[:, 0]] - coordinates[ends[:, 1]], axis=1)
    return np.asarray(dijkstra(csr_array(np.maximum(graph, graph.T))))


def test_discs_follow_the_mesh() -> None:
    # A patch of fsaverage5's left hemisphere: coordinates, faces, and vertices that are no medial wall.
    part = load_fsaverage("fsaverage5")["white_matter"].parts["left"]
    coordinates = np.asarray(part.coordinates, dtype=float)
    near = np.flatnonzero(np.linalg.norm(coordinates - coordinates[500], axis=1) < 35)
    number = np.full(len(coordinates), -1)
    number[near] = np.arange(len(near))
    faces, cortex = number[part.faces], np.random.default_rng(0).random(len(near)) > 0.15
    coordinates, faces = coordinates[near], faces[(faces >= 0).all(axis=1)]
    found = g.surface_neighbourhoods(coordinates, faces, radius_mm=9.0, cortex=cortex)
    near = (distances(coordinates, faces, cortex) <= 9.0)[cortex]
    near[:, ~cortex] = False
    np.testing.assert_array_equal(found.members.toarray(), near)
    np.testing.assert_array_equal(found.centres, np.flatnonzero(cortex))
    straight = np.linalg.norm(coordinates[cortex][:, None] - coordinates[None], axis=2) <= 9.0
    assert straight.sum() > 1.2 * near.sum()  # the next bank of a sulcus is near, but not along the mesh
    nearest = g.surface_neighbourhoods(coordinates, faces, n_nearest=12, cortex=cortex)
    length = distances(coordinates, faces, cortex)
    for row, centre in enumerate(nearest.centres):
        expected = [v for v in np.argsort(length[centre], kind="stable")[:12] if np.isfinite(length[centre, v])]
        assert set(nearest.members[[row]].indices) == set(expected)
    both = g.joined_hemispheres([g.surface_neighbourhoods(coordinates, faces, radius_mm=9.0), found])
    n = len(coordinates)
    np.testing.assert_array_equal(both.members.toarray()[:n, n:], 0)  # hemispheres stay apart
    np.testing.assert_array_equal(both.members.toarray()[n:, n:], near)
    np.testing.assert_array_equal(both.centres, np.concatenate([np.arange(n), n + np.flatnonzero(cortex)]))
    refused("the shortest edge of the mesh has", g.surface_neighbourhoods, coordinates, faces, radius_mm=0.01)
    refused("radius_mm or n_nearest", g.surface_neighbourhoods, coordinates, faces)
    refused("2 or more vertices", g.surface_neighbourhoods, coordinates, faces, n_nearest=1)
    refused("cortex has", g.surface_neighbourhoods, coordinates, faces, n_nearest=5, cortex=cortex[:-1])
