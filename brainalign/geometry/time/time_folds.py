"""Which trials train and which test when epochs follow each other so closely that they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_rows, listed
from brainalign.study import check_folds_within

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


def leave_one_group_out(groups: Sequence[Any] | NDArray[Any]) -> list[Fold]:
    """Return (training rows, test rows) with every group, for example a recording, tested once.

    Raises
    ------
    BrainalignError
        If there is one group only.
    """
    codes, names = pd.factorize(np.asarray(groups))
    if len(names) < 2:
        raise BrainalignError(
            f"there is one group only ({listed(list(map(str, names)))}), so none can be left out; use contiguous_folds"
        )
    return [(np.flatnonzero(codes != code), np.flatnonzero(codes == code)) for code in range(len(names))]


def contiguous_folds(
    groups: Sequence[Any] | NDArray[Any],
    onsets_s: NDArray[np.floating[Any]],
    n_folds: int = 5,
    *,
    guard_s: float,
) -> list[Fold]:
    """Return folds within every group: blocks of successive trials, those near a test trial left out of training.

    Parameters
    ----------
    groups : array (n_trials,)
        For example recordings; each is cut into folds, and trained on, for itself.
    onsets_s : array (n_trials,)
        Seconds from the start of the group.
    n_folds : int
    guard_s : float
        Training trials whose onset lies less than this from that of a test trial are left out. Give the length of the
        window that is decoded, so that no sample is in a training and a test trial.

    Returns
    -------
    list of (training rows, test rows), n_groups * n_folds

    Raises
    ------
    BrainalignError
        If an onset is unknown, or a group has fewer than two trials per fold or none left to train on.
    """
    check_rows("onsets_s", len(onsets_s), "groups", len(groups), "give both for every trial")
    labels, found = np.asarray(groups), []
    check_folds_within(labels.tolist(), onsets_s, n_folds)
    for name in pd.unique(labels):
        rows = np.flatnonzero(labels == name)
        rows = rows[np.argsort(onsets_s[rows], kind="stable")]
        for test in np.array_split(rows, n_folds):
            near = np.abs(onsets_s[rows][:, None] - onsets_s[test]).min(axis=1) < guard_s
            train = np.sort(rows[~near])
            if not len(train):
                raise BrainalignError(
                    f"no trial of '{name}' is {guard_s:g} s or more away from the test trials; use more folds"
                )
            found.append((train, np.sort(test)))
    return found
