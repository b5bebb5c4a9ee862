"""Encoding of stimuli that go on: runs left out in turn, delays inside the fit, several models in one.

    unique(A) = R²(all models) − R²(all but A)

Bands are scaled on training rows alone. The null shifts the responses of every run circularly, which keeps their
autocorrelation, and fits anew: runs that are tested are trained on in other folds, so that their scores vary together,
and a null that leaves the fits alone is too narrow (blocks of a prediction exchanged, or predictions shifted, rejected
.13 to .16 at .05 where nothing was planted; single rows exchanged .24).

Dupré la Tour T et al. (2022). Feature-space selection with banded ridge regression. NeuroImage 264:119728.
doi:10.1016/j.neuroimage.2022.119728
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.regression import BandedRidge, DelayedFeatures, Ridge, centred_product, rotate
from brainalign.statistics import pearson

Band = Values | Mapping[str, Values]  # features, or those for each run that is left out
COLUMNS = 2048  # of responses that are predicted at once
Fold = tuple[Sequence[str], Sequence[str]]  # runs to train on, runs to test


@dataclass(frozen=True)
class RunFit:
    """How well every run is predicted from others.

    Attributes
    ----------
    r, r2 : array (n_runs, n_targets)
        Of each run by itself; NaN for a constant target.
    split : array (n_runs, n_bands, n_targets)
        Product measure of R²: what each band adds, summing to `r2`; negative where bands correlate.
    weights : array (n_delays,)
        Root mean square over features and targets, mean over runs; of a single band, else empty.
    inner : array (n_runs,)
        Mean over targets of the score on inner folds, which sees no row of the run that is left out.
    alphas : array (n_runs, n_targets)
        Penalties chosen.
    deltas : array (n_runs, n_bands, n_targets)
        Shares of the bands chosen.
    """

    r: Values
    r2: Values
    split: Values
    weights: Values
    inner: Values
    alphas: Values
    deltas: Values


def run_folds(names: Sequence[str], n_folds: int | None = None, apart: Sequence[str] = ()) -> list[Fold]:
    """List folds that test every run once.

    Parameters
    ----------
    names : sequence of str
        All runs.
    n_folds : int, optional
        That runs are drawn into, in turn; each by itself where not given.
    apart : sequence of str
        Runs that are never trained on; they are tested from all others.
    """
    inside = [name for name in names if name not in apart]
    n = n_folds or len(inside)
    folds: list[Fold] = [([name for i, name in enumerate(inside) if i % n != k], inside[k::n]) for k in range(n)]
    return folds + ([(inside, list(apart))] if apart else [])


def fit_runs(
    bands: Sequence[Band],
    Y: Values,
    runs: NDArray[np.str_],
    delays: Sequence[int],
    folds: Sequence[Fold] = (),
    *,
    n_candidates: int = 12,
    seed: int = 0,
) -> RunFit:
    """Predict runs from ridge (one band) or banded ridge (several) on delayed features of others.

    Parameters
    ----------
    bands : sequence of array (n_rows, n_features of the band), or mapping of such
        On the clock of the responses; by the run that is left out, where folds use other features (see `best_layers`).
    Y : array (n_rows, n_targets)
    runs : array (n_rows,)
        Rows of a run stand together.
    delays : sequence of int
        In rows.
    folds : sequence of (runs to train on, runs to test)
        Every run is tested once; left out in turn where not given.
    n_candidates : int
        Of banded ridge.
    seed : int
    """
    names = list(dict.fromkeys(runs.tolist()))
    rows: dict[str, tuple[Values, ...]] = {}
    weights = []
    for trained, tested in folds or run_folds(names):
        inside = np.isin(runs, trained)
        designs = [DelayedFeatures(scaled(_of_fold(band, tested[0]), inside), delays, runs) for band in bands]
        train, groups = [design[inside] for design in designs], runs[inside]
        if len(bands) == 1:
            ridge = Ridge(cv="groups").fit(train[0], Y[inside], groups=groups)
            coefficients = np.asarray(ridge.coef_).reshape(len(delays), -1)
            weights.append(np.sqrt((coefficients.astype(np.float64) ** 2).mean(axis=1)))
            chosen: tuple[Any, ...] = ridge.cv_scores_, ridge.alpha_, np.ones((1, Y.shape[1]))
        else:
            candidates = max(n_candidates, len(bands) + 1)
            banded = BandedRidge(n_candidates=candidates, cv="groups", seed=seed)
            banded.fit(train, Y[inside], groups=groups)
            chosen = banded.cv_scores_, banded.alpha_, banded.deltas_
        inner = np.nanmax(chosen[0], axis=0).mean()
        for run in tested:
            test = runs == run
            held = [design[test] for design in designs]
            predicted = np.asarray(ridge.predict(held[0]) if len(bands) == 1 else banded.predict(held))
            r2 = _r2(predicted, Y[test])
            split = r2[None] if len(bands) == 1 else np.asarray(banded.split_scores(held, Y[test]))
            rows[run] = (pearson(predicted, Y[test]), r2, split, inner, *map(np.asarray, chosen[1:]))
    r, r2, split, inner, alphas, deltas = (np.stack(part) for part in zip(*(rows[run] for run in names), strict=True))
    return RunFit(r, r2, split, np.mean(weights, axis=0) if weights else np.zeros(0), inner, alphas, deltas)


def unique_variance(
    bands: Mapping[str, Band],
    whole: RunFit,
    Y: Values,
    runs: NDArray[np.str_],
    delays: Sequence[int],
    folds: Sequence[Fold] = (),
    *,
    n_candidates: int = 12,
    seed: int = 0,
) -> dict[str, Values]:
    """Compute what R² loses without each band: arrays (n_runs, n_targets) by name, negative ones as they are.

    Parameters
    ----------
    bands : mapping of array
        Those of `whole`, by name.
    whole : RunFit
        Of all of them.
    Y, runs, delays, folds, n_candidates, seed
        As for `fit_runs`.
    """
    lost: dict[str, Values] = {}
    for name in bands:
        others = [band for other, band in bands.items() if other != name]
        lost[name] = whole.r2 - fit_runs(others, Y, runs, delays, folds, n_candidates=n_candidates, seed=seed).r2
    return lost


def best_layers(layers: Mapping[str, Values], fits: Mapping[str, RunFit], names: Sequence[str]) -> tuple[RunFit, Band]:
    """Choose a layer for every run by inner folds on the others: its fit, and its features by the run left out.

    Parameters
    ----------
    layers : mapping of array (n_rows, n_features)
    fits : mapping of RunFit
        Of each layer by itself.
    names : sequence of str
        The runs, in the order of the fits.
    """
    if len(layers) == 1:
        (layer,) = layers
        return fits[layer], layers[layer]
    chosen = [max(fits, key=lambda layer: fits[layer].inner[k]) for k in range(len(names))]
    every = [fits[layer] for layer in chosen]
    parts = {
        name: np.stack([getattr(fit, name)[k] for k, fit in enumerate(every)])
        for name in ("r", "r2", "split", "inner", "alphas", "deltas")
    }
    weights = np.mean([fit.weights for fit in every], axis=0)
    return RunFit(weights=weights, **parts), {name: layers[layer] for name, layer in zip(names, chosen, strict=True)}


def _of_fold(band: Band, run: str) -> Values:
    return band[run] if isinstance(band, Mapping) else band


def shift_null(
    bands: Sequence[Band],
    Y: Values,
    runs: NDArray[np.str_],
    delays: Sequence[int],
    fit: RunFit,
    gap: int,
    n_permutations: int,
    folds: Sequence[Fold] = (),
    sets: Sequence[Sequence[str]] = (),
    seed: int = 0,
) -> list[Values]:
    """Draw mean r (n_permutations, n_targets) over runs with the responses of every run shifted in time, and refitted.

    Penalties and shares stay those of `fit`, so that a fold is decomposed once.

    Parameters
    ----------
    bands, Y, runs, delays, folds
        As for `fit_runs`.
    fit : RunFit
        What came of them.
    gap : int
        Rows by which a run is shifted at least, in either direction; a quarter of a run where it is shorter than twice
        that.
    n_permutations : int
    sets : sequence of sequence of str
        Runs that are averaged, a null for each set; all of them where not given.
    seed : int
    """
    rng = np.random.default_rng(seed)
    names = list(dict.fromkeys(runs.tolist()))
    orders = np.tile(np.arange(len(Y)), (n_permutations, 1))
    for run in names:
        rows = np.flatnonzero(runs == run)
        least = min(gap, len(rows) // 4)
        for order, shift in zip(orders, rng.integers(least, len(rows) - least + 1, n_permutations), strict=True):
            order[rows] = np.roll(rows, shift)
    sets = sets or [names]
    total = [np.zeros((n_permutations, Y.shape[1])) for _ in sets]
    for trained, tested in folds or run_folds(names):
        k, inside, test = names.index(tested[0]), np.isin(runs, trained), np.isin(runs, tested)
        values = [scaled(_of_fold(band, tested[0]), inside) for band in bands]
        place = np.cumsum(test) - 1
        shares, groups = np.unique(fit.deltas[k], axis=1, return_inverse=True)
        for g, delta in enumerate(shares.T):
            targets = np.flatnonzero(groups.ravel() == g)
            mixed = [np.sqrt(d, dtype=np.float32) * part for d, part in zip(delta, values, strict=True) if d > 0]
            design, alphas = DelayedFeatures(np.concatenate(mixed, axis=1), delays, runs), fit.alphas[k][targets]
            turned = rotate(design[inside].rows(), alphas.min(), "auto", torch.float32)
            left, size = turned.rows.numpy(), turned.singular.numpy().astype(np.float32)
            held = centred_product(design[test].rows(), turned.mean, turned.axes).numpy() * size
            for part in (place[runs == run] for run in tested):
                held[part] -= held[part].mean(axis=0)
            for alpha in np.unique(alphas):
                # One map from responses of training to predictions serves every draw of all targets of a penalty.
                ridge = (held / (size**2 + np.float32(alpha))) @ left.T
                own = targets[alphas == alpha]
                for some in np.array_split(own, -(-len(own) // COLUMNS)):
                    r = _shifted(ridge, Y[:, some], runs, inside, tested, orders)
                    for chosen, draws in zip(sets, total, strict=True):
                        draws[:, some] += sum(r[run] for run in tested if run in chosen) / len(chosen)
    return [np.tanh(draws) for draws in total]


def _shifted(
    ridge: Values,
    Y: Values,
    runs: NDArray[np.str_],
    inside: NDArray[np.bool_],
    tested: Sequence[str],
    orders: NDArray[Any],
) -> dict[str, Values]:
    """Return Fisher's z (n_permutations, n_targets) of every run tested, of responses in other orders.

    Responses of several draws stand side by side, so that a product has some thousand columns. `ridge` (n_test,
    n_train) predicts values that are centred within runs, in the order of `runs`.
    """
    which = {run: np.flatnonzero(runs == run) for run in tested}
    units = np.zeros_like(Y)
    for rows in which.values():
        units[rows] = _unit(Y[rows])
    place = np.cumsum(np.isin(runs, tested)) - 1
    z: dict[str, Values] = {run: np.zeros((len(orders), Y.shape[1])) for run in tested}
    step = max(COLUMNS // Y.shape[1], 1)
    for first in range(0, len(orders), step):
        batch = orders[first : first + step].T
        moved = Y[batch[inside]]
        predicted = (ridge @ moved.reshape(len(moved), -1)).reshape(len(ridge), *moved.shape[1:])
        for run, rows in which.items():
            part = predicted[place[rows]]
            norm = np.sqrt(np.einsum("ijk,ijk->jk", part, part))
            product = np.einsum("ijk,ijk->jk", part, units[batch[rows]])
            z[run][first : first + step] = fisher(product / np.where(norm > 0, norm, 1))
    return z


def mean_over_runs(r: Values) -> Values:
    """Average r (n_runs, ...) over runs as Fisher's z; runs in which a target is constant are left out."""
    with np.errstate(invalid="ignore"):
        counted = np.isfinite(r).sum(axis=0)
        sums = np.nansum(fisher(r), axis=0)
    return np.where(counted > 0, np.tanh(sums / np.maximum(counted, 1)), np.nan)


def fisher(r: Values) -> Values:
    """Return Fisher's z, of r within ±0.999."""
    return np.asarray(np.arctanh(np.clip(r, -0.999, 0.999)))


def scaled(band: Values, train: NDArray[np.bool_]) -> Values:
    """Centre and scale features by training rows; those constant there are zero."""
    mean, sd = band[train].mean(axis=0), band[train].std(axis=0)
    return np.where(sd > 0, (band - mean) / np.where(sd > 0, sd, 1), 0).astype(np.float32)


def _unit(values: Values) -> Values:
    centred = np.asarray(values, dtype=np.float32) - values.mean(axis=0, dtype=np.float64).astype(np.float32)
    norm = np.sqrt((centred**2).sum(axis=0))
    return np.asarray(centred / np.where(norm > 0, norm, 1))


def _r2(predicted: Values, Y: Values) -> Values:
    total = ((Y - Y.mean(axis=0)) ** 2).sum(axis=0, dtype=np.float64)
    return np.asarray(1 - ((Y - predicted) ** 2).sum(axis=0, dtype=np.float64) / np.where(total > 0, total, np.nan))
