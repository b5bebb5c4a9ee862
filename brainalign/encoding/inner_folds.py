"""What inner cross-validation needs of each fold, whatever the target; and the scores of all penalties from it.

Training statistics are the total minus the fold's, so features are read once however many folds there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut

from brainalign.checks import BrainalignError, check_rows
from brainalign.encoding.rotation import eigh, symmetric
from brainalign.kernels import HeldOut, cross_product, held_out, prediction_moments

__all__ = [
    "Block",
    "InnerFold",
    "Layout",
    "block_of",
    "inner_fold",
    "inner_folds",
    "layout",
    "score_of",
    "scores",
    "wants_grams",
]

Solver = Literal["auto", "primal", "dual"]


@dataclass(frozen=True)
class Layout:
    """Rows sorted so that every fold is a slice.

    Attributes
    ----------
    order : array (n_rows,) or None
        Row numbers in fold order; None where they are in order already.
    tests : list of slice
        The held-out rows of each fold, in fold order.
    """

    order: NDArray[np.intp] | None
    tests: list[slice]

    def sort(self, rows: torch.Tensor) -> torch.Tensor:
        """Return rows in fold order."""
        return rows if self.order is None else rows[torch.as_tensor(self.order, device=rows.device)]


@dataclass(frozen=True)
class InnerFold:
    """One fold in the eigenbasis of its training rows.

    Attributes
    ----------
    test : slice
        Held-out rows, in fold order.
    way : {"primal", "sums", "dual"}
        How training targets reach the basis: all rotated targets less the held-out rows; less the fold's rotated
        targets (cheaper where its rows are more than the columns); or the training rows themselves.
    project : tensor (n_columns + 1, rank) or, dual, (n_train, rank)
        What takes training targets to the basis; its last row takes their mean.
    held_out : tensor (n_test, rank) or, sums, (n_columns + 1, rank)
        Held-out rows in the basis, or what takes the fold's rotated targets there.
    form : HeldOut
    """

    test: slice
    way: Literal["primal", "sums", "dual"]
    project: torch.Tensor
    held_out: torch.Tensor
    form: HeldOut


@dataclass(frozen=True)
class Block:
    """Centred targets as the folds see them.

    Attributes
    ----------
    targets : tensor (n_rows, n_targets)
        In fold order.
    rotated : tensor (n_columns + 1, n_targets)
        rows' · targets; each fold writes its training mean into the last row.
    fold_rotated : list of tensor (n_columns + 1, n_targets)
        The same of each fold's rows alone; empty where held-out rows are used instead.
    """

    targets: torch.Tensor
    rotated: torch.Tensor
    fold_rotated: list[torch.Tensor]


def by_sums(n_rows: int, n_columns: int, n_folds: int) -> bool:
    """Return whether rotated targets of every fold are smaller, and cheaper to use, than the held-out rows."""
    return n_rows > n_folds * n_columns > 0


def block_of(rows: torch.Tensor, targets: torch.Tensor, tests: Sequence[slice]) -> Block:
    """Rotate centred targets (n_rows, n_targets) once for all folds."""
    size = (rows.shape[1] + 1, targets.shape[1])
    if not by_sums(len(rows), rows.shape[1], len(tests)):
        rotated = targets.new_empty(size)
        rotated[:-1] = cross_product(rows, targets)
        return Block(targets, rotated, [])
    parts = []
    for test in tests:
        parts.append(targets.new_empty(size))
        parts[-1][:-1] = cross_product(rows[test], targets[test])
    total = targets.new_empty(size)
    total[:-1] = parts[0][:-1]
    for part in parts[1:]:
        total[:-1] += part[:-1]
    return Block(targets, total, parts)


def layout(n_rows: int, cv: int | Literal["groups"], groups: NDArray[np.generic] | None) -> Layout:
    """Divide rows into folds of whole groups.

    Raises
    ------
    BrainalignError
        If groups are wanted and missing, fewer than two, or not one per row.
    """
    parts = [test for _, test in _splits(n_rows, cv, groups)]
    order = np.concatenate(parts)
    ends = np.cumsum([len(part) for part in parts])
    tests = [slice(int(end) - len(part), int(end)) for part, end in zip(parts, ends, strict=True)]
    return Layout(None if (order == np.arange(n_rows)).all() else order, tests)


def _splits(
    n_rows: int, cv: int | Literal["groups"], groups: NDArray[np.generic] | None
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    rows = np.zeros((n_rows, 1))
    if groups is None:
        if cv == "groups":
            raise BrainalignError("cv='groups' leaves one group out, but fit got no groups; pass groups or a number")
        return list(KFold(min(cv, n_rows)).split(rows))
    check_rows("groups", len(groups), "X", n_rows, "give one label per row")
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise BrainalignError(f"inner cross-validation needs 2 groups or more; all rows are of group '{groups[0]}'")
    splitter = LeaveOneGroupOut() if cv == "groups" else GroupKFold(min(cv, n_groups))
    return list(splitter.split(rows, groups=groups))


def inner_folds(
    rows: torch.Tensor,
    scale: torch.Tensor,
    tests: Sequence[slice],
    alphas: torch.Tensor,
    *,
    grams: Sequence[torch.Tensor] | None,
    solver: Solver = "auto",
    single: bool = False,
    exact: bool = False,
) -> Iterator[InnerFold]:
    """Decompose the training rows of every fold.

    Parameters
    ----------
    rows : tensor (n_rows, n_columns)
        Features in orthonormal columns, in fold order.
    scale : tensor (n_columns,), float64
        What each column is multiplied by to be the features again.
    tests : sequence of slice
    alphas : tensor (n_alphas,), float64
    grams : sequence of tensor (n_columns, n_columns), float64, or None
        rows' · rows of each fold; None where `wants_grams` says that no fold needs them.
    solver : {"auto", "primal", "dual"}
        "auto" decomposes columns × columns or rows × rows, whichever is smaller: every part of the cost grows with it.
    single : bool
        Try float32 for eigenvectors first.
    exact : bool
        Decompose training rows by SVD rather than their products.
    """
    total = sum(grams[1:], grams[0]) if grams else None
    each: Sequence[torch.Tensor | None] = grams or [None] * len(tests)
    for test, gram in zip(tests, each, strict=True):
        yield inner_fold(
            rows, scale, test, len(tests), alphas, total=total, gram=gram, solver=solver, single=single, exact=exact
        )


def inner_fold(
    rows: torch.Tensor,
    scale: torch.Tensor,
    test: slice,
    n_folds: int,
    alphas: torch.Tensor,
    *,
    total: torch.Tensor | None,
    gram: torch.Tensor | None,
    solver: Solver = "auto",
    single: bool = False,
    exact: bool = False,
) -> InnerFold:
    """Decompose the training rows of one fold.

    Parameters
    ----------
    total, gram : tensor (n_columns, n_columns), float64, or None
        rows' · rows of all rows, and of the fold's.
    rows, scale, test, n_folds, alphas, solver, single, exact
        As for `inner_folds`.
    """
    n_test = test.stop - test.start
    n_train = len(rows) - n_test
    # Columns sum to 0 over all rows, so the training rows have the mean of the others, turned round.
    mean = -rows[test].sum(dim=0, dtype=torch.float64) / n_train
    primal = _is_primal(n_train, len(scale), solver)
    if exact or not primal or total is None or gram is None:
        training = (torch.cat([rows[: test.start], rows[test.stop :]]).double() - mean) * scale
        eigenvalues, left, right = _from_rows(training, single=single, exact=exact)
    else:
        training = (total - gram - n_train * torch.outer(mean, mean)) * torch.outer(scale, scale)
        eigenvalues, right = _kept(training, single=single)
    basis = (scale[:, None] * right).to(rows)
    held_rows = (rows[test].double() - mean).to(rows) @ basis
    form = held_out(held_rows, eigenvalues, alphas, rows.dtype)
    shift = mean.to(rows)[None] @ basis  # the training mean in the basis
    if not primal:
        return InnerFold(test, "dual", left.to(rows), held_rows, form)
    if by_sums(len(rows), rows.shape[1], n_folds):
        held_sums = torch.cat([basis, (len(rows) + n_train) * shift])
        return InnerFold(test, "sums", torch.cat([basis, -n_train * shift]), held_sums, form)
    return InnerFold(test, "primal", torch.cat([basis, len(rows) * shift]), held_rows, form)


def _is_primal(n_train: int, n_columns: int, solver: Solver) -> bool:
    return solver == "primal" or (solver == "auto" and n_train >= n_columns)


def wants_grams(n_rows: int, n_columns: int, tests: Sequence[slice], solver: Solver) -> bool:
    """Return whether any fold is decomposed through the products of its columns."""
    return any(_is_primal(n_rows - (test.stop - test.start), n_columns, solver) for test in tests)


def eigenbasis(
    gram: torch.Tensor, rows: torch.Tensor, scale: torch.Tensor, solver: Solver, *, single: bool, exact: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return eigenvalues and eigenvectors (n_columns, rank) of all rows, scaled: what a refit needs.

    Parameters
    ----------
    gram : tensor (n_columns, n_columns), float64
        rows' · rows.
    rows, scale, solver, single, exact
        As for `inner_folds`.
    """
    if _is_primal(len(rows), len(scale), solver) and not exact:
        return _kept(gram * torch.outer(scale, scale), single=single)
    eigenvalues, _, right = _from_rows(rows.double() * scale, single=single, exact=exact)
    return eigenvalues, right


