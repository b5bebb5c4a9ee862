"""The tables of RESULTS.md and of the README, written between two marks; each replaces its predecessor alone."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- benchmarks: written by make bench -->", "<!-- end of benchmarks -->"


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {' | '.join(header)} |", "|---" * len(header) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def write_table(
    name: str, title: str, header: list[str], rows: list[list[str]], notes: str = "", *, keep: bool = True
) -> None:
    """Print a table and put it in its place in RESULTS.md, by order of names; a quick run writes nothing."""
    lines = [f"### {title}", "", *table(header, rows), *(["", notes] if notes else [])]
    print("\n".join(lines), "\n")
    if keep:
        path = ROOT / "benchmarks" / "RESULTS.md"
        text = path.read_text().split(BEGIN)[1].split(END)[0]
        pieces = re.split(r"<!-- table (\S+) -->", text)[1:]  # a name, then what follows it
        kept = dict(zip(pieces[::2], pieces[1::2], strict=True)) | {name: "\n".join(lines)}
        between(path, "\n\n".join(f"<!-- table {key} -->\n\n{kept[key].strip()}" for key in sorted(kept)))


def between(path: Path, text: str) -> None:
    """Replace what stands between the two marks of a file."""
    before, rest = path.read_text().split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")
