"""The tables of RESULTS.md and of the README, each kept in build/bench/tables and written between two marks."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLES = ROOT / "build" / "bench" / "tables"
BEGIN, END = "<!-- benchmarks: written by make bench -->", "<!-- end of benchmarks -->"


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {' | '.join(header)} |", "|---" * len(header) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def write_table(
    name: str, title: str, header: list[str], rows: list[list[str]], notes: str = "", *, keep: bool = True
) -> None:
    """Print a table; keep it and write all that are kept into RESULTS.md (a quick run keeps nothing)."""
    lines = [f"### {title}", "", *table(header, rows), *(["", notes] if notes else [])]
    print("\n".join(lines), "\n")
    if keep:
        TABLES.mkdir(parents=True, exist_ok=True)
        (TABLES / f"{name}.json").write_text(json.dumps(lines))
        kept = [json.loads(file.read_text()) for file in sorted(TABLES.glob("*.json"))]
        between(ROOT / "benchmarks" / "RESULTS.md", "\n\n".join("\n".join(lines) for lines in kept))


def between(path: Path, text: str) -> None:
    """Replace what stands between the two marks of a file."""
    before, rest = path.read_text().split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")
