"""Every layer of one network beside every layer of another: how alike they are, and what nothing shared would give."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_rows
from brainalign.geometry.network_similarity.matching import MATCHINGS, match_units, rotated_copy, shuffled_units
from brainalign.geometry.network_similarity.measures import SIMILARITIES, linear_predictivity, similarity
from brainalign.geometry.network_similarity.unit_pairing import representation, rotated_to_fewer
from brainalign.statistics import Regressor

Layer = tuple[str, str]

PREDICTED = {"predicts": 0, "predicted": 1}  # held-out R² of the second layer from the first, and the other way
PAIR_MEASURES = (*(name for name in SIMILARITIES if name not in MATCHINGS), *MATCHINGS, *PREDICTED)


def compare_networks(
    layers: Mapping[Layer, Values],
    measures: Sequence[str] = ("cka", "procrustes", "one_to_one", "soft"),
    *,
    max_units: int = 200,
    draws: int = 10,
    regressor: Regressor | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute the similarity of the layers of different networks, with nulls.

    Matches of units are made on one half of the stimuli and scored on the other, both ways, beside two nulls: units
    shuffled each on its own (nothing shared), and a turned copy of the second layer (its space, without its units).
    Other measures are of all stimuli, beside the second layer with its stimuli in another order, which keeps its
    geometry.

    Parameters
    ----------
    layers : mapping of array (n_stimuli, n_units) by (model, layer)
        Rows are the same stimuli everywhere.
    measures : sequence of str
        Among `PAIR_MEASURES`.
    max_units : int
        Wider layers are matched on so many units drawn at random; other measures take all units.
    draws : int
        Of each null.
    regressor : Regressor, optional
        For "predicts" and "predicted".
    seed : int

    Returns
    -------
    DataFrame
        A row per pair of layers and measure: model_a, layer_a, model_b, layer_b, measure, value, null (mean), null_high
        (largest), rotated (mean; NaN where rotation changes nothing), n_stimuli, n_fit (stimuli a match was made on; 0
        for none), n_units_a, n_units_b, note (why there is no value).
    """
    for measure in measures:
        check_choice("measure", measure, PAIR_MEASURES)
    if set(measures) & set(PREDICTED) and regressor is None:
        raise BrainalignError("predictions of one layer from another need a regressor, such as Ridge")
    values = {name: representation(" ".join(name), X) for name, X in layers.items()}
    n = len(next(iter(values.values()))) if values else 0
    for name, X in values.items():
        check_rows(" ".join(name), len(X), "the first layer", n, "give the same stimuli for all layers")
    rng = np.random.default_rng([seed, 0])
    halves = np.array_split(rng.permutation(n), 2)
    units: dict[Layer, Values] = {
        name: X if X.shape[1] <= max_units else X[:, np.sort(rng.permutation(X.shape[1])[:max_units])]
        for name, X in values.items()
    }
    axes: dict[Layer, Values] = {name: rotated_to_fewer(X) for name, X in values.items()}
    rows = []
    for a, b in itertools.combinations(values, 2):
        if a[0] == b[0]:
            continue
        about = dict(zip(("model_a", "layer_a", "model_b", "layer_b"), (*a, *b), strict=True))
        for measure in measures:
            matched = measure in MATCHINGS
            used = units if matched else values
            widths = used[a].shape[1], used[b].shape[1]
            try:
                if matched:
                    found = _matched(units[a], units[b], measure, halves, draws, np.random.default_rng([seed, 1]))
                else:
                    # Our ridge takes layers rotated to fewer axes; other regressors may look at single units.
                    rotated = measure not in PREDICTED or hasattr(regressor, "per_target_alpha")
                    of = axes if rotated else values
                    found = _compared(of[a], of[b], measure, regressor, draws, seed, max(widths))
            except BrainalignError as error:
                found = {"value": np.nan, "null": np.nan, "null_high": np.nan, "rotated": np.nan, "note": str(error)}
            sizes = {"n_stimuli": n, "n_fit": len(halves[0]) if matched else 0}
            sizes |= {"n_units_a": widths[0], "n_units_b": widths[1]}
            rows.append(about | {"measure": measure} | found | sizes)
    return pd.DataFrame(rows)


def _matched(
    X: Values, Y: Values, method: str, halves: Sequence[NDArray[Any]], draws: int, rng: np.random.Generator
) -> dict[str, float | str]:
    def score(second: Values) -> float:
        both = (halves, halves[::-1])
        found = [match_units(X[fit], second[fit], method, (X[other], second[other])).score for fit, other in both]
        return float(np.mean(found))

    null = [score(shuffled_units(Y, rng)) for _ in range(draws)]
    turned = [score(*rotated_copy(Y, rng)) for _ in range(draws)]
    return _summary(score(Y), null, float(np.mean(turned)) if turned else float("nan"))


def _compared(
    X: Values, Y: Values, measure: str, regressor: Regressor | None, draws: int, seed: int, n_units: int
) -> dict[str, float | str]:
    if measure in ("cca", "pwcca") and n_units >= len(X) - 1:
        raise BrainalignError(f"{measure} of {n_units} units on {len(X)} stimuli is 1 whatever they represent")

    def score(second: Values) -> float:
        if measure in PREDICTED and regressor is not None:
            return linear_predictivity(X, second, regressor, seed=seed)[PREDICTED[measure]]
        return similarity(X, second, measure)

    rng = np.random.default_rng([seed, 1])
    return _summary(score(Y), [score(rng.permutation(Y)) for _ in range(draws)], float("nan"))


def _summary(value: float, null: list[float], rotated: float) -> dict[str, float | str]:
    return {
        "value": value,
        "null": float(np.mean(null)) if null else float("nan"),
        "null_high": max(null, default=float("nan")),
        "rotated": rotated,
        "note": "" if np.isfinite(value) else "undefined: a layer is constant, or holds nothing but noise",
    }
