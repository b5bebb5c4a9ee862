"""What public functions give while a test runs, in short, whether the test asks about it or not."""

import functools
import importlib
import inspect
import os
import pkgutil
import re
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

from seeded.recorded import summary

from brainalign.checks import BrainalignError

# Packages whose functions read, check and plan: what they give is the same on every machine.
WATCHED = ("config", "datasets", "io", "study", "workflow")
# What holds versions and times, what follows free memory, and what the machine has.
PASSING = {
    *("audit_images", "load_sidecar", "operations_per_s", "read_images_table", "read_json", "read_sealed", "read_yaml"),
    "without_run_keys",
}
# Calls of a function in a test that are looked at; a record keeps more: what is cached is called in some orders only.
MOST = 5 if "RECORD" in os.environ else 2

calls: Counter[str] = Counter()
found: list[list[Any]] = []


def watch() -> None:
    """Replace public functions wherever they are bound by ones that add what they give to `found`."""
    for name in WATCHED:
        package = importlib.import_module(f"brainalign.{name}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    watched: dict[Any, Any] = {}
    for module in [*sys.modules.values()]:
        if getattr(module, "__name__", "").startswith("brainalign"):
            for name, thing in [*vars(module).items()]:
                if _is_public(thing):
                    setattr(module, name, watched.setdefault(thing, _watched(thing)))


def _is_public(thing: Any) -> bool:
    return (
        inspect.isfunction(thing)
        and not hasattr(thing, "__wrapped__")
        and thing.__name__[0] != "_"
        and thing.__module__.startswith(tuple(f"brainalign.{name}" for name in WATCHED))
    )


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    name = function.__name__

    @functools.wraps(function)
    def and_noted(*arguments: Any, **options: Any) -> Any:
        if name in PASSING or calls[name] >= MOST or tracemalloc.is_tracing():  # a summary takes memory
            return function(*arguments, **options)
        calls[name] += 1
        try:
            result = function(*arguments, **options)
        except BrainalignError as error:
            # Its words: sizes of files differ, and what libraries say, in brackets, is cut where paths are long.
            found.append([name, "refused", summary(re.sub(r"\(.*\)", "", str(error), flags=re.DOTALL))[-1]])
            raise
        if not (result is None or inspect.isgenerator(result)):  # what is made step by step is the caller's to use up
            found.append([name, summary(result)])
        return result

    return and_noted
