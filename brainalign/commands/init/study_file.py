"""`brainalign init FOLDER`: looks at a lab's folder, asks what it cannot see, and writes one YAML that runs."""

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from brainalign.checks import BrainalignError, listed
from brainalign.commands.init import lab as labs
from brainalign.commands.init import standards, unpack
from brainalign.commands.init.lab import ARRAYS, VOLUMES, Ask, Lab
from brainalign.commands.init.rdms import describe_judgements, describe_rdms
from brainalign.commands.init.stories import describe_story
from brainalign.commands.init.trials import describe_rows
from brainalign.commands.init.volumes import describe_blocks
from brainalign.io import array_shapes, file_digest, read_json, writing
from brainalign.study import COPIED, table_columns, table_rows


def init_study(folder: Path, ask: Ask) -> Path:
    """Write `study.yaml` into a folder, for what lies there; returns where it lies."""
    target = folder / "study.yaml"
    if not folder.is_dir() or target.exists():
        what = "there is a study.yaml already; move it away" if target.exists() else "no such folder; name another"
        raise BrainalignError(f"{folder}: {what}")
    record = folder / ".init.json"
    wrote = read_json(record) if record.exists() else {}
    if all(file_digest(folder / of) == digest for of, digest in wrote.items() if (folder / of).exists()):
        Lab(folder, ask).forget([*map(Path, wrote)])  # copies that nobody corrected, of files that may have changed
    lab = Lab(folder, ask)
    before, found = {*lab.files}, None
    try:
        found = _described(lab, before)
    finally:
        if not found:
            lab.forget(lab.written - before)
    if not found:
        raise _refusal(Lab(folder, ask))
    form, study = found
    name = re.sub(r"[^A-Za-z0-9-]", "-", folder.resolve().name).strip("-") or "study"
    with writing(target):
        target.write_text(_written({"name": name} | study, lab, form))
    copies = sorted(path for path in lab.written if (folder / path).is_file())
    apart = {*_idle(lab, study), *NAMED.findall(json.dumps(study, ensure_ascii=False))}
    copied = sorted(path for path in before if path.suffix in labs.TABLES and str(path) not in apart)
    for file, paths in ((record, copies), (folder / COPIED, copied)):
        file.write_text(json.dumps({path.as_posix(): file_digest(folder / path) for path in paths}, indent=1))
    return target


def _described(lab: Lab, before: set[Path]) -> tuple[str, dict[str, Any]] | None:
    """Return the form of a folder and the study of it, as it stands or once its files are unpacked; None of neither."""
    if cells := lab.ending("iscell.npy"):  # of suite2p
        remedy = "average spks of what iscell says are cells over the frames of each trial, as trials x cells"
        raise BrainalignError(f"{cells[0].parent}: its traces go on; {remedy}, and move suite2p's files elsewhere")
    unpack.unpack_bdpy(lab)
    unpack.unpack_people(lab)
    kept, remarks = before | lab.written, {**lab.remarks}
    if found := _first_form(lab):
        return found
    lab.remarks = remarks
    lab.forget(lab.written - kept)  # what a first look wrote, before names were understood
    steps: list[Callable[[Lab], object]] = [unpack.unpack_cells, unpack.unpack_sets, unpack.unpack_vectors]
    steps += [unpack.unpack_words, unpack.unpack_labels, Lab.rename_columns]
    steps += [unpack.unpack_lists, unpack.unpack_people, unpack.unpack_tables]
    for step in steps:
        step(lab)
    found = _first_form(lab) if lab.written - kept else None
    return _first_form(lab) if not found and unpack.unpack_order(lab) else found


def _first_form(lab: Lab) -> tuple[str, dict[str, Any]] | None:
    return next(((form, study) for form, describe in FORMS.items() if (study := describe(lab))), None)


def _refusal(lab: Lab) -> BrainalignError:
    """Return the error of a folder that has no form, with what may be done about the files that come closest."""
    hints = [f"{remedy.format(files[0])}." for remedy, files in _remedies(lab).items() if files]
    forms = "" if hints else f": {'; '.join(FORMS)}"
    hints.append(f"None of its {len(lab.files)} files is what a study is made of{forms}.")
    remedy = "Name the folder that holds the data, or write the descriptor by hand (docs/pages/own_data.md)"
    return BrainalignError(" ".join([f"{lab.folder}:", *hints, remedy]))


