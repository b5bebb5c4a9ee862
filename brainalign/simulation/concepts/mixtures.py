"""Features that are sums of a few atoms of a known dictionary: any atoms, or families of atoms that are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError

Values = NDArray[np.float32]


@dataclass(frozen=True)
class SparseWorld:
    """Features and the truth behind them.

    Attributes
    ----------
    features : array (n_rows, n_features)
    codes : array (n_rows, n_atoms)
        How much of each atom a row holds, >= 0.
    atoms : array (n_atoms, n_features)
        Unit rows.
    """

    features: Values
    codes: Values
    atoms: Values


def sparse_mixtures(
    n_rows: int = 6000, n_features: int = 32, n_atoms: int = 64, n_active: int = 3, noise: float = 0.0, seed: int = 0
) -> SparseWorld:
    """Mix `n_active` random atoms per row, each with a weight between 1 and 2.

    Parameters
    ----------
    n_rows, n_features, n_atoms, n_active : int
    noise : float
        Standard deviation of what is added to every feature.
    seed : int

    Raises
    ------
    BrainalignError
        If a row is to hold more atoms than there are.

    Examples
    --------
    >>> world = sparse_mixtures(10, 8, 12, 2)
    >>> world.features.shape, int((world.codes[0] > 0).sum())
    ((10, 8), 2)
    """
    if not 0 < n_active <= n_atoms:
        raise BrainalignError(f"a row cannot hold {n_active} of {n_atoms} atoms; choose between 1 and {n_atoms}")
    rng = np.random.default_rng(seed)
    atoms = _unit(rng.normal(size=(n_atoms, n_features)))
    codes = np.zeros((n_rows, n_atoms))
    held = rng.random((n_rows, n_atoms)).argpartition(n_active - 1, axis=1)[:, :n_active]
    np.put_along_axis(codes, held, rng.uniform(1, 2, (n_rows, n_active)), axis=1)
    return _world(codes, atoms, noise, rng)


def _world(
    codes: NDArray[np.float64], atoms: NDArray[np.float64], noise: float, rng: np.random.Generator
) -> SparseWorld:
    features = codes @ atoms + noise * rng.normal(size=(len(codes), atoms.shape[1]))
    return SparseWorld(features.astype(np.float32), codes.astype(np.float32), atoms.astype(np.float32))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))
