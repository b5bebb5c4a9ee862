"""Refusals: what stops with one sentence, raised as the project's own error; and what is killed on its way."""

import itertools
import os
from collections.abc import Callable

import pytest

from brainalign.checks import BrainalignError


def refused(message: str, call: Callable[..., object], /, *arguments: object, **options: object) -> str:
    with pytest.raises(BrainalignError, match=message) as error:
        call(*arguments, **options)
    return str(error.value)


def killed(at: int, call: Callable[..., object], /, *arguments: object, **options: object) -> None:
    """Let a call go on until it told its progress so often."""
    steps = itertools.count(1)

    def progress(*_: object) -> None:
        if next(steps) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(*arguments, progress=progress, **options)


class Trap:
    """What makes a folder when it is unpickled."""

    def __init__(self, path: object) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)
