"""Which known features of the stimuli fill the variance of a representation: what similarity of networks rests on.

A network may compute two features equally well and give one ten times the variance (easy, early or frequent ones): then
RSA, CKA and regression see that one. These tables say how much, and the controls give every feature the same variance.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.geometry.network_similarity import ROUNDING, centred, representation
from brainalign.statistics import Regressor, held_out_r2

Known = Mapping[str, NDArray[Any]]


def _design(features: Known, n: int) -> dict[str, NDArray[np.float64]]:
    """Return the centred columns of every feature: a number, or an indicator per value of a category."""
    columns = {}
    for name, values in features.items():
        values = np.asarray(values)
        check_rows(f"feature {name!r}", len(values), "X", n, "give one value per stimulus")
        if values.dtype.kind in "fiu" and values.ndim == 1:
            block = centred(representation(f"feature {name!r}", values[:, None]))
        else:
            block = centred(pd.get_dummies(pd.Series(values.astype(str))).to_numpy(dtype=np.float64))
        if not block.any():
            raise BrainalignError(f"feature {name!r} is the same for all {n} stimuli; leave it out")
        columns[name] = block
    return columns


def _fitted(block: Values, X: Values) -> Values:
    return np.asarray(block @ np.linalg.lstsq(block, X, rcond=None)[0])


def feature_bias(
    X: Values, features: Known, regressor: Regressor | None = None, folds: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Compute the share of a representation's variance that each known feature explains, and its decodability.

    Parameters
    ----------
    X : array (n_stimuli, n_units)
    features : mapping of array (n_stimuli,)
        Numbers, or labels of categories.
    regressor : Regressor, optional
        Reads features out of X on held-out stimuli, such as `brainalign.regression.Ridge`; without it no decodability.
    folds, seed : int
        Random folds for it.

    Returns
    -------
    DataFrame
        A row per feature: feature, explained (share of the variance of all units that a regression on this feature
        alone explains), unique (what the others do not explain), chance (expected of a shuffled feature: columns over
        n - 1), decodability (held-out share of the feature's variance; NaN without regressor), n_columns, n_stimuli.

    Raises
    ------
    BrainalignError
        If a feature does not fit or is the same for all stimuli.

    References
    ----------
    Lampinen AK, Chan SCY, Hermann K (2024). Learned feature representations are biased by complexity, learning order,
    position, and more. TMLR. arXiv:2405.05847; Lampinen AK et al. (2025). arXiv:2507.22216
    """
    X = centred(representation("X", X))
    columns, total = _design(features, len(X)), np.sum(X**2)
    explained_all = np.sum(_fitted(np.hstack(list(columns.values())), X) ** 2)
    parts = np.array_split(np.random.default_rng(seed).permutation(len(X)), folds)
    rows = []
    for name, block in columns.items():
        others = [other for key, other in columns.items() if key != name]
        without = np.sum(_fitted(np.hstack(others), X) ** 2) if others else 0.0
        rank = int(np.linalg.matrix_rank(block))
        row = {
            "feature": name,
            "explained": float(np.sum(_fitted(block, X) ** 2) / total) if total > 0 else float("nan"),
            "unique": float((explained_all - without) / total) if total > 0 else float("nan"),
            "chance": rank / (len(X) - 1),
            "decodability": held_out_r2(regressor, X, block, parts) if regressor is not None else float("nan"),
            "n_columns": rank,
            "n_stimuli": len(X),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def equal_variance(X: Values, features: Known, least: float = 0.03) -> NDArray[np.float64]:
    """Return a representation in which every known feature it holds has the same variance: the control of feature bias.

    X is regressed on all features at once; the part of each is scaled to mean square 1 over stimuli, and what none of
    them explains is dropped. What similarity is left between networks after this does not rest on how much variance
    they give to each feature. The shape (n_stimuli, n_units) stays.

    Parameters
    ----------
    X : array (n_stimuli, n_units)
    features : mapping of array (n_stimuli,)
    least : float
        Share of the variance from which on a feature counts as represented; twice the share of a shuffled feature where
        that is more. Others are left out, since scaling them up would make every network hold everything.

    Raises
    ------
    BrainalignError
        If a feature does not fit or is the same for all stimuli.

    Notes
    -----
    Correlated features share variance that regression gives to neither.
    """
    X = centred(representation("X", X))
    columns = _design(features, len(X))
    weights = np.linalg.lstsq(np.hstack(list(columns.values())), X, rcond=None)[0]
    total = np.sum(X**2)
    parts, first = [], 0
    for block in columns.values():
        part = block @ weights[first : first + block.shape[1]]
        first += block.shape[1]
        chance = float(np.linalg.matrix_rank(block)) / (len(X) - 1)
        if np.sum(part**2) > total * max(least, 2 * chance):
            parts.append(part)
    sizes = [np.sqrt(np.sum(part**2) / len(X)) for part in parts]
    kept = [part / size for part, size in zip(parts, sizes, strict=True) if size**2 * len(X) > ROUNDING * total]
    return np.asarray(sum(kept)) if kept else np.zeros_like(X)


def whitened(X: Values, shrinkage: float = 0.01) -> NDArray[np.float64]:
    """Return a representation whose principal components have nearly the same variance (n_stimuli, n_units).

    For whitened RSA.

    Parameters
    ----------
    X : array (n_stimuli, n_units)
    shrinkage : float
        Added to variances, as a share of their mean: components that are noise stay small.

    Raises
    ------
    BrainalignError
        If the shrinkage is not above 0 and up to 1.
    """
    if not 0 < shrinkage <= 1:
        raise BrainalignError(f"shrinkage must be above 0 and up to 1; got {shrinkage}")
    X = centred(representation("X", X))
    U, sizes, Vt = np.linalg.svd(X, full_matrices=False)
    variances = sizes**2
    if not variances.any():
        return X
    level = shrinkage * variances[variances > ROUNDING * variances[0]].mean()
    return np.asarray((U * (sizes / np.sqrt(variances + level))) @ Vt)
