"""ZuCo 1 and 2: EEG of people who read sentences, from the MATLAB files of the releases."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice, check_named, listed
from brainalign.datasets import sentences
from brainalign.datasets.published.zuco_files import count_sentences, read_sentences
from brainalign.io import temporary_sibling

RECORDED_HZ = 500.0
ELECTRODES = 105  # the last one is the reference, against which it is zero
SHORTEST_S, LONGEST_S = 0.5, 10.0
NAME = re.compile(r"results([A-Za-z0-9]+)_([A-Za-z0-9]+)\.mat")
REFERENCE = f"channel {ELECTRODES} is not zero, and was left out as the reference all the same"


def read_zuco(
    folder: Path | str,
    *,
    dataset: str,
    subjects: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    unmatched: Literal["drop", "keep", "raise"] = "drop",
    typos: Mapping[str, str] = sentences.TYPOS,
    signals: Path | str | None = None,
) -> sentences.TextRecordings:
    """Read the EEG of sentences: 104 channels at 128 samples per second, padded to (128, 1280), and their texts.

    A trial is dropped, and counted in the ledger, where it has no text or no EEG, NaN or infinite samples, a channel
    without signal, another number of channels, or lasts less than .5 s or more than 10 s.

    Parameters
    ----------
    folder : path
        Holds results<SUBJECT>_<TASK>.mat, in any folder below it; files of MATLAB 5 and 7.3 are told by their content.
    dataset : str
        Name of the release, such as "zuco1": texts that occur in two of them are found by it.
    subjects, tasks : sequences of str, optional
        Read only these, for example ["ZAB"] and ["SR", "NR"].
    tables : mapping of DataFrame, optional
        Sentences and labels by task, from `read_task_table`. A sentence that differs in less than 5 % of its characters
        from one of the table is that one: the table's text and labels are used.
    unmatched : {"drop", "keep", "raise"}
        What to do with sentences that are not in the table of their task.
    typos : mapping
        See `clean_text`.
    signals : path, optional
        Write the signals into this .npy file instead of into memory (all of ZuCo are 15 GB); they are read from there.

    Returns
    -------
    TextRecordings
        In µV as released.

    Raises
    ------
    BrainalignError
        If there is no such file, subject or task, a file cannot be read, or no trial is left.

    References
    ----------
    Hollenstein N et al. (2018). ZuCo, a simultaneous EEG and eye-tracking resource for natural sentence reading.
    Scientific Data 5:180291. doi:10.1038/sdata.2018.291
    Hollenstein N et al. (2020). ZuCo 2.0: a dataset of physiological recordings during natural reading and annotation.
    LREC, 138-146. arXiv:1912.00903
    """
    check_choice("unmatched", unmatched, ("drop", "keep", "raise"))
    files = _find(Path(folder), subjects, tasks)
    check_named("tables", sorted({task for _, task in files}), tables or {}, "task", "name one of these")
    most = sum(count_sentences(path) for path in files.values())
    store = _Store(most, None if signals is None else Path(signals))
    mask = np.zeros((most, sentences.N_SAMPLES), dtype=bool)
    rows: list[dict[str, Any]] = []
    ledger: list[tuple[Any, ...]] = []
    for (subject, task), path in files.items():
        start = len(rows)
        for row, (content, raw) in enumerate(read_sentences(path)):
            text = sentences.clean_text(content, typos)
            here = (dataset, subject, task, row, text)
            reason = _unusable(text, raw)
            if reason:
                ledger.append((*here, reason, False))
                continue
            if raw[-1].any():
                ledger.append((*here, REFERENCE, True))
            mask[len(rows), : store.write(len(rows), raw[:-1])] = True
            rows.append({"text": text, "dataset": dataset, "subject": subject, "task": task, "row": row})
        if tables is not None and task in tables:
            kept, new, lost = _labelled(rows[start:], tables[task], unmatched, path)
            store.keep(start, kept)
            mask[start : start + len(kept)] = mask[start:][kept]
            mask[start + len(kept) :] = False
            rows[start:], ledger = new, ledger + lost
    if not rows:
        reasons = pd.Series([entry[5] for entry in ledger]).value_counts()
        found = "; ".join(f"{n} x {reason}" for reason, n in reasons.items()) or "the files are empty"
        raise BrainalignError(f"{folder}: none of {most} trials can be used ({found}); check the files")
    notes = pd.DataFrame(ledger, columns=list(sentences.LEDGER)).astype({"kept": bool})
    return sentences.TextRecordings(store.finish(len(rows)), mask[: len(rows)], _table(rows), ELECTRODES - 1, notes)


def _find(folder: Path, subjects: Sequence[str] | None, tasks: Sequence[str] | None) -> dict[tuple[str, str], Path]:
    if not folder.is_dir():
        raise BrainalignError(f"{folder}: no such folder; give the one the release was downloaded to")
    files: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.rglob("results*.mat")):
        found = NAME.fullmatch(path.name)
        if found is None:
            continue
        key = found[1], found[2]
        if key in files:
            remedy = "keep one, and read ZuCo 1 and 2 from folders of their own (join_recordings puts them together)"
            raise BrainalignError(f"{path} and {files[key]} are the same subject and task; {remedy}")
        files[key] = path
    if not files:
        raise BrainalignError(f"{folder}: no results<SUBJECT>_<TASK>.mat; give the folder with 'Matlab files'")
    for name, place, wanted in (("subject", 0, subjects), ("task", 1, tasks)):
        known = sorted({key[place] for key in files})
        check_named(folder, known, wanted or (), name, "ask for these")
        files = {key: path for key, path in files.items() if wanted is None or key[place] in wanted}
    if not files:
        raise BrainalignError(f"{folder}: no file of subjects {subjects} and tasks {tasks}; ask for others")
    return files


def _unusable(text: str, raw: NDArray[Any]) -> str:
    """Return why a trial cannot be used, or an empty string."""
    if not text:
        return "no text"
    if raw.size <= 1:
        return "no EEG (empty or a single NaN)"
    if raw.dtype.kind not in "fiu" or raw.ndim != 2 or raw.shape[0] != ELECTRODES:
        return f"EEG of {raw.shape[0]} channels, not {ELECTRODES}" if raw.ndim == 2 else "EEG of another shape"
    if not np.isfinite(raw).all():
        return "NaN or infinite samples"
    seconds = raw.shape[1] / RECORDED_HZ
    if seconds < SHORTEST_S:
        return f"shorter than {SHORTEST_S:g} s"
    if seconds > LONGEST_S:
        return f"longer than {LONGEST_S:g} s"
    return "a channel without signal" if (np.ptp(raw[:-1], axis=1) == 0).any() else ""


def _labelled(
    rows: list[dict[str, Any]], table: pd.DataFrame, unmatched: str, path: Path
) -> tuple[NDArray[np.intp], list[dict[str, Any]], list[tuple[Any, ...]]]:
    """Match rows to the table: the rows that stay, these with its text and labels, and the ledger of the others."""
    found = sentences.match_texts([row["text"] for row in rows], table["text"].tolist())
    missing = np.flatnonzero(found["row"] < 0)
    if len(missing) and unmatched == "raise":
        shown = [f"row {rows[k]['row']}: {rows[k]['text'][:40]!r}" for k in missing]
        raise BrainalignError(
            f"{path}: {len(missing)} sentences are not in the table of the task ({listed(shown)}); correct their texts "
            "with typos=, or set unmatched to drop or keep"
        )
    columns = [str(name) for name in table if name not in ("stimulus_id", *rows[0])] if rows else []
    kept, new, lost = [], [], []
    for place, (row, match, similarity) in enumerate(zip(rows, found["row"], found["similarity"], strict=True)):
        if match < 0 and unmatched == "drop":
            entry = [row[name] for name in ("dataset", "subject", "task", "row", "text")]
            lost.append((*entry, "not in the table of the task", False))
            continue
        labels = {name: table[name].iloc[match] if match >= 0 else "" for name in columns}
        text = {"text": table["text"].iloc[match]} if match >= 0 else {}
        kept.append(place)
        new.append(row | text | {"matched": similarity} | labels)
    return np.array(kept, dtype=np.intp), new, lost


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    ids = table["dataset"] + "-" + table["subject"] + "-" + table["task"] + "-" + table["row"].astype(str).str.zfill(3)
    table.insert(0, "trial_id", ids)
    table.insert(1, "stimulus_id", [sentences.text_id(text) for text in table["text"]])
    table.insert(3, "sha256", [sentences.text_hash(text) for text in table["text"]])
    repeat = table.groupby(["dataset", "subject", "stimulus_id"]).cumcount() + 1
    return table.assign(session="1", run=table["task"], repeat=repeat, onset_s=np.nan)


class _Store:
    """Signals that arrive one by one, in memory or in a .npy file made for all that may come."""

    def __init__(self, most: int, path: Path | None) -> None:
        self.path, shape = path, (most, sentences.N_CHANNELS, sentences.N_SAMPLES)
        self.values: NDArray[np.float32]
        if path is None:
            self.values = np.zeros(shape, dtype=np.float32)
        else:
            self.partial = temporary_sibling(path)
            self.values = np.lib.format.open_memmap(self.partial, mode="w+", dtype=np.float32, shape=shape)

    def write(self, row: int, raw: NDArray[Any]) -> int:
        """Resample a trial through its Fourier transform, write it and return its number of samples."""
        from scipy.signal import resample

        n_samples = int(np.rint(raw.shape[1] * sentences.RATE_HZ / RECORDED_HZ))
        self.values[row] = 0
        self.values[row, : len(raw), :n_samples] = resample(raw.astype(np.float64), n_samples, axis=1)
        return n_samples

    def keep(self, start: int, rows: NDArray[np.intp]) -> None:
        """Move the chosen rows, counted from `start`, up to there."""
        for place, row in enumerate(rows.tolist()):
            self.values[start + place] = self.values[start + row]

    def finish(self, n: int) -> NDArray[np.float32]:
        if self.path is None:
            return self.values[:n]
        shape = self.values.shape
        self.values.flush()  # type: ignore[attr-defined]
        del self.values
        with open(self.partial, "r+b") as file:
            # numpy pads its header so that the first axis can change in place.
            np.lib.format.write_array_header_1_0(
                file, {"shape": (n, *shape[1:]), "fortran_order": False, "descr": "<f4"}
            )
            file.truncate(file.tell() + 4 * n * shape[1] * shape[2])
        os.replace(self.partial, self.path)
        return np.load(self.path, mmap_mode="r")
