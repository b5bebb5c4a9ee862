"""How well hidden regions are filled in: every predictor on the same masks, intervals over people, ties called ties.

hidden_masks     random halves of the regions, and every network of an atlas as a whole
filled_sums      squared errors of one predictor
fill_weights     what predictors weigh in a sum of them
fill_table       R² of all predictors, each beside the instantaneous Gaussian
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import stdtrit

from brainalign.arrays import Values
from brainalign.checks import check_choice, generator

HALF, WHOLE = "half of the regions", "whole networks"

Fill = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.float32]]
Sums = dict[str, NDArray[np.float64]]


def hidden_masks(
    n_runs: int, networks: Sequence[str], n_halves: int = 3, seed: int = 0
) -> dict[str, list[NDArray[np.bool_]]]:
    """Draw the masks of hidden regions, by name: `n_halves` random halves per run, and every network in turn.

    Parameters
    ----------
    n_runs : int
    networks : sequence of str (n_regions)
        Of one name only: no network is hidden as a whole.
    n_halves, seed : int
    """
    of, rng = np.asarray(networks), np.random.default_rng([seed, 0x41DE])
    ranks = [rng.random((n_runs, len(of))).argsort(axis=1).argsort(axis=1) for _ in range(n_halves)]
    masks: dict[str, list[NDArray[np.bool_]]] = {HALF: [rank < len(of) // 2 for rank in ranks]}
    names = list(dict.fromkeys(of.tolist()))
    if len(names) > 1:
        masks |= {name: [np.broadcast_to(of == name, (n_runs, len(of)))] for name in names}
    return masks


def filled_sums(fill: Fill, series: NDArray[np.float32], masks: Mapping[str, Sequence[NDArray[np.bool_]]]) -> Sums:
    """Return, by name of what is hidden, squared errors and squares (2, n_runs, n_regions) summed over frames.

    Parameters
    ----------
    fill : callable
        Given series and mask, returns the series with hidden regions filled in.
    series : array (n_runs, n_frames, n_regions)
    masks : mapping
        From `hidden_masks`.
    """
    squares, found = (series.astype(np.float64) ** 2).sum(axis=1), {}
    for name, each in masks.items():
        total = np.zeros((2, *squares.shape))
        for mask in each:
            errors = ((fill(series, mask).astype(np.float64) - series) ** 2).sum(axis=1)
            total += np.stack([errors, squares]) * mask
        found[name] = total
    return found


def fill_weights(
    fills: Sequence[Fill], series: NDArray[np.float32], masks: Mapping[str, Sequence[NDArray[np.bool_]]]
) -> dict[str, Values]:
    """Choose, of HALF and WHOLE, weights (n_fills; 0 or more) of a sum of predictors that have not seen the series."""
    roots: dict[str, Values] = {}  # root'root: products of predictions and series over all places so far
    for name, each in masks.items():
        for mask in each:
            hidden, kind = np.broadcast_to(mask[:, None], series.shape), HALF if name == HALF else WHOLE
            columns = [of[hidden].astype(np.float64) for of in (*(fill(series, mask) for fill in fills), series)]
            rows = np.vstack([*roots.get(kind, np.zeros((0, len(columns)))), np.stack(columns, axis=1)])
            roots[kind] = np.linalg.qr(rows).R
    return {kind: nnls(root[:, :-1], root[:, -1])[0] for kind, root in roots.items()}


def fill_table(
    sums: Mapping[str, Sums],
    people: Sequence[str],
    *,
    reference: str,
    networks: Sequence[str] = (),
    n_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return R² = 1 − Σ errors / Σ squares of every predictor, with intervals over people.

    Parameters
    ----------
    sums : mapping
        Name of the predictor to its `filled_sums`.
    people : sequence of str (n_runs)
    reference : str
        The predictor that all are compared with, on the same masks and people.
    networks : sequence of str (n_regions)
        For R² within each network where half of all regions are hidden.
    n_draws : int
        Bootstrap draws of people.
    confidence, seed : float, int

    Returns
    -------
    DataFrame
        name, hidden (`HALF` or `WHOLE`), network ("" for all), r2, low, high, difference,
        difference_low, difference_high, verdict.
    """
    check_choice("reference", reference, sums)
    names, of = np.unique(np.asarray(people), return_inverse=True)
    rng, n = np.random.default_rng([seed, 0xB007]), len(names)
    weights = np.stack([np.bincount(d, minlength=n) for d in rng.integers(n, size=(n_draws, n))])
    # Student's t: among 8 people percentiles of the draws called 12 % of ties better or worse. One person has none.
    scale = stdtrit(n - 1, (1 + confidence) / 2) * np.sqrt(n / (n - 1)) if n > 1 else np.nan
    reach = scale * np.array([-1, 1])
    by = {name: _views(some, np.asarray(networks)) for name, some in sums.items()}
    rows = []
    for view in by[reference]:
        drawn, own = {}, {}
        for name in sums:
            per_run = by[name][view]  # (2, n_runs)
            per_person = np.stack([np.bincount(of, weights=part, minlength=n) for part in per_run])
            own[name] = 1 - per_person[0].sum() / per_person[1].sum()
            drawn[name] = 1 - (weights @ per_person[0]) / (weights @ per_person[1])
        for name in sums:
            low, high = own[name] + reach * drawn[name].std()
            row = {"name": name, "hidden": view[0], "network": view[1], "r2": own[name], "low": low, "high": high}
            rows.append(row | beside_reference(own, drawn, name, reference, reach))
    return pd.DataFrame(rows).assign(n_people=n)


