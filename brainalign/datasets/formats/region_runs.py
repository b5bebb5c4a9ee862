"""Runs of many people as one array, with what is known of people and regions: what a study of region series reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_columns, check_finite, check_named, check_rows, listed
from brainalign.datasets.formats.bids import find_series
from brainalign.datasets.formats.copies import copied_trials, copy_problems, fingerprint
from brainalign.datasets.formats.fmriprep import MOTION
from brainalign.datasets.formats.region_series import read_region_series
from brainalign.datasets.formats.trials import read_table
from brainalign.datasets.problems import Problem
from brainalign.io import read_numbers
from brainalign.study import SeriesFiles, Study

LEAST_FRAMES = 20
SPLITS = {"", "train", "test"}
KEYS = ("subject", "session", "run")
NO_NETWORK = "all"


@dataclass(frozen=True)
class RegionRuns:
    """Region series of many people.

    Attributes
    ----------
    series : array (n_runs, n_frames, n_regions) of float32
        Detrended and z-scored per run; all as long as the shortest.
    people : DataFrame (n_runs)
        subject, run, split ("", "train" or "test"), n_frames (as read), and the labels.
    regions : DataFrame (n_regions)
        region_id, network ("all" where no atlas of networks is given).
    tr_s : float
    dropped : list of str
        Regions without a usable series in some run.
    """

    series: NDArray[np.float32]
    people: pd.DataFrame
    regions: pd.DataFrame
    tr_s: float
    dropped: list[str]


def read_region_runs(descriptor: Study) -> RegionRuns:
    """Read what a descriptor names: a table of series per run, or derivatives of fMRIPrep and an atlas.

    Raises BrainalignError if a file is missing or malformed, runs have other regions or repetition times, a label is no
    column, series are not finite or constant, or `check_sides` raises.
    """
    name, files = next(iter(descriptor.recordings.items()), ("", None))
    if not isinstance(files, SeriesFiles):
        raise BrainalignError(f"{descriptor.name}: no recordings of format series; there are no files to read")
    paths = descriptor.found_files(name)
    table = read_table(paths["people"]).astype(str)
    check_columns(files.people, table, ["subject", *([] if files.derivatives else ["path"]), *files.labels])
    if table.empty:
        raise BrainalignError(f"{files.people} has no rows; give one per run")
    if wrong := sorted(set(table.get("split", [])) - SPLITS):
        raise BrainalignError(f"{files.people}: split is {wrong[0]!r} in some row; write train, test or nothing")
    names: list[str] | None = None
    dropped: list[str] = []
    if files.derivatives is None:
        runs = [_read_run(descriptor.locate(Path(path), f"recordings.{name}.people: path")) for path in table["path"]]
        tr_s, people = float(files.tr_s or 0), table.drop(columns="path")
        named = [found for _, found in runs if found is not None]
        names = named[0] if named else None
        if other := [k for k, (_, found) in enumerate(runs) if found != runs[0][1]]:
            remedy = "give all runs the same columns"
            raise BrainalignError(f"{table['path'][other[0]]} names other regions than {table['path'][0]}; {remedy}")
        values: list[NDArray[Any]] = [found for found, _ in runs]
    else:
        scanned, people, names, tr_s, dropped = _scanned(paths, files, table)
        values = list(scanned)
    widths = {len(one.T) for one in values}
    if len(widths) > 1:
        raise BrainalignError(f"runs have {listed(sorted(widths))} regions; use one parcellation for all")
    regions = _regions(paths.get("regions"), names, widths.pop())
    if "run" not in people:
        people.insert(1, "run", (people.groupby("subject").cumcount() + 1).astype(str))
    if "split" not in people:
        people["split"] = ""
    check_sides(people)
    people["n_frames"] = [len(one) for one in values]
    shortest = min(len(one) for one in values)
    if shortest < LEAST_FRAMES:
        raise BrainalignError(f"the shortest run has {shortest} frames; {LEAST_FRAMES} are needed: leave it out")
    series = []
    for k, one in enumerate(values):
        series.append(detrended(one[:shortest], f"subject {people['subject'].iloc[k]}, run {people['run'].iloc[k]}"))
    kept = ["subject", "run", "split", "n_frames", *files.labels]
    return RegionRuns(np.stack(series), people[kept].reset_index(drop=True), regions, tr_s, dropped)


def check_sides(people: pd.DataFrame) -> None:
    """Raise where runs cannot be parted into training and test by subjects.

    Raises BrainalignError if split is given for some runs only, a subject is on both sides, a side has no run, or there
    is one subject. `people` has a row per run: subject, and split, which is "" in every row where a share of the
    subjects is to be drawn.
    """
    given = people["split"] != ""
    if given.any() and not given.all():
        raise BrainalignError("split is given for some runs only; write train or test in every row, or in none")
    sides = people.groupby("subject")["split"].nunique()
    if both := sides.index[sides > 1].tolist():
        remedy = "give all runs of a subject one split"
        raise BrainalignError(f"{len(both)} subjects are in both train and test ({listed(both)}); {remedy}")
    n_test = int((people["split"] == "test").sum())
    if given.any() and n_test in (0, len(people)):
        raise BrainalignError(f"{n_test} of {len(people)} runs are tested; both sides need some")
    if len(sides) < 2:
        raise BrainalignError("all runs are of one subject; both sides need some: give two subjects or more")


def detrended(values: NDArray[np.floating[Any]], who: str = "the run") -> NDArray[np.float32]:
    """Return a run (n_frames, n_regions) without linear trend, z-scored.

    Raises BrainalignError if values are not finite, or a region is constant.
    """
    check_finite(f"the series of {who}", values, "leave out these regions or the run")
    line = np.linspace(-1, 1, len(values))[:, None]
    own = values - values.mean(axis=0)
    own = own - line * (line * own).sum(axis=0) / (line**2).sum()
    sd = own.std(axis=0)
    flat = np.flatnonzero(sd <= 1e-10 * np.maximum(np.abs(values).max(axis=0), 1e-300))
    if len(flat):
        raise BrainalignError(f"{who}: regions {listed(flat.tolist())} (from 0) are constant; leave them out")
    return np.asarray(own / sd, dtype=np.float32)


def series_copies(study: RegionRuns) -> list[Problem]:
    """Say which runs have the same series: an error where they are of two subjects, or on two sides of the split."""
    people = study.people
    names = [f"subject {subject} run {run}" for subject, run in zip(people["subject"], people["run"], strict=True)]
    numbers = list(range(len(names)))
    pairs = copied_trials({"": fingerprint(study.series.swapaxes(1, 2), numbers, names)})
    # Subjects are left out as wholes, whatever the split says.
    sides = [pd.DataFrame({"trial_id": numbers, "split": people[name], "fold": 0}) for name in ("subject", "split")]
    return copy_problems(pairs, "recordings", sides)


def _read_run(path: Path) -> tuple[NDArray[np.float64], list[str] | None]:
    """Return a run (n_frames, n_regions), and its regions where the file names them."""
    if path.suffix == ".npy":
        values, names = read_numbers(path)[""], None
    else:
        table = read_table(path)
        numbers = table.apply(pd.to_numeric, errors="coerce")
        values, names = numbers.to_numpy(dtype=np.float64), [str(name) for name in table.columns]
    if values.ndim != 2 or not values.size:
        raise BrainalignError(f"{path}: has shape {values.shape}; give frames by regions")
    return np.asarray(values, dtype=np.float64), names


def _scanned(
    paths: Mapping[str, Path], files: SeriesFiles, table: pd.DataFrame
) -> tuple[list[NDArray[np.float32]], pd.DataFrame, list[str], float, list[str]]:
    options, folder = files.scans, paths["derivatives"]
    assert options is not None  # the descriptor has checked it
    found = [
        file
        for subject in dict.fromkeys(table["subject"].str.removeprefix("sub-"))
        for file in find_series(folder, subject, task=options.task, space=options.space, kind=options.kind)
    ]
    study = read_region_series(
        found,
        paths["scans.atlas"],
        names=paths.get("scans.names"),
        confounds=MOTION if options.confounds is None else options.confounds,
        **options.model_dump(include={"high_pass_hz", "low_pass_hz", "skip_frames", "bad_regions"}),
    )
    tr_s = study.runs["tr_s"].to_numpy(dtype=float)
    if np.ptp(tr_s) > 1e-3:
        raise BrainalignError(f"runs have repetition times of {tr_s.min():g} to {tr_s.max():g} s; use those of one")
    known = table.assign(subject=table["subject"].str.removeprefix("sub-"))
    keys = [name for name in KEYS if name in known]
    twice = known[known.duplicated(keys)]
    if len(twice):
        raise BrainalignError(f"{files.people}: {twice['subject'].iloc[0]} is there twice; tell rows apart by run")
    scans = study.runs[["subject", "session", "run"]]
    people = scans.merge(known, on=keys, how="left", suffixes=("", "_of_table"), indicator=True)
    missing = people[people["_merge"] != "both"]
    if len(missing):
        first = missing.iloc[0]
        raise BrainalignError(f"{files.people} has no row for subject {first['subject']}, run {first['run']}; add it")
    people["run"] = people["session"] + "." + people["run"]
    regions, dropped = study.regions["region_id"].tolist(), list(dict.fromkeys(study.dropped["region_id"]))
    return study.series, people.drop(columns=["_merge", "session"]), regions, float(tr_s[0]), dropped


def _regions(path: Path | None, names: list[str] | None, n: int) -> pd.DataFrame:
    if path is None:
        return pd.DataFrame({"region_id": names or [f"region-{k + 1}" for k in range(n)], "network": NO_NETWORK})
    table = read_table(path).astype(str)
    check_columns(path, table, ("region_id", "network"))
    if names is None:
        check_rows(str(path), len(table), "the series", n, "give one row per region, in the order of the series")
        return table[["region_id", "network"]]
    by = table.drop_duplicates("region_id").set_index("region_id")["network"]
    check_named(path, by.index, names, "network of region", "add the other regions of the series")
    return pd.DataFrame({"region_id": names, "network": by.loc[names].tolist()})
