"""The linear part of a shared space: a ridge of each subject to the image vectors, and how much it counts.

A network needs many trials of a modality; where a modality saw few of the images, ridge finds more of them. So
embeddings are means of both, weighted per modality by what finds validation images best.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from brainalign.arrays import Values
from brainalign.decoding.scoring import LinearDecoder, best_penalty, unit_rows
from brainalign.decoding.training import SubjectScale, Trials

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of ridge, that are tried
USUAL = 0.75  # where validation images do not clearly say otherwise: never far below the better of both
VALIDATION_SHARE = 0.1  # of the training images
FEWEST = 10  # validation images: fewer say nothing
BLOCK = 2**20  # values of a block of trials that is taken at once


class LinearPath:
    """Weights of one modality from standardised signals to image vectors, (n_layers, n_features, n_dimensions)."""

    def __init__(self, weights: Values, intercepts: Values) -> None:
        # As files hold them.
        self.weights, self.intercepts = (np.ascontiguousarray(part, np.float32) for part in (weights, intercepts))

    @classmethod
    def fit(cls, trials: Trials, scale: SubjectScale, penalty: float, own: bool) -> "LinearPath":
        """Fit a ridge for every subject, or one for all: dual, or primal where there are more trials than features."""
        subjects = trials.meta["subject"].to_numpy().astype(str)
        flat = scale.apply(trials.signals, subjects).reshape(len(subjects), -1)
        whose = subjects if own else np.full(len(subjects), "all")  # signals are scaled by subject already
        names = [name for name in (scale.names if own else ("all",)) if (whose == name).any()]
        targets = np.asarray(trials.targets)
        parts = [_ridge(flat[whose == name], targets[whose == name], penalty) for name in names]
        return cls(np.stack([weights for weights, _ in parts]), np.stack([intercept for _, intercept in parts]))

    def __call__(self, x: NDArray[np.float32], layers: NDArray[np.intp]) -> Values:
        """Return vectors (n, n_dimensions) of standardised signals; the mean of all weights for layer −1."""
        found = np.empty((len(x), self.weights.shape[2]))
        for layer in np.unique(layers):
            weights, intercept = self.weights.mean(axis=0), self.intercepts.mean(axis=0)
            if layer >= 0:
                weights, intercept = self.weights[layer], self.intercepts[layer]
            rows = layers == layer
            found[rows] = x[rows].reshape(rows.sum(), -1) @ weights + intercept
        return found


def ridge_penalty(trials: Trials, scale: SubjectScale, own: bool, seed: int = 0) -> float:
    """Return the `best_penalty` of a ridge for every subject, or of one for all."""
    subjects = trials.meta["subject"].to_numpy().astype(str)
    whose = subjects if own else np.full(len(subjects), "all")
    images = np.unique(trials.meta["stimulus_id"].to_numpy().astype(str), return_inverse=True)[1]
    rng = np.random.default_rng([seed, 0x9E1])
    return best_penalty(
        lambda some: scale.apply(trials.signals[some], subjects[some]), np.asarray(trials.targets), whose, images, rng
    )


def blended(network: Values, ridge: Values, share: float) -> Values:
    """Return the weighted mean of unit vectors (n, n_dimensions), as long as what ridge predicts, or 1 without it.

    Ridge shrinks what it predicts from noise, so that a mean over trials follows those that say more.
    """
    length = np.linalg.norm(ridge, axis=1, keepdims=True) if share else 1
    return length * unit_rows((1 - share) * unit_rows(network) + share * unit_rows(ridge))


def held_out_stimuli(train: Mapping[str, Trials], seed: int) -> tuple[Mapping[str, Trials], dict[str, Trials]]:
    """Return the trials to train on, and those of a tenth of the images in all modalities; none of few images."""
    ids = sorted({str(name) for trials in train.values() for name in trials.meta["stimulus_id"]})
    n_held = round(VALIDATION_SHARE * len(ids))
    if n_held < FEWEST:
        return train, {}
    held = set(np.random.default_rng([seed, 0x7A1]).permutation(ids)[:n_held].tolist())
    parts: tuple[dict[str, Trials], dict[str, Trials]] = ({}, {})
    for name, trials in train.items():
        rows = trials.meta["stimulus_id"].astype(str).isin(held).to_numpy()
        parts[0][name] = trials.select(~rows)
        if trials.meta["stimulus_id"][rows].nunique() >= FEWEST // 2:
            parts[1][name] = trials.select(rows)
    return parts


def best_share(network: Values, ridge: Values, trials: Trials) -> float:
    """Return the share of ridge whose embeddings are closest to the image vectors, if clearly so; else the usual one.

    Clearly: by more than a standard error over images of the difference in mean cosine. Ranks among few images are too
    coarse to choose by.
    """
    image = np.unique(trials.meta["stimulus_id"].to_numpy().astype(str), return_inverse=True)[1]
    targets, n_trials = unit_rows(trials.targets), np.bincount(image)
    closeness = {
        share: np.bincount(image, (unit_rows(blended(network, ridge, share)) * targets).sum(axis=1)) / n_trials
        for share in SHARES
    }
    best = max(SHARES, key=lambda share: float(closeness[share].mean()))
    gain = closeness[best] - closeness[USUAL]
    return best if gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)) else USUAL


def _ridge(x: Values, y: Values, penalty: float) -> tuple[Values, Values]:
    """Return weights and intercept by the smaller of the two systems; the other would be trials by trials."""
    n, n_features = x.shape
    if n <= n_features:
        fitted = LinearDecoder("own", penalties=(penalty,)).fit(x[:, :, None], y, np.zeros(n))
        return next(iter(fitted.coefficients().values()))
    mean, target_mean = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    products, moments = np.zeros((n_features, n_features)), np.zeros((n_features, y.shape[1]))
    step = max(1, BLOCK // n_features)
    for start in range(0, n, step):
        rows = x[start : start + step] - mean
        products += rows.T @ rows
        moments += rows.T @ (y[start : start + step] - target_mean)
    products[np.diag_indices(n_features)] += penalty * np.trace(products) / n  # the trace of the kernel
    weights = cho_solve(cho_factor(products, lower=True, overwrite_a=True), moments, overwrite_b=True)
    return weights, target_mean - mean @ weights
