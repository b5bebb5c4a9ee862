"""Meshes of the cortical surface: where vertices lie, which are neighbours, which belong to the medial wall."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.datasets.formats.surfaces import SPACES
from brainalign.io import reading

FINEST = "fsaverage5"  # that comes with nilearn
SIDES = {"L": "left", "R": "right"}


class Mesh(NamedTuple):
    """One hemisphere.

    Attributes
    ----------
    coordinates : array (n_vertices, 3), mm
    faces : array (n_faces, 3)
    cortex : bool array (n_vertices,)
        False on the medial wall.
    """

    coordinates: NDArray[np.float64]
    faces: NDArray[np.intp]
    cortex: NDArray[np.bool_]


def load_mesh(hemi: str, n_vertices: int, meshes: Mapping[str, Path] | None = None) -> Mesh:
    """Return the mesh of a hemisphere.

    Parameters
    ----------
    hemi : {"L", "R"}
    n_vertices : int
        At least so many; without `meshes` the coarsest fsaverage that has them, half-way between white matter and pial
        surface. Its medial wall is what nilearn's flat map leaves out.
    meshes : mapping, optional
        Files by hemisphere (GIFTI or FreeSurfer). Their medial wall is not known: leave its vertices out of the
        responses.
    """
    if meshes and hemi in meshes:
        from nilearn.surface import load_surf_mesh

        with reading(meshes[hemi], "not a readable surface"):
            found = load_surf_mesh(meshes[hemi])
        coordinates = np.asarray(found.coordinates, dtype=np.float64)
        if len(coordinates) < n_vertices:
            raise BrainalignError(
                f"{meshes[hemi]}: has {len(coordinates):,} vertices but the responses have vertex {n_vertices - 1}; "
                "give their mesh"
            )
        return Mesh(coordinates, np.asarray(found.faces, dtype=np.intp), np.ones(len(coordinates), dtype=bool))
    known = sorted(n for name, n in SPACES.items() if n <= SPACES[FINEST] and n >= n_vertices)
    if not known:
        raise BrainalignError(
            f"the responses have {n_vertices:,} vertices per hemisphere, but only meshes up to {FINEST} "
            f"({SPACES[FINEST]:,}) come with nilearn; give their surfaces in searchlight.meshes: {{L: ..., R: ...}}"
        )
    return _fsaverage(hemi, known[0])


def _fsaverage(hemi: str, n_vertices: int) -> Mesh:
    from nilearn.datasets import load_fsaverage

    meshes = load_fsaverage(FINEST)
    white, pial, flat = (meshes[name].parts[SIDES[hemi]] for name in ("white_matter", "pial", "flat"))
    coordinates = (np.asarray(white.coordinates, dtype=np.float64) + np.asarray(pial.coordinates)) / 2
    cortex = np.zeros(len(coordinates), dtype=bool)
    cortex[np.unique(flat.faces)] = True
    faces = np.asarray(pial.faces, dtype=np.intp)
    n_finer = len(coordinates)
    while n_finer > n_vertices:
        n_coarser = (n_finer - 2) // 4 + 2
        faces, n_finer = _coarser(faces, n_coarser), n_coarser
    return Mesh(coordinates[:n_vertices], faces, cortex[:n_vertices])


def _coarser(faces: NDArray[np.intp], n_vertices: int) -> NDArray[np.intp]:
    """Find the faces of the icosahedral mesh that was divided into these; new vertices stand between two old ones."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    of_new = ends[(ends[:, 0] >= n_vertices) & (ends[:, 1] < n_vertices)]
    of_new = np.unique(of_new, axis=0)  # two old ends of every new vertex, in its order
    old = np.full((faces.max() + 1, 2), -1, dtype=np.intp)
    old[of_new[::2, 0]] = np.stack([of_new[::2, 1], of_new[1::2, 1]], axis=1)
    middle = faces[(faces >= n_vertices).all(axis=1)]
    return np.ascontiguousarray(np.sort(old[middle].reshape(len(middle), 6), axis=1)[:, ::2])  # each corner is twice
