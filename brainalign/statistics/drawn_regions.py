"""Mean scores of regions under resampling and under permutation, kept so that fits can be compared later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Arrays, Values
from brainalign.checks import BrainalignError
from brainalign.statistics.correlations import bootstrap_correlations, permuted_correlations
from brainalign.statistics.resampling import permute_within
from brainalign.statistics.scores import pearson

RELIABLE = "reliable targets"  # the group over all targets that repeat, beside the regions


@dataclass(frozen=True)
class RegionDraws:
    """What a fit leaves for others to be compared with, layer by layer.

    Attributes
    ----------
    regions : dict of arrays of target numbers
        What is averaged.
    draws, null : dict of arrays (n_draws or n_permutations, n_regions)
        By layer, from `region_draws`.
    test_ids : list of str
        Test stimuli.
    n_train : int
        Training stimuli.
    """

    regions: dict[str, NDArray[np.intp]]
    draws: dict[str, NDArray[np.float32]]
    null: dict[str, NDArray[np.float32]]
    test_ids: list[str]
    n_train: int

    def arrays(self) -> Arrays:
        """Return everything that is an array, to be stored."""
        named: dict[str, NDArray[Any]] = {f"targets {name}": rows for name, rows in self.regions.items()}
        for kind, layers in (("draws", self.draws), ("null", self.null)):
            named |= {f"{kind} {layer}": values for layer, values in layers.items()}
        return Arrays(named)

    def details(self) -> dict[str, Any]:
        """Return the rest as JSON; orders are part of it, since files of arrays keep none."""
        return {
            "layers": list(self.draws),
            "regions": list(self.regions),
            "test_ids": self.test_ids,
            "n_train": self.n_train,
        }

    @classmethod
    def read(cls, arrays: Arrays, details: Mapping[str, Any]) -> RegionDraws:
        """Restore the draws that `arrays` and `details` describe."""
        return cls(
            {name: arrays[f"targets {name}"] for name in details["regions"]},
            {layer: arrays[f"draws {layer}"] for layer in details["layers"]},
            {layer: arrays[f"null {layer}"] for layer in details["layers"]},
            list(details["test_ids"]),
            int(details["n_train"]),
        )

    def check_same(self, other: RegionDraws, mine: str, others: str) -> None:
        """Raise unless two fits were scored on the same test stimuli and the same targets.

        Parameters
        ----------
        other : RegionDraws
        mine, others : str
            What the fits are called in the message.

        Raises
        ------
        BrainalignError
            With what differs.
        """
        if self.test_ids != other.test_ids:
            both = len(set(self.test_ids) & set(other.test_ids))
            raise BrainalignError(
                f"{mine} was tested on {len(self.test_ids)} stimuli and {others} on {len(other.test_ids)}, {both} of "
                "them the same; compare fits on the same test stimuli in the same order"
            )
        for name in dict.fromkeys([*self.regions, *other.regions]):
            one, two = (fit.regions.get(name, np.empty(0)) for fit in (self, other))
            if not np.array_equal(one, two):
                raise BrainalignError(
                    f"in {name} {mine} was scored on {len(one)} targets and {others} on {len(two)}, "
                    f"{len(np.intersect1d(one, two))} of them the same; compare fits on the same targets"
                )


def region_draws(
    predicted: Values,
    measured: Values,
    regions: Mapping[str, NDArray[np.intp]],
    *,
    n_draws: int = 1000,
    n_permutations: int = 1000,
    seed: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean r of every region for test stimuli drawn with replacement, and for predictions exchanged.

    A target whose prediction is constant has no r and counts as 0 here: it is predicted no better than by its mean, and
    every fit is averaged over the same targets. Draws and permutations depend on the seed and the number of stimuli
    only, so those of several fits are paired.

    Parameters
    ----------
    predicted, measured : array (n_stimuli, n_targets)
        Test stimuli.
    regions : mapping of arrays of target numbers
        One target or more each; they may overlap.
    n_draws, n_permutations, seed : int

    Returns
    -------
    draws : array (n_draws, n_regions)
    null : array (n_permutations, n_regions)
    """
    used = np.unique(np.concatenate([*regions.values(), np.empty(0, dtype=np.intp)])).astype(np.intp)
    a, b = predicted[:, used], measured[:, used]
    groups = [np.searchsorted(used, rows) for rows in regions.values()]
    defined = ~np.isnan(pearson(a, b))
    share = np.array([defined[rows].mean() for rows in groups])
    draws = bootstrap_correlations(a, b, groups, n_draws=n_draws, seed=seed)
    orders = permute_within(np.zeros(len(b)), n_permutations, np.random.default_rng(seed))
    null = permuted_correlations(a, b, orders, groups=groups).group_r
    return _scaled(draws, share), _scaled(null, share)


def _scaled(means: Values, share: Values) -> NDArray[np.float32]:
    """Return means over the defined targets as means over all, the others being 0."""
    return np.asarray(np.where(share > 0, np.nan_to_num(means) * share, 0.0), dtype=np.float32)
