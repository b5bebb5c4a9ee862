"""Pre-trained networks of several seeds as one encoder, and the same with a context from which nothing can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from brainalign.arrays import Rows, Values
from brainalign.encoding.in_context.encoder import InContextEncoder
from brainalign.encoding.in_context.fallback import BAYES, NETWORK, RIDGE, groups_of_targets
from brainalign.regression import Array

ERRORS = (NETWORK, BAYES, RIDGE)


@dataclass(eq=False, repr=False)
class InContextEnsemble(BaseEstimator):  # type: ignore[misc]
    """Networks of several seeds that read the same context: the mean of their predictions.

    Parameters
    ----------
    encoders : sequence of InContextEncoder
        Pre-trained; cloned, and none of their networks changes.
    roi : array (n_chosen,), optional
        Label per chosen target: each region falls back to ridge, or does not, by itself.
    targets : array of target numbers, optional
        That are encoded; the others are predicted by their mean. All where not given.

    Attributes
    ----------
    encoders_ : list of fitted InContextEncoder
    cv_scores_ : array (1, n_targets)
        Share of the context's variance that what is taken explains of images left out, in the target's group; NaN
        without fallback.
    fallbacks_ : DataFrame
        A row per seed and group: seed, group, n_targets, in_context, empirical_bayes (NaN where its units are not
        known), ridge (leave-one-out errors in units of the context's variance), taken, falls_back.
    """

    metric = "r2"  # what cv_scores_ are

    encoders: Sequence[InContextEncoder]
    roi: NDArray[Any] | None = None
    targets: Rows | None = None

    def fit(self, X: Values, Y: Values, *, groups: Array | None = None) -> InContextEnsemble:
        """Encode the context (n_images, n_features), (n_images, n_targets)."""
        chosen = np.arange(Y.shape[1]) if self.targets is None else np.asarray(self.targets)
        self.means_ = Y.mean(axis=0)
        # Columns of a row-major selection lie apart in memory; the network wants them side by side.
        context = np.ascontiguousarray(Y[:, chosen])
        self.encoders_ = [clone(encoder).fit(X, context, groups=groups, roi=self.roi) for encoder in self.encoders]
        self.chosen_ = chosen
        least = self.encoders_[0].min_group
        members = groups_of_targets(self.roi, len(chosen), least)
        rows = [
            {"seed": one.seed, "group": label, "n_targets": len(members[label])}
            | {name: one.context_errors_[label].get(name, np.nan) for name in ERRORS}
            | {"taken": name, "falls_back": name != NETWORK, "error": one.context_errors_[label][name]}
            for one in self.encoders_
            for label, name in one.taken_.items()
        ]
        names = ["seed", "group", "n_targets", *ERRORS, "taken", "falls_back"]
        table = pd.DataFrame(rows, columns=[*names, "error"])
        self.fallbacks_ = table[names]
        self.cv_scores_ = np.full((1, Y.shape[1]), np.nan)
        better = table["error"].groupby(table["group"]).mean()
        for label, error in better.items():
            self.cv_scores_[0, chosen[members[str(label)]]] = 1 - error
        return self

    def predictions(self, X: Values) -> Values:
        """Predict responses by each seed (n_seeds, n_images, n_targets)."""
        found = np.empty((len(self.encoders_), len(X), len(self.means_)), dtype=np.float32)
        found[:] = self.means_
        for each, encoder in zip(found, self.encoders_, strict=True):
            each[:, self.chosen_] = encoder.predict(X)
        return found

    def predict(self, X: Values) -> Values:
        """Return the mean prediction (n_images, n_targets)."""
        return np.asarray(self.predictions(X).mean(axis=0))


class ShuffledContext:
    """A control: each target's responses are exchanged between the images of the context, each in its own way."""

    def __init__(self, encoder: InContextEnsemble, seed: int) -> None:
        self.encoder, self.seed = encoder, seed

    def __sklearn_clone__(self) -> ShuffledContext:
        return ShuffledContext(clone(self.encoder), self.seed)

    def fit(self, X: Values, Y: Values) -> ShuffledContext:
        """Fit to responses from which nothing can be read."""
        self.encoder.fit(X, np.random.default_rng([self.seed, len(Y)]).permuted(Y, axis=0))
        return self

    def predict(self, X: Values) -> Values:
        """Return predictions."""
        return self.encoder.predict(X)
