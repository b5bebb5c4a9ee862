"""Encoding of stimuli that go on: runs left out in turn, delays inside the fit, several models in one.

    unique(A) = R²(all models) − R²(all but A)
    common(A, B) = R²(all but A) + R²(all but B) − R²(all but A and B) − R²(all models)

Estimating costs R². Of responses turned in time, which hold nothing, R² is R0 < 0 at the same penalties: with noise the
share 1 − R of the variance, R² = R + (1 − R) R0, so that R = (R² − R0) / (1 − R0) is R² of weights that no noise has
moved. It is 0 where nothing is planted; penalties that shrink the signal still take their part.

Bands are scaled on training rows alone. Nulls turn the responses of every run in time, which keeps their
autocorrelation, and fit anew: runs that are tested are trained on in other folds, so that their scores vary together,
and a null that leaves the fits alone is too narrow (blocks of a prediction exchanged, or predictions shifted, rejected
.13 to .16 at .05 where nothing was planted; single rows exchanged .24).

Dupré la Tour T et al. (2022). Feature-space selection with banded ridge regression. NeuroImage 264:119728.
doi:10.1016/j.neuroimage.2022.119728
Mood AM (1971). Partitioning variance in multiple regression analyses as a tool for developing learning models.
American Educational Research Journal 8:191-202. doi:10.3102/00028312008002191
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.arrays import Rows, Values
from brainalign.features import PCA
from brainalign.regression import BandedRidge, DelayedFeatures, Ridge, centred_product, rotate
from brainalign.statistics import pearson, r2

Band = Values | Mapping[str, Values]  # features, or those for each run that is left out
COLUMNS, VALUES = 2048, 2**25  # of responses that are predicted at once: columns at most, and values of all rows
ROUNDING = 1e-6  # R² of fits that differ by float32 alone, as where a band has no share in the joint one
Turns = Mapping[str, NDArray[Any]]  # of each run, draw by draw: rows that it is shifted by, or what phases turn by
Names = tuple[str, ...]
Readers = Mapping[str, Callable[[], Values]]
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
    weights : array (n_delays, n_targets)
        Root mean square over features, mean over runs; of a single band, else empty.
    inner : array (n_runs,)
        Mean over targets of the score on inner folds, which sees no row of the run that is left out.
    alphas : array (n_runs, n_targets)
        Penalties chosen.
    deltas : array (n_runs, n_bands, n_targets)
        Shares of the bands chosen.
    n_components : int or None
        Of features, as given.
    """

    r: Values
    r2: Values
    split: Values
    weights: Values
    inner: Values
    alphas: Values
    deltas: Values
    n_components: int | None = None


