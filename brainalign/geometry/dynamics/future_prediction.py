"""Models that follow what they see, and what they no longer see, beside neurons that may do the same.

Features of frames that were shown, simulated ones of hidden frames; neurons and geometry predicted from them over time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_shape
from brainalign.condensed import exchanged_rdms
from brainalign.geometry.inference import unit_forms
from brainalign.geometry.rdms import noise_covariance
from brainalign.geometry.time import rdm_movie
from brainalign.statistics import MIN_UNITS, Encoder, cross_validated_interval, noise_ceiling, pearson, permutation_test
from brainalign.study import check_dynamics, check_neural

Simulate = Callable[[Values, int], Values]  # context (n, n_context, n_units), n_steps -> (n, n_steps, n_units)

N_WAVES = 6  # of time alone
FIT_ON = ("epoch", "visible")
MOST_VALUES = 2e7  # of exchanged responses at once
CONSTANT = 1e-9  # spread of predictions, in spreads of the response, that is none


@dataclass(frozen=True)
class DynamicsScores:
    """How well models predict neurons, in frames that were shown and in frames that were hidden.

    Attributes
    ----------
    neurons : DataFrame
        model, epoch (occluded, visible), neuron, reliability (of the mean over repeats, a share of variance), r (mean
        over folds), r_normalized = r / sqrt(reliability); NaN for neurons below the least reliability.
    models : DataFrame
        model, epoch, r_normalized (mean over neurons), low, high (over folds; NaN of fewer than six), r, null_mean,
        null_95, p (conditions exchanged), n_neurons, n_dropped (unreliable), n_conditions, n_frames.
    folds : DataFrame
        model, epoch, fold, r_normalized: paired between models.
    """

    neurons: pd.DataFrame
    models: pd.DataFrame
    folds: pd.DataFrame


@dataclass(frozen=True)
class _Epoch:
    """The frames of one epoch: where they are, whose neurons count, and on which frames maps are fitted."""

    name: str
    scored: NDArray[np.bool_]  # (n_conditions, n_times)
    fitted: NDArray[np.bool_]
    reliability: NDArray[np.float64]
    kept: NDArray[np.bool_]


def score_dynamics(
    models: Mapping[str, Values],
    neural: Values,
    visible: NDArray[np.bool_],
    regressor: Encoder,
    *,
    folds: int = 6,
    min_reliability: float = 0.1,
    fit_on: Literal["epoch", "visible"] = "epoch",
    n_permutations: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> DynamicsScores:
    """Predict neurons over time from features over time, whole conditions left out.

    Features are standardised on the training frames of every fold, the regressor is fitted anew, and r is taken over
    the test frames of an epoch within the fold. The null gives every condition the neurons of another one at the same
    frames and fits anew: what time alone predicts is in it too. Exchanging predictions without a new fit would not do,
    because folds train on each other's chance relations. Neither frames that some condition lacks enter p, nor the
    mean answer of neurons to being hidden, which would be exchanged with its condition.

    Parameters
    ----------
    models : mapping of array (n_conditions, n_times, n_units)
        Features in which hidden frames are simulated (`roll_out`), or whatever is compared.
    neural : array (n_conditions, n_times, n_neurons, n_repeats)
        Frames after the end of a shorter trial are NaN in all neurons and repeats, and in no other place.
    visible : array (n_conditions, n_times) of bool
    regressor : Encoder
    folds : int
        Of conditions; six or more give intervals.
    min_reliability : float
        Neurons below it are dropped, for each epoch by itself, and counted.
    fit_on : {"epoch", "visible"}
        Maps of each epoch by itself, or one map learned while the model could see, which must hold when it cannot.
    n_permutations : int
    confidence : float
        Of intervals.
    seed : int
        Of folds and permutations.

    Raises
    ------
    BrainalignError
        If shapes do not fit, NaN is anywhere else, there are fewer than two repeats, too few conditions, or no neuron
        is reliable.

    References
    ----------
    Nayebi A, Rajalingham R, Jazayeri M, Yang GR (2023). Neural foundations of mental simulation: future prediction of
    latent representations on dynamic scenes. NeurIPS. arXiv:2305.11772
    """
    check_choice("fit_on", fit_on, FIT_ON)
    present = check_neural(neural, visible)
    check_dynamics(visible, folds=folds)
    if n_permutations < 1:
        raise BrainalignError(f"n_permutations must be 1 or more; got {n_permutations}")
    for name, X in models.items():
        if X.ndim != 3 or X.shape[:2] != visible.shape:
            raise BrainalignError(
                f"{name} has features of shape {X.shape} but neurons have {visible.shape} (conditions, times); "
                "give (n_conditions, n_times, n_units) of the same frames"
            )
        check_finite(f"features of {name}", X, "mend the model, or leave those units out")
    rng = np.random.default_rng(seed)
    parts = np.array_split(rng.permutation(len(neural)), folds)
    orders = [np.arange(len(neural)), *(rng.permutation(len(neural)) for _ in range(n_permutations))]
    measured = np.asarray(neural, dtype=np.float64).mean(axis=3)
    epochs = _epochs(neural, visible, present, fit_on, min_reliability, seed)
    tables: dict[str, list[Any]] = {"neurons": [], "models": [], "folds": []}
    for epoch in epochs:
        Y, scale = measured[:, :, epoch.kept], np.sqrt(epoch.reliability[epoch.kept])
        for name, X in models.items():
            X = np.asarray(X, dtype=np.float64)
            r = _fold_scores(X, Y, epoch.fitted, epoch.scored, regressor, parts)
            by_fold = np.nanmean(r / scale, axis=1)
            exchanged = _exchanged(X, Y, scale, epoch, present, ~visible, regressor, parts, orders)
            same, shuffled = exchanged[0], exchanged[1:]
            about = {"model": name, "epoch": epoch.name}
            found = np.full(len(epoch.kept), np.nan)
            found[epoch.kept] = np.nanmean(r, axis=0)
            own = {"neuron": np.arange(len(found)), "reliability": epoch.reliability, "r": found}
            normalized = found / np.sqrt(np.maximum(epoch.reliability, 1e-12))
            tables["neurons"].append(pd.DataFrame(about | own | {"r_normalized": normalized}))
            tables["folds"].append(pd.DataFrame(about | {"fold": np.arange(folds), "r_normalized": by_fold}))
            tables["models"].append(
                about
                | _summary(by_fold, confidence)
                | {"r": float(np.nanmean(r)), "null_mean": float(shuffled.mean())}
                | {"null_95": float(np.quantile(shuffled, 0.95))}
                | {"p": float(permutation_test(same, shuffled))}
                | {"n_neurons": int(epoch.kept.sum()), "n_dropped": int((~epoch.kept).sum())}
                | {"n_conditions": int(epoch.scored.any(axis=1).sum()), "n_frames": int(epoch.scored.sum())}
            )
    return DynamicsScores(
        pd.concat(tables["neurons"], ignore_index=True),
        pd.DataFrame(tables["models"]),
        pd.concat(tables["folds"], ignore_index=True),
    )


def _epochs(
    neural: Values, visible: NDArray[np.bool_], present: NDArray[np.bool_], fit_on: str, least: float, seed: int
) -> list[_Epoch]:
    epochs = []
    for name, scored in (("occluded", present & ~visible), ("visible", present & visible)):
        if not scored.any():
            continue
        repeats = np.moveaxis(np.asarray(neural, dtype=np.float64)[scored], 2, 0)
        reliability = np.asarray(noise_ceiling(repeats, n_averaged=len(repeats), seed=seed), dtype=np.float64)
        kept = np.nan_to_num(reliability, nan=-1.0) >= least  # NaN: a neuron that never fires
        if not kept.any():
            raise BrainalignError(
                f"no neuron of {len(kept)} has a reliability of {least:g} or more in {name} frames (largest "
                f"{np.nanmax(reliability, initial=-1):.3f}); there is nothing to predict"
            )
        epochs.append(_Epoch(name, scored, scored if fit_on == "epoch" else present & visible, reliability, kept))
    return epochs


def _fold_scores(
    X: Values, Y: Values, fitted: NDArray[np.bool_], scored: NDArray[np.bool_], regressor: Encoder, parts: list[Any]
) -> Values:
    """Return r by fold and target (n_folds, n_targets)."""
    conditions = np.broadcast_to(np.arange(len(X))[:, None], fitted.shape)
    found = []
    for part in parts:
        train = fitted.copy()
        train[part] = False
        mean, spread = X[train].mean(axis=0), X[train].std(axis=0)
        spread = np.where(spread > CONSTANT * (np.abs(mean) + spread), spread, np.inf)  # constant: no use, no harm
        regressor.fit((X[train] - mean) / spread, Y[train], groups=conditions[train])
        test = scored[part]
        predicted = np.asarray(regressor.predict((X[part][test] - mean) / spread))
        found.append(_r(predicted.reshape(len(predicted), -1), Y[part][test]))
    return np.stack(found)


def _exchanged(
    X: Values,
    Y: Values,
    scale: Values,
    epoch: _Epoch,
    present: NDArray[np.bool_],
    hidden: NDArray[np.bool_],
    regressor: Encoder,
    parts: list[Any],
    orders: list[Any],
) -> Values:
    """Return the mean score for every order of the conditions of Y, each order fitted like targets of its own.

    What neurons answer to being hidden, at any given time, is taken out first: it would come with their conditions.
    """
    common = present.all(axis=0)
    apart = (hidden - hidden.mean(axis=0)) * common
    Y = Y - hidden[..., None] * (np.tensordot(apart, np.nan_to_num(Y), 2) / max(np.square(apart).sum(), 1e-12))
    fitted, scored = epoch.fitted & common, epoch.scored & common
    if not scored.any():
        return np.full(len(orders), np.nan)
    each = max(1, int(MOST_VALUES / (fitted.size * Y.shape[2])))
    scores: list[float] = []
    for start in range(0, len(orders), each):
        batch = np.concatenate([Y[order] for order in orders[start : start + each]], axis=2)
        r = _fold_scores(X, batch, fitted, scored, regressor, parts)
        scores += np.nanmean(np.nanmean(r, axis=0).reshape(-1, Y.shape[2]) / scale, axis=1).tolist()
    return np.array(scores)


def _r(predicted: Values, truth: Values) -> Values:
    """Return r per neuron; 0 where the prediction does not vary, NaN where the response does not."""
    if len(truth) < 2:  # a fold of conditions that have no such frames
        return np.full(truth.shape[1], np.nan)
    silent = predicted.std(axis=0) <= CONSTANT * truth.std(axis=0)
    return np.where(silent & (truth.std(axis=0) > 0), 0.0, pearson(predicted, truth))


def _summary(by_fold: Values, confidence: float) -> dict[str, float]:
    low = high = float("nan")
    if len(by_fold) >= MIN_UNITS and np.isfinite(by_fold).all():
        interval = cross_validated_interval(by_fold, 1 / (len(by_fold) - 1), confidence)
        low, high = interval.low, interval.high
    return {"r_normalized": float(np.nanmean(by_fold)), "low": low, "high": high}


def movie_agreement(
    models: Mapping[str, Values],
    neural: Values,
    visible: NDArray[np.bool_],
    *,
    n_permutations: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the Spearman correlation of every model's RDM with that of the neurons, at every frame.

    Distances of neurons are crossnobis, repeats being runs, so that noise adds none, whitened by what repeats differ
    in: else loud neurons decide. Silent ones, whose repeats do not, are left out. Those of models are Euclidean.

    Parameters
    ----------
    models : mapping of array (n_conditions, n_times, n_units)
    neural : array (n_conditions, n_times, n_neurons, n_repeats)
        As for `score_dynamics`; frames that some condition lacks are left out.
    visible : array (n_conditions, n_times) of bool
    n_permutations : int
        Of the conditions of the models.
    seed : int

    Returns
    -------
    DataFrame
        model, time (frame), hidden (share of conditions), score, null_95, p, p_fwer (over frames). NaN where a model
        tells no conditions apart.
    """
    present = check_neural(neural, visible)
    if n_permutations < 1:
        raise BrainalignError(f"n_permutations must be 1 or more; got {n_permutations}")
    times = np.flatnonzero(present.all(axis=0))
    n_conditions, _, _, n_repeats = neural.shape
    trials = np.moveaxis(np.asarray(neural, dtype=np.float64)[:, times], [3, 2, 1], [1, 2, 3])
    noisy, noise = (trials != trials[:, :1]).any(axis=(0, 1, 3)), None
    if noisy.any():
        trials = trials[:, :, noisy]
        rows = np.moveaxis(trials - trials.mean(axis=1, keepdims=True), 2, 3).reshape(-1, trials.shape[2])
        noise = noise_covariance(rows, n_conditions * (n_repeats - 1) * len(times))
    flat = trials.reshape(-1, *trials.shape[2:])  # (n_conditions * n_repeats, n_neurons, n_times)
    labels, runs = np.repeat(np.arange(n_conditions), n_repeats), np.tile(np.arange(n_repeats), n_conditions)
    brain = np.nan_to_num(unit_forms(rdm_movie(flat, "crossnobis", labels, runs, noise), "spearman")[0])
    rng, tables = np.random.default_rng(seed), []
    orders = np.array([rng.permutation(n_conditions) for _ in range(n_permutations)])
    for name, X in models.items():
        movie = rdm_movie(np.moveaxis(np.asarray(X, dtype=np.float64)[:, times], 1, 2), "euclidean")
        ranks = np.nan_to_num(unit_forms(movie, "spearman")[0])  # zeros where no conditions are told apart
        null = np.stack([exchanged_rdms(one, orders) @ of for one, of in zip(ranks, brain, strict=True)], axis=1)
        score = np.where(ranks.any(axis=1), np.sum(ranks * brain, axis=1), np.nan)
        table = {"model": name, "time": times, "hidden": (~visible).mean(axis=0)[times], "score": score}
        table |= {"null_95": np.quantile(null, 0.95, axis=0), "p": permutation_test(score, null)}
        tables.append(pd.DataFrame(table | {"p_fwer": permutation_test(score, null, "max")}))
    return pd.concat(tables, ignore_index=True)


