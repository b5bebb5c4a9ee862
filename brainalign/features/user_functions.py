"""Functions of the user's, by name: of an installed module, or of a file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from brainalign.checks import BrainalignError, did_you_mean


def find_function(reference: str) -> tuple[Callable[..., object], bytes]:
    """Return a function and the source of the file it is in.

    Parameters
    ----------
    reference : str
        "module:function" of an installed module, or "path/to/file.py:function".

    Raises
    ------
    BrainalignError
        If it cannot be imported, or has no such function.
    """
    place, _, name = reference.rpartition(":")
    if not place or not name:
        raise BrainalignError(f"function must be 'module:function' or 'path/to/file.py:function'; got {reference!r}")
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(f"brainalign_user_{Path(place).stem}", place)
            if spec is None or spec.loader is None or not Path(place).is_file():
                raise ModuleNotFoundError(f"no file {place}")
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # dataclasses and the like look their module up
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
    except ImportError as error:
        raise BrainalignError(
            f"cannot import {place!r}: {error}; install the package it is in, or give 'path/to/file.py:{name}'"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise BrainalignError(f"{place} has no function {name!r}{did_you_mean(name, names)}; it has {names}")
    return function, Path(str(module.__file__)).read_bytes()
