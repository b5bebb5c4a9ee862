"""Maps in grayordinates (CIFTI): vertices of the cortex and voxels below it in one file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.datasets.formats.surfaces import BACKGROUND, SPACES, empty_lists, read_surface_rois, vertex_table
from brainalign.io import CORTEX, image_values, load_image_file, reading

Regions = dict[str, NDArray[np.bool_]]


def read_cifti(
    paths: list[Path], rois: Mapping[str, Path], mesh: Mapping[str, Path]
) -> tuple[NDArray[np.float32], pd.DataFrame, Regions]:
    """Return maps, targets and regions of CIFTI files; see `read_betas`."""
    images = [load_image_file(path) for path in paths]
    axis = cifti_axis(paths[0], images[0], 1)
    for path, image in zip(paths[1:], images[1:], strict=True):
        if cifti_axis(path, image, 1) != axis:
            raise BrainalignError(f"{path}: has other grayordinates than {paths[0]}; give files of one layout")
    values = np.concatenate([image_values(path, image, np.float32) for path, image in zip(paths, images, strict=True)])
    targets = grayordinates(axis, mesh)
    regions: Regions = {}
    for key, path in rois.items():
        if key in ("L", "R"):
            n_vertices = axis.nvertices[next(name for name, hemi in CORTEX.items() if hemi == key)]
            rows = targets["hemi"].eq(key) & targets["kind"].eq("vertex")
            for name, inside in read_surface_rois(path, key, n_vertices).items():
                whole = regions.setdefault(name, np.zeros(len(targets), dtype=bool))
                whole[rows.to_numpy()] |= inside[targets["vertex"][rows].astype(int).to_numpy()]
        else:
            regions |= read_dlabel(path, targets)
    return values, targets, regions


def cifti_axis(path: Path, image: Any, number: int) -> Any:
    """Read the axis of the rows (0) or columns (1) of a CIFTI file, as nibabel's axis."""
    with reading(path, "not a readable CIFTI file"):
        return image.header.get_axis(number)


def grayordinates(axis: Any, mesh: Mapping[str, Path]) -> pd.DataFrame:
    """Return a row per grayordinate: vertices of the cortex, voxels elsewhere."""
    hemi = np.array([CORTEX.get(str(name), "") for name in axis.name])
    surface = np.asarray(axis.vertex) >= 0
    ijk = np.where(surface[:, None], -1, np.asarray(axis.voxel))
    xyz = np.full((len(hemi), 3), np.nan)
    if not surface.all():
        xyz[~surface] = (np.c_[ijk[~surface], np.ones((~surface).sum())] @ np.asarray(axis.affine).T)[:, :3]
    for side, path in mesh.items():
        n_vertices = axis.nvertices[next(name for name, label in CORTEX.items() if label == side)]
        places = vertex_table(side, n_vertices, "native", path)[["x_mm", "y_mm", "z_mm"]].to_numpy()
        rows = surface & (hemi == side)
        xyz[rows] = places[np.asarray(axis.vertex)[rows]]
    ids = [
        f"vertex-{side}-{vertex}" if on else f"voxel-{i}-{j}-{k}"
        for side, vertex, on, (i, j, k) in zip(hemi, axis.vertex, surface, ijk, strict=True)
    ]
    table = pd.DataFrame({"target_id": ids, "kind": np.where(surface, "vertex", "voxel"), "hemi": hemi})
    table["structure"] = np.asarray(axis.name, dtype=str)
    table["vertex"] = np.where(surface, axis.vertex, -1)
    table[["i", "j", "k"]], table[["x_mm", "y_mm", "z_mm"]] = ijk, xyz
    n_vertices = {CORTEX[name]: int(n) for name, n in axis.nvertices.items() if name in CORTEX}
    name = "fsLR32k" if set(n_vertices.values()) == {SPACES["fsLR32k"]} else "grayordinates"
    table.attrs["space"] = {"name": name, "n_vertices": n_vertices}
    if not surface.all():
        table.attrs["space"] |= {"shape": list(axis.volume_shape), "affine": np.asarray(axis.affine).tolist()}
    return table.assign(roi=empty_lists(len(table)))


def read_dlabel(path: Path, targets: pd.DataFrame) -> Regions:
    """Read the grayordinates of each label of a .dlabel.nii; the background is left out."""
    image = load_image_file(path)
    keys = image_values(path, image, np.int64)  # (n_maps, n_grayordinates)
    labelled = pd.Index(grayordinates(cifti_axis(path, image, 1), {})["target_id"])
    rows = labelled.get_indexer(pd.Index(targets["target_id"]))
    with reading(path, "no label file (.dlabel.nii)"):
        labels = cifti_axis(path, image, 0).label
    regions: Regions = {}
    for map_keys, names in zip(keys, labels, strict=True):
        for key, (name, _) in names.items():
            if key > 0 and name.strip().lower() not in BACKGROUND:
                inside = (map_keys[rows] == key) & (rows >= 0)
                regions[name] = regions.get(name, np.zeros(len(targets), dtype=bool)) | inside
    return regions
