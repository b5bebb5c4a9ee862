"""A sparse dictionary of features: many atoms, a few of which explain each stimulus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite
from brainalign.features.dictionaries.sparse_coding import CODINGS
from brainalign.regression import descend


@dataclass(eq=False, repr=False)
class SparseAutoencoder(BaseEstimator):  # type: ignore[misc]
    """Learn atoms such that a few of them, with weights >= 0, add up to each row of features.

    Parameters
    ----------
    n_atoms : int
    n_active : int
        Atoms that may explain a row.
    coding : {"topk", "matching_pursuit"}
        The strongest at one look, or one after the other, each explaining what the earlier ones left.
    epochs, batch_size : int
    learning_rate : float
        Highest of a one-cycle schedule, Adam; rows are scaled to a mean square of 1.
    seed : int
        Of the start and the order of rows.

    Attributes
    ----------
    atoms_ : array (n_atoms, n_features)
        Unit rows.

    Examples
    --------
    >>> from brainalign.simulation import sparse_mixtures
    >>> features = sparse_mixtures(500, 8, 12, 2).features
    >>> codes = SparseAutoencoder(12, 2, epochs=2).fit_transform(features)
    >>> codes.shape, int((codes > 0).sum(axis=1).max())
    ((500, 12), 2)
    """

    n_atoms: int = 256
    n_active: int = 8
    coding: Literal["topk", "matching_pursuit"] = "topk"
    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-2
    seed: int = 0

    def fit(self, values: Values, *, rows: NDArray[Any] | None = None) -> SparseAutoencoder:
        """Learn from training rows.

        Parameters
        ----------
        values : array (n_stimuli, n_features)
        rows : array of int or bool, optional
            The training rows, all by default; others never take part.

        Raises
        ------
        BrainalignError
            If values are no finite matrix or do not vary, or an option does not fit.
        """
        check_choice("coding", self.coding, CODINGS)
        if not 0 < self.n_active <= self.n_atoms:
            raise BrainalignError(f"n_active is {self.n_active} of {self.n_atoms} atoms; choose 1 to {self.n_atoms}")
        train = np.asarray(values if rows is None else values[rows], dtype=np.float32)
        if train.ndim != 2 or len(train) < 2:
            raise BrainalignError(f"a dictionary takes 2 or more rows of features; got the shape {train.shape}")
        check_finite("the training rows", train, "drop the stimuli or the layer")
        self.mean_ = train.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.scale_ = float(np.sqrt(np.square(train - self.mean_).sum(axis=1, dtype=np.float64).mean()))
        if self.scale_ <= 1e-6 * float(np.abs(train).max()):
            raise BrainalignError("the training rows are all alike; a dictionary needs features that vary")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._train(torch.from_numpy((train - self.mean_) / self.scale_))
        return self

    def _train(self, rows: torch.Tensor) -> None:
        network = CODINGS[self.coding](rows.shape[1], self.n_atoms, self.n_active)
        steps = self.epochs * -(-len(rows) // self.batch_size)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=steps)

        def losses() -> Iterator[torch.Tensor]:
            for _ in range(self.epochs):
                for batch in rows[torch.randperm(len(rows))].split(self.batch_size):
                    yield network.loss(batch)
                    network.normalise()

        descend(losses(), optimizer, schedule)
        self._network = network
        self.atoms_ = network.atoms.detach().numpy().copy()

    def transform(self, values: Values) -> NDArray[np.float32]:
        """Return codes (n_stimuli, n_atoms), >= 0, in the units of the features.

        Raises
        ------
        BrainalignError
            If the number of features differs from the fit's.
        """
        check_is_fitted(self, "atoms_")
        if values.ndim != 2 or values.shape[1] != len(self.mean_):
            raise BrainalignError(
                f"values have shape {values.shape} but the dictionary was fitted on {len(self.mean_)} features; use "
                "the same layer and reduction"
            )
        scaled = torch.from_numpy((np.asarray(values, dtype=np.float32) - self.mean_) / self.scale_)
        with torch.no_grad():
            codes = torch.cat([self._network.encode(part) for part in scaled.split(4096)])
        return np.asarray(codes.numpy() * self.scale_)

    def fit_transform(self, values: Values) -> NDArray[np.float32]:
        """Learn from all rows and return their codes."""
        return self.fit(values).transform(values)

    def inverse_transform(self, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features (n_stimuli, n_features) that codes (n_stimuli, n_atoms) stand for."""
        check_is_fitted(self, "atoms_")
        origin = self.mean_ + self._network.bias.detach().numpy() * self.scale_
        return np.asarray(codes @ self.atoms_ + origin, dtype=np.float32)
