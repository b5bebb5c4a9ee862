"""Folders of arrays or maps with a table of a trial per row, and whose rows vectors of models are."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.checks import BrainalignError, listed
from brainalign.commands.init import lab as labs
from brainalign.commands.init import unpack
from brainalign.commands.init.arrays import describe_array, of_trials
from brainalign.commands.init.lab import ARRAYS, CIFTI, Lab, named_texts
from brainalign.commands.init.unpack import read_table
from brainalign.commands.init.volumes import A_GLM, describe_maps
from brainalign.io import MISSING, array_shapes, counting_order, load_image_file
from brainalign.study import table_column, table_columns, table_rows

MOST_CATEGORIES = 12  # that are decoded over time, where nothing says what they look like


def describe_rows(lab: Lab) -> dict[str, Any] | None:
    """Describe arrays, or maps, with a table of a trial per row."""
    copies, tables = re.compile(f"{labs.JOINED}|{unpack.ORDERED}$"), lab.tables("stimulus_id")
    trials = [path for path in tables if lab.lists_trials(path) and not copies.search(path.stem)]
    trials = [path for path in trials if path.with_name(f"{path.stem}_{unpack.COUNTED}.tsv") not in tables]
    arrays = lab.responses()
    data = arrays or lab.volumes()[0] or lab.ending(*labs.SURFACES) or lab.ending(*CIFTI)
    if not (trials and data):
        return None
    trials = [*unpack.unpack_unused(lab, trials).values()]
    stimuli, models = lab.stimuli(), lab.vectors()
    data = _arrays_of_trials(lab, arrays, trials) if arrays else data
    people = labs.by_subject(data)
    if arrays and not lab.units():
        units = unpack.unpack_vectors(lab, ["units"])
        for path in units if len(labs.by_subject(units)) < len(people) else ():
            lab.files.remove(path)
            lab.forget([path])
            lab.remark("recordings", f"areas of {path.stem.removesuffix('_units')} are not read: others have none")
    if arrays and unpack.unpack_owners(lab, data, trials):
        return describe_rows(lab)
    trials = [unpack.unpack_mixed(lab, path) for path in trials]
    recordings: dict[str, Any] = {}
    for name, of in people.items():
        recordings |= _recordings(lab, name, of, trials, people)
    guessed = [str(path) for path in data if not labs.SUBJECT.search(path.as_posix())]
    if len(people) > 1 and guessed and len({path.parent for path in data}) == 1:
        lab.remark("recordings", f"{listed(guessed)} are taken to be of a person each: leave out any of nobody")
    ids = [name for name in table_column(lab.folder / trials[0], "stimulus_id") if name not in MISSING]
    if not stimuli and "times_s" in next(iter(recordings.values())) and len({*ids}) <= MOST_CATEGORIES:
        return {"recordings": recordings}  # categories are decoded
    said = {"path", "text", "caption", "category"} & {*(table_columns(lab.folder / stimuli) if stimuli else ())}
    if not said and not models and all(map(labs.is_number, ids)):
        remedy = "which no model can read; add images that are called so, or stimuli.tsv with a path or text of each"
        raise BrainalignError(f"{trials[0]}: numbers tell what was shown, {'; '.join([remedy, *lab.unread])}")
    models |= {} if lab.ending(*labs.IMAGES) else _vectors_of_words(lab, ids)
    shown: Any = str(stimuli) if stimuli else named_texts(lab, ids)
    runs = len(set(table_column(lab.folder / trials[0], "run")))
    described = {"stimuli": shown, "recordings": recordings, "splits": lab.splits(stimuli, runs, ids)}
    return described | describe_models(lab, models, shown)


def _arrays_of_trials(lab: Lab, arrays: list[Path], trials: list[Path]) -> list[Path]:
    """Choose arrays with a row per trial, else those with another axis of trials, else all."""
    numbers = {len(table_column(lab.folder / path, "stimulus_id")) for path in trials}
    shapes = {path: array_shapes(lab.folder / path) for path in arrays}
    wide = [path for path in arrays if any(np.prod(of) > max(of, default=1) for of in shapes[path].values())]
    axes = {path: of_trials(shapes[path], numbers) for path in wide or arrays}  # vectors of MATLAB have two axes
    each = len(axes) == len(trials)  # stimuli for testing may lie behind their repeats
    first = [at for at, of in axes.items() if of and (of[1] == 0 or (each and labs.PART.search(at.name)))]
    data = first or [path for path, found in axes.items() if found] or arrays
    return unpack.unpack_axis(lab, data[0], numbers) if len(data) == 1 else data


def _recordings(
    lab: Lab, name: str, of: list[Path], trials: list[Path], people: dict[str, list[Path]]
) -> dict[str, Any]:
    """Describe the files of a person, or of several who share an array, with their table of trials."""
    is_array = of[0].name.lower().endswith(ARRAYS)
    shapes = array_shapes(lab.folder / of[0]) if is_array else {}
    lengths = {n for shape in shapes.values() for n in shape}
    fit = {path for path in trials if not of[1:] and len(table_column(lab.folder / path, "stimulus_id")) in lengths}
    # fmri/trials.tsv is of fmri/betas.npy, and a/trials.tsv of a/neural/rates.npy; beside them may lie ratings.
    nearest = sorted(trials, key=lambda path: (-len({*path.parents} & {*of[0].parents}), path not in fit))
    possible = labs.files_of_subject(name, nearest, people)
    alone = len(people) == 1 and not (is_array and unpack.people_in(shapes))
    fitting = [path for path in possible if path in fit] or possible
    called = [path for path in fitting if alone or labs.bare_name(name) in map(labs.bare_name, labs.words_of(path))]
    table, own = possible[0], labs.by_subject(trials).get(name) or called or possible[:1]
    if is_array and (joined := unpack.join_parts(lab, name, of, own)):
        return {name: describe_array(lab, name, *joined, people)}
    if is_array and len(of) == 1 < len(own) and len({labs.PART.sub("", str(path)) for path in own}) == 1:
        own = sorted(own, key=counting_order)
        parts = [read_table(lab.folder / path) for path in own]
        if sum(map(len, parts)) in lengths:  # of GLMsingle, which joins runs
            table = unpack.join_tables(lab, name, own, parts)
            lab.remark("stimuli", f"{table} is {listed([*map(str, own)])}, in the order of their numbers")
            own = nearest = [table]
    if not is_array and (of_all_maps := _joined_as_maps(lab, name, of, own)):
        own = [table := of_all_maps]
    several = f"subject {name} has {len(of)} files of responses ({listed([str(path) for path in of])})"
    at_once = len(labs.hemispheres_of(of)) if of[0].suffix in (".gii", ".mgh") else 1
    if len(own) > 1 and (is_array or len(of) > at_once):
        remedy = "join them into a file and a table with a column session or run, or call each sub-... of a name"
        remedy = A_GLM if "_bold." in str(of) else f"{remedy} of its own, where their neurons differ"
        raise BrainalignError(f"{several} and {len(own)} tables of trials; {remedy}")
    if not is_array:
        return {name: {"format": "betas"} | describe_maps(lab, name, of, people) | {"trials": str(table)}}
    chosen = str(of[0]) if len(of) == 1 else lab.answer("recordings", f"{several}; which is read", str(of[0]))
    values = next((path for path in of if str(path) == chosen), of[0])
    groups = unpack.people_in(array_shapes(lab.folder / values)) or {name: ""}
    those = groups if len(groups) > 1 else people
    if guessed := [group for group in groups.values() if group and not labs.SUBJECT.search(group)]:
        lab.remark("recordings", f"{listed(guessed)} of {values} are taken to be of a person each")
    return {
        who: describe_array(lab, who, values, labs.files_of_subject(who, nearest, those)[0], lab.units(), those, group)
        for who, group in groups.items()
    }


def _joined_as_maps(lab: Lab, name: str, of: list[Path], tables: list[Path]) -> Path | None:
    """Write trials in the order of files of maps, from a table of all or one of each; None where nothing tells it."""
    parts = [read_table(lab.folder / path) for path in tables]
    if len(parts) == 1 < len(of):  # which may list the last session first
        return unpack.join_tables(lab, name, tables, unpack.in_parts(parts[0], [*map(str, of)]))
    numbers, in_tables = (unpack.part_numbers(path.name for path in paths) for paths in (of, tables))
    if len(parts) > 1 and of[0] in lab.ending(*labs.VOLUMES, *CIFTI) and all(numbers) and numbers == in_tables:
        sizes = [load_image_file(lab.folder / path).shape[0 if path in lab.ending(*CIFTI) else 3] for path in of]
        if [*map(len, parts)] == sizes:
            return unpack.join_tables(lab, name, tables, parts)
    return None


def _vectors_of_words(lab: Lab, ids: list[str]) -> dict[str, Any]:
    """Describe tables of numbers whose first column, whatever it is called, holds all that was shown."""
    models: dict[str, Any] = {}
    for path in lab.ending(*labs.TABLES):
        (header, first), (key, *_) = lab.head(path), [*lab.head(path)[0], ""]
        if "stimulus_id" in header or len(header) < 3 or not all(map(labs.is_number, first[1:])):
            continue
        rows = {row[0]: row for row in [*table_rows(lab.folder / path)][1:]}
        if {*ids} <= rows.keys():
            copy = path.with_name(f"{path.stem}_renamed.tsv")
            lab.write(copy, [["stimulus_id", *header[1:]], *rows.values()])
            lab.remark("models", f"{copy} is {path} with stimulus_id for {key}")
            models[re.sub(r"[^A-Za-z0-9]", "", path.stem)] = {"extractor": "table", "file": str(copy)}
    return models


def describe_models(lab: Lab, models: dict[str, Any], shown: Any) -> dict[str, Any]:
    """Describe models, if any, with whose their rows are: of stimuli in the order of their table, or as they stand."""
    stimuli = None if isinstance(shown, dict) else lab.folder / shown
    order = table_column(stimuli, "stimulus_id") if stimuli else [*shown]
    found = {name: of | _whose(lab, Path(of["file"]), order, stimuli) for name, of in models.items()}
    return {"models": found} if found else {}


def _whose(lab: Lab, vectors: Path, order: list[str], stimuli: Path | None) -> dict[str, Any]:
    """Say whose the rows of an array of vectors are, where it does not itself: as a list says that names each once."""
    shapes = array_shapes(lab.folder / vectors) if vectors.name.lower().endswith(ARRAYS) else {"stimulus_id": ()}
    if vectors in lab.tables("stimulus_id"):  # dog.png may be shown, and vectors be of dog
        table, stems = read_table(lab.folder / vectors), {Path(name).stem: name for name in order}
        known = table["stimulus_id"]
        if not {*order} <= {*known} and stems.keys() <= {Path(name).stem for name in known}:
            table["stimulus_id"] = [stems.get(Path(name).stem, name) for name in known]
            copy = vectors if vectors in lab.written else vectors.with_name(f"{vectors.stem}_renamed.tsv")
            lab.write(copy, [[*table], *table.to_numpy().tolist()])
            lab.remark("models", f"{copy} has the names that trials have")
            return {"file": str(copy)}
    if "stimulus_id" in shapes:
        return {}
    n = next((of[0] for of in shapes.values() if len(of) == 2), 0)
    # Lists may call images by their files, with ending or without, where numbers stand for these.
    pairs = zip(order, table_column(stimuli, "path") if stimuli else order, strict=False)
    forms = [(form, name) for name, at in pairs for form in {name, Path(at).name, Path(at).stem}]
    often = Counter(form for form, _ in forms)
    called = {form: name for form, name in forms if often[form] == 1 or form == name}
    lists = {path: [called[name] for name in names] for path, names in lab.lists(called, n)}
    lists = {path: ids for path, ids in lists.items() if path not in lab.tables("stimulus_id")}
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
