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

__all__ = ["Layout", "layout"]


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