def _remedies(lab: Lab) -> dict[str, Sequence[object]]:
    """List the files that come close to a form, by what may be done about them: {} is the first of them."""
    tables, with_ids, shown = lab.ending(*labs.TABLES), lab.tables("stimulus_id"), lab.shown()
    arrays = {path: str(array_shapes(lab.folder / path)) for path in lab.ending(*ARRAYS)}
    trials = next((path for path in tables if re.search("(?i)trial|design|essai|plan", path.stem)), None)
    columns = table_columns(lab.folder / trials) if trials else []
    without_ids = [f"{trials} has the columns {listed(columns, 9)}"] if columns else []
    if "stimulus_id" in {*columns, *labs.study_names(columns).values()}:
        without_ids = []
    silent = [] if without_ids or with_ids else lab.responses()
    stories = [path for path in silent if re.search("/(stim|feat)", arrays[path])]
    pickled = [error.partition(": ")[0] for error in lab.unread if "unpickled" in error]
    vectors = [path for path in tables if lab.holds_vectors(path) and path != trials]
    features = [path for path in lab.ending(*labs.TABLES, *ARRAYS) if "stimulus_id" not in arrays.get(path, "")]
    worded = [path for path in [*lab.tables("word"), *lab.tables("text")] if path not in with_ids]
    worded.sort(key=lambda path: not any(map(labs.ONSET.fullmatch, table_columns(lab.folder / path))))
    header_shows, first_row_shows = ({of: shown.intersection(lab.head(of)[k]) for of in tables} for k in (0, 1))
    epoched = [path for path, names in arrays.items() if re.search("/trialinfo|ChannelFlag", names)]
    spikes = [path for path, names in arrays.items() if "spike_times" in f"{path.stem} {names}"]
    runs, marks = lab.volumes()[0], {of: FILES_OF_MNE.search(of.stem) for of in lab.ending(*labs.RAW)}
    single, in_brain = lab.ending(*VOLUMES)[2:], [path for path in marks if "_ieeg." in path.name]
    return {
        "{} but no stimulus_id: call that of what was shown so": without_ids,
        "Save the trials of {} as epochs of MNE (read_epochs_fieldtrip), or as one array with a trials.tsv": epoched,
        "Save the numbers of {} as .npy, a row per trial": [] if arrays or pickled else vectors,
        "Save the sheets of {} as .csv": lab.ending(*SHEETS),
        "Save what each run of {} recorded as RUN.npy, join its features as features.npy, and list its rows in "
        "words.tsv (run, onset_s, duration_s)": stories,
        "Say in trials.tsv (column stimulus_id, one a row) what was shown in the rows of {}": [] if stories else silent,
        "Join {} and its like as features.npy, and list its rows in words.tsv (run, onset_s, duration_s)": [
            path for path in features if re.search("(?i)feature|envelope|annot|regressor", path.stem)
        ],
        "Call the columns of {} run (as responses are called), onset_s (in seconds) and text": worded,
        "Call {} and its like ..._rdm.csv (dissimilarities; of similarities, the most less each), and list what they "
        "are about in stimuli.csv (stimulus_id)": [
            path for path in lab.ending(".csv") if _holds_pairs(lab, path, shown)
        ],
        "Give {} a column odd, and list its objects in stimuli.csv": [path for path in lab.files if "odd" in str(path)],
        "Save {} anew where you trust it: np.savez('new.npz', **np.load(FILE, allow_pickle=True).item()), or, of "
        "THINGS-EEG2, write trust_pickle: true and format: things_epochs (docs/pages/published_data.md) or, of several "
        "modalities, things_eeg2 (docs/pages/shared_space.md)": pickled,
        "Save the arrays of {} as .npz": lab.ending(*UNREAD),
        "Turn {} around: a row for each stimulus (column stimulus_id), a column for each target": [
            path for path in tables if len(header_shows[path]) > 2 and not first_row_shows[path]
        ],
        "Call {} .tsv, as tabs part its columns": [
            path for path in lab.ending(".txt") if b"\t" in (lab.folder / path).read_bytes().partition(b"\n")[0]
        ],
        "Save {} as an array of trials x channels x times, with times.npy and trials.tsv": lab.ending(".snirf"),
        "Count the spikes of {} in each trial, as an array of trials x units": spikes or lab.ending(".nwb"),
        "Say what was shown in {}: trials.tsv (stimulus_id, a row per map), ..._events.tsv beside it (onset, duration, "
        "trial_type), or a text with a condition a line for every volume of each run": runs,
        "Join {} and its like into one file, and list their stimuli in trials.tsv": [] if runs else single,
        "Call {} ...hemi-L.func.gii or ...hemi-R.func.gii": [] if lab.ending(*labs.SURFACES) else lab.ending(".gii"),
        "Cut {} into epochs with mne.Epochs and save these as ...-epo.fif with metadata (stimulus_id, or category), or "
        "put it into BIDS": [path for path, mark in marks.items() if not mark and path not in in_brain],
        "Save epochs of {} as an array of trials x electrodes x times, with times.npy, trials.tsv (stimulus_id) and "
        "channels.tsv (name, area)": in_brain,
        "{} holds means: save the single trials as ...-epo.fif with metadata (stimulus_id, or category)": [
            path for path, mark in marks.items() if mark and mark[1]
        ],
        "Where nothing is shown, list {} and its like in people.tsv (docs/pages/masked_models.md)": [
            path for path in lab.ending(*ARRAYS, ".csv") if re.search("(?i)time_?series|_ts|rest", path.stem)
        ],
        "{}": [error for error in lab.unread if "unpickled" not in error],
    }


