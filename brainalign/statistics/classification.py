"""A linear classifier of the stimuli, without any model of them: what the responses tell apart at all."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values, label_codes
from brainalign.checks import BrainalignError, check_finite, check_folds, numbers
from brainalign.statistics.scores import is_constant


def linear_classification(
    responses: NDArray[np.floating[Any]],
    stimulus_ids: NDArray[Any],
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
) -> NDArray[np.float64]:
    """Return the accuracy of multinomial logistic regression in each fold; chance is 1 / n_stimuli.

    It is the mean over stimuli of the share of their trials, so that none counts more for being shown more often. The
    scaler, too, is fitted on training rows only; folds (train rows, test rows) that overlap are refused.
    """
    from sklearn.metrics import recall_score

    (codes, _), responses = label_codes("stimulus_ids", stimulus_ids, sort=True), numbers("responses", responses)
    accuracies = []
    for classifier, test in _fitted(responses, codes, folds):
        shown = codes[test]
        # Over the stimuli that are tested: another that is answered costs the shown one its hit.
        accuracies.append(
            recall_score(shown, classifier.predict(responses[test]), labels=np.unique(shown), average="macro")
        )
    return np.array(accuracies)


def _fitted(
    responses: NDArray[np.floating[Any]],
    labels: NDArray[Any],
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    c: float = 1.0,
) -> Iterator[tuple[Any, NDArray[np.intp]]]:
    """Yield a classifier of standardised responses, fitted to the training rows of each fold, and the test rows."""
    check_folds(folds, len(responses))
    check_finite("responses", responses, "drop these trials or targets")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for train, test in folds:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
        yield classifier.fit(responses[train], labels[train]), test


def logistic_auc(
    responses: NDArray[np.floating[Any]],
    labels: NDArray[Any],
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    c: float = 0.01,
) -> NDArray[np.float64]:
    """Return the area under the curve of logistic regression between two categories in each fold; .5 is chance.

    `c` is the inverse penalty, on standardised responses (n_trials, n_targets). NaN where a test fold holds one
    category only; folds that overlap are refused.
    """
    from sklearn.metrics import roc_auc_score

    (codes, names), responses, found = label_codes("labels", labels, sort=True), numbers("responses", responses), []
    if len(names) != 2:
        raise BrainalignError(f"the area under the curve is of two categories, not {len(names)}; keep two")
    for classifier, test in _fitted(responses, codes, folds, c):
        both = len(np.unique(codes[test])) == 2
        second = codes[test] == 1
        found.append(roc_auc_score(second, classifier.decision_function(responses[test])) if both else np.nan)
    return np.array(found)


# R² = 1 - Σ (y - ŷ)² / Σ (y - mean of the training rows)²        over all targets and held-out rows

ROUNDING = 1e-12  # of the target that varies most: what varies less does so by rounding


class Encoder(Protocol):
    """What cross-validation asks of an encoder of many targets: the contract of `ENCODERS`."""

    def fit(self, X: Any, Y: Any, *, groups: Any = None) -> object:
        """Fit X (n_rows, n_features) to Y (n_rows, n_targets), rows of one of the groups (n_rows,) kept together."""

    def predict(self, X: Any, /) -> Any:
        """Return (n_rows, n_targets)."""


class Regressor(Protocol):
    """Anything with fit and predict, such as `brainalign.regression.Ridge` or scikit-learn's."""

    def fit(self, X: Any, Y: Any, /) -> object:
        """Fit to X (n_stimuli, p) and Y (n_stimuli, q)."""

    def predict(self, X: Any, /) -> Any:
        """Return the prediction (n_stimuli, q) of X (n_stimuli, p)."""


def held_out_prediction(
    regressor: Regressor, X: Values, Y: Values, unseen: Values, *, standardise: bool = False, **given: Any
) -> NDArray[np.float64]:
    """Predict the targets of unseen rows; a target that does not vary is predicted as it is, without a fit.

    The regressor is fitted anew, to X and Y less their means, features divided by their standard deviation over the
    rows of X where they vary (`standardise`). `given` is what the fit is told besides, such as `groups`.
    """
    # Ranges of integers, and squares of float16, are beyond their type.
    X, Y, unseen = (np.asarray(a, dtype=np.result_type(a, np.float32)) for a in (X, Y, unseen))
    middle, mean = X.mean(axis=0), Y.mean(axis=0)
    varied, range_ = np.ptp(X, axis=0) > 0, np.ptp(Y, axis=0)  # the spread of a constant is rounding, seldom 0
    scale, varies = np.where(varied & standardise, X.std(axis=0), 1), range_ > ROUNDING * range_.max(initial=0)
    found = np.tile(np.asarray(mean, dtype=np.float64), (len(unseen), 1))
    if varies.any():
        regressor.fit((X - middle) / scale, (Y - mean)[:, varies], **given)
        predicted = np.asarray(regressor.predict((unseen - middle) / scale))
        found[:, varies] += predicted.reshape(len(unseen), -1)  # of one target some give one dimension
    return found


