"""The same recording twice: equal files, and equal signals under other names, in other containers or only in part.

A trial is known by up to 256 of its values. Of a time series the mean and the line of every channel are taken away
first, since slow drift makes neighbouring trials alike. With z the values in units of each target's spread within
recordings (σ, from quartiles, so that a huge artefact does not count), two trials are copies where

    √ mean (z_a − z_b)² < 0.01

Noise of its own puts √2 there, and conversion between float32, int16 and text far less than 0.01. Pairs are searched
for in 16 random projections, so that the cost grows with the number of trials and not of pairs.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_rows, listed
from brainalign.datasets.formats.bids import find_series
from brainalign.datasets.formats.trials import read_table
from brainalign.datasets.problems import Problem
from brainalign.io import file_digest
from brainalign.study import BidsFiles, SeriesFiles, Study, ZucoFiles

MOST_VALUES = 256  # of a trial that are compared
LEAST_DIFFERENT = 8  # values of a trial, for equality to say anything: counts of few spikes agree by chance
ALIKE = 0.01  # σ
N_PROJECTIONS = 16
BLOCK_VALUES = 1 << 19  # read at a time: 4 MB in float64, of which taking lines away holds three
FLOAT32_ROUNDING = 2.0**-24
EDGE_BYTES = 1 << 16
# Fields of subjects that hold recordings.
MEASURED = ("bold", "betas", "values", "epochs", "recordings", "neural", "signals")
SIGNAL_FILES = (".edf", ".bdf", ".vhdr", ".eeg", ".set", ".fif", ".mat", ".npy")  # what a folder holds of them


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of the trials of one recording, subject or set.

    Attributes
    ----------
    values : array (n_trials, n_values), float32
    trials : array (n_trials,)
        Their ids.
    places : array (n_trials,)
        Where each was recorded: a run, a recording.
    shape : tuple of int
        Of a whole trial; only those of one shape are compared.
    """

    values: NDArray[np.float32]
    trials: NDArray[Any]
    places: NDArray[Any]
    shape: tuple[int, ...]


