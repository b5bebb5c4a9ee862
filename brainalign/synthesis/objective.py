"""What a region is predicted to answer to images, in units of its spread over natural ones, with a gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from brainalign.checks import BrainalignError, check_choice

__all__ = ["RegionObjective"]

Array = TypeVar("Array", NDArray[np.floating], Tensor)


class RegionObjective(nn.Module):
    """Predicted response of a region: s(x) = (mean over its targets of ŷ(x) − mean) / sd.

    ŷ = features(x) · coef + intercept. With `minus`, the score is that of the region less that of another, each
    standardised first. With `kind="pattern"`, it is the correlation of ŷ over the targets with a given pattern.

    Parameters
    ----------
    features : callable
        Images (n, 3, H, W) in [0, 1] to (n, d), differentiable; it resizes and normalises. A module
        moves with this one.
    coef : array (d, n_targets)
        Of an encoder that is linear in the features; a standardisation of features is folded into it.
    intercept : array (n_targets,)
    targets : sequence of int
        Columns of `coef` that are the region.
    minus : sequence of int, optional
        Columns of another region, to be answered less.
    kind : {"mean", "pattern"}
    pattern : array (len(targets),) or (n, len(targets)), optional
        The responses to be matched; one for all images or one for each.
    mean, sd : float or array (2,)
        Of the score over natural images, in units of responses; two of each with `minus`: of the region, of the other.

    Raises
    ------
    BrainalignError
        If shapes disagree, a target is none of the columns, or a standard deviation is not positive.

    References
    ----------
    Luo AF, Henderson MM, Wehbe L, Tarr MJ (2023). Brain diffusion for visual exploration: cortical discovery using
    large scale generative models. NeurIPS. arXiv:2306.03089

    Examples
    --------
    >>> objective = RegionObjective(features, coef, intercept, targets=[0, 1, 2]).standardised(natural_features)
    >>> pipe(objective, num_images=4).scores
    """

    weights: Tensor  # (n_features, n_regions), or (n_features, n_targets of the region) for a pattern
    offsets: Tensor
    pattern: Tensor
    mean: Tensor
    sd: Tensor

    def __init__(
        self,
        features: Callable[[Tensor], Tensor],
        coef: ArrayLike | Tensor,
        intercept: ArrayLike | Tensor,
        targets: Sequence[int] | NDArray[np.integer],
        minus: Sequence[int] | NDArray[np.integer] | None = None,
        kind: Literal["mean", "pattern"] = "mean",
        pattern: ArrayLike | Tensor | None = None,
        mean: ArrayLike = 0.0,
        sd: ArrayLike = 1.0,
    ) -> None:
        super().__init__()
        check_choice("kind", kind, ("mean", "pattern"))
        self.features, self.kind = features, kind
        weights, offsets = _floating(coef), _floating(intercept)
        if weights.ndim != 2 or offsets.shape != weights.shape[1:]:
            raise BrainalignError(
                f"coef must be (n_features, n_targets) and intercept (n_targets,); got {tuple(weights.shape)} and "
                f"{tuple(offsets.shape)}"
            )
        regions = [_columns(targets, weights.shape[1])]
        if minus is not None:
            regions.append(_columns(minus, weights.shape[1]))
        if kind == "pattern":
            self._take_pattern(pattern, minus, regions[0])
            weights, offsets = weights[:, regions[0]], offsets[regions[0]]
        else:
            if pattern is not None:
                raise BrainalignError('a pattern is matched with kind="pattern"; got one with kind="mean"')
            # The mean of linear predictions is one linear prediction.
            weights = torch.stack([weights[:, columns].mean(1) for columns in regions], dim=1)
            offsets = torch.stack([offsets[columns].mean() for columns in regions])
        self.register_buffer("weights", weights)
        self.register_buffer("offsets", offsets)
        self._standardise(mean, sd, len(regions))

    def forward(self, images: Tensor) -> Tensor:
        """Return a score (n,) of images (n, 3, H, W) in [0, 1]; the gradient reaches the images."""
        return self._combined(self._raw(self.features(images)))

    def score(self, features: Array) -> Array:
        """Return the score (n,) of images whose features (n, d) are known."""
        with torch.no_grad():
            scores = self._combined(self._raw(torch.as_tensor(features).to(self.weights.dtype)))
        return scores.cpu().numpy() if isinstance(features, np.ndarray) else scores

    def standardised(self, natural_features: NDArray[np.floating] | Tensor) -> RegionObjective:
        """Return this objective with the mean and sd that its score has over natural images, given their features.

        Raises
        ------
        BrainalignError
            If there are fewer than two images, or the score is the same for all of them.
        """
        with torch.no_grad():
            raw = self._raw(torch.as_tensor(natural_features).to(self.weights.dtype))
        if len(raw) < 2:
            raise BrainalignError(f"a spread over natural images needs two or more; got {len(raw)}")
        other = RegionObjective.__new__(RegionObjective)
        nn.Module.__init__(other)
        other.features, other.kind = self.features, self.kind
        for name in ("weights", "offsets", "pattern"):
            if name in self._buffers:
                other.register_buffer(name, self._buffers[name])
        other._standardise(raw.mean(0).cpu(), raw.std(0, correction=0).cpu(), raw.shape[1])
        return other

    def _raw(self, features: Tensor) -> Tensor:
        """Return what is standardised, (n, 1), or (n, 2) with `minus`."""
        if features.ndim != 2 or features.shape[1] != self.weights.shape[0]:
            raise BrainalignError(
                f"coef has {self.weights.shape[0]} features but the images gave features of shape "
                f"{tuple(features.shape)}; take the model and layer that the encoder was fitted on"
            )
        predicted = features.to(self.weights.dtype) @ self.weights + self.offsets
        if self.kind == "mean":
            return predicted
        if self.pattern.ndim == 2 and len(self.pattern) != len(features):
            raise BrainalignError(f"{len(self.pattern)} patterns for {len(features)} images; give one, or one for each")
        return torch.cosine_similarity(_centred(predicted), _centred(self.pattern), dim=-1)[:, None]

    def _combined(self, raw: Tensor) -> Tensor:
        scores = (raw - self.mean) / self.sd
        return scores[:, 0] - scores[:, 1] if scores.shape[1] == 2 else scores[:, 0]

    def _take_pattern(self, pattern: ArrayLike | Tensor | None, minus: object, columns: Tensor) -> None:
        wanted = None if pattern is None else _floating(pattern)
        if minus is not None or wanted is None or wanted.shape[-1] != len(columns) or wanted.ndim not in (1, 2):
            raise BrainalignError(
                'kind="pattern" needs a pattern with a response for each of the '
                f"{len(columns)} targets, and no minus; got {'none' if wanted is None else tuple(wanted.shape)}"
            )
        self.register_buffer("pattern", wanted)

    def _standardise(self, mean: ArrayLike | Tensor, sd: ArrayLike | Tensor, n_regions: int) -> None:
        for name, values in (("mean", mean), ("sd", sd)):
            given = torch.as_tensor(np.asarray(values)).to(self.weights)
            if given.ndim > 1 or given.numel() not in (1, n_regions):
                raise BrainalignError(
                    f"{name} has shape {tuple(given.shape)} for {n_regions} regions; give one for each"
                )
            self.register_buffer(name, given.reshape(-1).expand(n_regions).clone())
        if not bool(torch.all(self.sd > 0)):
            raise BrainalignError(f"sd must be positive; got {self.sd.tolist()}: the score does not vary over images")


def _floating(values: ArrayLike | Tensor) -> Tensor:
    tensor = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _columns(targets: Sequence[int] | NDArray[np.integer], n_targets: int) -> Tensor:
    columns = torch.as_tensor(np.asarray(targets, dtype=np.int64))
    if columns.ndim != 1 or not len(columns) or int(columns.min()) < 0 or int(columns.max()) >= n_targets:
        raise BrainalignError(f"targets must be some of the {n_targets} columns of coef; got {np.asarray(targets)}")
    return columns


def _centred(patterns: Tensor) -> Tensor:
    return patterns - patterns.mean(-1, keepdim=True)
