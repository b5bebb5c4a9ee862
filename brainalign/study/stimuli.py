"""What was shown: stimuli that a descriptor lists itself, or the columns of a table of them."""

import csv
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from brainalign.checks import listed
from brainalign.io import read_lines, read_parquet, reading
from brainalign.study.parsing import Strict


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


def table_columns(path: Path) -> list[str]:
    """List the columns of a table of stimuli; a text has one, of ids."""
    if path.suffix == ".txt":
        return ["stimulus_id"]
    if path.suffix == ".parquet":
        return list(map(str, read_parquet(path)))
    with reading(path, "not a readable table"), path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, delimiter="," if path.suffix.lower() == ".csv" else "\t"), [])


def table_row(path: Path) -> list[str]:
    """List the cells of the first row of a table; none where it has no row."""
    if path.suffix == ".parquet":
        return [str(cell) for row in read_parquet(path)[:1].itertuples(index=False) for cell in row]
    with reading(path, "not a readable table"), path.open(encoding="utf-8-sig", newline="") as file:
        return next(islice(csv.reader(file, delimiter="," if path.suffix.lower() == ".csv" else "\t"), 1, None), [])


def table_column(table: Path, name: str) -> list[str]:
    """Return a column of a table, nothing where there is none: what is wrong with a table is said when it is read."""
    if table.suffix == ".txt":
        return [line.strip() for line in read_lines(table) if line.strip()]
    if table.suffix == ".parquet":
        return [str(value) for value in read_parquet(table).get(name, [])]
    with reading(table, "not a readable table"), table.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter="," if table.suffix.lower() == ".csv" else "\t")
        return [row[name] for row in rows if row.get(name)]
