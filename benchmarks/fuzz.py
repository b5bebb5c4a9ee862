"""Damaged files against every reader: none may end in a raw traceback, hang, or be read as something else unnoticed.

Samples are made on the spot, one per reader. Each case damages one file of a sample and reads it in a forked worker
with an alarm and a limit of memory. It fails as

- a traceback: something else than the project's error was raised,
- a hang: reading took longer than `PATIENCE_S`, or killed the process,
- a silent acceptance: other values came back although the file carries a checksum (gzip, zip, PNG, sidecar), or the
  damage is one that every reader of tables must see (a row longer than the header, a column named twice).

python benchmarks/fuzz.py [--quick] [--cases 6000] [--seed 0] [--only NAME] prints a row per reader.
"""

import argparse
import contextlib
import gzip
import hashlib
import io
import multiprocessing
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError
from fuzz_samples import READERS, Reader

PATIENCE_S = 20
MEMORY = 3 << 30  # bytes beyond what the worker holds already
BAD = ("traceback", "hang", "silent")
Damage = Callable[[bytes, np.random.Generator], bytes]


class Case(NamedTuple):
    """One damaged file: which reader, which damage, which draw of it."""

    reader: str
    damage: str
    seed: int


# ---------------------------------------------------------------------------------------------------------- damages


