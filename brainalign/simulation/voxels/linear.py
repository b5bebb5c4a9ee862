"""Voxels that are linear in features plus noise, with known weights and noise ceilings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from brainalign.arrays import Values
from brainalign.checks import BrainalignError


@dataclass(frozen=True)
class LinearWorld:
    """Simulated responses and the truth behind them.

    Attributes
    ----------
    X : array (n_stimuli, n_features)
    repeats : array (n_repeats, n_stimuli, n_targets)
        signal + noise, of total variance 1.
    weights : array (n_features, n_targets)
    signal : array (n_stimuli, n_targets)
        X · weights.
    ceiling : array (n_targets,)
        Planted share of the variance of a single repeat that is signal.
    """

    X: Values
    repeats: Values
    weights: Values
    signal: Values
    ceiling: Values


def linear_world(n_stimuli: int, n_features: int, n_repeats: int, ceiling: ArrayLike, seed: int = 0) -> LinearWorld:
    """Simulate responses: independent Gaussian features, weights and noise.

    `ceiling` (n_targets,) is in [0, 1]; 0 plants a target without signal.

    Examples
    --------
    >>> world = linear_world(100, 10, 3, ceiling=[0.0, 0.5])
    >>> world.repeats.shape
    (3, 100, 2)
    """
    share = np.asarray(ceiling, dtype=np.float64)
    if share.ndim != 1 or not ((share >= 0) & (share <= 1)).all():
        raise BrainalignError(f"ceiling must be a list of shares in [0, 1], one per target; got {ceiling!r}")
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_stimuli, n_features))
    # Weights scaled so that the signal has variance `share` over stimuli drawn like these.
    weights = rng.normal(size=(n_features, len(share)))
    weights *= np.sqrt(share) / np.linalg.norm(weights, axis=0)
    signal = X @ weights
    noise = rng.normal(size=(n_repeats, *signal.shape)) * np.sqrt(1 - share)
    return LinearWorld(X, signal + noise, weights, signal, share)


# 16 features; images x = √16 · u with u = rotated N(0, sd 1.5 ... 0.5), scaled to unit length; a voxel's weights are
# w = U z + .15 eps with U (16 × 3) shared by all voxels and its entries N(0, 1/3), its bias N(0, .3²), and its response
# y = w·u + bias / √16. Voxels off the prior have isotropic weights of the same mean square. Noise is stated as a ratio
# to the standard deviation of each voxel's signal over images.

OWN_SD = 0.15  # of what a voxel's weights do not share with others
BIAS_SD = 0.3


@dataclass(frozen=True)
class VoxelPriorWorld:
    """The truth that all voxels and images share.

    Attributes
    ----------
    image_axes : array (n_features, n_features)
        Columns are the image features' principal axes times their standard deviations.
    basis : array (n_features, n_latents)
        U, shared by the weights of all voxels on the prior.
    """

    image_axes: Values
    basis: Values

    @property
    def prior_mean(self) -> Values:
        """Mean of weights and, last, bias: array (n_features + 1,)."""
        return np.zeros(len(self.basis) + 1)

    @property
    def prior_covariance(self) -> Values:
        """Covariance of weights and, last, bias: array (n_features + 1, n_features + 1)."""
        n = len(self.basis)
        covariance = np.zeros((n + 1, n + 1))
        covariance[:n, :n] = self.basis @ self.basis.T + OWN_SD**2 * np.eye(n)
        covariance[n, n] = BIAS_SD**2 / n
        return covariance

    def images(self, n_images: int, rng: np.random.Generator) -> Values:
        """Return features (n_images, n_features) with rows of length 1."""
        x = rng.normal(size=(n_images, len(self.basis))) @ self.image_axes.T
        return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))

    def weights(self, n_voxels: int, rng: np.random.Generator, *, on_prior: bool = True) -> Values:
        """Return weights and, in the last row, biases: array (n_features + 1, n_voxels)."""
        n, n_latents = self.basis.shape
        own = rng.normal(size=(n, n_voxels))
        if on_prior:
            weights = self.basis @ rng.normal(size=(n_latents, n_voxels)) + OWN_SD * own
        else:
            weights = np.sqrt(np.trace(self.prior_covariance[:n, :n]) / n) * own
        return np.vstack([weights, BIAS_SD / np.sqrt(n) * rng.normal(size=n_voxels)])

    def noise_sd(self, weights: Values, ratio: ArrayLike) -> Values:
        """Return the noise's standard deviation (n_voxels,): `ratio` times that of each voxel's signal over images."""
        return np.asarray((self.images(4000, np.random.default_rng(0)) @ weights[:-1]).std(axis=0) * np.asarray(ratio))


def voxel_prior_world(n_features: int = 16, n_latents: int = 3, seed: int = 0) -> VoxelPriorWorld:
    """Draw what voxels and images of a world share; there must be as many features as latents, or more."""
    if n_features < n_latents:
        raise BrainalignError(f"n_features is {n_features} but n_latents {n_latents}; take more features than latents")
    rng = np.random.default_rng([seed, 2])
    axes = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0] * np.linspace(1.5, 0.5, n_features)
    return VoxelPriorWorld(axes, rng.normal(size=(n_features, n_latents)) / np.sqrt(3))
