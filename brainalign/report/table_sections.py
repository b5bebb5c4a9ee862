"""Sections of subjects' pages that are drawn from nothing but the tables of their step: one function and one entry.

What needs more (figures of several steps, images, maps) has its section in the folders beside.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from brainalign.report.kit import Section

Tables = Mapping[str, pd.DataFrame]

# By step: a function of its tables by suffix, and of what it noted beside the first of them.
TABLE_SECTIONS: dict[str, Callable[[Tables, Mapping[str, Any]], Section]] = {
    # "step": step_section
}
