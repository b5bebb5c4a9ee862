"""The quick fuzzer: damaged files against every reader, and whether it would see a reader that fails."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def fuzz() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FOLDER))  # its workers, which begin afresh, look for it there too
    try:
        import fuzz

        yield fuzz
    finally:
        sys.path.remove(str(FOLDER))


def test_no_damaged_file_ends_in_a_traceback_hangs_or_is_believed(fuzz: ModuleType) -> None:
    found = fuzz.fuzz(3 * len(fuzz.READERS), seed=11)
    assert [(case, kind, error) for case, kind, error in found if kind in fuzz.BAD] == []
    assert len(found) == 3 * len(fuzz.READERS)
    assert len(fuzz.READERS) >= 60
    kinds = Counter(kind for _, kind, _ in found)
    assert kinds["refused"] > len(found) / 2


def test_the_fuzzer_sees_readers_that_fail(fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(folder: Path) -> object:
        content = (folder / "a.csv").read_bytes()
        while not content:
            pass
        return {len(content): 0}[40] if len(content) < 9 else content

    def made(folder: Path) -> None:
        (folder / "a.csv").write_bytes(b"name,n\na,1\nb,2\nc,3\n")

    monkeypatch.setitem(fuzz.READERS, "careless", fuzz.Reader("a.csv", made, careless, "table", True))
    monkeypatch.setattr(fuzz, "PATIENCE_S", 0.2)
    samples = fuzz.prepare(tmp_path, ["careless"])
    draws = [int(seed) for seed in range(40) if np.random.default_rng(seed).integers(19) < 9]
    cases = [("cut", draws[0]), ("empty", 0), ("surplus", 0), ("twice", 0), ("bit", 0), ("cell", 3)]
    found = fuzz.run([fuzz.Case("careless", *case) for case in cases], samples, "fork")
    assert [kind for _, kind, _ in found] == ["traceback", "hang", "silent", "silent", "silent", "unnoticed"]
