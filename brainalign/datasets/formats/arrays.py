"""Responses in a file of arrays, with tables beside it that say what its rows and its targets are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import io
from brainalign.arrays import Responses, StoredArray
from brainalign.checks import BrainalignError, check_choice, check_unique, did_you_mean, listed
from brainalign.datasets.formats.betas import finish_responses
from brainalign.datasets.formats.fmri import label_names, open_image, read_volumes, whole_labels
from brainalign.datasets.formats.meeg import without_bad_sensors
from brainalign.datasets.formats.surfaces import empty_lists
from brainalign.datasets.formats.trials import as_numbers, complete_trials, kept_trials, read_table, read_trials
from brainalign.io import MISSING
from brainalign.study import LONGEST_S

AXES = ("x_mm", "y_mm", "z_mm")
GRIDS = ("vertex", "i", "j", "k")
HEMISPHERES = {"": "", "l": "L", "lh": "L", "left": "L", "r": "R", "rh": "R", "right": "R"}


def read_array(
    values: Path | str,
    trials: Path | str,
    *,
    key: str | None = None,
    targets: Path | None = None,
    atlas: Path | None = None,
    times_s: Sequence[float] | Path | None = None,
    trials_axis: Literal[0, 1, 2, 3] = 0,
    times_axis: Literal[0, 1, 2, 3] = 2,
    repeats_axis: Literal[0, 1, 2, 3] | None = None,
    units: str = "arbitrary units",
    standardize: Literal["session", "none"] = "session",
    bad_targets: Literal["raise", "drop", "keep"] = "raise",
    tmin: float | None = None,
    tmax: float | None = None,
    decimate: int = 1,
    baseline: tuple[float, float] | None = None,
    work: Path | None = None,
) -> Responses:
    """Read responses from a file of arrays.

    Parameters
    ----------
    values : Path
        .npy, .npz, .h5, .hdf5, .mat or .zarr: (n_trials, n_targets) or (n_trials, n_targets, n_times), if not so as
        `trials_axis` and `times_axis` say.
    trials : Path
        A row per row of `values`, in their order; see `read_trials`. With `repeats_axis` a row per stimulus.
    key : str, optional
        Which array, where the file holds several.
    targets : Path, optional
        A row per target, in their order; where known target_id (else they are numbered), kind, hemi (L or R), roi
        (names with ; between), x_mm, y_mm, z_mm, sensor_type, vertex (of fsaverage5).
    times_s : sequence of float or Path, optional
        Seconds from the stimulus, needed with a third axis: numbers, or a .npy or text file of them.
    trials_axis, times_axis : {0, 1, 2, 3}
        Which axis of `values` these are, counted from 0: of EEGLAB's (n_targets, n_times, n_trials) 2 and 1.
    repeats_axis : {0, 1, 2, 3}, optional
        The axis of repeats, where stimuli have one of their own: every repeat is a trial, but for those all NaN.
    units : str
    standardize : {"session", "none"}
        Z-score each target within sessions; not where there are times.
    bad_targets : {"raise", "drop", "keep"}
        What to do with targets that hold NaN or are constant. `targets.attrs["n_dropped"]` counts those left out.
    tmin, tmax, decimate, baseline
        As `read_epochs`, where there are times.
    work : Path, optional
        Leave values without times on disk, those of .npy and of HDF5 that is not packed: in their file, or, z-scored or
        without bad targets, in this .npy file, which is overwritten.

    Raises
    ------
    BrainalignError
        If a file cannot be read or is shorter than its header says, the array is no array of real numbers with two or
        three axes, its axes and the tables or times differ in length, or targets are bad and `bad_targets` is "raise".
    """
    check_choice("standardize", standardize, ("session", "none"))
    values, trials = Path(values), Path(trials)
    name = io.chosen_array(values, key)
    as_rows = work is not None and times_s is None and trials_axis == 0 and repeats_axis is None
    numbers: Any = io.located_array(values, name) if as_rows else None
    numbers = io.stored_arrays(values, [name])[name] if numbers is None else numbers
    what = f"{values}: {name or 'its array'}"
    if numbers.dtype.kind not in "iufb":
        raise BrainalignError(f"{what} holds {numbers.dtype}; give real numbers")
    table = read_trials(trials)
    if repeats_axis is not None:
        numbers, table, times_axis = _each_repeat(numbers, table, (trials_axis, repeats_axis, times_axis), what, trials)
        trials_axis = 0
    others = [n for axis, n in enumerate(numbers.shape) if axis != trials_axis]
    if times_s is None and numbers.ndim == len(others) + 1 > 2 and np.prod(others) == max(others) > 0:  # axes of one
        numbers, trials_axis = np.moveaxis(numbers[:], trials_axis, 0).reshape(-1, max(others)), 0
    if numbers.ndim not in (2, 3) or 0 in numbers.shape:
        raise BrainalignError(f"{what} has shape {numbers.shape}; give rows x targets, or rows x targets x times")
    if (numbers.ndim == 3) != (times_s is not None):
        remedy = "leave out times_s" if numbers.ndim == 2 else "give times_s, the seconds of its third axis"
        raise BrainalignError(f"{what} has shape {numbers.shape}; {remedy}")
    others = [1 - trials_axis] if numbers.ndim == 2 else [3 - trials_axis - times_axis, times_axis]
    axes = [trials_axis, *others]
    if sorted(axes) != [*range(numbers.ndim)]:
        also = f", times_axis {times_axis}" * (numbers.ndim == 3)
        raise BrainalignError(f"{what} has shape {numbers.shape} but trials_axis is {trials_axis}{also}; correct these")
    shape = numbers.shape
    if numbers.ndim == 3:
        times = _times(() if times_s is None else times_s, shape, times_axis, axes[1], values)
    numbers = numbers if isinstance(numbers, StoredArray) else numbers.transpose(axes)
    places = target_table(targets, numbers.shape[1], "sensor" if numbers.ndim == 3 else "target", atlas)
    for axis, length, source in ((0, len(table), trials), (1, len(places), targets)):
        if numbers.shape[axis] != length:
            remedy = f"give one per {('row', 'target')[axis]}, in the same order"
            if length in shape and not axis:
                remedy += f", or trials_axis: {shape.index(length)} where values are so"
            elif not axis and max(shape) > 2 * length:
                remedy += "; cut frames or samples that go on into trials x targets x times, from each onset"
            raise BrainalignError(f"{what} has shape {shape} but {source} has {length} rows; {remedy}")
    if times_s is None:
        if not isinstance(numbers, StoredArray):
            numbers = numbers.astype(np.float32, copy=False)
        responses = Responses(numbers, table, places, units)
        return finish_responses(responses, standardize=standardize, bad_targets=bad_targets, work=work)
    floats = np.asarray(numbers, dtype=np.float64)
    if baseline is not None:
        floats = floats - floats[:, :, _within(times, *baseline, values, "baseline_s")].mean(axis=2, keepdims=True)
    kept = np.flatnonzero(_within(times, tmin, tmax, values, "tmin_s and tmax_s"))[::decimate]
    responses = kept_trials(Responses(floats[:, :, kept].astype(np.float32), table, places, units, times=times[kept]))
    return responses if bad_targets == "keep" else without_bad_sensors(responses, values, bad_targets)


def _each_repeat(
    numbers: NDArray[Any], table: pd.DataFrame, axes: tuple[int, int, int], what: str, trials: Path
) -> tuple[NDArray[Any], pd.DataFrame, Any]:
    """Return a row per repeat, the trials that these are, and which axis times are then; `axes` are those of three."""
    own, repeats, times = axes
    if own == repeats or max(own, repeats) >= numbers.ndim:
        raise BrainalignError(
            f"{what} has shape {numbers.shape} but trials_axis is {own} and repeats_axis {repeats}; correct these"
        )
    others = [axis for axis in range(numbers.ndim) if axis not in (own, repeats)]
    n_stimuli, n_repeats = numbers.shape[own], numbers.shape[repeats]
    if n_stimuli != len(table):
        remedy = "give one per stimulus, or correct trials_axis and repeats_axis"
        raise BrainalignError(f"{what} has shape {numbers.shape} but {trials} has {len(table)} rows; {remedy}")
    size = n_stimuli * n_repeats, *[numbers.shape[axis] for axis in others]
    rows = numbers.transpose([own, repeats, *others]).reshape(size)
    kept = np.flatnonzero(~np.isnan(rows).reshape(len(rows), -1).all(axis=1))
    known = table.drop(columns=["trial_id", "repeat"]).iloc[kept // n_repeats]
    found = complete_trials(known.assign(repeat=kept % n_repeats + 1), str(trials))
    return rows[kept], found, 1 + others.index(times) if times in others else times


def target_table(path: Path | None, n_targets: int, kind: str, atlas: Path | None = None) -> pd.DataFrame:
    """Read a row per target, with every column that a table of targets has; numbered where there is no file.

    Of an `atlas` (NIfTI with a whole number per voxel) targets are the parcels: see `_in_atlas`.
    """
    table = pd.DataFrame(index=range(n_targets)) if path is None else read_table(path)
    columns = [str(column) for column in table]
    if "target_id" not in columns:
        if near := did_you_mean("target_id", columns):
            raise BrainalignError(f"{path}: no column 'target_id'{near}; it has {', '.join(columns)}: rename one")
        table.insert(0, "target_id", [f"{kind}-{row + 1:04d}" for row in range(len(table))])
    table["target_id"] = table["target_id"].astype(str)
    check_unique(path, table["target_id"], "target ids", "keep one each, and people in tables of their own")
    sides = table.get("hemi", pd.Series([""] * len(table))).fillna("").astype(str).replace(list(MISSING), "")
    for side in sides.unique():
        check_choice(f"{path}: hemi", side.lower(), HEMISPHERES)
    table = table.assign(**{name: np.nan for name in AXES if name not in table})
    for name in {*AXES, *GRIDS} & {*table}:
        table[name] = as_numbers(table, name, str(path), whole=name in GRIDS)
    known = {"kind": kind, "sensor_type": kind} if kind == "sensor" else {"kind": kind}
    table = table.assign(
        hemi=[HEMISPHERES[side.lower()] for side in sides],
        roi=table["roi"].map(_names) if "roi" in table else empty_lists(len(table)),
        **{name: value for name, value in known.items() if name not in table},
    )
    first = ["target_id", "kind", "hemi", "roi"]
    table = table[[*first, *(name for name in table if name not in first)]]
    return table if atlas is None else _in_atlas(table, atlas)


def _in_atlas(targets: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return targets that are parcels of an atlas: they know their label, its centre in mm, and the atlas.

    target_id is a name in the table beside the atlas (the same name, .tsv or .csv: index, name), or a parcel's number.
    """
    image = open_image(path)
    labels = whole_labels(path, read_volumes(path))
    labels = labels.reshape(labels.shape[:3])
    present = np.unique(labels[labels > 0])
    numbers = {str(number): int(number) for number in present}
    named = [of for of in label_names(path, "", present.tolist()) if of[1] in present]
    once = pd.Series([name for name, _ in named], dtype=object).value_counts() == 1
    numbers |= {name: number for name, number in named if once[name]}
    if lost := [name for name in targets["target_id"] if name not in numbers]:
        raise BrainalignError(
            f"{path}: {len(lost)} targets are no parcels of it ({listed(lost)}; it has {listed(list(numbers), 4)}); "
            "name target_id as in its table of index and name, by number where parcels share a name"
        )
    own = targets["target_id"].map(numbers).to_numpy()
    voxels = np.argwhere(labels > 0)
    order = np.searchsorted(present, labels[tuple(voxels.T)])
    sums = [np.bincount(order, weights=axis) for axis in np.c_[voxels, np.ones(len(voxels))].T]
    centres = (np.stack(sums, axis=1) / sums[3][:, None]) @ np.asarray(image.affine).T
    targets = targets.assign(kind="parcel", label=own)
    targets[list(AXES)] = centres[np.searchsorted(present, own), :3]
    targets.attrs["space"] = {"shape": list(labels.shape), "affine": np.asarray(image.affine).tolist()}
    targets.attrs["space"]["labels"] = io.packed_labels(labels)
    return targets


