"""How good a dictionary is: what it explains, how many atoms it uses, and whether another start finds the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.features.dictionaries.dictionaries import SparseAutoencoder

SAME = 0.9  # cosine above which matched atoms are called the same


@dataclass(frozen=True)
class DictionaryQuality:
    """Of rows that a dictionary did not see.

    Attributes
    ----------
    unexplained : float
        Share of the variance of the features (FVU).
    n_active : float
        Mean number of atoms above 0 per row (L0).
    dead : float
        Share of atoms that no row uses.
    """

    unexplained: float
    n_active: float
    dead: float


def dictionary_quality(dictionary: SparseAutoencoder, values: Values) -> DictionaryQuality:
    """Measure a fitted dictionary on rows (n_stimuli, n_features) held out from its training.

    Raises
    ------
    BrainalignError
        If the rows do not vary, or are of another width.
    """
    codes = dictionary.transform(values)
    spread = float(np.square(values - values.mean(axis=0)).sum(dtype=np.float64))
    if not spread:
        raise BrainalignError(f"the {len(values)} rows are all alike; give rows that vary")
    rest = float(np.square(values - dictionary.inverse_transform(codes)).sum(dtype=np.float64))
    return DictionaryQuality(
        rest / spread, float((codes > 0).sum(axis=1).mean()), float((codes <= 0).all(axis=0).mean())
    )


def match_atoms(atoms: Values, others: Values) -> NDArray[np.float64]:
    """Return the cosines of atoms with those of another dictionary, one to one so that their sum is largest.

    Parameters
    ----------
    atoms : array (n_atoms, n_features)
        Unit rows.
    others : array (n_others, n_features)

    Returns
    -------
    array (min(n_atoms, n_others),)

    Raises
    ------
    BrainalignError
        If the dictionaries are of different widths.
    """
    if atoms.shape[1] != others.shape[1]:
        raise BrainalignError(
            f"atoms of {atoms.shape[1]} and of {others.shape[1]} features cannot be matched; learn both on one layer"
        )
    cosines = atoms.astype(np.float64) @ others.T
    return np.asarray(cosines[linear_sum_assignment(cosines, maximize=True)])


def stability(dictionaries: list[Values], seed: int = 0) -> dict[str, float]:
    """Compare dictionaries learned from different starts, beside random ones of the same shape.

    Parameters
    ----------
    dictionaries : list of array (n_atoms, n_features)
        Unit rows, each from a start of its own: a shared start makes any two alike.
    seed : int
        Of the random dictionaries, as many as there are learned ones.

    Returns
    -------
    dict
        `stability`, mean cosine of matched atoms over pairs of dictionaries; `same`, share of atoms above .9; the same
        of random unit atoms as `random_stability` and `random_same`.

    Raises
    ------
    BrainalignError
        If there are fewer than two, or two are equal and so share their start.

    References
    ----------
    Paulo G, Belrose N (2025). Sparse autoencoders trained on the same data learn different features. arXiv:2501.16615
    """
    if len(dictionaries) < 2:
        raise BrainalignError(f"stability compares 2 or more dictionaries; got {len(dictionaries)}")
    if any(np.array_equal(one, other) for one, other in combinations(dictionaries, 2)):
        raise BrainalignError("two dictionaries are equal: they share their start; learn each with a seed of its own")
    rng = np.random.default_rng(seed)
    random = [rng.normal(size=atoms.shape) for atoms in dictionaries]
    random = [atoms / np.linalg.norm(atoms, axis=1, keepdims=True) for atoms in random]
    found = {}
    for prefix, several in (("", dictionaries), ("random_", random)):
        cosines = [match_atoms(one, other) for one, other in combinations(several, 2)]
        found[f"{prefix}stability"] = float(np.mean([each.mean() for each in cosines]))
        found[f"{prefix}same"] = float(np.mean([(each > SAME).mean() for each in cosines]))
    return found
