"""What the synthesize stage leaves for the report, and what of it says who agrees that guidance worked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays
from brainalign.report.kit.shelf import Shelf
from brainalign.report.kit.tables import rows_where

SYNTHESIS_TABLES = ("synthesis", "synthesisgains", "synthesissteps")
JUDGES = {"guide": "guiding encoder", "check": "checking encoder", "true": "true response"}
SEARCHES = ("best of n", "evolved", "natural")  # conditions that keep what the guide likes best
PLAUSIBLE = {"valid": "validity", "typical": "typicality"}


@dataclass(frozen=True)
class SynthesisedImages:
    """Images of one subject's regions under every condition, and what was said of them.

    Attributes
    ----------
    images : array (n_images, height, width, 3), uint8
    table : DataFrame
        A row per image and region that scores it: image (row of `images`), condition, region (guided for, or ""),
        seed, null, scale, contrast, luminance, valid, typical, scored, guide, check, true.
    gains : DataFrame
        region, condition (guided | matched), against, score, gain, low, high, p, n.
    steps : DataFrame
        region, step, timestep, score, grad_rms, d_rms, clipped.
    guides : mapping
        Of both encoders: "guide" and "check" with model and layer, and "r" on held-out images, by role, size of the
        images and region.
    cost : mapping
        Seconds per image and the number of images that best-of-n chose from and evolution sampled; empty where it is
        not known.
    """

    images: NDArray[np.uint8]
    table: pd.DataFrame
    gains: pd.DataFrame
    steps: pd.DataFrame
    guides: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)

    @property
    def regions(self) -> list[str]:
        """Regions that images were made for, in the order of their first image."""
        return [str(name) for name in self.table.loc[self.table["condition"] == "guided", "region"].unique()]

    def judge_of(self, region: str) -> str:
        """Return who has the last word: the truth, or the encoder that did not guide where nobody knows it."""
        return "true" if self.known("true", region) else "check"

    @property
    def without_truth(self) -> list[str]:
        """Regions whose true response nobody knows."""
        return [region for region in self.regions if self.judge_of(region) != "true"]

    @property
    def judges(self) -> list[str]:
        """Who says what a region would respond."""
        return [name for name in JUDGES if self.known(name)]

    @property
    def plausible(self) -> list[str]:
        """Who says whether an image is one of its world, the surest first."""
        return [name for name in PLAUSIBLE if self.known(name)]

    @property
    def contrasts(self) -> list[str]:
        """Regions that are one against another, whose score is a difference of two standard scores."""
        asked: Mapping[str, Any] = self.guides.get("asked", {})
        return [region for region in self.regions if sum(name is not None for name in asked.get(region, [])) > 1]

    @property
    def n_nulls(self) -> int:
        """Number of encoders that were fitted to shuffled responses and guided too."""
        return int(self.table.loc[self.table["condition"] == "null", "null"].nunique())

    def encoder_r(self, region: str, role: str = "guide") -> float:
        """Return an encoder's r on held-out images; of a region against another the lower; NaN if unknown."""
        found: Mapping[str, float] = self.guides.get("r", {}).get(role, {}).get("prior", {})
        own = self.guides.get("asked", {}).get(region) or [region]
        return min((found.get(name, float("nan")) for name in own if name), default=float("nan"))

    def known(self, score: str, region: str | None = None) -> bool:
        """Return whether the table has values of a score, for any region or for one."""
        if score not in self.table:
            return False
        values = self.table[score] if region is None else self.table.loc[self.table["scored"] == region, score]
        return bool(values.notna().any())

    def rows(self, condition: str, region: str, scored: str | None = None) -> pd.DataFrame:
        """Return the rows of a condition, as one region scores them.

        Parameters
        ----------
        condition : str
        region : str
            Guided for; conditions that are of no region are the same for all.
        scored : str, optional
            The region itself, unless another is named.
        """
        rows = self.table[(self.table["condition"] == condition) & (self.table["scored"] == (scored or region))]
        return rows[rows["region"].isin([region, ""])]

    def kept(self, region: str) -> pd.DataFrame:
        """Return the guided images that searches are compared with: as many as these kept, the guide's best."""
        own = self.rows("guided", region)
        n = min([len(own), *(len(rows) for name in SEARCHES if len(rows := self.rows(name, region)))])
        return own.nlargest(n, "guide") if n < len(own) else own

    def mean(self, condition: str, region: str, score: str) -> float:
        """Return the mean of a score; NaN without an image of that condition."""
        rows = self.rows(condition, region)
        return float(rows[score].mean()) if score in rows else float("nan")

    def gain(self, region: str, against: str, score: str, condition: str = "guided") -> "pd.Series[Any] | None":
        """Return the row of one gain: gain, low, high, p, n; None where it was not measured."""
        rows = rows_where(self.gains, region=region, condition=condition, against=against, score=score)
        return None if rows.empty or pd.isna(rows["gain"].iloc[0]) else rows.iloc[0]

    def specificity(self, judge: str) -> pd.DataFrame:
        """Return gains over unguided images of the same seeds: regions guided for by regions this judge speaks of."""
        columns = [region for region in self.regions if self.known(judge, region)]
        found = pd.DataFrame(index=self.regions, columns=columns, dtype=float)
        for region, scored in product(self.regions, columns):
            sides = (self.rows(condition, region, scored) for condition in ("guided", "unguided"))
            own, plain = (rows.set_index("seed")[judge] for rows in sides)
            found.loc[region, scored] = (own - plain.reindex(own.index)).mean()
        return found


def synthesised_images_of(shelf: Shelf) -> SynthesisedImages | None:
    """Gather the images that were made for a subject's regions, where all that was said of them is there."""
    shelf.fetch("guides", object)
    tables, images = shelf.tables(SYNTHESIS_TABLES), shelf.fetch("synthesized", Arrays)
    if images is None or not tables:
        return None
    noted = shelf.page.details("synthesized")
    table, gains, steps = (tables[suffix] for suffix in SYNTHESIS_TABLES)
    return SynthesisedImages(images["images"], table, gains, steps, noted, noted["cost"])
