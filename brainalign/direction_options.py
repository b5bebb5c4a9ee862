"""The section `directions` of the configuration: along what the images of a diffusion model differ, region by region.

DirectionSettings     methods, regions, seeds, strengths, controls
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator

from brainalign.checks import BrainalignError, did_you_mean
from brainalign.parsing import Strict

__all__ = ["DirectionSettings"]


class DirectionSettings(Strict):
    """Options of the directions stage; prior, encoders, steps and device are those of `synthesize`."""

    methods: tuple[Literal["supervised", "ridge", "pullback", "pca", "jacobian"], ...] = Field(
        (),
        description="how directions are found: from a region's response to seeds (the first three), or asking no "
        "region; none: no directions are sought",
    )
    regions: tuple[str, ...] | None = Field(
        None, min_length=1, description="of those that `synthesize` has encoders of; all by default"
    )
    n_seeds: int = Field(256, ge=20, description="images that directions are found with")
    n_directions: int = Field(3, ge=1, description="of methods that ask no region")
    spatial: Literal["full", "mean"] = Field("full", description="mean: the same change at every place, for colour")
    alphas: tuple[float, ...] = Field(
        (-3.0, -1.5, 0.0, 1.5, 3.0), min_length=3, description="strengths, in standard deviations over seeds"
    )
    n_images: int = Field(16, ge=6, description="seeds that directions are tried on; others than those of n_seeds")
    n_controls: int = Field(19, ge=1, description="random directions, and as many of shuffled responses")
    n_control_images: int = Field(8, ge=2, description="of each of them, at the first and the last strength")
    batch_size: int = Field(64, ge=1, description="images at once")

    @field_validator("alphas")
    @classmethod
    def _alphas_rise_through_nothing(cls, alphas: tuple[float, ...]) -> tuple[float, ...]:
        rising = all(a < b for a, b in pairwise(alphas))
        if not rising or not alphas[0] < 0 < alphas[-1] or 0 not in alphas:
            raise ValueError(f"{alphas}: strengths must rise from below 0 to above it, with 0 among them")
        return alphas

    def check(self, prior: str | None, encoded: Collection[str] | None) -> None:
        """Raise where directions are sought without images, or for regions that no encoder is fitted for.

        Parameters
        ----------
        prior : str, optional
            That of `synthesize`.
        encoded : collection of str, optional
            Regions that it has encoders of; not known before they are fitted where it names none.

        Raises
        ------
        BrainalignError
            Names the option.
        """
        if self.methods and prior is None:
            raise BrainalignError("directions.methods need synthesize.prior; give both, or neither")
        for name in self.regions or ():
            if self.methods and encoded is not None and name not in encoded:
                raise BrainalignError(
                    f"directions.regions: {name!r} has no encoder; those of synthesize are {', '.join(encoded)}"
                    f"{did_you_mean(name, encoded)}"
                )