def run_folds(names: Sequence[str], n_folds: int | None = None, apart: Sequence[str] = ()) -> list[Fold]:
    """List folds that test every run once: `n_folds` that runs are drawn into, in turn, or each run by itself.

    Runs that are `apart` are never trained on; they are tested from all others.
    """
    inside = [name for name in names if name not in apart]
    n = min(n_folds or len(inside), len(inside))  # more folds than runs would be empty
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
    n_components: int | None = None,
    seed: int = 0,
    responses: Values | None = None,
    even: bool = False,
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
    n_components : int, optional
        Principal components of scaled features in training rows that take the place of a wider band.
    seed : int
    responses : array (n_delays, n_functions), optional
        Where a band is features that these functions answer, one after the other (`answered`):
        weights are of delays.
    even : bool
        Whether all bands have the same penalty.
    """
    names = list(dict.fromkeys(runs.tolist()))
    rows: dict[str, tuple[Values, ...]] = {}
    weights = []
    for trained, tested in folds or run_folds(names):
        inside = np.isin(runs, trained)
        values = [scaled(_of_fold(band, tested[0]), inside, n_components) for band in bands]
        designs = [DelayedFeatures(part, delays, runs) for part in values]
        train, groups = [design[inside] for design in designs], runs[inside]
        if len(bands) == 1:
            ridge = Ridge(cv="groups").fit(train[0], Y[inside], groups=groups)
            shapes = np.eye(len(delays)) if responses is None else responses
            coefficients = np.asarray(ridge.coef_, dtype=np.float64).reshape(shapes.shape[1], -1, Y.shape[1])
            weights.append(np.sqrt((np.tensordot(shapes, coefficients, 1) ** 2).mean(axis=1)))
            chosen: tuple[Any, ...] = ridge.cv_scores_, ridge.alpha_, np.ones((1, Y.shape[1]))
        else:
            banded = BandedRidge(n_candidates=max(n_candidates, len(bands) + 1), cv="groups", seed=seed)
            banded.candidates = np.full((1, len(bands)), 1 / len(bands)) if even else None
            banded.fit(train, Y[inside], groups=groups)
            chosen = banded.cv_scores_, banded.alpha_, banded.deltas_
        best = np.nan_to_num(chosen[0], nan=-np.inf).max(axis=0)
        inner = np.mean(best[np.isfinite(best)] if np.isfinite(best).any() else best)  # a constant target has none
        for run in tested:
            test = runs == run
            held = [design[test] for design in designs]
            predicted = np.asarray(ridge.predict(held[0]) if len(bands) == 1 else banded.predict(held))
            found = r2(Y[test], predicted)
            split = found[None] if len(bands) == 1 else np.asarray(banded.split_scores(held, Y[test]))
            rows[run] = (pearson(predicted, Y[test]), found, split, inner, *map(np.asarray, chosen[1:]))
    r, whole, split, inner, alphas, deltas = map(np.stack, zip(*(rows[k] for k in names), strict=True))
    shape = np.mean(weights, axis=0) if weights else np.zeros(0)
    return RunFit(r, whole, split, shape, inner, alphas, deltas, n_components)


def fits_without(
    bands: Mapping[str, Band],
    Y: Values,
    runs: NDArray[np.str_],
    delays: Sequence[int],
    folds: Sequence[Fold] = (),
    *,
    sets: Iterable[Sequence[str]] = (),
    n_candidates: int = 12,
    n_components: int | None = None,
    seed: int = 0,
) -> dict[Names, RunFit]:
    """Fit all bands but some: each by itself is left out, and what `common_r2` of sets needs; nothing is fitted twice.

    Parameters
    ----------
    bands : mapping of array
    Y, runs, delays, folds, n_candidates, n_components, seed
        As for `fit_runs`.
    sets : iterable of sequence of str
        Bands whose common part is asked for.

    Returns
    -------
    dict of RunFit
        By what was left out, in the order of the bands.
    """
    how: Any = {"n_candidates": n_candidates, "n_components": n_components, "seed": seed}
    wanted = {left for names in (*zip(bands, strict=True), *sets) for _, left in _terms(names) if left}
    return {
        left: fit_runs([band for name, band in bands.items() if name not in left], Y, runs, delays, folds, **how)
        for left in sorted(wanted, key=lambda left: (len(left), *map(list(bands).index, left)))
        if len(left) < len(bands)
    }


def common_r2(names: Sequence[str], r2: Mapping[Names, Values]) -> Values:
    """Return what bands share and no other has, as R², negative where it is; of one what it has alone.

    Commonality analysis: over all bands and all sets of them these parts sum to R² of the joint fit (Mood 1971). `r2`
    are arrays of the fits of `fits_without`, and of all bands at (); `names` stand in the order of the bands.
    """
    # Where nothing is left to predict from, R² is 0.
    found = np.sum([sign * r2[left] for sign, left in _terms(names) if left in r2], axis=0)
    return np.where(np.abs(found) < ROUNDING, 0, found)


def _terms(names: Sequence[str]) -> list[tuple[int, Names]]:
    """List signs and what is left out of the fits whose R² sum to the common part of some bands."""
    return [((-1) ** (len(names) + n + 1), left) for n in range(len(names) + 1) for left in combinations(names, n)]


def best_layers(layers: Readers, fits: Mapping[str, RunFit], names: Sequence[str]) -> tuple[RunFit, Band]:
    """Choose a layer for every run by inner folds on the others: its fit, and its features by the run left out.

    Parameters
    ----------
    layers : mapping of callable
        That return arrays (n_rows, n_features); of the layers chosen they are called.
    fits : mapping of RunFit
        Of each layer by itself.
    names : sequence of str
        The runs, in the order of the fits.
    """
    chosen = [max(fits, key=lambda layer: fits[layer].inner[k]) for k in range(len(names))]
    held = {layer: layers[layer]() for layer in dict.fromkeys(chosen)}
    if len(held) == 1:
        return fits[chosen[0]], held[chosen[0]]
    every = [fits[layer] for layer in chosen]
    parts = {
        name: np.stack([getattr(fit, name)[k] for k, fit in enumerate(every)])
        for name in ("r", "r2", "split", "inner", "alphas", "deltas")
    }
    fit = RunFit(weights=np.mean([fit.weights for fit in every], axis=0), n_components=every[0].n_components, **parts)
    return fit, {name: held[layer] for name, layer in zip(names, chosen, strict=True)}


def _of_fold(band: Band, run: str) -> Values:
    return band[run] if isinstance(band, Mapping) else band


def run_null(
    bands: Sequence[Band],
    Y: Values,
    runs: NDArray[np.str_],
    delays: Sequence[int],
    fit: RunFit,
    turns: Turns,
    folds: Sequence[Fold] = (),
    sets: Sequence[Sequence[str]] = (),
) -> list[Values]:
    """Draw mean r (n_permutations, n_targets) over runs with the responses of every run turned in time, and refitted.

    Penalties and shares stay those of `fit`, so that a fold is decomposed once.

    Parameters
    ----------
    bands, Y, runs, delays, folds
        As for `fit_runs`.
    fit : RunFit
        What came of them.
    turns : mapping of array (n_permutations[, n_frequencies])
        By run, of `turned_in_time`.
    sets : sequence of sequence of str
        Runs that are averaged, a null for each set; all of them where not given.
    """
    sets = sets or [list(turns)]
    total = [np.zeros((len(next(iter(turns.values()))), Y.shape[1])) for _ in sets]
    counted = [np.isfinite(fit.r[np.isin([*turns], [*chosen])]).sum(axis=0) for chosen in sets]  # as observed r are
    for ridge, inside, tested, some in _maps(bands, runs, delays, fit, folds or run_folds(list(turns))):
        for first, run, predicted, moved in _turned(ridge, Y[:, some], runs, inside, tested, turns):
            units = moved - moved.mean(axis=0)
            norm = np.sqrt(np.einsum("ijk,ijk->jk", predicted, predicted) * np.einsum("ijk,ijk->jk", units, units))
            z = fisher(np.einsum("ijk,ijk->jk", predicted, units) / np.where(norm > 0, norm, 1))
            for chosen, draws, n in zip(sets, total, counted, strict=True):
                if run in chosen:
                    draws[first : first + len(z), some] += z / np.maximum(n[some], 1)
    return [np.tanh(draws) for draws in total]


def corrected_r2(
    bands: Sequence[Band],
    Y: Values,
    runs: NDArray[np.str_],
    delays: Sequence[int],
    fit: RunFit,
    turns: Turns,
    folds: Sequence[Fold] = (),
) -> Values:
    """Give back what estimating costs: (R² − R0) / (1 − R0), of each run (n_runs, n_targets), see above.

    R0 is the mean over draws of R² of responses turned in time; parameters are those of `run_null`.
    """
    names, n_draws = list(turns), len(next(iter(turns.values())))
    chance = np.zeros(fit.r2.shape)
    for ridge, inside, tested, some in _maps(bands, runs, delays, fit, folds or run_folds(names)):
        for _, run, predicted, moved in _turned(ridge, Y[:, some], runs, inside, tested, turns):
            chance[names.index(run), some] += r2(moved - moved.mean(axis=0), predicted).sum(axis=0) / n_draws
    return (fit.r2 - chance) / (1 - chance)


def unique_null(
    bands: Mapping[str, Band],
    name: str,
    fit: RunFit,
    Y: Values,
    runs: NDArray[np.str_],
    delays: Sequence[int],
    turns: Turns,
    folds: Sequence[Fold] = (),
    averaged: Sequence[str] = (),
) -> tuple[Values, Values]:
    """Test whether a band adds to the others: what it predicts of what they leave, and draws where it has no part.

    The covariance of both in runs left out, as a share of the variance of responses, mean over runs. In a draw what the
    others leave unexplained is turned in time and added to what they predict, and all is fitted anew; turning the
    responses would take the others' part away as well. Penalties are those of the fit without the band, which has
    theirs: none is chosen for it. Unique R² has no such null: its penalties suit the responses found and no draw;
    held, they rejected .13 to .38 at .05 where nothing was added. Chosen anew in every draw they found regions in .28
    of planted worlds (this test .64) and the largest target in .25 (this .16), and take 10 to 1,000 times as long.
    What several bands share has no test either; its interval over runs excludes 0 in .02 where nothing is shared.

    Parameters
    ----------
    bands, Y, runs, delays, folds
        As for `fits_without`.
    name : str
        Of the band.
    fit : RunFit
        Of the other bands, at `even` shares: where one is left out, what it explains is left to others like it.
    turns : mapping of array (n_permutations[, n_frequencies])
        By run, of `turned_in_time`.
    averaged : sequence of str
        Runs; all where not given.

    Returns
    -------
    found : array (n_targets,)
    draws : array (n_permutations, n_targets)

    References
    ----------
    Freedman D, Lane D (1983). A nonstochastic interpretation of reported significance levels. Journal of Business &
    Economic Statistics 1:292-298. doi:10.1080/07350015.1983.10509354
    """
    folds, names = folds or run_folds(list(turns)), averaged or list(turns)
    scored = {run: np.isfinite(found) for run, found in zip(turns, fit.r2, strict=True) if run in names}
    others = [band for other, band in bands.items() if other != name]
    share = np.full((len(fit.r2), 1, Y.shape[1]), 1 / len(others))
    added = replace(fit, deltas=np.concatenate([fit.deltas, share], axis=1))
    kept = np.zeros(Y.shape, dtype=np.float32)
    for ridge, inside, tested, some in _maps(others, runs, delays, fit, folds):
        kept[np.ix_(np.isin(runs, tested), some)] = _through(ridge, Y[np.ix_(inside, some)])
    # The first draw is the responses as they are.
    turns = {run: np.concatenate([np.full_like(turn[:1], turn.ndim > 1), turn]) for run, turn in turns.items()}
    found = np.zeros((len(next(iter(turns.values()))), Y.shape[1]))
    both = (_maps(of, runs, delays, how, folds) for of, how in ((others, fit), ([*others, bands[name]], added)))
    for (ridge, inside, tested, some), (larger, *_) in zip(*both, strict=True):  # of the same targets, in turn
        given = Y[:, some], runs, inside, tested, turns, kept[:, some]
        for (first, run, without, moved), (_, _, fitted, _) in zip(
            _turned(ridge, *given), _turned(larger, *given), strict=True
        ):
            if run in scored:
                moved = moved - moved.mean(axis=0)
                part = np.einsum("ijk,ijk->jk", moved - without, fitted - without)
                part /= np.maximum(np.einsum("ijk,ijk->jk", moved, moved), np.finfo(np.float32).tiny)
                found[first : first + len(part), some] += np.where(scored[run][some], part, 0)
    n = sum(scored.values())
    found = np.where(n > 0, np.where(np.abs(found) < ROUNDING, 0, found) / np.maximum(n, 1), np.nan)  # ties: p = 1
    return found[0], found[1:]


def turned_in_time(
    runs: NDArray[np.str_], n_permutations: int, gap: int, null: Literal["shift", "phase"] = "shift", seed: int = 0
) -> dict[str, NDArray[Any]]:
    """Draw rows that every run is shifted by (n_permutations,), or what its frequencies are multiplied by.

    These are (n_permutations, n_frequencies); both keep the power of runs.

    Parameters
    ----------
    runs : array (n_rows,)
    n_permutations : int
    gap : int
        Rows by which a run is shifted at least, in either direction; a quarter of a run where it is shorter than twice
        that.
    null : {"shift", "phase"}
        Runs are shifted circularly, or their phases are turned at random, for all targets alike, so that correlations
        between targets stay.
    seed : int

    References
    ----------
    Prichard D, Theiler J (1994). Generating surrogate data for time series with several simultaneously measured
    variables. Physical Review Letters 73:951-954. doi:10.1103/PhysRevLett.73.951
    """
    rng, turns = np.random.default_rng(seed), {}
    for run in dict.fromkeys(runs.tolist()):
        n = int((runs == run).sum())
        if null == "shift":
            least = min(gap, n // 4)
            turns[run] = rng.integers(least, n - least + 1, n_permutations)
            continue
        angles = 2 * np.pi * rng.random((n_permutations, n // 2 + 1))
        angles[:, 0] = 0
        if n % 2 == 0:  # the last frequency is real
            angles[:, -1] = np.pi * rng.integers(0, 2, n_permutations)
        turns[run] = np.exp(1j * angles)
    return turns


def _maps(
    bands: Sequence[Band], runs: NDArray[np.str_], delays: Sequence[int], fit: RunFit, folds: Sequence[Fold]
) -> Iterator[tuple[list[Values], NDArray[np.bool_], Sequence[str], Rows]]:
    """Yield maps (n_test, n_train) from responses to predictions about the means of runs, and the targets of each.

    One map serves every draw of all targets of a penalty. It is two factors where these are fewer numbers, as of EEG.
    """
    names = list(dict.fromkeys(runs.tolist()))
    for trained, tested in folds:
        k, inside, test = names.index(tested[0]), np.isin(runs, trained), np.isin(runs, tested)
        values = [scaled(_of_fold(band, tested[0]), inside, fit.n_components) for band in bands]
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
                ridge, own = [held / (size**2 + np.float32(alpha)), left.T], targets[alphas == alpha]
                if len(held) * len(left) <= len(size) * (len(held) + len(left)):
                    ridge = [ridge[0] @ ridge[1]]
                for some in np.array_split(own, -(-len(own) // _at_once(runs))):
                    yield ridge, inside, tested, some


def _at_once(runs: NDArray[np.str_]) -> int:
    return int(np.clip(VALUES // len(runs), 64, COLUMNS))


def _through(ridge: Sequence[Values], values: Values) -> Values:
    for factor in ridge[::-1]:
        values = factor @ values
    return values


def _turned(
    ridge: Sequence[Values],
    Y: Values,
    runs: NDArray[np.str_],
    inside: NDArray[np.bool_],
    tested: Sequence[str],
    turns: Turns,
    kept: Values | None = None,
) -> Iterator[tuple[int, str, Values, Values]]:
    """Yield the first draw of a batch, and of each run tested predictions and responses (n_rows, n_draws, n_targets).

    Responses of several draws stand side by side, so that a product has some thousand columns. What is `kept` is added
    to the rest, which is turned.
    """
    n_draws, step = len(next(iter(turns.values()))), max(_at_once(runs) // Y.shape[1], 1)
    every = {run: runs == run for run in turns}
    trained, place = np.cumsum(inside) - 1, np.cumsum(np.isin(runs, tested)) - 1
    parts = {run: ridge[-1][:, trained[rows]] for run, rows in every.items() if inside[rows].all()}
    rest = Y if kept is None else Y - kept
    for first in range(0, n_draws, step):
        moved = {run: _moved(rest[rows], turns[run][first : first + step]) for run, rows in every.items()}
        if kept is not None:
            for run, rows in every.items():
                moved[run] += kept[rows, None]
        sums = sum(part @ moved[run].reshape(part.shape[1], -1) for run, part in parts.items())
        predicted = _through(ridge[:-1], np.asarray(sums)).reshape(-1, *moved[tested[0]].shape[1:])
        for run in tested:
            yield first, run, predicted[place[every[run]]], moved[run]


def _moved(values: Values, turn: NDArray[Any]) -> Values:
    """Turn rows of a run in time: (n_rows, n_draws, n_targets)."""
    n = len(values)
    if turn.ndim == 1:
        return np.take(values, (np.arange(n)[:, None] - turn) % n, axis=0)
    waves = np.fft.rfft(values, axis=0)[:, None]
    return np.fft.irfft(waves * turn.T[:, :, None].astype(waves.dtype), n, axis=0)


def mean_over_runs(r: Values) -> Values:
    """Average r (n_runs, ...) over runs as Fisher's z; runs in which a target is constant are left out."""
    with np.errstate(invalid="ignore"):
        counted = np.isfinite(r).sum(axis=0)
        sums = np.nansum(fisher(r), axis=0)
    return np.where(counted > 0, np.tanh(sums / np.maximum(counted, 1)), np.nan)


def fisher(r: Values) -> Values:
    """Return Fisher's z, of r within ±0.999."""
    return np.asarray(np.arctanh(np.clip(r, -0.999, 0.999)))


def scaled(band: Values, train: NDArray[np.bool_], n_components: int | None = None) -> Values:
    """Centre and scale features by training rows; those constant there are zero.

    Of more features than `n_components` these principal components, which keep their own variance: ridge on all of them
    would be ridge on the features.
    """
    own = band[train]
    mean, sd = own.mean(axis=0), (own - own[:1]).std(axis=0)  # exactly 0 of constants
    values = np.where(sd > 0, (band - mean) / np.where(sd > 0, sd, 1), 0).astype(np.float32)
    if n_components is None or n_components >= min(len(own) - 1, band.shape[1]):
        return values
    return np.asarray(PCA(n_components).fit(values, rows=train).transform(values))