def hold_last(context: Values, n_steps: int) -> Values:
    """Expect that nothing changes: identity dynamics, (n, n_steps, n_units)."""
    return np.repeat(context[:, -1:], n_steps, axis=1)


def constant_velocity(context: Values, n_steps: int) -> Values:
    """Expect that the features go on changing as they did from the last but one frame to the last."""
    steps = np.arange(1, n_steps + 1)[:, None]
    return context[:, -1:] + steps * (context[:, -1:] - context[:, -2:-1])


SIMPLE_FUTURES: dict[str, Simulate] = {"hold last": hold_last, "constant velocity": constant_velocity}


def time_features(n_conditions: int, n_times: int) -> NDArray[np.float64]:
    """Compute features of time alone, the same for all conditions: slow cosines, (n_conditions, n_times, 6)."""
    phase = np.pi * (np.arange(n_times) + 0.5) / n_times
    return np.repeat(np.cos(phase[:, None] * np.arange(1, N_WAVES + 1))[None], n_conditions, axis=0)


def roll_out(features: Values, visible: NDArray[np.bool_], simulate: Simulate, n_context: int = 7) -> Values:
    """Return features in which hidden frames are what `simulate` expects after the last frames before them.

    Parameters
    ----------
    features : array (n_conditions, n_times, n_units)
        Of the encoder; what it makes of hidden frames is not used.
    visible : array (n_conditions, n_times) of bool
        Each condition may be hidden once, for any number of frames.
    simulate : function of (context (n, n_context, n_units), n_steps)
        Returns (n, n_steps, n_units).
    n_context : int
        Frames seen right before.

    Returns
    -------
    array (n_conditions, n_times, n_units)

    Raises
    ------
    BrainalignError
        If shapes do not fit, a condition is hidden twice or has too few frames before, or what comes back is not
        finite or of another shape.
    """
    features, visible = np.asarray(features), np.asarray(visible, dtype=bool)
    if features.ndim != 3 or features.shape[:2] != visible.shape:
        raise BrainalignError(
            f"features have shape {features.shape} but the visible mask has {visible.shape}; give features "
            "(n_conditions, n_times, n_units) of every frame"
        )
    if n_context < 2:
        raise BrainalignError(f"n_context must be 2 or more, so that there is a motion to continue; got {n_context}")
    starts, lengths = _hidden(visible, n_context)
    out = features.astype(np.result_type(features, np.float32), copy=True)
    for start, length in sorted({pair for pair in zip(starts, lengths, strict=True) if pair[1]}):
        rows = np.flatnonzero((starts == start) & (lengths == length))
        found = np.asarray(simulate(out[rows, start - n_context : start], int(length)))
        expected = (len(rows), int(length), features.shape[2])
        remedy = f"continue a context of shape {(len(rows), n_context, features.shape[2])} by {length} steps"
        check_shape("what simulate returned", found.shape, expected, "it must return", remedy)
        check_finite("what simulate returned", found, "it diverged: shorten its steps or train it longer")
        out[rows, start : start + length] = found
    return out


def _hidden(visible: NDArray[np.bool_], n_context: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each condition is hidden from, and for how many frames."""
    lengths, starts = (~visible).sum(axis=1), (~visible).argmax(axis=1)
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        if not length:
            continue
        if visible[row, start : start + length].any():
            raise BrainalignError(f"condition {row} is hidden more than once; cut it into conditions hidden once")
        if start < n_context:
            raise BrainalignError(
                f"condition {row} is hidden from frame {start} on, but the context are the {n_context} frames before; "
                "give a smaller context"
            )
    return starts, lengths
