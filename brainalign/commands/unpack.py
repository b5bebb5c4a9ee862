"""Files of a lab's that say several things at once, taken apart into the files that a study is made of."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.commands.lab import (
    ARRAYS,
    CALLED,
    IMAGES,
    SUBJECT,
    VOLUMES,
    Lab,
    are_names,
    image_names,
    is_number,
    study_names,
    subject_of,
)
from brainalign.io import (
    MISSING,
    array_shapes,
    load_image_file,
    read_lines,
    read_parquet,
    read_text_table,
    stored_arrays,
)
from brainalign.study import table_column

UNITS = {"target_id", "roi"}
# What files of what was shown are called, beside an array.
LABELS = dict.fromkeys(("y", "label", "condition", "category", "class", "order", "stim_order", "stimuli"), "stimulus")
# Columns of numbers that are no responses, though a table of trials may have them.
BESIDE = {"onset", "duration", "trial", "repeat", "repetition", "rep", "rt", "age", "index", "block", "unnamed"}
PEOPLE = ("subject", "participant", "subject_id", "participant_id")
LEAST_TARGETS, LONGEST_CHANNEL = 3, 4  # letters, as AFz
KEYS = {"session", "run", "trial", "trial_id", "repeat", "repetition", "onset", "onset_s"}  # what tells trials apart
OF_TRIAL = "of_trial"  # the first row of a target that no other column tells apart is of the first trial, and so on


def unpack_vectors(lab: Lab) -> list[Path]:
    """Write what arrays, or files of vectors beside them, say of rows and columns into tables; return these.

    MATLAB's files often hold both, and a folder of NumPy's a file each (X.npy, y.npy).
    """
    written: list[Path] = []
    shown = lab.shown()
    for path in lab.ending(*ARRAYS):
        cells, named = {}, {}
        with suppress(BrainalignError, TypeError):  # what holds no numbers or text is left alone
            shapes = array_shapes(lab.folder / path)
            largest = max(shapes.values(), key=lambda shape: (len(shape) > 1, np.prod(shape)), default=())
            vectors = [name for name, shape in shapes.items() if max(shape, default=0) == np.prod(shape)]
            vectors = [name for name in vectors if max(shapes[name]) in largest]
            beside = _beside(lab, path, largest, shown) if len(largest) > 1 else {}
            last = {name.rpartition("/")[2]: name for name in [*vectors, *beside]}  # of groups, and MATLAB's structs
            named = study_names(list(last)) | {name: name for name in last if name in CALLED}
            if "stimulus_id" not in named.values():
                named |= dict.fromkeys([name for name in last if name.lower() in LABELS][:1], "stimulus_id")
            contents = stored_arrays(lab.folder / path, vectors) | beside
            cells = {name: [*map(_cell, contents[of].ravel())] for name, of in last.items()}
            if told := [name for name, of in cells.items() if are_names(of, shown)]:  # more than what they are called
                told.sort(key=lambda name: (len(cells[name]) != largest[0], named.get(name) != "stimulus_id"))
                named = {old: new for old, new in named.items() if new != "stimulus_id"} | {told[0]: "stimulus_id"}
        for kind, asked in {"trials": {"stimulus_id"}, "units": UNITS}.items():
            of = {old: new for old, new in named.items() if cells and (new in UNITS) == (kind == "units")}
            first = next((old for old, new in of.items() if new in asked), None)
            of = {old: new for old, new in of.items() if first and len(cells[old]) == len(cells[first])}
            if not of:
                continue
            written.append(path.with_name(f"{path.stem}_{kind}.tsv"))
            lab.write(written[-1], zip(*([new, *cells[old]] for old, new in of.items()), strict=True))
            said = ", ".join(new if new == old else f"{new} for {old}" for old, new in of.items())
            lab.remark_on_stimuli(f"..._{kind}.tsv are of {path.suffix} files: {said}")
    lab.files += written
    return written


def unpack_cells(lab: Lab) -> list[Path]:
    """Write MATLAB's cells, where each holds the array of a person, as a file for each; what all share goes along."""
    written: list[Path] = []
    for path in lab.ending(".mat"):
        with suppress(BrainalignError):
            content = stored_arrays(lab.folder / path, array_shapes(lab.folder / path))
            cells = {name: values.ravel().tolist() for name, values in content.items() if values.dtype.kind in "OU"}
            arrays = [name for name, parts in cells.items() if all(min(np.shape(of), default=0) > 1 for of in parts)]
            if not arrays:
                continue
            n = len(cells[arrays[0]])
            names = [f"{k + 1:02d}" for k in range(n)]
            for name, parts in cells.items():
                if name.removesuffix("s") in ("name", *PEOPLE) and len(parts) == n:
                    told = [re.sub("[^A-Za-z0-9]", "", _cell(part)) for part in parts]
                    names = told if len({*told} - {""}) == n else names
            shared = {name: values for name, values in content.items() if values.dtype != object}
            of = {name: parts for name, parts in cells.items() if len(parts) == n}
            files = [path.with_name(f"sub-{name}_{path.stem}.npz") for name in names]
            lab.written |= {*files}
            for k, file in enumerate(files):
                own = {name: parts[k] for name, parts in of.items() if np.asarray(parts[k]).dtype.kind in "biufU"}
                np.savez(lab.folder / file, allow_pickle=False, **shared | own)
            lab.remark_on_stimuli(f"{files[0]} to {files[-1].name} are the cells of {path}")
            lab.files.remove(path)
            written += files
    lab.files += written
    return written


