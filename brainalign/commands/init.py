"""`brainalign init FOLDER`: looks at a lab's folder, asks what it cannot see, and writes one YAML that runs."""

import itertools
import re
import zipfile
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, listed
from brainalign.commands import lab as labs
from brainalign.commands import unpack
from brainalign.commands.lab import ARRAYS, CIFTI, VOLUMES, Ask, Lab
from brainalign.commands.unpack import Shapes, read_table
from brainalign.io import MISSING, array_shapes, load_image_file, read_lines, reading, stored_arrays, writing
from brainalign.study import LONGEST_S, header_step_s, table_column, table_columns, table_rows


def init_study(folder: Path, ask: Ask) -> Path:
    """Write `study.yaml` into a folder, for what lies there; returns where it lies."""
    target = folder / "study.yaml"
    if not folder.is_dir() or target.exists():
        what = "there is a study.yaml already; move it away" if target.exists() else "no such folder; name another"
        raise BrainalignError(f"{folder}: {what}")
    lab = Lab(folder, ask)
    before, found = {*lab.files}, None
    try:
        kept, remarks = before.union(unpack.unpack_people(lab)), {**lab.remarks}
        found = _described(lab)
        lab.remarks = lab.remarks if found else remarks
        for path in () if found else lab.written - kept:  # of a first look, before names were understood
            (folder / path).unlink()
            lab.written.discard(path)
        copies = [] if found else [*unpack.unpack_cells(lab), *unpack.unpack_sets(lab), *unpack.unpack_vectors(lab)]
        copies += [] if found else [*unpack.unpack_words(lab), *unpack.unpack_labels(lab)]
        copies += [] if found else lab.rename_columns("stimulus_id", "target_id", "onset_s")
        copies += [] if found else [*unpack.unpack_people(lab), *unpack.unpack_tables(lab)]
        found = _described(lab) if copies else found
        found = _described(lab) if not found and unpack.unpack_order(lab) else found
    finally:
        for path in () if found else lab.written - before:
            (folder / path).unlink(missing_ok=True)
    if found:
        form, study = found
        name = re.sub(r"[^A-Za-z0-9-]", "-", folder.resolve().name).strip("-") or "study"
        with writing(target):
            target.write_text(_written({"name": name} | study, lab, form))
        return target
    lab = Lab(folder, ask)
    trials = next((path for path in lab.ending(*labs.TABLES) if re.search("trial|design", path.stem)), None)
    columns, hint = [] if trials is None else table_columns(lab.folder / trials), ""
    if columns and "stimulus_id" not in {*columns, *labs.study_names(columns).values()}:
        hint = f" {trials} has the columns {listed(columns, 9)} but no stimulus_id: call that of what was shown so."
    told = {path: str(array_shapes(lab.folder / path)) for path in lab.ending(*ARRAYS)}
    spikes = [path for path, arrays in told.items() if "spike_times" in f"{path.stem} {arrays}"]
    epochs = [path for path, arrays in told.items() if re.search("/trialinfo|ChannelFlag", arrays)]  # of toolboxes
    worded = [path for path in [*lab.tables("word"), *lab.tables("text")] if path not in lab.tables("stimulus_id")]
    worded.sort(key=lambda path: not any(map(labs.ONSET.fullmatch, table_columns(lab.folder / path))))
    silent = [] if hint or lab.tables("stimulus_id") else lab.responses()
    stories = [path for path in silent if re.search("/(stim|feat)", told[path])]
    pickled = [error.partition(": ")[0] for error in lab.unread if "unpickled" in error]
    volumes = [] if lab.volumes()[0] else lab.ending(*VOLUMES)[2:]
    remedies: dict[str, Any] = {
        "Save the trials of {} as epochs of MNE (read_epochs_fieldtrip), or as one array with a trials.tsv": epochs,
        "Save the numbers of {} as .npy, a row per trial": [
            of for of in (() if told else lab.ending(*labs.TABLES)) if lab.holds_vectors(of) and of != trials
        ],
        "Save the sheets of {} as .csv": lab.ending(".xlsx", ".xls", ".ods", ".feather"),
        "Save what each run of {} recorded as RUN.npy, join its features as features.npy, and list its rows in "
        "words.tsv (run, onset_s, duration_s)": stories,
        "Say in trials.tsv (column stimulus_id, one a row) what was shown in the rows of {}": [] if stories else silent,
        "Join {} and its like as features.npy, and list its rows in words.tsv (run, onset_s, duration_s)": [
            of for of in lab.ending(*labs.TABLES, *ARRAYS) if re.search("(?i)feature|envelope|annot|regressor", of.stem)
        ],
        "Call the columns of {} run (as responses are called), onset_s (in seconds) and text": worded,
        "Call {} and its like ..._rdm.csv, and list what they are about in stimuli.csv (stimulus_id)": [
            path
            for path in lab.ending(".csv")
            for first in [table_columns(lab.folder / path)]
            if first[1:] and first[1:] == [row[0] for row in table_rows(lab.folder / path)][1:]
        ],
        "Give {} a column odd, and list its objects in stimuli.csv": [path for path in lab.files if "odd" in str(path)],
        "Save {} anew where you trust it: np.savez('new.npz', **np.load(FILE, allow_pickle=True).item())": pickled,
        "Save the arrays of {} as .npz": lab.ending(".pkl", ".pickle", ".pt", ".pth", ".joblib"),
        "Count the spikes of {} in each trial, as an array of trials x units": spikes or lab.ending(".nwb"),
        "Say what was shown in {}: trials.tsv (stimulus_id, a row per map), ..._events.tsv beside it (onset, duration, "
        "trial_type), or a text with a condition a line for every volume of each run": lab.volumes()[0],
        "Join {} and its like into one file, and list their stimuli in trials.tsv": volumes,
        "Call {} ...hemi-L.func.gii or ...hemi-R.func.gii": [] if lab.ending(*labs.SURFACES) else lab.ending(".gii"),
        "Save epochs of {} by MNE as ...-epo.fif, with metadata, or put it into BIDS": lab.ending(*labs.RAW),
        "Where nothing is shown, list {} and its like in people.tsv (docs/pages/masked_models.md)": [
            path for path in lab.ending(*ARRAYS, ".csv") if re.search("(?i)time_?series|_ts|rest", path.stem)
        ],
        "{}": [error for error in lab.unread if "unpickled" not in error],
    }
    hint += "".join(f" {remedy.format(of[0])}." for remedy, of in remedies.items() if of)
    raise BrainalignError(
        f"{folder}: none of its {len(lab.files)} files is what a study is made of: {'; '.join(FORMS)}.{hint} Name the "
        "folder that holds the data, or write the descriptor by hand (docs/pages/own_data.md)"
    )


