"""Folders in forms that many labs share: fMRIPrep, BIDS, epochs of MNE and EEGLAB, Algonauts."""

import importlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from brainalign.checks import BrainalignError, listed
from brainalign.commands.init import lab as labs
from brainalign.commands.init import unpack
from brainalign.commands.init.lab import TABLES, VOLUMES, Lab, named_texts, rows_of_events
from brainalign.commands.init.trials import describe_models
from brainalign.commands.init.unpack import read_table
from brainalign.io import MISSING
from brainalign.study import LEFT_OUT, table_column, table_columns, table_rows

WITHOUT_BAD = {"epochs": {"bad_channels": "drop"}}  # which any recording of a person marks
# Events that show nothing, as programs of recording and labs call them.
NOT_SHOWN = re.compile(r"(?i)boundary|new segment.*|(bad|edge)(_.*)?|(button|key)(.?press)?|(.*[-_ ])?resp(onse)?s?")


def describe_story_of_fmriprep(lab: Lab) -> dict[str, Any] | None:
    """Describe derivatives whose runs have words: one in every event, or tables or transcripts that are called so."""
    bold = _preprocessed(lab)
    events = [path for path in lab.ending("_events.tsv") if {"word", "text"} & set(table_columns(lab.folder / path))]
    told = [path.parent for path in lab.ending(*labs.TRANSCRIPTS)] or [_root(path) for path in events] or lab.words()
    if not bold or not told:
        return None
    shared = {"format": "runs", "derivatives": str(_root(bold[0])), **_space(lab, bold)}
    recordings = {name: {**shared, "participant": name} for name in labs.by_subject(bold)}
    return {"stimuli": str(told[0]), "recordings": recordings, "splits": {"runs": {"leave_out": "run"}}}


def describe_fmriprep(lab: Lab) -> dict[str, Any] | None:
    """Describe derivatives of fMRIPrep whose events name what was shown."""
    bold, events = labs.of_task(lab, _preprocessed(lab)), lab.ending("_events.tsv")
    if not bold or not events:
        return None
    places, people = [str(_root(path)) for path in (bold[0], events[0])], labs.by_subject(bold)
    columns = table_columns(lab.folder / events[0])
    task = re.search(r"task-([A-Za-z0-9]+)", bold[0].name)
    events = [path for path in events if task is None or f"task-{task[1]}_" in path.name] or events
    key, rows, of_shown = rows_of_events(lab, events)
    cells = {name: [row[name] for row in rows if row.get(name, "") not in MISSING] for name in columns}
    seen = [*(name for name in columns if labs.are_names(cells[name], lab.shown())), "trial_type", *key]
    several = (name for name in seen if len({row.get(name, "") for row in of_shown} - {*MISSING}) > 2)
    column = "stimulus_id" if "stimulus_id" in columns else next(several, "trial_type")
    shared = {"format": "fmriprep", "derivatives": places[0], "raw": places[1]} | _space(lab, bold)
    shared |= {"task": task[1]} if task else {}
    recordings = {name: shared | {"participant": name} for name in people}
    chosen = lab.answer("glm", f"column of events.tsv that names the stimulus ({', '.join(columns)})", column)
    stimuli = lab.stimuli(cells.get(chosen, ()))
    shown: Any = str(stimuli) if stimuli else named_texts(lab, cells.get(chosen, []))
    runs = max(len({(path.parent, *labs.RUN.findall(path.name)) for path in of}) for of in people.values())
    described = {"stimuli": shown, "recordings": recordings, "glm": {"stimulus_column": chosen}}
    return described | {"splits": lab.splits(stimuli, runs)} | describe_models(lab, lab.vectors(), shown)


def _space(lab: Lab, bold: list[Path]) -> dict[str, str]:
    spaces = list(dict.fromkeys(match[1] for path in bold if (match := re.search(r"space-([A-Za-z0-9]+)", path.name))))
    which = f"space of the volumes: {', '.join(spaces)}"
    return {"space": lab.answer("recordings", which, spaces[0])} if len(spaces) > 1 else {}


def _preprocessed(lab: Lab) -> list[Path]:
    return [path for path in lab.ending(*VOLUMES) if "desc-preproc_bold" in path.name]


def _root(path: Path) -> Path:
    """Return the folder around those of subjects."""
    inner = re.compile(r"(sub|ses)-.*|func|anat")
    return next(parent for parent in path.parents if not any(map(inner.fullmatch, parent.parts)))


