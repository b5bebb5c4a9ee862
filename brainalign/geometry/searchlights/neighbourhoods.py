"""Neighbourhoods of searchlights: balls of voxels in millimetres, discs of vertices along a mesh."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows

SLACK = 1e-9  # of the radius: a voxel at exactly the radius is inside, whatever the affine rounds
AT_ONCE = 64  # centres that share a part of the mesh


@dataclass(frozen=True)
class Neighbourhoods:
    """Which channels (voxels, vertices) belong to the searchlight around which channel.

    Attributes
    ----------
    centres : array (n_centres,)
        Channels, ascending.
    members : sparse array (n_centres, n_channels)
        1 where a channel belongs to a centre, in order of channels.
    """

    centres: NDArray[np.intp]
    members: csr_array

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Channels of every centre (n_centres,)."""
        return np.asarray(np.diff(self.members.indptr), dtype=np.intp)

    def select(self, centres: NDArray[Any]) -> "Neighbourhoods":
        """Return the chosen centres (boolean mask or row numbers), with all their channels."""
        rows = np.arange(len(self.centres))[centres]
        return Neighbourhoods(self.centres[rows], csr_array(self.members[rows]))

    def without(self, channels: NDArray[np.bool_]) -> "Neighbourhoods":
        """Return the neighbourhoods without some channels: a centre that is one of them has no neighbourhood left."""
        keep = ~np.asarray(channels, dtype=bool)
        entries = keep[self.members.indices] & np.repeat(keep[self.centres], self.sizes)
        ends = np.concatenate([[0], np.cumsum(entries)])[self.members.indptr]
        members = csr_array((self.members.data[entries], self.members.indices[entries], ends), self.members.shape)
        return Neighbourhoods(self.centres, members)


def volume_neighbourhoods(voxels: NDArray[np.integer[Any]], affine: Values, radius_mm: float) -> Neighbourhoods:
    """Return, for every voxel, the voxels of the mask whose centres lie within a radius; at the radius is within.

    Parameters
    ----------
    voxels : array (n_voxels, 3)
        Indices i, j, k of the voxels inside the mask, as from `np.argwhere(mask)`; no other voxel is ever used.
    affine : array (4, 4)
        From indices to mm, as `image.affine`.
    radius_mm : float

    Raises
    ------
    BrainalignError
        If the radius is below the voxel size, so that every searchlight would be a single voxel; if a voxel occurs
        twice or the affine does not fit.

    References
    ----------
    Kriegeskorte N, Goebel R, Bandettini P (2006). Information-based functional brain mapping. PNAS 103:3863-3868.
    doi:10.1073/pnas.0600244103

    Examples
    --------
    >>> inside = np.argwhere(np.ones((7, 7, 7), dtype=bool))
    >>> int(volume_neighbourhoods(inside, np.eye(4), 2.0).sizes.max())
    33
    """
    voxels, affine = np.asarray(voxels), np.asarray(affine, dtype=np.float64)
    if voxels.ndim != 2 or voxels.shape[1] != 3 or affine.shape != (4, 4):
        raise BrainalignError(
            f"voxels have shape {voxels.shape}, the affine {affine.shape}; give indices (n_voxels, 3), an affine (4, 4)"
        )
    if (n_places := len(np.unique(voxels, axis=0))) < len(voxels):
        raise BrainalignError(f"{len(voxels)} voxels lie in {n_places} places; give each voxel of the mask once")
    _check_radius(radius_mm, np.linalg.norm(affine[:3, :3], axis=0), "voxels are {:.3g} mm wide")
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    first, second = cKDTree(points).query_pairs(radius_mm * (1 + SLACK), output_type="ndarray").T
    if len(points) > 1 and not len(first):
        raise BrainalignError(f"no voxel has another within {radius_mm:g} mm; give indices of a mask, no places in mm")
    centres = np.arange(len(points))  # each is in its own neighbourhood
    rows, columns = np.concatenate([first, second, centres]), np.concatenate([second, first, centres])
    members = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(points), len(points)))
    members.sort_indices()
    return Neighbourhoods(centres, members)


