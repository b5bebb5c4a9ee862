"""Every channel and time of a subject brought to mean 0 and standard deviation 1, by training trials alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError


class SubjectScale:
    """Standardisation per subject; what does not vary in training (padding, dead channels) becomes 0.

    Parameters
    ----------
    names : sequence of str
        Subjects, in the order of the rows.
    mean, deviation : array (n_subjects, ...)
        Deviations are 0 where a subject has no such voxel, or a channel is flat.
    """

    def __init__(self, names: Sequence[str], mean: Values, deviation: Values) -> None:
        self.names = tuple(names)
        self.mean = np.asarray(mean, dtype=np.float32)
        self.deviation = np.asarray(deviation, dtype=np.float32)

    @classmethod
    def fit(cls, signals: Values, subjects: NDArray[Any]) -> SubjectScale:
        """Return the scale of training trials (n_trials, ...).

        Raises
        ------
        BrainalignError
            If a subject has a single trial, or nothing that varies.
        """
        labels = np.asarray(subjects).astype(str)
        names = sorted(set(labels.tolist()))
        means, deviations = [], []
        for name in names:
            own = np.asarray(signals[labels == name], dtype=np.float64)
            means.append(own.mean(axis=0))
            deviations.append(own.std(axis=0))
            if not deviations[-1].any():
                raise BrainalignError(
                    f"subject {name}: nothing varies in its {len(own)} training trials; give more trials, or leave it "
                    "out"
                )
        return cls(names, np.stack(means), np.stack(deviations))

    def rows(self, subjects: NDArray[Any]) -> NDArray[np.intp]:
        """Return the number of every trial's subject; −1 for one that was not in training."""
        known = {name: k for k, name in enumerate(self.names)}
        return np.array([known.get(str(name), -1) for name in subjects], dtype=np.intp)

    def constant(self) -> dict[str, int]:
        """Count the values of a trial that never vary in training, by subject; these are taken as 0."""
        return {name: int((own == 0).sum()) for name, own in zip(self.names, self.deviation, strict=True)}

    def apply(self, signals: Values, subjects: NDArray[Any]) -> NDArray[np.float32]:
        """Return standardised trials; an unknown subject gets the mean of the scales of all others."""
        found = np.zeros(signals.shape, dtype=np.float32)
        rows = self.rows(subjects)
        for row in np.unique(rows):
            mean = self.mean.mean(axis=0) if row < 0 else self.mean[row]
            deviation = self.deviation.mean(axis=0) if row < 0 else self.deviation[row]
            varies = deviation > 0
            own = (signals[rows == row] - mean) / np.where(varies, deviation, 1)
            found[rows == row] = np.where(varies, own, 0)  # also where padding holds something
        return found
