"""Everything that fitting needs of the features, whatever the targets: made once, then used block by block of targets.

A design is small next to the data and plain tensors, so it travels to other processes and machines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.devices import target_block
from brainalign.kernels import apply_alpha, cross_product, lower_gram
from brainalign.regression.delays import Rows
from brainalign.regression.fold_scores import block_of, scores
from brainalign.regression.folds import InnerFold, Layout, inner_folds, wants_grams
from brainalign.regression.inputs import rescale_coefficients, unit_of, weighed
from brainalign.regression.rotation import CHUNK, Rotation, column_means, piece_rows, rotate
from brainalign.regression.threads import in_threads, side_by_side

LEAST = 256  # targets that are worth a thread
BLOCK_BYTES = 24 * 2**20  # of a block's arrays on the CPU: about what its caches hold


@dataclass(frozen=True)
class Design:
    """Features decomposed for ridge regression."""

    rotation: Rotation
    order: Layout  # of the inner folds; none where there is a single penalty
    folds: Sequence[InnerFold]
    alphas: torch.Tensor
    metric: Literal["r2", "r"]

    def fit(
        self, centred: torch.Tensor, coef: torch.Tensor | None = None, units: torch.Tensor | None = None
    ) -> "BlockFit":
        """Score every penalty on centred targets (n_rows, n_targets), for each or, without `coef` to fill, for all."""
        block = block_of(self.rotation.rows, centred, self.order.tests, self.roots)
        found = scores(self.folds, block, self.metric, len(self.alphas), together=coef is None).cpu()
        alpha = best_alpha(self.alphas, found)
        if coef is not None:
            self._solve(block.rotated[:-1], alpha, coef, units)
        return BlockFit(found, alpha)

    def solve(
        self, centred: torch.Tensor, alpha: torch.Tensor, coef: torch.Tensor, units: torch.Tensor | None = None
    ) -> None:
        """Write the coefficients (n_targets, n_features) of centred targets, each with its own penalty, into `coef`."""
        self._solve(cross_product(self.rotation.rows, centred), alpha, coef, units)

    def _solve(
        self, rotated: torch.Tensor, alpha: torch.Tensor, coef: torch.Tensor, units: torch.Tensor | None
    ) -> None:
        unit = unit_of(self.rotation.singular)
        singular, penalty = self.rotation.singular / unit, alpha.double() / (unit**2 * self.order.weight)
        scaled = rotated * singular[:, None].to(rotated)
        apply_alpha(self.rotation.axes, singular.square().to(rotated), penalty.to(rotated), scaled, out=coef.T)
        rescale_coefficients(coef, units, unit)

    @property
    def roots(self) -> torch.Tensor | None:
        """Roots of the weights of rows, where the rows are."""
        return None if self.order.roots is None else self.order.roots.to(self.rotation.rows.device)

    def intercept(self, means: torch.Tensor, coef: torch.Tensor) -> torch.Tensor:
        """Return the intercepts (n_targets,) for the means of targets and coefficients (n_targets, n_features)."""
        return intercepts(means, coef, self.rotation.mean)


@dataclass(frozen=True)
class BlockFit:
    """Scores (n_alphas, n_targets) and the best penalty (n_targets,) of a block of targets."""

    scores: torch.Tensor
    alpha: torch.Tensor


def design_of(
    features: Rows,
    order: Layout,
    alphas: torch.Tensor,
    *,
    solver: Literal["auto", "primal", "dual"],
    metric: Literal["r2", "r"],
    dtype: torch.dtype,
) -> Design:
    """Decompose features (n_rows, n_features), tensor or delayed rows, and the training rows of every inner fold."""
    rotation = rotate(order.sort(features), float(alphas.min()) / order.weight, solver, dtype, order.roots)
    unit, exact = unit_of(rotation.singular), rotation.method == "svd"
    wanted = not exact and wants_grams(len(rotation.rows), rotation.rows.shape[1], order.tests, solver)
    folds = inner_folds(
        rotation.rows,
        rotation.singular / unit,
        order.tests,
        alphas / (unit**2 * order.weight),
        grams=fold_grams(rotation.rows, order.tests) if wanted else None,
        solver=solver,
        single=rotation.benign,
        exact=exact,
        roots=order.roots,
    )
    return Design(rotation, order, folds, alphas, metric)


def fold_grams(rows: torch.Tensor, tests: Sequence[slice]) -> list[torch.Tensor]:
    """Return the lower triangle of rows' · rows (n_columns, n_columns) of each fold.

    In float64: where training rows are few more than columns, or bands resemble each other, what remains of the total
    without the fold has small eigenvalues that float32 would blur.
    """
    n, p = rows.shape

    def gram(test: slice) -> torch.Tensor:
        total = torch.zeros((p, p), dtype=torch.float64, device=rows.device)
        for part in rows[test].split(piece_rows(p)):
            lower_gram(part.double(), total)
        return total

    at_once = side_by_side(len(tests), (n, p), 8 * p**2, rows.device)
    groups = [tests[start : start + at_once] for start in range(0, len(tests), at_once)]
    return [found for group in groups for found in in_threads(gram, group, rows.device, (n, p))]


def blocks_of(
    n_targets: int, n_rows: int, rank: int, n_features: int, n_alphas: int, device: torch.device
) -> list[slice]:
    """Divide targets into blocks whose arrays fit into the caches of the CPU, or the free memory of the GPU.

    On the CPU every thread has a block at a time.
    """
    per_target = 4 * (2 * n_rows + 5 * rank + 8 * n_alphas) + 8 * n_rows
    n_threads = torch.get_num_threads() if device.type == "cpu" else 1
    size = target_block(n_targets, n_threads * (per_target + 4 * n_features), device)
    if device.type == "cpu":
        size = min(size, max(1024, BLOCK_BYTES // per_target), max(LEAST, -(-n_targets // n_threads)))
        rounds = -(-n_targets // (size * n_threads))  # as much for every thread
        size = min(size, max(LEAST, -(-n_targets // (rounds * n_threads))))
    return [slice(start, min(start + size, n_targets)) for start in range(0, n_targets, size)]


def centre(
    targets: torch.Tensor, order: Layout, device: torch.device, dtype: torch.dtype, units: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return targets minus their mean, in fold order and over their units, and the mean in float64.

    The mean goes first in the precision of the targets, where nearby numbers subtract without loss, so a large mean
    costs no digits. With weights, rows are multiplied by their roots.
    """
    block = order.sort(targets.to(device)).contiguous()  # its mean is found twice as fast in one piece
    if not block.is_floating_point() or block.element_size() < 4:
        block = block.to(dtype if block.element_size() < 4 else torch.float64)  # large integers have no float32
    mean = column_means(block, order.roots)
    first = mean.to(block)
    block, rest = block - first, mean - first
    if units is not None:
        block, rest = block.div_(units.to(block)), rest / units.to(rest)
    return weighed(block.to(dtype).sub_(rest.to(dtype)), order.roots), mean.cpu()


