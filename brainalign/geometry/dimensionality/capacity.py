"""Manifold capacity: how many categories a linear read-out can tell apart per unit, and an objective that raises it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.geometry.network_similarity import ROUNDING, representation

if TYPE_CHECKING:
    import torch


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
    names : list
        Label of every manifold.
    """

    capacity: NDArray[np.float64]
    radius: NDArray[np.float64]
    dimension: NDArray[np.float64]
    names: list[Any]

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

    Returns
    -------
    ManifoldCapacity

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
        found.append(_of_probes(points, _probes(points.shape[1], n_probes, np.random.default_rng([seed, number]))))
    capacity, radius, dimension = np.array(found).T
    return ManifoldCapacity(capacity, radius, dimension, names)


def _points(group: Values) -> Values | None:
    """Return points (n, D + 1): in the axes they span around their centre, and 1; in units of the centre's norm."""
    middle = group.mean(axis=0)
    size = np.linalg.norm(middle)
    if size <= ROUNDING * np.linalg.norm(group):
        return None
    U, sizes, _ = np.linalg.svd((group - middle) / size, full_matrices=False)
    kept = sizes > 1e-10 * max(sizes[0], 1)
    return np.hstack([U[:, kept] * sizes[kept], np.ones((len(group), 1))])


def _probes(n_axes: int, n: int, rng: np.random.Generator) -> Values:
    half = rng.normal(size=(n // 2, n_axes))
    half[:, -1] /= np.sqrt(np.mean(half[:, -1] ** 2))
    return np.concatenate([half, -half])


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


def mmcr_objective(views: torch.Tensor, eps: float = 1e-8) -> torch.Tensor:
    """Return -||C||_*: low where views of an image agree and images spread over all dimensions.

    C (n_images, n_units) holds the mean over views of unit vectors. Its nuclear norm is Σ sqrt(λ + eps) over the
    eigenvalues λ of the smaller Gram matrix, whose gradient C'(G + eps)^-1/2 stays finite where C loses rank, as the
    gradient of singular values does not.

    Parameters
    ----------
    views : tensor (n_images, n_views, n_units)
    eps : float
        Added to eigenvalues of the Gram matrix; adds at most sqrt(eps) per missing rank.

    Returns
    -------
    tensor ()
        Differentiable. ||C||_* lies between sqrt(P), where all P images have collapsed onto one, and sqrt(P min(P, D))
        in D units: 8 and 64 for 64 images in 64 units.

    Raises
    ------
    BrainalignError
        If views are not three-dimensional.

    References
    ----------
    Yerxa T, Kuang Y, Simoncelli E, Chung S (2023). Learning efficient coding of natural images with maximum manifold
    capacity representations. NeurIPS. arXiv:2303.03307
    """
    import torch

    if views.ndim != 3:
        raise BrainalignError(f"views must be (n_images, n_views, n_units); got shape {tuple(views.shape)}")
    centroids = torch.nn.functional.normalize(views, dim=-1).mean(dim=1)
    wide = centroids.shape[0] <= centroids.shape[1]
    gram = centroids @ centroids.T if wide else centroids.T @ centroids
    return -torch.sqrt(torch.linalg.eigvalsh(gram).clamp(min=0) + eps).sum()
