"""Correlations of many targets under permutation and bootstrap of their rows: fast, and never all of them in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from brainalign.arrays import Arrays, Rows, Values, real_values
from brainalign.checks import BrainalignError
from brainalign.statistics.resampling import FEW, LONGER
from brainalign.statistics.scores import is_constant, pearson

Groups = Sequence[NDArray[Any]]  # target numbers, or masks

BLOCK = 256  # targets whose rows stay in a core's cache while all permutations pass
TIE = 1e-6  # float32 sums in another order differ by less


@dataclass(frozen=True)
class CorrelationNull:
    """Correlations under permutation: p values, maxima and means, never all of them.

    Attributes
    ----------
    p : array (n_targets,)
        One-sided: the share of orders, the observed among them, whose r reaches the observed one; NaN without r.
    max_r : array (n_permutations,)
        Largest r over targets: the distribution that controls the family-wise error.
    mean_r : array (n_permutations,)
        Mean r over targets.
    group_r : array (n_permutations, n_groups)
        Mean r over the targets of each group.
    maps : array (n_maps, n_targets), float32
        Every r of the first permutations.
    """

    p: NDArray[np.float64]
    max_r: NDArray[np.float64]
    mean_r: NDArray[np.float64]
    group_r: NDArray[np.float64]
    maps: NDArray[np.float32]


def _unit(values: Values) -> NDArray[np.float32]:
    """Return columns centred and of norm 1, in float32; zeros where a column is constant or holds NaN."""
    unit = np.empty(values.shape, dtype=np.float32)
    for first in range(0, values.shape[1], 4 * BLOCK):
        exact = np.asarray(values[:, first : first + 4 * BLOCK], dtype=np.float64)
        centred = exact - exact.mean(axis=0)
        norm = np.linalg.norm(centred, axis=0)
        none = ~np.isfinite(norm) | is_constant(norm**2, np.linalg.norm(exact, axis=0) ** 2)
        unit[:, first : first + 4 * BLOCK] = np.where(none, 0, centred) / np.where(none, 1, norm)
    return unit


def _units(predicted: Values, measured: Values) -> list[NDArray[np.float32]]:
    sides = real_values("predicted", predicted), real_values("measured", measured)
    shapes = [side.shape for side in sides]
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or not shapes[0][0]:
        raise BrainalignError(f"predicted and measured have shapes {shapes[0]} and {shapes[1]}; give rows × targets")
    return [_unit(side) for side in sides]


def _positions(group: NDArray[Any]) -> NDArray[np.intp]:
    """Return target numbers of a group given as numbers or as a mask."""
    group = np.asarray(group)
    return np.flatnonzero(group) if group.dtype == bool else group.astype(np.intp)


def _membership(groups: Groups | None, defined: NDArray[np.bool_]) -> sparse.csr_array:
    """Return the matrix (n_targets, n_groups) that averages the defined targets of each group; NaN for none."""
    n, kept = len(defined), list[NDArray[np.intp]]()
    for number, group in enumerate(map(_positions, [] if groups is None else groups)):
        if len(group) and not (group.min() >= 0 and group.max() < n):
            raise BrainalignError(f"group {number} names target {group.max()}, but there are {n} targets, from 0")
        kept.append(group[defined[group]])
    sizes = np.array([len(group) for group in kept], dtype=np.intp)
    rows, columns = np.concatenate([np.empty(0, dtype=np.intp), *kept]), np.repeat(np.arange(len(kept)), sizes)
    return sparse.csr_array((1 / np.repeat(sizes, sizes), (rows, columns)), shape=(n, len(kept)))


def _hide_empty(means: NDArray[np.float64], groups: Groups | None, defined: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Write NaN where a group has no defined target: the mean of none is not 0."""
    for number, group in enumerate([] if groups is None else groups):
        if not defined[_positions(group)].any():
            means[..., number] = np.nan
    return means


def group_means(r: Values, groups: Groups) -> NDArray[np.float64]:
    """Return the mean of r (n_targets,) over the targets of each group that have one; NaN where none has."""
    defined = ~np.isnan(r)
    means = _membership(groups, defined).T @ np.nan_to_num(np.asarray(r, dtype=np.float64))
    return _hide_empty(np.asarray(means), groups, defined)


