"""Categories as manifolds: how many a linear read-out can tell apart per unit, and whether they collapse to points."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_rows, check_shape
from brainalign.geometry.network_similarity import ROUNDING, representation


@dataclass(frozen=True)
class ManifoldCapacity:
    """Capacity and geometry of every manifold.

    Attributes
    ----------
    capacity : array (n_manifolds,)
        α: manifolds per unit that a read-out without bias can split into two sets at random.
    radius : array (n_manifolds,)
        R_M, in units of the norm of the manifold's centre.
    dimension : array (n_manifolds,)
        D_M.
    """

    capacity: NDArray[np.float64]
    radius: NDArray[np.float64]
    dimension: NDArray[np.float64]

    @property
    def mean_capacity(self) -> float:
        """α_M of all manifolds: the harmonic mean, since what adds up is what each of them costs."""
        return float(1 / np.mean(1 / self.capacity))


def manifold_capacity(X: Values, labels: NDArray[Any], n_probes: int = 200, seed: int = 0) -> ManifoldCapacity:
    """Return the capacity of the manifolds that the stimuli of each label span, by Gaussian probes.

    For a probe T in the space of a manifold (its axes and its centre, the last coordinate in units of the centre's
    norm), F = min ||V - T||² over V with V·s >= 0 for every point s; α = 1 / mean F. The point that holds V back (or
    would first, where none does) is the probe's anchor: R_M² and D_M are the mean square of its distance from the
    centre and of T along it. Points have α = 2, D_M = R_M = 0.

    Parameters
    ----------
    X : array (n_stimuli, n_units)
        The mean of the manifolds' centres is subtracted. Centres should point into unrelated directions: few
        manifolds that share some are easier or harder to tell apart than α says.
    labels : array (n_stimuli,)
        Manifold of every stimulus; 2 or more manifolds.
    n_probes : int
        In pairs ±T, the coordinate along the centre scaled to mean square 1: without manifold extent α is exactly 2.
    seed : int

    Raises
    ------
    BrainalignError
        If labels do not fit, there are fewer than 2 manifolds, an odd number of probes, or a centre at the mean of all.

    Notes
    -----
    Capacity grows with fewer stimuli per manifold: compare at equal numbers only.

    References
    ----------
    Chung S, Lee DD, Sompolinsky H (2018). Classification and geometry of general perceptual manifolds. Physical Review
    X 8:031003. doi:10.1103/PhysRevX.8.031003
    """
    X, labels = representation("X", X), np.asarray(labels)
    check_rows("labels", len(labels), "X", len(X), "give one label per stimulus")
    names = list(dict.fromkeys(labels.tolist()))
    if len(names) < 2 or n_probes < 2 or n_probes % 2:
        raise BrainalignError(
            f"capacity needs 2 manifolds and an even number of probes; got {len(names)} and {n_probes}"
        )
    groups = [X[labels == name] for name in names]
    centre = np.mean([group.mean(axis=0) for group in groups], axis=0)
    found = []
    for number, (name, group) in enumerate(zip(names, groups, strict=True)):
        points = _points(group - centre)
        if points is None:
            raise BrainalignError(f"the centre of manifold {name!r} lies at the mean of all centres: no capacity")
        half = np.random.default_rng([seed, number]).normal(size=(n_probes // 2, points.shape[1]))
        half[:, -1] /= np.sqrt(np.mean(half[:, -1] ** 2))
        found.append(_of_probes(points, np.concatenate([half, -half])))
    capacity, radius, dimension = np.array(found).T
    return ManifoldCapacity(capacity, radius, dimension)


def _points(group: Values) -> Values | None:
    """Return points (n, D + 1): in the axes they span around their centre, and 1; in units of the centre's norm."""
    middle = group.mean(axis=0)
    size = np.linalg.norm(middle)
    if size <= ROUNDING * np.linalg.norm(group):
        return None
    U, sizes, _ = np.linalg.svd((group - middle) / size, full_matrices=False)
    kept = sizes > 1e-10 * max(sizes[0], 1)
    return np.hstack([U[:, kept] * sizes[kept], np.ones((len(group), 1))])


