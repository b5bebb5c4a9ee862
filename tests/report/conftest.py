"""Every figure of a test is looked at, whether the test makes an image of it or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drawn import collected, gaps_of, panels, problems_of
from matplotlib.figure import Figure


@pytest.fixture(autouse=True)
def made_figures() -> Iterator[list[Figure]]:
    """Fail where `problems_of` finds something in a figure; a test that draws one wrong takes it out of the list."""
    with collected() as figures:
        yield figures
    figures = [figure for figure in figures if any(ax.has_data() for ax in panels(figure))]  # others were given up
    assert not [problem for figure in figures for problem in problems_of(figure) + gaps_of(figure)]
