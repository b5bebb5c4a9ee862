"""What an image should do to a brain: drive a region, drive one region and not another, or evoke a pattern."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_width


class RegionObjective(nn.Module):
    """Predicted response of targets to images, differentiable: s(x) = (mean_v ŷ_v(x) − mean) / sd.

    Parameters
    ----------
    features : callable
        Images (n, 3, H, W) in [0, 1] to features (n, d), differentiable; it resizes and normalises what it needs
        (`extractor.module(layer)` does).
    coef : array (d, n_targets)
        Of a linear encoder on these features; fold a standardisation of features into it.
    intercept : array (n_targets,)
    targets : sequence of int, or mask (n_targets,)
        Columns of `coef` that make up the region.
    minus : sequence of int, or mask, optional
        Columns of a region to avoid: the objective is the difference of the two.
    kind : {"mean", "pattern"}
        "pattern": correlation over `targets` of the prediction with `pattern`, for reconstruction.
    pattern : array (n_targets of the region,), optional
        Measured responses of `targets`.
    mean, sd : float
        Of the region's response, so that one guidance scale suits all; `standardised` finds them.
    minus_mean, minus_sd : float
        Of the region to avoid.

    Raises
    ------
    BrainalignError
        If shapes do not fit, targets do not exist, or a pattern is missing or not wanted.

    Examples
    --------
    >>> objective = RegionObjective(extractor.module("head"), ridge.coef_, ridge.intercept_, [0, 1, 2])
    >>> objective = objective.standardised(natural_features)
    """

    def __init__(
        self,
        features: Callable[[Tensor], Tensor],
        coef: ArrayLike,
        intercept: ArrayLike,
        targets: Sequence[int] | NDArray[np.integer],
        minus: Sequence[int] | NDArray[np.integer] | None = None,
        kind: Literal["mean", "pattern"] = "mean",
        pattern: ArrayLike | None = None,
        mean: float = 0.0,
        sd: float = 1.0,
        minus_mean: float = 0.0,
        minus_sd: float = 1.0,
    ) -> None:
        super().__init__()
        check_choice("kind", kind, ("mean", "pattern"))
        weights, offsets = np.asarray(coef, np.float32), np.asarray(intercept, np.float32)
        if weights.ndim != 2 or offsets.shape != weights.shape[1:]:
            raise BrainalignError(
                f"an encoder has coef (n_features, n_targets) and intercept (n_targets,); got {weights.shape} and "
                f"{offsets.shape}"
            )
        check_finite("the encoder's weights", weights, "leave out targets that were not fitted")
        rows, away = _columns("targets", targets, weights), _columns("minus", minus, weights)
        if (kind == "pattern") != (pattern is not None) or (kind == "pattern" and minus is not None):
            raise BrainalignError('give a pattern with kind="pattern", and neither it nor minus with the other kind')
        self.features, self.kind = features, kind
        self.mean, self.sd, self.minus_mean, self.minus_sd = mean, sd, minus_mean, minus_sd
        # Of a mean over targets only the mean of their weights matters; a pattern needs each.
        chosen = weights[:, rows], offsets[rows]
        if kind == "mean":
            chosen = weights[:, rows].mean(axis=1, keepdims=True), offsets[rows].mean(keepdims=True)
        self._coef, self._intercept = (nn.Buffer(torch.from_numpy(np.ascontiguousarray(part))) for part in chosen)
        other = None if minus is None else np.append(weights[:, away].mean(axis=1), offsets[away].mean())
        self._minus = None if other is None else nn.Buffer(torch.from_numpy(other.astype(np.float32)))
        wanted = None if pattern is None else nn.Buffer(torch.as_tensor(np.asarray(pattern, np.float32)))
        if wanted is not None and wanted.shape != (len(rows),):
            raise BrainalignError(f"the pattern has the shape {tuple(wanted.shape)}, but there are {len(rows)} targets")
        self._pattern = wanted

    def forward(self, images: Tensor) -> Tensor:
        """Return the score of each image, (n,)."""
        values = self.features(images)
        remedy = "take that layer and pooling"
        check_width("what the network gives", values.shape, len(self._coef), "the encoder was fitted to", remedy)
        return self._score(values)

    def score(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the scores of features (n, d) that are already there."""
        with torch.no_grad():
            values = torch.from_numpy(np.asarray(features, np.float32)).to(self._coef.device)
            return np.asarray(self._score(values).cpu().numpy())

    def standardised(self, natural_features: NDArray[np.floating]) -> "RegionObjective":
        """Return the objective in standard deviations over natural images, whose features (n, d) are given.

        Where there is a region to avoid, it is the difference of the two standard scores, whose own standard deviation
        is another one. A pattern, or a response that does not vary over them, is refused.
        """
        if self.kind == "pattern":
            raise BrainalignError("a correlation with a pattern has a scale of its own; leave it as it is")
        values = np.asarray(natural_features, np.float32)
        found = copy.copy(self)
        found.mean, found.sd = _moments(values @ self._coef.cpu().numpy()[:, 0] + float(self._intercept[0]))
        if self._minus is not None:
            weights = self._minus.cpu().numpy()
            found.minus_mean, found.minus_sd = _moments(values @ weights[:-1] + weights[-1])
        return found

    def _score(self, values: Tensor) -> Tensor:
        values = values.to(self._coef.dtype)
        predicted = values @ self._coef + self._intercept
        if self._pattern is not None:
            centred, wanted = predicted - predicted.mean(dim=1, keepdim=True), self._pattern - self._pattern.mean()
            return (centred @ wanted) / (centred.norm(dim=1) * wanted.norm()).clamp_min(1e-12)
        score: Tensor = (predicted[:, 0] - self.mean) / self.sd
        if self._minus is None:
            return score
        return score - (values @ self._minus[:-1] + self._minus[-1] - self.minus_mean) / self.minus_sd


