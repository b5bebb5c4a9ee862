"""What tests make, in short, held against a record: a change that no test asked about is seen, too. A record says
nothing of right or wrong, that is what the tests are for. Where a change is meant, look at what it does, then write
the record anew: RECORD=1 in the environment of the tests that read it, all of a file in one worker (--dist
loadfile). Kept are, of every array, text, column and kind of mark, how many numbers there are, sums of them that
size and order decide, and a checksum of words."""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
import torch

# What differs between runs: folders of tests, where the project lies, digests and times; between machines, how bytes
# are compressed (tests of the viewer unpack them).
ROOT = re.escape(str(Path(__file__).parents[2]))
PASSING = re.compile(
    rf"/[^\s'\"]*?/pytest-\d+/(?:popen-gw\d+/)?[^/\s'\"]*|{ROOT}|\b[0-9a-f]{{12,}}\b|\d{{4}}-\d\d-\d\dT[\d:.+]+|data:[^\"']+"
    r"|[A-Za-z0-9+/]{100,}={0,2}|\bH4sI[A-Za-z0-9+/]+={0,2}"
)
NUMBER = re.compile(r"(?<![\w.#])[-−+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?")


def summary(content: Any) -> list[float]:
    """Return of anything: how many numbers, how many finite ones, four sums, a checksum of the words."""
    parts = [*_parts(content)]
    numbers = np.concatenate([[], *(np.ravel(part).astype(float) for part in parts if not isinstance(part, str))])
    words = "|".join(part for part in parts if isinstance(part, str))
    filled = np.nan_to_num(numbers, nan=-7.5, posinf=1e6, neginf=-1e6)
    order = 1.5 + np.cos(0.7 + 1.3 * np.arange(len(filled)))
    # Large ones hide small ones in the first two, not in the others.
    found = [total for x in (filled, np.arcsinh(filled)) for total in (np.abs(x).sum(), x @ order)]
    sums = [float(f"{total:.7g}") for total in found]
    return [len(numbers), int(np.isfinite(numbers).sum()), *sums, crc32(words.encode())]


def _parts(content: Any) -> Iterator[str | float | np.ndarray]:
    """Yield the texts and numbers of anything in order; numbers in a text are some, those in an array of words not."""
    if isinstance(content, str):
        text = PASSING.sub("", content)
        yield from (float(number.replace("−", "-").replace(",", "")) for number in NUMBER.findall(text))
        yield NUMBER.sub("#", text)
    elif content is None or isinstance(content, bytes):
        yield str(content)
    elif isinstance(content, bool | int | float | np.number | np.bool_):
        yield float(content)
    elif isinstance(content, pd.DataFrame):
        yield from map(str, content.columns)
        yield from _parts([content[column].tolist() for column in content])
    elif isinstance(content, np.ndarray) and content.dtype.kind in "OUS":
        for part in content.ravel().tolist():
            yield from [PASSING.sub("", part)] if isinstance(part, str) else _parts(part)
    elif isinstance(content, np.ndarray):
        yield np.ma.filled(np.ma.asarray(content, dtype=float), np.nan)
    elif isinstance(content, dict):
        yield from _parts(list(content.items()))
    elif isinstance(content, list | tuple) and {*map(type, content)} <= {bool, int, float}:
        yield np.array(content, dtype=float)
    elif isinstance(content, Sequence):
        for part in content:
            yield from _parts(part)
    elif isinstance(content, set):
        yield from _parts(sorted(content, key=str))
    elif dataclasses.is_dataclass(content) and not hasattr(content, "figure"):
        yield from _parts([getattr(content, part.name) for part in dataclasses.fields(content)])


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
    elif isinstance(found, tuple | list):
        yield name, np.array(found, dtype=object)
    elif found is None or isinstance(found, str | bytes | bool | int | float | np.ndarray | np.generic):
        yield name, np.asarray(found)
    else:
        yield name, np.asarray(found, dtype=float)


def tables(found: Any) -> Iterator[pd.DataFrame]:
    """Yield the tables that a result holds: of their index no record says anything."""
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        found = [getattr(found, field.name) for field in dataclasses.fields(found)]
    if isinstance(found, pd.DataFrame):
        yield found
    elif isinstance(found, Mapping | tuple | list):
        for one in found.values() if isinstance(found, Mapping) else found:
            yield from tables(one)


