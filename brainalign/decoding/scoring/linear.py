"""Linear decoders: dual ridge from EEG to the vector of a sentence, for each subject, for all, or in between.

    prediction = mean + K* (K + λ I)⁻¹ (targets − mean),     λ = penalty · trace(K) / n

`own` fits every subject alone, `pooled` all as one. `partial` weighs K by 1[same subject] + ρ: a decoder that subjects
share plus one of each subject's own. Where subjects are fitted together, the signals of each are first divided by their
standard deviation on training trials: no unit makes one count more. The features are the
signals, less their mean over all subjects, or log power or channel covariance in windows, which find what has no fixed
sign.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from brainalign.arrays import Values, label_codes
from brainalign.checks import BrainalignError, check_choice, check_finite, check_named, check_rows, numbers
from brainalign.decoding.training import check_signals

Labels = NDArray[Any]
Held = tuple[Values, Values, Labels]  # signals, targets and subjects
PENALTIES = (1e-4, 1e-3, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)  # of residual, too: neither is ahead by its grid
RHOS, RHO = (0.1, 0.3, 1.0), 0.3  # where validation trials choose, and where there are none
N_FOLDS = 5  # of stimuli, to choose a penalty
MOST_TRIALS = 2000  # of a subject, to choose it by: in units of the mean eigenvalue it depends little on how many
EDGE = 0.005  # of the mean cosine: by so much the last penalty beats the one before, where a wider grid may do better


def signal_features(signals: Values, kind: Literal["raw", "log_power", "covariance"], window: int = 8) -> Values:
    """Compute the features of every trial for a linear decoder (n_trials, n_features), in float64.

    Parameters
    ----------
    signals : array (n_trials, n_channels, n_times)
    kind : {"raw", "log_power", "covariance"}
        Log of the mean square, or mean products of channels, in every window; samples after the last window are left
        out.
    window : int
        Samples.
    """
    check_choice("kind", kind, ("raw", "log_power", "covariance"))
    signals = numbers("signals", signals)
    if signals.ndim != 3 or (kind != "raw" and signals.shape[2] < window):
        raise BrainalignError(
            f"signals of shape {signals.shape} must be (n_trials, n_channels, n_times) with at least {window} times"
        )
    check_finite("signals", signals, "drop those trials or interpolate those channels")
    signals = signals.astype(np.float64, copy=False)
    n, n_channels, n_times = signals.shape
    if kind == "raw":
        return signals.reshape(n, -1)
    windows = signals[:, :, : n_times // window * window].reshape(n, n_channels, -1, window).swapaxes(1, 2)
    if kind == "log_power":
        power = np.square(windows).mean(axis=3)
        # Silence has no logarithm; a millionth of the channel's mean power stands for it, of all where that is silent.
        own, mean = power.mean(axis=1, keepdims=True), power.mean(axis=(1, 2), keepdims=True)
        return np.asarray(np.log(power + 1e-6 * np.where(own > 0, own, mean) + np.finfo(float).tiny).reshape(n, -1))
    products = windows @ windows.swapaxes(2, 3) / window  # (n, n_windows, n_channels, n_channels)
    return np.asarray(products[:, :, *np.triu_indices(n_channels)].reshape(n, -1))


@dataclass(frozen=True)
class _Fitted:
    """One dual fit: what is needed to predict."""

    features: Values  # (n_train, n_features), centred and scaled
    subjects: Labels
    mean: Values
    scale: Values
    dual: Values  # (n_train, n_targets)
    target_mean: Values


@dataclass(eq=False, repr=False)
class LinearDecoder(BaseEstimator):  # type: ignore[misc]
    """Dual ridge regression from signals to target vectors.

    Parameters
    ----------
    sharing : {"own", "pooled", "partial"}
    features : {"raw", "log_power", "covariance"}
        Power and covariance are z-scored on training trials, signals only centred.
    penalties : tuple of float, optional
        Of λ in units of trace(K) / n; PENALTIES where not given.
    rhos : tuple of float, optional
        What subjects share, for "partial"; where not given 0.3, or with validation trials 0.1, 0.3 or 1.
    window : int
        Samples, of power and covariance.

    Attributes
    ----------
    penalty_, rho_ : float
        Where there are several, those with the highest mean cosine on validation trials; where neither these nor
        penalties are given, in folds of training stimuli: trials of one target. A warning says where the penalty is the
        last of the grid and the score still rises.
    """

    sharing: Literal["own", "pooled", "partial"] = "own"
    features: Literal["raw", "log_power", "covariance"] = "raw"
    penalties: tuple[float, ...] | None = None
    rhos: tuple[float, ...] | None = None
    window: int = 8

    def fit(self, signals: Values, targets: Values, subjects: Labels, validation: Held | None = None) -> Self:
        """Fit, and choose penalty and rho where there are several.

        Parameters
        ----------
        signals : array (n_trials, n_channels, n_times)
        targets : array (n_trials, n_targets)
        subjects : array (n_trials,)
        validation : (signals, targets, subjects), optional
            Trials of other stimuli.

        Raises
        ------
        BrainalignError
            If shapes do not fit, or several penalties or rhos are given and no validation trials.
        """
        check_choice("sharing", self.sharing, ("own", "pooled", "partial"))
        check_choice("features", self.features, ("raw", "log_power", "covariance"))
        signals, targets = numbers("signals", signals), numbers("targets", targets, np.float64)
        self._shape = signals.shape[1:]
        codes, names = label_codes("subjects", subjects)
        self._names = {str(name): name for name in names}  # 7 and "7" are one subject
        subjects = names.astype(str)[codes]
        check_rows("signals", len(signals), "targets", len(targets), "give one target per trial")
        check_rows("subjects", len(subjects), "targets", len(targets), "give one subject per trial")
        check_finite("targets", targets, "embed those stimuli again")
        rhos = self.rhos or (RHOS if validation else (RHO,)) if self.sharing == "partial" else (0.0,)
        self._units = _Units.of(signals, subjects, self.features == "raw") if self.sharing != "own" else None
        seen = self._features(signals, subjects)
        penalties = self.penalties or PENALTIES
        if self.penalties is None and len(rhos) == 1 and validation is None:
            penalties = (self._best_penalty(seen, targets, subjects, rhos[0]),)
        grid = list(product(rhos, penalties))
        if len(grid) > 1 and validation is None:
            raise BrainalignError(f"{len(grid)} settings need validation trials to choose by; give them or one setting")
        asked = np.asarray(validation[2] if validation else ()).astype(str)
        held = self._features(np.asarray(validation[0]), asked) if validation and len(grid) > 1 else None
        scores: dict[tuple[float, float], float] = {}
        for rho, penalty in grid:
            fitted, score = self._fit(seen, targets, subjects, rho, penalty), 0.0
            if held is not None and validation:
                score = mean_cosine(self._predict(held, asked, fitted, rho), np.asarray(validation[1]))
            if score > max(scores.values(), default=-np.inf):
                self.rho_, self.penalty_, self._fitted = rho, penalty, fitted
            scores[rho, penalty] = score
        warn_of_edge({penalty: scores[self.rho_, penalty] for penalty in penalties})
        return self

    def predict(self, signals: Values, subjects: Labels) -> Values:
        """Return vectors (n_trials, n_targets).

        Parameters
        ----------
        signals : array (n_trials, n_channels, n_times)
        subjects : array (n_trials,)
            With "pooled" and "partial" also new ones, who get what is shared.

        Raises
        ------
        BrainalignError
            With "own", if a subject was not fitted.
        """
        check_is_fitted(self)
        check_rows("subjects", len(subjects), "signals", len(signals), "give one subject per trial")
        signals, subjects = numbers("signals", signals), np.asarray(subjects).astype(str).ravel()
        check_signals(signals, subjects, self._shape)
        return self._predict(self._features(signals, subjects), subjects, self._fitted, self.rho_)

    def coefficients(self) -> dict[Any, tuple[Values, Values]]:
        """Return weights (n_features, n_targets) and intercept (n_targets,) of every subject.

        Raises
        ------
        BrainalignError
            Unless sharing is "own": what subjects share is of signals in units of each.
        """
        check_is_fitted(self)
        if self.sharing != "own":
            raise BrainalignError(f'sharing="{self.sharing}" has no weights of its own; take "own"')
        found: dict[Any, tuple[Values, Values]] = {}
        for name, one in self._fitted.items():
            weights = one.features.T @ one.dual / one.scale[:, None]
            found[self._names[name]] = (weights, one.target_mean - one.mean @ weights)
        return found

    def _features(self, signals: Values, subjects: Labels) -> Values:
        scaled = signals if self._units is None else self._units.apply(signals, subjects)
        return signal_features(scaled, self.features, self.window)

    def _best_penalty(self, seen: Values, targets: Values, subjects: Labels, rho: float) -> float:
        whose = subjects if self.sharing == "own" else np.zeros(len(subjects))
        if self.features != "raw":
            seen = seen / _spread(seen)
        if self.sharing == "partial":
            x = seen - seen.mean(axis=0)
            values, axes = np.linalg.eigh(self._kernel(x, subjects, x, subjects, rho))
            seen = axes * np.sqrt(values.clip(min=0))  # its products are the kernel
        stimuli = np.unique(targets, axis=0, return_inverse=True)[1].ravel()
        return best_penalty(seen.__getitem__, targets, whose, stimuli, np.random.default_rng(0))

    def _fit(self, seen: Values, targets: Values, subjects: Labels, rho: float, penalty: float) -> dict[Any, _Fitted]:
        parts = {name: subjects == name for name in np.unique(subjects)} if self.sharing == "own" else {None: ...}
        fitted = {}
        for name, rows in parts.items():
            mean, target_mean = seen[rows].mean(axis=0), targets[rows].mean(axis=0)
            scale = _spread(seen[rows]) if self.features != "raw" else np.ones_like(mean)
            x = seen[rows] - mean
            x /= scale
            kernel = self._kernel(x, subjects[rows], x, subjects[rows], rho)
            if not np.trace(kernel) > 0:
                whose = "" if name is None else f" of subject {name}"
                raise BrainalignError(
                    f"nothing varies in {len(x)} training trial(s){whose}; give more, or leave them out"
                )
            kernel[np.diag_indices(len(x))] += penalty * np.trace(kernel) / len(x)
            dual = cho_solve(cho_factor(kernel, lower=True, overwrite_a=True), targets[rows] - target_mean)
            fitted[name] = _Fitted(x, subjects[rows], mean, scale, dual, target_mean)
        return fitted

    def _kernel(self, a: Values, subjects_a: Labels, b: Values, subjects_b: Labels, rho: float) -> Values:
        kernel = a @ b.T
        if self.sharing == "partial":
            kernel *= (subjects_a[:, None] == subjects_b) + rho
        return np.asarray(kernel)

    def _predict(self, seen: Values, subjects: Labels, fitted: dict[Any, _Fitted], rho: float) -> Values:
        if self.sharing == "own":
            remedy = 'sharing="pooled" or "partial" decode new subjects'
            check_named("fitted decoders", fitted, np.unique(subjects).tolist(), "subject", remedy)
        found = np.empty((len(seen), next(iter(fitted.values())).dual.shape[1]))
        for name, one in fitted.items():
            rows = subjects == name if self.sharing == "own" else np.ones(len(seen), dtype=bool)
            x = (seen[rows] - one.mean) / one.scale
            found[rows] = one.target_mean + self._kernel(x, subjects[rows], one.features, one.subjects, rho) @ one.dual
        return found


def _spread(x: Values) -> Values:
    spread = (x - x[:1]).std(axis=0)  # exactly 0 of constants
    return np.where(spread > 0, spread, 1)


class _Units(NamedTuple):
    """What the signals of each subject are divided by, and the mean of all that is taken out before."""

    names: Labels
    sizes: Values
    origin: Values  # of raw signals: divided by other numbers, what subjects have in common would tell them apart

    @classmethod
    def of(cls, signals: Values, subjects: Labels, centre: bool) -> Self:
        """Return the standard deviation of each subject's trials about the mean of each channel and time."""
        names = np.unique(subjects)
        sizes = np.array([np.asarray(signals[subjects == name], dtype=np.float64).std(axis=0) for name in names])
        sizes = np.sqrt(np.square(sizes).reshape(len(names), -1).mean(axis=1))
        return cls(names, np.where(sizes > 0, sizes, 1), centre * signals.mean(axis=0, dtype=np.float64))

    def apply(self, signals: Values, subjects: Labels) -> Values:
        """Return signals in units of their subject; those of someone new in the geometric mean of all."""
        sizes = np.full(len(subjects), np.exp(np.log(self.sizes).mean()))
        for name, size in zip(self.names, self.sizes, strict=True):
            sizes[subjects == name] = size
        return np.asarray((signals - self.origin) / sizes.reshape(-1, *[1] * (signals.ndim - 1)))