def unpack_order(lab: Lab) -> bool:
    """Write tables of trials where no file tells them, but an axis of an array is as long as stimuli are many.

    They are in the order of a table of stimuli or, of images, of their names (9 before 10), in the folder of a subject
    where these have their own.
    """
    own = {model["file"] for model in lab.vectors().values()}
    tables = sorted(lab.tables("stimulus_id"), key=lambda path: "stim" in path.stem)
    images = sorted(lab.ending(*IMAGES), key=lambda path: list(map(_counted, re.split(r"(\d+)", path.as_posix()))))
    orders = {path: table_column(lab.folder / path, "stimulus_id") for path in tables if str(path) not in own}
    if not orders:
        for path, name in zip(images, image_names(images, ()), strict=True):
            orders.setdefault(path.parent, []).append(name)
    written: dict[Path, list[str]] = {}
    for path in () if any(map(lab.lists_trials, tables)) else [*lab.ending(*ARRAYS), *lab.volumes()[0]]:
        if path.name.lower().endswith(ARRAYS):
            shape = max(array_shapes(lab.folder / path).values(), key=lambda of: (len(of) > 1, np.prod(of)), default=())
        else:
            shape = (load_image_file(lab.folder / path).shape[3], 1)
        fitting = [place for place, ids in orders.items() if len(shape) > 1 and len(ids) in shape]
        fitting = [place for place in fitting if subject_of(place) == subject_of(path)] or fitting
        trials = path.with_name("trials.tsv")
        if fitting and str(path) not in own and trials not in (*lab.files, *written):
            written[trials] = ids = orders[fitting[0]]
            lab.write(trials, [["stimulus_id"], *([name] for name in ids)])
    for trials, ids in [*written.items()][:1]:
        lab.remark_on_stimuli(f"trials are taken to be in order, {ids[0]} to {ids[-1]}: correct {trials} if not")
        others = [path for path in lab.ending(".json", ".txt", ".csv", ".tsv") if path not in (*orders, *written)]
        texts = {path: (lab.folder / path).read_text(errors="replace") for path in others}
        naming = [path for path, text in texts.items() if all(Path(name).stem in text for name in ids)]
        lab.remark_on_stimuli(*(f"{path} names them too" for path in naming))
    lab.files += written
    return bool(written)


def _counted(part: str) -> int | str:
    return int(part) if part.isdecimal() else part


def _beside(lab: Lab, path: Path, shape: tuple[int, ...], shown: set[str]) -> dict[str, NDArray[Any]]:
    """Return vectors as long as an axis of an array that lie in files beside it, by what these are called."""
    found, mine = {}, SUBJECT.search(path.stem)
    for file in lab.ending(".npy", ".txt", ".csv", ".tsv"):
        of = SUBJECT.search(file.stem)
        if file.parent != path.parent or (of and mine and of[1] != mine[1]):
            continue
        name = SUBJECT.sub("", file.stem).strip("-_. ").lower()
        name = LABELS.get(name) or LABELS.get(name.removesuffix("s"), name.removesuffix("s"))
        if file.suffix != ".npy":
            values = np.array(read_lines(lab.folder / file))
            if file.suffix != ".txt" and not are_names(values.tolist(), shown):  # a list without a header is no table
                continue
        elif max(array_shapes(lab.folder / file)[""], default=0) in shape:
            values = stored_arrays(lab.folder / file, [""])[""]
        else:
            continue
        if values.size in shape and values.size == max(values.shape):
            found[name] = values.ravel()
    return found


