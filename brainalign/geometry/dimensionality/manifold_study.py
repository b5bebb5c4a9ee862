"""Categories of stimuli as manifolds of a layer: capacity and collapse at equal numbers, beside shuffled categories."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows, listed
from brainalign.geometry.dimensionality.manifolds import NeuralCollapse, manifold_capacity, neural_collapse
from brainalign.geometry.network_similarity import ROUNDING, centred, representation, rotated_to_fewer
from brainalign.statistics import Regressor

LEAST_STIMULI = 8  # of a category: halves of four
CAPACITY = ("capacity", "radius", "dimension")
COLLAPSE = ("nc1", "cdnv", "told_apart", "equinorm", "equiangle", "simplex", "uniformity", "nc3", "agreement")
MANIFOLD_MEASURES = (*CAPACITY, *COLLAPSE, "accuracy")


@dataclass(frozen=True)
class BalancedCategories:
    """Equally many stimuli of each category.

    Attributes
    ----------
    rows : array (n_categories * n_each,) of int
        Which stimuli, in random order.
    labels : array (n_categories * n_each,)
    n_each : int
        0 where no two categories have enough stimuli.
    n_categories : int
    left_out : list of str
        Categories of too few stimuli.
    note : str
        Why there is nothing to measure, or "".
    """

    rows: NDArray[np.intp]
    labels: NDArray[np.str_]
    n_each: int
    n_categories: int
    left_out: list[str]
    note: str


def balanced_categories(labels: NDArray[Any], most: int = 20, seed: int = 0) -> BalancedCategories:
    """Draw equally many stimuli of each category, as many as the smallest has: capacity and collapse depend on both.

    Parameters
    ----------
    labels : array (n_stimuli,)
        Categories of fewer than `LEAST_STIMULI` stimuli are left out, and named.
    most : int
        Of a category; an even number is drawn.
    seed : int

    Raises
    ------
    BrainalignError
        If `most` is below `LEAST_STIMULI`.
    """
    if most < LEAST_STIMULI:
        raise BrainalignError(f"categories need {LEAST_STIMULI} or more stimuli each; got most = {most}")
    names, codes = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    counts = np.bincount(codes)
    kept = np.flatnonzero(counts >= LEAST_STIMULI)
    left_out = [str(names[k]) for k in np.flatnonzero(counts < LEAST_STIMULI)]
    if len(kept) < 2:
        note = f"{len(kept)} of {len(names)} categories have {LEAST_STIMULI} or more stimuli; two are needed"
        return BalancedCategories(np.array([], dtype=np.intp), np.array([], dtype=str), 0, len(kept), left_out, note)
    n_each = int(min(most, counts[kept].min()) // 2 * 2)
    rng = np.random.default_rng([seed, 2])
    rows = rng.permutation(np.concatenate([rng.permutation(np.flatnonzero(codes == k))[:n_each] for k in kept]))
    return BalancedCategories(rows, names[codes[rows]], n_each, len(kept), left_out, "")


def category_manifolds(
    X: Values, labels: NDArray[Any], regressor: Regressor, draws: int = 10, n_probes: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Return capacity and collapse of the categories of a representation, beside those of shuffled categories.

    Capacity is of all stimuli (`manifold_capacity`); collapse is measured on one half of each category around the means
    of the other, both ways (`neural_collapse`), with a linear read-out trained on the half of the means. The null does
    all of it again with labels in another order, so that it has the same numbers of categories and stimuli.

    Parameters
    ----------
    X : array (n_stimuli, n_units)
    labels : array (n_stimuli,)
        Equally many stimuli of each category, four or more; see `balanced_categories`.
    regressor : Regressor
        A linear one, of indicators of the categories: the read-out of NC3 and NC4.
    draws : int
        Of the null, one or more.
    n_probes : int
        Of the capacity.
    seed : int

    Returns
    -------
    DataFrame
        A row per measure in `MANIFOLD_MEASURES`: measure, value, null (median of draws), null_low, null_high (their
        range), n_draws, note (why there is no value). Means over manifolds of radius and dimension; told_apart is the
        share of pairs of categories whose means lie further apart than noise puts them, and cdnv, a mean over those,
        is infinite where there are none.

    Raises
    ------
    BrainalignError
        If labels do not fit, or categories are too small or not of the same size.
    """
    X, labels = representation("X", X), np.asarray(labels)
    check_rows("labels", len(labels), "X", len(X), "give one label per stimulus")
    names, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(codes)
    if len(names) < 2 or counts.min() < 4 or counts.min() != counts.max():
        raise BrainalignError(
            f"{len(names)} categories of {counts.min()} to {counts.max()} stimuli ({listed(names.tolist())}); give two "
            "or more of the same number, four at least (balanced_categories draws them)"
        )
    notes = {}
    if len(names) == 2:
        notes = dict.fromkeys(("equinorm", "equiangle", "simplex", "uniformity"), "two means always lie opposite")
    elif len(names) > X.shape[1] + 1:
        notes = {"simplex": "more categories than units + 1: no simplex"}
    middle = centred(X)
    if np.linalg.norm(middle) <= ROUNDING * np.linalg.norm(X):
        notes = dict.fromkeys(MANIFOLD_MEASURES, "the same for all stimuli")
        return _table({}, [], notes)
    narrow, rng = rotated_to_fewer(middle), np.random.default_rng([seed, 3])
    value = _measured(narrow, codes, regressor, n_probes, seed)
    null = [_measured(narrow, rng.permutation(codes), regressor, n_probes, seed) for _ in range(draws)]
    return _table(value, null, notes)


