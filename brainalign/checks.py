"""The one error type of the project and the few checks that raise it.

A message names what was wrong, both values, and the remedy. Checks run at the public border, before any long
computation.
"""

import difflib
import importlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray


class BrainalignError(ValueError):
    """Anything a user can mend: a wrong file, a wrong name, data of the wrong shape."""


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Begin the messages of errors in a block with what asks: a section of the configuration, a file."""
    try:
        yield
    except BrainalignError as error:
        raise BrainalignError(f"{where}: {error}") from None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return " (did you mean 'ridge'?)" for the nearest option, or an empty string when none is near."""
    nearest = difflib.get_close_matches(str(word), [str(option) for option in options], n=1, cutoff=0.6)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


def listed(items: Sequence[object], most: int = 3) -> str:
    """Return the first `most` items in words, and how many more there are."""
    shown = ", ".join(str(item) for item in items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise unless `value` is one of `choices`; the message lists them and names the nearest."""
    if value not in choices:
        options = ", ".join(repr(choice) for choice in sorted(choices))
        raise BrainalignError(f"{name} must be one of {options}; got {value!r}{did_you_mean(str(value), choices)}")


def check_rows(name_a: object, n_a: int, name_b: object, n_b: int, remedy: str, what: str = "rows") -> None:
    """Raise unless two things have the same number of rows, or of `what` they are made of."""
    if n_a != n_b:
        raise BrainalignError(f"{name_a} has {n_a} {what} but {name_b} has {n_b}; {remedy}")


def check_shape(name: str, shape: Sequence[int], expected: Sequence[int], knows: str, remedy: str) -> None:
    """Raise unless a shape is the one that something `knows`, for example "predictions have"."""
    if tuple(shape) != tuple(expected):
        raise BrainalignError(f"{name} has shape {tuple(shape)} but {knows} {tuple(expected)}; {remedy}")


def check_width(name: str, shape: Sequence[int], n_features: int, knows: str, remedy: str) -> None:
    """Raise unless rows have the features that something `knows`, for example "the encoder was fitted on"."""
    if len(shape) != 2 or shape[1] != n_features:
        raise BrainalignError(f"{name} has shape {tuple(shape)} but {knows} {n_features} features; {remedy}")


def check_finite(name: str, values: NDArray[np.floating], remedy: str) -> None:
    """Raise if any value is NaN, infinite or masked; the message says how many and where the first one is."""
    finite = np.ma.filled(np.isfinite(values), False)  # masked values are missing ones
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise BrainalignError(
            f"{name} of shape {values.shape} has {int((~finite).sum())} NaN or infinite values "
            f"(first at {first}); {remedy}"
        )


def numbers(name: str, values: Any, dtype: type[np.floating] | None = None) -> NDArray[Any]:
    """Return real numbers as an array: of an array, tensor, table, list or RDMs of rsatoolbox; masked ones are NaN.

    Raises BrainalignError where they are complex, sparse, or no numbers.
    """
    values = getattr(values, "dissimilarities", values)
    if hasattr(values, "toarray"):
        raise BrainalignError(f"{name} is a sparse matrix; give {name}.toarray()")
    try:
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        if array.dtype.kind == "O" and not array.ndim:
            raise TypeError(f"it is a {type(values).__name__}")
        if array.dtype.kind == "O":  # what tables of mixed columns give
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise BrainalignError(f"{name} must hold numbers only ({error}); drop or encode other columns") from error
    if array.dtype.kind == "c":
        raise BrainalignError(f"{name} is complex; give its real and imaginary part, or its size, as columns")
    if array.dtype.kind not in "biuf":
        raise BrainalignError(f"{name} holds values of type {array.dtype}; give numbers: drop or encode them")
    if np.ma.is_masked(values):
        array = np.where(np.ma.getmaskarray(values), np.nan, array)
    wanted = dtype or (np.float64 if array.dtype.itemsize > 8 else array.dtype)
    return array.astype(wanted, copy=False)


def generator(rng: Any) -> np.random.Generator:
    """Return a generator as it is, or that of a seed or RandomState; raise where it is none of them."""
    with suppress(TypeError, ValueError):
        if rng is not None:
            return np.random.default_rng(rng)
    raise BrainalignError(f"rng is {rng!r}; pass rng=np.random.default_rng(seed), or a seed")


def row_numbers(name: str, given: Any, n_rows: int) -> NDArray[np.intp]:
    """Return the numbers of chosen rows, which are given as numbers or as a mask."""
    rows = np.asarray(given)
    if rows.dtype == bool:
        if rows.shape != (n_rows,):
            raise BrainalignError(
                f"the mask {name} has shape {rows.shape} but there are {n_rows} rows; give one value each"
            )
        rows = np.flatnonzero(rows)
    if not rows.size:
        raise BrainalignError(f"{name} names no row of {n_rows}; give one or more")
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise BrainalignError(f"{name} is {rows.dtype} of shape {rows.shape}; give row numbers, or a mask")
    outside = rows[(rows < 0) | (rows >= n_rows)]
    if outside.size:
        raise BrainalignError(
            f"{name} names {outside.size} rows that there are not (first {outside[0]}); rows are 0 to {n_rows - 1}"
        )
    return rows.astype(np.intp)


def check_columns(where: object, table: Iterable[object], needed: Iterable[str], remedy: str = "rename one") -> None:
    """Raise unless a table has all columns that are needed; the message names the nearest of those it has."""
    check_named(where, table, needed, "column", remedy)


def check_named(where: object, named: Iterable[object], wanted: Iterable[str], what: str, remedy: str) -> None:
    """Raise unless all that is wanted is named; the message says `what` it is, and the nearest of the names."""
    names = [str(name) for name in named]
    if missing := [one for one in wanted if one not in names]:
        lacks = f"no {what} {listed([*map(repr, missing)])}{did_you_mean(missing[0], names)}"
        raise BrainalignError(f"{where}: {lacks}; it has {listed(names, 12) or 'none'}: {remedy}")


def check_among(place: str, named: Iterable[str | None] | None, known: Collection[str], what: str) -> None:
    """Raise where an option names what is not there; None names nothing."""
    for name in named or ():
        if name is not None and name not in known:
            raise BrainalignError(
                f"{place}: {name!r} is not among {what} ({', '.join(known)}){did_you_mean(name, known)}"
            )


def check_unique(
    where: object, ids: Iterable[object], what: str = "stimulus ids", remedy: str = "keep one each"
) -> None:
    """Raise where one of the ids is there twice."""
    if twice := [name for name, n in Counter(ids).items() if n > 1]:
        raise BrainalignError(f"{where}: {len(twice)} {what} are there twice ({listed(twice)}); {remedy}")


def check_folds(folds: Iterable[tuple[Any, Any]], n_rows: int, sides: tuple[str, str] = ("train", "test")) -> None:
    """Raise unless every fold trains on some rows and tests on others, all of them among the rows there are.

    Parameters
    ----------
    folds : sequence of (rows of one side, rows of the other)
        Row numbers or masks.
    n_rows : int
    sides : (str, str)
        What the two are called in the message.
    """
    pairs = list(folds)
    if not pairs:
        raise BrainalignError("there is no fold; give one or more")
    for number, pair in enumerate(pairs):
        one, other = (
            row_numbers(f"fold {number}, {name}", side, n_rows) for name, side in zip(sides, pair, strict=True)
        )
        both = np.intersect1d(one, other)
        if both.size:
            raise BrainalignError(
                f"fold {number}: {both.size} rows are in both {sides[0]} and {sides[1]} ({listed(both.tolist())}), so "
                "scores would be of what was learnt by heart; give each row one side"
            )


def check_apart(
    one: Iterable[object], other: Iterable[object], what: str, remedy: str, sides: tuple[str, str] = ("train", "test")
) -> None:
    """Raise if anything, such as a stimulus or a subject, is on both sides of a split; `what` is its plural.

    Names are compared as text: 7 and "7" are the same stimulus.
    """
    if both := sorted(set(map(str, one)) & set(map(str, other))):
        raise BrainalignError(f"{len(both)} {what} occur in both {sides[0]} and {sides[1]} ({listed(both)}); {remedy}")


def import_optional(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or say what it is for and how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise BrainalignError(
            f'{purpose} needs {module}; install it with: pip install "brainalign[{extra}]"'
        ) from error
