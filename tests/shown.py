"""What tests of planted truth share: rows that are shown, reduced and full sizes, further seeds, values in words."""

import os
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

Record = Callable[[str, object, str], None]
# Worlds that decide nothing and are shown, whatever they say: run once, when a method or its world has changed.
FURTHER = (10, 11, 12) if "FURTHER" in os.environ else ()


def cases(reduced: object, full: object) -> Callable[..., pytest.MarkDecorator]:
    """Return a decorator, given the names, of a test that runs reduced in `make test` and in full in acceptance."""
    both = [pytest.param(reduced, id="reduced"), pytest.param(full, id="full", marks=pytest.mark.acceptance)]
    return lambda name: pytest.mark.parametrize(name, both)


def check_size(hits: int, n: int) -> None:
    """In full the 95 % bound of a test's false positives is at most .075; reduced, they are compatible with .05."""
    test = binomtest(int(hits), n, 0.05, alternative="greater" if n < 500 else "less")
    assert test.pvalue > 0.01 if n < 500 else test.proportion_ci(0.95).high <= 0.075, f"{hits} of {n}"


def said(values: object) -> str:
    """Return numbers in words."""
    return " ".join(f"{value:.3f}" for value in np.ravel(values))


def over_seeds(values: list[float], least: float = -np.inf, most: float = np.inf) -> str:
    """Assert that the mean over seeds lies within limits and no seed beyond by more than .05; return both in words."""
    assert least <= np.mean(values) <= most, values
    assert least - 0.05 <= min(values) <= max(values) <= most + 0.05, values
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