def surface_neighbourhoods(
    coordinates: Values,
    faces: NDArray[np.integer[Any]],
    *,
    radius_mm: float | None = None,
    n_nearest: int | None = None,
    cortex: NDArray[np.bool_] | None = None,
) -> Neighbourhoods:
    """Return, for every vertex of one hemisphere, the vertices near it along the mesh.

    Distances are lengths of the shortest way along edges (Dijkstra); no way crosses the medial wall.

    Parameters
    ----------
    coordinates : array (n_vertices, 3), mm
        Of one hemisphere. Half-way between white matter and pial surface distances are most like those of cortex.
    faces : array (n_faces, 3)
    radius_mm : float, optional
        Discs: every vertex at most so far. Exactly one of `radius_mm` and `n_nearest`.
    n_nearest : int, optional
        So many vertices, the centre among them; of equally far ones the first. A piece of cortex with fewer gives all
        it has.
    cortex : bool array (n_vertices,), optional
        False on the medial wall, whose vertices are in no neighbourhood and are no centres.

    Raises
    ------
    BrainalignError
        If not exactly one size is given, the radius is below the shortest edge, or mesh and mask do not fit.

    References
    ----------
    Oosterhof NN, Wiestler T, Downing PE, Diedrichsen J (2011). A comparison of volume-based and surface-based
    multi-voxel pattern analysis. NeuroImage 56:593-600. doi:10.1016/j.neuroimage.2010.04.270
    """
    from mne.surface import mesh_dist

    coordinates = np.asarray(coordinates, dtype=np.float64)
    corners: NDArray[np.intp] = np.asarray(faces, dtype=np.intp)
    if (radius_mm is None) == (n_nearest is None):
        raise BrainalignError(
            f"a searchlight on the surface has a radius_mm or n_nearest vertices; got {radius_mm} and {n_nearest}"
        )
    check_finite("coordinates", coordinates, "give the mesh of this space")
    if corners.size and corners.max() >= len(coordinates):
        raise BrainalignError(f"faces name vertex {corners.max()} but the mesh has {len(coordinates)} vertices")
    kept = np.ones(len(coordinates), dtype=bool) if cortex is None else np.asarray(cortex, dtype=bool)
    check_rows("cortex", len(kept), "the mesh", len(coordinates), "give one value per vertex")
    vertices = np.flatnonzero(kept)
    edges = csr_array(mesh_dist(corners, coordinates) if corners.size else (0, 0))
    edges.resize(len(coordinates), len(coordinates))  # the last vertices may be of no face
    points, graph = coordinates[vertices], edges[vertices][:, vertices]
    if radius_mm is not None:
        _check_radius(radius_mm, graph.data, "the shortest edge of the mesh has {:.3g} mm")
        found = [(row, column) for row, column, _ in _discs(points, graph, radius_mm * (1 + SLACK))]
    else:
        if n_nearest is None or n_nearest < 2:
            raise BrainalignError(f"n_nearest is {n_nearest}; a searchlight holds 2 or more vertices")
        found = list(_nearest(points, graph, n_nearest))
    rows, columns = (np.concatenate([part[side] for part in found] or [np.empty(0, np.intp)]) for side in (0, 1))
    shape = (len(vertices), len(coordinates))
    members = csr_array((np.ones(len(rows)), (rows, vertices[columns])), shape=shape)
    members.sort_indices()
    return Neighbourhoods(vertices, members)


def joined_hemispheres(hemispheres: Sequence[Neighbourhoods]) -> Neighbourhoods:
    """Return neighbourhoods of hemispheres side by side; channels of the second follow those of the first."""
    first = np.cumsum([0, *(part.members.shape[1] for part in hemispheres)])
    centres = np.concatenate([part.centres + start for part, start in zip(hemispheres, first, strict=False)])
    return Neighbourhoods(centres, csr_array(block_diag([part.members for part in hemispheres], format="csr")))


def _check_radius(radius_mm: float, steps: Values, what: str) -> None:
    smallest, usual = float(np.min(steps, initial=np.inf)), float(np.median(steps))
    if not radius_mm >= smallest * (1 - SLACK):
        raise BrainalignError(
            f"radius_mm is {radius_mm:g}, but {what.format(smallest)}: every searchlight would be its centre alone; "
            f"take two to three times the usual step, such as {2.5 * usual:.2g}"
        )


def _discs(
    points: Values, graph: csr_array, radius_mm: float, centres: NDArray[np.intp] | None = None
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], Values]]:
    """Yield centres, vertices and their distance along the mesh, up to the radius, some centres at a time.

    A way along the mesh is never shorter than the straight line, so the part of the mesh within the radius of some
    neighbouring centres holds all their shortest ways: the cost does not grow with the square of the mesh.
    """
    tree = cKDTree(points)
    order = np.asarray(tree.indices, dtype=np.intp)  # neighbours stand close together
    if centres is not None:
        order = order[np.isin(order, centres)]
    for start in range(0, len(order), AT_ONCE):
        some = order[start : start + AT_ONCE]
        near = np.unique(np.concatenate(tree.query_ball_point(points[some], radius_mm))).astype(np.intp)
        part = csr_array(graph[near][:, near])
        length = dijkstra(part, indices=np.searchsorted(near, some), limit=radius_mm)
        row, column = np.nonzero(np.isfinite(length))
        yield some[row], near[column], length[row, column]


def _nearest(points: Values, graph: csr_array, n_nearest: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield centres and their nearest vertices; discs grow until they hold enough, or all that can be reached."""
    _, piece = connected_components(graph, directed=False)
    wanted = np.minimum(n_nearest, np.bincount(piece)[piece])
    radius = 1.5 * float(np.median(cKDTree(points).query(points, [min(n_nearest, len(points))])[0]))
    left = np.arange(len(points))
    while len(left):
        lacking = []
        for row, column, length in _discs(points, graph, radius, left):
            order = np.lexsort((column, length, row))
            row, column = row[order], column[order]
            centres, start, count = np.unique(row, return_index=True, return_counts=True)
            enough = count >= wanted[centres]
            place = np.arange(len(row)) - np.repeat(start, count)
            taken = (place < wanted[row]) & np.repeat(enough, count)
            lacking.append(centres[~enough])
            yield row[taken], column[taken]
        left = np.concatenate(lacking)
        radius *= 2
