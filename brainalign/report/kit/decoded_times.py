"""What the decode_times stage leaves for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from brainalign.arrays import Arrays

DECODED_TABLES = ("timescores", "timesensors", "timewindows", "timeclusters", "timepeaks")


@dataclass(frozen=True)
class DecodedTimes:
    """What the decode_times stage left for one subject: its tables by suffix, its arrays, and what it noted."""

    tables: Mapping[str, pd.DataFrame]
    squares: Arrays
    facts: Mapping[str, Any]