def _columns(
    name: str, targets: Sequence[int] | NDArray[np.integer] | None, weights: NDArray[np.float32]
) -> NDArray[np.intp]:
    if targets is None:
        return np.empty(0, np.intp)
    rows = np.asarray(targets)
    rows = np.flatnonzero(rows) if rows.dtype == bool and rows.shape == weights.shape[1:] else rows
    numbers = rows.dtype.kind in "iu" and rows.ndim == 1 and len(rows)
    if not numbers or rows.min() < 0 or rows.max() >= weights.shape[1]:
        raise BrainalignError(
            f"{name} must be columns of the encoder's {weights.shape[1]} targets, one at least; got {rows.tolist()[:8]}"
        )
    return rows.astype(np.intp)


def _moments(values: NDArray[np.float32]) -> tuple[float, float]:
    mean, sd = float(values.mean()), float(values.std())
    if not sd > 1e-8 * max(1.0, abs(mean)):
        raise BrainalignError(
            f"the predicted response is the same for all natural images (sd {sd:.0e}): its encoder learned nothing, or "
            "is of responses in a unit such as tesla; leave the region out, or z-score them"
        )
    return mean, sd


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
            units: dict[str, Any] = {"mean": float(means[plus]), "sd": float(sds[plus])}
            if minus is not None:
                units |= {"minus_mean": float(means[minus]), "minus_sd": float(sds[minus])}
                units["minus"] = self.regions[minus]
            found[name] = RegionObjective(features, coef, intercept, self.regions[plus], **units)
        return found

    def nulls(self, features: Callable[[Tensor], Tensor]) -> list[RegionObjective]:
        """Return an objective of every shuffled encoder; they take turns at the regions."""
        found = []
        encoders = zip(self.arrays["null_coef"], self.arrays["null_intercept"], strict=True)
        for number, (coef, intercept) in enumerate(encoders):
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
