"""Rows that are sums of a few of many atoms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]


@dataclass(frozen=True)
class SparseWorld:
    features: Singles  # (n_rows, n_features)
    codes: Singles  # (n_rows, n_atoms): how much of each atom a row holds, >= 0
    atoms: Singles  # (n_atoms, n_features): unit rows


def sparse_mixtures(n_rows=6000, n_features=32, n_atoms=64, n_active=3, noise=0.0, seed=0) -> SparseWorld:
    """Mix `n_active` random atoms per row, each with a weight between 1 and 2; noise of an sd on top."""
    rng = np.random.default_rng(seed)
    atoms = rng.normal(size=(n_atoms, n_features))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = np.zeros((n_rows, n_atoms))
    held = rng.random((n_rows, n_atoms)).argpartition(n_active - 1, axis=1)[:, :n_active]
    np.put_along_axis(codes, held, rng.uniform(1, 2, (n_rows, n_active)), axis=1)
    features = codes @ atoms + noise * rng.normal(size=(n_rows, n_features))
    return SparseWorld(features.astype(np.float32), codes.astype(np.float32), atoms.astype(np.float32))
