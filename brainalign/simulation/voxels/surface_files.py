"""Values on a surface as GIFTI files, as the Connectome Workbench and nilearn read them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nibabel.gifti.gifti import GiftiImage

STRUCTURES = {"L": "CortexLeft", "R": "CortexRight"}
# Noise hardly compresses: gzip would cost 1.5 s per 37 MB and save 7 %.
ENCODING = "GIFTI_ENCODING_B64BIN"


def betas_image(values: NDArray[np.float32], names: Sequence[str], hemi: str) -> "GiftiImage":
    """Return one data array per trial (n_trials, n_vertices) of a hemisphere ("L", "R"), named by its trial."""
    from nibabel.gifti.gifti import GiftiDataArray, GiftiImage, GiftiMetaData

    darrays = [
        GiftiDataArray(
            np.ascontiguousarray(row, dtype=np.float32),
            intent="NIFTI_INTENT_ESTIMATE",
            datatype="NIFTI_TYPE_FLOAT32",
            encoding=ENCODING,
            meta=GiftiMetaData({"Name": name}),
        )
        for row, name in zip(values, names, strict=True)
    ]
    return GiftiImage(darrays=darrays, meta=GiftiMetaData({"AnatomicalStructurePrimary": STRUCTURES[hemi]}))


def labels_image(rois: Sequence[str], hemi: str, names: Sequence[str]) -> "GiftiImage":
    """Return the area of every vertex ("" outside) as one label array; of `names`, all areas, key 0 is outside."""
    from nibabel.gifti.gifti import GiftiDataArray, GiftiImage, GiftiLabel, GiftiLabelTable, GiftiMetaData

    keys = {"": 0} | {name: k + 1 for k, name in enumerate(names)}
    table = GiftiLabelTable()
    hues = np.random.default_rng(0).uniform(0.2, 1, (len(keys), 3)).round(3)
    for name, key in keys.items():
        red, green, blue = (float(part) for part in hues[key])
        label = GiftiLabel(key=key, red=red, green=green, blue=blue, alpha=float(key > 0))
        setattr(label, "label", name or "???")  # noqa: B010 (nibabel declares no such attribute); the Workbench's word for no area
        table.labels.append(label)
    values = np.array([keys[roi] for roi in rois], dtype=np.int32)
    darray = GiftiDataArray(
        values, intent="NIFTI_INTENT_LABEL", datatype="NIFTI_TYPE_INT32", encoding="GIFTI_ENCODING_B64GZ"
    )
    meta = GiftiMetaData({"AnatomicalStructurePrimary": STRUCTURES[hemi]})
    return GiftiImage(darrays=[darray], labeltable=table, meta=meta)