class Record:
    """What a file holds of accounts, lists that begin with a name and hold summaries; `anew` forgets them."""

    def __init__(self, path: Path, *, anew: bool = False) -> None:
        self.path, self.writes = path, "RECORD" in os.environ
        has_some = path.exists() and not (anew and self.writes)
        self.accounts: list[list[Any]] = json.loads(path.read_text()) if has_some else []

    def unknown(self, account: list[Any]) -> bool:
        """Tell whether nothing like it is on record; a record that is written takes it."""
        known = any(alike(account, one) for one in self.accounts)
        if self.writes and not known:
            self.accounts.append(account)
        return not known and not self.writes

    def check(self, name: str, found: Any, tolerance: float = 1e-4) -> None:
        """Raise where a result is not as it was, arrays by their names, or rows of a table are called alike."""
        assert all(table.index.is_unique for table in tables(found))
        now = [name, *([key, summary(array)] for key, array in arrays(found))]
        assert now[1:]
        if self.writes:
            self.accounts = [one for one in Record(self.path).accounts if one[0] != name] + [now]
            self.write()
            return
        (known,) = (one for one in self.accounts if one[0] == name)
        assert [key for key, _ in now[1:]] == [key for key, _ in known[1:]]
        wrong = [pair for pair in zip(known, now, strict=True) if not alike(*pair, tolerance)]
        assert not wrong, f"{name}: recorded, now {wrong}"

    def check_case(self, name: str, case: Callable[..., Any], folder: Path, tolerance: float = 1e-4) -> None:
        """Check the results of a case, which may write into a folder and disturbs nobody's random numbers."""
        before, found = torch.get_rng_state(), case(*[folder] * case.__code__.co_argcount)
        assert torch.equal(torch.get_rng_state(), before)
        self.check(name, found, tolerance)

    def write(self) -> None:
        """Write a record that was to be written and holds something."""
        if self.writes and self.accounts:
            lines = sorted({json.dumps(account, separators=(",", ":")) for account in self.accounts})
            self.path.parent.mkdir(exist_ok=True)
            self.path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def as_they_were(*cases: Callable[..., Any]) -> Callable[..., None]:
    """Return a test that checks results of fixed seeds, of a case each."""

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("case", cases, ids=lambda case: case.__name__)
    def check(case: Callable[..., Any], recorded: Record, tmp_path: Path) -> None:
        recorded.check_case(case.__name__, case, tmp_path)

    return check


def alike(one: Any, other: Any, tolerance: float = 1e-4) -> bool:
    """Tell whether two accounts agree: sums to a share of the sum of sizes, as other processors round otherwise."""
    if not isinstance(one, list) or not isinstance(other, list):
        return bool(one == other)
    if len(one) == len(other) == 7 and isinstance(one[2], float) and isinstance(other[2], float):
        sums = [(k, size) for size in (2, 4) for k in (size, size + 1)]
        close = [abs(one[k] - other[k]) <= tolerance * max(other[size], 1e-3) for k, size in sums]
        return one[:2] == other[:2] and one[6] == other[6] and all(close)
    return len(one) == len(other) and all(alike(*pair, tolerance) for pair in zip(one, other, strict=True))


class Stage:
    """Stands for a job: a stage reads what it is given here, and what it saves is kept as value and details."""

    seed = 3

    def __init__(self, options: Mapping[str, Any], inputs: Mapping[str, Any], outputs: Mapping[str, Path]) -> None:
        self.given, self.inputs, self.outputs = options, inputs, outputs
        self.saved: dict[str, Any] = {}
        self.labels, self.settings = {"method": "ridge"}, {"confidence": 0.8}

    def options(self, _: str, kind: type) -> Any:
        return kind(**self.given)

    def load(self, name: str, _: type, *, stored: bool = False) -> Any:
        return self.inputs[name]

    def has(self, name: str) -> bool:
        return name in self.inputs

    def details(self, name: str) -> Any:
        return self.inputs.get(f"{name} details", {})

    def save(self, name: str, value: Any, **about: Any) -> None:
        self.saved[name] = value, about
