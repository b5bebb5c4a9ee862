"""Folders of stories and films: runs of responses that go on, with words, sounds or frames."""

import importlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

from brainalign.checks import listed
from brainalign.commands.init import lab as labs
from brainalign.commands.init import unpack
from brainalign.commands.init.lab import ARRAYS, CIFTI, Lab
from brainalign.commands.init.standards import NOT_SHOWN
from brainalign.commands.init.volumes import header_step, mask_and_regions
from brainalign.io import array_shapes, reading
from brainalign.study import table_column

FAST_HZ = 64.0  # that raw recordings are brought to: beyond, stories say little


def describe_story(lab: Lab) -> dict[str, Any] | None:
    """Describe runs of responses that go on in time, with tables of words, transcripts, sounds or films."""
    tables, transcripts = lab.words(), lab.transcripts()
    heard = transcripts or lab.ending(*labs.SOUNDS, *labs.FILMS)
    runs = list(dict.fromkeys(table_column(lab.folder / tables[0], "run") if tables else [at.stem for at in heard]))
    volumes = lab.volumes()[0]
    raws = [path for path in lab.ending(*labs.RAW) if path.suffix != ".fif" or path.stem.endswith("raw")]
    data = [*lab.ending(*ARRAYS, *CIFTI), *volumes, *raws] or unpack.unpack_series(lab, runs)
    run_of = {path: run for path in data for run in runs if re.search(labs.as_word(run), path.name.split(".")[0])}
    recordings: dict[str, Any] = {}
    people = labs.by_subject([*run_of], runs)
    for name, of in people.items():
        presented: dict[str, list[str]] = {}
        for path in of:
            presented.setdefault(run_of[path], []).append(str(path))
        if len(presented) < 2:
            continue
        files: dict[str, Any] = {run: at if len(at) > 1 else at[0] for run, at in presented.items()}
        recordings[name] = recording = {"format": "runs", "files": _pattern(lab, of, files)}
        if {*of} <= {*volumes}:
            recording |= mask_and_regions(lab, name, people)
        elif of[0].name.lower().endswith(ARRAYS):
            units = lab.units()
            recording |= {"targets": str(labs.files_of_subject(name, units, people)[0])} if units else {}
            shapes = [array_shapes(lab.folder / path) for path in of]
            if any(len(arrays) > 1 for arrays in shapes):
                recording["key"] = min(shapes[0], key=lambda array: len(shapes[0][array]))
                repeats = sorted({array for arrays in shapes for array, shape in arrays.items() if len(shape) == 3})
                recording |= {"repeats": repeats[0]} if repeats else {}
    if not recordings:
        return None
    first, started, signals = next(iter(run_of)), dict[str, str](), dict[str, Any]()
    if first in raws:
        rate, begins = _heads(lab, [path for path in run_of if path in raws])
        step, known = f"{min(rate, FAST_HZ):g} Hz", f"recorded at {rate:g} Hz"
        if begins:
            asked = f"stimuli begin at which of {listed(begins, 5)}"
            started["start_event"] = lab.answer("recordings", asked, "" if begins[1:] else begins[0])
        band = lab.answer("continuous", "frequencies in Hz that are kept of raw recordings", "0.5 15")
        signals["raw"] = {"band_hz": [*map(float, band.split())]}
    elif first.name.lower().endswith(ARRAYS):
        step, known = _step_of_rows(lab, first, tables), ""
    else:
        step, known = header_step(lab.folder / first)
    more = f" ({known})" if known else ""
    clock = lab.answer("recordings", f"seconds from row to row, or samples per second as 64 Hz{more}", step)
    step_s = {"sfreq_hz" if "Hz" in clock else "tr_s": float(clock.removesuffix("Hz"))}
    recordings = {name: files | step_s | started for name, files in recordings.items()}
    words = next(iter([*tables, *(path.parent for path in transcripts)]), None)
    if not words:  # where sounds or films were enough to tell the runs
        told = [*lab.rename_columns("onset_s"), *unpack.unpack_words(lab)]
        words = next((path for path in told if path in lab.words()), None)
        worded = [] if words else [*lab.tables("word"), *lab.tables("text")]
        for path in [path for path in worded if path not in lab.tables("stimulus_id")][:1]:
            lab.remark("recordings", f"{path} is not read: call its columns onset_s, word and run (as responses are)")
    for kind, endings in (("sounds", labs.SOUNDS), ("films", labs.FILMS)):
        found = {path.stem: path for path in lab.ending(*endings)}
        if found.keys() >= set(runs):
            signals[kind] = _pattern(lab, [found[run] for run in runs], {run: str(found[run]) for run in runs})
    if "films" in signals:
        signals["fps"] = float(lab.answer("continuous", "frames of films per second that models see", "2"))
    study: dict[str, Any] = {"stimuli": str(words)} if words else {}
    study |= {"continuous": signals} if signals else {}
    n = len(table_column(lab.folder / words, "run")) if words in lab.words() else 0
    rows = {name: [shape[:1] for shape in array_shapes(lab.folder / name).values()] for name in lab.ending(".npy")}
    models = {name: of for name, of in lab.vectors().items() if (n,) in rows.get(Path(of["file"]), [])}
    study |= {"recordings": recordings, "splits": {"runs": {"leave_out": "run"}}}
    study |= {"encode": {"n_components": 50}} if words and first in raws else {}  # at all delays more would take days
    return study | ({"models": models} if models else {})


def _step_of_rows(lab: Lab, path: Path, words: list[Path]) -> str:
    """Return the seconds from row to row of an array, or its samples per second; empty where neither is likely.

    Of volumes 2 s is usual; rows that go on for much longer than words are samples.
    """
    rate = lab.clock(path)[0]
    if rate:
        return f"{rate:g} Hz" if rate > 5 else f"{1 / rate:g}"
    ends = [float(cell) for cell in table_column(lab.folder / words[0], "onset_s")] if words else []
    n_rows = max(shape[-2] for shape in array_shapes(lab.folder / path).values() if shape[1:])
    return "" if ends and n_rows > 5 * max(ends) else "2"


def _heads(lab: Lab, raws: list[Path]) -> tuple[float, list[str]]:
    """Return samples per second of raw recordings, and annotations that each of them has once."""
    mne: Any = importlib.import_module("mne")
    heads = []
    for path in raws:
        with reading(lab.folder / path, "no recording that MNE reads", "copy it again, with the files beside it"):
            heads.append(mne.io.read_raw(lab.folder / path, verbose="error"))
    counts = [Counter(map(str, raw.annotations.description)) for raw in heads]
    once = [name for name, n in counts[0].items() if n == 1 and not NOT_SHOWN.fullmatch(name)]
    return float(heads[0].info["sfreq"]), [name for name in once if all(of[name] == 1 for of in counts)]


def _pattern(lab: Lab, paths: list[Path], files: dict[str, Any]) -> Any:
    """Write files that are called like their runs, and lie alone in a folder, as one pattern."""
    ending = paths[0].name.partition(".")[2]
    pattern = paths[0].with_name(f"*.{ending}")
    alone = {path for path in lab.files if path.match(str(pattern)) and path.parent == paths[0].parent} == {*paths}
    return str(pattern) if alone and {path.name for path in paths} == {f"{run}.{ending}" for run in files} else files
