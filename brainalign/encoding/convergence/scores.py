"""How far a network converges with the brain: encoding, spatial and temporal score, with their nulls.

encoding   mean r of the best layers              spatial    best layer of an area against its distance from V1
temporal   layer against the time of its best fit  A random-weights network is a row of the table, always.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import statistics
from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows, check_shape

MIN_AREAS = 4
NULLS = ("p_layers", "p_areas", "p_latencies", "p_stimuli", "p_independent_areas")
COLUMNS = ("value", "n", *NULLS, "area_null", "reason")


@dataclass(frozen=True)
class LayerScores:
    """Scores of one network's layers, from input to output, already computed within folds.

    The folds (or stimuli) behind `choice_*` choose the best layers; those behind `r` and `null` must be others.

    Attributes
    ----------
    choice_r : array (n_layers, n_areas)
        Mean r over the targets of each area (or vertex).
    choice_draws : array (n_draws, n_layers, n_areas)
        The same under resampling of test stimuli, paired over layers (`HeldOut.group_draws`).
    choice_null : array (n_permutations, n_layers, n_areas)
        The same under permutation of test stimuli, paired over layers (`HeldOut.group_null`).
    r, null : arrays (n_layers, n_areas) and (n_permutations, n_layers, n_areas)
        From folds that took no part in the choice.
    sensor_r : array (n_layers, n_sensors, n_times), optional
        r of every sensor and time.
    time_draws, time_null : arrays (n, n_layers, n_times), optional
        Mean over sensors of the same under resampling and permutation; needed with `sensor_r`.
    """

    choice_r: Values
    choice_draws: Values
    choice_null: Values
    r: Values
    null: Values
    sensor_r: Values | None = None
    time_draws: Values | None = None
    time_null: Values | None = None


@dataclass(frozen=True)
class Convergence:
    """Tables of both networks ("trained" and "random", column `network`).

    Attributes
    ----------
    scores : DataFrame
        score ("encoding", "spatial", "spatial, centre of mass", "temporal"), value, n (areas or layers behind it),
        p_layers (exact or random orders of the layers), p_areas (against maps as smooth as the observed one;
        `area_null` says which), p_latencies (against latencies as smooth over layers; NaN of fewer than 4),
        p_independent_areas (areas in any order: assumes independent areas, far too small for smooth maps, never a
        verdict), p_stimuli (permuted test stimuli), reason (why there is no value, or "").
        All p are one-sided; NaN where the null does not apply.
    areas : DataFrame
        area, distance_mm, and the columns of `layer_preference`; centre_of_mass, encoding_r.
    layers : DataFrame
        layer, r (mean over areas), latency_s with its interval, p, decided, reason.
    """

    scores: pd.DataFrame
    areas: pd.DataFrame
    layers: pd.DataFrame


def convergence_scores(
    trained: LayerScores,
    distance_mm: Values,
    *,
    random: LayerScores | None = None,
    times_s: Values | None = None,
    separation_mm: Values | None = None,
    spins: Sequence[NDArray[np.integer[Any]]] | None = None,
    layers: Sequence[str] | None = None,
    random_layers: Sequence[str] | None = None,
    areas: Sequence[str] | None = None,
    n_permutations: int = 5000,
    seed: int = 0,
) -> Convergence:
    """Return encoding, spatial and temporal score of a trained network and of its random-weights twin.

    - Encoding: mean over all areas of r of the layer chosen elsewhere.
    - Spatial: correlation over decided areas of the number of the best layer with distance from V1. Secondary: the
      centre of mass Σ l·R⁴ / ΣR⁴ with R = max(r, 0).
    - Temporal: correlation over decided layers of their number with the time of the largest mean r over sensors. Times
      that differ by one sample only are not resolved, and give no score.

    Areas and layers that `layer_preference` and `score_latency` leave undecided do not enter (those gates: above the
    permuted null, and beyond the next best by more than 2 standard errors; peaks also placed within a third of the
    times). Permuting layers asks whether the order of layers matters; few layers give few orders, so a small p there
    says little about areas. The nulls of areas and latencies ask whether any smooth map would do. A claim needs both.

    Parameters
    ----------
    trained, random : LayerScores
        Of the same areas and times. Without `random` its rows say so.
    distance_mm : array (n_areas,)
        From V1 to the centre of each area.
    times_s : array (n_times,), ascending
        Seconds from stimulus onset.
    separation_mm : array (n_areas, n_areas), optional
        Distances between areas. Without them areas are taken to lie on a line, |distance_a − distance_b| apart: a
        trend along it can hardly be told from a smooth map, so p_areas is larger.
    spins : sequence of arrays (n_areas,), optional
        `spin_orders` of the areas: the area null is then the spin test. Needed for more than 500 areas.
    layers, random_layers, areas : sequence of str, optional
        The random network has the names of the trained one where it has as many layers and none of its own.
    n_permutations : int
        Orders of areas, surrogates, and orders of layers where there are more than 8.
    seed : int

    References
    ----------
    Raugel J et al. (2025). Disentangling the factors of convergence between brains and computer vision models.
    arXiv:2508.18226
    """
    distance = np.asarray(distance_mm, dtype=np.float64)
    check_finite("distance_mm", distance, "leave out areas without a place")
    n_layers, n_areas = _check(trained, len(distance), times_s, "trained")
    if random is not None:
        _check(random, len(distance), times_s, "random")
    names = [f"layer {k}" for k in range(n_layers)] if layers is None else list(layers)
    places = [f"area {k}" for k in range(n_areas)] if areas is None else list(areas)
    check_rows("layers", len(names), "trained.r", n_layers, "give one name per layer")
    check_rows("areas", len(places), "distance_mm", n_areas, "give one name per area")
    if separation_mm is None:
        separation_mm = np.abs(distance[:, None] - distance)
    remedy = "give a distance for every pair of areas"
    check_shape("separation_mm", np.shape(separation_mm), (n_areas, n_areas), "areas need", remedy)
    if spins is None and n_areas > statistics.MAX_AREAS:
        raise BrainalignError(
            f"{n_areas} areas are more than {statistics.MAX_AREAS}; give spins, or average them in parcels"
        )
    rng = np.random.default_rng(seed)
    nulls = AreaNulls(distance, np.asarray(separation_mm), spins, n_permutations, seed)
    rows, area_rows, layer_rows = [], [], []
    for network, scores in (("trained", trained), ("random", random)):
        if scores is None:
            reason = "no random-weights network was given"
            rows += [score_row(network, score, reason=reason) for score in ("encoding", "spatial", "temporal")]
            continue
        own = names if network == "trained" or random_layers is None else list(random_layers)
        labels = own if scores.r.shape[0] == len(own) else [f"layer {k}" for k in range(scores.r.shape[0])]
        orders = layer_orders(len(labels), n_permutations, rng)
        found = _preferences(scores, distance, places, labels)
        latencies = _latencies(scores, times_s, labels)
        rows += [score_row(network, "encoding", **_encoding(scores, orders))]
        spatial = _spatial(scores, found, labels, orders, nulls)
        rows += [score_row(network, score, **part) for score, part in spatial.items()]
        timed: dict[str, object] = {"reason": "no sensor scores were given"}
        if scores.sensor_r is not None and times_s is not None:
            timed = temporal_score(np.nanmean(scores.sensor_r, axis=1), np.asarray(times_s), latencies, orders)
        rows += [score_row(network, "temporal", **timed)]
        area_rows.append(found.assign(network=network))
        layer_rows.append(latencies.assign(network=network))
    return Convergence(
        pd.DataFrame(rows), pd.concat(area_rows, ignore_index=True), pd.concat(layer_rows, ignore_index=True)
    )


def score_row(network: str, score: str, **found: object) -> dict[str, object]:
    """Return a row of the table of scores; what was not found is NaN or empty."""
    empty: dict[str, object] = dict.fromkeys(COLUMNS, np.nan) | {"n": 0, "area_null": "", "reason": ""}
    return {"network": network, "score": score} | empty | found


def _check(scores: LayerScores, n_areas: int, times_s: Values | None, name: str) -> tuple[int, int]:
    shape = scores.r.shape
    fits = len(shape) == 2 and shape[1] == n_areas and scores.choice_r.shape == shape
    if not fits or any(stack.shape[1:] != shape for stack in (scores.choice_draws, scores.choice_null, scores.null)):
        raise BrainalignError(
            f"{name}: {n_areas} distances need r and choice_r (n_layers, {n_areas}), and choice_draws, choice_null and "
            f"null (n, n_layers, {n_areas}); got {shape}, {scores.choice_r.shape}, {scores.choice_draws.shape}, "
            f"{scores.choice_null.shape} and {scores.null.shape}"
        )
    if scores.sensor_r is None:
        return shape
    stacks = (scores.time_draws, scores.time_null)
    n_times = scores.sensor_r.shape[-1]
    expected = (shape[0], n_times)
    if times_s is None or len(times_s) != n_times or any(s is None or s.shape[1:] != expected for s in stacks):
        given = [None if s is None else s.shape for s in stacks]
        raise BrainalignError(
            f"{name}: sensor_r {scores.sensor_r.shape} needs times_s ({n_times},), time_draws and time_null "
            f"(n, {shape[0]}, {n_times}); got {None if times_s is None else len(times_s)}, {given[0]} and {given[1]}"
        )
    return shape


def _preferences(scores: LayerScores, distance: Values, areas: list[str], layers: list[str]) -> pd.DataFrame:
    table = statistics.layer_preference(
        scores.choice_r.T, scores.choice_draws.transpose(0, 2, 1), scores.choice_null.transpose(0, 2, 1), areas, layers
    ).rename(columns={"roi": "area"})
    number = table["best"].map({layer: k for k, layer in enumerate(layers)})
    mass = np.maximum(np.nan_to_num(scores.choice_r), 0) ** 4  # (n_layers, n_areas)
    with np.errstate(invalid="ignore"):
        table["centre_of_mass"] = (np.arange(len(layers)) @ mass) / mass.sum(axis=0)
    table["encoding_r"] = [np.nan if np.isnan(k) else scores.r[int(k), a] for a, k in enumerate(number)]
    table.insert(1, "distance_mm", distance)
    table.insert(3, "number", number)
    return table


def _encoding(scores: LayerScores, orders: Values) -> dict[str, object]:
    """Mean r of the chosen layers; against the layers in another order, and against permuted stimuli."""
    with_choice = np.flatnonzero(np.isfinite(scores.choice_r).any(axis=0))
    if not len(with_choice):
        return {"reason": "no layer has a score in any area"}
    best = np.nanargmax(scores.choice_r[:, with_choice], axis=0)
    value = float(np.nanmean(scores.r[best, with_choice]))
    null = np.nanmean(np.nan_to_num(scores.null[:, best, with_choice]), axis=1)
    found: dict[str, object] = {
        "value": value,
        "n": len(with_choice),
        "p_stimuli": float(statistics.permutation_test(np.asarray(value), null)),
    }
    if identical_layers(scores.choice_r):
        return found
    others = np.nanmean(scores.r[orders.astype(int)[:, best], with_choice], axis=1)
    return found | {"p_layers": float((others >= value - TIE).mean())}


def _spatial(
    scores: LayerScores, found: pd.DataFrame, layers: list[str], orders: Values, nulls: "AreaNulls"
) -> dict[str, dict[str, object]]:
    decided = np.flatnonzero(found["decided"])
    mass = np.maximum(np.nan_to_num(scores.choice_r.T), 0) ** 4
    with np.errstate(invalid="ignore"):
        weights = {
            "spatial": np.eye(len(layers))[found["number"].fillna(0).astype(int)],  # (n_areas, n_layers)
            "spatial, centre of mass": mass / mass.sum(axis=1, keepdims=True),
        }
    if identical_layers(scores.choice_r):
        reason = "the layers have the same scores in every area: they cannot be told apart"
    elif len(decided) < MIN_AREAS:
        reason = f"{len(decided)} of {len(found)} areas have a decided best layer; a spatial score needs {MIN_AREAS}"
    elif np.ptp(nulls.distance[decided]) == 0:
        reason = "all decided areas lie at the same distance"
    else:
        reason = ""
    if reason:
        return {name: {"n": len(decided), "reason": reason} for name in weights}
    rows: dict[str, dict[str, object]] = {}
    for name, share in weights.items():
        numbers = share @ np.arange(len(layers), dtype=np.float64)
        some = decided[np.isfinite(numbers[decided])]
        if len(some) < MIN_AREAS:
            rows[name] = {"n": len(some), "reason": f"fewer than {MIN_AREAS} decided areas have a score above 0"}
        elif np.ptp(numbers[some]) <= TIE:
            same = found["best"].to_numpy()[decided[0]]
            rows[name] = {"n": len(decided), "reason": f"the best layer is the same ({same}) in every decided area"}
        else:
            rows[name] = against_layers(share[some], nulls.distance[some], orders) | nulls.test(numbers, some)
    return rows


def _latencies(scores: LayerScores, times_s: Values | None, layers: list[str]) -> pd.DataFrame:
    if scores.sensor_r is None or times_s is None or scores.time_draws is None or scores.time_null is None:
        found = pd.DataFrame({"layer": layers, "number": range(len(layers)), "latency_s": np.nan, "decided": False})
        found["reason"] = "no sensor scores were given"
    else:
        course = np.nanmean(scores.sensor_r, axis=1)
        found = layer_latencies(course, scores.time_draws, scores.time_null, np.asarray(times_s), layers)
    found.insert(2, "r", np.nanmean(scores.r, axis=1))
    return found


MIN_LAYERS = 3


def layer_latencies(
    course: Values, draws: Values, null: Values, times_s: Values, layers: Sequence[str]
) -> pd.DataFrame:
    """Return the time of the largest score of every layer, with its interval, and whether it is decided.

    Of courses (n_layers, n_times; NaN: the layer predicts nothing) and their draws and null (n, n_layers, n_times).
    """
    rows = []
    for k, layer in enumerate(layers):
        row: dict[str, object] = {"layer": layer, "number": k, "latency_s": np.nan, "decided": False}
        if not np.isfinite(course[k]).all():
            row |= {"reason": "no score: predictions or responses are constant"}
        else:
            found = statistics.score_latency(course[k], draws[:, k], null[:, k], times_s, window=(0.0, np.inf))
            row |= {"latency_s": found.peak, "latency_low_s": found.peak_low, "latency_high_s": found.peak_high}
            row |= {"peak_r": found.peak_score, "p": found.p, "decided": found.decided, "reason": found.reason}
        rows.append(row)
    return pd.DataFrame(rows)


def temporal_score(course: Values, times_s: Values, latencies: pd.DataFrame, orders: Values) -> dict[str, object]:
    """Correlate the number of each decided layer with its latency; return value, n and p, or n and a reason.

    Times that differ by one sample only are not resolved, and give no score. p_layers takes layers for exchangeable,
    but neighbours are alike: of 6 layers that drift at random it is below .05 in .11 of worlds, of 12 in .21.
    """
    decided = np.flatnonzero(latencies["decided"])
    times = latencies["latency_s"].to_numpy()[decided]
    if identical_layers(course):
        return {"n": len(decided), "reason": "the layers have the same scores at every time: they cannot be told apart"}
    if len(decided) < MIN_LAYERS:
        return {
            "n": len(decided),
            "reason": f"{len(decided)} of {len(latencies)} layers have a decided latency; a temporal score needs 3",
        }
    if np.ptp(times) < 1.5 * np.diff(times_s).max():
        return {"n": len(decided), "reason": "the latency is the same, to one sample, for every decided layer"}
    found = against_layers(np.eye(len(latencies))[decided], times, orders)
    if len(decided) < MIN_AREAS:
        return found
    apart = np.abs(decided[:, None] - decided).astype(np.float64)
    smooth = statistics.smooth_map_test(times, decided.astype(np.float64), apart, alternative="greater")
    return found | {"p_latencies": float(smooth.p[0])}


EXACT_LAYERS = 8  # up to here every order of layers is tried (40,320)
TIE = 1e-6  # of float32 scores


def layer_orders(n_layers: int, n_permutations: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return orders of the layers (n_orders, n_layers), the given one first: all of them where they are few."""
    if n_layers <= EXACT_LAYERS:
        return np.array(list(itertools.permutations(range(n_layers))), dtype=np.float64)
    shuffled = rng.permuted(np.tile(np.arange(n_layers), (n_permutations, 1)), axis=1)
    return np.vstack([np.arange(n_layers), shuffled]).astype(np.float64)


