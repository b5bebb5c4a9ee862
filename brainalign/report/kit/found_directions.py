"""What the directions stage leaves for the report, and what every direction changes, beside directions of chance."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays
from brainalign.report.kit.shelf import Shelf
from brainalign.report.kit.tables import rows_where
from brainalign.statistics import MIN_UNITS, bootstrap

SUREST = {"true": "true response", "check": "checking encoder", "guide": "guiding encoder"}


@dataclass(frozen=True)
class FoundDirections:
    """What the directions stage left.

    Attributes
    ----------
    images : array (n_images, height, width, 3), uint8
    table : DataFrame
        A row per image and region that judges it: method, region, direction, orthogonal, control, number, alpha,
        image, seed, valid, typical, scored, guide, check, true.
    cosines : DataFrame
        method, orthogonal, region_a, region_b, cosine.
    """

    images: NDArray[np.uint8]
    table: pd.DataFrame
    cosines: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def regions(self) -> list[str]:
        """Regions that have a direction."""
        return [str(name) for name in self.table["region"].unique() if name]

    @property
    def judges(self) -> list[str]:
        """Who says what a region answers, the surest first."""
        return [name for name in SUREST if name in self.table and self.table[name].notna().any()]

    def judge_of(self, region: str) -> str:
        """Return who has the last word on a region."""
        mine = self.table[self.table["scored"] == region]
        return next(name for name in self.judges if mine[name].notna().any())

    def rows(self, region: str, method: str, orthogonal: bool = False) -> pd.DataFrame:
        """Return the rows of one region's direction."""
        mine = rows_where(self.table, region=region, method=method, orthogonal=orthogonal)
        return mine.drop(columns="control")


def directions_of(shelf: Shelf) -> FoundDirections | None:
    """Gather the directions of a subject's regions, where their scores and images are there."""
    shelf.fetch("directions", object)
    scores, images = shelf.fetch("directionscores", pd.DataFrame), shelf.fetch("directionimages", Arrays)
    if scores is None or images is None:
        return None
    return FoundDirections(images["images"], scores, pd.DataFrame(shelf.page.details("directionscores")["cosines"]))


def direction_gains(found: FoundDirections) -> pd.DataFrame:
    """Compute the gains of every direction of a region from the first strength to the last, paired by seed.

    Returns
    -------
    DataFrame
        region, method, orthogonal, judge, gain, low, high, monotone (whether the mean rises with every step), chance
        (largest absolute change of a direction of chance), p (share of those of shuffled responses, or of random ones
        without them, that change as much), other (region that changes most besides), other_gain, n.
    """
    keys = found.table.loc[found.table["region"] != "", ["region", "method", "orthogonal"]].drop_duplicates()
    rows = []
    for region, method, orthogonal in keys.itertuples(index=False):
        mine = found.rows(region, method, orthogonal)
        for judge in found.judges:
            own = mine[mine["scored"] == region].pivot(index="seed", columns="alpha", values=judge)
            if own.isna().to_numpy().any():
                continue
            change = (own.iloc[:, -1] - own.iloc[:, 0]).to_numpy(dtype=float)
            low = high = float("nan")
            if len(change) >= MIN_UNITS:
                interval = bootstrap(change)
                low, high = interval.low, interval.high
            # The mean change of the region along every direction of chance, by control and number.
            by_chance = found.table[(found.table["control"] != "") & (found.table["scored"] == region)]
            chance = _mean_change(by_chance, ["control", "number"], judge)
            kind = "shuffled" if "shuffled" in chance.index.get_level_values("control") else "random"
            same = chance.loc[kind].to_numpy(dtype=float) if len(chance) else np.zeros(0)
            besides = _besides(mine, region, judge)
            row = {
                "region": region,
                "method": method,
                "orthogonal": orthogonal,
                "judge": judge,
                "gain": change.mean(),
                "low": low,
                "high": high,
                "monotone": bool((np.diff(own.mean().to_numpy(dtype=float)) > 0).all()),
                "chance": float(chance.loc["random"].abs().max()) if len(chance) else np.nan,
                "chance_shuffled": float(chance.loc["shuffled"].abs().max()) if kind == "shuffled" else np.nan,
                "p": (1 + int((same >= change.mean()).sum())) / (1 + len(same)) if len(same) else np.nan,
                "other": besides[0],
                "other_gain": besides[1],
                "n": len(change),
            }
            rows.append(row)
    return pd.DataFrame(rows)


def _mean_change(rows: pd.DataFrame, by: list[str], judge: str) -> "pd.Series[Any]":
    means = rows.groupby([*by, "alpha"])[judge].mean().unstack("alpha")
    return means.iloc[:, -1] - means.iloc[:, 0] if len(means) else pd.Series(dtype=float)


def _besides(mine: pd.DataFrame, region: str, judge: str) -> tuple[str, float]:
    others = mine[mine["scored"] != region].dropna(subset=[judge])
    if others.empty:
        return "", float("nan")
    change = _mean_change(others, ["scored"], judge)
    most = str(change.abs().idxmax())
    return most, float(change[most])
