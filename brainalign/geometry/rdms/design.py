"""Which row of patterns measures which condition in which run, and the means over rows that share both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows
from brainalign.geometry.rdms.array_kind import namespace_of


@dataclass(frozen=True)
class Design:
    """Codes of the rows of patterns, in order of first appearance.

    Attributes
    ----------
    conditions, runs : array (n_rows,) of int
    condition_names, run_names : array
    """

    conditions: NDArray[np.intp]
    runs: NDArray[np.intp]
    condition_names: NDArray[Any]
    run_names: NDArray[Any]

    def condition_means(self, patterns: Any) -> Any:
        """Return the mean over all rows of each condition, (..., n_conditions, n_channels)."""
        return _means(patterns, self.conditions, len(self.condition_names))

    def run_means(self, patterns: Any) -> tuple[Any, NDArray[np.bool_]]:
        """Return the mean of each condition in each run, and where there is one.

        Returns
        -------
        means : array (..., n_runs, n_conditions, n_channels)
            Zero where a run does not hold a condition.
        present : array (n_runs, n_conditions) of bool
        """
        shape = len(self.run_names), len(self.condition_names)
        cells = self.runs * shape[1] + self.conditions
        means = _means(patterns, cells, shape[0] * shape[1])
        present = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape) > 0
        return means.reshape(*patterns.shape[:-2], *shape, patterns.shape[-1]), present


def design_of(n_rows: int, conditions: NDArray[Any] | None, runs: NDArray[Any] | None) -> Design:
    """Return the design that labels describe.

    Parameters
    ----------
    n_rows : int
    conditions : array (n_rows,), optional
        Without them, a row is a condition of its run, and every run lists the same conditions in the same order.
    runs : array (n_rows,), optional
        Without them there is one run.

    Raises
    ------
    BrainalignError
        If there is not one label per row, a label is missing, or runs without labels differ in length.
    """
    given = {"conditions": conditions, "runs": runs}
    coded = {}
    for name, labels in given.items():
        if labels is not None:
            values = np.asarray(labels)
            check_rows(name, len(values), "patterns", n_rows, "give one label per row of patterns")
            coded[name] = codes, _ = pd.factorize(values)
            if (codes < 0).any():
                row = int(np.argmin(codes))
                raise BrainalignError(f"{name} has {int((codes < 0).sum())} missing labels (first: row {row}); fill in")
    run_codes, run_names = coded.get("runs", (np.zeros(n_rows, dtype=np.intp), np.zeros(1)))
    if "conditions" not in coded:
        sizes = np.bincount(run_codes, minlength=1)
        if (sizes != sizes[0]).any():
            raise BrainalignError(
                f"run '{run_names[0]}' has {sizes[0]} rows and run '{run_names[int(np.argmax(sizes != sizes[0]))]}' "
                f"{sizes[sizes != sizes[0]][0]}; give conditions, so that rows can be matched"
            )
        coded["conditions"] = pd.factorize(pd.Series(run_codes).groupby(run_codes).cumcount().to_numpy())
    codes, names = coded["conditions"]
    return Design(codes, run_codes, names, run_names)


def _means(patterns: Any, cells: NDArray[np.intp], n_cells: int) -> Any:
    """Return the mean of the rows of each cell, (..., n_cells, n_channels); zero for a cell without rows."""
    counts = np.bincount(cells, minlength=n_cells)
    order = np.argsort(cells, kind="stable")
    starts = np.cumsum(counts) - counts
    if (counts == counts[0]).all():
        return _block_means(patterns, order, int(counts[0]))
    shape = *patterns.shape[:-2], n_cells, patterns.shape[-1]
    means = namespace_of(patterns).zeros(shape, dtype=patterns.dtype, device=patterns.device)
    for size in np.unique(counts[counts > 0]):  # as many products as there are numbers of repeats
        which = np.flatnonzero(counts == size)
        rows = starts[which][:, None] + np.arange(size)
        means[..., which, :] = _block_means(patterns, order[rows.ravel()], int(size))
    return means


def _block_means(patterns: Any, rows: NDArray[np.intp], size: int) -> Any:
    """Return means over each `size` of the rows, in their order."""
    if len(rows) != patterns.shape[-2] or (rows[1:] < rows[:-1]).any():
        patterns = patterns[..., rows, :]
    return patterns if size == 1 else patterns.reshape(*patterns.shape[:-2], -1, size, patterns.shape[-1]).mean(axis=-2)
