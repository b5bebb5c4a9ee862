"""Every figure and every piece of a page that a test makes is looked at, whether the test asks about it or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn import collected, gaps_of, panels, problems_of
from matplotlib.figure import Figure
from seen import Record, account_of, made_pieces, piece_of


@pytest.fixture(scope="module")
def on_record(request: pytest.FixtureRequest) -> Iterator[Record]:
    path = Path(request.node.path)
    record = Record(path.parent / "records" / f"{path.stem}.json", "RECORD" in os.environ)
    yield record
    record.close()


@pytest.fixture(autouse=True)
def made_figures(on_record: Record) -> Iterator[list[Figure]]:
    """Fail where `problems_of` finds something in a figure; a test that draws one wrong takes it out of the list."""
    with collected() as figures, made_pieces() as pieces:
        yield figures
    figures = [figure for figure in figures if any(ax.has_data() for ax in panels(figure))]  # others were given up
    assert not [problem for figure in figures for problem in problems_of(figure) + gaps_of(figure)]
    titles = {id(figure): [ax.get_title() for ax in panels(figure)] for figure in figures}
    changed = [
        f"a figure of panels {titles[id(figure)]}" for figure in figures if on_record.unknown(account_of(figure))
    ]
    changed += [f"{piece}" for piece in pieces if on_record.unknown(piece_of(piece))]
    assert not changed, f"{len(changed)} pieces are not on record ({on_record.path.name}; tests/seen.py says how)"
