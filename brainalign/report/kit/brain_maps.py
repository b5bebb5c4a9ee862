"""Maps of values per voxel, drawn by nilearn on the mean of the functional images."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image


def slice_positions(mask: Nifti1Image, most: int = 7) -> list[float]:
    """Return z coordinates (mm) of at most `most` axial slices that hold voxels of the mask."""
    filled = np.flatnonzero(np.asarray(mask.dataobj).any(axis=(0, 1)))
    chosen = filled[np.linspace(0, len(filled) - 1, min(most, len(filled))).round().astype(int)]
    return [float((mask.affine @ [0, 0, k, 1])[2]) for k in chosen]


def draw_map(
    image: Nifti1Image,
    mask: Nifti1Image,
    background: Nifti1Image | None,
    *,
    label: str,
    vmax: float,
    diverging: bool,
    outline: Nifti1Image | None = None,
) -> Figure:
    """Draw axial slices of a statistical map.

    Parameters
    ----------
    image : image
        NaN where nothing is drawn.
    mask : image
        Chooses the slices.
    background : image or None
        Mean functional image; without one the border of the mask is drawn.
    label : str
        What the colours show, with its unit.
    vmax : float
        Largest absolute value of the colour scale.
    diverging : bool
        Scale from −vmax to vmax, else from 0.
    outline : image, optional
        Non-zero regions are outlined in black.
    """
    import nibabel
    from nilearn import plotting

    positions = slice_positions(mask)
    figure = Figure(figsize=(min(3.4 + 2.4 * len(positions), 9.0), 3.2), dpi=130)
    filled = nibabel.Nifti1Image(np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32)), image.affine)
    options: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -vmax} if diverging else {"cmap": "viridis", "vmin": 0}
    with _little_garbage():
        display = plotting.plot_stat_map(
            filled,
            bg_img=background,
            display_mode="z",
            cut_coords=positions,
            figure=figure,
            axes=(0.0, 0.0, 1.0, 0.88),
            threshold=1e-6,
            vmax=vmax,
            symmetric_cbar=diverging,
            black_bg=background is not None,
            dim=0,
            resampling_interpolation="nearest",
            draw_cross=False,
            annotate=True,
            **options,
        )
        if background is None:
            display.add_contours(mask, levels=[0.5], colors="#8c8c8c", linewidths=0.8)
        if outline is not None and np.asarray(outline.dataobj).any():
            display.add_contours(outline, levels=[0.5], colors="black", linewidths=1.4)
    figure.suptitle(label, fontsize=10, y=0.97)
    return figure


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Keep what stands already out of the collections of garbage, of which nilearn asks one at every image it reads."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