def _names(cell: Any) -> list[str]:
    """Return the regions in a cell: text with ; between, or a list as .parquet holds it."""
    parts = cell.split(";") if isinstance(cell, str) else [] if np.ndim(cell) == 0 else list(cell)
    return [name for part in parts if (name := str(part).strip()) not in MISSING]


def _times(
    given: Sequence[float] | Path, shape: tuple[int, ...], axis: int, other: int, values: Path
) -> NDArray[np.float64]:
    if isinstance(given, Path):
        with io.reading(given, "no list of seconds", "write one number per line, or a .npy file"):
            stored = io.read_npy(given) if given.suffix == ".npy" else [float(line) for line in io.read_lines(given)]
            times = np.asarray(stored, dtype=np.float64).ravel()
    else:
        times = np.asarray(given, dtype=np.float64)
    if len(times) != shape[axis]:
        turned = f", or times_axis: {other} where values are so" if len(times) == shape[other] else ""
        remedy = f"give one per time{turned}"
        raise BrainalignError(f"times_s has {len(times)} numbers but {values} has {shape[axis]} times; {remedy}")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise BrainalignError(f"times_s of {values} are not numbers in ascending order; sort that axis by time")
    if np.abs(times).max() > LONGEST_S:
        raise BrainalignError(f"times_s of {values} reach {np.abs(times).max():g}; give seconds, not milliseconds")
    return times


def _within(
    times: NDArray[np.float64], low: float | None, high: float | None, values: Path, option: str
) -> NDArray[np.bool_]:
    """Find the times that lie in a window, its ends included up to half a sample."""
    half = 0.5 * float(np.diff(times[:2]).sum())
    inside = (times >= (-np.inf if low is None else low - half)) & (times <= (np.inf if high is None else high + half))
    if not inside.any():
        known = f"they run from {times[0]:g} to {times[-1]:g} s"
        raise BrainalignError(f"{values}: no time lies in epochs.{option} ({low} to {high} s); {known}")
    return np.asarray(inside)
