"""Worlds of a few lines."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainalign.simulation import ConceptWorld

Values = NDArray[np.float64]


def linear_gaussian_reference(
    X: Values, Y: Values, noise_sd: Values, prior_mean: Values, prior_covariance: Values
) -> Values:
    """Return the posterior mean of weights and bias (n_features + 1, n_voxels), prior and noise being known.

    The best linear estimate from a context, m + C A' (A C A' + s² I)⁻¹ (y − A m) with A = [X, 1]: a reference, no
    bound on scores that weigh voxels otherwise than squared error does. `noise_sd` is one of each voxel.
    """
    design = np.column_stack([X, np.ones(len(X))])
    values, vectors = np.linalg.eigh(design @ prior_covariance @ design.T)
    rotated = vectors.T @ (Y - (design @ prior_mean)[:, None])
    shrunk = vectors @ (rotated / (values[:, None] + np.square(noise_sd)))
    return np.asarray(prior_mean[:, None] + prior_covariance @ design.T @ shrunk)


@dataclass(frozen=True)
class SwissRoll:
    points: Values  # (n, 3)
    intrinsic: Values  # (n, 2): arc length along the spiral, and height


def swiss_roll(n: int, seed: int = 0) -> SwissRoll:
    """Simulate points spread evenly in angle and height over a sheet rolled up one and a half times.

    Tenenbaum JB, de Silva V, Langford JC (2000). A global geometric framework for nonlinear dimensionality reduction.
    Science 290:2319-2323. doi:10.1126/science.290.5500.2319
    """
    rng = np.random.default_rng(seed)
    angle = 1.5 * np.pi * (1 + 2 * rng.random(n))
    height = 21 * rng.random(n)
    arc = (angle * np.sqrt(1 + angle**2) + np.arcsinh(angle)) / 2
    points = np.column_stack([angle * np.cos(angle), height, angle * np.sin(angle)])
    return SwissRoll(points, np.column_stack([arc, height]))


def write_things_files(world: ConceptWorld, folder: Path, index_base: int = 0) -> None:
    """Write a world in the format of the THINGS similarity judgements; `index_base` numbers the first object."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "trainset.txt", world.triplets + index_base, fmt="%d")
    np.savetxt(folder / "testset1.txt", world.repeats + index_base, fmt="%d")
    np.savetxt(folder / "spose_embedding.txt", world.embedding, fmt="%.6f")
    (folder / "labels.txt").write_text("".join(f"property {k + 1}\n" for k in range(world.embedding.shape[1])))
    (folder / "unique_id.txt").write_text("".join(f"thing_{k:02d}_a\n" for k in range(len(world.embedding))))
