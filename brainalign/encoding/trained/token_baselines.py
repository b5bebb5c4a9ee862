"""Simpler encoders of the same tokens and images, beside one that was trained: what it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from brainalign.arrays import Values
from brainalign.encoding.networks import FactorizedReadout, GaussianReadout, SeedEnsemble
from brainalign.encoding.scoring import Contender, HeldOut
from brainalign.regression import Ridge

SMALL = 500  # training images up to which a penalty of each target's own is too uncertain to stand alone
MOST_CHANNELS = 64  # whose products are taken; of more, the leading components
MOST_SEMANTIC, MOST_INTERACTIONS = 16, 10_000  # components of semantics, and columns of their products with tokens


@dataclass(frozen=True)
class TokenLayer:
    """The tokens of one layer, and how encoders are fitted to them.

    Attributes
    ----------
    tokens : array (n_trials, n_tokens, n_channels)
    grid : (rows, columns)
    semantics : array (n_trials, n_semantic), optional
    cls : array (n_trials, n_channels), optional
    train : array of trial numbers
    test : array of trial numbers
        A trial of each test stimulus, in the order of the scores.
    n_images : int
        In training.
    roi : array (n_rois, n_targets) of bool or array (n_targets,), optional
        As the encoder is told.
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
    cls: Values | None
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    n_images: int
    roi: NDArray[Any] | None
    groups: Mapping[str, NDArray[np.intp]]
    n_targets: int
    trained: Any
    scaled: Callable[..., Values]
    evaluate: Callable[..., HeldOut]
    ensemble: Callable[[Any], SeedEnsemble]

    def ridge(self, name: str, X: Values) -> dict[str, Contender]:
        """Return ridge regression on features (n_trials, n_features); with few images also one penalty for all targets.

        Penalties that are chosen for each target are too scattered then.
        """
        n_parameters = (X.shape[1] + 1) * self.n_targets
        kinds = {name: Ridge(device=self.trained.device)}
        if self.n_images <= SMALL:
            kinds[f"{name}, one penalty"] = Ridge(per_target_alpha=False, device=self.trained.device)
        return {name: Contender(self.evaluate(ridge, X), n_parameters) for name, ridge in kinds.items()}

    def changed(self, **options: Any) -> Contender:
        """Return the encoder itself with other options, trained in the same way."""
        told = {"roi": self.roi, "semantics": self.semantics}
        told = {name: value for name, value in told.items() if value is not None}
        held = self.evaluate(
            self.ensemble(clone(self.trained).set_params(**options)), self.tokens, grid=self.grid, **told
        )
        semantics = None if self.semantics is None else self.semantics[self.test]
        return Contender.trained(held, self.groups, self.tokens[self.test], semantics)

    def readout(self, encoder: Any) -> Contender:
        """Return a read-out that is trained as the encoder is, with the options that they share."""
        shared = set(encoder.get_params()) & set(self.trained.get_params()) - {"progress", "checkpoint"}
        options = {name: value for name, value in self.trained.get_params().items() if name in shared}
        if options.get("patience") is not None:  # of an encoder that knows no other schedule than a constant one
            options.setdefault("schedule", "constant")
        held = self.evaluate(self.ensemble(encoder.set_params(**options)), self.tokens, grid=self.grid)
        return Contender.trained(held, self.groups, self.tokens[self.test])


def _all_tokens(layer: TokenLayer) -> dict[str, Contender]:
    """Return ridge on all tokens; where the encoder knows semantics, also on both."""
    X = layer.scaled(layer.tokens, maps=True)
    found = layer.ridge("ridge, all tokens", X)
    if layer.semantics is not None:
        both = np.concatenate([X, layer.scaled(layer.semantics, maps=False)], axis=1)
        found |= layer.ridge("ridge, tokens and semantics", both)
    return found


def _mean_token(layer: TokenLayer) -> dict[str, Contender]:
    return layer.ridge("ridge, mean token", layer.scaled(layer.tokens.mean(axis=1), maps=False))


def _factorized(layer: TokenLayer) -> dict[str, Contender]:
    """Return the factorized read-out, unless it is itself what was trained."""
    if isinstance(layer.trained, FactorizedReadout):
        return {}
    return {"factorized": layer.readout(FactorizedReadout())}


def _gaussian(layer: TokenLayer) -> dict[str, Contender]:
    """Return the Gaussian read-out, unless it is itself what was trained."""
    if isinstance(layer.trained, GaussianReadout):
        return {}
    return {"gaussian": layer.readout(GaussianReadout())}


def _second_order(layer: TokenLayer) -> dict[str, Contender]:
    """Return ridge on the mean over tokens of the products of two channels: what goes with what, wherever it is."""
    tokens = layer.tokens
    if tokens.shape[2] > MOST_CHANNELS:
        tokens = tokens @ _leading_channels(tokens, layer.train)
    pairs = np.triu_indices(tokens.shape[2])
    products = np.stack([(each.T @ each)[pairs] for each in tokens]) / tokens.shape[1]
    return layer.ridge("ridge, products of channels", layer.scaled(products, maps=False))


def _leading_channels(tokens: Values, train: NDArray[np.intp]) -> Values:
    """Return weights (n_channels, MOST_CHANNELS) of the directions in which training tokens are largest."""
    moment = np.zeros((tokens.shape[2], tokens.shape[2]))
    for row in train:
        moment += tokens[row].T @ tokens[row]
    return np.asarray(np.linalg.eigh(moment)[1][:, -MOST_CHANNELS:], dtype=tokens.dtype)


def _interactions(layer: TokenLayer) -> dict[str, Contender]:
    """Return ridge on tokens, and on tokens times each semantic value; nothing where there are no semantics.

    Where that is too wide, semantics are replaced by their leading components, and tokens by a random projection.
    """
    if layer.semantics is None:
        return {}
    from sklearn.decomposition import PCA
    from sklearn.random_projection import SparseRandomProjection

    z, x = layer.semantics, layer.tokens.reshape(len(layer.tokens), -1)
    n_semantic = min(MOST_SEMANTIC, len(layer.train) - 1)
    if z.shape[1] > n_semantic:
        z = PCA(n_semantic).fit(z[layer.train]).transform(z)
    n_tokens = MOST_INTERACTIONS // (1 + z.shape[1])
    if x.shape[1] > n_tokens:
        x = SparseRandomProjection(n_tokens, random_state=0).fit_transform(x)
    x, z = layer.scaled(x, maps=True), _z_scored(z, layer.train)
    both = np.concatenate([x, *(x * value[:, None] for value in z.T)], axis=1)
    return layer.ridge("ridge, tokens times semantics", both.astype(np.float32))


def _z_scored(values: Values, train: NDArray[np.intp]) -> Values:
    """Return values with mean 0 and variance 1 over training rows; constant ones stay 0 there."""
    sd = values[train].std(axis=0)
    return np.asarray((values - values[train].mean(axis=0)) / np.where(sd > 0, sd, 1))


BASELINES: dict[str, Callable[[TokenLayer], dict[str, Contender]]] = {
    "tokens": _all_tokens,
    "mean": _mean_token,
    "second_order": _second_order,
    "interactions": _interactions,
    "factorized": _factorized,
    "gaussian": _gaussian,
}
