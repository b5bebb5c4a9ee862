"""Which family of models predicts a region best: each is represented by what it chose inside the training images, and
the families meet on the test images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, listed
from brainalign.statistics.resampling import fdr, permutation_test

TIE = 1e-6  # mean r closer than this are equal: float32 predictions carry no more


@dataclass(frozen=True)
class Candidate:
    """One fit that may represent a family: a layer of a model under a method.

    Attributes
    ----------
    family, model, method, layer : str
    r : array (n_targets,)
        On test stimuli; NaN where the prediction is constant.
    p : array (n_targets,)
        Of that r, one-sided.
    cv_r : array (n_targets,)
        Score inside the training stimuli, as a correlation: what a family chooses by. NaN where there is none.
    draws : array (n_draws, n_regions)
        Mean r of each region under resampling of test stimuli; the same draws for all candidates.
    null : array (n_permutations, n_regions)
        The same under permutation, likewise paired.
    """

    family: str
    model: str
    method: str
    layer: str
    r: Values
    p: Values
    cv_r: Values
    draws: Values
    null: Values


def family_contest(
    candidates: Sequence[Candidate],
    regions: Mapping[str, Rows],
    *,
    n_train: int,
    n_test: int,
    ceiling: Values | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare families in every region.

    - Within a family the candidate with the largest mean `cv_r` over the targets of the region represents it. The test
      stimuli have no part in that, so a family of many layers has no advantage over one of few.
    - ahead = r of a family minus the largest r of the others; of the winner the margin. Its bounds are the smallest of
      those of its leads over each of the others, paired by draw: who is ahead of each at its level is ahead of all.
    - The draws hold the chance of the test stimuli. Another training set would have moved the fits as well, which
      adds about n_test / n_train to their variance (Nadeau and Bengio); intervals are widened by
      √(1 + n_test / n_train), and for few test stimuli as in `bootstrap`. Else equal families are told apart too often
      (in 9 % of the regions with 200 training and 100 test images, instead of 5 %).
    - decided: the interval of the winner's margin lies above 0, and its r is above the null: the largest r over
      families of every permutation reaches it in at most 1 − confidence of them. This holds for one region; over many
      undecidable ones a winner is declared in up to 1 − confidence of them.

    Parameters
    ----------
    candidates : sequence of Candidate
        Of two families or more; all of the same targets and test stimuli.
    regions : mapping of arrays of target numbers
        In the order of the columns of `draws`.
    n_train, n_test : int
        Stimuli.
    ceiling : array (n_targets,), optional
        Share of variance that repeats.
    confidence : float

    Returns
    -------
    DataFrame
        A row per region and family: region, family, model, method, layer, cv_r, r, low, high (r's interval, likewise
        widened), ahead, ahead_low, ahead_high, winner, runner_up and decided (bool), p_null and null_high (of the
        largest over families), reason, ceiling_r, n_targets.

    Raises
    ------
    BrainalignError
        If there are fewer than two families, a family has nothing to choose by, shapes do not fit, or a region is
        empty.

    References
    ----------
    Nadeau C, Bengio Y (2003). Inference for the generalization error. Machine Learning 52:239-281.
    doi:10.1023/A:1024068626366

    Hesterberg TC (2015). What teachers should know about the bootstrap. The American Statistician 69:371-386.
    doi:10.1080/00031305.2015.1089789
    """
    families = _families(candidates)
    _check(candidates, regions)
    widening, tables = interval_widening(n_train, n_test, confidence), []
    for number, (region, rows) in enumerate(regions.items()):
        chosen = [mine[_best(np.array([_mean(one.cv_r, rows) for one in mine]))] for mine in families.values()]
        about = {
            "region": region,
            "family": list(families),
            "model": [one.model for one in chosen],
            "method": [one.method for one in chosen],
            "layer": [one.layer for one in chosen],
            "cv_r": [_mean(one.cv_r, rows) for one in chosen],
        }
        r = np.array([np.nan_to_num(one.r[rows]).mean() for one in chosen])
        draws, null = (np.stack([getattr(one, name)[:, number] for one in chosen], 1) for name in ("draws", "null"))
        limits = np.nan if ceiling is None else float(np.sqrt(np.maximum(ceiling[rows], 0)).mean())
        scores = _compare(r, draws.astype(np.float64), null, widening, confidence)
        tables.append(pd.DataFrame(about | scores | {"ceiling_r": limits, "n_targets": len(rows)}))
    return pd.concat(tables, ignore_index=True)