def _described(lab: Lab) -> tuple[str, dict[str, Any]] | None:
    """Return the first form that a folder has, and the study of it."""
    return next(((form, study) for form, describe in FORMS.items() if (study := describe(lab))), None)


A_GLM = "estimate a response per trial first, from derivatives of fMRIPrep (docs/pages/fmriprep.md) or by GLMsingle"
MOST_LINES = 15
MARKED = re.compile(r"(?i)(?<![a-z])(?:valid|good|keep|include|exclude|reject|bad|mask)")  # trials that do not count
MOST_CATEGORIES = 12  # that are decoded over time, where nothing says what they look like


def _written(study: dict[str, Any], lab: Lab, form: str) -> str:
    """Write a study with its remarks; a key takes several lines where there is room for them."""
    lines = [f"# {form}; check: brainalign check study.yaml; run: brainalign run study.yaml"]
    lines += [f"# {len(lab.unread)} file(s) left out: {lab.unread[0]}"] if lab.unread else []
    lines += [f"# not read: {listed(idle)}"] if (idle := _idle(lab, study)) else []
    models = "models and " if "models" not in study else ""
    last = f"# {models}methods may follow; without, {'what suits the stimuli, and ' if models else ''}ridge"
    if not {"stimuli", "splits"} & study.keys():
        last = "# decode_times may follow: how categories are decoded, moment by moment"
    flow: Any = partial(yaml.safe_dump, sort_keys=False, default_flow_style=True, width=1_000_000)
    room = MOST_LINES - len(study) - len([*lines, last])
    for key, value in study.items():
        nested = isinstance(value, dict)
        text = yaml.safe_dump({key: value}, sort_keys=False, default_flow_style=None if nested else False, width=10_000)
        first, *more = text.splitlines()
        if nested and len(more) > room:  # a line for each entry, where there is room for that
            first, more = f"{key}:", [f"  {flow({name: entry}).strip()[1:-1]}" for name, entry in value.items()]
        if len(more) > room:
            first, more = f"{key}: {flow(value).strip()}", []
        room -= len(more)
        lines += [first + (f"  # {lab.remarks[key]}" if key in lab.remarks else ""), *more]
    return "\n".join([*lines, last]) + "\n"


def _idle(lab: Lab, study: dict[str, Any]) -> list[str]:
    """List the tables, arrays and maps that neither a study names, itself or by folder or pattern, nor a remark."""
    values: list[Any] = [*study.values()]
    named: set[str] = set()
    while values:
        value = values.pop()
        named |= {value} if isinstance(value, str) else set()
        values += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    patterns, remarks = [name for name in named if "*" in name], " ".join(lab.remarks.values())
    return [
        str(path)
        for path in lab.ending(*labs.TABLES, *ARRAYS, *VOLUMES, ".gii", ".annot", ".mgh")
        if not named & {str(path), *map(str, path.parents)} and not any(map(path.match, patterns))
        if path.name not in remarks and path not in lab.written | lab.used
        if not {str(path.with_suffix(ending)) for ending in VOLUMES} & named  # names of regions
    ]


def _story_of_fmriprep(lab: Lab) -> dict[str, Any] | None:
    """Describe derivatives whose runs have words: one in every event, or tables or transcripts that are called so."""
    bold = _preprocessed(lab)
    events = [path for path in lab.ending("_events.tsv") if {"word", "text"} & set(table_columns(lab.folder / path))]
    told = [path.parent for path in lab.ending(*labs.TRANSCRIPTS)] or [_root(path) for path in events] or lab.words()
    if not bold or not told:
        return None
    spaces = list(dict.fromkeys(match[1] for path in bold if (match := re.search(r"space-([A-Za-z0-9]+)", path.name))))
    which = f"space of the volumes: {', '.join(spaces)}"
    space = {"space": lab.answer("recordings", which, spaces[0])} if len(spaces) > 1 else {}
    shared = {"format": "runs", "derivatives": str(_root(bold[0])), **space}
    recordings = {name: {**shared, "participant": name} for name in labs.by_subject(bold)}
    return {"stimuli": str(told[0]), "recordings": recordings, "splits": {"runs": {"leave_out": "run"}}}


def _preprocessed(lab: Lab) -> list[Path]:
    return [path for path in lab.ending(*VOLUMES) if "desc-preproc_bold" in path.name]


def _root(path: Path) -> Path:
    """Return the folder around those of subjects."""
    inner = re.compile(r"(sub|ses)-.*|func|anat")
    return next(parent for parent in path.parents if not any(map(inner.fullmatch, parent.parts)))


def _fmriprep(lab: Lab) -> dict[str, Any] | None:
    bold, events = labs.of_task(lab, _preprocessed(lab)), lab.ending("_events.tsv")
    if not bold or not events:
        return None
    places, people = [str(_root(path)) for path in (bold[0], events[0])], labs.by_subject(bold)
    columns = table_columns(lab.folder / events[0])
    task = re.search(r"task-([A-Za-z0-9]+)", bold[0].name)
    events = [path for path in events if task is None or f"task-{task[1]}_" in path.name] or events
    key, rows, of_shown = _rows_of_events(lab, events)
    cells = {name: [row[name] for row in rows if row.get(name, "") not in MISSING] for name in columns}
    seen = [*(name for name in columns if labs.are_names(cells[name], lab.shown())), "trial_type", *key]
    several = (name for name in seen if len({row.get(name, "") for row in of_shown} - {*MISSING}) > 2)
    column = "stimulus_id" if "stimulus_id" in columns else next(several, "trial_type")
    shared = {"format": "fmriprep", "derivatives": places[0], "raw": places[1], **({"task": task[1]} if task else {})}
    recordings = {name: shared | {"participant": name} for name in people}
    chosen = lab.answer("glm", f"column of events.tsv that names the stimulus ({', '.join(columns)})", column)
    stimuli = lab.stimuli(cells.get(chosen, ()))
    shown: Any = str(stimuli) if stimuli else _names(lab, cells.get(chosen, []))
    runs = max(len({(path.parent, *labs.RUN.findall(path.name)) for path in of}) for of in people.values())
    glm, splits = {"stimulus_column": chosen}, lab.splits(stimuli, runs)
    return {"stimuli": shown, "recordings": recordings, "glm": glm, "splits": splits}


