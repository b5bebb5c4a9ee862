"""Simpler encoders of the same tokens and images, beside one that was trained: what it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.encoding.held_out import HeldOut
from brainalign.encoding.readouts import FactorizedReadout
from brainalign.encoding.ridge import Ridge
from brainalign.encoding.seeds import SeedEnsemble
from brainalign.encoding.side_by_side import Contender

__all__ = ["BASELINES", "TokenLayer"]

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class TokenLayer:
    """The tokens of one layer, and how encoders are fitted to them.

    Attributes
    ----------
    tokens : array (n_trials, n_tokens, n_channels)
    grid : (rows, columns)
    semantics : array (n_trials, n_semantic), optional
    test : array of trial numbers
        A trial of each test stimulus, in the order of the scores.
    groups : mapping of arrays of target numbers
        Among the targets that are trained.
    n_targets : int
    trained : encoder
        Whose options the others share.
    scaled : function of features (n_trials, ...) and maps (bool) to (n_trials, n_features)
        As ridge takes them: centred and scaled by training rows alone; places of a map keep their own variance.
    evaluate : function of an encoder, X and keywords to HeldOut
        On the targets that are trained.
    ensemble : function of an encoder to SeedEnsemble
    """

    tokens: Values
    grid: tuple[int, int]
    semantics: Values | None
    test: NDArray[np.intp]
    groups: Mapping[str, NDArray[np.intp]]
    n_targets: int
    trained: Any
    scaled: Callable[..., Values]
    evaluate: Callable[..., HeldOut]
    ensemble: Callable[[Any], SeedEnsemble]

    def ridge(self, X: Values) -> Contender:
        """Return ridge regression on features (n_trials, n_features), with an offset per target."""
        held = self.evaluate(Ridge(device=self.trained.device), X)
        return Contender(held, (X.shape[1] + 1) * self.n_targets)

    def readout(self, encoder: Any) -> Contender:
        """Return a read-out that is trained as the encoder is, with the options that they share."""
        shared = set(encoder.get_params()) & set(self.trained.get_params()) - {"progress", "checkpoint"}
        options = {name: value for name, value in self.trained.get_params().items() if name in shared}
        held = self.evaluate(self.ensemble(encoder.set_params(**options)), self.tokens, grid=self.grid)
        return Contender.trained(held, self.groups, self.tokens[self.test])


def _all_tokens(layer: TokenLayer) -> dict[str, Contender]:
    """Return ridge on all tokens; where the encoder knows semantics, also on both."""
    X = layer.scaled(layer.tokens, maps=True)
    found = {"ridge, all tokens": layer.ridge(X)}
    if layer.semantics is not None:
        both = np.concatenate([X, layer.scaled(layer.semantics, maps=False)], axis=1)
        found["ridge, tokens and semantics"] = layer.ridge(both)
    return found


def _mean_token(layer: TokenLayer) -> dict[str, Contender]:
    return {"ridge, mean token": layer.ridge(layer.scaled(layer.tokens.mean(axis=1), maps=False))}


def _factorized(layer: TokenLayer) -> dict[str, Contender]:
    """Return the factorized read-out, unless it is itself what was trained."""
    if isinstance(layer.trained, FactorizedReadout):
        return {}
    return {"factorized": layer.readout(FactorizedReadout())}


BASELINES: dict[str, Callable[[TokenLayer], dict[str, Contender]]] = {
    "tokens": _all_tokens,
    "mean": _mean_token,
    "factorized": _factorized,
}