def identical_layers(scores: Values) -> bool:
    """Return whether all layers (rows) have the same scores, as copies of one layer have."""
    known = scores[:, np.isfinite(scores).all(axis=0)]
    return len(scores) > 1 and known.size > 0 and float(np.ptp(known, axis=0).max()) <= TIE


def against_layers(weights: Values, target: Values, orders: Values) -> dict[str, object]:
    """Correlate weights (n, n_layers) · layer number with a target, and compare with the numbers in every order."""
    r = _correlation(orders @ weights.T, target)
    # An order that gives every area the same number has no correlation: no reason to doubt the observed one.
    return {"value": float(r[0]), "n": len(target), "p_layers": float((np.nan_to_num(r) >= r[0] - TIE).mean())}


def _correlation(rows: Values, target: Values) -> NDArray[np.float64]:
    """Return r of every row with the target; NaN for a constant row."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1)
    direction = target - target.mean()
    with np.errstate(invalid="ignore"):
        return np.asarray(centred @ direction / np.where(norm > TIE, norm, np.nan) / np.linalg.norm(direction))


@dataclass(frozen=True)
class AreaNulls:
    """Where the areas lie, and how unrelated maps of them are made."""

    distance: Values
    separation: Values
    spins: Sequence[NDArray[np.integer[Any]]] | None
    n_permutations: int
    seed: int

    def test(self, numbers: Values, decided: NDArray[np.intp]) -> dict[str, object]:
        """Compare a map over areas with unrelated ones of the same smoothness, and with areas in any order."""
        rng = np.random.default_rng(self.seed)
        direction = self.distance[decided]
        shuffled = rng.permuted(np.tile(numbers[decided], (self.n_permutations, 1)), axis=1)
        observed = _correlation(numbers[None, decided], direction)[0]
        independent = statistics.permutation_test(np.asarray(observed - TIE), _correlation(shuffled, direction))
        if self.spins is None:
            part = self.separation[np.ix_(decided, decided)]
            options: Any = {"n_surrogates": self.n_permutations, "seed": self.seed, "alternative": "greater"}
            p = statistics.smooth_map_test(numbers[decided], direction, part, **options).p[0]
        else:
            shown = np.full(len(numbers), np.nan)
            shown[decided] = numbers[decided]
            p = statistics.spin_test(shown, {"distance": self.distance}, self.spins, "greater")["p"].iloc[0]
        name = "smooth random maps" if self.spins is None else "spin"
        return {"p_areas": float(p), "p_independent_areas": float(independent), "area_null": name}
