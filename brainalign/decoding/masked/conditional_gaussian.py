"""The linear prediction of hidden regions from visible ones: what a masked network has to be measured against.

    x̂_hidden(t) = Γ_hv (Γ_vv + λ I)⁻¹ [x_visible(t − L) … x_visible(t + L)]

Γ_vv is block-Toeplitz, of the autocovariances of training runs. With L = 0 it is the instantaneous conditional mean of
a Gaussian.
"""

import itertools
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows
from brainalign.decoding.masked.segments import check_series

INNER_SHARE = 0.25  # of the training subjects: the last ones, on whose runs lag and penalty are chosen
PENALTIES = (0.0005, 0.005, 0.05, 0.15, 0.5, 1.5, 5.0, 15.0)  # small ones for smooth maps with little noise


class ConditionalGaussian:
    """Predict hidden regions linearly from the visible ones of `lags` frames before and after.

    Parameters
    ----------
    lags : sequence of int
        Candidates for L; (0,) for the instantaneous predictor.
    penalties : sequence of float
        Candidates for λ, in units of a region's variance.
    seed : int
        Of the regions that are hidden to choose.

    Attributes
    ----------
    lag_, penalty_ : int, float
    covariances_ : array (2 · max(lags) + 1, n_regions, n_regions)
        E[x(t) x(t − k)'] for k = 0, 1, ...

    Examples
    --------
    >>> from brainalign.simulation import roi_lagged
    >>> series = roi_lagged(n_subjects=8).series
    >>> model = ConditionalGaussian(lags=(0, 3)).fit(series[:6])
    >>> model.lag_
    3
    """

    def __init__(self, lags: Sequence[int] = (0,), penalties: Sequence[float] = PENALTIES, seed: int = 0) -> None:
        if not lags or not penalties or min(lags) < 0 or min(penalties) <= 0:
            raise BrainalignError(f"lags {lags} must be 0 or more and penalties {penalties} positive")
        self.lags, self.penalties, self.seed = tuple(lags), tuple(penalties), seed

    def fit(self, series: NDArray[np.floating[Any]], people: Sequence[str] | None = None) -> Self:
        """Estimate autocovariances; choose lag and penalty on inner training subjects, half of their regions hidden.

        Parameters
        ----------
        series : array (n_runs, n_frames, n_regions), z-scored per run
        people : sequence of str (n_runs), optional
            Whose run it is. Without it, or with one subject, runs stand for subjects; one run keeps the middle ones.
        """
        values = check_series(series, 2 * max(self.lags) + 2)
        self.lag_, self.penalty_ = self.lags[len(self.lags) // 2], self.penalties[len(self.penalties) // 2]
        if len(values) > 1 < len(self.lags) * len(self.penalties):
            # All runs of the last subjects choose, so that nobody is on both sides.
            whose = np.arange(len(values)) if people is None else np.asarray([str(name) for name in people])
            check_rows("people", len(whose), "series", len(values), "name the subject of every run")
            if len(np.unique(whose)) == 1:
                whose = np.arange(len(values))
            names = whose[np.sort(np.unique(whose, return_index=True)[1])]  # in order of appearance
            inner = np.isin(whose, names[-max(1, round(INNER_SHARE * len(names))) :])
            self.covariances_ = _autocovariances(values[~inner], 2 * max(self.lags))
            hidden = np.random.default_rng(self.seed).permutation(values.shape[2]) < values.shape[2] // 2
            scores = {}
            for pair in itertools.product(self.lags, self.penalties):
                self.lag_, self.penalty_ = pair
                scores[pair] = hidden_r2(values[inner], self.reconstruct(values[inner], hidden), hidden)
            self.lag_, self.penalty_ = max(scores, key=scores.__getitem__)
        self.covariances_ = _autocovariances(values, 2 * max(self.lags))
        return self

    def reconstruct(self, series: NDArray[np.floating[Any]], hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return runs in which hidden regions are predicted; visible ones are as given.

        Parameters
        ----------
        series : array (n_runs, n_frames, n_regions)
        hidden : array of bool (n_regions) or (n_runs, n_regions)

        Raises
        ------
        BrainalignError
            If there are other regions than in training.
        """
        values = check_series(series, 2, self.covariances_.shape[1])
        masks = np.broadcast_to(np.asarray(hidden, dtype=bool), (len(values), values.shape[2]))
        filled = values.copy()
        for mask in np.unique(masks, axis=0):
            if mask.any():
                runs = np.flatnonzero((masks == mask).all(axis=1))
                predicted = self._predict(values[runs][:, :, ~mask], mask)
                filled[np.ix_(runs, np.arange(values.shape[1]), np.flatnonzero(mask))] = predicted
        return filled

    def _predict(self, visible: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        shifts = range(-self.lag_, self.lag_ + 1)
        within = np.block([[self._covariance(a - b)[np.ix_(~mask, ~mask)] for b in shifts] for a in shifts])
        across = np.hstack([self._covariance(-b)[np.ix_(mask, ~mask)] for b in shifts])
        within[np.diag_indices_from(within)] += self.penalty_
        weights = np.linalg.solve(within, across.T).astype(np.float32)
        n_frames = visible.shape[1]
        padded = np.pad(visible, ((0, 0), (self.lag_, self.lag_), (0, 0)))  # 0 is the mean: nothing is known there
        around = np.concatenate([padded[:, self.lag_ + b : self.lag_ + b + n_frames] for b in shifts], axis=2)
        return np.asarray(around @ weights)

    def _covariance(self, k: int) -> NDArray[np.float64]:
        """Return E[x(t + k) x(t)']."""
        return np.asarray(self.covariances_[k] if k >= 0 else self.covariances_[-k].T)


def _autocovariances(values: NDArray[np.float32], most: int) -> NDArray[np.float64]:
    n_frames = values.shape[1]
    later = [(values[:, k:], values[:, : n_frames - k]) for k in range(most + 1)]
    return np.stack(
        [np.einsum("sti,stj->ij", a, b, optimize=True, dtype=np.float64) / (a.shape[0] * a.shape[1]) for a, b in later]
    )


def hidden_r2(series: NDArray[np.floating[Any]], filled: NDArray[np.floating[Any]], hidden: NDArray[np.bool_]) -> float:
    """Return 1 − Σ(x − x̂)² / Σx² over all frames of hidden regions; series have mean 0 in every run.

    Parameters
    ----------
    series, filled : array (n_runs, n_frames, n_regions)
    hidden : array of bool (n_regions) or (n_runs, n_regions)

    Raises
    ------
    BrainalignError
        If nothing is hidden.
    """
    mask = np.broadcast_to(hidden, (len(series), series.shape[2]))[:, None, :]
    if not mask.any():
        raise BrainalignError("no region is hidden; there is nothing to score")
    own = np.asarray(series, dtype=np.float64) * mask
    missed = (np.asarray(filled, dtype=np.float64) - own) * mask
    return float(1 - (missed**2).sum() / (own**2).sum())
