"""Maps for other tools: a value per voxel or vertex as NIfTI or GIFTI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

STRUCTURES = {"L": "CortexLeft", "R": "CortexRight"}


def brain_maps(
    targets: pd.DataFrame, scores: NDArray[np.floating[Any]], mask: Nifti1Image | None = None
) -> dict[str, Any]:
    """Draw scores as images of a brain: a NIfTI, or a GIFTI per hemisphere; NaN where there is no score.

    Parameters
    ----------
    targets : DataFrame (n_targets)
        With `vertex` and `hemi`, or with `i`, `j`, `k` and places in mm; others have no place and get no image.
    scores : array (n_maps, n_targets)
    mask : NIfTI, optional
        Gives the grid of voxels; where not given, their places do, unless they lie in one plane: then there is none.

    Returns
    -------
    dict of str to image
        By what the name of the file ends in.
    """
    if "vertex" in targets:
        return {f"hemi-{hemi}_statmap.func.gii": _gifti(targets, scores, hemi) for hemi in pd.unique(targets["hemi"])}
    affine = mask.affine if mask is not None else voxel_affine(targets)
    if affine is None:
        return {}
    from nibabel.nifti1 import Nifti1Image

    voxels = targets[["i", "j", "k"]].to_numpy(dtype=int)
    shape = mask.shape[:3] if mask is not None else tuple(voxels.max(axis=0) + 1)
    volume = np.full((*shape, len(scores)), np.nan, dtype=np.float32)
    volume[tuple(voxels.T)] = scores.T
    return {"statmap.nii.gz": Nifti1Image(volume, affine)}


def voxel_affine(targets: pd.DataFrame) -> NDArray[np.float64] | None:
    """Compute the affine that leads from indices of voxels to their places in mm.

    Returns
    -------
    array (4, 4), or None
        None where targets are no voxels, or lie in one plane, which leaves their third direction open.
    """
    if not {"i", "j", "k", "x_mm", "y_mm", "z_mm"} <= set(targets):
        return None
    indices = np.column_stack([targets[["i", "j", "k"]].to_numpy(dtype=np.float64), np.ones(len(targets))])
    solved, _, rank, _ = np.linalg.lstsq(indices, targets[["x_mm", "y_mm", "z_mm"]].to_numpy(dtype=np.float64))
    if rank < 4:
        return None
    affine = np.eye(4)
    affine[:3] = solved.T
    return affine


def _gifti(targets: pd.DataFrame, scores: NDArray[np.floating[Any]], hemi: str) -> Any:
    from nibabel.gifti.gifti import GiftiDataArray, GiftiImage, GiftiMetaData

    mine = (targets["hemi"] == hemi).to_numpy()
    vertices = targets["vertex"].to_numpy()
    arrays = []
    for row in scores:
        values = np.full(int(vertices.max()) + 1, np.nan, dtype=np.float32)
        values[vertices[mine]] = row[mine]
        arrays.append(GiftiDataArray(values, intent="NIFTI_INTENT_CORREL", datatype="NIFTI_TYPE_FLOAT32"))
    meta = GiftiMetaData({"AnatomicalStructurePrimary": STRUCTURES[hemi]} if hemi in STRUCTURES else {})
    return GiftiImage(darrays=arrays, meta=meta)