def _table(value: dict[str, float], null: list[dict[str, float]], notes: dict[str, str]) -> pd.DataFrame:
    rows = []
    for measure in MANIFOLD_MEASURES:
        note, row = notes.get(measure, ""), dict.fromkeys(("value", "null", "null_low", "null_high"), np.nan)
        if not note:
            found = np.array([draw[measure] for draw in null])
            found = found[~np.isnan(found)]  # of shuffled categories one may lie at the mean of all
            row |= {"value": value[measure]}
            row |= {"null": np.median(found), "null_low": found.min(), "null_high": found.max()} if len(found) else {}
            undefined = measure in CAPACITY and np.isnan(value[measure])
            note = "a category lies at the mean of all" if undefined else ""
        rows.append({"measure": measure} | row | {"n_draws": len(null), "note": note})
    return pd.DataFrame(rows)


def _measured(X: Values, codes: NDArray[np.intp], regressor: Regressor, n_probes: int, seed: int) -> dict[str, float]:
    """Compute every measure; halves of each category by place, so that inner folds hold all categories."""
    found = dict.fromkeys(CAPACITY, np.nan)
    with suppress(BrainalignError):  # a category lies at the mean of all, as a shuffled one may
        capacity = manifold_capacity(X, codes, n_probes, seed)
        means = capacity.mean_capacity, float(capacity.radius.mean()), float(capacity.dimension.mean())
        found = dict(zip(CAPACITY, means, strict=True))
    place = pd.Series(codes).groupby(codes).cumcount().to_numpy()
    order = np.lexsort((codes, place))
    one, other = (order[place[order] % 2 == k] for k in (0, 1))
    halves = [_collapse(X, codes, one, other, regressor), _collapse(X, codes, other, one, regressor)]
    found |= {name: float(np.mean([_value(half, name) for half in halves])) for name in (*COLLAPSE, "accuracy")}
    return found


def _collapse(
    X: Values, codes: NDArray[np.intp], fit: NDArray[np.intp], other: NDArray[np.intp], regressor: Regressor
) -> NeuralCollapse:
    """Return the collapse of the other stimuli around means, and under a read-out, of those in `fit`."""
    indicators = np.eye(codes.max() + 1)[codes[fit]]
    mean_x, mean = X[fit].mean(axis=0), indicators.mean(axis=0)
    regressor.fit(X[fit] - mean_x, indicators - mean)
    offset = np.asarray(regressor.predict(np.zeros((1, X.shape[1]))))
    weights = (np.asarray(regressor.predict(np.eye(X.shape[1]))) - offset).T
    biases = mean + offset[0] - weights @ mean_x
    return neural_collapse(X[fit], codes[fit], held_out=(X[other], codes[other]), classifier=(weights, biases))


def _value(found: NeuralCollapse, name: str) -> float:
    if name == "told_apart":
        return 1 - found.n_undefined / (found.n_classes * (found.n_classes - 1) / 2)
    return float("inf") if name == "cdnv" and np.isnan(found.cdnv) else float(getattr(found, name))
