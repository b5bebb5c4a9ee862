"""Ridge with a prior learned from other voxels: the linear method that knows what in-context encoding knows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_shape
from brainalign.encoding.in_context.inputs import LinearWeights, check_features
from brainalign.regression import Array, as_tensor, check_arrays, refuse, same_kind_as

NOISE_SHARES = tuple(np.logspace(-3, 3, 25).tolist())  # of the context's variance
LEAST_SHARE = 0.01  # constant predictions would correlate with nothing
CHECKED = 1000  # targets at most, on which a share is found
JITTER = 1e-6


@dataclass(frozen=True)
class WeightPrior:
    """What voxels have in common: the mean and covariance of their weights and, last, bias.

    Attributes
    ----------
    mean : array (n_features + 1,)
    covariance : array (n_features + 1, n_features + 1)
    """

    mean: Values
    covariance: Values

    def __post_init__(self) -> None:
        n = len(self.mean)
        remedy = "give a row and a column for each weight and, last, the bias"
        check_shape("the covariance of a prior", self.covariance.shape, (n, n), "its mean asks for", remedy)

    @property
    def n_features(self) -> int:
        """Number of weights, the bias not among them."""
        return len(self.mean) - 1

    def independent(self) -> "WeightPrior":
        """Return the prior without correlations between weights."""
        return WeightPrior(self.mean, np.diag(np.diag(self.covariance)))


def estimate_prior(subjects: Sequence[tuple[Array, Array]]) -> WeightPrior:
    """Estimate the prior from responses: the covariance of least-squares weights less their sampling covariance.

    Parameters
    ----------
    subjects : sequence of (X, Y)
        Features (n_images, n_features) and responses (n_images, n_voxels) of each training subject.

    Raises
    ------
    BrainalignError
        If a subject has too few images for least squares, or there is a single voxel.
    """
    weights, sampling = [], []
    for X, Y in subjects:
        found, noise, inverse = _least_squares(X, Y)
        weights.append(found)
        sampling.append(noise.sum() * inverse)
    every = np.hstack(weights)
    if every.shape[1] < 2:
        raise BrainalignError(
            f"there is {every.shape[1]} voxel in all, and a prior is of what voxels have in common; give more voxels, "
            "or more subjects"
        )
    spread = np.cov(every)
    values, vectors = np.linalg.eigh(spread - np.sum(sampling, axis=0) / every.shape[1])
    floor = JITTER * max(values[-1], JITTER * np.trace(spread))  # what a direction has left may be negative
    return WeightPrior(every.mean(axis=1), (vectors * np.maximum(values, floor)) @ vectors.T)


def posterior_weights(
    prior: WeightPrior, subjects: Sequence[tuple[Array, Array]], n_draws: int, seed: int = 0
) -> Values:
    """Draw weights that the voxels of some subjects may have (n_features + 1, n_draws): prior and responses together.

    Least-squares weights are those of real voxels and their noise; the prior alone knows none of their clusters. Draws
    from each voxel's posterior have the covariance of the prior and keep what is known of single voxels.

    Parameters
    ----------
    prior : WeightPrior
        Of these subjects.
    subjects : sequence of (X, Y)
        As of `estimate_prior`.
    n_draws : int
        Voxels are drawn with replacement.
    seed : int
    """
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(prior.covariance + JITTER * np.trace(prior.covariance) * np.eye(len(prior.mean)))
    fits = [_least_squares(X, Y) for X, Y in subjects]
    whose = rng.choice(len(fits), size=n_draws, p=np.array([len(f[1]) for f in fits]) / sum(len(f[1]) for f in fits))
    drawn = []
    for number, (found, noise, inverse) in enumerate(fits):
        voxels = rng.integers(len(noise), size=int((whose == number).sum()))
        known, axes = np.linalg.eigh(root.T @ np.linalg.pinv(inverse) @ root)  # of whitened weights, times the noise
        known = np.maximum(known, 0)[:, None]
        residual = axes.T @ np.linalg.solve(root, found[:, voxels] - prior.mean[:, None])
        precision = 1 + known / noise[voxels]
        mean = residual * (precision - 1) / precision
        drawn.append(prior.mean[:, None] + root @ axes @ (mean + rng.normal(size=mean.shape) / np.sqrt(precision)))
    return np.hstack(drawn)


def _least_squares(X: Array, Y: Array) -> tuple[Values, Values, Values]:
    """Return weights (n_features + 1, n_voxels), noise variances (n_voxels,) and the inverse of the design's moment."""
    check_arrays("X", X, Y, varying=True)
    x, y = (np.asarray(as_tensor(a).cpu(), dtype=np.float64) for a in (X, Y))
    design = np.column_stack([x, np.ones(len(x))])
    left = len(x) - design.shape[1]
    if left < 1:
        raise BrainalignError(
            f"X has {len(x)} images for {x.shape[1]} features and a bias; estimate the prior from more images than "
            "that, or reduce the features"
        )
    inverse = np.linalg.pinv(design.T @ design)
    found = inverse @ (design.T @ y)
    return found, np.square(y - design @ found).sum(axis=0) / left, inverse