def _rows_of_events(lab: Lab, paths: list[Path]) -> tuple[list[str], list[dict[str, str]], list[dict[str, str]]]:
    """Return the column of events that names what was shown, if any, all rows, and those of what was shown."""
    key = [old for old, new in labs.study_names(table_columns(lab.folder / paths[0])).items() if new == "stimulus_id"]
    tables = [[*table_rows(lab.folder / path)] for path in paths]
    rows = [dict(zip(header, row, strict=False)) for header, *of in tables for row in of]
    return key, rows, [row for row in rows if key and row.get(key[0], "") not in MISSING] or rows


def _names(lab: Lab, names: list[str]) -> dict[str, Any]:
    """Describe stimuli by their names as texts, where there is neither table nor image of them."""
    for path in lab.ending(".zip"):
        with reading(lab.folder / path, "not a whole .zip file"), zipfile.ZipFile(lab.folder / path) as archive:
            called = {form for of in map(Path, archive.namelist()) for form in (of.name, of.stem)}
        if {*names} & called:
            raise BrainalignError(f"{path} holds what was shown ({listed(sorted({*names} & called))}); unpack it")
    lab.remark("stimuli", "names as texts, say what was shown in words")
    return {name: {"texts": [name.replace("_", " ")]} for name in dict.fromkeys(names)}


def _algonauts(lab: Lab) -> dict[str, Any] | None:
    """Describe the layout of Algonauts 2023, whose images stand in the names of files."""
    inside = re.compile(r"subj(0[1-8])/training_split/training_fmri/")
    people = sorted({match[1] for path in lab.files if (match := inside.match(path.as_posix()))})
    if not people:
        return None
    import pandas as pd

    from brainalign.datasets import read_algonauts_images

    table = pd.concat([read_algonauts_images(lab.folder, name) for name in people]).drop_duplicates("stimulus_id")
    if (shown := Path("stimuli.tsv")) not in lab.files:
        lab.written.add(shown)
        table.to_csv(lab.folder / shown, sep="\t", index=False)
    lab.remarks["recordings"] = "rois: [] reads no regions; trust_pickle: true instead does: their names are pickles"
    shared: dict[str, Any] = {"format": "algonauts", "root": ".", "rois": []}
    recordings = {name: shared | {"participant": name} for name in people}
    return {"stimuli": str(shown), "recordings": recordings, "splits": lab.splits(shown, 1)}


def _epochs(lab: Lab) -> dict[str, Any] | None:
    files = lab.ending("-epo.fif", "_epo.fif", "-epo.fif.gz")
    files = files or [path for path in lab.ending(".set") if "task-" not in path.name]  # of EEGLAB
    if not files:
        return None
    from brainalign.datasets import open_epochs

    first = open_epochs(lab.folder / files[0])
    kinds, trials = first.get_channel_types(unique=True), first.metadata
    key = next((name for name in ("stimulus_id", "category") if trials is not None and name in trials), None)
    people = labs.by_subject(files)
    columns = [] if trials is None or key else [str(name) for name in trials]
    told = [name for name in columns if labs.are_names({*trials[name].astype(str)}, lab.shown())]
    told += [old for old, new in labs.study_names(columns).items() if new == "stimulus_id"]
    if trials is not None and not (key or told):
        has = f"its metadata has the columns {listed([*trials])}, but no stimulus_id and no category"
        raise BrainalignError(f"{files[0]}: {has}; call that of what was shown so and save the epochs again")
    tables = unpack.unpack_metadata(lab, people, told[0]) if told else []
    names = [] if key is None else [*trials[key].astype(str)]
    stimuli: Any = lab.stimuli(names)
    picks = lab.answer("recordings", "sensors: meg, mag, grad or eeg", "eeg" if "eeg" in kinds else "meg")
    several = max(map(len, people.values())) > 1
    recordings = {
        name: {"format": "epochs", "epochs": [str(path) for path in of] if several else str(of[0]), "picks": picks}
        for name, of in people.items()
    }
    if trials is None:
        tables = [unpack.unpack_mixed(lab, path) for path in lab.tables("stimulus_id") if lab.lists_trials(path)]
    for name, recording in recordings.items() if tables else ():
        recording["trials"] = str(table := labs.of_subject(name, tables, people))
        trials = read_table(lab.folder / table)
        names.extend(trials["stimulus_id"])
    known = table_column(lab.folder / stimuli, "stimulus_id") if stimuli else []
    if trials is None or ("stimulus_id" not in trials and not {*names} <= {*known}):
        return {"recordings": recordings}  # categories, decoded over time
    shown = str(stimuli) if stimuli else _names(lab, names)
    runs = trials["run"].nunique() if "run" in trials else 0
    return {"stimuli": shown, "recordings": recordings, "splits": lab.splits(stimuli, runs)}


def _raw(lab: Lab) -> dict[str, Any] | None:
    """Describe raw BIDS recordings of M/EEG, whose events have a category each."""
    files = [path for path in lab.ending(*labs.RAW) if re.search(r"_(meg|eeg)\.", path.name) and "task-" in path.name]
    events = [path for path in lab.files if path.name.endswith("_events.tsv")]
    if not files or not events:
        return None
    files = labs.of_task(lab, files)
    task = str(re.findall(r"task-([A-Za-z0-9]+)", files[0].name)[0])
    events = [path for path in events if f"task-{task}_" in path.name]
    shared = {"format": "bids", "root": str(_root(files[0])), "task": task}
    recordings: dict[str, Any] = {
        name: shared | {"participant": name, **({"datatype": "meg"} if "_meg." in of[0].name else {})}
        for name, of in labs.by_subject(files).items()
    }
    stimuli = lab.stimuli()
    shown = set(table_column(lab.folder / stimuli, "stimulus_id")) if stimuli else set()
    for column in table_columns(lab.folder / events[0]) if shown else ():
        cells = {name for path in events for name in labs.cells_of(lab, path, column)}
        if cells and labs.are_names(cells, lab.shown()):  # of images: encoders predict from what was shown
            named = {"stimulus_column": column}
            if {Path(name).stem for name in cells} <= shown:
                named["names"] = "file stem"
            else:  # in folders, which hold some of the same names
                stimuli = lab.stimuli(cells)
            recordings = {name: files | named for name, files in recordings.items()}
            splits = lab.splits(stimuli, max(map(len, labs.by_subject(files).values())))
            return {"stimuli": str(stimuli), "recordings": recordings, "splits": splits}
    lab.remark("markers", "category of every trial_type; leave out what is none")
    kinds = {name: name for path in events for name in labs.cells_of(lab, path, "trial_type")}
    return {"recordings": recordings, "markers": kinds}


