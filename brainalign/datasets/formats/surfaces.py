"""Files on the cortical surface: maps and labels per hemisphere, and where the vertices of known meshes lie."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_named, check_rows, listed
from brainalign.io import image_values, load_image_file, reading

# Vertices per hemisphere. The vertices of a coarser fsaverage are the first ones of every finer one.
SPACES = {
    "fsaverage3": 642,
    "fsaverage4": 2562,
    "fsaverage5": 10242,
    "fsaverage6": 40962,
    "fsaverage": 163842,
    "fsLR32k": 32492,
}
STRUCTURES = {"L": "CortexLeft", "R": "CortexRight"}
# Names that say "no region" in label tables of FreeSurfer, HCP and nilearn.
BACKGROUND = {"", "???", "unknown", "background", "medial_wall", "medialwall", "medial wall", "corpuscallosum", "none"}


def read_maps(path: Path, hemi: str, n_maps: int | None = None) -> NDArray[np.float32]:
    """Return the maps of one hemisphere, (n_maps, n_vertices).

    A GIFTI has a data array per map, or a single one in either layout, which `n_maps` tells apart; or .mgh.
    """
    image = load_image_file(path)
    if not hasattr(image, "darrays"):
        data = image_values(path, image, np.float32)
        return data.reshape(data.shape[0], -1).T  # .mgh: (n_vertices, 1, 1, n_maps)
    arrays = [array.data for array in image.darrays]
    if not arrays:
        raise BrainalignError(f"{path}: holds no data array; write one per trial")
    _check_structure(path, image, hemi)
    if len(arrays) == 1 and arrays[0].ndim == 2:
        maps = np.asarray(arrays[0], dtype=np.float32)
        return maps if maps.shape[0] == n_maps and maps.shape[1] != n_maps else maps.T
    lengths = sorted({len(array) for array in arrays})
    if len(lengths) > 1:
        raise BrainalignError(f"{path}: its maps have {listed(lengths)} vertices; write maps of one mesh into a file")
    return np.stack(arrays).astype(np.float32, copy=False)


def _check_structure(path: Path, image: Any, hemi: str) -> None:
    """Refuse a file that names the other hemisphere: swapped files would give plausible nonsense."""
    for meta in (image.meta, image.darrays[0].meta):
        given = meta.get("AnatomicalStructurePrimary")
        if given in STRUCTURES.values() and given != STRUCTURES[hemi]:
            raise BrainalignError(f"{path}: holds {given}, but the descriptor gives it as hemisphere {hemi}; swap them")


def check_space(lengths: Mapping[str, int], space: str | None) -> str:
    """Return the name of the mesh with so many vertices per side; names outside `SPACES` ("native") are not checked."""
    if space is not None and space not in SPACES:
        return space
    found = {name for name, n in SPACES.items() if set(lengths.values()) == {n}}
    if space in found or (space is None and found):
        return space or found.pop()
    sizes = ", ".join(f"{hemi} has {n:,}" for hemi, n in lengths.items())
    known = ", ".join(f"{name} {n:,}" for name, n in SPACES.items())
    wanted = f"{space} has {SPACES[space]:,} vertices" if space else "no known mesh has so many vertices"
    remedy = "check that the files are whole and of the same mesh, or give space: native for the subject's own surfaces"
    raise BrainalignError(f"hemisphere {sizes}, but {wanted} per hemisphere (known: {known}); {remedy}")


def vertex_table(hemi: str, n_vertices: int, space: str, mesh: Path | None = None) -> pd.DataFrame:
    """Return a row per vertex: target_id, kind, hemi, vertex, x_mm, y_mm, z_mm, roi (empty lists).

    Coordinates of fsaverage5 and coarser come with nilearn (half-way between white matter and pial surface); of other
    meshes they are NaN unless `mesh` (GIFTI or FreeSurfer) is given.
    """
    table = pd.DataFrame(
        {
            "target_id": [f"vertex-{hemi}-{vertex}" for vertex in range(n_vertices)],
            "kind": "vertex",
            "hemi": hemi,
            "vertex": np.arange(n_vertices),
        }
    )
    table[["x_mm", "y_mm", "z_mm"]] = _coordinates(hemi, n_vertices, space, mesh)
    return table.assign(roi=empty_lists(n_vertices))


def on_mesh(tables: Sequence[pd.DataFrame], space: str, n_vertices: Mapping[str, int]) -> pd.DataFrame:
    """Join the tables of the hemispheres, which then know their space: its name, and its vertices by hemisphere."""
    targets = pd.concat(tables, ignore_index=True)
    targets.attrs["space"] = {"name": space, "n_vertices": {hemi: int(n) for hemi, n in n_vertices.items()}}
    return targets


def region_lists(regions: Mapping[str, NDArray[np.bool_]], n_targets: int) -> "pd.Series[Any]":
    """Return the names of the regions of every target."""
    lists: list[list[str]] = [[] for _ in range(n_targets)]
    for name, inside in regions.items():
        for row in np.flatnonzero(inside):
            lists[row].append(name)
    return pd.Series(lists, dtype=object)


def empty_lists(n: int) -> "pd.Series[Any]":
    """Return a column of `n` empty lists."""
    return region_lists({}, n)


def _coordinates(hemi: str, n_vertices: int, space: str, mesh: Path | None) -> NDArray[np.float64]:
    from nilearn.surface import load_surf_mesh

    if mesh is not None:
        with reading(mesh, "not a readable surface"):
            xyz = np.asarray(load_surf_mesh(mesh).coordinates, dtype=np.float64)
        check_rows(mesh, len(xyz), "the map", n_vertices, "give its mesh", "vertices")
        return xyz
    if SPACES.get(space) == n_vertices and n_vertices <= SPACES["fsaverage5"]:
        from nilearn.datasets import fetch_surf_fsaverage

        files, side = fetch_surf_fsaverage("fsaverage5"), "left" if hemi == "L" else "right"  # reads none of them
        places = [load_surf_mesh(files[f"{name}_{side}"]).coordinates for name in ("white", "pial")]
        return np.asarray(np.mean(places, axis=0)[:n_vertices], dtype=np.float64)
    return np.full((n_vertices, 3), np.nan)


def read_surface_rois(path: Path, hemi: str, n_vertices: int) -> dict[str, NDArray[np.bool_]]:
    """Read the vertices of each region of a .label.gii (maps may overlap) or .annot file, background left out."""
    maps, names = _read_annot(path) if path.suffix == ".annot" else _read_labels(path, hemi)
    of_maps = f"a map of hemisphere {hemi}"
    check_rows(path, maps.shape[1], of_maps, n_vertices, "give labels of the same mesh", "vertices")
    if unnamed := sorted(set(np.unique(maps).tolist()) - set(names) - {0, -1}):
        raise BrainalignError(f"{path}: key {listed(unnamed)} has no name in its label table; add it to the table")
    regions = {key: name for key, name in names.items() if name.strip().lower() not in BACKGROUND and key != -1}
    return {name: (maps == key).any(axis=0) for key, name in regions.items()}


def _read_labels(path: Path, hemi: str) -> tuple[NDArray[np.int64], dict[int, str]]:
    image = load_image_file(path)
    if not hasattr(image, "darrays") or not image.darrays:
        raise BrainalignError(f"{path}: no label file; give a .label.gii or .annot with a label per vertex")
    _check_structure(path, image, hemi)
    maps = np.stack([np.asarray(array.data, dtype=np.int64) for array in image.darrays])
    return maps, {int(key): str(name) for key, name in image.labeltable.get_labels_as_dict().items()}


def _check_annot(numbers: NDArray[np.int32]) -> None:
    """Raise unless the counts in an .annot file fit it: nibabel would take memory for what they say."""
    place = 1 + 2 * int(numbers[0])  # a number and a key per vertex, then whether there is a table of colours
    if numbers[0] < 0 or place + 2 >= len(numbers):
        raise ValueError(f"{numbers[0]} vertices do not fit into {4 * len(numbers):,} bytes")
    n_colours = int(numbers[place + 1] if numbers[place + 1] > 0 else numbers[place + 2])
    if n_colours > 4 * len(numbers):
        raise ValueError(f"{n_colours} colours do not fit into {4 * len(numbers):,} bytes")


def _read_annot(path: Path) -> tuple[NDArray[np.int64], dict[int, str]]:
    from nibabel.freesurfer.io import read_annot

    with reading(path, "not a readable .annot file"):
        _check_annot(np.fromfile(path, dtype=">i4"))
        keys, _, names = read_annot(path)
        return np.asarray(keys, dtype=np.int64)[None], {key: name.decode() for key, name in enumerate(names)}


def roi_lists(
    regions: Mapping[str, NDArray[np.bool_]], n_targets: int, roi_names: Sequence[str] | None
) -> "pd.Series[Any]":
    """Return the names of the regions of every target.

    Unknown ones are refused. Of an atlas a mask may leave some out: empty regions are warned of, and refused only where
    they were asked for, or where all are empty.
    """
    check_named("roi_names", sorted(regions), roi_names or (), "ROI", "name those of the label files")
    chosen = {name: inside for name, inside in regions.items() if roi_names is None or name in roi_names}
    empty = sorted(name for name, inside in chosen.items() if not inside.any())
    if empty and (roi_names is not None or len(empty) == len(chosen)):
        remedy = "leave it out of roi_names" if roi_names is not None else "leave out rois"
        raise BrainalignError(
            f"ROI {listed(empty)} is empty: none of the {n_targets} targets is labelled so; correct the label files or "
            f"{remedy}"
        )
    if empty:
        warnings.warn(
            f"ROI {listed(empty)} is left out: none of the {n_targets} targets is labelled so",
            RuntimeWarning,
            stacklevel=3,
        )
    return region_lists(chosen, n_targets)