def _holds_pairs(lab: Lab, path: Path, shown: set[str]) -> bool:
    """Tell whether a table names its columns as its rows, or two stimuli in each row."""
    header, *rows = [*table_rows(lab.folder / path)] or [[]]
    names_both_axes = len(header) > 1 and header[1:] == [row[0] for row in rows]
    return names_both_axes or sum(labs.are_names([cell], shown) for cell in lab.head(path)[1]) == 2


MOST_LINES = 15
UNREAD, SHEETS = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".safetensors"), (".xlsx", ".xls", ".ods", ".feather")
# What MNE saves beside a recording; means over trials are in the group.
FILES_OF_MNE = re.compile(r"[-_](?:(ave|evoked)|eve|cov|proj|fwd|inv|src|trans|ica|annot)$")
NAMED = re.compile(r'"([^"]*)"(?=[],}])')  # in JSON, but for keys: people may be called as their folders are


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
    named = {*NAMED.findall(json.dumps(study, ensure_ascii=False))}
    of_root = re.compile("sub|sourcedata|task-|participants" if "." in named else "(?!)")  # in BIDS, say
    named -= {"."}
    patterns, remarks = [name for name in named if "*" in name], " ".join(lab.remarks.values())
    return [
        str(path)
        for path in lab.ending(*labs.TABLES, *ARRAYS, *VOLUMES, ".gii", ".annot", ".mgh", *UNREAD, *SHEETS)
        if not named & {str(path), *map(str, path.parents)} and not any(map(path.match, patterns))
        if path.name not in remarks and path not in lab.written | lab.used and not of_root.match(str(path))
        if not {str(path.with_suffix(ending)) for ending in VOLUMES} & named  # names of regions
    ]


# What a folder may be, by what its first line says; the first that fits is taken.
FORMS: dict[str, Callable[[Lab], dict[str, Any] | None]] = {
    "derivatives of fMRIPrep with words": standards.describe_story_of_fmriprep,
    "derivatives of fMRIPrep with events": standards.describe_fmriprep,
    "Algonauts 2023": standards.describe_algonauts,
    "THINGS-fMRI": standards.describe_things,
    "M/EEG epochs of MNE (-epo.fif) or EEGLAB (.set)": standards.describe_epochs,
    "raw recordings of M/EEG in BIDS": standards.describe_raw,
    "runs of a story or film, with its words or itself": describe_story,
    "volumes with a mask and a label each": describe_blocks,
    "odd-one-out judgements of three objects": describe_judgements,
    "dissimilarity matrices with their stimuli": describe_rdms,
    "arrays or maps with a table of trials": describe_rows,
}