def _story(lab: Lab) -> dict[str, Any] | None:
    tables, transcripts = lab.words(), lab.transcripts()
    words = tables[0] if tables else transcripts[0].parent if transcripts else None
    heard = transcripts or lab.ending(*labs.SOUNDS, *labs.FILMS)
    runs = list(dict.fromkeys(table_column(lab.folder / tables[0], "run") if tables else [at.stem for at in heard]))
    volumes, masks, _ = lab.volumes()
    data = [*lab.ending(*ARRAYS, *CIFTI), *volumes]
    called = {path: run for path in data for run in runs if re.search(labs.as_word(run), path.name.split(".")[0])}
    recordings: dict[str, Any] = {}
    people = labs.by_subject([*called], runs)
    for name, of in people.items():
        parts = {run: [str(path) for path in of if called[path] == run] for run in map(called.__getitem__, of)}
        files: dict[str, Any] = {run: at if at[1:] else at[0] for run, at in parts.items()}  # several are presentations
        if len(files) < 2:
            continue
        recordings[name] = recording = {"format": "runs", "files": _pattern(lab, of, files)}
        if {*of} <= {*volumes} and masks:
            recording["mask"] = str(labs.of_subject(name, masks, people))
        elif of[0].name.lower().endswith(ARRAYS):
            units = lab.units()
            recording |= {"targets": str(labs.of_subject(name, units, people))} if units else {}
            shapes = [array_shapes(lab.folder / path) for path in of]
            key = min(shapes[0], key=lambda array: len(shapes[0][array]))
            others = sorted({array for arrays in shapes for array, shape in arrays.items() if len(shape) == 3})
            several = {"key": key} if any(len(arrays) > 1 for arrays in shapes) else {}
            recording |= several | ({"repeats": others[0]} if several and others else {})
    if not recordings:
        return None
    first = next(iter(called))
    if first.name.lower().endswith(ARRAYS):
        rate, known = lab.clock(first)[0], ""
        step = "2" if not rate else f"{rate:g} Hz" if rate > 5 else f"{1 / rate:g}"
    else:
        step, known = _header_step(lab.folder / first)
    more = f" ({known})" if known else ""
    clock = lab.answer("recordings", f"seconds from row to row, or samples per second as 64 Hz{more}", step)
    step_s = {"sfreq_hz" if "Hz" in clock else "tr_s": float(clock.removesuffix("Hz"))}
    recordings = {name: files | step_s for name, files in recordings.items()}
    if not words:  # where sounds or films were enough to tell the runs
        told = [*lab.rename_columns("onset_s"), *unpack.unpack_words(lab)]
        words = next((path for path in told if path in lab.words()), None)
        worded = [] if words else [*lab.tables("word"), *lab.tables("text")]
        for path in [path for path in worded if path not in lab.tables("stimulus_id")][:1]:
            lab.remark("recordings", f"{path} is not read: call its columns onset_s, word and run (as responses are)")
    signals: dict[str, Any] = {}
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
    return study | ({"models": models} if models else {})


def _pattern(lab: Lab, paths: list[Path], files: dict[str, Any]) -> Any:
    """Write files that are called like their runs, and lie alone in a folder, as one pattern."""
    ending = paths[0].name.partition(".")[2]
    pattern = paths[0].with_name(f"*.{ending}")
    alone = {path for path in lab.files if path.match(str(pattern)) and path.parent == paths[0].parent} == {*paths}
    return str(pattern) if alone and {path.name for path in paths} == {f"{run}.{ending}" for run in files} else files


def _blocks(lab: Lab) -> dict[str, Any] | None:
    bold, masks, regions = lab.volumes()
    of_regions = tuple(path.name.split(".")[0] for path in regions)  # whose names are no labels of volumes
    labels = [path for path in lab.ending(".txt") if "label" in path.stem and not path.name.startswith(of_regions)]
    tables = {path: path.with_name(f"{path.name.partition('_bold.nii')[0]}_events.tsv") for path in bold if not labels}
    bold = labs.of_task(lab, [path for path in bold if labels or tables[path] in lab.files])
    if not (masks and bold):
        return None
    if not labels:
        key, _, rows = _rows_of_events(lab, [tables[path] for path in bold])
        if key and len({row.get("trial_type") for row in rows}) < 3 <= len({row[key[0]] for row in rows}):
            raise BrainalignError(f"{tables[bold[0]]}: {key[0]} names what was shown in each trial; {A_GLM}")
    step, known = _header_step(lab.folder / bold[0])
    tr = lab.answer("fmri", f"repetition time in seconds ({known})", step)
    recordings: dict[str, Any] = {}
    people = labs.by_subject(bold)
    for name, of in people.items():
        what: dict[str, Any] = {"bold": [str(path) for path in of], "events": [str(tables.get(path)) for path in of]}
        if labels:
            what = {"bold": what["bold"] if of[1:] else str(of[0])}
            what["labels"] = str(labs.of_subject(name, labels, people))
        recordings[name] = {"format": "nifti", "mask": str(labs.of_subject(name, masks, people)), **what}
    cells = [name for path in bold if not labels for name in labs.cells_of(lab, tables[path], "trial_type")]
    if labels:
        cells = [line.split()[0] for line in (lab.folder / labels[0]).read_text().splitlines() if line.strip()]
    rest = next((name for name in ("rest", "baseline", "fixation") if name in cells), "rest")
    names = [name for name in dict.fromkeys(cells) if name != rest]
    images = {path.stem: str(path) for path in lab.ending(*labs.IMAGES)}
    shown = {name: {"path": images[name]} for name in names} if {*names} <= images.keys() else _names(lab, names)
    fmri = {"tr_s": float(tr), "space": "of the scanner", **({"rest": rest} if rest != "rest" else {})}
    return {"stimuli": shown, "recordings": recordings, "fmri": fmri, "splits": {"runs": {"leave_out": "run"}}}


def _header_step(path: Path) -> tuple[str, str]:
    """Return the seconds from volume to volume, 2 where the header says none, and how far they are known."""
    import nibabel

    header: Any = nibabel.load(path).header
    if not hasattr(header, "get_zooms"):  # CIFTI
        return f"{header.get_axis(0).step:g}", "as the header says"
    zooms = header.get_zooms()
    seconds = header_step_s(zooms, header.get_xyzt_units()[1])
    if seconds is None:
        return "2", "the header says none"
    return f"{seconds:g}", "1 in a header may mean unknown" if zooms[3] == 1 else "as the header says"


