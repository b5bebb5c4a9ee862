"""All networks that were trained on the layers of a model as one: each target weighs them by validation scores."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from brainalign.arrays import Values
from brainalign.encoding.networks import SeedEnsemble
from brainalign.encoding.scoring import Contender, HeldOut

SHARPNESS = 40.0


def ensemble_weights(validation_r: Values) -> NDArray[np.float64]:
    """Compute weights softmax(SHARPNESS · r) over models, per target; a model without a score (NaN) counts as r = 0."""
    return np.asarray(softmax(SHARPNESS * np.nan_to_num(np.asarray(validation_r, dtype=np.float64)), axis=0))


class NetworkEnsemble:
    """A weighted mean over networks that are trained one after the other, with weights softmax(SHARPNESS · r).

    r is the validation score of a target, and its weights sum to 1 over all networks. Sums are kept, not predictions.
    The control is an ensemble of its own: of refits, weighed by the refits' scores.
    """

    def __init__(self) -> None:
        self.layers: list[str] = []  # of each network
        self.n_parameters = 0
        self.seconds = 0.0
        self._scores: list[Values] = []
        self._sums: dict[str, tuple[Values, Values]] = {}  # predictions times their weights, and the weights

    def add(self, layer: str, found: HeldOut, X: Values, semantics: Values | None = None) -> None:
        """Take the networks of a layer in: X (and semantics) are of the test stimuli, in the order of the scores."""
        fitted = cast(SeedEnsemble, found.encoder)
        self.layers += [layer] * len(fitted.encoders_)
        self.n_parameters += fitted.n_parameters_ * len(fitted.encoders_)
        self.seconds += fitted.seconds_
        self._scores.append(fitted.seed_validation_r_)
        for name, ensemble in {"fit": fitted, "control": found.refitted}.items():
            if ensemble is None:
                continue
            # |r| is 1 at most, so that nothing overflows.
            weights = np.exp(SHARPNESS * np.nan_to_num(ensemble.seed_validation_r_))[:, None]
            for weight, predicted in zip(weights, ensemble.predictions(X, semantics), strict=True):
                before = self._sums.get(name, (0, 0))
                self._sums[name] = before[0] + weight * predicted, before[1] + weight

    def contender(self, like: HeldOut, score: Callable[..., HeldOut]) -> Contender:
        """Return the ensemble as `score`d on the test stimuli of any of the layers, with the same nulls."""
        means = {name: (total / weights).astype(np.float32) for name, (total, weights) in self._sums.items()}
        found = score(
            self,
            means["fit"],
            like.measured,
            like.test_ids,
            like.n_repeats,
            controls=[(None, means["control"], slice(None))] if "control" in means else [],
            seconds=self.seconds,
            n_train=like.n_train,
        )
        return Contender(found, self.n_parameters)

    def weights(self, groups: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
        """Return a row per group and layer: the mean over targets of the weight that its networks have together."""
        each = ensemble_weights(np.concatenate(self._scores))  # (n_networks, n_targets)
        rows = []
        for layer in dict.fromkeys(self.layers):
            together = each[[name == layer for name in self.layers]].sum(axis=0)
            rows += [
                {"group": group, "layer": layer, "weight": together[targets].mean() if len(targets) else np.nan}
                for group, targets in groups.items()
            ]
        return pd.DataFrame(rows)
