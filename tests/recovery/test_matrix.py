"""Every study of the matrix of stimuli, recordings and splits, from descriptor to page: what was planted is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from drawn import unarranged
from worlds.matrix import CELLS, Cell, check_nothing_is_found, check_planted_is_found

Record = Callable[[str, object, str], None]
pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module", autouse=True)
def pages_are_unarranged() -> Iterator[None]:
    """Draw many pages, whose arrangement is looked at elsewhere."""
    with unarranged():
        yield


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_what_was_planted_is_found(cell: Cell, tmp_path: Path, record: Record) -> None:
    """Studies of 24 stimuli in every format: targets that follow them, and those that do not"""
    record(cell.name, check_planted_is_found(cell, cell.run(tmp_path)), "planted found, others at chance")


@pytest.mark.parametrize(
    "cell",
    [replace(cell, shuffled=True) for cell in CELLS if cell.stimuli == "vectors" and cell.recording != "surface"],
    ids=lambda cell: cell.name,
)
def test_nothing_is_found_in_responses_to_other_stimuli(cell: Cell, tmp_path: Path, record: Record) -> None:
    """The same with responses to other stimuli than the tables say"""
    record(cell.name, check_nothing_is_found(cell, cell.run(tmp_path)), "nothing significant")
