"""Odd-one-out judgements: text files of three numbers or tables of three names, a list of objects, an embedding."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_finite, check_rows, listed
from brainalign.datasets.studies.subjects import read_images_table
from brainalign.io import read_lines, read_text_table, reading
from brainalign.study import Study, TripletFiles, table_column

Numbers = NDArray[np.int64]
TRIPLET = "write three numbers of objects per line, the odd one last, without a header"


@dataclass(frozen=True)
class Judgements:
    """Which of three objects people found odd.

    Attributes
    ----------
    objects : DataFrame (n_objects)
        stimulus_id, label, and path where the images are known.
    triplets : array (n_triplets, 3)
        Rows of `objects`; the odd one last.
    repeats : array (n_repeats, 3)
        The same for triplets that several people judged; without rows where there are none.
    embedding : array (n_objects, n_dimensions), optional
        Published beside the judgements.
    dimensions : list of str
        What its dimensions are, in words; empty where not known.
    index_base : int
        Number of the first object in the files.
    """

    objects: pd.DataFrame
    triplets: Numbers
    repeats: Numbers
    embedding: NDArray[np.float64] | None
    dimensions: list[str]
    index_base: int


def read_judgements(descriptor: Study) -> Judgements:
    """Read the files that a descriptor names, in the format of the THINGS similarity judgements.

    Raises
    ------
    BrainalignError
        If a file is missing or malformed, a triplet holds an object twice, a number is out of range, it cannot be told
        where counting begins, triplets occur twice where they must not, or an object is in no triplet.

    References
    ----------
    Hebart MN, Zheng CY, Pereira F, Baker CI (2020). Revealing the multidimensional mental representations of natural
    objects underlying human similarity judgements. Nature Human Behaviour 4:1173-1185. doi:10.1038/s41562-020-00951-3
    """
    subject, files = next(iter(descriptor.recordings.items()))
    assert isinstance(files, TripletFiles)
    paths = descriptor.found_files(subject)
    objects = read_objects(descriptor.locate(Path(str(descriptor.stimuli)), "stimuli"))
    names = objects["stimulus_id"].tolist()
    given = {label: path for label, path in paths.items() if label.startswith(("triplets.", "repeats."))}
    tables = [label for label, path in given.items() if path.suffix in (".csv", ".tsv")]
    tables = [label for label in tables if re.search("[A-Za-z]", next(iter(read_lines(given[label])), ""))]
    named = {label: read_named_triplets(given[label], names) for label in tables}
    counted = {label: read_triplets(path) for label, path in given.items() if label not in named}
    base = _index_base([*counted.values()], len(objects), files.index_base) if counted else 0
    read = named | {label: values - base for label, values in counted.items()}
    triplets, repeats = ([read[label] for label in given if label.startswith(field)] for field in ("trip", "rep"))
    judged = np.concatenate(triplets)
    missing = np.setdiff1d(np.arange(len(objects)), judged)
    if len(missing):
        raise BrainalignError(
            f"{len(missing)} of {len(objects)} objects are in no triplet ({listed([names[k] for k in missing])}), so "
            "that nothing is known of them; give the list of objects that belongs to these triplets"
        )
    ordered = np.sort(judged, axis=1)
    keys = ordered @ np.array([len(objects) ** 2, len(objects), 1])  # a number per three objects in any order
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    if files.duplicates == "error" and (counts > 1).any():
        example = ", ".join(names[k] for k in ordered[first[counts > 1][0]])
        raise BrainalignError(
            f"{int((counts - 1).sum()):,} of {len(judged):,} triplets hold the same three objects as another one (such "
            f"as {example}); where several people judged them, write duplicates: keep, else remove the copies"
        )
    embedding = None if files.embedding is None else _embedding(paths["embedding"], len(objects))
    words = [] if files.dimensions is None else [*filter(None, map(str.strip, read_lines(paths["dimensions"])))]
    if words and (embedding is None or len(words) != embedding.shape[1]):
        width = "no embedding" if embedding is None else f"{embedding.shape[1]} dimensions"
        raise BrainalignError(
            f"recordings.{subject}.dimensions describes {len(words)} dimensions, but there is {width}; give both"
        )
    again = np.concatenate(repeats) if repeats else np.zeros((0, 3), np.int64)
    return Judgements(objects, judged, again, embedding, words, base)


def read_triplets(path: Path) -> Numbers:
    """Read three whole numbers per line, between blanks: (n_triplets, 3), as in the file.

    Raises
    ------
    BrainalignError
        If it is no such file, or a line holds the same number twice.
    """
    with reading(path, "no table of triplets", TRIPLET):
        table = pd.read_csv(path, sep=r"\s+", header=None, dtype=np.float64, comment="#")
    values = table.to_numpy()
    if values.shape[1] != 3:
        raise BrainalignError(f"{path} has {values.shape[1]} columns; a triplet has 3, the odd one last")
    wrong = np.flatnonzero(~(np.abs(values) < 2**53).all(axis=1) | (values != np.round(values)).any(axis=1))
    if len(wrong):
        raise BrainalignError(
            f"{path}: {len(wrong)} lines hold something else than whole numbers (first: line {wrong[0] + 1}: "
            f"{values[wrong[0]].tolist()}); write numbers of objects"
        )
    numbers = values.astype(np.int64)
    twice = np.flatnonzero((np.diff(np.sort(numbers, axis=1)) == 0).any(axis=1))
    if len(twice):
        raise BrainalignError(
            f"{path}: {len(twice)} triplets hold the same object twice (first: line {twice[0] + 1}: "
            f"{numbers[twice[0]].tolist()}); a triplet has three different objects"
        )
    return numbers


def read_named_triplets(path: Path, objects: Sequence[str]) -> Numbers:
    """Read a .csv or .tsv of three columns with ids of objects, and one called "odd" or "choice" that names one.

    That column may also count the odd one among the three, from 0 or 1, or be one of the three itself. Returns rows of
    `objects` (n_triplets, 3), the odd one last.

    Raises
    ------
    BrainalignError
        If there are no such columns, a triplet holds an object twice, the odd one is none of its three, or what is
        called choice is never in one of the columns: that one was the standard, which the others were compared with.
    """
    table, known = read_text_table(path).apply(lambda cells: cells.str.strip()), {*objects}
    odd = odd_column(table)
    three = [name for name in table if name != odd and {""} < {*table[name], ""} <= known | {""}]
    table = table[table[three].ne("").any(axis=1)].reset_index(drop=True)  # others are instructions of jsPsych, say
    if not odd or len(three) not in (2, 3):
        raise BrainalignError(
            f"{path}: of its columns {listed([*table])} {listed(three) or 'none'} hold ids of objects, and "
            f"{odd or 'none'} tells the odd one; give three columns of stimulus_id, and a fourth called odd"
        )
    shown, told = table[three].to_numpy(), table[odd].tolist()
    if {*told} in ({*"012"}, {*"123"}) and len(three) == 3 and not {*told} <= known:  # places
        told = [row[int(place) - ("3" in told)] for row, place in zip(shown, told, strict=True)]
    rows = [[*(name for name in row if name != last), last] for row, last in zip(shown, told, strict=True)]
    if wrong := [k for k, row in enumerate(rows) if not len(row) == len({*row} & known) == 3]:
        raise BrainalignError(
            f"{path}: {len(wrong)} triplets are not three different objects of which {odd} is one (first: row "
            f"{wrong[0] + 1}: {listed(table.loc[wrong[0], [*three, odd]].tolist())}); name it, or its place from 1 to 3"
        )
    never = [name for name in three if "odd" not in odd.lower() and len(table) > 20 and not (table[name] == told).any()]
    if never:
        raise BrainalignError(
            f"{path}: {odd} is never {never[0]}, as if the others had been compared with that one; call the column of "
            "what does not belong odd"
        )
    return pd.Index(objects).get_indexer(pd.Index(np.ravel(rows))).reshape(-1, 3).astype(np.int64)


def odd_column(names: Iterable[str]) -> str:
    """Find the name of the column that tells the odd one; "" where there is none."""
    told = ((name, word) for word in ("odd", "choice", "chosen") for name in names if word in name.lower())
    return next((name for name, _ in told), "")


def read_objects(path: Path) -> pd.DataFrame:
    """Read the list of objects, in the order of their numbers.

    Returns stimulus_id, label, and path (absolute) where there is one. The file is a text with an id per line, or a
    table: stimulus_id [label, path of the image]. Without labels an id without underscores and trailing digits is the
    label ("hot_dog", "bat1"). Empty and repeated ids are refused.
    """
    of_text = {"stimulus_id": table_column(path, "stimulus_id")} if path.suffix == ".txt" else None
    table = pd.DataFrame(of_text) if of_text else read_images_table(path)
    ids = table["stimulus_id"].astype(str).str.strip()
    if ids.eq("").any() or ids.duplicated().any():
        twice = ids[ids.duplicated()].tolist()
        raise BrainalignError(f"{path}: every object needs an id of its own; empty or repeated: {listed(twice)}")
    labels = [re.sub(r"\d+$", "", name).replace("_", " ").strip() or name for name in ids]
    labels = labels if 2 * len({*labels}) > len(labels) else ids.tolist()  # of object_0, object_1, ...
    found = pd.DataFrame({"stimulus_id": ids, "label": table["label"].str.strip() if "label" in table else labels})
    return found.assign(path=[str(Path(file).absolute()) for file in table["path"]]) if "path" in table else found


def _index_base(tables: Sequence[Numbers], n_objects: int, given: int | None) -> int:
    """Return the number of the first object: what the descriptor says, or what the numbers can only mean."""
    low, high = min(int(t.min()) for t in tables), max(int(t.max()) for t in tables)
    fits = [base for base in (0, 1) if low >= base and high < base + n_objects]
    about = f"numbers of objects go from {low} to {high}, and there are {n_objects} objects"
    if not fits:
        raise BrainalignError(f"{about}: some are out of range; give the list of objects that belongs to them")
    if given is not None and given not in fits:
        raise BrainalignError(f"{about}, which does not fit index_base: {given}; write index_base: {fits[0]}")
    if given is None and len(fits) > 1:
        raise BrainalignError(
            f"{about}: counting may begin at 0 or at 1, and every object would be its neighbour if that were wrong; "
            "write index_base: 0 or 1 into the descriptor"
        )
    return fits[0] if given is None else given


def _embedding(path: Path, n_objects: int) -> NDArray[np.float64]:
    with reading(path, "no table of numbers", "write a line of numbers per object"):
        table: Any = pd.read_csv(path, sep=r"[\s,]+", header=None, dtype=np.float64, engine="python")
    values = table.to_numpy()
    remedy = "an embedding has a row of numbers per object, in the order of the list"
    check_rows(path, len(values), "the list of objects", n_objects, remedy)
    check_finite(str(path), values, remedy)
    return np.asarray(values)