def describe_epochs(lab: Lab) -> dict[str, Any] | None:
    """Describe epochs of MNE or EEGLAB, whose metadata or a table beside name what was shown."""
    files = lab.ending("-epo.fif", "_epo.fif", "-epo.fif.gz")
    of_eeglab = [path for path in lab.ending(".set") if "task-" not in path.name]
    files = files or ([] if lab.words() else of_eeglab)  # which go on where words do
    if not files:
        return None
    from brainalign.datasets import open_epochs

    first = open_epochs(lab.folder / files[0])
    kinds, trials = first.get_channel_types(unique=True), first.metadata
    if trials is not None and [*trials] == ["category"]:  # of events, which a table beside may say more than
        trials = None if _tell_more(lab, trials["category"].nunique(), {len(first), len(first.drop_log)}) else trials
    key = next((name for name in ("stimulus_id", "category") if trials is not None and name in trials), None)
    people = labs.by_subject(files)
    columns = [] if trials is None else [str(name) for name in trials]
    marks = [] if LEFT_OUT in columns else [of for of in filter(unpack.EXCLUDED, columns) if trials[of].nunique() > 1]
    if marks and key == "category":
        sign = "" if re.fullmatch(unpack.KEPT, marks[0]) else "~"
        remedy = f"keep the good ones, as epochs[{sign}epochs.metadata[{marks[0]!r}]], and save these"
        raise BrainalignError(f"{files[0]}: metadata say in {listed(marks)} which epochs do not count; {remedy}")
    told = [name for name in columns if labs.are_names({*trials[name].astype(str)}, lab.shown())]
    told += [old for old, new in labs.study_names(columns).items() if new == "stimulus_id"]
    told = ["stimulus_id"] * bool(marks) if key else told
    if trials is not None and not (key or told):
        has = f"its metadata has the columns {listed([*trials])}, but no stimulus_id and no category"
        raise BrainalignError(f"{files[0]}: {has}; call that of what was shown so and save the epochs again")
    tables = unpack.unpack_metadata(lab, people, told[0]) if told else []
    if told or trials is None:  # else tables may be of trigger codes
        lab.rename_columns("stimulus_id")
    if trials is None:
        tables = [unpack.unpack_mixed(lab, path) for path in lab.tables("stimulus_id") if lab.lists_trials(path)]
    those = {name: labs.files_of_subject(name, tables, people)[0] for name in people} if tables else {}
    counted = unpack.unpack_unused(lab, [*dict.fromkeys(those.values())]) if those else {}
    names = [] if key is None else [*trials[key].astype(str)]
    stimuli: Any = lab.stimuli(names)
    picks = lab.answer("recordings", "sensors: meg, mag, grad or eeg", "eeg" if "eeg" in kinds else "meg")
    several = max(map(len, people.values())) > 1
    recordings = {
        name: {"format": "epochs", "epochs": [str(path) for path in of] if several else str(of[0]), "picks": picks}
        for name, of in people.items()
    }
    for name, table in those.items():
        recordings[name]["trials"] = str(counted[table])
        trials = read_table(lab.folder / counted[table])
        names.extend(of for of in trials["stimulus_id"] if of not in MISSING)
    known = table_column(lab.folder / stimuli, "stimulus_id") if stimuli else []
    if trials is None or ("stimulus_id" not in trials and not {*names} <= {*known}):
        return {"recordings": recordings}  # categories, decoded over time
    shown = str(stimuli) if stimuli else named_texts(lab, names)
    runs = trials["run"].nunique() if "run" in trials else 0
    described = {"stimuli": shown, "recordings": recordings, "splits": lab.splits(stimuli, runs)}
    read_info = importlib.import_module("mne.io").read_info
    marked = any(read_info(lab.folder / path, verbose="error")["bads"] for path in files if path.suffix != ".set")
    return described | (WITHOUT_BAD if marked else {}) | describe_models(lab, lab.vectors(), shown)


def _tell_more(lab: Lab, n_codes: int, lengths: Collection[int]) -> bool:
    """Tell whether a table with a row per epoch names more of what was shown than there are codes of events."""
    tables = [table_rows(lab.folder / path, between) for path in lab.ending(*TABLES) for between in ("", ";")]
    columns = [of[1:] for rows in tables for of in zip(*rows, strict=False) if len(of) - 1 in lengths]
    return any(len({*of}) > n_codes and labs.are_names(of, lab.shown()) for of in columns)