def cross_fitted(
    signals: Values,
    targets: Values,
    subjects: NDArray[np.integer[Any]],
    stimuli: NDArray[np.integer[Any]],
    n_folds: int,
    rng: np.random.Generator,
    penalties: tuple[float, ...] = PENALTIES,
) -> tuple[NDArray[np.float32], float]:
    """Predict every trial (n_trials, n_targets) by ridge fitted on other stimuli (from 0 on), and choose its penalty.

    That with the highest mean cosine of such predictions is taken; a warning says where it is the last one.
    """
    n_stimuli = int(stimuli.max()) + 1
    if not 2 <= n_folds <= n_stimuli:
        raise BrainalignError(f"{n_folds} folds do not fit {n_stimuli} training stimuli; take from 2 to {n_stimuli}")
    fold = (rng.permutation(n_stimuli) % n_folds)[stimuli]
    found = {penalty: np.empty(targets.shape, dtype=np.float32) for penalty in penalties}
    for k in range(n_folds):
        held = fold == k
        absent = np.setdiff1d(subjects, subjects[~held])
        if len(absent):
            raise BrainalignError(
                f"a fold of {n_folds} leaves nothing to train on for {len(absent)} subjects; drop subjects with "
                "few stimuli"
            )
        for subject in np.unique(subjects):
            fitted, asked = ~held & (subjects == subject), held & (subjects == subject)
            parts = signals[fitted], targets[fitted], signals[asked]
            x, y, new = (np.asarray(part, dtype=np.float64) for part in parts)
            for penalty, predicted in zip(penalties, _paths(x, y, new, penalties), strict=True):
                found[penalty][asked] = predicted
    scores = {penalty: mean_cosine(predicted, targets) for penalty, predicted in found.items()}
    warn_of_edge(scores)
    best = max(penalties, key=lambda penalty: scores[penalty])
    return found[best], best


