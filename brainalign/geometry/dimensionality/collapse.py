"""Neural collapse: whether classes shrink to points, and the points spread as far as they can, on unseen stimuli."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_rows
from brainalign.geometry.network_similarity import ROUNDING, representation


@dataclass(frozen=True)
class NeuralCollapse:
    """Measures of collapse; small is collapsed, but for accuracy and agreement.

    Attributes
    ----------
    nc1 : float
        tr(S_within pinv(S_between)) / C.
    cdnv : float
        Mean over pairs of classes of (v_i + v_j) / (2 ||μ_i - μ_j||²), v the variance within.
    equinorm, equiangle, simplex : float
        NC2 of class means around their mean: coefficient of variation of norms, sd of cosines, mean |cos + 1/(C-1)|.
        `simplex` is NaN for more classes than dimensions + 1, which no simplex has room for.
    uniformity : float
        log mean exp(-2 ||u_i - u_j||²) of their directions u: defined for any number of classes, low where spread.
    nc3 : float
        ||W/|W| - M/|M||| of a classifier's weights and the class means; NaN without a classifier.
    agreement : float
        NC4: share of stimuli that the classifier puts into the class of the nearest mean; NaN without a classifier.
    accuracy : float
        Share of stimuli nearest to the mean of their own class, averaged over classes.
    n_classes, n_least : int
        Classes, and stimuli of the smallest.
    n_undefined : int
        Pairs of classes left out of cdnv: their means cannot be told apart.
    centroids : str
        How means and stimuli were kept apart.
    """

    nc1: float
    cdnv: float
    equinorm: float
    equiangle: float
    simplex: float
    uniformity: float
    nc3: float
    agreement: float
    accuracy: float
    n_classes: int
    n_least: int
    n_undefined: int
    centroids: str


def neural_collapse(
    X: Values,
    labels: NDArray[Any],
    *,
    held_out: tuple[Values, NDArray[Any]] | None = None,
    classifier: tuple[Values, Values] | None = None,
    centroids: Literal["leave_one_out", "in_sample"] = "leave_one_out",
) -> NeuralCollapse:
    """Measure the collapse of a representation onto the means of its classes.

    Every class counts alike, whatever its size. Means of the measured stimuli themselves flatter noise (nearest mean of
    10 classes of 6 in 50 units: well above the chance of .10): by default a stimulus is left out of the mean it is
    compared with, and squared distances of and to means lose what noise adds to them. It adds more to the mean that a
    stimulus is left out of: without that step, accuracy for noise in many units is far below chance.

    Parameters
    ----------
    X : array (n_stimuli, n_units)
    labels : array (n_stimuli,)
        Two or more classes of two or more stimuli.
    held_out : (array (m, n_units), array (m,)), optional
        Other stimuli of the same classes, measured around the means of X: then `centroids` is not used.
    classifier : (array (n_classes, n_units), array (n_classes,)), optional
        Weights and biases, classes in the sorted order of labels: for NC3 and NC4.
    centroids : {"leave_one_out", "in_sample"}
        The second is what is usually reported, for comparison.

    Returns
    -------
    NeuralCollapse

    Raises
    ------
    BrainalignError
        If labels do not fit, a class has fewer than 2 stimuli, or held-out stimuli have other classes.

    References
    ----------
    Papyan V, Han XY, Donoho DL (2020). Prevalence of neural collapse during the terminal phase of deep learning
    training. PNAS 117:24652. doi:10.1073/pnas.2015509117. CDNV: Galanti T, György A, Hutter M (2022). On the role of
    neural collapse in transfer learning. ICLR. Uniformity: Wang T, Isola P (2020). ICML. arXiv:2005.10242
    """
    check_choice("centroids", centroids, ("leave_one_out", "in_sample"))
    X, labels = representation("X", X), np.asarray(labels)
    check_rows("labels", len(labels), "X", len(X), "give one label per stimulus")
    names, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(codes)
    if len(names) < 2 or counts.min() < 2:
        raise BrainalignError(
            f"collapse needs 2 or more classes of 2 or more stimuli; got {len(names)}, the smallest of {counts.min()}"
        )
    Z, own = (X, codes) if held_out is None else _matched(held_out, names, X.shape[1])
    means = np.stack([X[codes == k].mean(axis=0) for k in range(len(names))])
    leave_out = held_out is None and centroids == "leave_one_out"
    shrink = np.where(leave_out, counts / np.maximum(counts - 1, 1), 1.0)  # x - mean without x, from x - mean with x
    residual = (Z - means[own]) * shrink[own, None]
    # In-sample variance around the class mean, and what it adds to squared distances of means.
    spread = np.array([np.sum((X[codes == k] - means[k]) ** 2) / (counts[k] - 1) for k in range(len(names))])
    noise = np.zeros(len(names)) if centroids == "in_sample" and held_out is None else spread / counts
    around = np.array([np.mean(np.sum(residual[own == k] ** 2, axis=1)) for k in range(len(names))])
    cdnv, n_undefined = _cdnv(means, around, noise)
    about = means - means.mean(axis=0)
    added = noise if leave_out else np.zeros(len(names))  # a held-out stimulus is compared with whole means, as usual
    nearest = _nearest(Z, own, means, residual, added, added * shrink)
    nc3, agreement = _classifier(classifier, about, Z, nearest, len(names))
    return NeuralCollapse(
        _nc1(about, residual, own),
        cdnv,
        *_nc2(about),
        nc3,
        agreement,
        float(np.mean([np.mean(nearest[own == k] == k) for k in range(len(names))])),
        len(names),
        int(counts.min()),
        n_undefined,
        "held out" if held_out is not None else centroids.replace("_", " "),
    )


def _matched(
    held_out: tuple[Values, NDArray[Any]], names: NDArray[Any], n_units: int
) -> tuple[Values, NDArray[np.intp]]:
    Z, labels = representation("held-out X", held_out[0]), np.asarray(held_out[1])
    check_rows("held-out labels", len(labels), "held-out X", len(Z), "give one label per stimulus")
    check_rows("held-out X.T", Z.shape[1], "X.T", n_units, "give the same units")
    other = np.setxor1d(labels, names)
    if len(other):
        raise BrainalignError(
            f"class {other.tolist()[0]!r} is not on both sides; give held-out stimuli of the same classes"
        )
    return Z, np.searchsorted(names, labels)


def _nc1(about: Values, residual: Values, own: NDArray[Any]) -> float:
    n = len(about)
    within = sum((part := residual[own == k]).T @ part / len(part) for k in range(n)) / n
    between = about.T @ about / n
    return float(np.trace(within @ np.linalg.pinv(between, rcond=1e-10, hermitian=True)) / n)


def _cdnv(means: Values, around: Values, noise: Values) -> tuple[float, int]:
    """Return the mean over pairs of classes, and how many have no distance beyond noise."""
    i, j = np.triu_indices(len(means), 1)
    apart = np.sum((means[i] - means[j]) ** 2, axis=1) - noise[i] - noise[j]
    seen = apart > 0
    found = (around[i] + around[j])[seen] / (2 * apart[seen])
    return (float(found.mean()) if seen.any() else float("nan")), int((~seen).sum())


def _nc2(about: Values) -> tuple[float, float, float, float]:
    """Return equinorm, equiangle, distance from a simplex, uniformity."""
    n = len(about)
    norms = np.linalg.norm(about, axis=1)
    if norms.min() <= ROUNDING * norms.max(initial=0) or not norms.max():
        return (float("nan"),) * 4
    directions = about / norms[:, None]
    cosines = (directions @ directions.T)[np.triu_indices(n, 1)]
    simplex = float(np.mean(np.abs(cosines + 1 / (n - 1)))) if n <= about.shape[1] + 1 else float("nan")
    uniformity = float(np.log(np.mean(np.exp(-4 * (1 - cosines)))))
    return float(norms.std() / norms.mean()), float(cosines.std()), simplex, uniformity


def _nearest(
    Z: Values, own: NDArray[Any], means: Values, residual: Values, noise: Values, own_noise: Values
) -> NDArray[np.intp]:
    """Return the class with the nearest mean, that of the stimulus' own class at the distance of `residual`.

    Squared distances lose the `noise` of the mean of each class, and `own_noise` where it is the stimulus' own.
    """
    squared = np.sum(Z**2, axis=1)[:, None] + np.sum(means**2, axis=1) - noise - 2 * Z @ means.T
    squared[np.arange(len(Z)), own] = np.sum(residual**2, axis=1) - own_noise[own]
    return np.asarray(squared.argmin(axis=1))


def _classifier(
    classifier: tuple[Values, Values] | None, about: Values, Z: Values, nearest: NDArray[Any], n_classes: int
) -> tuple[float, float]:
    if classifier is None:
        return float("nan"), float("nan")
    weights, biases = (np.asarray(part, dtype=np.float64) for part in classifier)
    if weights.shape != about.shape or biases.shape != (n_classes,):
        raise BrainalignError(
            f"the classifier has weights {weights.shape} and biases {biases.shape}, but there are {n_classes} classes "
            f"and {about.shape[1]} units; give ({n_classes}, {about.shape[1]}) and ({n_classes},)"
        )
    nc3 = np.linalg.norm(weights / np.linalg.norm(weights) - about / np.linalg.norm(about))
    return float(nc3), float(np.mean((Z @ weights.T + biases).argmax(axis=1) == nearest))
