"""Scores of all penalties in inner cross-validation, for a block of targets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

from brainalign.kernels import cross_product, prediction_moments
from brainalign.regression.folds import FewFilters, InnerFold, by_sums
from brainalign.regression.inputs import less_mean, weighed
from brainalign.regression.rotation import column_means


class Observed(NamedTuple):
    """Of some rows of targets: their number, Σy and Σ(y − mean)² (n_targets,), NaN where they do not vary, and Σy².

    Where rows have weights, all sums are weighted and the number is the sum of the weights.
    """

    n_rows: float
    total: torch.Tensor
    variation: torch.Tensor
    square: torch.Tensor


def observed_of(rows: torch.Tensor, roots: torch.Tensor | None = None) -> Observed:
    """Sum what scores need of targets (n_rows, n_targets), multiplied by the roots (n_rows,) of weights if given."""
    n: float = len(rows)
    total, square = rows.sum(dim=0) if roots is None else roots @ rows, rows.square().sum(dim=0)
    if roots is not None:
        n = float(roots.double().square().sum())
    variation = square - total.square() / n
    return Observed(n, total, torch.where(variation > _rounding(rows) * square, variation, torch.nan), square)


def _rounding(values: torch.Tensor) -> float:
    """Return the share of a sum of squares below which a variation is the rounding of equal values."""
    return 8 * torch.finfo(values.dtype).eps


@dataclass(frozen=True)
class Block:
    """Centred targets as the folds see them."""

    targets: torch.Tensor  # (n_rows, n_targets), in fold order
    rotated: torch.Tensor  # (n_columns + 1, n_targets): rows' · targets; each fold writes its mean into the last row
    fold_rotated: list[torch.Tensor]  # the same of each fold's rows alone; empty where held-out rows are used instead
    means: list[torch.Tensor]  # (n_targets,), of the training rows of each fold
    held_out: list[Observed]  # rows of each fold less that mean


def block_of(
    rows: torch.Tensor, targets: torch.Tensor, tests: Sequence[slice], roots: torch.Tensor | None = None
) -> Block:
    """Rotate centred targets (n_rows, n_targets) once for all folds.

    With weights, both rows and targets are multiplied by their `roots` (n_rows,).
    """
    if roots is None:
        means = [targets[test].sum(dim=0).div_(test.stop - test.start - len(targets)) for test in tests]  # all sum to 0
        held_out = [observed_of(targets[test] - mean) for test, mean in zip(tests, means, strict=True)]
    else:
        own, squares = roots.to(targets), roots.square()
        means = [(own[test] @ targets[test]).div_(float(squares[test].sum() - squares.sum())) for test in tests]
        held_out = [
            observed_of(less_mean(targets[test], mean, own[test]), own[test])
            for test, mean in zip(tests, means, strict=True)
        ]
    size = (rows.shape[1] + 1, targets.shape[1])
    if not by_sums(len(rows), rows.shape[1], len(tests)):
        rotated = targets.new_empty(size)
        rotated[:-1] = cross_product(rows, targets)
        return Block(targets, rotated, [], means, held_out)
    parts = []
    for test in tests:
        parts.append(targets.new_empty(size))
        parts[-1][:-1] = cross_product(rows[test], targets[test])
    total = targets.new_empty(size)
    total[:-1] = parts[0][:-1]
    for part in parts[1:]:
        total[:-1] += part[:-1]
    return Block(targets, total, parts, means, held_out)


def scores(
    folds: Iterable[InnerFold], block: Block, metric: Literal["r2", "r"], n_alphas: int, *, together: bool = False
) -> torch.Tensor:
    """Return the score of every penalty averaged over the folds in which it is defined (n_alphas, n_targets).

    With `together`, errors of all folds count alike: R² over few rows has no bound below, and where targets share a
    penalty, one that hardly varies in a fold would choose for all.
    """
    if together and metric == "r2" and block.held_out:
        variation = torch.stack([each.variation for each in block.held_out]).nanmean(dim=0)
        block = replace(block, held_out=[each._replace(variation=variation) for each in block.held_out])
    total = block.targets.new_zeros((n_alphas, block.targets.shape[1]))
    defined = torch.zeros_like(total)
    for number, fold in enumerate(folds):
        score = _fold_score(fold, block, number, metric)
        defined += ~score.isnan()
        total += score.nan_to_num_(nan=0.0)
    return total.div_(defined)  # NaN where no fold defines it


def _fold_score(fold: InnerFold, block: Block, number: int, metric: Literal["r2", "r"]) -> torch.Tensor:
    targets, test, mean = block.targets, fold.test, block.means[number]
    block.rotated[-1] = mean
    if fold.way == "sums":
        part = block.fold_rotated[number]
        part[-1] = mean
        projections = cross_product(fold.held_out, part)
        rest = block.rotated - part
        rest[-1] = mean
        coefficients = cross_product(fold.project, rest)
    else:
        projections = cross_product(fold.held_out, less_mean(targets[test], mean, fold.roots))
        if fold.way == "primal":
            coefficients = cross_product(fold.project, block.rotated).sub_(projections)
        else:
            coefficients = cross_product(fold.project[: test.start], targets[: test.start])
            coefficients += cross_product(fold.project[test.start :], targets[test.stop :])
    if isinstance(fold.form, FewFilters):
        observed = less_mean(targets[test], mean, fold.roots)
        moments = fold.form.moments(coefficients, observed, totals=metric == "r", roots=fold.roots)
    else:
        moments = prediction_moments(fold.form, coefficients, projections, totals=metric == "r")
    return score_of(metric, *moments, block.held_out[number])


def target_scores(
    metric: str, predicted: torch.Tensor, observed: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return R² or r of each target (n_targets,), of rows with these weights."""
    roots = None if weights is None else weights.to(observed).sqrt()
    mean = column_means(observed, roots)
    predicted, observed = weighed(predicted - mean, roots), weighed(observed - mean, roots)
    total = predicted.sum(0) if roots is None else roots @ predicted
    moments = (total, predicted.square().sum(0), (predicted * observed).sum(0))
    return score_of(metric, *moments, observed_of(observed, roots))


def score_of(
    metric: str, total: torch.Tensor | None, square: torch.Tensor, cross: torch.Tensor, observed: Observed
) -> torch.Tensor:
    """Return R² or r from Σŷ (which R² does without), Σŷ² and Σŷy; NaN where what it divides by does not vary."""
    if metric == "r2":
        return (1 - observed.square / observed.variation) + (2 * cross - square) / observed.variation
    if total is None:
        raise ValueError("Pearson's r needs the sums of predictions")
    spread = square - total.square() / observed.n_rows
    spread = torch.where(spread > _rounding(square) * square, spread, torch.nan)
    return (cross - total * observed.total / observed.n_rows) / (spread.sqrt() * observed.variation.sqrt())