def _judgements(lab: Lab) -> dict[str, Any] | None:
    from brainalign.datasets.studies import odd_column

    files, again = list[str](), list[str]()
    for path in lab.ending(".csv", ".tsv"):
        odd, at = odd_column(columns := table_columns(lab.folder / path)), lab.folder / path
        if odd and (
            "odd" in odd.lower() or all(row.count(row[columns.index(odd)]) == 2 for row in [*table_rows(at)][1:])
        ):
            files.append(str(path))
            lab.remark("recordings", f"{odd} is taken for what does not belong with the two others")
    for path in () if files else lab.ending(".txt"):  # as THINGS has them
        with suppress(BrainalignError):
            rows = [line.split() for line in read_lines(lab.folder / path)]
            if len(rows) > 1 and all(len({*row}) == len(row) == 3 and "".join(row).isdecimal() for row in rows):
                (files if len({*map(frozenset, rows)}) > len(rows) / 2 else again).append(str(path))
                lab.remark("recordings", "the last of three numbers is taken for the odd one")
    if not files or (stimuli := lab.stimuli()) is None:
        return None
    judged = {"format": "triplets", "triplets": files, **({"repeats": again} if again else {}), "duplicates": "keep"}
    return {"stimuli": str(stimuli), "recordings": {"people": judged}}


