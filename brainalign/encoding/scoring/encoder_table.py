"""Encoders of one study side by side: score per group of targets, parameters, seconds, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.encoding.networks import SeedEnsemble
from brainalign.encoding.scoring.held_out_scores import HeldOut
from brainalign.statistics import group_means, interval_widening, pearson


class Contender(NamedTuple):
    """One encoder on the held-out stimuli, and how many parameters it has.

    Of a trained encoder `seed_r` holds the mean r of each seed over each group (n_seeds, n_groups).
    """

    found: HeldOut
    n_parameters: int
    seed_r: NDArray[np.floating[Any]] | None = None

    @classmethod
    def trained(
        cls,
        found: HeldOut,
        groups: Mapping[str, NDArray[Any]],
        X: NDArray[np.floating[Any]],
        semantics: NDArray[np.floating[Any]] | None = None,
    ) -> Contender:
        """Return an encoder that was trained from several seeds; X (and semantics) are of the test stimuli in order."""
        ensemble, rows = cast(SeedEnsemble, found.encoder), list(groups.values())
        by_seed = ensemble.predictions(X, semantics)
        seed_r = np.stack([group_means(pearson(each, found.measured), rows) for each in by_seed])
        return cls(found, ensemble.n_parameters_, seed_r)

    @property
    def seconds(self) -> float:
        """Compute the seconds of one fit; of a trained encoder the mean over seeds."""
        encoder = self.found.encoder
        if isinstance(encoder, SeedEnsemble):
            return encoder.seconds_ / len(encoder.seeds)
        return self.found.seconds


def side_by_side(contenders: Mapping[str, Contender], n_targets: Sequence[int], confidence: float) -> pd.DataFrame:
    """Return a row per encoder and group of targets.

    The draws hold the chance of the test stimuli; intervals are widened for few of them and for the chance of the
    training stimuli, as those of `brainalign.statistics.family_contest`. As they are, those of equally good encoders
    exclude 0 too often (95 %, 200 training and 100 test stimuli, 400 studies: .068; widened .028).

    Parameters
    ----------
    contenders : mapping of Contender by name
        The first one is what the others are compared with. All were evaluated on the same test stimuli with the same
        seed and groups, so that their bootstrap draws are paired.
    n_targets : sequence of int
        Of each group.
    confidence : float
        Of the intervals.

    Returns
    -------
    DataFrame
        encoder, group, r (of the mean prediction over seeds) with low and high; seed_mean, seed_sd and n_seeds of r of
        single seeds (NaN, NaN and 1 of what is not trained); difference (the first encoder's r minus this one's)
        with difference_low and difference_high; n_targets, n_parameters and seconds (of one seed).

    Raises
    ------
    BrainalignError
        If the number of training stimuli is not known.
    """
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    first = next(iter(contenders.values())).found
    if first.n_train is None:
        raise BrainalignError("intervals depend on the number of training stimuli; pass n_train to score_predictions")
    widening = interval_widening(first.n_train, len(first.test_ids), confidence)
    tables = []
    for name, contender in contenders.items():
        found = contender.found
        difference, apart = first.group_r - found.group_r, first.group_draws - found.group_draws
        low, high = found.group_r + widening * (np.quantile(found.group_draws, tails, axis=0) - found.group_r)
        apart_low, apart_high = difference + widening * (np.quantile(apart, tails, axis=0) - difference)
        mean, sd = _over_seeds(contender.seed_r, len(found.groups))
        tables.append(
            pd.DataFrame(
                {
                    "encoder": name,
                    "group": found.groups,
                    "r": found.group_r,
                    "low": low,
                    "high": high,
                    "seed_mean": mean,
                    "seed_sd": sd,
                    "n_seeds": 1 if contender.seed_r is None else len(contender.seed_r),
                    "difference": difference,
                    "difference_low": apart_low,
                    "difference_high": apart_high,
                    "n_targets": list(n_targets),
                    "n_parameters": contender.n_parameters,
                    "seconds": contender.seconds,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _over_seeds(
    seed_r: NDArray[np.floating[Any]] | None, n_groups: int
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Return mean and standard deviation over seeds of each group's mean r; NaN where there is nothing to vary."""
    undefined = np.full(n_groups, np.nan)
    if seed_r is None:
        return undefined, undefined
    return seed_r.mean(axis=0), seed_r.std(axis=0, ddof=1) if len(seed_r) > 1 else undefined