@dataclass(eq=False, repr=False)
class EmpiricalBayesRidge(LinearWeights, BaseEstimator):  # type: ignore[misc]
    """Posterior mean of weights under a Gaussian prior learned from other voxels, noise by marginal likelihood.

    w ~ N(m, C) and y = A w + e with A = [X, 1] and e ~ N(0, s² I); s² is the likeliest of a grid, per target. Responses
    must be in the units of those the prior came from.

    Parameters
    ----------
    prior : WeightPrior
    noise_shares : sequence of float
        Noise variances to try, relative to each target's variance over the context.
    shrunk : bool
        Multiply weights, about the mean image, by the `best_share` for images left out, one for all targets.

    Attributes
    ----------
    coef_ : array (n_features, n_targets)
    intercept_ : array (n_targets,)
    noise_ : array (n_targets,)
        Chosen s².

    References
    ----------
    Efron B, Morris C (1973). Stein's estimation rule and its competitors: an empirical Bayes approach. Journal of the
    American Statistical Association 68:117-130. doi:10.1080/01621459.1973.10481350

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, W = rng.normal(size=(400, 5)), rng.normal(size=(5, 300))
    >>> prior = estimate_prior([(X, X @ W + rng.normal(size=(400, 300)))])
    >>> few = EmpiricalBayesRidge(prior).fit(X[:10], X[:10] @ W[:, :3])
    >>> few.coef_.shape
    (5, 3)
    """

    prior: WeightPrior
    noise_shares: Sequence[float] = NOISE_SHARES
    shrunk: bool = False

    def fit(
        self,
        X: Array,
        Y: Array,
        *,
        groups: Array | None = None,
        grid: tuple[int, int] | None = None,
        roi: Array | None = None,
        semantics: Array | None = None,
    ) -> "EmpiricalBayesRidge":
        """Find the weights of all targets.

        Parameters
        ----------
        X : array (n_images, n_features)
        Y : array (n_images, n_targets)
        groups, grid, roi, semantics
            Not used; giving them raises.

        Raises
        ------
        BrainalignError
            If shapes do not fit, values are not finite, a target is constant, or a keyword is given.
        """
        refuse("EmpiricalBayesRidge", groups=groups, grid=grid, roi=roi, semantics=semantics)
        check_arrays("X", X, Y, varying=True)
        check_features("X", X, self.prior.n_features, "prior")
        x, y = (np.asarray(as_tensor(a).cpu(), dtype=np.float64) for a in (X, Y))
        design = np.column_stack([x, np.ones(len(x))])
        covariance, mean = self.prior.covariance, self.prior.mean
        values, vectors = np.linalg.eigh(design @ covariance @ design.T)
        values = np.maximum(values, 0.0)
        rotated = vectors.T @ (y - (design @ mean)[:, None])  # (n_images, n_targets)
        noises = np.multiply.outer(self.noise_shares, y.var(axis=0))
        totals = (values[:, None] + noise for noise in noises)
        unlikely = [(np.log(total) + np.square(rotated) / total).sum(axis=0) for total in totals]
        noise = np.take_along_axis(noises, np.argmin(unlikely, axis=0)[None], axis=0)[0]
        weights = mean[:, None] + covariance @ design.T @ (vectors @ (rotated / (values[:, None] + noise)))
        like = same_kind_as(Y)
        self.noise_ = like(as_tensor(noise))
        if self.shrunk:
            checked = [np.linspace(0, y.shape[1] - 1, min(y.shape[1], CHECKED)).astype(np.intp)] * len(x)
            share = best_share(left_out_errors(self, X, Y, [*np.arange(len(x))[:, None]], checked))
            weights[-1] += (1 - share) * (x.mean(axis=0) @ weights[:-1])
            weights[:-1] *= share
        self.coef_, self.intercept_ = (like(as_tensor(a)) for a in (weights[:-1], weights[-1]))
        return self


