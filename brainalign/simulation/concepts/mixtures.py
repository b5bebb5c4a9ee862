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


def hierarchical_mixtures(
    n_rows: int = 6000,
    n_features: int = 32,
    n_parents: int = 8,
    n_children: int = 8,
    likeness: float = 0.7,
    noise: float = 0.0,
    seed: int = 0,
) -> SparseWorld:
    """Mix two children of different parents per row, each with a weight between 1 and 2.

    Children of a parent share its direction, so one look at a row that holds a child finds all its siblings too. After
    the best atom is taken out, they are gone.

    Parameters
    ----------
    n_rows, n_features : int
    n_parents, n_children : int
        Children of each parent; they are the atoms, siblings next to each other.
    likeness : float
        Mean cosine of siblings.
    noise : float
    seed : int

    Raises
    ------
    BrainalignError
        If there are fewer than two parents, or no room for children beside them.

    References
    ----------
    Costa V, Fel T, Lubana ES, Tolooshams B, Ba D (2025). From flat to hierarchical: extracting sparse representations
    with matching pursuit. arXiv:2506.03093
    """
    if not 2 <= n_parents < n_features:
        raise BrainalignError(f"{n_parents} parents of {n_features} features: give 2 or more, fewer than features")
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0].T
    parents, room = axes[:n_parents], axes[n_parents:]
    own = _unit(rng.normal(size=(n_parents, n_children, len(room)))) @ room
    children = np.sqrt(likeness) * parents[:, None] + np.sqrt(1 - likeness) * own
    chosen = rng.random((n_rows, n_parents)).argpartition(1, axis=1)[:, :2]  # two different parents
    held = chosen * n_children + rng.integers(n_children, size=(n_rows, 2))
    codes = np.zeros((n_rows, n_parents * n_children))
    np.put_along_axis(codes, held, rng.uniform(1, 2, (n_rows, 2)), axis=1)
    return _world(codes, children.reshape(-1, n_features), noise, rng)


def _world(
    codes: NDArray[np.float64], atoms: NDArray[np.float64], noise: float, rng: np.random.Generator
) -> SparseWorld:
    features = codes @ atoms + noise * rng.normal(size=(len(codes), atoms.shape[1]))
    return SparseWorld(features.astype(np.float32), codes.astype(np.float32), atoms.astype(np.float32))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))