def fingerprint(values: Any, trials: Sequence[Any], places: Sequence[Any]) -> Fingerprint:
    """Keep some values of every trial.

    Values (n_trials, n_targets) or (n_trials, n_channels, n_times) may lie on disk: they are read by blocks of rows.
    Trials and places (n_trials) are the id, and the run or recording, of each.
    """
    check_rows("trials", len(trials), "values", len(values), "give the id of every trial")
    check_rows("places", len(places), "values", len(values), "give the run of every trial")
    shape = tuple(int(n) for n in np.shape(values)[1:])
    chosen = _chosen(shape)
    parts = [np.zeros((0, len(chosen)), dtype=np.float32)]
    n_rows = max(1, BLOCK_VALUES // max(1, int(np.prod(shape))))
    for start in range(0, len(values), n_rows):
        block = np.asarray(values[start : start + n_rows])
        if len(shape) > 1 and shape[-1] > 2:
            line = np.linspace(-1, 1, block.shape[-1])  # of each series, taken off like its mean
            block = block - block.mean(axis=-1, keepdims=True, dtype=np.float64)
            block = block - (block @ line / (line @ line))[..., None] * line
        parts.append(block.reshape(len(block), -1)[:, chosen].astype(np.float32))
    return Fingerprint(np.concatenate(parts), np.asarray(trials, dtype=object), np.asarray(places, dtype=object), shape)


def response_copies(responses: Responses, where: str, sides: Sequence[pd.DataFrame] | None = None) -> list[Problem]:
    """Say which trials of some responses have the same signals; see `copy_problems`."""
    return copy_problems(copied_trials({"": of_responses(responses)}), where, sides)


def of_responses(responses: Responses) -> Fingerprint:
    """Keep some values of every trial of some responses."""
    trials = responses.trials
    people = trials["subject"].astype(str) + " " if "subject" in trials else ""
    places = people + "session " + trials["session"].astype(str) + " run " + trials["run"].astype(str)
    return fingerprint(responses.values, trials["trial_id"].tolist(), places.tolist())


def _chosen(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Choose the values of a trial that are kept: the same ones for all trials of a shape."""
    n = int(np.prod(shape))
    if n <= MOST_VALUES:
        return np.arange(n)
    return np.sort(np.random.default_rng(n).choice(n, MOST_VALUES, replace=False))


def copied_trials(parts: Mapping[str, Fingerprint]) -> pd.DataFrame:
    """Return every pair of trials whose signals are equal, in parts by subject or any name.

    Columns are part_a, place_a, trial_a, part_b, place_b, trial_b.
    """
    columns = ["part_a", "place_a", "trial_a", "part_b", "place_b", "trial_b"]
    found = [pd.DataFrame(columns=columns)]
    for shape in dict.fromkeys(part.shape for part in parts.values()):
        alike = {name: part for name, part in parts.items() if part.shape == shape}
        values = np.concatenate([part.values for part in alike.values()])
        names = np.concatenate([np.full(len(part.trials), name, dtype=object) for name, part in alike.items()])
        places, trials = (np.concatenate([getattr(part, of) for part in alike.values()]) for of in ("places", "trials"))
        pairs = _pairs(values, pd.MultiIndex.from_arrays([names, places]).factorize()[0])
        sides = {"a": pairs[:, 0], "b": pairs[:, 1]}
        found.append(
            pd.DataFrame(
                {
                    f"{field}_{side}": of[rows]
                    for side, rows in sides.items()
                    for field, of in (("part", names), ("place", places), ("trial", trials))
                }
            )
        )
    return pd.concat(found, ignore_index=True)[columns]


def _pairs(values: NDArray[np.float32], groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the pairs (n, 2) of rows that are equal; rows that hold too little are left out."""
    from scipy.spatial import cKDTree

    rich = np.flatnonzero([len(np.unique(row[np.isfinite(row)])) >= LEAST_DIFFERENT for row in values])
    values, groups = values[rich], groups[rich]
    if len(values) < 2:
        return np.zeros((0, 2), dtype=np.intp)
    recordings = [values[groups == group] for group in np.unique(groups)]
    # Of each value over the trials of a recording, the median over recordings; of a trial each, between them.
    spread = np.median([_spread(rows) for rows in recordings if len(rows) > 1] or [_spread(values)], axis=0)
    used = spread > 0
    if used.sum() < LEAST_DIFFERENT:
        return np.zeros((0, 2), dtype=np.intp)
    z = np.nan_to_num(values[:, used] / spread[used], posinf=0, neginf=0)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (z.shape[1], N_PROJECTIONS)) / np.sqrt(z.shape[1])
    radius = 2 * ALIKE * np.sqrt(N_PROJECTIONS)  # twice, as projections are distances only on average
    near = cKDTree(z @ signs).query_pairs(radius, output_type="ndarray")
    equal = np.concatenate(
        [np.zeros(0, dtype=bool)]
        + [
            np.square(z[some[:, 0]] - z[some[:, 1]]).mean(axis=1) < ALIKE**2
            for some in np.array_split(near, 1 + near.shape[0] * z.shape[1] // BLOCK_VALUES)
        ]
    )
    pairs = np.sort(near[equal], axis=1)
    return np.asarray(rich[pairs[np.lexsort(pairs.T[::-1])]])


def _spread(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute each column's spread robustly: interquartile range / 1.349, or the sd where that is only rounding."""
    rows = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns that hold one number or none, whose spread is 0
        deviation = np.nanstd(rows, axis=0, ddof=1)
        # The outer neighbours of the quartiles, so that a pair of equal trials among three has a spread.
        quantile = np.nanquantile if np.isnan(rows).any() else np.quantile  # the former takes columns one by one
        low, high = quantile(rows, 0.25, axis=0, method="lower"), quantile(rows, 0.75, axis=0, method="higher")
    middle = (high - low) / 1.349
    return np.nan_to_num(np.where(middle > FLOAT32_ROUNDING * deviation, middle, deviation))


def copy_problems(pairs: pd.DataFrame, where: str, sides: Sequence[pd.DataFrame] | None = None) -> list[Problem]:
    """Say which signals are there twice; an error where one copy may train what is tested on the other.

    Parameters
    ----------
    pairs : DataFrame
        From `copied_trials`.
    where : str
    sides : sequence of DataFrame (trial_id, split, fold), optional
        The splits: pairs on two sides of a fold are an error, others a warning. Where none are given, any two places
        of one part may be on two sides, as when recordings are left out in turn.
    """
    if not len(pairs):
        return []
    apart, problems = _on_two_sides(pairs, sides), []
    for (part_a, place_a, part_b, place_b, split), some in pairs.assign(split=apart).groupby(
        ["part_a", "place_a", "part_b", "place_b", "split"], sort=False
    ):
        one, other = (f"{part} {place}".strip() for part, place in ((part_a, place_a), (part_b, place_b)))
        named = listed([f"{a} = {b}" for a, b in zip(some["trial_a"], some["trial_b"], strict=True)])
        both = f"within {one}" if one == other else f"of {one} and of {other}"
        why = ", and one copy trains what is tested on the other" if split else ""
        problems.append(
            Problem(
                where,
                f"{len(some)} pairs of trials {both} have the same signals ({named}){why}; a recording seems to be "
                "there twice: leave one copy out",
                "error" if split else "warning",
                tuple(dict.fromkeys([*map(str, some["trial_a"]), *map(str, some["trial_b"])])),
            )
        )
    return problems


def _on_two_sides(pairs: pd.DataFrame, sides: Sequence[pd.DataFrame] | None) -> NDArray[np.bool_]:
    if sides is None:
        return np.asarray(pairs["part_a"] == pairs["part_b"])
    apart = np.zeros(len(pairs), dtype=bool)
    for table in sides:
        for _, fold in table.groupby([name for name in ("name", "fold") if name in table]):
            side = fold.drop_duplicates("trial_id").set_index("trial_id")["split"]
            a, b = (pairs[column].map(side) for column in ("trial_a", "trial_b"))
            apart |= (a.notna() & b.notna() & (a != b)).to_numpy()
    return apart


def copied_files(files: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Return the pairs of names whose files hold the same bytes; only files of one size are read.

    `files` are called by any names; folders are passed over.
    """
    alike = [[name for name, path in files.items() if path.is_file() and path.stat().st_size]]
    for key in (lambda path: path.stat().st_size, _edges, file_digest):
        alike = [same for names in alike for same in _equal(names, files, key)]
    return [(same[0], other) for same in alike for other in same[1:]]


def _equal(names: Sequence[str], files: Mapping[str, Path], key: Callable[[Path], Any]) -> list[list[str]]:
    """List groups of two or more names whose files have the same key."""
    groups = pd.Series(names, dtype=object).groupby([key(files[name]) for name in names], sort=False).agg(list)
    return [group for group in groups if len(group) > 1]


def _edges(path: Path) -> str:
    """Return a digest of the beginning, the middle and the end of a file: files that differ mostly differ there."""
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        for start in (0, size // 2, max(0, size - EDGE_BYTES)):
            file.seek(start)
            digest.update(file.read(EDGE_BYTES))
    return digest.hexdigest()


def copied_recordings(descriptor: Study, subject: str | None = None) -> list[Problem]:
    """Say which recordings of a study are the same file: an error within a subject, else a warning.

    Tables, masks and lists of what was shown may be the same for all. Files that are missing are left to the readers.
    With `subject` only what concerns this one.
    """
    owners: dict[str, str] = {}
    files: dict[str, Path] = {}
    for owner, name, path in _recorded(descriptor):
        owners[name], files[name] = owner, path
    problems = []
    for one, other in copied_files(files):
        if subject is not None and subject not in (owners[one], owners[other]):
            continue
        # People are left out as wholes where traits are predicted: a copy there is on both sides.
        stops = owners[one] == owners[other] or descriptor.data_type == "series"
        what = f"{files[other]} holds the same bytes as {files[one]} ({one}); correct the path, or leave one out"
        problems.append(Problem(other, what, "error" if stops else "warning"))
    return problems


def _recorded(study: Study) -> Iterator[tuple[str, str, Path]]:
    """Yield owner, name and place of every file that holds a recording and is there: copies within an owner stop."""
    for subject, files in {} if study.is_simulated else study.recordings.items():
        with suppress(BrainalignError):
            if isinstance(files, SeriesFiles):
                yield from ((str(path), f"recordings.{subject}: {path}", path) for path in _series(study, files))
                continue
            for label, path in study.input_files(subject).items():
                if label.split(".")[0] in MEASURED and ": " not in label:
                    yield subject, f"recordings.{subject}.{label}", path
                elif isinstance(files, ZucoFiles) and path.suffix == ".mat":
                    yield f"{subject} {label}", f"recordings.{subject}.{label}", path
            if isinstance(files, BidsFiles):
                root = study.found_files(subject)["root"]
                for path in sorted({path for pattern in files.signals for path in root.glob(pattern)}):
                    if path.suffix in SIGNAL_FILES:  # no sidecars
                        yield subject, f"recordings.{subject}: {path.name}", path


def _series(study: Study, files: SeriesFiles) -> Iterator[Path]:
    """Yield the files of series that are read: not the sidecars, masks and other tasks that derivatives hold."""
    if files.derivatives is None or files.scans is None:
        named = set(study.found_files().values())
        yield from (path for path in study.inputs() if path not in named)
        return
    folder, scans = study.locate(files.derivatives, "derivatives"), files.scans
    for subject in dict.fromkeys(read_table(study.locate(files.people, "people")).astype(str).get("subject", [])):
        with suppress(BrainalignError):
            name = subject.removeprefix("sub-")
            runs = find_series(folder, name, task=scans.task, space=scans.space, kind=scans.kind)
            yield from (run.bold for run in runs)
