"""A linear classifier of the stimuli, without any model of them: what the responses tell apart at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import check_folds


def linear_classification(
    responses: NDArray[np.floating[Any]],
    stimulus_ids: NDArray[Any],
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
) -> NDArray[np.float64]:
    """Return the accuracy of multinomial logistic regression in each fold; chance is 1 / n_stimuli.

    It is the mean over stimuli of the share of their trials, so that none counts more for being shown more often.

    Parameters
    ----------
    responses : array (n_trials, n_targets)
    stimulus_ids : array (n_trials,)
    folds : sequence of (train rows, test rows)
        The scaler, too, is fitted on training rows only.

    Raises
    ------
    BrainalignError
        If a row is in both sides of a fold, a side is empty, or there is no such row.
    """
    check_folds(folds, len(responses))
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import recall_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    accuracies = []
    for train, test in folds:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        classifier.fit(responses[train], stimulus_ids[train])
        shown = stimulus_ids[test]
        # Over the stimuli that are tested: another that is answered costs the shown one its hit.
        accuracies.append(
            recall_score(shown, classifier.predict(responses[test]), labels=np.unique(shown), average="macro")
        )
    return np.array(accuracies)


def logistic_auc(
    responses: NDArray[np.floating[Any]],
    labels: NDArray[Any],
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
    c: float = 0.01,
) -> NDArray[np.float64]:
    """Return the area under the curve of logistic regression between two categories in each fold; .5 is chance.

    Parameters
    ----------
    responses : array (n_trials, n_targets)
    labels : array (n_trials,)
        Of two categories.
    folds : sequence of (train rows, test rows)
    c : float
        Inverse penalty, on standardised responses.

    Returns
    -------
    array (n_folds,); NaN where a test fold holds one category only

    Raises
    ------
    BrainalignError
        If a row is in both sides of a fold, a side is empty, or there is no such row.
    """
    check_folds(folds, len(responses))
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = []
    for train, test in folds:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
        classifier.fit(responses[train], labels[train])
        both = len(np.unique(labels[test])) == 2
        second = labels[test] == classifier.classes_[1]
        found.append(roc_auc_score(second, classifier.decision_function(responses[test])) if both else np.nan)
    return np.array(found)