def unpack_tables(lab: Lab) -> list[Path]:
    """Write tables of trials that hold the responses, too, as arrays with a table of rows and of columns.

    Responses are columns of numbers, or one column where a row is of a trial and a target.
    """
    written: list[Path] = []
    own = {model["file"] for model in lab.vectors().values()}  # of stimuli, which are no responses
    others = [path for path in lab.ending(*ARRAYS, *VOLUMES) if str(path) not in own]
    for path in lab.tables("stimulus_id") if not others else ():
        if not lab.lists_trials(path):
            continue
        read = read_parquet if path.suffix == ".parquet" else read_text_table
        table = read(lab.folder / path).astype(str)
        told = {"stimulus_id", "run", "session", *UNITS, *PEOPLE}
        columns = [str(name) for name in table]
        names = [name for name in columns if name.lower() not in told and _is_numeric(table[name])]
        names = [name for name in names if not BESIDE & {*re.findall("[a-z]+", name.lower())[:1]}]
        table[names] = table[names].replace(list(MISSING), np.nan).astype(float)
        person = next((name for name in columns if name.lower() in PEOPLE), None)
        long = "target_id" in columns
        if long:
            trial = [*([person] if person else []), "stimulus_id", *(name for name in columns if name.lower() in KEYS)]
            if table.groupby(trial)["target_id"].nunique().max() == 1:  # trials are counted on from neuron to neuron
                trial = [name for name in trial if name.lower() not in ("trial", "trial_id")]
                lab.remark_on_stimuli("neurons have trials of their own: the first of each share a row, and so on")
            table[OF_TRIAL] = table.groupby([*trial, "target_id"]).cumcount()
            trial.append(OF_TRIAL)
            for same in ("target_id", trial):  # depth is of a neuron, and a reaction time of a trial
                names = [name for name in names if table.groupby(same)[name].nunique().max() > 1]
            if len(names) > 1:
                names = [lab.answer("recordings", f"column of the responses: {', '.join(names)}", names[-1])]
        odd = [name for name in names if len(name) > LONGEST_CHANNEL and not re.search(r"\d$", name)]
        if not long and odd and len(names) - len(odd) >= LEAST_TARGETS:
            question = f"columns that are no responses, of {', '.join(odd)} beside {names[-1]}"
            none = lab.answer("recordings", question, ", ".join(odd)).split(", ")
            names = [name for name in names if name not in none]
        if len(names) < (1 if long else LEAST_TARGETS):
            continue
        for subject, rows in table.groupby(person, sort=False) if person else [("", table)]:
            stem = f"sub-{re.sub('[^A-Za-z0-9]', '', str(subject))}_{path.stem}" if subject else path.stem
            files = [path.with_name(f"{stem}_{kind}") for kind in ("values.npy", "trials.tsv", "units.tsv")]
            lab.written |= {*files}
            if long:
                values, trials, units = _widened(rows, names[0], trial)
            else:
                values, trials = rows[names], rows.drop(columns=names)
                areas = [of and of[1] for of in (re.fullmatch(r"(.*[A-Za-z].*?)[-_ .]\d+", name) for name in names)]
                areas = ["" if area in (None, *CALLED["target_id"].split()) else area for area in areas]
                units = pd.DataFrame({"target_id": names, "roi": areas})
            np.save(lab.folder / files[0], values.to_numpy(dtype=np.float32))
            trials.to_csv(lab.folder / files[1], sep="\t", index=False)
            units.to_csv(lab.folder / files[2], sep="\t", index=False)
            written += files
        lab.files.remove(path)
        what = f"column {names[0]}" if long else f"columns {names[0]} to {names[-1]}"
        lab.remark_on_stimuli(f"..._values.npy are the {what} of {path}")
    lab.files += written
    return written


def _is_numeric(cells: "pd.Series[str]") -> bool:
    """Tell whether cells are numbers, at least half of them known."""
    known = cells[~cells.isin(MISSING)]
    return 2 * len(known) >= len(cells) and all(map(is_number, known))


def _widened(table: pd.DataFrame, name: str, trial: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return a row per trial and a column per target, with the tables of both; NaN where a target has no such trial.

    Columns `trial` say which trial a row is of.
    """
    groups = table.groupby(trial, sort=False)
    others = [name for name in table if name not in (*UNITS, OF_TRIAL)]
    trials = groups[others].first().loc[:, (groups[others].nunique() == 1).all()]
    units = table.drop_duplicates("target_id")
    wide = table.set_index([*trial, "target_id"])[name].unstack()
    return wide.loc[trials.index, units["target_id"]], trials, units[[name for name in units if name in UNITS]]


def _cell(value: Any) -> str:
    """Write an entry of a vector: MATLAB's cells hold arrays, and its counts are fractions."""
    while isinstance(value, np.ndarray) and value.size:
        value = value.flat[0]
    if isinstance(value, bytes):  # of HDF5
        return value.decode()
    return f"{value:.15g}" if isinstance(value, float | np.floating) else str(value).rstrip()  # MATLAB pads texts
