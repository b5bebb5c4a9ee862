"""Files of a lab's that say several things at once, taken apart into the files that a study is made of."""

import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import io
from brainalign.checks import BrainalignError, listed
from brainalign.commands.init import lab as labs
from brainalign.commands.init.lab import ARRAYS, CALLED, JOINED, PART, SUBJECT, Lab
from brainalign.study import LEFT_OUT, table_column, table_rows

UNITS, SIGNS = {"target_id", "roi"}, "[^A-Za-z0-9]"
# What files of what was shown are called, beside an array.
LABELS = dict.fromkeys(("y", "label", "condition", "category", "class", "order", "stim_order", "stimuli"), "stimulus")
# Columns of numbers that are no responses, though a table of trials may have them.
BESIDE = {"onset", "duration", "trial", "repeat", "repetition", "rep", "rt", "age", "index", "block", "unnamed"}
PERSON = "(?:sub(?:j(?:ect)?)?|participant|patient|monkey|versuchsperson|vpn?{})s?[-_ ]?(?:id|name|code|n[or])?s?"
# Columns of people, and of whose neurons are; trials may say what was shown as `animal`.
PEOPLE, OWNERS = (re.compile(PERSON.format(more), re.IGNORECASE).fullmatch for more in ("", "|animal|mouse"))
OF_PART = re.compile(rf"(?i)^{labs.SET}|(?<![a-z]){labs.SET}$")  # train_x, x_test
TEST_ROWS = re.compile(r"(?i)(?:.*/)?(?:test[-_]?(?:idx|inds?|index|indices)|(?:idx|inds?|index|indices)[-_]?test)")
LEAST_TARGETS, LONGEST_CHANNEL = 3, 4  # letters, as AFz
KEYS = {"session", "run", "trial", "trial_id", "repeat", "repetition", "onset", "onset_s"}  # what tells trials apart
# Columns that count trials; unnamed is the index of a table in pandas. Copies of tables in their order are called so.
COUNTS, ORDERED = re.compile(r"(?i)trial.*|(presentation[-_ ]?)?(order|index|number)|onset.*|unnamed.*|"), "in_order"
KINDS = {"ses": "session", "day": "session", "run": "run", "block": "run"}  # of parts, in names of files
KIND = re.compile(r"(?i)(?<![a-z])(ses|day|run|block)[a-z]*[-_]?(\d+)")
MOMENT = re.compile(r"(?i)(?:time|latency|bin|t)(?:[-_ .]?(?:bin|point|index|start|m?s))?s?")  # that a row is of
# Columns that mark trials to be used, or not, and copies of tables that mark them in one.
KEPT, COUNTED = r"(?i:(is[-_ ]?)?(kept|keep|included?|accept(ed)?|good)([-_ ]?(trial|epoch)s?)?)", "counted"
EXCLUDED = re.compile(rf"(?i){LEFT_OUT}|exclu(ded?)?|ausgeschlossen|bad|reject(ed)?|{KEPT}").fullmatch
NO_RESPONSES = re.compile("(?i)feature|vector|embed|regressor|confound|motion|eye|gaze")  # tables of numbers called so
OF_TRIAL = "of_trial"  # the first row of a target that no other column tells apart is of the first trial, and so on


def unpack_vectors(lab: Lab, kinds: Collection[str] = ("trials", "units")) -> list[Path]:
    """Write what arrays, or files of vectors beside them, say of rows and columns into tables; return these.

    MATLAB's files often hold both, and a folder of NumPy's a file each (X.npy, y.npy).
    """
    written: list[Path] = []
    shown = lab.shown()
    for path in lab.responses():
        found: dict[str, tuple[dict[str, list[str]], dict[str, str]]] = {}
        with suppress(BrainalignError, TypeError):  # what holds no numbers or text is left alone
            parts = groups(io.array_shapes(lab.folder / path))
            found = {group: _vectors(lab, path, of, shown) for group, of in parts.items()}
        for group, (cells, named) in found.items():
            for kind in kinds:
                asked = UNITS if kind == "units" else {"stimulus_id"}
                of = {old: new for old, new in named.items() if cells and (new in UNITS) == (kind == "units")}
                of |= {one: one for one in cells if (OWNERS(one) if kind == "units" else PEOPLE(one) or EXCLUDED(one))}
                first = next((old for old, new in of.items() if new in asked), None)
                of = {old: new for old, new in of.items() if first and len(cells[old]) == len(cells[first])}
                if not of:
                    continue
                written.append(path.with_name("_".join([path.stem, *filter(None, group.split("/")), f"{kind}.tsv"])))
                lab.write(written[-1], zip(*([new, *cells[old]] for old, new in of.items()), strict=True))
                if all(np.prod(of) == max(of, default=1) for of in parts[group].values()):
                    lab.used.add(path)
                said = ", ".join(new if new == old else f"{new} for {old}" for old, new in of.items())
                lab.remark("stimuli", f"..._{kind}.tsv are of {path.suffix} files: {said}")
    lab.files += written
    return written