def _compare(r: Values, draws: Values, null: Values, widening: float, confidence: float) -> dict[str, Any]:
    """Return the scores of families in one region (n_families,), who is ahead, and whether that is decided."""
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = r + widening * (np.quantile(draws, tails, axis=0) - r)
    leads = r[:, None] - r  # of each family over each
    bounds = leads + widening * (np.quantile(draws[:, :, None] - draws[:, None], tails, axis=0) - leads)
    others = ~np.eye(len(r), dtype=bool)
    ahead, ahead_low, ahead_high = np.min([leads, *bounds], axis=2, where=others, initial=np.inf)
    order = np.argsort(-r, kind="stable")
    best, largest = order[0], null.max(axis=1)
    p_null = float(permutation_test(r[best], largest))
    reasons = [] if p_null <= 1 - confidence else [f"r is not above its permuted null (p = {p_null:.3g})"]
    if not (ahead_low[best] > 0 and ahead[best] > TIE):
        reasons.append("the interval of the margin includes 0")
    places = np.arange(len(r))
    return {
        "r": r,
        "low": low,
        "high": high,
        "ahead": ahead,
        "ahead_low": ahead_low,
        "ahead_high": ahead_high,
        "winner": places == best,
        "runner_up": places == order[1],
        "decided": not reasons,
        "p_null": p_null,
        "null_high": float(np.quantile(largest, tails[1])),
        "reason": "; ".join(reasons),
    }


def interval_widening(n_train: float, n_test: int, confidence: float) -> float:
    """Compute the factor that widens an interval of draws of test stimuli: few were drawn, from one training set.

    t quantiles and n − 1 for few test stimuli, and √(1 + n_test / n_train) for fits that other training stimuli would
    have moved.
    """
    tail = (1 + confidence) / 2
    of_few = stdtrit(n_test - 1, tail) / ndtri(tail) * np.sqrt(n_test / max(n_test - 1, 1))
    return float(of_few * np.sqrt(1 + n_test / n_train))


def target_winners(candidates: Sequence[Candidate], targets: Rows) -> pd.DataFrame:
    """Return the family that predicts each target best, every family with what it chose for that target in training.

    Parameters
    ----------
    candidates : sequence of Candidate
    targets : array of target numbers
        That are compared: the reliable ones.

    Returns
    -------
    DataFrame
        A row per target: target (its number), family, model, method, layer, r, margin (over the second best family),
        second, q (false discovery rate over these targets, p being corrected for the number of families).
    """
    families, columns = _families(candidates), np.arange(len(targets))
    chosen = np.stack([_best(np.stack([one.cv_r[targets] for one in mine])) for mine in families.values()])

    def of_chosen(name: str) -> Values:
        """Return a value of each family's choice (n_families, n_targets)."""
        every = [np.stack([getattr(one, name)[targets] for one in mine]) for mine in families.values()]
        return np.stack([values[which, columns] for values, which in zip(every, chosen, strict=True)])

    r, p = np.nan_to_num(of_chosen("r")), np.nan_to_num(of_chosen("p"), nan=1.0)
    order = np.argsort(-r, axis=0, kind="stable")
    best, second = order[0], order[1]
    names = list(families)
    winners = [families[names[f]][chosen[f, k]] for k, f in enumerate(best)]
    return pd.DataFrame(
        {
            "target": targets,
            "family": [one.family for one in winners],
            "model": [one.model for one in winners],
            "method": [one.method for one in winners],
            "layer": [one.layer for one in winners],
            "r": r[best, columns],
            "margin": r[best, columns] - r[second, columns],
            "second": [names[f] for f in second],
            "q": fdr(np.minimum(1.0, len(names) * p[best, columns])),
        }
    )


def _families(candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    families: dict[str, list[Candidate]] = {}
    for one in candidates:
        families.setdefault(one.family, []).append(one)
    if len(families) < 2:
        raise BrainalignError(f"a contest needs two families or more; got {listed(list(families)) or 'none'}")
    for family, mine in families.items():
        blind = [f"{one.model}/{one.method} ({one.layer})" for one in mine if np.isnan(one.cv_r).all()]
        if blind and len(mine) > 1:
            raise BrainalignError(
                f"the family {family!r} has {len(mine)} fits to choose from, but nothing was scored inside the "
                f"training images of {listed(blind)}; give methods two penalties or more, or leave one fit in it"
            )
    return families


def _check(candidates: Sequence[Candidate], regions: Mapping[str, Rows]) -> None:
    first = candidates[0]
    for one in candidates:
        shapes = one.draws.shape, one.null.shape, len(one.r)
        if shapes != (first.draws.shape, first.null.shape, len(first.r)) or one.draws.shape[1] != len(regions):
            raise BrainalignError(
                f"draws, null and targets of {one.model}/{one.method} have shapes {shapes}, those of "
                f"{first.model}/{first.method} {(first.draws.shape, first.null.shape, len(first.r))}, for "
                f"{len(regions)} regions; compare fits of the same targets with the same draws"
            )
    if empty := [region for region, rows in regions.items() if not len(rows)]:
        raise BrainalignError(f"{len(empty)} regions have no target ({listed(empty)}); leave them out")


def _best(scores: Values) -> NDArray[np.intp]:
    """Return the number of the largest score along the first axis; 0 where there is none."""
    return np.asarray(np.nan_to_num(scores, nan=-np.inf).argmax(axis=0))


def _mean(values: Values, rows: Rows) -> float:
    """Return the mean over all rows, those without a value being 0; NaN where none has one."""
    values = values[rows]
    return float("nan") if np.isnan(values).all() else float(np.nan_to_num(values).mean())
