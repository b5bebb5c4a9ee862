"""Designs of delayed features, multiplied without being written out: X_d[i] = X[i − d] within a run, else zero.

    (Σ_d X_d X_d')[i, j] = Σ_d (X X')[i − d, j − d]

Zero is one row more of X, so that products of centred features are still sums of some of their rows' products.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.arrays import StoredArray
from brainalign.checks import BrainalignError, check_rows, listed
from brainalign.regression.inputs import Array, StoredRows, as_array, as_tensor

ROWS = 256  # of a Gram that are summed at once


@dataclass(frozen=True, eq=False)
class DelayedFeatures:
    """Features delayed by whole rows within runs, which ridge takes in place of an array (n_rows, n_columns).

    Columns are delay by delay; they are written out piece by piece, when they are multiplied.

    Parameters
    ----------
    values : array (n_rows, n_features)
    delays : sequence of int
        In rows; negative ones look ahead.
    runs : array (n_rows,)
        The run of each row; rows of one run stand together.

    Raises
    ------
    BrainalignError
        If rows of a run do not stand together, there is another number of them than of `values`, or delays are no whole
        numbers.

    Examples
    --------
    >>> design = DelayedFeatures(np.array([[1], [2], [3]]), (0, 1), np.array(["a", "a", "b"]))
    >>> design.rows()[:].tolist()
    [[1, 0], [2, 1], [3, 0]]
    """

    values: Array
    delays: Sequence[int]
    runs: NDArray[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs", np.asarray(self.runs))
        check_rows("features", len(self.values), "runs", len(self.runs), "give the run of every row")
        if np.ndim(self.values) != 2 or np.asarray(self.delays).dtype.kind not in "iu":
            raise BrainalignError(
                f"features have shape {np.shape(self.values)} and delays are {listed([*self.delays])}; give rows x "
                "columns, and delays in whole rows, not in seconds"
            )
        if 1 + (self.runs[1:] != self.runs[:-1]).sum() != len(np.unique(self.runs)):
            raise BrainalignError("rows of a run do not stand together; sort them by run, and by time within runs")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and columns: features times delays."""
        return len(self.values), len(self.delays) * self.values.shape[1]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, mask: NDArray[np.bool_]) -> "DelayedFeatures":
        """Return the rows of whole runs, by a mask; one that cuts a run raises."""
        if np.asarray(mask).dtype != bool:
            raise BrainalignError(
                f"rows of delayed features are chosen by {mask!r}; give a mask, True or False per row"
            )
        both = np.intersect1d(self.runs[mask], self.runs[~mask])
        if len(both):
            raise BrainalignError(f"rows of run(s) {listed(both.tolist())} are chosen in part; choose whole runs")
        return DelayedFeatures(self.values[mask], self.delays, self.runs[mask])

    def rows(self) -> "DelayedRows":
        """Return features and delays as tensors."""
        values = as_tensor(as_array("features", self.values))
        row, run = np.arange(len(self)), np.cumsum(np.r_[False, self.runs[1:] != self.runs[:-1]])
        sources = row - np.asarray(self.delays)[:, None]
        inside = (sources >= 0) & (sources < len(self))
        inside &= run[np.where(inside, sources, 0)] == run
        padded = torch.cat([values, values.new_zeros((1, values.shape[1]))])
        return DelayedRows(padded, torch.as_tensor(np.where(inside, sources, len(self)), device=values.device))


@dataclass(frozen=True, eq=False)
class DelayedRows:
    """A delayed design as decompositions read it: by the operations they use of a tensor (n_rows, n_columns).

    Attributes
    ----------
    padded : tensor (n + 1, n_features)
        The last row is 0.
    sources : tensor (n_delays, n_rows)
        Which of them each row has at each delay.
    """

    padded: torch.Tensor
    sources: torch.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and columns: features times delays."""
        return self.sources.shape[1], len(self.sources) * self.padded.shape[1]

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.padded.device

    def __len__(self) -> int:
        return self.sources.shape[1]

    def to(self, device: torch.device) -> "DelayedRows":
        """Return it on another device."""
        return DelayedRows(self.padded.to(device), self.sources.to(device))

    def index_select(self, dim: int, rows: torch.Tensor) -> "DelayedRows":
        """Return some rows (dim 0) in another order."""
        return DelayedRows(self.padded, self.sources.index_select(1 - dim, rows))

    def __getitem__(self, where: slice | tuple[slice, slice]) -> torch.Tensor:
        """Write some rows out or, of a pair of slices, all rows of some columns."""
        if isinstance(where, slice):
            return self.padded[self.sources[:, where].T].flatten(1)
        n_features = self.padded.shape[1]
        first, stop, _ = where[1].indices(self.shape[1])
        ranges = [(max(first - start, 0), stop - start) for start in range(0, self.shape[1], n_features)]
        pieces = [
            self.padded[:, low:high][source]
            for (low, high), source in zip(ranges, self.sources, strict=True)
            if low < min(high, n_features)
        ]
        return torch.cat(pieces, dim=1)

    def products(self, padded: torch.Tensor, roots: torch.Tensor | None) -> torch.Tensor:
        """Return XX' (n_rows, n_rows) of the centred design, from the lower triangle of that of the padded rows."""
        padded = padded.tril()
        padded += padded.tril(-1).T
        found = padded.new_zeros((len(self), len(self)))
        for start in range(0, len(self), ROWS):
            for source in self.sources:
                found[start : start + ROWS] += padded[source[start : start + ROWS]][:, source]
        weights = torch.ones_like(found[0]) if roots is None else roots.square()
        mean = found @ (weights / weights.sum())
        found -= mean[:, None] + (mean - weights @ mean / weights.sum())
        return found if roots is None else found.mul_(roots).mul_(roots[:, None])


Rows = torch.Tensor | DelayedRows | StoredRows


def as_rows(name: str, X: Any) -> Rows:
    """Return features as ridge computes with them: a tensor on the same memory, delayed rows, or rows in a file."""
    if isinstance(X, DelayedFeatures):
        return X.rows()
    if isinstance(X, StoredArray):
        return StoredRows(X, torch.device("cpu"))
    return X if isinstance(X, DelayedRows | StoredRows) else as_tensor(as_array(name, X))