def permuted_correlations(
    predicted: Values,
    measured: Values,
    n_permutations: int,
    seed: int | Sequence[int],
    *,
    groups: Groups | None = None,
    n_maps: int = 0,
    sequential: bool = False,
) -> CorrelationNull:
    """Correlate `predicted`, its rows exchanged, with `measured` for every target.

    The orders are all n cyclic shifts of the rows, standing in one random order, of as many random orders of the
    predictions as are needed: a Fourier transform gives the correlations of n orders at once. Each of them is a random
    order. Those of one transform depend on each other only in that their r sum to 0 over a whole turn.

    Orders depend on the seed and the number of rows only, so the nulls of several models are paired.

    Parameters
    ----------
    predicted, measured : array (n_rows, n_targets)
    n_permutations : int
    seed : int, or a list of them
    groups : sequence of arrays of target numbers, optional
        Mean r over each is kept for every permutation. Targets whose r is undefined do not enter.
    n_maps : int
        Permutations of which every r is kept.
    sequential : bool
        Permute a target that fewer than 10 orders reach 10 times as often. Every p is valid: one that stops has at
        least 11 / (1 + n_permutations), and one that goes on counts all its orders.

    References
    ----------
    Besag J, Clifford P (1991). Sequential Monte Carlo p-values. Biometrika 78:301-304. doi:10.1093/biomet/78.2.301
    """
    a, b = _units(predicted, measured)
    n_rows, n_targets = a.shape
    rng = np.random.default_rng(seed)
    order = rng.permutation(n_rows)
    starts = [rng.permutation(n_rows) for _ in range(-(-n_permutations // n_rows))]
    defined = (a != 0).any(axis=0) & (b != 0).any(axis=0)
    membership = _membership(groups, defined)
    reached = np.zeros(n_targets, dtype=np.intp)
    max_r = np.full(n_permutations, -np.inf)
    total = np.zeros(n_permutations)
    group_r = np.zeros((n_permutations, membership.shape[1]))
    maps = np.empty((min(n_maps, n_permutations), n_targets), dtype=np.float32)
    for first in range(0, n_targets, BLOCK):
        block = slice(first, first + BLOCK)
        r, observed = _shifted(a[:, block], b[:, block], order, starts, n_permutations)
        reached[block] = (r >= observed - TIE).sum(axis=1)
        maps[:, block] = r[:, : len(maps)].T
        total += r.sum(axis=0, dtype=np.float64)
        if defined[block].any():
            max_r = np.maximum(max_r, r[defined[block]].max(axis=0))
        group_r += (membership[block].T @ r).T
    mean_r = total / defined.sum() if defined.any() else np.full(n_permutations, np.nan)
    max_r[np.isinf(max_r)] = np.nan
    p = np.where(defined, (1 + reached) / (1 + n_permutations), np.nan)
    few = np.flatnonzero(defined & (reached < FEW)) if sequential else np.empty(0, dtype=np.intp)
    n_more = (LONGER - 1) * n_permutations
    more = [rng.permutation(n_rows) for _ in range(-(-n_more // n_rows) if len(few) else 0)]
    for first in range(0, len(few), BLOCK):
        some = few[first : first + BLOCK]
        r, observed = _shifted(a[:, some], b[:, some], order, more, n_more)
        p[some] = (1 + reached[some] + (r >= observed - TIE).sum(axis=1)) / (1 + LONGER * n_permutations)
    return CorrelationNull(p, max_r, mean_r, _hide_empty(group_r, groups, defined), maps)


def _shifted(
    a: Values, b: Values, order: Rows, starts: Sequence[Rows], n: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return r (n_targets, n) of b with cyclic shifts of every order of a, and observed r as a column."""
    x, y = a.T, np.conj(np.fft.rfft(b[order].T))
    shifted = [np.fft.irfft(np.fft.rfft(x[:, start]) * y, len(a)) for start in starts]
    return np.concatenate(shifted, axis=1, dtype=np.float32)[:, :n], np.einsum("ij,ij->j", a, b)[:, None]


def bootstrap_correlations(
    predicted: Values, measured: Values, groups: Groups, *, n_draws: int = 1000, seed: int = 0
) -> NDArray[np.float64]:
    """Return the mean r over each group of targets for rows drawn with replacement (n_draws, n_groups).

    A draw is a weight per row, and a weighted correlation needs five sums over rows: products of matrices, without a
    loop over draws. The draws depend on the seed and the number of rows only, so those of two models are paired.

    Parameters
    ----------
    predicted, measured : array (n_rows, n_targets)
    groups : sequence of arrays of target numbers
        Targets whose r is undefined do not enter.
    n_draws, seed : int
    """
    a, b = _units(predicted, measured)
    n_rows, n_targets = a.shape
    defined = (a != 0).any(axis=0) & (b != 0).any(axis=0)
    membership = _membership(groups, defined)
    counts = np.random.default_rng(seed).multinomial(n_rows, np.full(n_rows, 1 / n_rows), size=n_draws)
    weights = (counts / n_rows).astype(np.float32)
    scale = np.float32(np.sqrt(n_rows))  # unit variance, so that float32 keeps its digits
    means = np.zeros((n_draws, membership.shape[1]))
    needed = np.diff(membership.indptr) > 0
    for start in range(0, n_targets, 4 * BLOCK):
        block = slice(start, start + 4 * BLOCK)
        inside = needed[block]
        if not inside.any():
            continue
        x, y = a[:, block][:, inside] * scale, b[:, block][:, inside] * scale
        mean_x, mean_y = weights @ x, weights @ y
        spread = (weights @ x**2 - mean_x**2) * (weights @ y**2 - mean_y**2)
        r = (weights @ (x * y) - mean_x * mean_y) / np.sqrt(np.maximum(spread, 1e-12))
        means += (membership[block][inside].T @ r.T).T
    return _hide_empty(means, groups, defined)


RELIABLE = "reliable targets"  # the group over all targets that repeat, beside the regions
SHARING = " & "  # between the names of models, of what they have in common


@dataclass(frozen=True)
class RegionDraws:
    """What a fit leaves for others to be compared with, layer by layer.

    Attributes
    ----------
    regions : dict of arrays of target numbers
        What is averaged.
    draws, null : dict of arrays (n_draws or n_permutations, n_regions)
        By layer, from `region_draws`.
    test_ids : list of str
        Test stimuli.
    n_train : int
        Training stimuli.
    """

    regions: dict[str, NDArray[np.intp]]
    draws: dict[str, NDArray[np.float32]]
    null: dict[str, NDArray[np.float32]]
    test_ids: list[str]
    n_train: int

    def arrays(self) -> Arrays:
        """Return everything that is an array, to be stored."""
        named: dict[str, NDArray[Any]] = {f"targets {name}": rows for name, rows in self.regions.items()}
        for kind, layers in (("draws", self.draws), ("null", self.null)):
            named |= {f"{kind} {layer}": values for layer, values in layers.items()}
        return Arrays(named)

    def details(self) -> dict[str, Any]:
        """Return the rest as JSON; orders are part of it, since files of arrays keep none."""
        return {
            "layers": list(self.draws),
            "regions": list(self.regions),
            "test_ids": self.test_ids,
            "n_train": self.n_train,
        }

    @classmethod
    def read(cls, arrays: Arrays, details: Mapping[str, Any]) -> Self:
        """Restore the draws that `arrays` and `details` describe."""
        return cls(
            {name: arrays[f"targets {name}"] for name in details["regions"]},
            {layer: arrays[f"draws {layer}"] for layer in details["layers"]},
            {layer: arrays[f"null {layer}"] for layer in details["layers"]},
            list(details["test_ids"]),
            int(details["n_train"]),
        )

    def check_same(self, other: "RegionDraws", mine: str, others: str) -> None:
        """Raise unless two fits were scored on the same test stimuli and the same targets.

        Parameters
        ----------
        other : RegionDraws
        mine, others : str
            What the fits are called in the message.

        Raises
        ------
        BrainalignError
            With what differs.
        """
        if self.test_ids != other.test_ids:
            both = len(set(self.test_ids) & set(other.test_ids))
            raise BrainalignError(
                f"{mine} was tested on {len(self.test_ids)} stimuli and {others} on {len(other.test_ids)}, {both} of "
                "them the same; compare fits on the same test stimuli in the same order"
            )
        for name in dict.fromkeys([*self.regions, *other.regions]):
            one, two = (fit.regions.get(name, np.empty(0)) for fit in (self, other))
            if not np.array_equal(one, two):
                raise BrainalignError(
                    f"in {name} {mine} was scored on {len(one)} targets and {others} on {len(two)}, "
                    f"{len(np.intersect1d(one, two))} of them the same; compare fits on the same targets"
                )


def region_draws(
    predicted: Values,
    measured: Values,
    regions: Mapping[str, NDArray[np.intp]],
    *,
    n_draws: int = 1000,
    n_permutations: int = 1000,
    seed: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean r of every region for test stimuli drawn with replacement, and for predictions exchanged.

    Of shape (n_draws, n_regions) and (n_permutations, n_regions). A target whose prediction is constant has no r and
    counts as 0 here: it is predicted no better than by its mean, and every fit is averaged over the same targets. Draws
    and permutations depend on the seed and the number of stimuli only, so those of several fits are paired.

    Parameters
    ----------
    predicted, measured : array (n_stimuli, n_targets)
        Test stimuli.
    regions : mapping of arrays of target numbers, or masks
        One target or more each; they may overlap.
    n_draws, n_permutations, seed : int
    """
    members = [_positions(rows) for rows in regions.values()]
    used = np.unique(np.concatenate([*members, np.empty(0, dtype=np.intp)])).astype(np.intp)
    a, b = predicted[:, used], measured[:, used]
    groups = [np.searchsorted(used, rows) for rows in members]
    defined = ~np.isnan(pearson(a, b))
    share = np.array([defined[rows].mean() for rows in groups])
    draws = bootstrap_correlations(a, b, groups, n_draws=n_draws, seed=seed)
    null = permuted_correlations(a, b, n_permutations, seed, groups=groups).group_r
    # Means over the defined targets become means over all, the others being 0.
    draws, null = (np.where(share > 0, np.nan_to_num(means) * share, 0.0) for means in (draws, null))
    return draws.astype(np.float32), null.astype(np.float32)