def held_out_r2(regressor: Regressor, X: Values, Y: Values, parts: Sequence[NDArray[np.intp]]) -> float:
    """Compute the R² of all targets together, which large ones count in most; NaN where none varies.

    Parameters
    ----------
    regressor : Regressor
        Fitted anew for every part.
    X, Y : array (n_rows, n_features), (n_rows, n_targets)
    parts : sequence of arrays
        The rows that each fit leaves out; all others in the order of the parts, for regressions with inner folds.
    """
    residual = total = 0.0
    exact = np.asarray(Y, dtype=np.float64)
    for k, part in enumerate(parts):
        rest = np.concatenate([*parts[:k], *parts[k + 1 :]])
        residual += float(np.sum((exact[part] - held_out_prediction(regressor, X[rest], Y[rest], X[part])) ** 2))
        total += float(np.sum((exact[part] - exact[rest].mean(axis=0)) ** 2))
    constant = is_constant(np.asarray(total), np.asarray(np.sum(exact**2)))
    return float("nan") if constant else 1 - residual / total


TIE = 1e-6  # correlations closer than this are equal: float32 predictions carry no more


def _pattern_correlations(predicted: Values, measured: Values) -> Values:
    """Return correlations over targets (..., n_measured, n_predicted)."""
    predicted, measured = numbers("predicted", predicted), numbers("measured", measured)
    if predicted.shape != measured.shape or predicted.ndim < 2 or predicted.shape[-1] < 2:
        raise BrainalignError(
            f"identification correlates patterns over targets: predicted {predicted.shape} and measured "
            f"{measured.shape} must have the same shape (..., n_stimuli, n_targets) with 2 targets or more"
        )
    unit = []
    for patterns in (measured, predicted):
        centred = np.asarray(patterns, dtype=np.float64)
        centred = centred - centred.mean(axis=-1, keepdims=True)
        norm = np.linalg.norm(centred, axis=-1, keepdims=True)
        unit.append(centred / np.where(norm > 0, norm, 1))
    return np.asarray(unit[0] @ np.swapaxes(unit[1], -1, -2))


def identification(predicted: Values, measured: Values) -> tuple[Values, NDArray[np.intp]]:
    """Find, for each measured pattern, the prediction that correlates best with it.

    Parameters
    ----------
    predicted, measured : array (..., n_stimuli, n_targets)
        Row i of both belongs to the same stimulus. Chance is 1 / n_stimuli.

    Returns
    -------
    correct : array (..., n_stimuli)
        1 when the right one is best, 0 when not, 1/k when it ties with k − 1 others.
    chosen : array (..., n_stimuli) of int
        Row of the best prediction (the first of equals).

    References
    ----------
    Kay KN, Naselaris T, Prenger RJ, Gallant JL (2008). Identifying natural images from human brain activity. Nature
    452:352-355. doi:10.1038/nature06713
    """
    correlations = _pattern_correlations(predicted, measured)
    tied = correlations >= correlations.max(axis=-1, keepdims=True) - TIE
    return np.diagonal(tied, axis1=-2, axis2=-1) / tied.sum(axis=-1), correlations.argmax(axis=-1)


def pair_matching(predicted: Values, measured: Values) -> Values:
    """Match every two stimuli with their predictions: 1 if the right matching correlates better, 1/2 if they tie.

    Both arrays are (..., n_stimuli, n_targets), the result (..., n_pairs); chance is 1/2.
    """
    correlations = _pattern_correlations(predicted, measured)
    i, j = np.triu_indices(correlations.shape[-1], 1)
    right = correlations[..., i, i] + correlations[..., j, j]
    gain = right - (correlations[..., i, j] + correlations[..., j, i])  # NaN, as its sign, where a pattern holds NaN
    return np.where(np.abs(gain) < 2 * TIE, 0.5, (1 + np.sign(gain)) / 2)
