"""What tests get from the public functions that they call, in short, whether they ask about it or not."""

import functools
import inspect
import re
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from seeded.recorded import summary

from brainalign.checks import BrainalignError

TESTS = Path(__file__).parent
# What holds versions and times, and what follows free memory.
PASSING = {"load_sidecar", "target_block"}


@contextmanager
def returned(module: ModuleType) -> Iterator[list[list[Any]]]:
    """Collect what public functions give to a file of tests and to what stands beside it, not to each other."""
    found: list[list[Any]] = []
    beside = [one for one in sys.modules.values() if Path(getattr(one, "__file__", None) or "/").parent == TESTS]
    with pytest.MonkeyPatch.context() as patch:
        for place in {one.__name__: one for one in (module, *beside)}.values():
            for name, thing in [*vars(place).items()]:
                if inspect.ismodule(thing) and _is_ours(thing):
                    patch.setattr(place, name, _Face(thing, found))
                elif _is_public(thing):
                    patch.setattr(place, name, _watched(thing, found))
        yield found


class _Face:
    """A package as tests see it: changing it for good would reach what is imported meanwhile."""

    __slots__ = ("_found", "_module")  # no dict of its own: pytest puts back what it finds in that of the package

    def __init__(self, module: ModuleType, found: list[list[Any]]) -> None:
        object.__setattr__(self, "_module", module)
        object.__setattr__(self, "_found", found)

    def __getattr__(self, name: str) -> Any:
        thing = getattr(self._module, name)
        return _watched(thing, self._found) if _is_public(thing) else thing

    def __setattr__(self, name: str, thing: Any) -> None:
        setattr(self._module, name, thing)

    def __delattr__(self, name: str) -> None:
        delattr(self._module, name)


def _is_public(thing: Any) -> bool:
    return inspect.isfunction(thing) and thing.__name__[0] != "_" and _is_ours(inspect.getmodule(thing))


def _is_ours(module: ModuleType | None) -> bool:
    return module is not None and module.__name__.startswith("brainalign.")


def _watched(function: Callable[..., Any], found: list[list[Any]]) -> Callable[..., Any]:
    name = function.__name__

    @functools.wraps(function)
    def and_noted(*arguments: Any, **options: Any) -> Any:
        try:
            result = function(*arguments, **options)
        except BrainalignError as error:
            if name not in PASSING:
                # Its words: sizes of files differ, and what libraries say, in brackets, is cut where paths are long.
                found.append([name, "refused", summary(re.sub(r"\(.*\)", "", str(error), flags=re.DOTALL))[-1]])
            raise
        # What is made step by step is the test's to use up, and a summary takes memory where a test measures it.
        if not (result is None or name in PASSING or inspect.isgenerator(result) or tracemalloc.is_tracing()):
            found.append([name, "returned", summary(result)])
        return result

    return and_noted
