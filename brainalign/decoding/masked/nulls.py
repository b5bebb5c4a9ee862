"""Series in which there is nothing to find: what a model of regions must fail on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def shifted_regions(
    series: NDArray[np.floating[Any]], rng: np.random.Generator, least: int = 10
) -> NDArray[np.floating[Any]]:
    """Return runs with every region shifted circularly by its own number of frames: no region follows from others.

    Each region keeps its own course and spectrum.

    Parameters
    ----------
    series : array (n_runs, n_frames, n_regions)
    rng : Generator
    least : int
        Frames between any shift and no shift; less in runs too short for it.
    """
    n_runs, n_frames, n_regions = series.shape
    least = min(least, n_frames // 4)
    shifts = rng.integers(least, n_frames - least + 1, size=(n_runs, 1, n_regions))
    frames = (np.arange(n_frames)[None, :, None] + shifts) % n_frames
    return np.take_along_axis(series, frames, axis=1)


def permuted_frames(series: NDArray[np.floating[Any]], rng: np.random.Generator) -> NDArray[np.floating[Any]]:
    """Return runs with frames in another order, the same in all regions: what regions share at a moment remains.

    Parameters
    ----------
    series : array (n_runs, n_frames, n_regions)
    rng : Generator
    """
    order = rng.permuted(np.tile(np.arange(series.shape[1]), (len(series), 1)), axis=1)
    return np.take_along_axis(series, order[:, :, None], axis=1)