def _of_probes(points: Values, probes: Values) -> tuple[float, float, float]:
    cost, radius, along = np.zeros(len(probes)), np.zeros(len(probes)), np.zeros(len(probes))
    for k, probe in enumerate(probes):
        margins = points @ probe
        anchor = points[margins.argmin()]
        if margins.min() < 0:
            # By duality V = T + Σ λ s with λ >= 0, and λ is what brings Σ λ s nearest to -T.
            weights, _ = nnls(points.T, -probe)
            moved = weights @ points
            cost[k] = moved @ moved
            anchor = moved / moved[-1]
        axes = anchor[:-1]
        radius[k] = axes @ axes
        along[k] = (probe[:-1] @ axes) ** 2 / radius[k] if radius[k] > 0 else 0.0
    return float(1 / cost.mean()), float(np.sqrt(radius.mean())), float(along.mean())


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
    n_classes : int
    n_undefined : int
        Pairs of classes left out of cdnv: their means cannot be told apart.
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
    n_undefined: int


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
    compared with, as one of each other class is out of theirs, so that noise favours no class; and squared distances
    of and to means lose what noise adds to them.

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
    i, j = np.triu_indices(len(names), 1)
    apart = np.sum((means[i] - means[j]) ** 2, axis=1) - noise[i] - noise[j]
    seen = apart > 0  # others have no distance beyond noise
    within = around - noise * shrink
    cdnv = (within[i] + within[j])[seen] / (2 * apart[seen])
    about = means - means.mean(axis=0)
    added = (counts - 1) @ spread / (counts - 1).sum() / (counts - 1) if leave_out else np.zeros(len(names))
    nearest = _nearest(Z, own, means, added, leave_out)
    nc3, agreement = _classifier(classifier, about, Z, nearest, len(names))
    n = len(names)
    scatter = sum((part := residual[own == k]).T @ part / len(part) for k in range(n)) / n
    nc1 = np.trace(scatter @ np.linalg.pinv(about.T @ about / n, rcond=1e-10, hermitian=True)) / n
    return NeuralCollapse(
        float(nc1),
        float(cdnv.mean()) if seen.any() else float("nan"),
        *_nc2(about),
        nc3,
        agreement,
        float(np.mean([np.mean(nearest[own == k] == k) for k in range(len(names))])),
        len(names),
        int((~seen).sum()),
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


def _nc2(about: Values) -> tuple[float, float, float, float]:
    """Return equinorm, equiangle, distance from a simplex, uniformity."""
    n, norms = len(about), np.linalg.norm(about, axis=1)
    if norms.min() <= ROUNDING * norms.max(initial=0) or not norms.max():
        return (float("nan"),) * 4
    directions = about / norms[:, None]
    cosines = (directions @ directions.T)[np.triu_indices(n, 1)]
    simplex = float(np.mean(np.abs(cosines + 1 / (n - 1)))) if n <= about.shape[1] + 1 else float("nan")
    uniformity = float(np.log(np.mean(np.exp(-4 * (1 - cosines)))))
    return float(norms.std() / norms.mean()), float(cosines.std()), simplex, uniformity


def _nearest(Z: Values, own: NDArray[Any], means: Values, noise: Values, leave_out: bool) -> NDArray[np.intp]:
    """Find the class with the nearest mean; squared distances lose the `noise` of the mean of each class.

    With `leave_out`, the k-th stimulus of a class meets means without the k-th of every class, counted round again.
    """
    squared = np.empty((len(Z), len(means)))
    place = np.array([np.count_nonzero(own[:row] == k) for row, k in enumerate(own)])
    for k, mean in enumerate(means):
        rows = np.flatnonzero(own == k)
        moved = (mean - Z[rows[place % len(rows)]]) / (len(rows) - 1) if leave_out else 0
        squared[:, k] = np.sum((Z - mean - moved) ** 2, axis=1) - noise[k]
    return np.asarray(squared.argmin(axis=1))


def _classifier(
    classifier: tuple[Values, Values] | None, about: Values, Z: Values, nearest: NDArray[Any], n_classes: int
) -> tuple[float, float]:
    if classifier is None:
        return float("nan"), float("nan")
    weights, biases = (np.asarray(part, dtype=np.float64) for part in classifier)
    remedy = "give a row of weights, and a bias, per class"
    check_shape("the array of weights", weights.shape, about.shape, "classes × units are", remedy)
    check_shape("the array of biases", biases.shape, (n_classes,), "classes are", remedy)
    with np.errstate(invalid="ignore"):  # a read-out of equal means weighs nothing
        nc3 = np.linalg.norm(weights / np.linalg.norm(weights) - about / np.linalg.norm(about))
    return float(nc3), float(np.mean((Z @ weights.T + biases).argmax(axis=1) == nearest))
