"""Linear discriminants with shrinkage in closed form: one decomposition serves every permutation of the labels.

The covariance within classes is the total one minus that of the class means, so with the total decomposed once a
labelling costs products and a solve as large as the number of classes (Woodbury's identity).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows

Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Discriminants:
    """Linear functions of the channels, one per labelling and class; the largest names the class."""

    weights: Values
    offsets: Values

    def decide(self, patterns: Values) -> Values:
        """Return the discriminants of patterns (..., n_channels): array (..., n_labelings, n_classes)."""
        flat = self.weights.reshape(-1, self.weights.shape[-1])
        return np.asarray((patterns @ flat.T).reshape(*patterns.shape[:-1], *self.offsets.shape) + self.offsets)


def membership(labelings: Codes, n_classes: int) -> Values:
    """Return 1 where a trial is of a class, else 0, (n_labelings, n_classes, n_trials)."""
    member = (labelings[:, None] == np.arange(n_classes)[:, None]).astype(np.float64)
    empty = np.argwhere(~member.any(axis=2))
    if len(empty):
        raise BrainalignError(
            f"labelling {empty[0, 0]} leaves class {empty[0, 1]} without any of the {labelings.shape[1]} training "
            "trials; use fewer folds, or leave out classes of few trials"
        )
    return member


def fit_discriminants(train: Values, member: Values, ridge: float | None = None) -> Discriminants:
    """Fit w_c = (W + λ I)⁻¹ m_c on standardised channels, W the covariance within classes, m_c the mean of class c.

    For training trials (n_trials, n_channels), and `membership` of each labelling. λ is in variances of a standardised
    channel; where not given, that of Ledoit and Wolf (2004, doi:10.1016/S0047-259X(03)00096-4) from all trials: it
    ignores the labels, so permuted ones meet the same. Returns discriminants of patterns as they were given, as
    scikit-learn's LinearDiscriminantAnalysis(solver="lsqr") with equal priors behind a StandardScaler, its covariance
    W + λ I. In closed form: Treder MS (2019). Cross-validation in high-dimensional spaces. arXiv:1803.10016
    """
    train = np.asarray(train, dtype=np.float64)
    check_rows("labels", member.shape[2], "the training trials", len(train), "give a label per trial")
    check_finite("the training trials", train, "drop the channels or trials that hold them")
    mean, sd = train.mean(axis=0), (train - train[:1]).std(axis=0)  # exactly 0 of constants
    sd = np.where(sd > 0, sd, 1)
    scaled = (train - mean) / sd
    ridge = max(shrinkage_ridge(scaled) if ridge is None else ridge, 1e-10)
    axes: Values | None = None
    if scaled.shape[1] > len(scaled):  # all that a mean or a test trial can add lies among the training trials
        _, sizes, axes = np.linalg.svd(scaled, full_matrices=False)
        axes = axes[sizes > 1e-10 * sizes[0]]
        scaled = scaled @ axes.T
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    inverse = (vectors / (values.clip(0) + ridge)) @ vectors.T
    counts = member.sum(axis=2)
    means = (member.reshape(-1, len(scaled)) @ scaled).reshape(*counts.shape, -1) / counts[..., None]
    roots = np.sqrt(counts / len(scaled))[..., None]
    spread = roots * means  # (n_labelings, n_classes, n_channels)
    solved = spread @ inverse
    within = np.eye(member.shape[1]) - solved @ np.swapaxes(spread, 1, 2)
    weights = np.linalg.solve(within, solved) / roots
    offsets = -0.5 * (weights * means).sum(axis=2)
    weights = (weights if axes is None else weights @ axes) / sd
    return Discriminants(weights, offsets - weights @ mean)


def shrinkage_ridge(scaled: Values) -> float:
    """Return λ for which S + λ I of centred trials is a multiple of the covariance that Ledoit and Wolf shrink.

    Their share is that of scikit-learn's `ledoit_wolf_shrinkage`, from products of trials where channels are more.
    """
    n, p = scaled.shape
    products = scaled @ scaled.T if p > n else scaled.T @ scaled
    mean = float((scaled**2).sum()) / (n * p)
    squares = float((products**2).sum()) / n**2
    spread = (squares - p * mean**2) / p
    error = (float(((scaled**2).sum(axis=1) ** 2).sum()) / n - squares) / (n * p)
    share = min(max(error / spread, 0.0), 0.999) if spread > 0 else 0.999
    return float(share / (1 - share) * mean)
