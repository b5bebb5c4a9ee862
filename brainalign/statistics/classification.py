"""A linear classifier of the stimuli, without any model of them: what the responses tell apart at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["linear_classification"]


def linear_classification(
    responses: NDArray[np.floating[Any]],
    stimulus_ids: NDArray[Any],
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
) -> NDArray[np.float64]:
    """Return the accuracy of multinomial logistic regression in each fold; chance is 1 / n_stimuli.

    Parameters
    ----------
    responses : array (n_trials, n_targets)
    stimulus_ids : array (n_trials,)
    folds : sequence of (train rows, test rows)
        The scaler, too, is fitted on training rows only.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    accuracies = []
    for train, test in folds:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        classifier.fit(responses[train], stimulus_ids[train])
        accuracies.append(classifier.score(responses[test], stimulus_ids[test]))
    return np.array(accuracies)
