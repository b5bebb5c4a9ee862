"""How well one network's units predict another's on held-out stimuli: all by ridge, or a few by an L1 path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.geometry.network_similarity.unit_pairing import centred, representation
from brainalign.statistics import Regressor, held_out_r2


def linear_predictivity(
    X: Values, Y: Values, regressor: Regressor, folds: int = 5, seed: int = 0
) -> tuple[float, float]:
    """Return the held-out R² of Y predicted from X, and of X from Y.

    Each is 1 - residual / total sum of squares over all units and held-out stimuli, the total around the mean of the
    training stimuli: large units count most, so a rotation changes nothing. Negative where prediction fails.

    Parameters
    ----------
    X, Y : array (n_stimuli, p), (n_stimuli, q)
    regressor : Regressor
        Fitted anew in every fold.
    folds : int
        Random folds over stimuli, the same both ways.
    seed : int

    Returns
    -------
    forward, backward : float
        NaN where the predicted units are constant.

    Raises
    ------
    BrainalignError
        If rows do not fit, or there are more folds than stimuli.
    """
    X, Y = representation("X", X), representation("Y", Y)
    check_rows("X", len(X), "Y", len(Y), "both must represent the same stimuli, in the same order")
    if not 2 <= folds <= len(X):
        raise BrainalignError(f"folds must be 2 to the number of stimuli ({len(X)}); got {folds}")
    parts = np.array_split(np.random.default_rng(seed).permutation(len(X)), folds)
    return held_out_r2(regressor, X, Y, parts), held_out_r2(regressor, Y, X, parts)


@dataclass(frozen=True)
class SparsePrediction:
    """Held-out R² of units of one network predicted from a few units of another.

    Attributes
    ----------
    counts : array (n_counts,)
        Numbers of predictors.
    r2 : array (n_counts, n_targets)
        NaN where a unit is constant on either set of stimuli, or no path has so many predictors.
    targets : array (n_targets,)
        Numbers of the predicted units.
    n_undefined : int
        Predicted units that are constant.
    """

    counts: NDArray[np.intp]
    r2: NDArray[np.float64]
    targets: NDArray[np.intp]
    n_undefined: int

    @property
    def mean_r2(self) -> NDArray[np.float64]:
        """Mean over units by count; NaN where no unit has a value."""
        seen = np.isfinite(self.r2)
        total = np.where(seen, self.r2, 0).sum(axis=1)
        return np.asarray(np.where(seen.any(axis=1), total / np.maximum(seen.sum(axis=1), 1), np.nan))


def sparse_prediction(
    X: Values,
    Y: Values,
    held_out: tuple[Values, Values],
    counts: Sequence[int] = (1, 2, 4, 8, 16),
    targets: NDArray[np.intp] | None = None,
) -> SparsePrediction:
    """Predict units of Y from few units of X: chosen in the order of their L1 path, refitted by least squares.

    Where one predictor does nearly as well as many, the networks share units; where R² keeps growing, only a space.

    Parameters
    ----------
    X, Y : array (n_stimuli, p), (n_stimuli, q)
        The path and the coefficients are fitted on these stimuli.
    held_out : (array (m, p), array (m, q))
        R² is of these, around the mean of the fitted stimuli.
    counts : sequence of int
        Numbers of predictors, below the number of fitted stimuli.
    targets : array of int, optional
        Units of Y to predict; all if not given.

    Returns
    -------
    SparsePrediction

    Raises
    ------
    BrainalignError
        If rows or units do not fit, or a count is not among 1 to the units and stimuli there are.

    Notes
    -----
    Coefficients of the path itself are shrunk, most where predictors are few; the refit lets counts be compared.

    References
    ----------
    Li Y, Yosinski J, Clune J, Lipson H, Hopcroft J (2016). Convergent learning: do different neural networks learn the
    same representations? ICLR. arXiv:1511.07543
    """
    from sklearn.linear_model import lars_path_gram

    X, Y = representation("X", X), representation("Y", Y)
    other = [representation(f"held-out {name}", Z) for name, Z in zip("XY", held_out, strict=True)]
    check_rows("X", len(X), "Y", len(Y), "both must represent the same stimuli, in the same order")
    check_rows("held-out X", len(other[0]), "held-out Y", len(other[1]), "both must represent the same stimuli")
    most = min(X.shape[1], len(X) - 2)
    wanted = np.unique(np.asarray(counts, dtype=np.intp))
    if not (len(counts) and counts[0] >= 1 and counts[-1] <= most):
        raise BrainalignError(f"counts of predictors must be 1 to {most} for {X.shape} X; got {wanted.tolist()}")
    targets = np.arange(Y.shape[1]) if targets is None else np.asarray(targets)
    size = np.linalg.norm(centred(X), axis=0)
    scale = np.where(size > 0, size, np.inf)
    Z, W = centred(X) / scale, (other[0] - X.mean(axis=0)) / scale  # every unit as cheap to the path as any other
    V, T = centred(Y)[:, targets], (other[1] - Y.mean(axis=0))[:, targets]
    gram, cross = Z.T @ Z, Z.T @ V
    r2 = np.full((len(wanted), len(targets)), np.nan)
    defined = (V != 0).any(axis=0) & (centred(other[1])[:, targets] != 0).any(axis=0)
    for k in np.flatnonzero(defined):
        # A unit may leave the path again: some steps more than predictors wanted.
        _, _, path = lars_path_gram(
            Xy=cross[:, k].copy(), Gram=gram.copy(), n_samples=len(X), max_iter=2 * int(wanted[-1]), method="lasso"
        )
        active = path != 0
        for j, count in enumerate(wanted):
            steps = np.flatnonzero(active.sum(axis=0) == count)
            if len(steps):
                chosen = np.flatnonzero(active[:, steps[0]])
                weights = np.linalg.lstsq(gram[np.ix_(chosen, chosen)], cross[chosen, k], rcond=None)[0]
                r2[j, k] = 1 - np.sum((T[:, k] - W[:, chosen] @ weights) ** 2) / np.sum(T[:, k] ** 2)
    return SparsePrediction(wanted, r2, targets, int((~defined).sum()))