def left_out_errors(
    fitted: EmpiricalBayesRidge, X: Array, Y: Array, folds: Sequence[Rows], chosen: Sequence[Rows]
) -> NDArray[np.float64]:
    """Return `moments` of rows left out of the fit (n_folds, 3).

    With M = A C A' + s² I and r = y − A m, rows g that are left out are off by (M⁻¹)_gg⁻¹ (M⁻¹ r)_g, without a refit;
    the noise s² stays the one of all rows, X (n_images, n_features) and Y (n_images, n_targets), to which `fitted` was
    fitted. `chosen` are the targets scored in each fold.
    """
    x, y, noise = (np.asarray(as_tensor(a).cpu(), dtype=np.float64) for a in (X, Y, fitted.noise_))
    design = np.column_stack([x, np.ones(len(x))])
    values, vectors = np.linalg.eigh(design @ fitted.prior.covariance @ design.T)
    rotated = vectors.T @ (y - (design @ fitted.prior.mean)[:, None])
    inverse = 1 / (np.maximum(values, 0)[:, None] + noise)  # (n_images, n_targets)
    alpha, of_one = vectors @ (rotated * inverse), inverse * vectors.sum(axis=0)[:, None]  # M⁻¹ r; of M⁻¹ 1
    variance, found = y.var(axis=0, ddof=1), np.zeros((len(folds), 3))
    for k, (rows, targets) in enumerate(zip(folds, chosen, strict=True)):
        some, weights, shown = vectors[rows], inverse[:, targets], np.setdiff1d(np.arange(len(x)), rows)
        blocks = np.einsum("gn,nt,hn->tgh", some, weights, some, optimize=True)
        off = np.linalg.solve(blocks, (some @ (weights * rotated[:, targets])).T[..., None])[..., 0].T
        misfit = alpha[:, targets].sum(axis=0) - (off * (some @ of_one[:, targets])).sum(axis=0)
        level = y[shown][:, targets].mean(axis=0) - noise[targets] * misfit / len(shown)
        found[k] = moments(y[rows][:, targets] - level, off, variance[targets])
    return found


def moments(rest: NDArray[np.float64], errors: NDArray[np.float64], variance: Values) -> list[float]:
    """Return sums of a², a·b and b², of which squared errors of any share are a² − 2 share a·b + share² b².

    In units of targets' variance. a, the `rest`, is left-out responses less the prediction at the mean of the images
    shown; b, all of it but the `errors`, what was predicted.
    """
    said = rest - errors
    return [float((one * other / variance).sum()) for one, other in ((rest, rest), (rest, said), (said, said))]


def best_share(moments_of: NDArray[np.float64]) -> float:
    """Return the share of predictions of least error on what was left out, `moments` (n_folds, 3), plus its error.

    From `LEAST_SHARE` to 1: where noise is stronger than in training, or grows with the signal, a prior says too much.
    """
    _, product, predicted = moments_of.sum(axis=0) + 1e-30
    error = len(moments_of) ** 0.5 * (moments_of[:, 1] - product / predicted * moments_of[:, 2]).std(ddof=1)
    return float(np.clip((product + error) / predicted, LEAST_SHARE, 1))
