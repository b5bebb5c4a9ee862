"""Paired timing, and the tables of RESULTS.md."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- benchmarks: written by make bench -->", "<!-- end of benchmarks -->"


@dataclass(frozen=True)
class Times:
    """Median CPU seconds of both, and the median of the ratios pair by pair."""

    other: float
    mine: float
    ratio: float


def ratio(other: Callable[[], object], mine: Callable[[], object], pairs: int = 5) -> Times:
    """Time two functions in turn, after one warm-up each."""
    other(), mine()
    seconds: list[tuple[float, float]] = []
    for _ in range(pairs):
        pair = []
        for function in (other, mine):
            start = time.process_time()
            function()
            pair.append(time.process_time() - start)
        seconds.append((pair[0], pair[1]))
    return Times(median(a for a, _ in seconds), median(b for _, b in seconds), median(a / b for a, b in seconds))


def write_table(name: str, title: str, header: list[str], rows: list[list[str]]) -> None:
    """Keep the table in build/bench and write all of them into RESULTS.md."""
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"### {title}", "", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    (folder / f"{name}.json").write_text(json.dumps(lines))
    tables = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    text = "\n\n".join("\n".join(table) for table in tables)
    path = ROOT / "benchmarks" / "RESULTS.md"
    before, after = path.read_text().split(BEGIN)[0], path.read_text().split(END)[1]
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    print("\n".join(lines))
