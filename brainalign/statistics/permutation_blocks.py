"""What may be exchanged under the null, and drawn again for intervals: units with a label each, within blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows
from brainalign.statistics.resampling import permute_within


@dataclass(frozen=True)
class Exchange:
    """Labels of units: trials where each was shown for itself, stimuli where they repeat.

    Attributes
    ----------
    labels, units, blocks : array (n_trials,)
        All trials of a unit have one label and lie in one block (a recording; the training or the test stimuli).
    """

    labels: NDArray[Any]
    units: NDArray[Any]
    blocks: NDArray[Any]

    def __post_init__(self) -> None:
        for name in ("units", "blocks"):
            check_rows(name, len(getattr(self, name)), "labels", len(self.labels), "give one per trial")
        table = pd.DataFrame({"label": self.labels, "block": self.blocks}).groupby(np.asarray(self.units)).nunique()
        for name in ("label", "block"):
            several = table.index[table[name] > 1].tolist()
            if several:
                raise BrainalignError(
                    f"{len(several)} units have several {name}s (first: {several[0]!r}); what is exchanged as a whole "
                    f"must have one {name}"
                )

    def permuted(self, n_permutations: int, rng: np.random.Generator) -> NDArray[Any]:
        """Return labels exchanged between units of a block (n_permutations, n_trials)."""
        codes, first = self._units()
        orders = permute_within(np.asarray(self.blocks)[first], n_permutations, rng)
        return np.asarray(np.asarray(self.labels)[first][orders][:, codes])

    def draws(self, n_draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the counts of every trial (n_draws, n_trials): units with replacement, by block and label."""
        codes, first = self._units()
        strata = pd.DataFrame({"block": np.asarray(self.blocks)[first], "label": np.asarray(self.labels)[first]})
        counts = np.empty((n_draws, len(first)))
        for rows in strata.groupby(["block", "label"]).indices.values():
            counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=n_draws)
        return np.asarray(counts[:, codes])

    def _units(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the unit of every trial, and the first trial of every unit."""
        codes, _ = pd.factorize(np.asarray(self.units))
        return codes, np.unique(codes, return_index=True)[1]
