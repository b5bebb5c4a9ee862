"""Refusals: what stops with one sentence, raised as the project's own error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brainalign.checks import BrainalignError


def refused(message: str, call: Callable[..., object], /, *arguments: object, **options: object) -> None:
    """Assert that a call with these arguments raises a `BrainalignError` whose text matches a regular expression."""
    with pytest.raises(BrainalignError, match=message):
        call(*arguments, **options)
