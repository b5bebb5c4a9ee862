"""The array of a person: which of a file it is, its axes, repeats and times."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, listed
from brainalign.commands.init import lab as labs
from brainalign.commands.init import unpack
from brainalign.commands.init.lab import Lab
from brainalign.io import Shapes, array_shapes, stored_arrays
from brainalign.study import LONGEST_S, table_column, table_columns, table_rows

MARKED = re.compile(r"(?i)(?<![a-z])(?:valid|good|keep|include|exclude|reject|bad|mask)")  # trials that do not count
TASKS = re.compile(r"(?i)tasks?|modality|imagery|valid.*")  # of which some may not count


def describe_array(
    lab: Lab, who: str, file: Path, table: Path, units: list[Path], people: Collection[str], group: str = ""
) -> dict[str, Any]:
    """Describe the array of a person: which one it is, its axes and times, and what its columns are."""
    ids, every = table_column(lab.folder / table, "stimulus_id"), array_shapes(lab.folder / file)
    shapes = unpack.groups(every)[group] if group else every
    key, axis = of_trials(shapes, {len(ids)}) or ("", 0)
    if len(shapes) > 1 and not key:
        has = listed([f"{name} {of}" for name, of in shapes.items()])
        raise BrainalignError(f"{file}: none is as long as {table}, {len(ids)} trials: {has}; correct either")
    shape, sizes = shapes.get(key, ()), " x ".join(map(str, shapes.get(key, ())))
    if len(shape) == 2 and np.prod(shape) <= 1e8:
        values = stored_arrays(lab.folder / file, [key])[key]
        if np.isin(values, (0, 1)).all() and any((values.sum(axis=of) == 1).all() for of in (0, 1)):
            remedy = "write it as trials.tsv (stimulus_id, a row per trial), and leave it out of the file"
            raise BrainalignError(f"{file}: {key or 'it'} has a single 1 in each row, and is what was shown; {remedy}")
    if shape.count(len(ids)) > 1:
        axis = int(lab.answer("recordings", f"axis, from 0, of trials in {sizes}", str(axis)))
    others = shape[:axis] + shape[axis + 1 :]
    rows = {one: of[axis] for one, of in shapes.items() if len(of) > axis and np.prod(of) > max(of)}
    # Another three rows of the same columns are where these lie.
    alike = [one for one, n in rows.items() if n == len(ids) or (n > 3 and np.prod(shapes[one]) == n * np.prod(others))]
    if len(alike) > 1:
        key = lab.answer("recordings", f"which of {', '.join(alike)} is read (they are not joined)", key)
    told = [*filter(unpack.EXCLUDED, table_columns(lab.folder / table))]
    marks = [name for name, of in shapes.items() if np.prod(of) == len(ids) and MARKED.search(name)]
    tasks = filter(TASKS.fullmatch, table_columns(lab.folder / table))
    marks += [name for name in tasks if len({*table_column(lab.folder / table, name)}) > 1]
    if marks := [name for name in marks if name.rpartition("/")[2] not in told]:
        lab.remark("recordings", f"rows are read whatever {listed(marks)} says: mark others in left_out of {table}")
    named = {"targets": str(labs.files_of_subject(who, units, people)[0])} if units else {}
    columns = [len(rows) - 1 for path in named.values() for rows in [[*table_rows(lab.folder / path)]]]
    how: dict[str, Any] = ({"key": key} if len(every) > 1 else {}) | ({"trials_axis": axis} if axis else {})
    if len(others) > 2 and np.prod(others) == max(others):  # GLMsingle keeps axes of one
        shape, axis = (len(ids), max(others)), 0
    first = lab.joined.get(file, file)  # whose times are those of all
    repeats = _repeats(lab, first, shape, axis, columns) if len({*ids}) == len(ids) else {}
    if len(shape) - len(repeats) > 3:
        raise BrainalignError(f"{file}: {key} is {sizes}; save trials x voxels of a mask, or volumes as NIfTI")
    shapes |= array_shapes(lab.folder / first) if first != file else {}
    times = _times(lab, first, shapes | {key: shape}, key, columns, axis, *repeats.values())
    return {"format": "array", "values": str(file), **how, **repeats, "trials": str(table), **named, **times}


def of_trials(shapes: Shapes, numbers: Collection[int]) -> tuple[str, int] | None:
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
        axis = int(lab.answer("recordings", f"axis, from 0, of times in {' x '.join(map(str, shape))}", str(axis)))
    return {"times_s": written, **({"times_axis": axis} if axis != 2 else {})}


def _middles(name: str, times: NDArray[Any]) -> NDArray[np.float64]:
    """Return times in a row; of bins whose edges they are, the middles."""
    row = times.ravel().astype(float)
    return (row[1:] + row[:-1]) / 2 if "edge" in name.lower() else row
