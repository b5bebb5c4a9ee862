"""Results of fixed seeds as they were: two sums of every array are on record, so any number that moves is seen.

To record anew what has changed on purpose: RECORD=1 in the environment of the tests, then read the difference.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

MISSING = -7.5  # stands for NaN


def arrays(found: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and array of all that a result holds, in its own order."""
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        found = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    elif hasattr(found, "_asdict"):
        found = found._asdict()
    if isinstance(found, pd.DataFrame):
        yield f"{name}()", np.array([str(column) for column in found])
        found = {column: found[column].to_numpy() for column in found}
    if isinstance(found, Mapping):
        for key in found:
            yield from arrays(found[key], f"{name}/{key}")
    elif hasattr(found, "detach"):
        yield name, found.detach().cpu().numpy()
    elif isinstance(found, tuple | list) and any(not np.isscalar(one) for one in found):
        for k, one in enumerate(found):
            yield from arrays(one, f"{name}/{k}")
    elif found is None or isinstance(found, str | bytes | bool | int | float | tuple | list | np.ndarray | np.generic):
        yield name, np.asarray(found)
    else:
        yield name, np.asarray(found, dtype=float)


def sums(array: np.ndarray) -> list[float]:
    """Return the sum of sizes, and one that the order decides."""
    if array.dtype.kind not in "biufc":
        array = np.array([zlib.crc32(str(one).encode()) % 1009 for one in array.ravel()])
    flat = np.nan_to_num(array.ravel().astype(float), nan=MISSING, posinf=1e6, neginf=-1e6)
    return [float(np.abs(flat).sum()), float(flat @ (1.5 + np.cos(0.7 + 1.3 * np.arange(len(flat)))))]


class Record:
    """What a file holds of results by name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, name: str, found: Any, tolerance: float = 1e-4) -> None:
        """Raise where a result is not as it was."""
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        now = {key: sums(array) for key, array in arrays(found)}
        assert now
        if os.environ.get("RECORD"):
            known[name] = {key: [float(f"{value:.7g}") for value in pair] for key, pair in now.items()}
            lines = [f"{json.dumps(key)}: {json.dumps(known[key])}" for key in sorted(known)]
            self.path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
            return
        assert list(now) == list(known[name])
        wrong = {
            key: (pair, now[key])
            for key, pair in known[name].items()
            if not np.allclose(pair, now[key], rtol=0, atol=tolerance * max(pair[0], 1e-3))
        }
        assert not wrong, f"{name}: recorded, now {wrong}"


class Stage:
    """Stands for a job: a stage reads what it is given here, and what it saves is kept as value and details."""

    seed = 3

    def __init__(self, options: Mapping[str, Any], inputs: Mapping[str, Any], outputs: Mapping[str, Path]) -> None:
        self.given, self.inputs, self.outputs = options, inputs, outputs
        self.saved: dict[str, Any] = {}
        self.labels, self.settings = {"method": "ridge"}, {"confidence": 0.8}

    def options(self, _: str, kind: type) -> Any:
        return kind(**self.given)

    def load(self, name: str, _: type) -> Any:
        return self.inputs[name]

    def has(self, name: str) -> bool:
        return name in self.inputs

    def details(self, name: str) -> Any:
        return self.inputs.get(f"{name} details", {})

    def save(self, name: str, value: Any, **about: Any) -> None:
        self.saved[name] = value, about
