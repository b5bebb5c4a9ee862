"""Ensembles over layers and runs: each target weighs the models by how well they predicted its validation rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from brainalign.checks import BrainalignError
from brainalign.encoding.networks import correlations
from brainalign.regression import Array, MeanScore, as_tensor, same_kind_as


class Member(Protocol):
    """What an ensemble asks of an encoder: validation scores, and a seed that a run changes."""

    seed: int
    validation_r_: Array
    n_parameters_: int

    def fit(
        self, X: Array, Y: Array, *, groups: Array | None, grid: tuple[int, int] | None, roi: Array | None
    ) -> Member:
        """Fit all targets."""

    def predict(self, X: Array) -> Array:
        """Return predictions (n_rows, n_targets)."""


def ensemble_weights(validation_r: NDArray[np.floating], sharpness: float = 40.0) -> NDArray[np.float64]:
    """Return per-target weights softmax(sharpness · r) over models; they sum to 1.

    Parameters
    ----------
    validation_r : array (n_models, n_targets)
        Pearson's r; a model without a score for a target (NaN) counts as r = 0.
    sharpness : float
        0 weighs all models alike.
    """
    scaled = sharpness * np.nan_to_num(np.asarray(validation_r, dtype=np.float64))
    weights = np.exp(scaled - scaled.max(axis=0))
    return np.asarray(weights / weights.sum(axis=0))


class LayerEnsemble(MeanScore, BaseEstimator):  # type: ignore[misc]
    """One encoder per layer and run; predictions are averaged with weights of each target's own.

    Parameters
    ----------
    encoder : encoder with `validation_r_`
        Cloned for each layer and run; run k adds k to its seed, which also draws other validation rows.
    n_runs : int
        Per layer.
    sharpness : float
        Of the weights softmax(sharpness · validation r) over all models.

    Attributes
    ----------
    encoders_ : list
        Fitted; the runs of the first layer, then those of the second.
    weights_ : array (n_models, n_targets)
        Sum to 1 over models.
    n_parameters_ : int
        Of all models.

    References
    ----------
    Adeli H, Minni S, Kriegeskorte N (2025). Transformer brain encoders explain human high-level visual responses.
    arXiv:2505.17329

    Examples
    --------
    >>> from brainalign.encoding import RoutingEncoder
    >>> from brainalign.simulation import object_world
    >>> world = object_world(60, 20, n_targets=2)
    >>> ensemble = LayerEnsemble(RoutingEncoder(epochs=1), n_runs=2)
    >>> layers = [world.tokens, world.tokens[:, :, 4:]]
    >>> ensemble.fit(layers, world.responses, grid=world.grid, roi=world.roi).weights_.shape
    (4, 20)
    """

    def __init__(self, encoder: Member, n_runs: int = 1, sharpness: float = 40.0) -> None:
        self.encoder = encoder
        self.n_runs = n_runs
        self.sharpness = sharpness

    def fit(
        self,
        X: Sequence[Array],
        Y: Array,
        *,
        groups: Array | None = None,
        grid: tuple[int, int] | Sequence[tuple[int, int]] | None = None,
        roi: Array | None = None,
        semantics: Array | None = None,
    ) -> LayerEnsemble:
        """Fit every layer `n_runs` times.

        Parameters
        ----------
        X : list of arrays (n_rows, n_tokens, n_channels)
            One per layer.
        Y : array (n_rows, n_targets)
        groups, roi
            As for the encoder.
        grid : (rows, cols) or a list of them
            Of all layers, or of each.
        semantics
            Not used; giving them raises.

        Raises
        ------
        BrainalignError
            If there are no layers or runs, grids are not one per layer, or an encoder raises.
        """
        if semantics is not None:
            raise BrainalignError("LayerEnsemble cannot use semantics; leave them out")
        if self.n_runs < 1 or self.sharpness < 0:
            raise BrainalignError(
                f"got n_runs={self.n_runs}, sharpness={self.sharpness}; take n_runs >= 1 and sharpness >= 0"
            )
        _check_layers(X)
        grids = _grids(grid, len(X))
        self.encoders_: list[Member] = []
        for layer, places in zip(X, grids, strict=True):
            for run in range(self.n_runs):
                encoder = clone(self.encoder)
                encoder.seed = self.encoder.seed + run
                self.encoders_.append(encoder.fit(layer, Y, groups=groups, grid=places, roi=roi))
        scores = np.stack([np.asarray(as_tensor(encoder.validation_r_).cpu()) for encoder in self.encoders_])
        self.weights_ = same_kind_as(Y)(torch.from_numpy(ensemble_weights(scores, self.sharpness)))
        self.n_parameters_ = sum(encoder.n_parameters_ for encoder in self.encoders_)
        return self

    def predict(self, X: Sequence[Array]) -> Array:
        """Return predictions (n_rows, n_targets) for one array of tokens per layer.

        Raises
        ------
        BrainalignError
            If the number of layers differs from the fit's.
        """
        check_is_fitted(self)
        _check_layers(X)
        if len(X) * self.n_runs != len(self.encoders_):
            raise BrainalignError(
                f"X has {len(X)} layers but the ensemble was fitted on {len(self.encoders_) // self.n_runs}; "
                "give the same"
            )
        layers = [layer for layer in X for _ in range(self.n_runs)]
        total = torch.zeros((len(X[0]), self.weights_.shape[1]), dtype=torch.float64)
        for encoder, layer, weights in zip(self.encoders_, layers, as_tensor(self.weights_).cpu(), strict=True):
            total += weights * as_tensor(encoder.predict(layer)).cpu()
        return same_kind_as(X[0])(total.float())

    def score_targets(self, X: Sequence[Array], Y: Array) -> Array:
        """Return Pearson's r of each target over its observed rows; NaN for a constant one."""
        return same_kind_as(Y)(correlations(as_tensor(self.predict(X)).cpu(), as_tensor(Y).cpu()))


def _check_layers(X: object) -> None:
    if not isinstance(X, list | tuple) or not X:
        raise BrainalignError(f"X is {type(X).__name__}; an ensemble wants a list with an array of tokens per layer")


def _grids(grid: tuple[int, int] | Sequence[tuple[int, int]] | None, n_layers: int) -> list[tuple[int, int] | None]:
    """Return one grid per layer."""
    if grid is None:
        return [None] * n_layers
    shapes = np.array(grid)
    if shapes.ndim == 1:
        shapes = np.tile(shapes, (n_layers, 1))
    if len(shapes) != n_layers:
        raise BrainalignError(f"grid has {len(shapes)} entries for {n_layers} layers; give one for all or each")
    return [(int(rows), int(columns)) for rows, columns in shapes]