def intercepts(means: torch.Tensor, coef: torch.Tensor, feature_means: torch.Tensor) -> torch.Tensor:
    """Return means (n_targets,) − coefficients (n_targets, n_features) · feature_means, in float64."""
    mean = feature_means.double().to(coef.device)
    offsets = [part.double() @ mean for part in coef.split(max(1, CHUNK // max(1, coef.shape[1])))]
    return means - torch.cat(offsets).to(means.device)


def pooled_alpha(alphas: torch.Tensor, scores: torch.Tensor, labels: NDArray[Any] | None) -> torch.Tensor:
    """Give all targets, or those of each label, the alpha of the best mean score; comparing sums compares means."""
    codes = torch.as_tensor(
        np.zeros(scores.shape[1], dtype=int) if labels is None else np.unique(labels, return_inverse=True)[1]
    )
    sums = torch.zeros((len(scores), int(codes.max()) + 1), dtype=torch.float64)
    sums.index_add_(1, codes, scores.double().nan_to_num(nan=0.0))
    return best_alpha(alphas, sums)[codes]


def best_alpha(alphas: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return the best alpha per target; the larger one of equals, the largest where no score is defined."""
    candidates = alphas.cpu()
    largest_first = torch.argsort(candidates, descending=True)
    return candidates[largest_first][scores[largest_first].nan_to_num(nan=-torch.inf).max(dim=0).indices]
