"""Stimuli that go on: their events, and the runs of a subject cleaned on the clock of the recording."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses, Values
from brainalign.checks import BrainalignError, check_columns, check_rows, check_unique, listed, naming
from brainalign.datasets import formats
from brainalign.datasets.problems import Problem
from brainalign.datasets.studies.events import read_bids_events, read_event_files, usual_names
from brainalign.io import array_shapes, load_image_file, read_json, stored_arrays
from brainalign.study import RunFiles, Study, check_repetition_time

CONFOUND = "confound "  # then the number of the presentation, and the column of the table
LEAST_ROWS = 20  # of a run that is scored: r over fewer says little
IDLE = 0.8  # of a run: without events beyond, it is that of other events where these outlast another run
MOST_CUT = 0.5  # of a stimulus that a recording cut short may lack; beyond, clocks or files do not fit


@dataclass(frozen=True)
class ContinuousRuns:
    """The runs of one subject, trimmed, detrended and z-scored.

    Attributes
    ----------
    responses : Responses
        A trial per row that is kept, the mean over presentations; `onset_s` is the middle of its acquisition.
    repeats : Responses or None
        Every presentation of the runs presented more than once; rows heard at one time have one stimulus_id.
    presentations : dict of int
        How often each run was presented.
    n_dropped : int
        NaN or constant targets left out.
    """

    responses: Responses
    repeats: Responses | None
    presentations: dict[str, int]
    n_dropped: int


def read_events(study: Study) -> pd.DataFrame:
    """Read the events that were shown, a row each: stimulus_id, run, onset_s, duration_s, and what else is known.

    Parameters
    ----------
    study : Study
        `stimuli` is a table with the columns run (or story), onset_s (or onset) and, where known, duration_s (or
        duration), text (or word), path, stimulus_id; or a folder with a file per run, see `read_event_files`; or a
        BIDS dataset, see `read_bids_events`.

    Returns
    -------
    DataFrame
        In the order of the file; `caption` is the text. Without stimulus_id events are numbered within runs.

    Raises
    ------
    BrainalignError
        If a column is missing, an onset is no number, or an id is there twice.
    """
    if not isinstance(study.stimuli, Path):  # sounds and films alone
        return pd.DataFrame({"stimulus_id": [], "run": [], "onset_s": [], "duration_s": []})
    path = study.locate(study.stimuli, "stimuli")
    if (path / "dataset_description.json").exists():
        table = read_bids_events(path, recorded_runs(study))
    else:
        table = read_event_files(path, study.continuous.tier) if path.is_dir() else formats.read_table(path)
    table = usual_names(table)
    check_columns(path, table, ("run", "onset_s"), "add it")
    merged = np.flatnonzero(table.get("caption", pd.Series(dtype=str)).astype(str).str.contains("[\t\n]", regex=True))
    if len(merged):
        raise BrainalignError(
            f"{path}: row {merged[0] + 1} has a quotation mark that closes in a later row, and makes one event of "
            "both; write words without quotation marks"
        )
    for column in ("onset_s", "duration_s"):
        numbers = pd.to_numeric(table.get(column, pd.Series(0.0, index=table.index)), errors="coerce")
        wrong = np.flatnonzero(~np.isfinite(numbers.to_numpy(dtype=float)) | ((column == "duration_s") & (numbers < 0)))
        if len(wrong):
            row = int(wrong[0])
            raise BrainalignError(f"{path}: {column} is {table[column].iloc[row]!r} in row {row + 1}; give seconds")
        table[column] = numbers.astype(float)
    table["run"] = table["run"].astype(str)
    if "stimulus_id" not in table:
        table.insert(
            0, "stimulus_id", table["run"] + "_" + (table.groupby("run").cumcount() + 1).astype(str).str.zfill(5)
        )
    check_unique(path, table["stimulus_id"], remedy="number every event")
    return table


def read_continuous(study: Study, subject: str) -> ContinuousRuns:
    """Read the runs of one subject: trimmed, detrended and z-scored within runs, presentations averaged.

    Raises
    ------
    BrainalignError
        If a file cannot be read, runs differ in their targets, presentations in their length, a run is too short, or
        the header of a volume says another repetition time.
    """
    files = study.recordings[subject]
    assert isinstance(files, RunFiles)
    targets: pd.DataFrame | None = _array_targets(study, files) if files.kind == "arrays" else None
    start, stop = study.continuous.trim(files)
    rows, means, heard, bad = [], [], {}, np.zeros(1, dtype=bool)
    presentations: dict[str, int] = {}
    for run in files.files:
        shown = []
        for part in files.both_sides(run):
            held, targets = _read_run(study, files, run, part, targets)
            shown += held
        presentations[run] = len(shown)
        lengths = sorted({len(values) for values in shown})
        if files.kind == "recordings" and lengths[0] >= MOST_CUT * lengths[-1]:  # which somebody stops by hand
            shown, lengths = [values[: lengths[0]] for values in shown], lengths[:1]
        if len(lengths) > 1:
            raise BrainalignError(
                f"recordings.{subject}.files.{run}: presentations have {listed(lengths)} rows; cut them to one length"
            )
        kept = slice(start, lengths[0] - stop)
        if lengths[0] - start - stop < LEAST_ROWS:
            turned = "; its axes may be exchanged" * (files.kind == "arrays" and shown[0].shape[1] > 2 * lengths[0])
            raise BrainalignError(
                f"recordings.{subject}.files.{run}: {lengths[0]} rows leave {max(lengths[0] - start - stop, 0)} after "
                f"trimming {start} and {stop}; a run needs {LEAST_ROWS}: join runs, or shorten trim_s{turned}"
            )
        middle, options = 0.5 if files.slow else 0.0, study.continuous
        onsets = files.first_row_s + (np.arange(*kept.indices(lengths[0])) + middle) * files.step_s
        table = pd.DataFrame({"run": run, "onset_s": onsets})
        for k, confounds in enumerate(_confounds(study, files, run, len(shown), lengths[0])):
            table = table.join(confounds.iloc[kept].reset_index(drop=True).add_prefix(f"{CONFOUND}{k + 1} "))
        rows.append(table)
        bases = run_drifts(table, files.step_s, options.detrend, options.high_pass(files))
        if 2 * bases[0].shape[1] > len(table):
            raise BrainalignError(
                f"recordings.{subject}.files.{run}: {bases[0].shape[1]} drifts and confounds leave little of "
                f"{len(table)} rows; name fewer in continuous.confounds, or lower continuous.high_pass_hz"
            )
        clean = [_cleaned(values[kept], bases[k % len(bases)]) for k, values in enumerate(shown)]
        bad = bad | np.any([broken for _, broken in clean], axis=0)
        mean = np.mean([values for values, _ in clean], axis=0)
        means.append(mean / np.where(mean.std(axis=0) > 0, mean.std(axis=0), 1))
        if len(clean) > 1:
            heard[run] = [values for values, _ in clean]
    if files.repeats is not None and not heard:
        raise BrainalignError(
            f"recordings.{subject}.repeats: no file holds several presentations in an array {files.repeats!r}; correct "
            "its name, or leave it out"
        )
    assert targets is not None  # as there are runs
    trials = pd.concat(rows, ignore_index=True)
    trials["trial_id"] = trials["run"] + "_" + trials.groupby("run").cumcount().astype(str)
    trials = trials.assign(stimulus_id=trials["trial_id"], session="", repeat=1)
    if bad.all():
        raise BrainalignError(f"recordings.{subject}: every target is constant or NaN in a run; check mask and files")
    values = np.concatenate(means)[:, ~bad].astype(np.float32)
    responses = Responses(values, trials, targets[~bad].reset_index(drop=True), "z")
    return ContinuousRuns(responses, _repeats(responses, heard, ~bad), presentations, int(bad.sum()))


def continuous_problems(study: Study, events: pd.DataFrame) -> list[Problem]:
    """Say which events no recording has, and which recordings no event: an error, as both are misspelt runs."""
    problems, shown = [], set(events["run"])
    for subject, files in study.recordings.items():
        assert isinstance(files, RunFiles)
        silent = [run for run in files.files if run not in shown]
        if silent and shown:
            what = f"{listed(silent)}: no event is of such a run; the table has {listed(sorted(shown))}: use one name"
            problems.append(Problem(f"recordings.{subject}.files", what))
    if lost := sorted(shown - set(recorded_runs(study))):
        problems.append(Problem("stimuli", f"{listed(lost)}: nobody was recorded in these runs; left out", "warning"))
    return problems


def recorded_runs(study: Study) -> list[str]:
    """List the runs that any subject was recorded in."""
    return list(dict.fromkeys(run for files in study.recordings.values() for run in getattr(files, "files", {})))


def outside_problems(subject: str, runs: ContinuousRuns, events: pd.DataFrame) -> list[Problem]:
    """Say where events lie beyond the end of their run, onsets in other units, or two runs hold the same numbers."""
    rows = runs.responses.trials.groupby("run")["onset_s"]
    first, last = ({str(run): float(at) for run, at in times.items()} for times in (rows.min(), rows.max()))
    problems = _copied_runs(subject, runs)
    heard = {str(run): float(at) for run, at in events.groupby("run")["onset_s"].max().items() if str(run) in last}
    if heard and all(first[run] < at < IDLE * last[run] for run, at in heard.items()):
        run, at = next(iter(heard.items()))
        what = f"every run goes on long after its last event ({at:g} s beside {last[run]:g} s); correct tr_s, or "
        problems.append(Problem("stimuli", f"{what}give onsets in seconds, if these are in volumes", "warning"))
    for name, onsets in events.groupby("run")["onset_s"]:
        run, where = str(name), f"recordings.{subject}.files.{name}"
        if run in first and onsets.max() < first[run]:
            what = f"no event is left when its first row begins ({onsets.max():g} s beside {first[run]:g} s); "
            problems.append(Problem(where, f"{what}correct first_row_s, trim_s or onsets, in seconds"))
        if run in last and (share := float((onsets > last[run] + min(20, last[run])).mean())) > 0.05:
            what = f"{share:.0%} of its events begin after its end ({onsets.max():g} s beside {last[run]:g} s); "
            idle = [other for other, at in heard.items() if at < IDLE * last[other]]
            cut = share < MOST_CUT and not idle
            if idle:
                what += f"{listed(idle)} {'goes' if len(idle) == 1 else 'go'} on long after the last event: "
                what += "correct the names, where they are exchanged, or "
            what += "right where the recording was cut short, else " if cut else ""
            what += "give onsets in seconds from the start of the run"
            problems.append(Problem(where, what, "warning" if cut else "error"))
    return problems


def _copied_runs(subject: str, runs: ContinuousRuns) -> list[Problem]:
    """Say which runs, or presentations of a run, hold the same numbers: what is tested would be trained on."""
    digests: dict[bytes, str] = {}
    problems = []
    parts = [(runs.responses, runs.responses.trials["run"])]
    if runs.repeats is not None:
        trials = runs.repeats.trials
        parts.insert(0, (runs.repeats, trials["run"] + " (presentation " + trials["repeat"].astype(str) + ")"))
    for responses, labels in parts:
        for name in labels.unique():
            if runs.presentations.get(name, 1) > 1:  # their mean, beside them
                continue
            other = digests.setdefault(sha256(responses.values[(labels == name).to_numpy()].tobytes()).digest(), name)
            if other == name:
                continue
            what = f"{other} and {name} hold the same numbers, one a copy of the other; name the file of each"
            problems.append(Problem(f"recordings.{subject}.files", what))
    return problems


def _repeats(responses: Responses, heard: Mapping[str, Sequence[Values]], kept: NDArray[np.bool_]) -> Responses | None:
    """Return every presentation of the runs that have several as trials of their own; None where no run has."""
    if not heard:
        return None
    once = {run: responses.trials[responses.trials["run"] == run] for run in heard}
    parts = [once[run].assign(repeat=k + 1) for run in heard for k in range(len(heard[run]))]
    trials = pd.concat(parts, ignore_index=True)
    trials["trial_id"] = trials["trial_id"] + "_" + trials["repeat"].astype(str)
    values = np.concatenate([values[:, kept] for run in heard for values in heard[run]])
    return replace(responses, values=values, trials=trials)


def _array_targets(study: Study, files: RunFiles) -> pd.DataFrame:
    first = study.locate(files.paths[0], "files")
    n_targets = array_shapes(first)[files.array_of(first, next(iter(files.files)))][-1]
    table = None if files.targets is None else study.locate(files.targets, "targets")
    found = formats.target_table(table, n_targets, "parcel" if files.slow else "sensor", study.placed(files.atlas))
    check_rows(table, len(found), first, n_targets, "give a row per target", "targets")
    return found


def _read_run(
    study: Study, files: RunFiles, run: str, part: Path | dict[str, Path], targets: pd.DataFrame | None
) -> tuple[list[Values], pd.DataFrame]:
    """Read a file (or one per hemisphere) as (n_rows, n_targets), an array per presentation; `targets` as before."""
    place = study.placed(part)
    if files.kind == "arrays":
        assert targets is not None
        name = files.array_of(place, run)
        values = stored_arrays(place, [name])[name]
        axes = 3 if name == files.repeats else 2
        if values.ndim != axes or values.shape[-1] != len(targets) or values.dtype.kind not in "iuf":
            wanted = f"({'presentations, ' if axes == 3 else ''}rows, {len(targets)} targets)"
            raise BrainalignError(
                f"{place}: an array of {values.dtype} and shape {values.shape}, where {wanted} of numbers are wanted; "
                f"turn it, or name another with {'repeats' if axes == 3 else 'key'}"
            )
        return list(np.asarray(values, dtype=np.float32).reshape(-1, *values.shape[-2:])), targets
    first = place["L"] if files.right else place
    if files.kind == "recordings":
        assert files.sfreq_hz is not None
        values, own = formats.read_raw_run(place, study.continuous.raw, files.sfreq_hz, files.start_event)
    else:
        _check_clock(first, files)
        mask, rois, meshes = (study.placed(getattr(files, name)) for name in ("mask", "rois", "surfaces"))
        values, own = formats.read_brain_maps(place, mask, rois, None, files.space or None, meshes)
    if targets is not None and not own["target_id"].equals(targets["target_id"]):
        raise BrainalignError(
            f"{first}: has {len(own):,} targets where the files before have {len(targets):,}, or others; give runs of "
            "one space"
        )
    return [values], own if targets is None else targets


def _check_clock(path: Path, files: RunFiles) -> None:
    """Raise where the header of a file, or the sidecar beside it, says another time from row to row."""
    image = load_image_file(path)
    zooms, unit = [0.0, 0.0, 0.0, 0.0], "sec"
    if files.kind == "volumes":
        zooms, unit = image.header.get_zooms(), image.header.get_xyzt_units()[1]
    elif files.kind == "grayordinates":
        axis = formats.cifti_axis(path, image, 0)
        zooms[3] = axis.step if getattr(axis, "unit", "") == "SECOND" else 0.0
    sidecar = path.with_name(re.sub(r"\.((dtseries\.)?nii(\.gz)?|(func\.)?gii|mgh)$", ".json", path.name))
    told = read_json(sidecar).get("RepetitionTime", 0.0) if sidecar.exists() else 0.0
    with naming(str(path)):
        check_repetition_time(files.step_s, zooms, unit)
        check_repetition_time(files.step_s, [0.0, 0.0, 0.0, told if isinstance(told, int | float) else 0.0], "sec")


def _confounds(study: Study, files: RunFiles, run: str, n_shown: int, n_rows: int) -> list[pd.DataFrame]:
    """Return the confounds of every presentation of a run, a row per row; none where there are none."""
    found = []
    for path in study.placed(files.confounds_of(run)):
        table = formats.read_confounds(path, study.continuous.confounds)
        check_rows(path, len(table), "the run", n_rows, "give a row per volume")
        found.append(table)
    if found and len(found) != n_shown:
        raise BrainalignError(f"{path}: {len(found)} confounds of {n_shown} presentations of {run}; give one for each")
    return found


def run_drifts(rows: pd.DataFrame, step_s: float, detrend: str, high_pass_hz: float) -> list[NDArray[np.float64]]:
    """Compute what is no response in a run: slow drifts and confounds, a basis for each presentation that has its own.

    `rows` are those of one run, of the trials that `read_continuous` returns; the rest is as for `slow_drifts`.
    Features lose the mean over presentations of what each of these takes out, as mean responses have.
    """
    drifts = slow_drifts(len(rows), step_s, detrend, high_pass_hz)
    own = [str(name) for name in rows if str(name).startswith(CONFOUND) and rows[name].notna().all()]
    bases = []
    for _, names in groupby(sorted(own, key=_presentation), key=_presentation):
        confounds = rows[list(names)].to_numpy(dtype=np.float64)
        confounds = confounds - drifts @ (drifts.T @ confounds)
        norms = np.linalg.norm(confounds, axis=0)
        left, sizes, _ = np.linalg.svd(confounds[:, norms > 1e-9] / norms[norms > 1e-9], full_matrices=False)
        bases.append(np.column_stack([drifts, left[:, sizes > 1e-6]]))
    return bases or [drifts]


def _presentation(confound: str) -> str:
    return confound.split()[1]


def slow_drifts(n_rows: int, step_s: float, detrend: str, high_pass_hz: float) -> NDArray[np.float64]:
    """Compute an orthonormal basis (n_rows, n) of what is no response in a run: the mean, a line, and slow cosines.

    It is taken out of responses and of features alike: what one side alone has lost would only lower r. Cosines of k /
    2 cycles per run that are slower than `high_pass_hz` (0 for none) take part, of rows `step_s` seconds apart.
    """
    time = (np.arange(n_rows) + 0.5) / n_rows
    parts = [np.ones(n_rows), *([time] if detrend == "linear" else [])]
    parts += [np.cos(np.pi * k * time) for k in range(1, int(2 * n_rows * step_s * high_pass_hz) + 1)]
    return np.asarray(np.linalg.qr(np.stack(parts, axis=1))[0])


def _cleaned(values: Values, drifts: NDArray[np.float64]) -> tuple[Values, NDArray[np.bool_]]:
    """Return rows without drifts, z-scored, and which targets are broken or constant (zeros there)."""
    broken, flat = formats.bad_voxels(np.asarray(values.T, dtype=np.float32), np.zeros(len(values)))
    bad = broken | flat
    clean = np.asarray(np.where(bad, 0, values), dtype=np.float64)
    clean -= clean.mean(axis=0)  # first: a large mean leaves rounding errors
    clean -= drifts @ (drifts.T @ clean)
    sd = clean.std(axis=0)
    return (clean / np.where(sd > 0, sd, 1)).astype(np.float32), bad
