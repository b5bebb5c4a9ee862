"""Every figure and every piece of a page that a test makes is looked at, whether the test asks about it or not."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from drawn import collected, gaps_of, panels, problems_of
from matplotlib.figure import Figure
from seeded.recorded import Record, summary
from seen import account_of, made_pieces, piece_of

from brainalign.report.kit import Chapter


@pytest.fixture
def kept(on_record: Record, request: pytest.FixtureRequest) -> Callable[..., None]:
    numbers = count()

    def kept(*results: object) -> None:
        changed = [one for one in results if on_record.unknown([request.node.name, next(numbers), summary(one)])]
        assert not changed, f"{changed} are not on record ({on_record.path.name}; RECORD=1 writes it anew)"

    return kept


@pytest.fixture(scope="module", autouse=True)
def drawn_and_said() -> Iterator[tuple[list[Figure], list[Any]]]:
    with collected() as figures, made_pieces() as pieces:
        yield figures, pieces


@pytest.fixture(autouse=True)
def made_figures(drawn_and_said: tuple[list[Figure], list[Any]], on_record: Record) -> Iterator[list[Figure]]:
    """Fail where `problems_of` finds something in a figure; a test that draws one wrong takes it out of the list."""
    drawn, said = drawn_and_said
    yield drawn
    figures = [figure for figure in drawn if any(ax.has_data() for ax in panels(figure))]  # others were given up
    pieces = [*said]
    for one in drawn_and_said:
        one.clear()
    assert not [problem for figure in figures for problem in problems_of(figure) + gaps_of(figure)]
    others = [[ax.get_title() for ax in panels(figure)] for figure in figures if on_record.unknown(account_of(figure))]
    changed = [f"a figure of panels {titles}" for titles in others]
    changed += [f"{piece}" for piece in pieces if on_record.unknown(piece_of(piece))]
    # Sections called "s" and "all" are made up by tests.
    chapters = [piece for piece in pieces if isinstance(piece, Chapter)]
    silent = {each.id for one in chapters for each in one.sections if each.panels and not each.finding} - {"s", "all"}
    assert not silent, "sections that say nothing of what they found"
    assert not changed, f"{len(changed)} pieces are not on record ({on_record.path.name}; RECORD=1 writes it anew)"
