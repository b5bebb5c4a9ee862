"""Events in the files that annotation programs write, a file per run: TextGrid of Praat, CTM, SRT, or tables.

Of all of them come onset_s, duration_s and caption; intervals without text, or with a mark of silence, are left out.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from brainalign.checks import BrainalignError, check_choice, listed
from brainalign.datasets.formats import read_table
from brainalign.io import MISSING, open_text, read_lines, reading
from brainalign.study import table_columns

Events = list[tuple[float, float, str]]
COLUMNS, ONSETS = ["onset_s", "duration_s", "caption"], {"onset", "onset_s"}
SYNONYMS = {"story": "run", "onset": "onset_s", "duration": "duration_s", "text": "caption", "word": "caption"}
# Of a TextGrid, long or short: texts in quotation marks (doubled inside), and numbers that are no index in brackets.
PIECES = re.compile(r'"((?:[^"]|"")*)"|(?<![\w.\[])([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.\]])')
# Marks of aligners for what is no word: silence, breaths, noises of lips and mouth, ends of sentences.
MARKS = {"sp", "sil", "<sil>", "<eps>", "<p:>", "br", "lg", "ls", "ns", "cg", "ig", "sentence_start", "sentence_end"}
ARROW = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*(\d+):(\d\d):(\d\d)[,.](\d{1,3})")


def read_event_files(folder: Path, tier: str | None = None) -> pd.DataFrame:
    """Read the events of every run from a folder: run (the name of its file), onset_s, duration_s, caption.

    Files are .TextGrid, .ctm, .srt, .tsv or .csv, one per run. The tier of TextGrids that holds the events is "words"
    or "word", or the only tier of intervals, where not given.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in FILES)
    told = [path for path in files if FILES[path.suffix.lower()] != _table or ONSETS & {*table_columns(path)}]
    if not (files := told or files):  # beside which tables of people, or of models, may lie
        raise BrainalignError(f"{folder}: no file of events ({', '.join(FILES)}); name runs by one each")
    stems = [path.stem for path in files]
    if twice := [path.name for path in files if stems.count(path.stem) > 1]:
        raise BrainalignError(f"{folder}: {listed(twice)} are of one run; keep one file per run")
    parts = []
    for path in files:
        part = FILES[path.suffix.lower()](path, tier)
        if part.empty:
            raise BrainalignError(f"{path}: holds no event with a text; leave the file out, or name another tier")
        parts.append(part.assign(run=path.stem))
    return pd.concat(parts, ignore_index=True)


def read_bids_events(folder: Path, runs: Sequence[str]) -> pd.DataFrame:
    """Read the events of every run from the *_events.tsv of a BIDS dataset.

    Runs are entities that the names of files have, such as task-story_run-1. A file at the root holds for all runs of
    its task.
    """
    named = {path: set(path.stem.removesuffix("_events").split("_")) for path in sorted(folder.rglob("*_events.tsv"))}
    parts = []
    for run in runs:
        wanted = set(run.split("_"))
        files = [path for path, entities in named.items() if wanted <= entities]
        files = files or [path for path, entities in named.items() if entities <= wanted]
        if not files:
            raise BrainalignError(f"{folder}: no *_events.tsv of {run}; write when each word or image was shown")
        if len({path.read_bytes() for path in files}) > 1:
            raise BrainalignError(
                f"{folder}: {listed([path.name for path in files])} differ, but {run} is one run for all; describe "
                "subjects who were shown other stimuli as studies of their own"
            )
        part = read_table(files[0])
        texts_of = [column for column in ("text", "word") if column in part]
        parts.append(usual_names(part[~part[texts_of].isin(MISSING).any(axis=1)] if texts_of else part).assign(run=run))
    return pd.concat(parts, ignore_index=True)


def usual_names(table: pd.DataFrame) -> pd.DataFrame:
    """Name the columns of events as they are called here; where that name is there too, the synonym is left out."""
    for name, usual in SYNONYMS.items():
        table = table.drop(columns=name, errors="ignore") if usual in table else table.rename(columns={name: usual})
    return table


def _textgrid(path: Path, tier: str | None) -> pd.DataFrame:
    with reading(path, "no TextGrid", "save it from Praat as UTF-8 or UTF-16"), open_text(path) as file:
        text = file.read()
        pieces = [(name.replace('""', '"') if number == "" else float(number)) for name, number in PIECES.findall(text)]
        tiers: dict[str, Events] = {}
        place = pieces.index("TextGrid") + 3  # after it the times of the whole
        n_tiers, place = int(pieces[place]), place + 1
        for _ in range(n_tiers):
            kind, name, n = str(pieces[place]), str(pieces[place + 1]), int(pieces[place + 4])
            width, place = (3, place + 5) if kind == "IntervalTier" else (2, place + 5)
            rows = [pieces[place + k * width : place + (k + 1) * width] for k in range(n)]
            place += n * width
            if width == 3:
                tiers[name] = [(float(a), float(b) - float(a), str(c)) for a, b, c in rows]
            else:
                tiers[name] = [(float(a), 0.0, str(c)) for a, c in rows]
    usual = [name for name in tiers if name.lower() in ("words", "word")] or ([*tiers] if len(tiers) == 1 else [])
    if tier is None and len(usual) != 1:
        remedy = "say which with continuous.tier, or write words.tsv (run, onset_s, duration_s, text) with those of all"
        raise BrainalignError(f"{path}: has the tiers {listed([*tiers])}; {remedy}")
    chosen = usual[0] if tier is None else tier
    check_choice("continuous.tier", chosen, tiers)
    return _spoken(tiers[chosen])


def _ctm(path: Path, _: str | None) -> pd.DataFrame:
    with reading(path, "no CTM file", "write lines like: file channel start duration word"):
        lines = [line.split() for line in read_lines(path)]
        return _spoken([(float(of[2]), float(of[3]), of[4]) for of in lines if of and not of[0].startswith(";;")])


def _srt(path: Path, tier: str | None) -> pd.DataFrame:
    events: Events = []
    with reading(path, "no SRT file", "write blocks of number, 00:00:01,000 --> 00:00:02,500 and text"):
        for block in re.split(r"\n\s*\n", "\n".join(read_lines(path)).strip()):
            _, times, *texts = block.split("\n")
            h, m, s, ms, h2, m2, s2, ms2 = map(int, ARROW.fullmatch(times.strip()).groups())  # type: ignore[union-attr]
            start, stop = 3600 * h + 60 * m + s + ms / 1000, 3600 * h2 + 60 * m2 + s2 + ms2 / 1000
            events.append((start, stop - start, " ".join(texts)))
    return _spoken(events)


def _table(path: Path, _: str | None) -> pd.DataFrame:
    return usual_names(read_table(path))


def _spoken(events: Events) -> pd.DataFrame:
    """Make a table of the events with a text; marks such as sp or {BR} are none."""
    rows = [(onset, duration, text.strip()) for onset, duration, text in events]
    return pd.DataFrame([row for row in rows if row[2] and row[2].strip("{}").lower() not in MARKS], columns=COLUMNS)


FILES: dict[str, Callable[[Path, str | None], pd.DataFrame]] = {
    ".textgrid": _textgrid,
    ".ctm": _ctm,
    ".srt": _srt,
    ".tsv": _table,
    ".csv": _table,
}