def best_penalty(
    signals: Callable[[NDArray[np.intp]], Values],
    targets: Values,
    whose: Labels,
    stimuli: NDArray[np.integer[Any]],
    rng: np.random.Generator,
) -> float:
    """Return the penalty whose ridge comes closest to targets of stimuli (from 0 on) that folds left out.

    Signals are read of some trials alone, given their rows.
    It may be far from 1: recordings share strong waves that say nothing, and most of the mean eigenvalue is theirs.
    Subjects with fewer stimuli than twice the folds are not asked; where none has as many, 1 is taken.
    """
    order = rng.permutation(stimuli.max() + 1)[stimuli]
    rows = [np.flatnonzero(whose == name) for name in np.unique(whose)]
    rows = [some[np.argsort(order[some], kind="stable")][:MOST_TRIALS] for some in rows]
    rows = [some for some in rows if len(np.unique(stimuli[some])) >= 2 * N_FOLDS]
    if not rows:
        return 1.0
    chosen = np.concatenate(rows)
    shown = np.unique(stimuli[chosen], return_inverse=True)[1]
    return cross_fitted(signals(chosen), targets[chosen], whose[chosen], shown, N_FOLDS, rng)[1]


def _paths(signals: Values, targets: Values, asked: Values, penalties: tuple[float, ...]) -> list[Values]:
    """Predict other trials by the ridge of one subject (n_asked, n_targets), for every penalty."""
    x, mean, target_mean = signals.reshape(len(signals), -1), signals.mean(axis=0).ravel(), targets.mean(axis=0)
    x = x - mean
    values, axes = np.linalg.eigh(x @ x.T)
    cross, y = (asked.reshape(len(asked), x.shape[1]) - mean) @ x.T @ axes, axes.T @ (targets - target_mean)
    level = max(values.sum() / len(x), np.finfo(float).tiny)  # nothing varies in one trial: predict its target
    return [target_mean + (cross / (values.clip(min=0) + penalty * level)) @ y for penalty in penalties]


def warn_of_edge(scores: dict[float, float]) -> None:
    """Warn where the best of several penalties is the last one of the grid and scores still rise towards it."""
    ordered = sorted(scores)
    best = max(ordered, key=lambda penalty: scores[penalty])
    if len(ordered) > 1 and best in (ordered[0], ordered[-1]):
        before = ordered[1] if best == ordered[0] else ordered[-2]
        if scores[best] > scores[before] + EDGE:
            warnings.warn(
                f"the penalty {best:g} is at the edge of those tried, {ordered[0]:g} to {ordered[-1]:g}, and scores "
                "still rise towards it; try wider ones",
                RuntimeWarning,
                stacklevel=3,
            )


def mean_cosine(a: Values, b: Values) -> float:
    """Return the mean cosine of rows (n_rows, n_dimensions); 0 for a row of zeros."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / np.where(norms > 0, norms, 1)).mean())
