"""Features over time of a model of your own: what it makes of every frame, and what it expects where it cannot see."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, did_you_mean
from brainalign.devices import seeded


@runtime_checkable
class VideoModel(Protocol):
    """Anything that turns frames into features over time: a network frame by frame, a video network, an agent."""

    def features(self, frames: NDArray[Any], /) -> Any:
        """Return features (n_conditions, n_times, n_units) of frames (n_conditions, n_times, ...).

        Or several arrays by name: the modules of an agent, the layers of a network.
        """


@runtime_checkable
class SimulatingModel(VideoModel, Protocol):
    """A model that can also roll its features out without seeing anything."""

    def simulate(self, context: Values, n_steps: int, /) -> Values:
        """Return features of the next frames (n, n_steps, n_units) after those of a context (n, n_context, n_units)."""


def load_video_model(reference: str, seed: int = 0) -> tuple[VideoModel, str]:
    """Load a video model from a function of the user's, with a digest of its source file.

    The function is "module:function" of an installed module, or "path/to/file.py:function"; it takes nothing, or the
    keyword `seed`.
    """
    function, source = find_function(reference)
    options = {"seed": seed} if "seed" in inspect.signature(function).parameters else {}
    with seeded(seed):
        model = function(**options)
    if not isinstance(model, VideoModel):
        raise BrainalignError(
            f"{reference} returned {type(model).__name__}, which has no method features; return an object with "
            "features(frames) -> (n_conditions, n_times, n_units), and simulate(context, n_steps) where it can"
        )
    return model, hashlib.sha256(source).hexdigest()


def video_features(model: VideoModel, frames: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    """Compute a model's features of frames, by module; a model of one module has the name "".

    Features are float32, frames (n_conditions, n_times, ...) go in as they are.
    """
    found = model.features(frames)
    modules = dict(found) if isinstance(found, Mapping) else {"": found}
    if not modules:
        raise BrainalignError(f"{type(model).__name__}.features returned no module; return an array, or some by name")
    arrays = {}
    for name, values in modules.items():
        where = f"module {name!r} of {type(model).__name__}" if name else type(model).__name__
        exact = np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, dtype=np.float32)
        if exact.ndim != 3 or exact.shape[:2] != frames.shape[:2] or not exact.shape[2]:
            raise BrainalignError(
                f"{where} returned features of shape {exact.shape} for frames of shape {frames.shape}; return "
                "(n_conditions, n_times, n_units), a row of units for every frame"
            )
        check_finite(f"features of {where}", exact, "mend the model")
        arrays[name] = exact
    return arrays


def find_function(reference: str) -> tuple[Callable[..., object], bytes]:
    """Return a function ("module:function" or "path/to/file.py:function") and the source of the file it is in."""
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