def beside_reference(
    own: Mapping[str, float], drawn: Mapping[str, Values], name: str, reference: str, reach: Values
) -> dict[str, Any]:
    """Compare a score with that of the reference: the difference, its interval by the same draws, and the verdict."""
    difference = own[name] - own[reference]
    low, high = difference + reach * (drawn[name] - drawn[reference]).std()
    verdict = "reference" if name == reference else "better" if low > 0 else "worse" if high < 0 else "tie"
    return {"difference": difference, "difference_low": low, "difference_high": high, "verdict": verdict}


def _views(sums: Sums, networks: NDArray[Any]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return errors and squares per run (2, n_runs) of everything that gets an R² of its own."""
    views = {(HALF, ""): sums[HALF].sum(axis=2)}
    whole = [name for name in sums if name != HALF]
    if whole:
        views[WHOLE, ""] = np.sum([sums[name].sum(axis=2) for name in whole], axis=0)
    for network in dict.fromkeys(networks.tolist()) if whole else ():
        views[HALF, network] = sums[HALF][:, :, networks == network].sum(axis=2)
        views[WHOLE, network] = sums[network].sum(axis=2)
    return views


def shifted_regions(series: NDArray[np.floating[Any]], rng: np.random.Generator) -> NDArray[np.floating[Any]]:
    """Return runs with every region shifted circularly by its own number of frames: no region follows from others.

    Each region keeps its own course and spectrum.

    Parameters
    ----------
    series : array (n_runs, n_frames, n_regions)
    rng : Generator
    """
    n_runs, n_frames, n_regions = series.shape
    least = min(10, n_frames // 4)  # frames between any shift and no shift
    shifts = generator(rng).integers(least, n_frames - least + 1, size=(n_runs, 1, n_regions))
    return np.take_along_axis(series, (np.arange(n_frames)[None, :, None] + shifts) % n_frames, axis=1)


def permuted_frames(series: NDArray[np.floating[Any]], rng: np.random.Generator) -> NDArray[np.floating[Any]]:
    """Return runs with frames in another order, the same in all regions: what regions share at a moment remains.

    Parameters
    ----------
    series : array (n_runs, n_frames, n_regions)
    rng : Generator
    """
    order = generator(rng).permuted(np.tile(np.arange(series.shape[1]), (len(series), 1)), axis=1)
    return np.take_along_axis(series, order[:, :, None], axis=1)
