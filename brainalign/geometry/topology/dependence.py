"""Are two sets of variables dependent? Distance correlation over all thresholds of the geo-topological transform.

Dependence that is local, or global, hides from plain distances; thresholds on both sides find it, and a null of the
largest studentised correlation pays for having looked everywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows, generator
from brainalign.condensed import square_rdms
from brainalign.geometry.topology.geotopology import threshold_grid

LEAST = 4  # observations
AT_ONCE = 8  # cells of x whose nulls are studentised together: they stay in the cache
FLAT = 1e-9  # relative: a cell that no permutation moves says nothing


@dataclass(frozen=True)
class DependenceTest:
    """Adaptive test of dependence, with the plain one beside it.

    Attributes
    ----------
    p : float
        Of the largest studentised distance covariance over all thresholds; NaN where nothing varies.
    z : float
        That largest value.
    thresholds : (float, float), (float, float)
        Lower and upper, of x and of y, where it is reached.
    correlation : float
        Distance correlation there.
    plain_p, plain_correlation : float
        Of distances as they are.
    n, n_permutations : int
    n_cells, n_flat : int
        Pairs of thresholds, and those left out because no permutation changes them.
    """

    p: float
    z: float
    thresholds: tuple[tuple[float, float], tuple[float, float]]
    correlation: float
    plain_p: float
    plain_correlation: float
    n: int
    n_permutations: int
    n_cells: int
    n_flat: int


def dependence_test(
    x: Values, y: Values, n_permutations: int, rng: np.random.Generator, step: float = 0.1
) -> DependenceTest:
    """Test whether two sets of variables depend on each other, in whatever form.

    Distances of each set are clipped between two of their quantiles, at every pair of quantiles; distance covariances
    of all combinations are studentised by their own permutations (what was observed included) and the largest is
    compared with the largest of every permutation. Without studentising, thresholds of large variance would decide.

    Parameters
    ----------
    x, y : array (n, p), (n, q) or (n,)
        Rows are observations. Distances are Euclidean.
    n_permutations : int
    rng : Generator
    step : float
        Of the grid of quantiles.

    Raises
    ------
    BrainalignError
        If the numbers of rows differ or are below 4, a value is not finite, or there are no permutations.

    References
    ----------
    Lin B, Kriegeskorte N (2018). Adaptive geo-topological independence criterion. arXiv:1810.02923.
    Szekely GJ, Rizzo ML, Bakirov NK (2007). Measuring and testing dependence by correlation of distances. Annals of
    Statistics 35:2769-2794. doi:10.1214/009053607000000505

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> angle = 2 * np.pi * rng.random(50)
    >>> dependence_test(np.cos(angle), np.sin(angle), 99, rng).p <= 0.05
    True
    """
    x, y = (np.asarray(v, dtype=np.float64).reshape(len(v), -1) for v in (x, y))
    check_rows("x", len(x), "y", len(y), "give one row of each per observation")
    for name, values in (("x", x), ("y", y)):
        check_finite(name, values, "drop the rows that hold them from both")
    if len(x) < LEAST:
        raise BrainalignError(f"a test of dependence needs {LEAST} or more observations; got {len(x)}")
    if n_permutations < 1:
        raise BrainalignError(f"n_permutations must be 1 or more; got {n_permutations}")
    grid, n, rng = threshold_grid(step), len(x), generator(rng)
    distances = [pdist(v) for v in (x, y)]
    bases, weights, plain = zip(*(_forms(d, grid) for d in distances), strict=True)
    i, j = np.triu_indices(n, 1)
    # Centring one side centres the product, and zero diagonals leave pairs alone.
    centred = _centred_square(square_rdms(bases[0]))[:, i, j]
    orders = np.stack([np.arange(n), *(rng.permutation(n) for _ in range(n_permutations))])
    pair = np.zeros((n, n), dtype=np.intp)
    pair[i, j] = pair[j, i] = np.arange(len(i))
    # (n_basis, n_permutations + 1, n_pairs)
    moved = np.take(bases[1], pair[orders[:, i], orders[:, j]], axis=1)
    products = np.moveaxis(moved @ centred.T, 2, 0)  # (n_basis of x, n_basis of y, n_permutations + 1)
    highest = np.full(n_permutations + 1, -np.inf)
    z, best, n_flat = -np.inf, (0, 0), 0
    for first, studentised in _studentised(weights[0], weights[1], products):
        n_flat += int(np.isneginf(studentised[:, :, 0]).sum())
        highest = np.maximum(highest, studentised.max(axis=(0, 1)))
        here = np.unravel_index(int(studentised[:, :, 0].argmax()), studentised.shape[:2])
        if studentised[here][0] > z:
            z, best = float(studentised[here][0]), (first + int(here[0]), int(here[1]))
    of_plain = np.einsum("i,ijb,j->b", plain[0], products, plain[1])
    lower_x, upper_x = map(float, grid[best[0]])
    lower_y, upper_y = map(float, grid[best[1]])
    thresholds, plain = ((lower_x, upper_x), (lower_y, upper_y)), (_p(of_plain), _correlation(*distances))
    correlation = _correlation(*(w[k] @ basis for w, basis, k in zip(weights, bases, best, strict=True)))
    p, z = (_p(highest), z) if np.isfinite(z) else (np.nan, np.nan)
    return DependenceTest(p, z, thresholds, correlation, *plain, n, n_permutations, len(grid) ** 2, n_flat)


def _forms(distances: Values, grid: Values) -> tuple[Values, Values, Values]:
    """Return a basis of the transformed distances, and the weights of every threshold and of plain distances in it.

    Every clip is a weighted sum of clips one step wide.
    """
    levels = np.unique(grid)
    quantiles = np.quantile(distances, levels)
    widths = np.diff(quantiles)
    n, least = len(widths), quantiles[:-1, None]
    steps = np.clip((distances - least) / np.where(widths > 0, widths, 1)[:, None], 0, 1)
    above = np.where(least < distances.max(), distances > least, distances >= least).astype(np.float64)
    weights = np.zeros((len(grid), 2 * n))
    for row, (lower, upper) in zip(weights, np.searchsorted(levels, grid), strict=True):
        width = quantiles[upper] - quantiles[lower]
        if width > 0:
            row[lower:upper] = widths[lower:upper] / width
        elif lower < n:  # nothing lies above the largest
            row[n + lower] = 1
    return np.concatenate([steps, above]), weights, np.append(widths, np.zeros(n))


def _centred_square(square: Values) -> Values:
    """Return matrices (..., n, n) whose rows and columns have mean zero."""
    row = square.mean(axis=-1, keepdims=True)
    return np.asarray(square - row - np.swapaxes(row, -1, -2) + row.mean(axis=-2, keepdims=True))


def _studentised(weights_x: Values, weights_y: Values, products: Values) -> Iterator[tuple[int, Values]]:
    """Yield the number of a cell of x, and (a few such cells, cells of y, permutations), studentised over the last."""
    n_basis, _, n_orders = products.shape
    of_y = np.matmul(weights_y, products)  # (n_basis of x, n_cells of y, n_permutations + 1)
    for first in range(0, len(weights_x), AT_ONCE):
        rows = weights_x[first : first + AT_ONCE]
        values = (rows @ of_y.reshape(n_basis, -1)).reshape(len(rows), -1, n_orders)
        scale = np.abs(values).max(axis=-1, keepdims=True)
        values -= values.mean(axis=-1, keepdims=True)
        sd = np.sqrt(np.einsum("xyb,xyb->xy", values, values) / n_orders)[..., None]
        varies = sd > FLAT * scale
        values *= np.where(varies, 1 / np.where(varies, sd, 1), 0)
        values[~varies[..., 0]] = -np.inf
        yield first, values


def _p(null: Values) -> float:
    """Return p of the first value among all; equal but for rounding counts as reached."""
    return float((null >= null[0] - 1e-9 * max(abs(null[0]), 1e-300)).mean())


def _correlation(x: Values, y: Values) -> float:
    """Return the distance correlation of two condensed distance matrices."""
    a, b = (_centred_square(square_rdms(d)) for d in (x, y))
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float(np.sqrt(max((a * b).sum() / size, 0))) if size > 0 else np.nan
