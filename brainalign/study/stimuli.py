"""What was shown: stimuli that a descriptor lists itself, or the columns of a table of them."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from brainalign.checks import listed
from brainalign.io import open_text, read_lines, read_parquet, reading
from brainalign.study.parsing import Strict

LEFT_OUT = "left_out"  # the column of trials that marks those that are not read
COPIED = ".init_copied.json"  # the tables that `init` copied, beside the study, with their checksums


class Stimulus(Strict):
    """One stimulus or category: an image of it, wordings, both, or only its id, by which vectors are looked up."""

    path: Path | None = Field(None, description="the image; absolute, beside the descriptor, or in $BRAINALIGN_DATA")
    texts: tuple[str, ...] = Field((), description="wordings")
    label: str | None = Field(None, description="how figures name it; its id where not given")


def _are_described_alike(stimuli: dict[str, Stimulus] | Path) -> dict[str, Stimulus] | Path:
    if isinstance(stimuli, Path):
        return stimuli
    if stimuli and len(stimuli) < 3:
        raise ValueError("a correlation over two says nothing; give three stimuli or more")
    counts = {name: len(stimulus.texts) for name, stimulus in stimuli.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"every stimulus needs as many texts as the others, wording by wording; got {counts}")
    without = [name for name, stimulus in stimuli.items() if stimulus.path is None]
    if without and len(without) < len(stimuli):
        raise ValueError(
            f"{len(stimuli) - len(without)} of {len(stimuli)} stimuli have a path, and {listed(without)} none; "
            "give every stimulus an image, or none"
        )
    return stimuli


Stimuli = Annotated[dict[str, Stimulus] | Path, AfterValidator(_are_described_alike)]


def table_rows(path: Path, separator: str = "") -> Iterator[list[str]]:
    """Yield the rows of a table, its header first; without a `separator` a comma parts those of .csv, else a tab."""
    if path.suffix == ".parquet":
        table = read_parquet(path)
        yield from ([*map(str, row)] for row in [[*table], *table.astype(object).to_numpy().tolist()])
        return
    with reading(path, "not a readable table"), open_text(path) as file:
        yield from csv.reader(file, delimiter=separator or ("," if path.suffix.lower() == ".csv" else "\t"))


def table_columns(path: Path) -> list[str]:
    """List the columns of a table of stimuli; a text has one, of ids."""
    return ["stimulus_id"] if path.suffix == ".txt" else next(table_rows(path), [])


def table_column(table: Path, name: str, separator: str = "") -> list[str]:
    """Return a column of a table, nothing where there is none: what is wrong with a table is said when it is read."""
    if table.suffix == ".txt":
        return [line.strip() for line in read_lines(table) if line.strip()]
    rows = table_rows(table, separator)
    header = next(rows, [])
    at = header.index(name) if name in header else len(header)
    return [row[at] for row in rows if at < len(row) and row[at]]
