"""Folders of dissimilarity matrices and of odd-one-out judgements."""

import itertools
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.checks import BrainalignError, listed
from brainalign.commands.init import lab as labs
from brainalign.commands.init.lab import ARRAYS, Lab
from brainalign.commands.init.trials import describe_models
from brainalign.io import array_shapes, read_lines, stored_arrays
from brainalign.study import table_column, table_columns, table_rows


def describe_judgements(lab: Lab) -> dict[str, Any] | None:
    """Describe tables that say which of three objects is the odd one."""
    from brainalign.datasets.studies import odd_column

    files, repeats, named, shown = list[str](), list[str](), set[str](), lab.shown()
    for path in lab.ending(".csv", ".tsv"):
        columns = table_columns(lab.folder / path)
        odd = odd_column(columns)
        if not odd:
            continue
        place = columns.index(odd)
        rows = [row for row in [*table_rows(lab.folder / path)][1:] if row[place]]
        if rows and ("odd" in odd.lower() or all(row.count(row[place]) == 2 for row in rows)):
            files.append(str(path))
            named |= {cell for row in rows for cell in row if labs.are_names([cell], shown)}
            lab.remark("recordings", f"{odd} is taken for what does not belong with the two others")
    for path in () if files else lab.ending(".txt"):  # as THINGS has them
        with suppress(BrainalignError):
            rows = [line.split() for line in read_lines(lab.folder / path)]
            if len(rows) > 1 and all(len({*row}) == len(row) == 3 and "".join(row).isdecimal() for row in rows):
                judged_once = len({*map(frozenset, rows)}) > len(rows) / 2
                (files if judged_once else repeats).append(str(path))
                lab.remark("recordings", "the last of three numbers is taken for the odd one")
    stimuli = lab.stimuli(named) if files else None
    if stimuli is None:
        return None
    more = {"repeats": repeats} if repeats else {}
    judged = {"format": "triplets", "triplets": files, **more, "duplicates": "keep"}
    return {"stimuli": str(stimuli), "recordings": {"people": judged}}


def describe_rdms(lab: Lab) -> dict[str, Any] | None:
    """Describe dissimilarity matrices of people and models, with the stimuli that they are about."""
    from brainalign.datasets.formats import model_rdms, rdm_keys

    arrays = lab.ending(*ARRAYS)
    files = [of for of in [*arrays, *lab.ending(".csv")] if "rdm" in of.stem.lower() and labs.JOINED not in of.stem]
    stimuli = lab.stimuli() if files or (arrays and not lab.tables("stimulus_id", "run")) else None
    if stimuli is None:
        return None
    ids = table_column(lab.folder / stimuli, "stimulus_id")
    of_mat = {path: array_shapes(lab.folder / path).values() for path in files if path.suffix == ".mat"}
    if any(max(map(np.prod, shapes), default=0) < len(ids) for shapes in of_mat.values()):
        return None  # structs (RDMs(1).RDM) are taken apart first
    files = files or [path for path in arrays if _pairs(lab.folder / path, len(ids))]
    models = given = [path for path in files if "model" in path.stem.lower()]
    if len(models) > 1:
        found = {name: of for path in models for name, of in model_rdms(lab.folder / path, ids).items()}
        models = [Path(f"models_{labs.JOINED}.npz")]
        np.savez(lab.folder / models[0], allow_pickle=False, **found)
        lab.used |= {*given}
    measured = _joined_by_set(lab, [path for path in files if path not in given], ids)
    if not measured:  # models alone
        return None
    arrays += [path for path in measured if path not in files]
    vectors = {name: of for name, of in lab.vectors().items() if Path(of["file"]) not in (*files, *given)}
    with_ids = [path for path in files if path not in arrays]
    recordings: dict[str, Any] = {}
    pairs, matrix = (len(ids) * (len(ids) - 1) // 2,), (len(ids), len(ids))
    for path in measured:
        at = lab.folder / path
        shapes = array_shapes(at) if path in arrays else dict.fromkeys(rdm_keys(at, ids), pairs)
        keys = [key for key, of in shapes.items() if pairs in (of[-1:], of[:1]) or matrix in (of[-2:], of[:2])]
        keys = keys or [*shapes] or [""]
        if "rdm_descriptors" in "".join(shapes):  # rsatoolbox's
            keys, with_ids = [""], [*with_ids, path]
        for key in keys:
            several = {"key": key} if key and len(shapes) > 1 else {}
            called = key if len(keys) > 1 else path.stem.removesuffix(f"_{labs.JOINED}")
            name = re.sub(r"[-_ ]?rdms?$|[^A-Za-z0-9]", "", called, flags=re.IGNORECASE) or "rdms"
            name += "" if name not in recordings else str(1 + len(recordings))
            recordings[name] = {"format": "rdms", "file": str(path), **several}
    with_ids += [Path(of["file"]) for of in vectors.values()]
    orders = [(path, names) for path, names in lab.lists({*ids}, len(ids)) if names != ids and path not in with_ids]
    if order := next((names for path, names in orders if path in files), []):
        header, *rows = table_rows(lab.folder / stimuli)
        place = header.index("stimulus_id")
        ids, stimuli = order, stimuli.with_name(f"{stimuli.stem}_ordered.tsv")
        lab.write(stimuli, [header, *sorted(rows, key=lambda row: order.index(row[place]))])
    if any(path in arrays for path in files):
        others = [f", which is not that of {path}" for path, names in orders if names != ids]
        lab.remark("stimuli", f"RDMs are taken to be in its order, {ids[0]} to {ids[-1]}{''.join(others[:1])}")
    described = {"stimuli": str(stimuli), "recordings": recordings} | describe_models(lab, vectors, str(stimuli))
    return described | ({"model_rdms": str(models[0])} if models else {})


def _joined_by_set(lab: Lab, files: list[Path], ids: list[str]) -> list[Path]:
    """Write files that differ by subject alone, of an RDM each, as one; return it in their place."""
    from brainalign.datasets.formats import model_rdms

    sets: dict[str, list[Path]] = {}
    for path in files:
        sets.setdefault(labs.SUBJECT.sub("", path.with_suffix("").as_posix()), []).append(path)
    for called, of in sets.items():
        joined = Path(f"{re.sub('[^A-Za-z0-9]+', '_', called).strip('_')}_{labs.JOINED}.npy")
        with suppress(BrainalignError, ValueError):  # of several RDMs a file
            rdms = [rdm for (rdm,) in (model_rdms(lab.folder / path, ids).values() for path in of if len(of) > 1)]
            if rdms:
                np.save(lab.folder / joined, rdms)
                lab.written.add(joined)
                lab.remark("recordings", f"{joined} is {listed(of)}, a subject each")
                lab.used |= {*of}
                sets[called] = [joined]
    return [*itertools.chain(*sets.values())]


def _pairs(path: Path, n: int) -> bool:
    """Tell whether the arrays of a file end in pairs of n stimuli, or hold matrices of them, which are symmetric.

    Axes of subjects stand before matrices, or behind them, as MATLAB stacks them.
    """
    shapes = array_shapes(path)
    if shapes and all((n, n) in (of[-2:], of[:2]) for of in shapes.values()):
        arrays = stored_arrays(path, shapes).values()
        first = [of if of.shape[-2:] == (n, n) else np.moveaxis(of, (0, 1), (-2, -1)) for of in arrays]
        return all(np.allclose(of, np.swapaxes(of, -1, -2), equal_nan=True) for of in first)
    return bool(shapes) and all(of[-1:] == (n * (n - 1) // 2,) for of in shapes.values())
