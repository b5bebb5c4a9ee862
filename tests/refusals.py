"""Refusals: what stops with one sentence, raised as the project's own error; and what is killed on its way."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from brainalign.checks import BrainalignError


def refused(message: str, call: Callable[..., object], /, *arguments: object, **options: object) -> str:
    with pytest.raises(BrainalignError, match=message) as error:
        call(*arguments, **options)
    return str(error.value)


def stopping(at: int, tell: Callable[..., object] = lambda *_: None) -> tuple[list[Any], Callable[..., Any]]:
    """Return what is told, and how to tell it: so often, and the process is killed."""
    told: list[Any] = []

    def tell_or_stop(*step: object) -> Any:
        told.append(step)
        if len(told) == at:
            raise KeyboardInterrupt
        return tell(*step)

    return told, tell_or_stop


def killed(at: int, call: Callable[..., object], /, *arguments: object, **options: object) -> None:
    """Let a call go on until it told its progress so often."""
    with pytest.raises(KeyboardInterrupt):
        call(*arguments, progress=stopping(at)[1], **options)


def flipped(content: bytes, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


class Trap:
    """What makes a folder when it is unpickled."""

    def __init__(self, path: object) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)