def _from_rows(training: torch.Tensor, *, single: bool, exact: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return eigenvalues, rows to basis (left vectors times singular values) and the basis (right vectors)."""
    if exact:
        left, singular, right = torch.linalg.svd(training, full_matrices=False)
        keep = singular > singular[:1] * max(training.shape) * torch.finfo(torch.float64).eps
        return singular[keep].square(), left[:, keep] * singular[keep], right[keep].T
    eigenvalues, vectors = _kept(symmetric(training.T), null=1, single=single)
    singular = eigenvalues.sqrt()
    return eigenvalues, vectors * singular, (training.T @ vectors) / singular


def _kept(matrix: torch.Tensor, *, null: int = 0, single: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the eigenvalues and eigenvectors of all directions that vary."""
    eigenvalues, vectors, found_single = eigh(matrix, null=null, single=single)
    # In float32 a spectrum is only ever accepted when its other eigenvalues are far above its rounding.
    floor = 1e-5 if found_single else len(matrix) * torch.finfo(torch.float64).eps
    keep = eigenvalues > eigenvalues[-1:] * floor
    return eigenvalues[keep], vectors[:, keep]


def scores(folds: Iterable[InnerFold], block: Block, metric: Literal["r2", "r"], n_alphas: int) -> torch.Tensor:
    """Return the score of every penalty averaged over the folds in which it is defined (n_alphas, n_targets)."""
    total = block.targets.new_zeros((n_alphas, block.targets.shape[1]))
    defined = torch.zeros_like(total)
    for number, fold in enumerate(folds):
        score = _fold_score(fold, block, number, metric)
        defined += ~score.isnan()
        total += score.nan_to_num_(nan=0.0)
    return total.div_(defined)  # NaN where no fold defines it


def _fold_score(fold: InnerFold, block: Block, number: int, metric: Literal["r2", "r"]) -> torch.Tensor:
    targets, test = block.targets, fold.test
    n_train = len(targets) - (test.stop - test.start)
    mean = targets[test].sum(dim=0).div_(-n_train)  # of the training rows: all rows sum to 0
    observed = targets[test] - mean
    block.rotated[-1] = mean
    if fold.way == "sums":
        part = block.fold_rotated[number]
        part[-1] = mean
        projections = cross_product(fold.held_out, part)
        rest = block.rotated - part
        rest[-1] = mean
        coefficients = cross_product(fold.project, rest)
    else:
        projections = cross_product(fold.held_out, observed)
        if fold.way == "primal":
            coefficients = cross_product(fold.project, block.rotated).sub_(projections)
        else:
            coefficients = cross_product(fold.project[: test.start], targets[: test.start])
            coefficients += cross_product(fold.project[test.start :], targets[test.stop :])
    moments = prediction_moments(fold.form, coefficients, projections, totals=metric == "r")
    return score_of(metric, *moments, observed)


def score_of(
    metric: str, total: torch.Tensor | None, square: torch.Tensor, cross: torch.Tensor, observed: torch.Tensor
) -> torch.Tensor:
    """Return R² or r from the sums of predictions; NaN where what it divides by does not vary.

    Parameters
    ----------
    metric : {"r2", "r"}
    total, square, cross : tensor (..., n_targets)
        Σŷ, Σŷ² and Σŷy over rows; R² needs no total.
    observed : tensor (n_rows, n_targets)
    """
    n = len(observed)
    rounding = 8 * torch.finfo(observed.dtype).eps  # a variation below it is the rounding of equal values
    observed_total, observed_square = observed.sum(dim=0), observed.square().sum(dim=0)
    variation = observed_square - observed_total.square() / n
    variation = torch.where(variation > rounding * observed_square, variation, torch.nan)
    if metric == "r2" or total is None:
        return (1 - observed_square / variation) + (2 * cross - square) / variation
    spread = square - total.square() / n
    spread = torch.where(spread > rounding * square, spread, torch.nan)
    return (cross - total * observed_total / n) / (spread * variation).sqrt()
