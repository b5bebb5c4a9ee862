"""EEG of sentences as a descriptor asks for it: trials with their texts, sensors, a split by text, what leaks."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_columns, check_named, check_rows, listed
from brainalign.datasets import sentences
from brainalign.datasets.formats import empty_lists
from brainalign.datasets.problems import Problem
from brainalign.datasets.published import read_zuco
from brainalign.io import read_parquet, read_text_table
from brainalign.study import Study, ZucoFiles

SIDES = ("train", "val", "test")
UNUSED = "left out"
ORDER = "order of reading"  # where a problem lies that blocks left out would show


def read_sentence_study(descriptor: Study) -> tuple[Responses, sentences.TextRecordings]:
    """Read every release of a descriptor.

    Returns
    -------
    Responses
        Recorded channels by samples up to the longest sentence, 0 after the end of each (trials have n_samples).
    TextRecordings
        The same with the ledger of what was dropped.
    """
    typos, parts = {**sentences.TYPOS, **descriptor.sentences.typos}, []
    for name, release in descriptor.recordings.items():
        assert isinstance(release, ZucoFiles)
        paths = descriptor.found_files(name)
        tables = {
            task: sentences.read_task_table(
                paths[f"tables.{task}.path"],
                columns=None if table.columns is None else list(table.columns),
                text_column=table.text_column,
                typos=typos,
            )
            for task, table in release.tables.items()
        }
        asked: dict[str, Any] = release.model_dump(include={"subjects", "tasks", "unmatched"})
        parts.append(read_zuco(paths["folder"], dataset=name, tables=tables or None, typos=typos, **asked))
    read = sentences.join_recordings(parts)
    lengths = read.mask.sum(axis=1)
    trials = sentence_trials(descriptor, read.sentences.assign(n_samples=lengths, trial_index=read.sentences["row"]))
    times = np.arange(int(lengths.max())) / sentences.RATE_HZ
    values = read.signals[:, : read.n_channels, : len(times)]
    return Responses(values, trials, sentence_sensors(descriptor, read.n_channels), read.units, times), read


def sentence_trials(descriptor: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """Return a table of trials with the label that will be told, and blocks, where the descriptor asks for them."""
    label = descriptor.sentences.label
    if label is not None:
        check_columns("sentences.label: the table of sentences", trials, [label], "name one of these")
        if values := sorted(set(trials[label].fillna("").astype(str)) - {""} - set(descriptor.sentences.labels)):
            remedy = "give some for every value"
            raise BrainalignError(f"sentences.labels: no sentences say {listed(values)} of {label!r}; {remedy}")
        trials = trials.assign(label=trials[label].fillna("").astype(str))
    if descriptor.sentences.block_size is not None:
        trials = trials.assign(block=sentences.order_blocks(trials, descriptor.sentences.block_size))
    return trials


def sentence_sensors(descriptor: Study, n_channels: int) -> pd.DataFrame:
    """Return a row per channel, with its place on the head where names and a montage are given."""
    names = list(descriptor.sentences.channels or [f"E{k + 1:03d}" for k in range(n_channels)])
    check_rows("sentences.channels", len(names), "the EEG", n_channels, "give one name each", "channels")
    table = pd.DataFrame({"target_id": names, "kind": "sensor", "hemi": "", "sensor_type": "eeg"})
    places = np.full((n_channels, 3), np.nan)
    if descriptor.sentences.montage is not None:
        from mne.channels import make_standard_montage

        try:
            known = make_standard_montage(descriptor.sentences.montage).get_positions()["ch_pos"]
        except ValueError as error:
            raise BrainalignError(f"sentences.montage: {error}; see mne.channels.get_builtin_montages") from error
        remedy = "correct channels, or name another montage"
        check_named(f"sentences.montage: {descriptor.sentences.montage}", known, names, "channel", remedy)
        places = 1000 * np.array([known[name] for name in names])
    table[["x_mm", "y_mm", "z_mm"]] = places
    return table.assign(eog=table["target_id"].isin(descriptor.sentences.eog), roi=empty_lists(len(table)))


def sentence_splits(descriptor: Study, trials: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return a row per trial with its side: split by text, or as a table of the lab says.

    Raises
    ------
    BrainalignError
        If the table lacks a column, names other sides, or leaves out trials.
    """
    options = descriptor.sentences.split
    if options.table is None:
        shares = {"test": options.test, "val": options.val, "similarity": options.similarity}
        return sentences.make_text_split(trials, **shares, seed=seed)
    path = descriptor.locate(options.table, "sentences.split.table")
    given = read_parquet(path) if path.suffix == ".parquet" else read_text_table(path)
    check_columns(path, given, ("trial_id", "split"))
    if set(given["split"]) - {*SIDES, UNUSED} or set(SIDES) - set(given["split"]):
        known = f"it must be each of {listed(SIDES)}, and {UNUSED!r} for trials that take no part"
        raise BrainalignError(f"{path}: split is {listed(sorted(set(given['split'])), 5)}; {known}")
    if lost := sorted(set(trials["trial_id"]) - set(given["trial_id"])):
        raise BrainalignError(f"{path}: {len(lost)} trials have no side ({listed(lost)}); give every trial one")
    texts = trials.drop_duplicates("stimulus_id")
    numbers = dict(
        zip(texts["stimulus_id"], sentences.text_groups(texts["text"].tolist(), options.similarity), strict=True)
    )
    sides = given.loc[given["split"] != UNUSED, ["trial_id", "split"]].merge(
        trials[["trial_id", "stimulus_id"]], on="trial_id", how="left"
    )
    groups = sides["stimulus_id"].map(numbers).fillna(-1).astype(int).astype(str)
    return sides.assign(group=groups, fold=0, seed=seed)[["trial_id", "stimulus_id", "group", "split", "fold", "seed"]]


def split_problems(descriptor: Study, splits: pd.DataFrame, trials: pd.DataFrame, seed: int) -> list[Problem]:
    """Return all by which test sentences reach training; the order of labels only warns where blocks are left out.

    Parameters
    ----------
    descriptor : Study
    splits, trials : DataFrame
    seed : int
        Of the permutations of labels.
    """
    similarity = descriptor.sentences.split.similarity
    found = sentences.text_leakage(splits, trials, similarity=similarity)
    if descriptor.sentences.label is None or any(problem.level == "error" for problem in found):
        return found
    ordered = sentences.text_leakage(splits, trials, similarity=similarity, label="label", seed=seed)
    level: Literal["error", "warning"] = "error" if descriptor.sentences.block_size is None else "warning"
    return [*found, *(Problem(ORDER, one.what, level, one.rows) for one in ordered if one not in found)]