def _parts(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Part the names of arrays in a file into their groups, or people, or sets, and what they are of these.

    Names may end in who it is (`betas_AB`, `stim_AB`), where several have what was shown, and all else alike.
    """
    ends: dict[str, set[str]] = {}
    for bare, _, end in (name.rpartition("_") for name in names):
        ends.setdefault(end, set()).add(bare)
    shown = {end for end, of in ends.items() if of & LABELS.keys() or "stimulus_id" in labs.study_names([*of]).values()}
    people = {end for end in shown if [*ends.values()].count(ends[end]) > 1 and not labs.REGION.fullmatch(end)}
    parts = {}
    for name in names:
        group, _, bare = name.rpartition("/")
        marks = labs.OF_SET.fullmatch(name) or TEST_ROWS.fullmatch(name)  # which tell rows apart, and are of no set
        if told := None if group or marks else SUBJECT.match(name) or OF_PART.search(name):
            group, bare = told[0], (name[: told.start()] + name[told.end() :]).strip("-_")
        elif (apart := name.rpartition("_"))[2] in people:
            bare, _, group = apart
        parts[name] = group, bare
    return parts


def groups(shapes: io.Shapes) -> dict[str, io.Shapes]:
    """Part the arrays of a file by group or person where several hold one that is called like the largest.

    Vectors beside the arrays of people are of them all.
    """
    largest = max(shapes, key=lambda name: (len(shapes[name]) > 1, np.prod(shapes[name])), default="")
    parts = _parts([*shapes, largest])
    names = {group: name for name, (group, bare) in parts.items() if bare == parts[largest][1]}
    within = {of: [one for one in shapes if parts[one][0] == of or one.startswith(f"{of}/")] for of in names}
    flat = [name for name, of in shapes.items() if not parts[name][0] and np.prod(of) == max(of, default=1)]
    size = shapes.get(largest, ())  # stimuli for testing may have an axis of repeats where others have none
    fits = {of: shapes[name] for of, name in names.items()}
    alike = [name for name, of in fits.items() if len(of) == len(size) or (of[1:] and of[-1] == size[-1])]
    found = {of: {one: shapes[one] for one in [*within[of], *flat * ("/" not in names[of])]} for of in alike}
    return found if len(found) > 1 else {"": shapes}


def people_in(shapes: io.Shapes) -> dict[str, str]:
    """Name the people who have a group each in a file, by what stands before the names of their arrays, if any."""
    names = [group for group in groups(shapes) if group and not PART.search(group) and not labs.REGION.search(group)]
    around = len(os.path.commonpath(names)) if len(names) > 1 else 0  # a group of all of them is no part of a name
    people = {re.sub("sub(j|ject)?[-_]?|[^A-Za-z0-9]", "", name[around:]): name for name in names}
    return people if len(people) > 1 else {}


def _vectors(lab: Lab, path: Path, shapes: io.Shapes, shown: set[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the vectors of an array's axes, in its file or beside it, and what studies call them."""
    largest = max(shapes.values(), key=lambda shape: (len(shape) > 1, np.prod(shape)), default=())
    vectors = [name for name, shape in shapes.items() if max(shape, default=0) == np.prod(shape)]
    vectors = [name for name in vectors if max(shapes[name]) in largest]
    beside = _beside(lab, path, largest, shown) if len(largest) > 1 else {}
    bare = _parts([*io.array_shapes(lab.folder / path), *beside])
    last = {bare[name][1]: name for name in [*vectors, *beside]}  # of groups, people, and MATLAB's structs
    named = labs.study_names(list(last)) | {name: name for name in last if name in CALLED}
    if "stimulus_id" not in named.values():
        of = [name for name in last if {name.lower(), name.lower().removesuffix("s")} & LABELS.keys()]
        named |= dict.fromkeys(of[:1], "stimulus_id")
    elif "target_id" not in named.values():  # labels beside what was shown are those of channels
        named |= dict.fromkeys([name for name in last if name.lower() in ("label", "labels")][:1], "target_id")
    contents = io.stored_arrays(lab.folder / path, vectors) | beside
    cells = {name: [*map(labs.cell_text, contents[of].ravel())] for name, of in last.items()}
    if told := [name for name, of in cells.items() if labs.are_names(of, shown)]:  # more than what they are called
        told.sort(key=lambda name: (len(cells[name]) != largest[0], named.get(name) != "stimulus_id"))
        named = {old: new for old, new in named.items() if new != "stimulus_id"} | {told[0]: "stimulus_id"}
    elif "stimulus_id" not in named.values():  # sentences were read or heard
        read = [name for name, of in cells.items() if of[1:] and np.mean([*map(len, map(str.split, of))]) > 3]
        named |= dict.fromkeys([name for name in read if len(cells[name]) == largest[0]][:1], "stimulus_id")
    told_apart = labs.OF_SET.fullmatch  # as is_test, or of texts that say train and test
    named |= {name: name for name, of in cells.items() if told_apart(name) or all(map(told_apart, {*of}))}
    n, first = next((len(cells[old]) for old, new in named.items() if new == "stimulus_id"), 0), path.suffix == ".mat"
    for name in filter(TEST_ROWS.fullmatch, shapes):  # which MATLAB counts from 1
        rows = io.stored_arrays(lab.folder / path, [name])[name].ravel() - first
        if {*rows} <= {*range(n)}:
            cells["set"], named["set"] = ["test" if k in rows else "train" for k in range(n)], "set"
            lab.remark("splits", f"{name} of {path} are taken to be rows, counted from {int(first)}")
    return cells, named


def unpack_cells(lab: Lab) -> None:
    """Write MATLAB's cells, where each holds the array of a person, as a file for each; what all share goes along.

    So with a struct of several: its fields are cells.
    """
    for path in lab.ending(".mat"):
        with suppress(BrainalignError):
            content = io.stored_arrays(lab.folder / path, io.array_shapes(lab.folder / path))
            for name, struct in [*content.items()]:
                content |= {f"{name}/{field}": struct[field] for field in struct.dtype.names or ()}
            cells = {name: values.ravel().tolist() for name, values in content.items() if values.dtype.kind in "OU"}
            arrays = [name for name, parts in cells.items() if all(min(np.shape(of), default=0) > 1 for of in parts)]
            if not arrays:
                continue
            n = len(cells[arrays[0]])
            names = [f"sub-{k + 1:02d}" for k in range(n)]
            are_rdms = "rdm" in f"{path.stem}{arrays}".lower()
            for name, parts in cells.items():
                bare = name.rpartition("/")[2]
                if len(parts) == n and (bare in ("name", "names") or PEOPLE(bare)):
                    texts = [*map(labs.cell_text, parts)]
                    told = _names_of_rdms(texts) if are_rdms else ["sub-" + re.sub(SIGNS, "", of) for of in texts]
                    names = told if len({*told} - {"", "sub-"}) == n else names
            shared = {name: values for name, values in content.items() if values.dtype.kind in "biufU"}
            of = {name: parts for name, parts in cells.items() if len(parts) == n}
            if are_rdms:
                shared, of = {}, {arrays[0]: of[arrays[0]]}
            called = path.stem if "rdm" in path.stem.lower() or not are_rdms else f"{path.stem}_rdm"
            files = [path.with_name(f"{name}_{called}.npz") for name in names]
            lab.written |= {*files}
            for k, file in enumerate(files):
                own = _plain({name: np.asarray(parts[k]) for name, parts in of.items()})
                np.savez(lab.folder / file, allow_pickle=False, **shared | own)
            lab.remark("stimuli", f"{files[0]} to {files[-1].name} are the cells of {path}")
            lab.files.remove(path)
            lab.files += files


def _names_of_rdms(texts: list[str]) -> list[str]:
    """Name dissimilarities as the toolbox for RSA does, `region | subject | session`: by what differs among them."""
    parts = [re.split(r"\s*\|\s*", text) for text in texts]
    telling = [place for place in range(min(map(len, parts))) if len({of[place] for of in parts}) > 1]
    people = "sub-" * (1 in telling and all(len(of) > 2 or bool(SUBJECT.match(of[1])) for of in parts))
    telling.sort(key=lambda place: place != 1)
    return [people + "_".join(re.sub(SIGNS, "", of[place]) for place in telling) for of in parts]


def _plain(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Choose arrays of numbers and of texts, those of cells or objects, too."""
    objects = {name: of for name, of in arrays.items() if of.dtype == object}
    objects = {name: of for name, of in objects.items() if all(np.asarray(text).dtype.kind == "U" for text in of.flat)}
    texts = {name: np.array([*map(labs.cell_text, of.flat)]) for name, of in objects.items()}
    return {name: of for name, of in (arrays | texts).items() if of.dtype.kind in "biufSU"}


def unpack_sets(lab: Lab) -> None:
    """Write a file for each person where one holds several sets or sessions of several (`sub1_train_data`)."""
    for path in lab.ending(*ARRAYS):
        shapes = io.array_shapes(lab.folder / path)
        whose = {name: found[1] for name in shapes if (found := SUBJECT.match(name))}
        parts = Counter(who for name, who in whose.items() if len(shapes[name]) > 1 and PART.search(name))
        if len(parts) < 2 or min(parts.values()) < 2:
            continue
        stored = _plain(io.stored_arrays(lab.folder / path, shapes))
        for who in parts:
            mine = {name: of for name, of in stored.items() if whose.get(name, who) == who}
            named = {SUBJECT.sub("", name, count=1).strip("-_/"): of for name, of in mine.items()}
            lab.files.append(own := path.with_name(f"sub-{who}_{path.stem}.npz"))
            lab.written.add(own)
            np.savez(lab.folder / own, allow_pickle=False, **named)
        lab.remark("stimuli", f"sub-..._{path.stem}.npz are the arrays of {path} by person")
        lab.files.remove(path)


SET_OF_BDPY = re.compile(r"([Tt]rain|[Tt]est)(?:ing)?(?![a-z])")  # in names, as perceptionNaturalImageTest_VC
WORDNET = re.compile(r"(\d{7,8})\.(\d{1,6})")  # 1518878.005958 is n01518878_5958 of ImageNet


def unpack_bdpy(lab: Lab) -> None:
    """Write files of bdpy as an array, a table of trials and one of voxels for each person, training and test in one.

    VoxelData are responses, ROI_... and voxel_x, _y, _z tell of voxels, and keys with a column of their own of trials.
    """
    told = {path: io.array_shapes(lab.folder / path) for path in lab.ending(".h5", ".hdf5")}
    keys = {path: [name for name in of if name.lower() == "metadata/key"] for path, of in told.items()}  # or metaData
    stored = {path: io.stored_arrays(lab.folder / path, of)[of[0]] for path, of in keys.items() if of}
    files = {path: "VoxelData" in map(labs.cell_text, kinds) for path, kinds in stored.items()}
    lab.files = [path for path in lab.files if path not in files]
    lab.unread += [f"{path}: is of bdpy, but has no VoxelData" for path, has_voxels in files.items() if not has_voxels]
    for who, of in labs.by_subject([*filter(files.get, files)]).items():
        called = {SUBJECT.sub("", path.stem).strip("-_"): path for path in of}
        sets = [name for name in called if SET_OF_BDPY.search(name)]
        if len(sets) < len(of) > 1:
            question = f"files of bdpy that are read together: {', '.join(called)}"
            sets = lab.answer("recordings", question, ", ".join(sets)).split(", ")
            of = [path for name, path in called.items() if name in sets]
            lab.unread += [f"{path}: others of bdpy are read" for path in called.values() if path not in of]
        parts = [_of_bdpy(lab, path, str(k + 1) if len(of) > 1 else "") for k, path in enumerate(of)]
        if other := next((k for k, part in enumerate(parts) if not part[2].equals(parts[0][2])), 0):
            sizes = f"{len(parts[other][2])}, than {of[0]}, {len(parts[0][2])}"
            raise BrainalignError(f"{of[other]}: has other voxels, {sizes}; save those of both, or move one away")
        trials = pd.concat([table for _, table, _ in parts]).fillna("n/a")
        ids = trials.drop_duplicates(["stimulus_id", *({"set"} & {*trials})])["stimulus_id"]
        both = sorted(map(str, ids[ids.duplicated() & ids.map(labs.is_number) & (ids != "0")]), key=float)
        if both:  # each file counts its own
            what = f"{listed(both)} are numbers of training and of test images"
            raise BrainalignError(f"{of[0]}: {what}; save the names of images in vmap")
        _write_person(lab, Path(f"sub-{who}_bdpy"), np.concatenate([of[0] for of in parts]), trials, parts[0][2])
        lab.remark("stimuli", f"sub-{who}_bdpy... are of {listed([*map(str, of)])}")


def _of_bdpy(lab: Lab, path: Path, part: str) -> tuple[NDArray[np.float32], pd.DataFrame, pd.DataFrame]:
    """Return responses, trials and voxels of a file of bdpy; `part` tells its sessions from those of other files."""
    at = lab.folder / path
    content = {name.lower(): values for name, values in io.stored_arrays(at, io.array_shapes(at)).items()}
    marks = dict(zip(map(labs.cell_text, content["metadata/key"]), content["metadata/value"], strict=True))
    data, of_voxels = content["dataset"], marks["VoxelData"] == 1
    rois = {key.removeprefix("ROI_"): of[of_voxels] == 1 for key, of in marks.items() if key.startswith("ROI_")}
    places = {f"{axis}_mm": marks[f"voxel_{axis}"][of_voxels] for axis in "xyz" if f"voxel_{axis}" in marks}
    voxels = pd.DataFrame({"target_id": [f"voxel-{k + 1}" for k in range(of_voxels.sum())], "kind": "voxel", **places})
    voxels["roi"] = [";".join(roi for roi in rois if rois[roi][k]) for k in voxels.index]
    trials, named, shown = pd.DataFrame(), list[str](), lab.shown()
    for key, place in ((key, np.flatnonzero((of == 1) & ~of_voxels)) for key, of in marks.items()):
        if len(place) == 1:
            told = f"vmap/{key.lower()}/"
            names = {float(name.removeprefix(told)): value for name, value in content.items() if name.startswith(told)}
            trials[key] = [labs.cell_text(names.get(cell, cell)) for cell in data[:, place[0]]]
            called = [WORDNET.sub(lambda of: f"n{of[1]:0>8}_{int(f'{of[2]:0<6}')}", cell) for cell in trials[key]]
            trials[key] = called if labs.are_names({*called}, shown) else trials[key].replace("nan", "n/a")
            named += [key] * bool(names)
    columns = [*map(str, trials)]
    ids = [key for key in columns if labs.are_names({*trials[key]}, shown)]
    last = ("image_index", "Label")  # which may count the images of each file
    asked = [key for key in columns if "stimulus_id" in {key, *labs.study_names([key]).values()} or key in last]
    ids += sorted(asked, key=lambda key: (key not in named, key in last))
    if not ids:
        raise BrainalignError(f"{path}: no column of {listed(columns, 9)} tells what was shown; call one stimulus_id")
    trials = trials.rename(columns={"stimulus_id": "code", ids[0]: "stimulus_id", "Session": "session", "Run": "run"})
    lab.remark("stimuli", f"stimulus_id is {ids[0]} of bdpy")
    if part:
        trials["session"] = f"{part}-" + trials["session"] if "session" in trials else part
    if found := SET_OF_BDPY.search(path.stem):
        trials["set"] = found[1].lower()
    elif "DataType" in trials:
        trials["set"] = trials["DataType"].map({"1": "train", "2": "test"})  # others were imagined
        trials = trials[trials["set"].notna()]
        lab.remark("recordings", f"{len(data) - len(trials)} of {len(data)} rows have another DataType than 1 or 2")
    return data[trials.index][:, of_voxels].astype(np.float32), trials, voxels


ONSETS = re.compile(r"(?i)(?:onset|start|begin|time)s?[-_ (]*(?:m?s|secs?|seconds?)?\)?")
ENDS = re.compile(r"(?i)(?:end|offset|stop|duration)s?[-_ (]*(?:m?s|secs?|seconds?)?\)?")


def unpack_words(lab: Lab) -> list[Path]:
    """Write tables of words, one a run or with onsets in ms, as one; runs are called as the files of responses are."""
    data = [path.name.split(".")[0] for path in lab.ending(*ARRAYS, *labs.VOLUMES)]
    parts: dict[Path, pd.DataFrame] = {}
    for path in [*lab.tables("word"), *lab.tables("text")]:
        table = read_table(lab.folder / path)
        onset, end = (next((str(name) for name in table if of.fullmatch(str(name))), "") for of in (ONSETS, ENDS))
        bits = re.split("([-_ .])", path.stem)
        pieces = ["".join(bits[a:b]) for a in range(0, len(bits), 2) for b in range(len(bits), a, -2)]
        pieces.sort(key=len, reverse=True)
        found = (re.search(labs.as_word(piece), name) for piece in pieces for name in data)
        run = table["run"] if "run" in table else pd.Series(next((of[0] for of in found if of), ""), table.index)
        known = "run" in table and labs.ONSET.fullmatch(onset)  # its columns have but to be renamed
        if known or not onset or "stimulus_id" in table or SUBJECT.search(path.name) or not run.all():
            continue
        onsets, until = (
            pd.to_numeric(table[name], errors="coerce") / (1000 if re.search(r"ms\)?$", name) else 1)
            for name in (onset, end or onset)
        )
        said = table["word" if "word" in table else "text"]
        parts[path] = pd.DataFrame({"run": run, "onset_s": onsets, "text": said})
        if end:
            parts[path]["duration_s"] = until if "dur" in end.lower() else until - onsets
    if not parts or len({of["run"].iloc[0] for of in parts.values()}) < len(parts):
        return []
    words, whole = Path(f"words_{JOINED}.tsv"), pd.concat(parts.values())
    lab.write(words, [[*whole], *whole.fillna("n/a").astype(str).to_numpy().tolist()])
    lab.remark("stimuli", f"{words} is {listed([*map(str, parts)])}, runs called as responses are")
    lab.used |= {*parts}
    lab.files = [path for path in lab.files if path not in parts] + [words]
    return [words]


def unpack_labels(lab: Lab) -> None:
    """Write lists of a condition for every volume, one a run, as lines `label run`; of maps, as a table of trials."""
    for who, of in labs.by_subject(lab.volumes()[0]).items() if lab.volumes()[1] else ():
        rows: list[tuple[str, str]] = []
        for k, path in enumerate(of):
            n, mine = io.load_image_file(lab.folder / path).shape[-1], [PART.findall(path.name), labs.subject_of(path)]
            lists = [file for file in lab.ending(".txt") if [PART.findall(file.name), labs.subject_of(file)] == mine]
            lines = {file: [*filter(str.strip, io.read_lines(lab.folder / file))] for file in lists}
            fits = [file for file, found in lines.items() if len(found) == n and not any(map(labs.is_number, found))]
            rows += [(re.sub(r"\s+", "_", line.strip()), str(k + 1)) for file in fits[:1] for line in lines[file]]
            lab.used |= {*fits[:1]}
        if len({run for _, run in rows}) != len(of) or len(of) < 2:
            continue
        if sum(one == other for one, other in itertools.pairwise(rows)) > len(rows) / 2:  # blocks, or pauses
            lab.files.append(own := Path(f"sub-{who}_{JOINED}_labels.txt"))
            lab.written.add(own)
            (lab.folder / own).write_text("".join(f"{label} {run}\n" for label, run in rows))
            lab.remark("recordings", f"{own} is what lists a condition for every volume")
        else:  # maps of a stimulus each
            lab.files.append(own := Path(f"sub-{who}_maps_trials.tsv"))
            lab.write(own, [("stimulus_id", "run"), *rows])
            lab.remark("stimuli", f"{own} is what lists a stimulus for every map")


def unpack_lists(lab: Lab) -> None:
    """Write texts that name what was shown, a line each, as a table of each person's trials, where no table has them.

    They are those of sessions and runs, or else those that name something again, which may be marked (`rep_dog.png`).
    """
    shown, lists = lab.shown(), dict[Path, list[str]]()
    for path in () if any(map(lab.lists_trials, lab.tables("stimulus_id"))) else lab.ending(".txt"):
        with suppress(BrainalignError):  # what is no text
            names = [name.strip() for of in labs.listings(lab.folder / path) for name in of]
            names = [name if name in shown else re.sub("(?i)^rep(?:eat(?:ed)?)?_", "", name) for name in names]
            lists |= {path: names} if labs.are_names(names, shown, len(names)) else {}
    of_parts = [path for path in lists if KIND.search(path.stem)]
    of_parts = of_parts or [path for path, names in lists.items() if len({*names}) < len(names)]
    for who, files in labs.by_subject(of_parts).items():
        table = Path(f"sub-{who}_lists_trials.tsv")
        numbers = {path: {KINDS[kind.lower()]: number for kind, number in KIND.findall(path.stem)} for path in files}
        order = {path: [int(of.get(kind, 0)) for kind in ("session", "run")] for path, of in numbers.items()}
        files.sort(key=order.__getitem__)
        whole = pd.concat([pd.DataFrame({"stimulus_id": lists[path]}).assign(**numbers[path]) for path in files])
        lab.write(table, [[*whole], *whole.fillna("n/a").to_numpy().tolist()])
        lab.remark("stimuli", f"{table} is {listed([*map(str, files)])}, one after the other")
        lab.used |= {*files}
        lab.files.append(table)


def unpack_metadata(lab: Lab, people: dict[str, list[Path]], column: str) -> list[Path]:
    """Write the metadata of each person's epochs as a table of trials; their column says what was shown."""
    from brainalign.datasets import open_epochs

    written = [Path(f"sub-{who}_metadata_trials.tsv") for who in people]
    for path, files in zip(written, people.values(), strict=True):
        parts = [open_epochs(lab.folder / file).metadata for file in files]
        known = labs.study_names([*map(str, parts[0])]).items()
        named = {old: new for old, new in known if new in KINDS.values()} | {column: "stimulus_id"}
        parts = [of.rename(columns=named) for of in parts]
        parts = [of if "session" in of else of.assign(session=str(k + 1)) for k, of in enumerate(parts)]
        whole = pd.concat(parts).astype(object).fillna("n/a")
        lab.write(path, [[*whole], *whole.map(labs.cell_text).to_numpy().tolist()])
    lab.remark("stimuli", f"..._metadata_trials.tsv are the metadata of epochs, with stimulus_id for {column}")
    lab.files += [path for path in written if path not in lab.files]
    return written


def unpack_axis(lab: Lab, path: Path, n_trials: Collection[int]) -> list[Path]:
    """Write an array of people x stimuli x targets as one of each person; return the files, or else the file."""
    (key, shape), *_ = sorted(io.array_shapes(lab.folder / path).items(), key=lambda of: -int(np.prod(of[1])))
    told, sizes = SUBJECT.search(str(path)) or lab.timed(path), " x ".join(map(str, shape))
    columns = {of: labs.table_columns(lab.folder / of) for of in lab.ending(*labs.TABLES)}
    units = [of for of, known in columns.items() if UNITS & {*known, *labs.study_names(known).values()}]
    told = told or shape[0] in [len([*table_rows(lab.folder / of)]) - 1 for of in units]
    told = told or len(shape) != 3 or shape[1] not in n_trials or shape[0] in n_trials or shape[0] >= min(shape[1:])
    question = f"what the first axis of {sizes} is of: people or repeats"
    if told or lab.answer("recordings", question, "people") != "people":
        return [path]
    files = [path.with_name(f"sub-{k + 1:02d}_{path.stem}.npy") for k in range(shape[0])]
    for file, values in zip(files, io.stored_arrays(lab.folder / path, [key])[key], strict=True):
        lab.written.add(file)
        np.save(lab.folder / file, values)
    lab.used.add(path)
    return files


def unpack_people(lab: Lab) -> None:
    """Write a table of everybody's trials as one for each person, where arrays or maps are told by person."""
    called = {*map(labs.bare_name, labs.by_subject(lab.ending(*ARRAYS, *labs.VOLUMES)))}
    for path in lab.tables("stimulus_id") if len(called) > 1 else ():
        of = _of_people(read_table(lab.folder / path), PEOPLE)
        if called & {*map(labs.bare_name, of)} and lab.lists_trials(path):
            _write_rows(lab, path, of)


def unpack_unused(lab: Lab, paths: list[Path]) -> dict[Path, Path]:
    """Return tables of trials by themselves, or copies that mark where nothing was shown, and what a column excludes.

    Words say the former where it is known what was shown, or the others are numbers; these lose a `.0`.
    """
    shown, tables = lab.shown(), {str(path): read_table(lab.folder / path) for path in paths}
    every = pd.concat(tables).fillna("")
    if LEFT_OUT in every:
        return {path: path for path in paths}
    lengths = lab.lengths()  # a table that is as long as no responses, where another is, is not asked about
    fitting = [of for of, table in tables.items() if len(table) in lengths] or [*tables]
    is_asked = every.index.get_level_values(0).isin(fitting)
    ids = every["stimulus_id"]
    whole = ids.replace(r"^(\d+)\.0$", r"\1", regex=True)
    blank = ids.map(labs.NOTHING.fullmatch).notna() & ~ids.isin(shown)
    if not shown and not ids[~blank].map(labs.is_number).all():
        blank = ids.isin(io.MISSING)
    others = {*whole[~blank & is_asked]} - {"0"}  # a code of no image, where all others are of some
    counted = others == {*map(str, range(1, len(lab.ending(*labs.IMAGES)) + 1))}
    blank |= whole.eq("0") & ("0" not in shown and bool(others) and (counted or others <= shown))
    marks = {"what shows nothing": blank}
    for name in filter(EXCLUDED, map(str, every)):
        counts, out = ("yes", labs.NO) if re.fullmatch(KEPT, name) else ("no", labs.YES)
        told = every[name].str.lower().str.removesuffix(".0").where(~every[name].isin(io.MISSING), counts)
        told = told.where(is_asked | told.isin(out), counts)
        marks[name] = told.isin(out)
        if not {*told} <= labs.YES | labs.NO or marks[name][is_asked].mean() > 0.5:
            question = f"what {name} says of trials to be left out ({listed([*every[name].unique()])}), or none"
            marks[name] = every[name] == lab.answer("recordings", question, "")
    every["stimulus_id"] = ids.where(ids.isin(shown), whole).mask(blank, "n/a")
    every[LEFT_OUT] = pd.DataFrame(marks).any(axis=1).astype(int)
    if every["stimulus_id"].equals(ids) and not every[LEFT_OUT].any():
        return {path: path for path in paths}
    copies = {path: path.with_name(f"{path.stem}_{COUNTED}.tsv") for path in paths}
    for path, copy in copies.items():
        rows = every.loc[str(path)][[*tables[str(path)], LEFT_OUT]]
        lab.write(copy, [[*rows], *rows.to_numpy().tolist()])
        lab.files = [copy if of == path else of for of in lab.files if of != copy]
    why = "".join(f", {of.sum()} by {name}" for name, of in marks.items() if of.any())
    lab.remark("recordings", f"..._{COUNTED}.tsv leave out {every[LEFT_OUT].sum()} of {len(every)} trials{why}")
    return copies


def unpack_mixed(lab: Lab, path: Path) -> Path:
    """Return a table of trials, or a copy in the order in which it counts them, where its rows have another.

    It is asked which order an array has: a table that was sorted by what was shown no longer tells.
    """
    table = read_table(lab.folder / path).reset_index(drop=True)
    numbers, ids, mixed = table.apply(pd.to_numeric, errors="coerce"), table["stimulus_id"], {}
    blocks = int((ids != ids.shift()).sum())  # as many as stimuli where the rows of each follow each other
    is_sorted = blocks == ids.nunique() and (blocks < len(ids) or ids.is_monotonic_increasing)
    within = [name for name in ("session", "run") if name in table and numbers[name].notna().all()]
    for name in filter(COUNTS.fullmatch, map(str, table)):
        by = [name] if numbers[name].is_unique and name[:5].lower() != "onset" else [*within, name]
        order = numbers.sort_values(by).index
        counts = numbers[by].notna().all(axis=None) and not numbers.duplicated(by).any()
        if counts and not order.is_monotonic_increasing and (is_sorted or name[:5].lower() == "trial"):
            mixed[name] = order
    taken = path.with_name(re.sub(rf"(trials)?(_{COUNTED})?$", "values.npy", path.stem, count=1))  # from the table
    if taken in lab.ending(".npy") or not mixed:
        return path
    question = f"order of responses: table (as trials are listed) or {', '.join(mixed)}"
    of = lab.answer("recordings", question, next(iter(mixed)) if is_sorted else "table")
    copy = path.with_name(f"{path.stem}_{ORDERED}.tsv") if of in mixed else path
    if copy != path:
        lab.write(copy, [[*table], *table.loc[mixed[of]].to_numpy().tolist()])
        lab.used.add(path)
    return copy


def unpack_owners(lab: Lab, files: list[Path], trials: list[Path]) -> bool:
    """Write an array whose trials, or targets, are of several people as one of each, with their rows of the table.

    All that is as long as the table is parted, and the rest goes along. Tells whether there was such an array.
    """
    pooled = [path for path in files if not SUBJECT.search(path.name)]
    for table in [*trials, *lab.units()] if len(pooled) == 1 else ():
        rows, shapes = read_table(lab.folder / table).reset_index(drop=True), io.array_shapes(lab.folder / pooled[0])
        people, n = _of_people(rows, PEOPLE if table in trials else OWNERS), len(rows)
        if people and max(shapes.values(), key=np.prod).count(n) == 1:
            apart = [name for name, of in shapes.items() if n in of and not labs.TIMES.fullmatch(name)]
            stored = io.stored_arrays(lab.folder / pooled[0], shapes)
            stored = {name: part for name, part in stored.items() if part.dtype.kind in "biufU"}
            for who, of in people.items():
                own = pooled[0].with_name(f"sub-{who}_{pooled[0].stem}.npz")
                mine = {name: stored[name].take(of.index, shapes[name].index(n)) for name in apart if name in stored}
                np.savez(lab.folder / own, allow_pickle=False, **{k or "values": v for k, v in (stored | mine).items()})
                lab.written.add(own)
                lab.files += [own] if own not in lab.files else []
            lab.files.remove(pooled[0])
            _write_rows(lab, table, people)
            return True
    return False


def _of_people(table: pd.DataFrame, called: Callable[[str], Any]) -> dict[str, pd.DataFrame]:
    """Part the rows of a table by the first of its columns that is called so, where it names several people."""
    person = next(filter(called, map(str, table)), "")
    groups = table[~table[person].isin(io.MISSING)].groupby(person) if person else ()
    people = {re.sub("sub(j|ject)?[-_]?|[^A-Za-z0-9]", "", str(who)): rows for who, rows in groups}
    return people if len(people) == len(groups) > 1 else {}  # signs alone may tell names apart


def _write_rows(lab: Lab, path: Path, people: dict[str, pd.DataFrame]) -> None:
    """Write the rows of each person as a table instead of that of all."""
    lab.files.remove(path)
    for who, rows in people.items():
        own = path.with_name(f"sub-{who}_{path.stem}.tsv")
        lab.write(own, [[*rows], *rows.to_numpy().tolist()])
        lab.files += [own] if own not in lab.files else []
    lab.remark("stimuli", f"sub-..._{path.stem}.tsv are the rows of {path} by person")


def join_parts(lab: Lab, name: str, files: list[Path], tables: list[Path]) -> tuple[Path, Path, list[Path]] | None:
    """Write a person's sessions below each other, or regions side by side; return array, trials and units, else None.

    Names of sessions differ in their numbers alone; they have a table of trials each, or one that has all their rows.
    """
    shapes, tables = {path: io.array_shapes(lab.folder / path) for path in files}, sorted(tables, key=io.counting_order)
    parts = {(path, key): of for path, known in shapes.items() for key, of in known.items() if len(of) > 1}
    parts = {at: of for at, of in parts.items() if np.prod(of) > max(of)} or parts  # vectors of MATLAB have two axes
    if len(tables) > 1:  # whose order that of arrays in a file need not be
        parts = dict(sorted(parts.items(), key=lambda of: (files.index(of[0][0]), io.counting_order(Path(of[0][1])))))
    trials = [read_table(lab.folder / path) for path in tables]
    turned = _of_sets(lab, parts, dict(zip(tables, map(len, trials), strict=True)))
    parts = {at: tuple(parts[at][axis] for axis in axes) for at, axes in turned.items()} or parts
    called = [f"{path} {key}".strip() for path, key in parts]
    regions = [found[0] for path, key in parts if (found := labs.REGION.search(key) or labs.REGION.search(path.stem))]
    same_rows = {of[0] for of in parts.values()} == {*map(len, trials)}
    same_trials = len({tuple(table["stimulus_id"]) for table in trials}) == 1
    beside = 1 < len({*regions}) == len(parts) and same_rows and same_trials
    alike = bool(turned) or len({PART.sub("", one) for one in called}) == 1
    below = len(parts) > 1 and not regions and alike
    trials = (len(tables) == 1 and below and in_parts(trials[0], called)) or trials
    n_trials = [*map(len, trials)]
    for in_array, in_table in zip(part_numbers(called), part_numbers(tables), strict=False) if len(tables) > 1 else ():
        if not ({*in_array} <= {*in_table} or {*in_table} <= {*in_array}):  # a table of another session
            return None
    # Stimuli for testing may have an axis of repeats where others have none.
    wide, known = {of[1:] for of in parts.values() if len(of) == 2}, dict(zip(parts, n_trials, strict=False))
    repeated = {at: of for at, of in parts.items() if tables[1:] and of[2:] in wide and known.get(at) in of[:2]}
    rows = [known[at] if at in repeated else of[0] for at, of in parts.items()]
    targets = {of[2:] if beside or at in repeated else of[1:] for at, of in parts.items()}
    if len(targets) > 1 or not (beside or (below and n_trials in (rows, [sum(rows)]))):
        return None
    if below:
        _check_sessions(lab, files, next(iter(targets)))
    arrays: list[Any] = [
        io.located_array(lab.folder / path, of) or io.stored_arrays(lab.folder / path, [of])[of] for path, of in parts
    ]
    arrays = [of[...].transpose(turned[at]) for at, of in zip(parts, arrays, strict=True)] if turned else arrays
    for k, (at, of) in enumerate(parts.items()):
        if at in repeated:
            own = of.index(n_trials[k])
            if of[0] == of[1]:
                own = int(lab.answer("recordings", f"axis, from 0, of stimuli in {called[k]}, {of}", "0"))
            array = np.moveaxis(arrays[k][...], own, 0)
            kept = ~np.isnan(array).all(axis=2)
            arrays[k], trials[k] = array[kept], trials[k].loc[np.nonzero(kept)[0]]
    axis, shape = 0 if below else 1, [*arrays[0].shape]
    widths = [array.shape[axis] for array in arrays]
    shape[axis], kind = sum(widths), np.result_type(*(array.dtype for array in arrays))
    values, units = Path(f"sub-{name}_{JOINED}.npy"), Path(f"sub-{name}_{JOINED}_units.tsv")
    joined = np.lib.format.open_memmap(lab.folder / values, "w+", kind, tuple(shape))
    for array, place in zip(arrays, np.split(joined, np.cumsum(widths)[:-1], axis), strict=True):
        place[...] = array[...]  # one at a time: together they may exceed memory
    lab.written.add(values)
    lab.joined[values] = files[0]
    lab.used |= {*files, *tables}
    lab.remark("stimuli", f"{values} is {listed(called)}, {'one after the other' if below else 'side by side'}")
    if below:
        return values, join_tables(lab, name, tables, trials), lab.units()
    what = "hemi" if all(re.fullmatch(f"(?i){labs.SIDE}", region) for region in regions) else "roi"
    of_parts = [path.with_name(f"{path.stem}_units.tsv") for path, _ in parts]
    units_of = [read_table(lab.folder / at) if at in lab.files else pd.DataFrame() for at in of_parts]
    if [*map(len, units_of)] != widths:
        units_of = [pd.DataFrame(index=range(n)) for n in widths]
    whole = pd.concat([of.assign(**{what: region}) for of, region in zip(units_of, regions, strict=True)])
    lab.write(units, [[*whole], *whole.to_numpy().tolist()])
    return values, tables[0], [units]


def _check_sessions(lab: Lab, files: list[Path], size: tuple[int, ...]) -> None:
    """Raise where sessions that are written below each other have other targets, or times."""
    told = [(PART.sub("", str(at)), at, table_column(lab.folder / at, "target_id")) for at in lab.units()]
    for file in files:
        shapes = io.array_shapes(lab.folder / file).items()
        for name in [name for name, of in shapes if labs.TIMES.fullmatch(name) and {np.prod(of)} <= {*size}]:
            times = io.stored_arrays(lab.folder / file, [name])[name]
            told.append((PART.sub("", name), file, [*map(labs.cell_text, times.flat)]))
    for (kind, first, known), (other, path, names) in itertools.combinations(told, 2):
        apart = [of for of in itertools.zip_longest(known, names, fillvalue="none") if of[0] != of[1]]
        if kind == other and apart:
            has, had = (listed([of[k] for of in apart]) for k in (1, 0))
            remedy = "save both alike, or call each sub-... of a name of its own, where their neurons differ"
            raise BrainalignError(f"{path} has {has} where {first} has {had}; {remedy}")


def _of_sets(
    lab: Lab, parts: dict[tuple[Path, str], tuple[int, ...]], n_trials: dict[Path, int]
) -> dict[tuple[Path, str], tuple[int, ...]]:
    """Choose for tables of training and test trials the arrays of a file that are called so, with repeats, not means.

    Returns the order of the axes of each, trials first and targets last; nothing where sizes do not tell it.
    """
    found: dict[tuple[Path, str], tuple[int, ...]] = {}
    for table, n in n_trials.items() if len(n_trials) > 1 else ():
        those = [at for at, of in parts.items() if n in of and labs.set_of(at[1]) == labs.set_of(str(table)) != ""]
        those = [at for at in those if len(parts[at]) == max(len(parts[of]) for of in those)]
        names = [key for _, key in those]
        which = lab.answer("recordings", f"array of {table}: {', '.join(names)}", "") if those[1:] else "".join(names)
        found |= {at: parts[at] for at in those if at[1] == which}
    targets = [*set.intersection(*({*of} for of in found.values()))] if len(found) == len(n_trials) > 1 else []
    for (at, of), n in zip(found.items(), n_trials.values(), strict=False):
        if len(targets) != 1 or n in targets or any(of.count(size) > 1 for size in (n, *targets)):
            return {}
        others = [axis for axis, size in enumerate(of) if size not in (n, *targets)]
        found[at] = (of.index(n), *others, of.index(targets[0]))
    return found


def in_parts(table: pd.DataFrame, called: list[str]) -> list[pd.DataFrame]:
    """Part trials by session, run or both, as their numbers stand in names, in the order of these; else nothing."""
    told = [dict(KIND.findall(" ".join(PART.findall(one)))) for one in called]
    columns = [KINDS[kind.lower()] for kind in told[0]]
    numbers = [*dict.fromkeys(tuple(map(int, of.values())) for of in told)]
    if not columns or not {*columns} <= {*table}:
        return []
    own = [tuple(int(n) for cell in row for n in re.findall(r"\d+", cell)[:1]) for row in table[columns].to_numpy()]
    # Files may count from 0 where a table does from 1.
    rank = dict(zip(sorted({*own}), sorted(numbers), strict=False))
    return [table[[rank[one] == of for one in own]] for of in numbers] if len({*own}) == len(numbers) else []


def part_numbers(names: Iterable[Any]) -> list[list[int]]:
    """Return the numbers of sessions and runs in names of files."""
    return [[*map(int, re.findall(r"\d+", " ".join(PART.findall(str(name)))))] for name in names]


def join_tables(lab: Lab, name: str, tables: list[Path], trials: list[pd.DataFrame]) -> Path:
    """Write a person's trials, of a table or several, below each other; return the one of all, if need be a copy."""
    if len(tables) < 2 and (not trials or pd.concat(trials).index.is_monotonic_increasing):
        return tables[0]
    for table, of in zip(tables, trials, strict=False) if len(tables) > 1 else ():
        # Training and test trials are of the same sessions.
        if not {"session", "run"} & {*of} and not re.search(labs.SET, str(table)):
            numbers = {str(KIND.findall(str(one))) for one in tables}
            named = KIND.findall(str(table)) if len(numbers) == len(tables) else []
            for kind, number in named or [("ses", str(1 + tables.index(table)))]:
                of[KINDS[kind.lower()]] = number
    whole = pd.concat(trials)
    lab.write(table := Path(f"sub-{name}_{JOINED}_trials.tsv"), [[*whole], *whole.to_numpy().tolist()])
    lab.used |= {*tables}
    return table


def unpack_order(lab: Lab) -> bool:
    """Write tables of trials where no file tells them, but an axis of an array is as long as stimuli are many.

    They are in the order of a table of stimuli or, of images, of their names (9 before 10), in the folder of a subject
    where these have their own.
    """
    own = {model["file"] for model in lab.vectors().values()}
    tables = sorted(lab.tables("stimulus_id"), key=lambda path: "stim" in path.stem)
    orders = {path: table_column(lab.folder / path, "stimulus_id") for path in tables if str(path) not in own}
    if not orders:
        for path, name in zip(lab.ending(*labs.IMAGES), labs.image_names(lab.ending(*labs.IMAGES), ()), strict=True):
            orders.setdefault(path.parent, []).append(name)
    fits: dict[Path, list[str]] = {}
    for path in () if any(map(lab.lists_trials, tables)) else [*lab.responses(), *lab.volumes()[0]]:
        at, is_array = lab.folder / path, path.name.lower().endswith(ARRAYS)
        shapes = [*io.array_shapes(at).values(), ()] if is_array else [(io.load_image_file(at).shape[3], 1)]
        shape = max(shapes, key=lambda of: (len(of) > 1, np.prod(of)))
        fitting = [place for place in orders if len(shape) > 1 and len(orders[place]) in shape]
        # The order of S1/run1.npy is S1/run1.csv before S2/run1.csv.
        fitting.sort(key=lambda of: -len({*labs.words_of(path)} & {*labs.words_of(of)}))
        fitting.sort(key=lambda of: labs.subject_of(of) != labs.subject_of(path))
        fitting.sort(key=lambda of: PART.findall(of.name) != PART.findall(path.stem))
        fits |= {path: orders[fitting[0]]} if fitting else {}
    if fits and (packed := [error for error in lab.unread if error.endswith("unpack it")]):
        raise BrainalignError(packed[0])  # which may say what was shown
    written: dict[Path, list[str]] = {}
    for n in {*map(len, fits.values())}:
        _check_order(lab, [path for path in lab.ending(*ARRAYS) if str(path) not in own], n)
    for path, ids in fits.items():
        alike = all(of == ids for other, of in fits.items() if other.parent == path.parent)
        trials = path.with_name("trials.tsv" if alike else f"{path.stem}_trials.tsv")
        if trials not in (*lab.files, *written):
            written[trials] = ids
            lab.write(trials, [["stimulus_id"], *([name] for name in ids)])
    for trials, ids in [*written.items()][:1]:
        lab.remark("stimuli", f"trials are taken to be in order, {ids[0]} to {ids[-1]}: correct {trials} if not")
        others = [path for path in lab.ending(".json", ".txt", ".csv", ".tsv") if path not in (*orders, *written)]
        texts = {path: (lab.folder / path).read_text(errors="replace") for path in others}
        naming = [path for path, text in texts.items() if all(Path(name).stem in text for name in ids)]
        lab.remark("stimuli", *(f"{path} names them too" for path in naming))
    lab.files += written
    return bool(written)


def _check_order(lab: Lab, files: list[Path], n: int) -> None:
    """Raise where a vector counts as many trials in another order, which rows may be in."""
    for file in files:
        vectors = [name for name, of in io.array_shapes(lab.folder / file).items() if np.prod(of) == n]
        for name, values in io.stored_arrays(lab.folder / file, vectors).items():
            said = [*map(labs.cell_text, values.ravel())]
            if len({*said} & {*map(str, range(n + 1))}) == n and said != sorted(said, key=int):
                remedy = "call it stimulus_id if that was shown in the rows, else write trials.tsv (stimulus_id)"
                raise BrainalignError(f"{file}: {name} counts {n} in another order ({listed(said)}); {remedy}")


def _beside(lab: Lab, path: Path, shape: tuple[int, ...], shown: set[str]) -> dict[str, NDArray[Any]]:
    """Return vectors as long as an axis of an array that lie in files beside it, by what these are called."""
    found = {}
    shapes_of = {of: io.array_shapes(lab.folder / of).values() for of in lab.responses() if of.parent == path.parent}
    matrices = [of for of, shapes in shapes_of.items() if any(len(axes) > 1 and min(axes) > 1 for axes in shapes)]
    mine, *those = ({*map(labs.bare_name, labs.words_of(of))} for of in (path, *matrices))
    own, others = mine - mine.intersection(*those), mine.union(*those) - mine
    for file in lab.ending(".npy", ".txt", ".json", ".csv", ".tsv"):
        parts = [(name.findall(file.stem), name.findall(path.stem)) for name in (SUBJECT, PART)]
        words = re.findall("[A-Za-z0-9]+", PART.sub("", SUBJECT.sub("", file.stem)).lower())
        of_another = {*map(labs.bare_name, words)} & others or any(of and told and of != told for of, told in parts)
        if file.parent != path.parent or of_another:
            continue
        name = "_".join(word for word in words if labs.bare_name(word) not in own)
        name = LABELS.get(name) or LABELS.get(name.removesuffix("s"), name.removesuffix("s"))
        if file.suffix != ".npy":
            values = np.array([*labs.listings(lab.folder / file), []][0])
            if file.suffix != ".txt" and not labs.are_names(values.tolist(), shown):  # a list has no header
                continue
        elif max(io.array_shapes(lab.folder / file)[""], default=0) in shape:
            values = io.stored_arrays(lab.folder / file, [""])[""]
        else:
            continue
        if values.size in shape and values.size == max(values.shape):
            found[name] = values.ravel()
            lab.used.add(file)
    return found


def unpack_tables(lab: Lab) -> None:
    """Write tables of trials that hold the responses, too, as arrays with a table of rows and of columns.

    Responses are columns of numbers, or one column where a row is of a trial and a target.
    """
    for path in lab.tables("stimulus_id") if not [*lab.responses(), *lab.ending(*labs.VOLUMES)] else ():
        if not lab.lists_trials(path):
            continue
        table = read_table(lab.folder / path)
        if "roi" in table and "target_id" not in table:
            keys = [name for name in map(str, table) if name.lower() in {"stimulus_id", *KEYS} or PEOPLE(name)]
            counts = table.groupby([*keys, "roi"]).size().unstack()
            if counts.shape[1] > 1 and counts.notna().all(axis=None):  # means of areas, a row per trial and area
                table["target_id"] = table["roi"]
        groups = table.groupby([name for name in ("stimulus_id", "target_id") if name in table])
        for name in filter(MOMENT.fullmatch, map(str, table)):  # else they would be trials
            n = table[name].nunique()
            if n > 1 and (groups[name].nunique() == n).all() and all(map(labs.is_number, table[name])):
                remedy = "save an array of trials x targets x times with times.npy and trials.tsv, or means over times"
                file = str(path).replace("_renamed.tsv", ".*")  # the copy is deleted again
                raise BrainalignError(f"{file}: trials have {n} rows each, of their moments ({name}); {remedy}")
        person = next(filter(OWNERS if "target_id" in table else PEOPLE, map(str, table)), None)
        names, trial = _response_columns(lab, table, [person] if person else [])
        beside = {} if trial else _counts(lab, path, table)
        sizes = {of: len([*counts]) for of, counts in beside.items()} | ({str(path): len(names)} if names else {})
        which = max(sizes, key=lambda of: sizes[of], default="")
        if len(sizes) > 1:
            which = lab.answer("recordings", f"table of the responses: {', '.join(sizes)}", which)
        if which in beside:
            names = [*map(str, beside[which])]
            table = table.drop(columns=[*{*table} & {*names}]).join(beside[which])
            lab.used.add(Path(which))
        if not names:
            continue
        for subject, rows in table.groupby(person, sort=False) if person else [("", table)]:
            stem = f"sub-{re.sub('[^A-Za-z0-9]', '', str(subject))}_{path.stem}" if subject else path.stem
            if trial:
                values, trials, units = _widened(rows, names[0], trial)
            else:
                values, trials = rows[names], rows.drop(columns=names)
                areas = [of and of[1] for of in (re.fullmatch(r"(.*[A-Za-z].*?)[-_ .]\d+", name) for name in names)]
                alone = len({*areas}) == 1 and not labs.REGION.fullmatch(areas[0] or "")  # all are of a kind: Kanal_1
                areas = ["" if alone or area in (None, *CALLED["target_id"].split()) else area for area in areas]
                units = pd.DataFrame({"target_id": names, "roi": areas})
            _write_person(lab, path.with_name(stem), values.to_numpy(dtype=np.float32), trials, units)
        lab.files.remove(path)
        what = f"column {names[0]}" if trial else f"columns {names[0]} to {names[-1]}"
        lab.remark("stimuli", f"..._values.npy are the {what} of {which}")


def unpack_series(lab: Lab, runs: Collection[str]) -> list[Path]:
    """Write tables of numbers that are called as runs are, a row for each volume, as arrays with a table of regions.

    A first column that counts, or tells the time, is none.
    """
    tables = [path for path in lab.ending(*labs.TABLES) if any(re.search(labs.as_word(run), path.stem) for run in runs)]
    tables = [path for path in tables if lab.holds_vectors(path) and not NO_RESPONSES.search(path.stem)]
    if max(map(len, labs.by_subject(tables, runs).values()), default=0) < 2:  # one run of a person is no story
        return []
    files, regions = [path.with_name(f"{path.stem}_values.npy") for path in tables], set[tuple[str, ...]]()
    lab.written |= {*files}
    for path, file in zip(tables, files, strict=True):
        rows = pd.read_csv(lab.folder / path, sep=None, engine="python", header=None, dtype=str).fillna("").to_numpy()
        named = not all(map(labs.is_number, rows[0]))
        values = pd.DataFrame(rows[named:]).apply(pd.to_numeric, errors="coerce").to_numpy()
        steps = np.diff(values[:, 0])
        counts = int(len(steps) > 1 and steps[0] > 0 and np.allclose(steps, steps[0]))
        np.save(lab.folder / file, values[:, counts:])
        regions.add(tuple(rows[0, counts:]) if named else ())
    units = [Path("regions_units.tsv")] if len(regions) == 1 and () not in regions else []
    for file in units:
        lab.write(file, [["target_id", "roi"], *([name, name] for names in regions for name in names)])
    lab.files = [path for path in lab.files if path not in tables] + files + units
    lab.remark("recordings", f"..._values.npy are the columns of {tables[0]} and its like")
    return files


def _write_person(lab: Lab, at: Path, values: NDArray[Any], trials: pd.DataFrame, units: pd.DataFrame) -> None:
    files = [at.with_name(f"{at.name}_{kind}") for kind in ("values.npy", "trials.tsv", "units.tsv")]
    lab.written |= {*files}
    lab.files += files
    np.save(lab.folder / files[0], values)
    trials.to_csv(lab.folder / files[1], sep="\t", index=False)
    units.to_csv(lab.folder / files[2], sep="\t", index=False)


def _counts(lab: Lab, path: Path, trials: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables of numbers beside one of trials that have a row, or a column, for each, with their targets."""
    found: dict[str, pd.DataFrame] = {}
    shared = {of: len({*labs.words_of(path)} & {*labs.words_of(of)}) for of in lab.ending(*labs.TABLES)}
    for file in (of for of in shared if of.parent == path.parent and of not in lab.tables("stimulus_id")):
        is_other = NO_RESPONSES.search(file.stem)
        table = read_table(lab.folder / file) if lab.holds_vectors(file) and not is_other else pd.DataFrame()
        if len(table) != len(trials) == table.shape[1] - 1:  # of voxels, which are numbered
            table = table.set_index(table.columns[0]).T.rename(columns="voxel{}".format)
        table = table.reset_index(drop=True)
        counts = [name for name in {*table} & {*trials} if COUNTS.fullmatch(str(name))]
        if len(table) == len(trials) and table[counts].equals(trials[counts]):
            names, _ = _response_columns(lab, table, [])
            found |= {str(file): table[names]} if names else {}
    return {of: table for of, table in found.items() if shared[Path(of)] == max(shared[Path(one)] for one in found)}


def _response_columns(lab: Lab, table: pd.DataFrame, person: list[str]) -> tuple[list[str], list[str]]:
    """Return the columns of responses, if any, and, of rows of a trial and a target, those that tell trials apart."""
    columns, told = [str(name) for name in table], {"stimulus_id", "run", "session", *UNITS}
    others = [name for name in columns if name.lower() not in told and not (PEOPLE(name) or EXCLUDED(name))]
    of = {name: table[name][~table[name].isin(io.MISSING)] for name in others}
    names = [name for name, known in of.items() if 2 * len(known) >= len(table) and all(map(labs.is_number, known))]
    names = [name for name in names if not BESIDE & {*re.findall("[a-z]+", name.lower())[:1]}]
    table[names] = table[names].replace(list(io.MISSING), np.nan).astype(float)
    if "target_id" in columns:
        trial = [*person, "stimulus_id", *(name for name in columns if name.lower() in KEYS)]
        if table.groupby(trial)["target_id"].nunique().max() == 1:  # trials are counted on from neuron to neuron
            trial = [name for name in trial if name.lower() not in ("trial", "trial_id")]
            lab.remark("stimuli", "neurons have trials of their own: the first of each share a row, and so on")
        table[OF_TRIAL] = table.groupby([*trial, "target_id"]).cumcount()
        trial.append(OF_TRIAL)
        for same in (["target_id"], trial):  # depth is of a neuron, and a reaction time of a trial
            names = [name for name in names if table.groupby(same)[name].nunique().max() > 1]
        if len(names) > 1:
            names = [lab.answer("recordings", f"column of the responses: {', '.join(names)}", names[-1])]
        return names, trial
    odd = [name for name in names if len(name) > LONGEST_CHANNEL and not re.search(r"\d$", name)]
    if odd and len(names) - len(odd) >= LEAST_TARGETS:
        question = f"columns that are no responses, of {', '.join(odd)} beside {names[-1]}"
        none = lab.answer("recordings", question, ", ".join(odd)).split(", ")
        names = [name for name in names if name not in none]
    return names if len(names) >= LEAST_TARGETS else [], []


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of texts."""
    return (io.read_parquet if path.suffix == ".parquet" else io.read_text_table)(path).astype(str)


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
