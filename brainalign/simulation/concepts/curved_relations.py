"""Relations that straight distances miss: a rolled sheet, and pairs of variables on curves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import check_choice

Values = NDArray[np.float64]


def dependent_pair(relation: str, n: int, rng: np.random.Generator) -> tuple[Values, Values]:
    """Simulate two variables, (n,) each, that are related in a known way.

    Parameters
    ----------
    relation : str
        A key of `RELATIONS`: "independent"; "linear" under much noise; "sine" of four periods; "circle";
        "checkerboard" of four columns and two fields in each.
    n : int
    rng : Generator

    Examples
    --------
    >>> dependent_pair("circle", 50, np.random.default_rng(0))[0].shape
    (50,)
    """
    check_choice("relation", relation, RELATIONS)
    return RELATIONS[relation](rng.random(n), rng)


def _independent(x: Values, rng: np.random.Generator) -> tuple[Values, Values]:
    return x, rng.random(len(x))


def _linear(x: Values, rng: np.random.Generator) -> tuple[Values, Values]:
    return x, x + 0.75 * rng.normal(size=len(x))


def _sine(x: Values, rng: np.random.Generator) -> tuple[Values, Values]:
    return x, np.sin(8 * np.pi * x) + 0.2 * rng.normal(size=len(x))


def _circle(x: Values, rng: np.random.Generator) -> tuple[Values, Values]:
    noise = 0.1 * rng.normal(size=(2, len(x)))
    return np.cos(2 * np.pi * x) + noise[0], np.sin(2 * np.pi * x) + noise[1]


def _checkerboard(x: Values, rng: np.random.Generator) -> tuple[Values, Values]:
    column = np.floor(4 * x)
    return 4 * x, 2 * rng.integers(0, 2, len(x)) + column % 2 + rng.random(len(x))


RELATIONS = {
    "independent": _independent,
    "linear": _linear,
    "sine": _sine,
    "circle": _circle,
    "checkerboard": _checkerboard,
}
