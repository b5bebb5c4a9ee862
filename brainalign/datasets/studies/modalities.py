"""Recordings of the same images in several modalities: read, checked against each other, and against leaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_columns, check_finite, check_rows, check_unique, listed
from brainalign.datasets.formats import as_ids, copied_trials, copy_problems, fingerprint
from brainalign.datasets.problems import Problem
from brainalign.datasets.published import read_things_epochs
from brainalign.io import read_numbers, read_parquet, read_text_table
from brainalign.study import ArrayRecordings, Study, ThingsRecordings

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class ModalityData:
    """A study as read.

    Attributes
    ----------
    stimuli : DataFrame (n_stimuli)
        stimulus_id, split, and what else the table has.
    vectors : array (n_stimuli, n_dimensions) or None
    signals : dict of array (n_trials, n_channels, n_times) or (n_trials, n_voxels), float32
        Subjects with fewer voxels are padded by zeros.
    trials : dict of DataFrame (n_trials)
        stimulus_id, subject, split, task ("viewing").
    """

    stimuli: pd.DataFrame
    vectors: Values | None
    signals: dict[str, Values]
    trials: dict[str, pd.DataFrame]


def read_modalities(study: Study) -> ModalityData:
    """Read a study."""
    files = study.found_files()
    stimuli = _table(files["stimuli"], ("stimulus_id", "split"))
    vectors = None
    if "vectors" in files:
        place = files["vectors"]
        vectors = _array(place)
        check_rows(str(place), len(vectors), "the table of stimuli", len(stimuli), "give one vector per row")
        check_finite("image vectors", vectors, "embed those images again")
    check_modality_splits(stimuli, vectors)
    split_of = stimuli.set_index("stimulus_id")["split"]
    recorded: dict[str, list[tuple[str, Values, list[str]]]] = {}
    for name, one in study.recordings.items():
        assert isinstance(one, ArrayRecordings | ThingsRecordings)
        paths = study.found_files(name)
        read = _things(one, paths) if isinstance(one, ThingsRecordings) else _arrays(name, paths)
        recorded.setdefault(one.modality, []).extend(read)
    signals, trials = {}, {}
    for name, of_subjects in recorded.items():
        parts, tables = [], []
        for subject, values, ids in of_subjects:
            if unknown := sorted(set(ids) - set(split_of.index)):
                raise BrainalignError(
                    f"{name} of {subject}: {len(unknown)} images are not in {study.stimuli} "
                    f"({listed(unknown)}); add them with their split"
                )
            parts.append(values)
            table = pd.DataFrame({"stimulus_id": ids, "subject": subject, "task": "viewing"})
            tables.append(table.assign(split=split_of.loc[ids].to_numpy()))
        signals[name] = _stacked(name, parts)
        check_finite(f"recordings of {name}", signals[name], "drop those trials or channels")
        trials[name] = pd.concat(tables, ignore_index=True)
        if missing := [split for split in ("train", "test") if not (trials[name]["split"] == split).any()]:
            raise BrainalignError(f"recordings of {name}: no trials of split(s) {listed(missing)}; both are needed")
    return ModalityData(stimuli, vectors, signals, trials)


def modality_copies(data: ModalityData) -> list[Problem]:
    """Say which trials of a modality have the same signals: an error where they are on two sides of the split."""
    problems = []
    for name, trials in data.trials.items():
        numbers = list(range(len(trials)))
        places = ("subject " + trials["subject"].astype(str)).tolist()
        pairs = copied_trials({"": fingerprint(data.signals[name], numbers, places)})
        sides = [pd.DataFrame({"trial_id": numbers, "split": trials["split"], "fold": 0})]
        problems += copy_problems(pairs, f"recordings of {name}", sides)
    return problems


def check_modality_splits(stimuli: pd.DataFrame, vectors: Values | None = None) -> None:
    """Stop where training knows something of a test or validation image.

    Parameters
    ----------
    stimuli : DataFrame
        stimulus_id, split; where known concept and sha256.
    vectors : array (n_stimuli, n_dimensions), optional
        Two images with the same vector are the same picture.

    Raises
    ------
    BrainalignError
        If a stimulus is in two splits or listed twice, the same picture is in two splits, or a concept of the test
        images is in train or val; the rows (counted from 0) are named.
    """
    if odd := sorted(set(stimuli["split"]) - set(SPLITS)):
        raise BrainalignError(f"splits of stimuli must be among {', '.join(SPLITS)}; got {listed(odd)}")
    if "concept" in stimuli:
        held = stimuli["split"].map({"train": "train", "val": "train", "test": "test"})
        _one_split("concept", stimuli["concept"].to_numpy(), held, "leave concepts of test images out of train and val")
    _one_split("stimulus", stimuli["stimulus_id"], stimuli["split"], "give every image one row and one split")
    if "sha256" in stimuli:
        _one_split("picture", stimuli["sha256"], stimuli["split"], "keep repeats of an image in one split")
    if vectors is not None:
        same = np.array([row.tobytes() for row in np.ascontiguousarray(vectors)], dtype=object)
        _one_split("picture (equal vectors)", same, stimuli["split"], "keep repeats of an image in one split")
    check_unique("the table of stimuli", stimuli["stimulus_id"])


def _one_split(what: str, keys: Any, splits: "pd.Series[Any]", remedy: str) -> None:
    table = pd.DataFrame({"key": pd.factorize(np.asarray(keys))[0], "split": splits.to_numpy()})
    several = table.groupby("key")["split"].nunique()
    leaks = several.index[several > 1]
    if len(leaks):
        rows = [f"{np.flatnonzero(table['key'] == key).tolist()}" for key in leaks]
        names = ", ".join(sorted(set(table["split"][table["key"].isin(leaks)])))
        raise BrainalignError(f"{len(leaks)} {what}(s) are in several splits ({names}): rows {listed(rows)}; {remedy}")


def _arrays(subject: str, files: Mapping[str, Path]) -> list[tuple[str, Values, list[str]]]:
    values = _array(files["signals"])
    ids = _table(files["trials"], ("stimulus_id",))["stimulus_id"].tolist()
    if values.ndim not in (2, 3):
        raise BrainalignError(
            f"recordings.{subject}: signals of shape {values.shape} must be (n_trials, n_channels, n_times) or "
            "(n_trials, n_voxels)"
        )
    check_rows(f"recordings.{subject}: signals", len(values), "its table of trials", len(ids), "give one row per trial")
    return [(subject, values, ids)]


def _things(recorded: ThingsRecordings, files: Mapping[str, Path]) -> list[tuple[str, Values, list[str]]]:
    found = []
    for subject in recorded.participants:
        published = read_things_epochs(
            files["folder"],
            subject,
            release="eeg2" if recorded.format == "things_eeg2" else "meg",
            images=files["images"],
            trust_pickle=recorded.trust_pickle,
            hashes=False,
        )
        responses = published.responses
        found.append((subject, np.asarray(responses.values), responses.trials["stimulus_id"].tolist()))
    return found


def _stacked(name: str, parts: list[Values]) -> Values:
    """Return all subjects, voxels padded to the largest number."""
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1 and any(len(shape) == 2 for shape in shapes):
        raise BrainalignError(
            f"recordings of {name}: subjects have trials of shapes {listed(sorted(shapes))}; select the same "
            "channels and times"
        )
    if len(shapes) > 1:
        n = max(shape[0] for shape in shapes)
        parts = [np.pad(part, ((0, 0), (0, n - part.shape[1]))) for part in parts]
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])


def _array(path: Path) -> Values:
    arrays = read_numbers(path)
    if len(arrays) != 1:
        raise BrainalignError(f"{path} holds {len(arrays)} arrays ({listed(list(arrays))}); give a file with one")
    return np.asarray(next(iter(arrays.values())))


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    table = read_parquet(path) if path.suffix == ".parquet" else read_text_table(path)
    check_columns(path, table, columns)
    return table.assign(stimulus_id=as_ids(table["stimulus_id"]))
