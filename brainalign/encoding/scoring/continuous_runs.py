"""Encoding of stimuli that go on: runs left out in turn, delays inside the fit, several models in one.

    unique(A) = R²(all models) − R²(all but A)

Bands are scaled on training rows alone. The null exchanges blocks of rows of a prediction within its run, which keeps
its autocorrelation; rows exchanged singly would not, and are never used.

Dupré la Tour T et al. (2022). Feature-space selection with banded ridge regression. NeuroImage 264:119728.
doi:10.1016/j.neuroimage.2022.119728
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.regression import BandedRidge, Ridge, delayed_features
from brainalign.statistics import pearson


@dataclass(frozen=True)
class RunFit:
    """Predictions of every run from the others.

    Attributes
    ----------
    predicted : array (n_rows, n_targets)
        In the order of the rows given.
    r, r2 : array (n_runs, n_targets)
        Of each run by itself; NaN for a constant target.
    split : array (n_runs, n_bands, n_targets)
        Product measure of R²: what each band adds, summing to `r2`; negative where bands correlate.
    weights : array (n_delays,)
        Root mean square over features and targets, mean over runs; of a single band, else empty.
    inner : array (n_runs,)
        Mean over targets of the score on inner folds, which sees no row of the run that is left out.
    """

    predicted: Values
    r: Values
    r2: Values
    split: Values
    weights: Values
    inner: Values


def fit_runs(
    bands: Sequence[Values],
    Y: Values,
    runs: NDArray[np.str_],
    delays: Sequence[int],
    *,
    n_candidates: int = 12,
    seed: int = 0,
) -> RunFit:
    """Predict every run from ridge (one band) or banded ridge (several) on delayed features of the other runs.

    Parameters
    ----------
    bands : sequence of array (n_rows, n_features of the band)
        On the clock of the responses.
    Y : array (n_rows, n_targets)
    runs : array (n_rows,)
        Rows of a run stand together.
    delays : sequence of int
        In rows.
    n_candidates : int
        Of banded ridge.
    seed : int
    """
    names = list(dict.fromkeys(runs.tolist()))
    predicted = np.zeros(Y.shape, dtype=np.float32)
    r, r2, split, weights, inner = [], [], [], [], []
    for run in names:
        test = runs == run
        designs = [delayed_features(scaled(band, ~test), delays, runs) for band in bands]
        train, held = [design[~test] for design in designs], [design[test] for design in designs]
        if len(bands) == 1:
            ridge = Ridge(cv="groups").fit(train[0], Y[~test], groups=runs[~test])
            predicted[test] = ridge.predict(held[0])
            coefficients = np.asarray(ridge.coef_).reshape(len(delays), -1)
            weights.append(np.sqrt((coefficients.astype(np.float64) ** 2).mean(axis=1)))
            inner.append(float(np.nanmax(ridge.cv_scores_, axis=0).mean()))
        else:
            candidates = max(n_candidates, len(bands) + 1)
            banded = BandedRidge(n_candidates=candidates, cv="groups", seed=seed)
            banded.fit(train, Y[~test], groups=runs[~test])
            predicted[test] = banded.predict(held)
            split.append(np.asarray(banded.split_scores(held, Y[test])))
            inner.append(float(np.nanmax(banded.cv_scores_, axis=0).mean()))
        r.append(pearson(predicted[test], Y[test]))
        r2.append(_r2(predicted[test], Y[test], Y[~test].mean(axis=0)))
    return RunFit(
        predicted,
        np.stack(r),
        np.stack(r2),
        np.stack(split) if split else np.stack(r2)[:, None],
        np.mean(weights, axis=0) if weights else np.zeros(0),
        np.array(inner),
    )


def unique_variance(
    bands: Mapping[str, Values],
    whole: RunFit,
    Y: Values,
    runs: NDArray[np.str_],
    delays: Sequence[int],
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
    Y, runs, delays, n_candidates, seed
        As for `fit_runs`.
    """
    lost = {}
    for name in bands:
        others = [band for other, band in bands.items() if other != name]
        lost[name] = whole.r2 - fit_runs(others, Y, runs, delays, n_candidates=n_candidates, seed=seed).r2
    return lost


def block_null(
    predicted: Values, Y: Values, runs: NDArray[np.str_], block: int, n_permutations: int, seed: int = 0
) -> Values:
    """Draw mean r over runs with blocks of rows of every run's prediction exchanged: (n_permutations, n_targets).

    Parameters
    ----------
    predicted, Y : array (n_rows, n_targets)
    runs : array (n_rows,)
    block : int
        Rows that stay together: longer than what autocorrelates.
    n_permutations : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    names = list(dict.fromkeys(runs.tolist()))
    total = np.zeros((n_permutations, Y.shape[1]), dtype=np.float32)
    for run in names:
        rows = np.flatnonzero(runs == run)
        mine, theirs = _unit(predicted[rows]), _unit(Y[rows])
        blocks = np.array_split(np.arange(len(rows)), max(len(rows) // block, 2))
        for k in range(n_permutations):
            order = np.concatenate([blocks[b] for b in rng.permutation(len(blocks))])
            total[k] += fisher((mine[order] * theirs).sum(axis=0))
    return np.tanh(total / len(names))


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
    return centred / np.where(norm > 0, norm, 1)


def _r2(predicted: Values, Y: Values, mean: Values) -> Values:
    """Return R² about the mean of training rows."""
    total = ((Y - mean) ** 2).sum(axis=0, dtype=np.float64)
    return 1 - ((Y - predicted) ** 2).sum(axis=0, dtype=np.float64) / np.where(total > 0, total, np.nan)
