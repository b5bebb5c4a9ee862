"""Refusals: what stops with one sentence, raised as the project's own error."""

import os
from collections.abc import Callable

import pytest

from brainalign.checks import BrainalignError


def refused(message: str, call: Callable[..., object], /, *arguments: object, **options: object) -> None:
    with pytest.raises(BrainalignError, match=message):
        call(*arguments, **options)


class Trap:
    """What makes a folder when it is unpickled."""

    def __init__(self, path: object) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)
