"""Every study of the matrix of stimuli, recordings and splits, from descriptor to page: what was planted is found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shown import Record
from worlds.matrix import CELLS, Cell, check_planted_is_found, p_of_nothing

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_what_was_planted_is_found(cell: Cell, tmp_path: Path, record: Record) -> None:
    """Studies of 24 stimuli in every format: targets that follow them, and those that do not"""
    record(cell.name, check_planted_is_found(cell, cell.run(tmp_path)), "planted found, others at chance")


def test_nothing_is_found_in_responses_to_other_stimuli(tmp_path: Path, record: Record) -> None:
    """The same with responses to other stimuli than the tables say, in an order of its own for every study"""
    cells = [cell for cell in CELLS if cell.stimuli == "vectors" and cell.recording != "surface"]
    found = []
    for cell in [replace(cell, shuffled=True) for cell in cells]:
        p, words = p_of_nothing(cell, cell.run(tmp_path / cell.name, without=("compare", "report")))
        record(cell.name, words, "nothing found")
        found.append(p)
    # Of 16 nulls 4 or more have p <= .05 in 7 of 1,000 tests.
    assert sum(p <= 0.05 for p in found) <= 3
    assert 0.15 < np.median(found) < 0.85
