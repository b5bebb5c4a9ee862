"""A folder of pictures and a table of them in one file, for people who want to show them in a scanner."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same bytes at any time


@dataclass(frozen=True)
class ImageArchive:
    """Pictures as PNG files with a table stimuli.tsv, as a descriptor of a study of images would name it.

    Parameters
    ----------
    images : array (n_images, rows, columns, 3), uint8
    table : DataFrame (n_images)
        Has the column stimulus_id; path is added.
    """

    images: NDArray[np.uint8]
    table: pd.DataFrame

    def to_filename(self, path: Path) -> None:
        """Write a zip file; the same content gives the same bytes."""
        from PIL import Image

        names = [f"images/{name}.png" for name in self.table["stimulus_id"]]
        table = self.table.assign(path=names)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
            text = table.to_csv(sep="\t", index=False, float_format="%.4f", lineterminator="\n")
            file.writestr(zipfile.ZipInfo("stimuli.tsv", LONG_AGO), text)
            for name, pixels in zip(names, self.images, strict=True):
                picture = io.BytesIO()
                Image.fromarray(pixels).save(picture, "PNG")
                file.writestr(zipfile.ZipInfo(name, LONG_AGO), picture.getvalue())
