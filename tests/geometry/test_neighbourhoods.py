from __future__ import annotations

import numpy as np
import pytest
from nilearn.datasets import load_fsaverage
from refusals import refused
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from brainalign.geometry import joined_hemispheres, surface_neighbourhoods, volume_neighbourhoods


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


def test_what_cannot_be_is_refused(hemisphere: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    voxels = np.argwhere(np.ones((3, 3, 3), dtype=bool))
    refused(r"radius_mm is 2\.9, but voxels are 3 mm wide", volume_neighbourhoods, voxels, np.diag([3.0, 3, 4, 1]), 2.9)
    refused("54 voxels lie in 27 places", volume_neighbourhoods, np.concatenate([voxels, voxels]), np.eye(4), 2.0)
    refused("give indices", volume_neighbourhoods, voxels[:, :2], np.eye(4), 2.0)
    coordinates, faces, cortex = hemisphere
    refused("the shortest edge of the mesh has", surface_neighbourhoods, coordinates, faces, radius_mm=0.01)
    refused("radius_mm or n_nearest", surface_neighbourhoods, coordinates, faces)
    refused("2 or more vertices", surface_neighbourhoods, coordinates, faces, n_nearest=1)
    refused("cortex has", surface_neighbourhoods, coordinates, faces, n_nearest=5, cortex=cortex[:-1])
