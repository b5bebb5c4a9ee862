"""Which rows each inner fold holds out, and the order of rows in which every fold is a slice."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut

from brainalign.checks import BrainalignError, check_rows


@dataclass(frozen=True)
class Layout:
    """Rows sorted so that every fold is a slice.

    Attributes
    ----------
    order : array (n_rows,) or None
        Row numbers in fold order; None where they are in order already.
    tests : list of slice
        The held-out rows of each fold, in fold order.
    roots : tensor (n_rows,), float64, or None
        Roots of the weights of the rows, in fold order; None where all count the same.
    weight : float
        What the weights were divided by.
    """

    order: NDArray[np.intp] | None
    tests: list[slice]
    roots: torch.Tensor | None = None
    weight: float = 1.0

    def sort(self, rows: torch.Tensor) -> torch.Tensor:
        """Return rows in fold order."""
        return rows if self.order is None else rows[torch.as_tensor(self.order, device=rows.device)]

    def weigh(self, weights: torch.Tensor | None, unit: float) -> Layout:
        """Return the same order with weights (n_rows,) of the unsorted rows; rows of weight 0 are left out.

        Raises
        ------
        BrainalignError
            If all rows outside a fold weigh nothing.
        """
        if weights is None:
            return self
        order = np.arange(len(weights)) if self.order is None else self.order
        kept = weights.numpy()[order] > 0
        ends = np.concatenate([[0], np.cumsum(kept)])
        tests = [slice(int(ends[test.start]), int(ends[test.stop])) for test in self.tests]
        for test in tests:
            if test.stop - test.start == ends[-1]:
                raise BrainalignError("sample_weight is 0 for all rows outside a fold; give more rows a weight")
        roots = weights[torch.as_tensor(order[kept])].sqrt()
        tests = [test for test in tests if test.stop > test.start]
        return Layout(None if self.order is None and kept.all() else order[kept], tests, roots, unit)

    @property
    def given_roots(self) -> torch.Tensor | None:
        """Roots of the weights in the order of the rows as given; only where no row is left out."""
        if self.roots is None or self.order is None:
            return self.roots
        return self.roots[torch.as_tensor(np.argsort(self.order))]


def layout(n_rows: int, cv: int | Literal["groups"], groups: NDArray[np.generic] | None) -> Layout:
    """Divide rows into folds of whole groups.

    Raises
    ------
    BrainalignError
        If cv is no number of folds, groups are wanted and missing, fewer than two, or not one per row.
    """
    if cv != "groups" and not (isinstance(cv, Integral) and cv >= 2):
        raise BrainalignError(f"cv is {cv!r}; give a number of folds, 2 or more, or 'groups' to leave one group out")
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
