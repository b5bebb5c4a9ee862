"""Encoders of regions as they were saved: what guides, what judges, and their shuffled twins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainalign.arrays import Values
from brainalign.synthesis.guidance.objective import RegionObjective


@dataclass(frozen=True)
class SavedEncoders:
    """The artifact `guides` and what it says of itself.

    Parameters
    ----------
    arrays : mapping
        guide_coef (d, n_targets), guide_intercept, guide_mean and guide_sd (n_regions,), the same of check, and
        null_coef (n_nulls, d, n_regions), null_intercept, null_mean, null_sd (n_nulls, n_regions).
    regions : mapping
        Columns of the targets by region.
    asked : mapping
        What images are made for: a region, or (a, b) for one against another.
    """

    arrays: Mapping[str, Values]
    regions: Mapping[str, Sequence[int]]
    asked: Mapping[str, Sequence[str | None]]

    def objectives(self, role: str, features: Callable[[Tensor], Tensor]) -> dict[str, RegionObjective]:
        """Build the objectives of "guide" or "check", by what is asked for, in units of natural images."""
        coef, intercept = self.arrays[f"{role}_coef"], self.arrays[f"{role}_intercept"]
        means, sds = (dict(zip(self.regions, self.arrays[f"{role}_{of}"], strict=True)) for of in ("mean", "sd"))
        found = {}
        for name, (plus, minus) in self.asked.items():
            assert plus is not None
            against: dict[str, Any] = {}
            if minus is not None:
                against = {"minus_mean": float(means[minus]), "minus_sd": float(sds[minus])}
                against["minus"] = self.regions[minus]
            found[name] = RegionObjective(
                features, coef, intercept, self.regions[plus], mean=float(means[plus]), sd=float(sds[plus]), **against
            )
        return found

    def nulls(self, features: Callable[[Tensor], Tensor]) -> list[RegionObjective]:
        """Return an objective of every shuffled encoder; they take turns at the regions."""
        found = []
        for number, (coef, intercept) in enumerate(
            zip(self.arrays["null_coef"], self.arrays["null_intercept"], strict=True)
        ):
            k = number % len(self.regions)
            mean, sd = (float(self.arrays[f"null_{of}"][number, k]) for of in ("mean", "sd"))
            # One that learned nothing at all guides nowhere: its noise is not to be blown up.
            found.append(RegionObjective(features, coef, intercept, [k], mean=mean, sd=max(sd, 1e-6)))
        return found

    def judge(self, role: str, features: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Values]:
        """Return a function of images (n, 3, H, W) to what an encoder says of all that is asked for, (n, n_asked)."""
        objectives = list(self.objectives(role, features).values())

        def say(images: Tensor) -> Values:
            with torch.no_grad():
                values = features(images).float().cpu().numpy()
            return np.stack([objective.score(values) for objective in objectives], axis=1)

        return say