def _flip(content: bytes, rng: np.random.Generator, n: int = 1, within: int | None = None) -> bytes:
    damaged = bytearray(content)
    for bit in rng.integers(8 * min(len(content), within or len(content)), size=n).tolist():
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def _huge(content: bytes, rng: np.random.Generator) -> bytes:
    """Write the largest number of 2, 4 or 8 bytes somewhere into the head of a file."""
    size = int(rng.choice([2, 4, 8]))
    place = int(rng.integers(max(1, min(len(content), 600) // size))) * size
    value = (2 ** (8 * size - 1) - 1) if rng.random() < 0.5 else 2 ** (8 * size) - 1
    return content[:place] + value.to_bytes(size, "little") + content[place + size :]


def _large(content: bytes, rng: np.random.Generator) -> bytes:
    """Put a huge number in the place of one written in digits."""
    head = content[:2000]
    starts = [k for k in range(len(head)) if head[k : k + 1].isdigit() and not head[k - 1 : k].isdigit()]
    if not starts:
        return _huge(content, rng)
    start = int(rng.choice(starts))
    stop = start
    while head[stop : stop + 1].isdigit():
        stop += 1
    number = [b"999999999999999", b"-1", b"1e999", b"nan", b"99999999999999999999999999"][int(rng.integers(5))]
    return content[:start] + number + content[stop:]


def _lines(content: bytes, change: Callable[[list[bytes]], None]) -> bytes:
    lines = content.split(b"\n")
    change(lines)
    return b"\n".join(lines)


def _separator(lines: list[bytes]) -> bytes:
    return max((b"\t", b",", b";"), key=lines[0].count)


def _surplus(content: bytes, rng: np.random.Generator) -> bytes:
    def change(lines: list[bytes]) -> None:
        row = 1 + int(rng.integers(max(1, sum(map(bool, lines)) - 1)))
        lines[row] = lines[row] + _separator(lines) + b"surplus"

    return _lines(content, change)


def _surplus_everywhere(content: bytes, _: np.random.Generator) -> bytes:
    def change(lines: list[bytes]) -> None:
        sep = _separator(lines)
        lines[1:] = [line and b"first" + sep + line for line in lines[1:]]

    return _lines(content, change)


def _twice(content: bytes, _: np.random.Generator) -> bytes:
    def change(lines: list[bytes]) -> None:
        sep = _separator(lines)
        name = lines[0].split(sep)[0]
        lines[:] = [line and line + sep + (name if k == 0 else b"7") for k, line in enumerate(lines)]

    return _lines(content, change)


def _cell(content: bytes, rng: np.random.Generator) -> bytes:
    """Put something else into one cell."""

    def change(lines: list[bytes]) -> None:
        sep = _separator(lines)
        row = int(rng.integers(max(1, sum(map(bool, lines)))))
        cells = lines[row].split(sep)
        other = (b"", b"nan", b"inf", b"-1e400", b'"', b"\xe9", b"\0", b"x" * 200_000, b"9" * 30)
        cells[int(rng.integers(len(cells)))] = other[int(rng.integers(len(other)))]
        lines[row] = sep.join(cells)

    return _lines(content, change)


def _nested(content: bytes, rng: np.random.Generator) -> bytes:
    deep = b"[" * 20_000 if rng.random() < 0.5 else b'{"a":' * 20_000
    place = int(rng.integers(len(content) + 1))
    return content[:place] + deep + content[place:]


def _bomb(content: bytes, _: np.random.Generator) -> bytes:
    lines = ["b0: &b0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"b{k}: &b{k} [{', '.join([f'*b{k - 1}'] * 9)}]" for k in range(1, 10)]
    return content + "\n".join(["", *lines, ""]).encode()


def _inside_gzip(damage: Damage) -> Damage:
    def damaged(content: bytes, rng: np.random.Generator) -> bytes:
        return gzip.compress(damage(gzip.decompress(content), rng), mtime=0)

    return damaged


def _inside_zip(damage: Damage) -> Damage:
    """Damage a member and write the archive anew, so that its checksums hold."""

    def damaged(content: bytes, rng: np.random.Generator) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            chosen = int(rng.integers(len(old.namelist())))
            for number, name in enumerate(old.namelist()):
                member = old.read(name)
                new.writestr(name, damage(member, rng) if number == chosen else member)
        return out.getvalue()

    return damaged


ANY: dict[str, Damage] = {
    "bit": _flip,
    "bits": lambda content, rng: _flip(content, rng, 12),
    "head": lambda content, rng: _flip(content, rng, 1, 400),
    "heads": lambda content, rng: _flip(content, rng, 3, 200),
    "cut": lambda content, rng: content[: int(rng.integers(len(content)))],
    "cut end": lambda content, rng: content[: -int(rng.integers(1, min(len(content), 40)))],
    "empty": lambda content, _: b"",
    "zeros": lambda content, _: bytes(len(content)),
    "hole": lambda content, rng: (k := int(rng.integers(len(content))), content[:k] + bytes(16) + content[k + 16 :])[1],
    "noise": lambda content, rng: rng.bytes(len(content)),
    "huge": _huge,
    "large": _large,
    "more": lambda content, rng: content + rng.bytes(33),
    "other": lambda content, rng: OTHERS[int(rng.integers(len(OTHERS)))],
}
TEXT: dict[str, Damage] = {
    "cell": _cell,
    "utf-16": lambda content, _: content.decode("utf-8", "replace").encode("utf-16"),
    "latin-1": lambda content, _: content.replace(b"e", b"\xe9", 3),
    "nul": lambda content, rng: (k := int(rng.integers(len(content))), content[:k] + b"\0" + content[k:])[1],
    "quote": lambda content, rng: (k := int(rng.integers(len(content))), content[:k] + b'"' + content[k:])[1],
    "head only": lambda content, _: content.split(b"\n")[0] + b"\n",
    "nested": _nested,
    "tokens": lambda content, rng: content + rng.choice([b"'''", b"{{", b"%YAML 9", b"- &a [*a]", b"\t: x"]),
}
MUST_SEE: dict[str, Damage] = {"surplus": _surplus, "surplus everywhere": _surplus_everywhere, "twice": _twice}
YAML: dict[str, Damage] = {"bomb": _bomb}
GZIP = {f"gzip: {name}": _inside_gzip(ANY[name]) for name in ("head", "heads", "cut", "huge", "empty")}
ZIP = {f"zip: {name}": _inside_zip(ANY[name]) for name in ("head", "heads", "cut", "huge", "large", "empty", "more")}
OTHERS = (b"%PDF-1.7\n", b"\x93NUMPY\x01\x00", b"PK\x05\x06" + bytes(18), b"\x89HDF\r\n\x1a\n", b"{}", b"[]", b"null",
          gzip.compress(b"x" * 50, mtime=0), b"\x89PNG\r\n\x1a\n", b"<html>", b"\xff\xfe", b"MATLAB")  # fmt: skip


def damages(reader: Reader) -> dict[str, Damage]:
    """Return what may be done to the file of a reader."""
    kinds: dict[str, Damage] = dict(ANY)
    for kind, more in {"text": TEXT, "table": TEXT | MUST_SEE, "yaml": TEXT | YAML, "gzip": GZIP, "zip": ZIP}.items():
        if kind in reader.kind.split():
            kinds |= more
    return kinds


# ---------------------------------------------------------------------------------------------------------- values


def digest(value: object) -> str:
    """Return a digest of what a reader gave, whatever it is."""
    total = hashlib.sha256()
    _add(total, value)
    return total.hexdigest()


def _add(total: Any, value: object) -> None:
    if isinstance(value, pd.DataFrame):
        total.update(value.to_csv().encode("utf-8", "surrogatepass"))
    elif isinstance(value, pd.Series):
        _add(total, value.to_frame())
    elif isinstance(value, Mapping):
        for key, part in value.items():
            total.update(repr(key).encode())
            _add(total, part)
    elif isinstance(value, list | tuple):
        for part in value:
            _add(total, part)
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            _add(total, getattr(value, each.name))
    elif hasattr(value, "numpy"):
        _add(total, value.numpy())
    elif isinstance(value, np.ndarray) and value.dtype != object:
        total.update(f"{value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, np.ndarray):
        _add(total, value.tolist())
    else:
        total.update(repr(value).encode("utf-8", "surrogatepass"))


# ---------------------------------------------------------------------------------------------------------- cases


def outcome(case: Case, pristine: Path, expected: str) -> tuple[str, str]:
    """Damage a copy of a sample, read it, and return what came of it, with the error."""
    reader = READERS[case.reader]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "copy"
        shutil.copytree(pristine, place)
        file = place / reader.damaged
        whole = file.read_bytes()
        damaged = damages(reader)[case.damage](whole, np.random.default_rng(case.seed))
        if damaged == whole:
            return "same", ""
        file.write_bytes(damaged)
        try:
            with _alarm():
                value = digest(reader.read(place))
        except BrainalignError as error:
            return "refused", str(error)
        except _TooLongError:
            return "hang", ""
        except BaseException as error:  # a worker must outlive whatever a reader raises
            return "traceback", f"{type(error).__name__}: {str(error)[:200]}"
    if value == expected:
        return "same", ""
    # Within a container whose checksums hold, and in bare numbers, another value cannot be told from the right one.
    seen = case.damage in MUST_SEE or (reader.checked and case.damage in ANY)
    return ("silent" if seen else "unnoticed"), f"{case.damage} {case.seed}"


class _TooLongError(BaseException):
    """No Exception, which a reader would take for a broken file."""


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _work(cases: list[Case], samples: dict[str, tuple[Path, str]], answers: Connection) -> None:
    warnings.simplefilter("ignore")
    with open("/dev/null", "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        for name in dict.fromkeys(case.reader for case in cases):
            READERS[name].read(samples[name][0])  # what it imports is no memory of a damaged file
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        for case in cases:
            answers.send(outcome(case, *samples[case.reader]))
    answers.close()


def run(cases: list[Case], samples: dict[str, tuple[Path, str]], start: str = "spawn") -> list[tuple[Case, str, str]]:
    """Read every case in a worker; one that dies or hangs is replaced, and its case counts as a hang.

    A worker forked from a process that has computed with torch may wait for threads that it has not.
    """
    found: list[tuple[Case, str, str]] = []
    while len(found) < len(cases):
        mine, other = multiprocessing.Pipe(duplex=False)
        rest = cases[len(found) :]
        worker = multiprocessing.get_context(start).Process(target=_work, args=(rest, samples, other), daemon=True)
        worker.start()
        other.close()
        for case in rest:
            try:
                if not mine.poll(3 * PATIENCE_S):
                    raise EOFError
                found.append((case, *mine.recv()))
            except EOFError:
                worker.kill()
                worker.join()
                found.append((case, "hang", f"the process ended with {worker.exitcode}"))
                break
        worker.join()
    return found


def prepare(root: Path, names: list[str]) -> dict[str, tuple[Path, str]]:
    """Make the sample of every reader, and return where it lies and the digest of what is read of it."""
    samples = {}
    for name in names:
        folder = root / str(len(samples))
        folder.mkdir(parents=True)
        READERS[name].make(folder)
        samples[name] = folder, digest(READERS[name].read(folder))
        if digest(READERS[name].read(folder)) != samples[name][1]:
            raise BrainalignError(f"{name}: the same sample is read in two ways; give its reader a value to compare")
    return samples


def all_cases(names: list[str], n_cases: int, seed: int) -> list[Case]:
    """Return about `n_cases`, as many per reader, over its damages in turn."""
    rng, cases = np.random.default_rng(seed), []
    for name in names:
        kinds = list(damages(READERS[name]))
        rng.shuffle(kinds)
        for k in range(-(-n_cases // len(names))):
            cases.append(Case(name, kinds[k % len(kinds)], int(rng.integers(2**31))))
    return cases


def fuzz(n_cases: int, seed: int = 0, only: str = "") -> list[tuple[Case, str, str]]:
    """Return every case and what came of it."""
    names = [name for name in READERS if only in name]
    with tempfile.TemporaryDirectory() as root, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(all_cases(names, n_cases, seed), prepare(Path(root), names))


def main() -> int:
    """Print a row per reader, then every failure; exit with 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=6000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers whose name holds this")
    options = parser.parse_args()
    start = time.perf_counter()
    found = fuzz(600 if options.quick else options.cases, options.seed, options.only)
    kinds = ("refused", "same", "unnoticed", *BAD)
    print(f"{'reader':34s}" + "".join(f"{kind:>11s}" for kind in kinds))
    for name in dict.fromkeys(case.reader for case, _, _ in found):
        counts = Counter(kind for case, kind, _ in found if case.reader == name)
        print(f"{name:34s}" + "".join(f"{counts[kind]:11d}" for kind in kinds))
    total = Counter(kind for _, kind, _ in found)
    print(f"{len(found):<34d}" + "".join(f"{total[kind]:11d}" for kind in kinds))
    for case, kind, error in found:
        if kind in BAD:
            print(f"{kind}: {case.reader}, {case.damage} ({case.seed}): {error}")
    print(f"{len(found)} files, {len({case.reader for case, _, _ in found})} readers, "
          f"{time.perf_counter() - start:.0f} s")  # fmt: skip
    return int(any(total[kind] for kind in BAD))


if __name__ == "__main__":
    sys.exit(main())
