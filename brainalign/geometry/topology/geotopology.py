"""Topology of a representation: transforms of RDMs that keep who is near whom and let go of how far apart things are.

`geotopological` clips small and large dissimilarities; `geodesic` measures along the paths that neighbours make.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, shortest_path

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice
from brainalign.condensed import check_not_infinite, check_pairs, condensed_rdms, n_stimuli_of, square_rdms
from brainalign.geometry.inference import compare
from brainalign.geometry.rdms import equal_masks, mean_ranks

Disconnected = Literal["nan", "max_finite", "largest"]

SLACK = 1e-3  # sums of steps of .05 are not exact
FAMILIES = ("local", "global", "geometry", "topology", "intermediate")

DENSE_SHARE = 0.25  # of pairs that are edges: beyond it Floyd and Warshall are faster than Dijkstra


class Geodesics(NamedTuple):
    """Shortest paths through the neighbourhood graphs of RDMs (..., n_pairs), and in how many parts each graph falls.

    One part where every stimulus is reached; 0 where there is no graph because the RDM is constant.
    """

    rdms: Values
    n_components: NDArray[np.intp]


def geotopological(rdms: Values, lower: float = 0.2, upper: float = 0.8, rank: bool = True) -> Values:
    """Return RDMs in which all pairs nearer than a quantile are 0 and all farther than another are 1.

    clip((x − a) / (b − a), 0, 1), where a and b are the quantiles `lower` and `upper` of x, always of one RDM. With
    equal quantiles it is 1 where x > a, or where x = a if nothing is larger, else 0.

    Parameters
    ----------
    rdms : array (..., n_pairs)
        NaN is a missing pair; it stays missing, and the quantiles are those of the others.
    lower, upper : float
        In [0, 1]. 0 and 1 leave the ranks as they are.
    rank : bool
        Take x = (rank − 1) / (n_pairs − 1), ties at their mean; then any increasing transform of the dissimilarities
        gives the same. Without, x is the dissimilarity, which may be negative.

    Returns
    -------
    array (..., n_pairs)
        NaN for an RDM whose pairs are all alike.

    Raises
    ------
    BrainalignError
        If the quantiles are not 0 ≤ lower ≤ upper ≤ 1, a dissimilarity is infinite, or the number of pairs is that of
        no set of stimuli.

    References
    ----------
    Lin B, Kriegeskorte N (2024). The topology and geometry of neural representations. PNAS 121:e2317881121.
    doi:10.1073/pnas.2317881121

    Examples
    --------
    >>> geotopological(np.array([4.0, 1.0, 9.0]), 0.25, 0.75).tolist()
    [0.5, 0.0, 1.0]
    """
    if not 0 <= lower <= upper <= 1:
        raise BrainalignError(
            f"lower and upper are quantiles with 0 <= lower <= upper <= 1; got {lower} and {upper}; the usual ones "
            "are .2 and .8"
        )
    given = condensed_rdms("rdms", rdms, any_axes=True)
    check_not_infinite(given)
    flat = given.reshape(-1, given.shape[-1])
    found = np.full(flat.shape, np.nan)
    for rows, seen in equal_masks(np.isfinite(flat)):
        if seen.sum() >= 2:
            found[np.ix_(rows, seen)] = _clipped(flat[rows][:, seen], lower, upper, rank)
    return found.reshape(given.shape)


def geodesic(
    rdms: Values,
    neighbors: int | None = None,
    quantile: float | None = None,
    threshold: tuple[float, float] | None = None,
    disconnected: Disconnected = "nan",
) -> Geodesics:
    """Return the lengths of shortest paths between stimuli, along edges that join near ones only.

    Exactly one of `neighbors`, `quantile` and `threshold` says which pairs are edges. Zero is a length like others. A
    pair that is missing or infinite is no edge, but there may be a path around it.

    Parameters
    ----------
    rdms : array (..., n_pairs)
    neighbors : int, optional
        Each stimulus is joined with its nearest ones (and those as near as the last of them); a pair is an edge if
        either is a neighbour of the other.
    quantile : float, optional
        In (0, 1]: pairs up to this quantile of the RDM are edges.
    threshold : (float, float), optional
        Two steps: `geotopological` with these quantiles; pairs below 1 are edges, with the transformed lengths.
    disconnected : {"nan", "max_finite", "largest"}
        What is between stimuli that no path joins: NaN; the longest path of the RDM; or NaN, and also for all pairs
        outside the largest part.

    Returns
    -------
    Geodesics
        A constant RDM has no graph under `threshold`: NaN.

    Raises
    ------
    BrainalignError
        If not exactly one rule for edges is given, or its value makes no sense; if a length would be negative.

    References
    ----------
    Lin B, Kriegeskorte N (2024). The topology and geometry of neural representations. PNAS 121:e2317881121.
    doi:10.1073/pnas.2317881121
    Tenenbaum JB, de Silva V, Langford JC (2000). A global geometric framework for nonlinear dimensionality reduction.
    Science 290:2319-2323. doi:10.1126/science.290.5500.2319

    Examples
    --------
    >>> geodesic(np.array([1.0, 9.0, 1.0]), neighbors=1).rdms.tolist()
    [1.0, 2.0, 1.0]
    """
    check_choice("disconnected", disconnected, {"nan", "max_finite", "largest"})
    given = condensed_rdms("rdms", rdms, any_axes=True)
    n = n_stimuli_of(given.shape[-1])
    flat = given.reshape(-1, given.shape[-1])
    lengths = _edges(flat, n, neighbors, quantile, threshold)
    if (lengths < 0).any():
        raise BrainalignError(
            f"{int((lengths < 0).sum())} edges have a negative length (smallest {lengths.min():.3g}); use "
            "threshold=(lower, upper), which ranks, or set what is below zero to 0"
        )
    undefined = np.asarray(np.isnan(lengths).all(axis=1))
    found, parts = np.full(flat.shape, np.nan), np.zeros(len(flat), dtype=np.intp)
    i, j = np.triu_indices(n, 1)
    for row in np.flatnonzero(~undefined):
        edge = np.isfinite(lengths[row])
        ends = (np.concatenate([i[edge], j[edge]]), np.concatenate([j[edge], i[edge]]))
        # Stored zeros are edges; a dense matrix would lose them.
        graph = csr_array((np.tile(lengths[row, edge], 2), ends), shape=(n, n))
        parts[row], part = connected_components(graph, directed=False)
        paths = shortest_path(graph, method="FW" if edge.mean() > DENSE_SHARE else "D")[i, j]
        found[row] = _joined(paths, part, i, j, disconnected) if parts[row] > 1 else paths
    return Geodesics(found.reshape(given.shape), parts.reshape(given.shape[:-1]))


def threshold_grid(step: float = 0.05) -> Values:
    """Return all (lower, upper) with lower ≤ upper on a grid, (n_cells, 2).

    Equal ones give binary RDMs; those at 0 and at 1 are left out, because they tell no pairs apart.
    """
    n = round(1 / step)
    if n < 1 or abs(n * step - 1) > SLACK:
        raise BrainalignError(f"step must divide 1, as .05 does; got {step}")
    levels = np.arange(n + 1) / n
    lower, upper = np.triu_indices(n + 1)
    inside = (lower < upper) | ((lower > 0) & (lower < n))
    return np.column_stack([levels[lower[inside]], levels[upper[inside]]])


def threshold_family(lower: float, upper: float) -> str:
    """Classify a pair of thresholds by what it looks at, as one of `FAMILIES`.

    Examples
    --------
    >>> [threshold_family(*cell) for cell in ((0, 0.2), (0.9, 1), (0, 1), (0.45, 0.55), (0.2, 0.8))]
    ['local', 'global', 'geometry', 'topology', 'intermediate']
    """
    middle = (lower + upper) / 2
    if middle <= 0.2 + SLACK:
        return "local"
    if middle >= 0.8 - SLACK:
        return "global"
    if upper - lower >= 0.8 - SLACK:
        return "geometry"
    return "topology" if lower >= 0.4 - SLACK and upper <= 0.6 + SLACK else "intermediate"


def _clipped(values: Values, lower: float, upper: float, rank: bool) -> Values:
    """Transform RDMs without missing pairs, (n_rdms, n_pairs)."""
    ranks = mean_ranks(values)
    constant = np.ptp(ranks, axis=1) == 0
    x = (ranks - 1) / (values.shape[1] - 1) if rank else values
    a, b = np.quantile(x, [lower, upper], axis=1)[..., None]
    width = b - a
    with np.errstate(over="ignore"):
        above = np.where(a < x.max(axis=1, keepdims=True), x > a, x >= a)  # both quantiles may be of the largest, tied
        found = np.where(width > 0, np.clip((x - a) / np.where(width > 0, width, 1), 0, 1), above)
    found[constant] = np.nan
    return np.asarray(found)


def _edges(
    rdms: Values, n: int, neighbors: int | None, quantile: float | None, threshold: tuple[float, float] | None
) -> Values:
    """Return lengths of edges (n_rdms, n_pairs): infinite where there is none, all NaN where there is no graph."""
    if sum(rule is not None for rule in (neighbors, quantile, threshold)) != 1:
        raise BrainalignError(
            f"give exactly one of neighbors, quantile and threshold; got {neighbors}, {quantile} and {threshold}"
        )
    present = np.where(np.isnan(rdms), np.inf, rdms)
    if neighbors is not None:
        if not 1 <= neighbors < n:
            raise BrainalignError(
                f"neighbors must lie between 1 and {n - 1}, the others of {n} stimuli; got {neighbors}"
            )
        square = square_rdms(present)
        square[:, np.arange(n), np.arange(n)] = np.inf
        farthest = np.partition(square, neighbors - 1, axis=-1)[..., neighbors - 1]
        i, j = np.triu_indices(n, 1)
        return np.where((present <= farthest[:, i]) | (present <= farthest[:, j]), present, np.inf)
    if quantile is not None:
        if not 0 < quantile <= 1:
            raise BrainalignError(f"quantile must lie in (0, 1]; got {quantile}; the usual one is .05")
        limit = [np.quantile(row[np.isfinite(row)], quantile) if np.isfinite(row).any() else 0.0 for row in rdms]
        return np.where(present <= np.array(limit)[:, None], present, np.inf)
    assert threshold is not None
    clipped = geotopological(np.where(np.isfinite(rdms), rdms, np.nan), *threshold)  # infinite pairs are no edges
    undefined = np.isnan(clipped).all(axis=1, keepdims=True)
    return np.where(undefined, np.nan, np.where(clipped < 1, clipped, np.inf))


def _joined(
    paths: Values, part: NDArray[np.integer[Any]], i: NDArray[np.intp], j: NDArray[np.intp], disconnected: Disconnected
) -> Values:
    """Return paths with what stands between stimuli that none joins."""
    reached = np.isfinite(paths)
    if disconnected == "max_finite" and reached.any():
        return np.where(reached, paths, paths[reached].max())
    if disconnected == "largest":
        largest = np.bincount(part).argmax()
        reached = reached & (part[i] == largest) & (part[j] == largest)
    return np.where(reached, paths, np.nan)


@dataclass(frozen=True)
class LayerAgreement:
    """Layers compared with regions under one transform.

    Attributes
    ----------
    fit : array (n_subjects, n_regions, n_layers)
        Pearson's r of transformed RDMs.
    best : array (n_regions,) of int
        Layer of the largest mean fit over subjects; -1 where there is none.
    agreement : array (n_regions,)
        Share of subjects whose best layer is the one that the mean of the others says; chance is 1 / n_layers.
    """

    fit: Values
    best: NDArray[np.intp]
    agreement: Values


def layer_agreement(
    rdms: Values, layers: Values, transforms: Mapping[str, tuple[float, float] | None]
) -> dict[str, LayerAgreement]:
    """Compare the layers of a network with the regions of subjects under several transforms of both.

    Parameters
    ----------
    rdms : array (n_subjects, n_regions, n_pairs)
        All NaN where a subject lacks a region.
    layers : array (n_layers, n_pairs)
    transforms : mapping of (float, float) or None
        By name, the thresholds of `geotopological`; None leaves RDMs as they are.

    Raises
    ------
    BrainalignError
        If the numbers of pairs differ.
    """
    rdms = condensed_rdms("rdms", rdms, "n_subjects", "n_regions")
    layers = condensed_rdms("layers", layers, "n_layers", some_pairs=True)
    check_pairs("an RDM of regions", rdms, "one of layers", layers)
    found = {}
    for name, cell in transforms.items():
        regions, of_model = (x if cell is None else geotopological(x, *cell) for x in (rdms, layers))
        fit = compare(regions.reshape(-1, rdms.shape[-1]), of_model, "pearson").reshape(*rdms.shape[:2], len(layers))
        there: NDArray[np.bool_] = np.asarray(np.isfinite(fit).all(axis=2))  # (n_subjects, n_regions)
        shown = np.where(there[..., None], fit, 0)
        total, n = shown.sum(axis=0), there.sum(axis=0)
        best = np.where(n > 0, total.argmax(axis=1), -1)
        others, tested = (total - shown).argmax(axis=2), there & (n > 1)
        hits = ((others == shown.argmax(axis=2)) & tested).sum(axis=0)
        found[name] = LayerAgreement(fit, best, hits / np.where(n > 1, n, np.nan))
    return found
