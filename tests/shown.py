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


def within(
    record: Record, quantity: str, value: float, about: str = "", *, least=-np.inf, most=np.inf, digits: int = 3
) -> None:
    """Show a value, with what is to be said of it, beside its limits; assert that it lies within them."""
    limits = [f"{sign} {limit:.3g}" for sign, limit in ((">=", least), ("<=", most)) if np.isfinite(limit)]
    record(quantity, f"{value:.{digits}f}{about}", ", ".join(limits))
    assert least <= value <= most, f"{quantity}: {value}"


def check_size(record: Record, test: str, hits: int, n: int) -> None:
    """In full the 95 % bound of a test's false positives is at most .075; reduced, they are compatible with .05."""
    found = binomtest(int(hits), n, 0.05, alternative="greater" if n < 500 else "less")
    record(f"{test}: false positives at .05", f"{hits / n:.3f} (n = {n})", "95 % bound <= .075")
    assert found.pvalue > 0.01 if n < 500 else found.proportion_ci(0.95).high <= 0.075, f"{test}: {hits} of {n}"


def said(values: object) -> str:
    """Return numbers in words."""
    return " ".join(f"{value:.3f}" for value in np.ravel(values))


def over_seeds(values: list[float], least: float = -np.inf, most: float = np.inf) -> str:
    """Assert that the mean over seeds lies within limits and no seed beyond by more than .05; return both in words."""
    assert least <= np.mean(values) <= most, values
    assert least - 0.05 <= min(values) <= max(values) <= most + 0.05, values
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
