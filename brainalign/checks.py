"""The one error type of the project and the few checks that raise it.

A message names what was wrong, both values, and the remedy. Checks run at the public border, before any long
computation.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Collection, Iterable, Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BrainalignError",
    "check_choice",
    "check_finite",
    "check_rows",
    "did_you_mean",
    "import_optional",
    "listed",
]


class BrainalignError(ValueError):
    """Anything a user can mend: a wrong file, a wrong name, data of the wrong shape."""


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return " (did you mean 'ridge'?)" for the nearest option, or an empty string when none is near."""
    nearest = difflib.get_close_matches(str(word), [str(option) for option in options], n=1, cutoff=0.6)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


def listed(items: Sequence[object], most: int = 3) -> str:
    """Return the first `most` items in words, and how many more there are."""
    shown = ", ".join(str(item) for item in items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise unless `value` is one of `choices`; the message lists them and names the nearest.

    Raises
    ------
    BrainalignError
        If `value` is not in `choices`.
    """
    if value not in choices:
        options = ", ".join(repr(choice) for choice in sorted(choices))
        raise BrainalignError(f"{name} must be one of {options}; got {value!r}{did_you_mean(str(value), choices)}")


def check_rows(name_a: str, n_a: int, name_b: str, n_b: int, remedy: str) -> None:
    """Raise unless two things have the same number of rows.

    Raises
    ------
    BrainalignError
        If `n_a` differs from `n_b`; `remedy` says what to do.
    """
    if n_a != n_b:
        raise BrainalignError(f"{name_a} has {n_a} rows but {name_b} has {n_b}; {remedy}")


def check_finite(name: str, values: NDArray[np.floating], remedy: str) -> None:
    """Raise if any value is NaN or infinite; the message says how many and where the first one is.

    Raises
    ------
    BrainalignError
        If `values` holds a NaN or an infinity.
    """
    finite = np.isfinite(values)
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise BrainalignError(
            f"{name} of shape {values.shape} has {int((~finite).sum())} NaN or infinite values "
            f"(first at {first}); {remedy}"
        )


def import_optional(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or say what it is for and how to install it.

    Raises
    ------
    BrainalignError
        If the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise BrainalignError(
            f'{purpose} needs {module}; install it with: pip install "brainalign[{extra}]"'
        ) from error
