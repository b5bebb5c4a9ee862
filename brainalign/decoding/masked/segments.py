"""Runs cut into segments, and segments put together again."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_finite, check_rows

EDGE = 1e-6  # weight of frames that are used only where no segment has them in its middle
UNIT = 3.0  # the root mean square of z-scored series, or of parts of them, lies within 1 / 3 and 3


def check_series(series: NDArray[np.floating[Any]], frames: int, n_regions: int | None = None) -> NDArray[np.float32]:
    """Return series (n_runs, n_frames, n_regions) as float32, if they have the frames and regions that are needed."""
    values = np.ascontiguousarray(series, dtype=np.float32)  # torch takes no view that runs backwards
    if values.ndim != 3 or not values.size:
        raise BrainalignError(f"series has shape {values.shape}; give (n_subjects, n_frames, n_regions)")
    if n_regions is not None:
        check_rows("series", values.shape[2], "the fitted model", n_regions, "use the same parcellation", "regions")
    if values.shape[1] < frames:
        raise BrainalignError(
            f"runs have {values.shape[1]} frames but {frames} are needed; give longer runs or shorter segments"
        )
    check_finite("series", values, "leave out these runs or regions, or mend them beforehand")
    constant = np.argwhere(np.ptp(values, axis=1) == 0)
    if len(constant):
        run, region = (int(k) for k in constant[0])
        raise BrainalignError(
            f"{len(constant)} regions are constant within a run (first: run {run}, region {region}); leave them out"
        )
    size = float(np.linalg.norm(values)) / values.size**0.5
    if not 1 / UNIT < size < UNIT:  # networks and penalties are for a variance of about 1
        raise BrainalignError(f"series have a root mean square of {size:.3g}; z-score every region within its run")
    return values


def check_hidden(hidden: NDArray[np.bool_], n_runs: int, n_regions: int) -> NDArray[np.bool_]:
    """Check the mask of hidden regions and bring it to a row per run (n_runs, n_regions)."""
    given = np.asarray(hidden, dtype=bool)
    if given.shape not in ((n_regions,), (n_runs, n_regions)):
        raise BrainalignError(
            f"hidden has shape {given.shape}; give {n_regions} regions, for all runs or one row per run"
        )
    given = np.broadcast_to(given, (n_runs, n_regions))
    if given.all(axis=1).any():
        raise BrainalignError("hidden leaves nothing to be seen in some run; leave some regions visible")
    return given


def segment_starts(n_frames: int, length: int, stride: int) -> NDArray[np.intp]:
    """Return where segments begin; the last one ends with the run, so that every frame lies in one.

    Examples
    --------
    >>> segment_starts(25, 10, 10).tolist()
    [0, 10, 15]
    """
    starts = np.arange(0, n_frames - length + 1, stride)
    return starts if starts[-1] == n_frames - length else np.append(starts, n_frames - length)


def joined(segments: NDArray[np.float32], starts: NDArray[np.intp], n_frames: int, edge: int) -> NDArray[np.float32]:
    """Return runs (n_runs, n_frames, n_regions) from segments (n_runs, n_segments, length, n_regions).

    Overlapping ones are averaged; `edge` frames at either end count only where no other segment has them in its middle.
    """
    length = segments.shape[2]
    weights = np.ones(length)
    weights[:edge] = weights[length - edge :] = EDGE
    total = np.zeros((segments.shape[0], n_frames, segments.shape[3]))
    weight = np.zeros(n_frames)
    for k, start in enumerate(starts):
        total[:, start : start + length] += weights[:, None] * segments[:, k]
        weight[start : start + length] += weights
    return (total / weight[:, None]).astype(np.float32)


def hidden_regions(
    shape: tuple[int, ...], n_regions: int, ratio: tuple[float, float] | None, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw the mask of hidden regions (*shape, n_regions): a share within `ratio`, anew for every segment.

    At least one region is hidden, and one is visible; nothing is hidden where ratio is None.
    """
    if ratio is None:
        return np.zeros((*shape, n_regions), dtype=bool)
    count = np.clip(np.round(rng.uniform(*ratio, size=shape) * n_regions), 1, n_regions - 1)
    return np.asarray(rng.random((*shape, n_regions)).argsort(axis=-1).argsort(axis=-1) < count[..., None])
