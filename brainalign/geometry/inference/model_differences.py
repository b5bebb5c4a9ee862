"""Differences between models, with error rates over the whole family of differences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from brainalign.checks import check_rows
from brainalign.geometry.inference.bootstrap import DualBootstrap, contrast_draws
from brainalign.statistics import largest_difference_p


def compare_models(
    result: DualBootstrap, names: Sequence[str], members: Sequence[int] | None = None, every_pair: bool = False
) -> pd.DataFrame:
    """Compare the best of a family of models with each other one.

    The best was picked by looking, so `p_max` allows for all differences between members of the family: it is the
    share of draws in which the largest of all studentised differences exceeds the one at hand. A model is the best
    only where `p_max` is small against every other.

    Parameters
    ----------
    result : DualBootstrap
    names : sequence of str (n_models)
    members : sequence of int, optional
        Rows of the models that make the family, for example the layers of one network; all by default. Undefined
        scores are left out.
    every_pair : bool
        Return all pairs, not only those of the best.

    Returns
    -------
    DataFrame
        model, other, difference, se, t, p (two-sided, for this difference alone), p_max; most similar first.

    References
    ----------
    Westfall PH, Young SS (1993). Resampling-based multiple testing. Wiley.
    """
    check_rows("names", len(names), "scores", len(result.scores), "give one name per model")
    chosen = range(len(names)) if members is None else members
    ranked = sorted((k for k in chosen if np.isfinite(result.scores[k])), key=lambda k: -result.scores[k])
    pairs = list(combinations(ranked, 2))  # the better of two first
    contrasts = np.zeros((len(pairs), len(names) + 2))
    for row, (better, worse) in zip(contrasts, pairs, strict=True):
        row[better], row[worse] = 1, -1
    t, p = result.test(contrasts)
    draws = contrast_draws(result.draws[result.over], contrasts)
    table = pd.DataFrame(
        {
            "model": [names[better] for better, _ in pairs],
            "other": [names[worse] for _, worse in pairs],
            "difference": contrasts @ np.nan_to_num(result.estimates),
            "se": result.se(contrasts),
            "t": t,
            "p": p,
            "p_max": largest_difference_p(t, result.dof, draws[np.isfinite(draws).all(axis=1)]),
        }
    )
    if not every_pair:
        table = table[np.array([better == ranked[0] for better, _ in pairs], dtype=bool)]
    return table.sort_values("difference", kind="stable").reset_index(drop=True)