def _rdms(lab: Lab) -> dict[str, Any] | None:
    from brainalign.datasets.formats import model_rdms, rdm_keys

    arrays = lab.ending(*ARRAYS)
    files = [
        path for path in [*arrays, *lab.ending(".csv")] if "rdm" in path.stem.lower() and labs.JOINED not in path.stem
    ]
    stimuli = lab.stimuli() if files or (arrays and not lab.tables("stimulus_id", "run")) else None
    if stimuli is None:
        return None
    ids = table_column(lab.folder / stimuli, "stimulus_id")
    of_mat = {path: array_shapes(lab.folder / path).values() for path in files if path.suffix == ".mat"}
    if any(max(map(np.prod, shapes), default=0) < len(ids) for shapes in of_mat.values()):
        return None  # structs (RDMs(1).RDM) are taken apart first
    files = files or [path for path in arrays if _pairs(lab.folder / path, len(ids))]
    if not files:
        return None
    ends = (len(ids) * (len(ids) - 1) // 2,), (len(ids), len(ids))
    models = given = [path for path in files if "model" in path.stem.lower()]
    if len(models) > 1:
        found = {name: of for path in models for name, of in model_rdms(lab.folder / path, ids).items()}
        models = [Path(f"models_{labs.JOINED}.npz")]
        np.savez(lab.folder / models[0], allow_pickle=False, **found)
        lab.used |= {*given}
    recordings: dict[str, Any] = {}
    sets: dict[str, list[Path]] = {}
    for path in [path for path in files if path not in given]:
        sets.setdefault(labs.SUBJECT.sub("", path.with_suffix("").as_posix()), []).append(path)
    for kept, of in sets.items():
        with suppress(BrainalignError, ValueError):  # of several RDMs a file
            rdms = [one for path in of for (one,) in [model_rdms(lab.folder / path, ids).values()] if len(of) > 1]
            joined = Path(f"{re.sub('[^A-Za-z0-9]+', '_', kept).strip('_')}_{labs.JOINED}.npy")
            if rdms:
                np.save(lab.folder / joined, rdms)
                lab.remark("recordings", f"{joined} is {listed(of)}, a subject each")
                lab.used |= {*of}
                of[:], arrays = [joined], [*arrays, joined]
    vectors = {name: of for name, of in lab.vectors().items() if Path(of["file"]) not in (*files, *given)}
    itself = [path for path in files if path not in arrays]  # which name their own
    for path in itertools.chain(*sets.values()):
        at = lab.folder / path
        shapes = array_shapes(at) if path in arrays else dict.fromkeys(rdm_keys(at, ids), ends[0])
        names = [key for key, of in shapes.items() if {of[-1:], of[-2:], of[:2], of[:1]} & {*ends}] or [*shapes] or [""]
        if "rdm_descriptors" in "".join(shapes):  # rsatoolbox's
            names, itself = [""], [*itself, path]
        for key in names:
            several = {"key": key} if key and len(shapes) > 1 else {}
            bare = key if names[1:] else path.stem.removesuffix(f"_{labs.JOINED}")
            name = re.sub(r"[-_ ]?rdms?$|[^A-Za-z0-9]", "", bare, flags=re.IGNORECASE) or "rdms"
            name += "" if name not in recordings else str(1 + len(recordings))
            recordings[name] = {"format": "rdms", "file": str(path), **several}
    itself += [Path(of["file"]) for of in vectors.values()]
    lists = [(path, names) for path, names in lab.lists(ids, len(ids)) if names != ids and path not in itself]
    if order := next((names for path, names in lists if path in files), []):
        header, *rows = table_rows(lab.folder / stimuli)
        place = header.index("stimulus_id")
        ids, stimuli = order, stimuli.with_name(f"{stimuli.stem}_ordered.tsv")
        lab.write(stimuli, [header, *sorted(rows, key=lambda row: order.index(row[place]))])
    if any(path in arrays for path in files):
        others = [f", which is not that of {path}" for path, names in lists if names != ids]
        lab.remark("stimuli", f"RDMs are taken to be in its order, {ids[0]} to {ids[-1]}{''.join(others[:1])}")
    described = {"stimuli": str(stimuli), "recordings": recordings} | _models(lab, vectors, ids)
    return described | ({"model_rdms": str(models[0])} if models else {})


def _pairs(path: Path, n: int) -> bool:
    """Tell whether the arrays of a file end in pairs of n stimuli, or in matrices of them, which are symmetric."""
    shapes = array_shapes(path)
    if shapes and all(of[-2:] == (n, n) for of in shapes.values()):
        arrays = stored_arrays(path, shapes).values()
        return all(np.allclose(of, np.swapaxes(of, -1, -2), equal_nan=True) for of in arrays)
    return bool(shapes) and all(of[-1:] == (n * (n - 1) // 2,) for of in shapes.values())


def _rows(lab: Lab) -> dict[str, Any] | None:
    """Describe arrays, or maps, with a table of a trial per row."""
    copies = re.compile(f"{labs.JOINED}|{unpack.ORDERED}$")
    trials = [path for path in lab.tables("stimulus_id") if lab.lists_trials(path) and not copies.search(path.stem)]
    arrays = lab.responses()
    data = arrays or lab.volumes()[0] or lab.ending(*labs.SURFACES) or lab.ending(*CIFTI)
    stimuli = lab.stimuli() if trials and data else None
    models = lab.vectors()
    numbers = {len(table_column(lab.folder / path, "stimulus_id")) for path in trials}
    if arrays:  # those with a row per trial, else with another axis of trials, else all
        shapes = {path: array_shapes(lab.folder / path) for path in arrays}
        wide = [path for path in arrays if any(np.prod(of) > max(of, default=1) for of in shapes[path].values())]
        axes = {path: _of_trials(shapes[path], numbers) for path in wide or arrays}  # vectors of MATLAB have two axes
        each = len(axes) == len(trials)  # stimuli for testing may lie behind their repeats
        data = [
            path for path, found in axes.items() if found and (found[1] == 0 or (each and labs.PART.search(path.name)))
        ]
        data = data or [path for path, found in axes.items() if found] or arrays
    data = unpack.unpack_axis(lab, data[0], numbers) if len(data) == 1 and data[0] in arrays else data
    if not (trials and data):
        return None
    recordings: dict[str, Any] = {}
    people = labs.by_subject(data)
    if arrays and not lab.units():
        units = unpack.unpack_vectors(lab, ["units"])
        for path in units if len(labs.by_subject(units)) < len(people) else ():
            lab.files.remove(path)
            lab.written.discard(path)
            (lab.folder / path).unlink()
            lab.remark("recordings", f"areas of {path.stem.removesuffix('_units')} are not read: others have none")
    if arrays and unpack.unpack_owners(lab, data, trials):
        return _rows(lab)
    trials = [unpack.unpack_mixed(lab, path) for path in trials]
    for name, of in people.items():
        # fmri/trials.tsv is of fmri/betas.npy, and a/trials.tsv of a/neural/rates.npy
        beside = sorted(trials, key=lambda path: -len({*path.parents} & {*of[0].parents}))
        table = labs.of_subject(name, beside, people)
        own, is_array = labs.by_subject(trials).get(name) or [table], of[0].name.lower().endswith(ARRAYS)
        if is_array and (joined := unpack.join_parts(lab, name, of, own)):
            recordings[name] = _array(lab, name, *joined, people)
            continue
        parts = [] if is_array else [read_table(lab.folder / path) for path in own]
        if len(parts) == 1 < len(of):  # which may list the last session first
            own = [table := unpack.join_tables(lab, name, own, unpack.in_parts(parts[0], [*map(str, of)]))]
        told, named = (unpack.part_numbers(path.name for path in paths) for paths in (of, own))
        if len(parts) > 1 and of[0] in lab.volumes()[0] and all(told) and told == named:
            sizes = [load_image_file(lab.folder / path).shape[3] for path in of]
            own = [table := unpack.join_tables(lab, name, own, parts)] if [*map(len, parts)] == sizes else own
        several = f"subject {name} has {len(of)} files of responses ({listed([str(path) for path in of])})"
        if len(own) > 1 and (
            is_array or len(of) > (len(labs.hemispheres_of(of)) if of[0].suffix in (".gii", ".mgh") else 1)
        ):
            remedy = "join them into a file and a table with a column session or run, or call each sub-... of a name"
            remedy = A_GLM if "_bold." in str(of) else f"{remedy} of its own, where their neurons differ"
            raise BrainalignError(f"{several} and {len(own)} tables of trials; {remedy}")
        if is_array:
            chosen = str(of[0]) if len(of) == 1 else lab.answer("recordings", f"{several}; which is read", str(of[0]))
            values = next((path for path in of if str(path) == chosen), of[0])
            groups = unpack.people_in(array_shapes(lab.folder / values)) or {name: ""}
            those = groups if len(groups) > 1 else people
            for who, group in groups.items():
                table = labs.of_subject(who, beside, those)
                recordings[who] = _array(lab, who, values, table, lab.units(), those, group)
        else:
            recordings[name] = {"format": "betas"} | _maps(lab, name, of, people) | {"trials": str(table)}
    if len(people) > 1 and len({path.parent for path in data}) == 1 and not labs.SUBJECT.search(str(data)):
        lab.remark(
            "recordings", f"{listed([*map(str, data)])} are taken to be of a person each: leave out any of nobody"
        )
    ids = table_column(lab.folder / trials[0], "stimulus_id")
    if not stimuli and "times_s" in next(iter(recordings.values())) and len({*ids}) <= MOST_CATEGORIES:
        return {"recordings": recordings}  # categories are decoded
    if not stimuli and not models and all(map(labs.is_number, ids)):
        remedy = "which no model can read; add images that are called so, or stimuli.tsv with a path or text of each"
        raise BrainalignError(f"{trials[0]}: numbers tell what was shown, {'; '.join([remedy, *lab.unread])}")
    for path in () if lab.ending(*labs.IMAGES) else lab.ending(*labs.TABLES):  # of words, say, in another column
        (header, first), (key, *_) = lab.head(path), [*lab.head(path)[0], ""]
        if "stimulus_id" in header or len(header) < 3 or not all(map(labs.is_number, first[1:])):
            continue
        rows = {row[0]: row for row in [*table_rows(lab.folder / path)][1:]}
        if {*ids} <= rows.keys():
            lab.write(
                copy := path.with_name(f"{path.stem}_renamed.tsv"), [["stimulus_id", *header[1:]], *rows.values()]
            )
            lab.remark("models", f"{copy} is {path} with stimulus_id for {key}")
            models[re.sub(r"[^A-Za-z0-9]", "", path.stem)] = {"extractor": "table", "file": str(copy)}
    shown: Any = str(stimuli) if stimuli else _names(lab, ids)
    runs = len(set(table_column(lab.folder / trials[0], "run")))
    order = table_column(lab.folder / stimuli, "stimulus_id") if stimuli else [*shown]
    described = {"stimuli": shown, "recordings": recordings, "splits": lab.splits(stimuli, runs, ids)}
    return described | _models(lab, models, order)


def _models(lab: Lab, models: dict[str, Any], order: list[str]) -> dict[str, Any]:
    """Describe models, if any, with whose their rows are."""
    found = {name: of | _whose(lab, Path(of["file"]), order) for name, of in models.items()}
    return {"models": found} if found else {}


def _whose(lab: Lab, vectors: Path, order: list[str]) -> dict[str, Any]:
    """Say whose the rows of an array of vectors are, where it does not itself: as a list says that names each once."""
    shapes = array_shapes(lab.folder / vectors) if vectors.name.lower().endswith(ARRAYS) else {"stimulus_id": ()}
    if "stimulus_id" in shapes:
        return {}
    n = next((of[0] for of in shapes.values() if len(of) == 2), 0)
    lists = {path: names for path, names in lab.lists(order, n) if path not in lab.tables("stimulus_id")}
    told = [vectors] if vectors in lists else [path for path in lists if path.suffix not in ARRAYS]
    if not told:
        lab.remark("models", f"rows of {vectors} are taken to be those of {order[0]} to {order[-1]}: give ids if not")
        return {}
    which = str(told[0])
    if len({*map(tuple, (lists[path] for path in told))}) > 1:
        which = lab.answer("models", f"what lists the rows of {vectors}: {listed([*map(str, told)])}", which)
    ids = vectors.with_name(f"{vectors.stem}_ids.tsv")
    lab.write(ids, [["stimulus_id"], *([name] for name in lists[Path(which)])])
    lab.remark("models", f"{ids} are the rows of {vectors} as {which} lists them")
    layers = [name for name, of in shapes.items() if len(of) == 2]
    return {"ids": str(ids)} | ({"layers": layers} if len(layers) < len(shapes) else {})


def _maps(lab: Lab, name: str, of: list[Path], people: Collection[str]) -> dict[str, Any]:
    """Describe the maps of a person: surfaces, grayordinates or volumes, and the regions that lie in them."""
    labels, parcels, (_, masks, regions) = lab.ending(".label.gii"), lab.ending(".dlabel.nii"), lab.volumes()
    if of[0] in lab.ending(*labs.SURFACES):
        rois = {"rois": {side: paths[0] for side, paths in labs.hemispheres_of(labels).items()}} if labels else {}
        maps = {side: paths if len(paths) > 1 else paths[0] for side, paths in labs.hemispheres_of(of).items()}
        return {"betas": maps, **rois}
    betas: dict[str, Any] = {"betas": str(of[0]) if len(of) == 1 else [str(path) for path in of]}
    if of[0] in lab.ending(*CIFTI):
        return betas | ({"rois": {"areas": str(labs.of_subject(name, parcels, people))}} if parcels else {})
    masks, regions = (labs.all_of_subject(name, paths, people) if paths else [] for paths in (masks, regions))
    apart = [path for path in masks if "brain" not in path.name and not labs.PART.search(path.name)]
    if apart and masks[1:]:
        masks, parts = _mask_and_parts(lab, name, masks, apart)
        regions = [*parts, *regions]
    kind = re.compile(r"(?i)masks?|rois?|atlas|labels?|parcels?|sub-[a-z0-9]+|[^a-z0-9]")
    betas |= {"mask": str(masks[0])} if masks else {}
    betas |= (
        {"rois": {kind.sub("", path.name.split(".")[0]) or "areas": str(path) for path in regions}} if regions else {}
    )
    known = "MNI152" if any("MNI" in part for part in of[0].parts) else "scanner"
    return betas | {"space": lab.answer("recordings", "space of the volumes: MNI152 or scanner", known)}


def _mask_and_parts(lab: Lab, name: str, masks: list[Path], apart: list[Path]) -> tuple[list[Path], list[Path]]:
    """Part masks into the one around all others, written where none is, and those of regions inside it."""
    images = {path: load_image_file(lab.folder / path) for path in masks}
    inside = {path: np.asanyarray(image.dataobj) > 0 for path, image in images.items()}
    if len({of.shape for of in inside.values()}) > 1:
        return masks, []
    every = np.any([*inside.values()], axis=0)
    if whole := [path for path, of in inside.items() if (of == every).all()]:
        return whole, [path for path in apart if path != whole[0]]
    import nibabel

    joined = Path(f"sub-{name}_{labs.JOINED}_mask.nii.gz")
    nibabel.save(nibabel.Nifti1Image(every.astype("u1"), images[masks[0]].affine), lab.folder / joined)
    lab.written.add(joined)
    lab.remark("recordings", f"{joined} is all of {listed([*map(str, apart)])}")
    return [joined], apart


def _array(
    lab: Lab, who: str, file: Path, table: Path, units: list[Path], people: Collection[str], group: str = ""
) -> dict[str, Any]:
    """Describe the array of a person: which one it is, its axes and times, and what its columns are."""
    ids, every = table_column(lab.folder / table, "stimulus_id"), array_shapes(lab.folder / file)
    shapes = unpack.groups(every)[group] if group else every
    key, axis = _of_trials(shapes, {len(ids)}) or ("", 0)
    shape, sizes = shapes.get(key, ()), " x ".join(map(str, shapes.get(key, ())))
    if shape.count(len(ids)) > 1:
        axis = int(lab.answer("recordings", f"axis, from 0, of trials in {sizes}", str(axis)))
    alike = [one for one, of in shapes.items() if np.prod(of) > max(of, default=1)]
    alike = [one for one in alike if shape[:1] == shapes[one][:1] or shape[1:] == shapes[one][1:]]
    if len(alike) > 1 and not axis:
        key = lab.answer("recordings", f"which of {', '.join(alike)} is read (they are not joined)", key)
    marks = [name for name, of in shapes.items() if np.prod(of) == len(ids) and MARKED.search(name)]
    if marks:
        lab.remark("recordings", f"all rows are read, whatever {listed(marks)} says: leave out of {file} what is none")
    named = {"targets": str(labs.of_subject(who, units, people))} if units else {}
    columns = [len(rows) - 1 for path in named.values() for rows in [[*table_rows(lab.folder / path)]]]
    how: dict[str, Any] = ({"key": key} if len(every) > 1 else {}) | ({"trials_axis": axis} if axis else {})
    others = shape[:axis] + shape[axis + 1 :]
    if len(others) > 2 and np.prod(others) == max(others):  # GLMsingle keeps axes of one
        shape, axis = (len(ids), max(others)), 0
    repeats = _repeats(lab, file, shape, axis, columns) if len({*ids}) == len(ids) else {}
    if len(shape) - len(repeats) > 3:
        raise BrainalignError(f"{file}: {key} is {sizes}; save trials x voxels of a mask, or volumes as NIfTI")
    times = _times(lab, file, shapes | {key: shape}, key, columns, axis, *repeats.values())
    return {"format": "array", "values": str(file), **how, **repeats, "trials": str(table), **named, **times}


def _of_trials(shapes: Shapes, numbers: Collection[int]) -> tuple[str, int] | None:
    """Return the array of a file that has a row per trial, the largest of several, or another axis, and the axis."""
    found = [(name, axis) for name, of in shapes.items() if len(of) > 1 for axis, n in enumerate(of) if n in numbers]
    size = {name: int(np.prod(of)) for name, of in shapes.items()}
    return max(found, key=lambda at: (size[at[0]] > max(shapes[at[0]]), at[1] == 0, size[at[0]]), default=None)


def _repeats(lab: Lab, values: Path, shape: tuple[int, ...], axis: int, columns: list[int]) -> dict[str, int]:
    """Return the axis of repeats of stimuli that have a row each: the shortest but one, where nothing has times.

    `columns` are how many targets are listed, if any.
    """
    others = [other for other in range(len(shape)) if other != axis]
    if len(others) < 2 + lab.timed(values):
        return {}
    shortest = min(others, key=lambda other: (shape[other] in columns, shape[other]))
    sizes = " x ".join(map(str, shape))
    chosen = lab.answer("recordings", f"axis, from 0, of repeats in {sizes}, none where they are none", str(shortest))
    return {"repeats_axis": int(chosen)} if chosen.isdecimal() else {}


def _times(lab: Lab, path: Path, shapes: Shapes, key: str, columns: list[int], *rows: int) -> dict[str, Any]:
    """Return the seconds of an array's axis of times: of a file, of another array, or written from its ends.

    `columns` are how many targets are listed, if any; `rows` the axes of trials, and of repeats.
    """
    shape = shapes.get(key, ())
    if len(shape) < 2 + len(rows) or shape[-1] == 1:
        return {}
    written, others = "times.txt", [axis for axis in range(len(shape)) if axis not in rows]
    lengths = [shape[axis] for axis in others]
    named = [name for name in shapes if labs.TIMES.fullmatch(name)]
    inside = [name for name in named if np.prod(shapes[name]) - ("edge" in name.lower()) in lengths]
    files: list[tuple[str, NDArray[np.float64]]] = []
    of_others = {f"{of.stem}_times" for of in lab.responses() if of != path}
    whose = {*labs.SUBJECT.findall(str(path))}
    for file in lab.ending(".npy", ".txt"):
        apart = file.stem in of_others or not {*labs.SUBJECT.findall(str(file))} <= whose
        if labs.TIMES.fullmatch(file.stem) and "assumed" not in file.stem and not apart:
            at = lab.folder / file
            stored = stored_arrays(at, [""])[""] if at.suffix == ".npy" else np.genfromtxt(at)
            files.append((str(file), _middles(file.stem, stored)))
            lab.used.add(file)
    if files:  # reaction times may lie there, too; where none fits, the first is taken for `check` to refuse
        written, seconds = min(files, key=lambda of: len(of[1]) not in lengths)
    elif inside:
        ends = [name for name in inside if re.search("(?i)start|begin|end|stop", name)]
        bounds = ends if len(ends) == 2 and ends[0] == inside[0] else inside[:1]  # of bins, whose middles are meant
        arrays = stored_arrays(lab.folder / path, bounds)
        seconds = np.mean([_middles(name, arrays[name]) for name in bounds], axis=0)
    else:
        n = next((shape[axis] for axis in reversed(others) if shape[axis] not in columns), shape[others[1]])
        rate, start = lab.clock(path, key)
        first = start / (1000 if rate and start + (n - 1) / rate < 0 else 1)  # -5 of 60 ms, not seconds before
        known = f"{first:g} {first + (n - 1) / rate:g}" if rate else "0 1"
        question = f"seconds of the first and the last of the {n} samples"
        if rate and {lab.clock(of) for of in lab.responses()} != {(rate, start)}:  # people with clocks of their own
            question, written = f"{question} of {path}", str(path.with_name(f"{path.stem}_times.txt"))
        ends = lab.answer("recordings", question, known).split()
        seconds = np.round(np.linspace(float(ends[0]), float(ends[-1]), n), 9)
        written = "times_assumed.txt" if ends == ["0", "1"] else written  # which the next init asks for again
    n, called = len(seconds), Path(written).stem if files else "".join(inside[:1])
    in_ms = bool(called) and (called.lower().endswith("ms") or np.abs(seconds).max(initial=0) >= LONGEST_S)
    if called and not in_ms and np.abs(seconds).max(initial=0) >= labs.LATEST_START_S:  # -50 to 50, or volumes to 20 s
        question = f"unit of {called}, {seconds[0]:g} to {seconds[-1]:g}: s or ms"
        in_ms = lab.answer("recordings", question, "ms" if seconds[0] < 0 else "s") == "ms"
    if not files or in_ms or "edge" in called.lower():
        written = written.rpartition(".")[0] + "_s.txt" if files else written
        (lab.folder / written).write_text("\n".join(f"{s / 1000 if in_ms else s:.6g}" for s in seconds) + "\n")
    axis = next((axis for axis in reversed(others) if shape[axis] == n), 2)
    if lengths.count(n) > 1:
        sizes = " x ".join(map(str, shape))
        axis = int(lab.answer("recordings", f"axis, from 0, of times in {sizes}", str(axis)))
    return {"times_s": written, **({"times_axis": axis} if axis != 2 else {})}


def _middles(name: str, times: NDArray[Any]) -> NDArray[np.float64]:
    """Return times in a row; of bins whose edges they are, the middles."""
    row = times.ravel().astype(float)
    return (row[1:] + row[:-1]) / 2 if "edge" in name.lower() else row


# What a folder may be, by what its first line says; the first that fits is taken.
FORMS: dict[str, Callable[[Lab], dict[str, Any] | None]] = {
    "derivatives of fMRIPrep with words": _story_of_fmriprep,
    "derivatives of fMRIPrep with events": _fmriprep,
    "Algonauts 2023": _algonauts,
    "M/EEG epochs of MNE (-epo.fif) or EEGLAB (.set)": _epochs,
    "raw recordings of M/EEG in BIDS": _raw,
    "runs of a story or film, with its words or itself": _story,
    "volumes with a mask and a label each": _blocks,
    "odd-one-out judgements of three objects": _judgements,
    "dissimilarity matrices with their stimuli": _rdms,
    "arrays or maps with a table of trials": _rows,
}
