"""What a masked model makes of runs: mean tokens of regions, and how tokens vary together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class Embedded:
    """What a model makes of runs.

    Attributes
    ----------
    mean : array (n_runs, n_regions, width)
        Tokens averaged over segments: no second-order information is left in them.
    covariance : array (n_runs, n_regions, n_regions)
        Correlation of the tokens of regions over segments and dimensions, each dimension centred over segments.
    """

    mean: NDArray[np.float32]
    covariance: NDArray[np.float32]


def token_correlations(tokens: Tensor) -> Tensor:
    """Return (n, n_regions, n_regions): correlations of tokens (n, n_segments, n_regions, width) between regions.

    Every dimension of a region is centred over segments first, so that it is what varies together.
    """
    centred = (tokens - tokens.mean(dim=1, keepdim=True)).transpose(1, 2).flatten(2)
    unit = nn.functional.normalize(centred, dim=-1)
    return unit @ unit.transpose(1, 2)