def describe_raw(lab: Lab) -> dict[str, Any] | None:
    """Describe raw BIDS recordings of M/EEG, whose events have a category each."""
    files = [path for path in lab.ending(*labs.RAW) if re.search(r"_(meg|eeg)\.", path.name) and "task-" in path.name]
    events = [path for path in lab.files if path.name.endswith("_events.tsv")]
    if not files or not events:
        return None
    copies = {"derivatives", "sourcedata"}  # which lie beside a dataset
    files, events = ([of for of in paths if not copies & {*of.parts}] or paths for paths in (files, events))
    told = {name for path in events for name in re.findall("task-[A-Za-z0-9]+_", path.name)}
    files = labs.of_task(lab, [path for path in files if any(name in path.name for name in told)] or files)
    task = str(re.findall(r"task-([A-Za-z0-9]+)", files[0].name)[0])
    events = [path for path in events if f"task-{task}_" in path.name]
    _, rows, _ = rows_of_events(lab, events)
    seen = [row for row in rows if not NOT_SHOWN.fullmatch(row.get("trial_type", ""))]
    shared = {"format": "bids", "root": str(_root(files[0])), "task": task}
    recordings: dict[str, Any] = {
        name: shared | {"participant": name, **({"datatype": "meg"} if "_meg." in of[0].name else {})}
        for name, of in labs.by_subject(files).items()
    }
    stimuli = lab.stimuli()
    shown = set(table_column(lab.folder / stimuli, "stimulus_id")) if stimuli else set()
    for column in table_columns(lab.folder / events[0]) if shown else ():
        cells = {name for path in events for name in table_column(lab.folder / path, column)} - {*MISSING}
        if cells and labs.are_names(cells, lab.shown()):  # of images: encoders predict from what was shown
            named: dict[str, Any] = {"stimulus_column": column}
            if seen and len(seen) < len(rows):  # who answers may name the same again
                named["where"] = {"trial_type": sorted({row["trial_type"] for row in seen if row.get(column) in cells})}
            if {Path(name).stem for name in cells} <= shown:
                named["names"] = "file stem"
            else:  # in folders, which hold some of the same names
                stimuli = lab.stimuli(cells)
            recordings = {name: files | named for name, files in recordings.items()}
            splits = lab.splits(stimuli, max(map(len, labs.by_subject(files).values())))
            described = {"stimuli": str(stimuli), "recordings": recordings, "splits": splits}
            marked = any("bad" in table_column(lab.folder / of, "status") for of in lab.ending("_channels.tsv"))
            return described | (WITHOUT_BAD if marked else {}) | describe_models(lab, lab.vectors(), str(stimuli))
    markers = {row["trial_type"]: row["trial_type"] for row in seen if row.get("trial_type", "") not in MISSING}
    if len(markers) < 2:
        remedy = f"call one of {listed(table_columns(lab.folder / events[0]), 9)} so, or add the images that one names"
        raise BrainalignError(f"{events[0]}: trial_type names no two categories; {remedy}")
    silent = dict.fromkeys(row["trial_type"] for row in rows if NOT_SHOWN.fullmatch(row.get("trial_type", "")))
    lab.remark("markers", "category of every trial_type; leave out what is none", *(f"not {of}" for of in silent))
    return {"recordings": recordings, "markers": markers}


def describe_algonauts(lab: Lab) -> dict[str, Any] | None:
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


def describe_things(lab: Lab) -> dict[str, Any] | None:
    """Describe the tables of THINGS-fMRI: images if they lie there, their names as texts else, and which are tested."""
    files = [path for path in lab.ending("_voxelmetadata.csv") if re.match("sub-0[1-3]_V", path.name)]
    files = [path for path in files if path.with_name(f"{path.name[:6]}_ResponseData.h5") in lab.files]
    if not files:
        return None
    tables = [lab.folder / path.with_name(f"{path.name[:6]}_StimulusMetadata.csv") for path in files]
    columns = ([cell for of in tables for cell in table_column(of, name)] for name in ("stimulus", "trial_type"))
    sets = {Path(name).stem: kind for name, kind in zip(*columns, strict=True)}
    images = {path.stem: str(path) for path in lab.ending(*labs.IMAGES)}
    texts = {name: re.sub(r"_\d+[a-z]+$", "", name).replace("_", " ") for name in sets}  # aardvark_01b
    kind, told = ("path", images) if sets.keys() <= images.keys() else ("text", texts)
    table = Path("things_images.tsv")
    lab.write(table, [("stimulus_id", kind, "set"), *((name, told[name], of) for name, of in sets.items())])
    shared = {"format": "things_fmri", "root": str(files[0].parent)}
    recordings = {path.name[4:6]: shared | {"participant": path.name[4:6]} for path in files}
    return {"stimuli": str(table), "recordings": recordings, "splits": {"held": {"column": "set", "value": "test"}}}
