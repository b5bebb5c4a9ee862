"""Identification of regions across subjects over all thresholds of the geo-topological transform, beside plain ranks.

The accuracy surface invites looking for its maximum, which is optimistic; the nested choice is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, generator
from brainalign.condensed import condensed_rdms, n_stimuli_of
from brainalign.geometry.inference import index_draws, multiplicities
from brainalign.geometry.rdms import sorted_ties, tie_ends
from brainalign.geometry.topology.geotopology import threshold_grid

TIE = 1e-9  # correlations closer than this are equal but for rounding
NONE = -2.0  # below every correlation
MARGIN = 1e-6  # a margin is at most 2: it decides only between cells that name equally many regions


# A correlation with a mean of RDMs needs only products of RDMs, so leaving out one subject, or two of them for the
# choice of thresholds, or drawing subjects repeatedly, are sums over the same matrix.
@dataclass(frozen=True)
class _NamedRegions:
    """How many regions of each left-out subject are named correctly, copies counted."""

    hits: Values  # (n_cells, n_subjects)
    choice: Values  # (n_cells, n_subjects): what each cell names among the others, when these are left out in turn
    nearest: Values  # (n_cells, n_subjects, n_regions): numbers of regions; NaN where no other subject has it
    tested: float  # regions that could be named
    vanished: float  # regions that no other subject has

    @property
    def accuracy(self) -> Values:
        """Share of regions named correctly, (n_cells,), pooled over subjects."""
        return np.asarray(self.hits.sum(axis=1) / (self.tested or np.nan))

    @property
    def chosen(self) -> NDArray[np.intp]:
        """Cell that the others would choose for each subject, (n_subjects,)."""
        return np.asarray(self.choice.argmax(axis=0))

    @property
    def nested(self) -> float:
        """Share named correctly with the cell that the others choose; NaN where fewer than 2 are left to choose."""
        hits = np.take_along_axis(self.hits, self.chosen[None], axis=0).sum()
        return float(hits / (self.tested or np.nan)) if np.isfinite(self.choice).all() else np.nan

    @classmethod
    def joined(cls, parts: "list[_NamedRegions]") -> "_NamedRegions":
        """Return the regions named at the cells of all parts."""
        names = ("hits", "choice", "nearest")
        hits, choice, nearest = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        return cls(hits, choice, nearest, parts[0].tested, parts[0].vanished)


def _name_regions(grams: Values, present: NDArray[np.bool_], copies: Values | None = None) -> _NamedRegions:
    """Name every region of every subject after the nearest mean RDM of the others.

    Correlations between RDMs (n_cells, n_subjects, n_regions, n_subjects, n_regions) are zero where one is undefined;
    `copies` says how often each subject was drawn, and all its copies are left out together.
    """
    copies = np.ones(len(present)) if copies is None else copies
    if (copies == 0).any():
        there = np.flatnonzero(copies)
        grams, present, copies = grams[:, there][:, :, :, there], present[there], copies[there]
    weight = copies[:, None] * present  # of every RDM in the means
    total = weight.sum(axis=0)
    sums = np.einsum("csrtq,tq->csrq", grams, weight)  # products with the sum over subjects of each region
    sums -= np.einsum("csrsq->csrq", grams) * weight[None, :, None]
    within = np.einsum("csrtr->cstr", grams) * weight[None, :, None] * weight[None, None]
    row, itself = within.sum(axis=2), np.einsum("cssr->csr", within)
    squared = row.sum(axis=1, keepdims=True) - 2 * row + itself  # of the sum without one subject
    others = total - weight > 0  # whether the region is there without this subject
    credit, _, nearest = _credit_and_margin(sums, squared, others)
    nearest[:, ~(present & others)] = np.nan
    tested = copies[:, None] * (present & others)
    choice = np.full((len(grams), len(copies)), np.nan)
    for s in range(len(copies) if len(copies) > 2 else 0):
        rest = np.arange(len(copies)) != s
        products = sums[:, rest] - grams[:, :, :, s][:, rest] * weight[s]
        both = squared[:, rest] - 2 * row[:, s, None] + itself[:, s, None] + 2 * within[:, s, rest]
        left = total - weight[rest] - weight[s] > 0
        pooled = copies[rest, None] * (present[rest] & left)
        right, margin, _ = _credit_and_margin(products, both, left)
        choice[:, s] = ((right + MARGIN * margin) * pooled).sum(axis=(1, 2)) if pooled.any() else np.nan
    vanished = float((copies[:, None] * (present & ~others)).sum())
    return _NamedRegions((credit * tested).sum(axis=2), choice, nearest, float(tested.sum()), vanished)


def _credit_and_margin(products: Values, squared: Values, others: NDArray[np.bool_]) -> tuple[Values, Values, Values]:
    """Compute credit (1, or a share of a tie), margin and nearest of every region, (n_cells, n_subjects, n_regions)."""
    norm = np.sqrt(np.maximum(squared, 0))
    r = products * np.where(norm > TIE, 1 / np.maximum(norm, TIE), 0)[:, :, None]
    if not others.all():
        r[:, ~others[:, None].repeat(r.shape[2], axis=1)] = NONE
    diagonal = np.arange(r.shape[-1])
    true = r[..., diagonal, diagonal].copy()
    r[..., diagonal, diagonal] = NONE
    wrong = r.max(axis=-1)
    margin = true - wrong
    credit, tied = (margin > TIE).astype(np.float64), np.abs(margin) <= TIE
    if tied.any():
        credit[tied] = 1 / (1 + (r[tied] >= wrong[tied][:, None] - TIE).sum(axis=-1))
    return credit, margin, np.where(margin < -TIE, r.argmax(axis=-1), diagonal).astype(float)


MIN_SUBJECTS = 3  # one is tested, one chooses thresholds, one is the mean
MIN_STIMULI = 4
CHUNK_BYTES = 100_000_000
# What every surface stands beside. The clip keeps the differences among near pairs and lets go of those among far ones.
BASELINES: Mapping[str, tuple[float, float]] = {
    "rank": (0.0, 1.0),
    "upper clip": (0.0, 0.5),
    "geo-topological": (0.2, 0.8),
    "topological": (0.45, 0.55),
}


@dataclass(frozen=True)
class RegionIdentification:
    """Accuracy at every pair of thresholds and by the nested choice.

    Attributes
    ----------
    cells : array (n_cells, 2)
        Lower and upper thresholds.
    accuracy : array (n_cells,)
    raw : float
        Accuracy of untransformed RDMs.
    nested : float
    chosen : array (n_subjects, 2)
        Thresholds that the other subjects choose for each.
    nearest : array (n_subjects, n_regions)
        Number of the region after which each is named there, ties as its own; NaN where no other subject has it.
    chance : float
        One region per subject; relabelled ones are named less often where some subjects lack a region.
    n_subjects, n_regions, n_stimuli, n_pairs, n_tested : int
    n_missing_pairs : int
        Pairs that some RDM lacks, left out of all.
    draws : array (n_boot, n_cells)
        Accuracy when subjects and stimuli are drawn, the same ones at all thresholds; NaN where none could be named.
    raw_draws, nested_draws : array (n_boot,)
    dropped_pairs : array (n_boot,) of int
        Pairs of stimuli of which one was not drawn.
    vanished : array (n_boot,) of int
        Regions of drawn subjects that no other drawn subject has.
    shuffled : array (n_shuffles,)
        Nested accuracy with the regions of every subject relabelled at random.
    shuffled_accuracy : array (n_shuffles, n_cells)
        Accuracy at every pair of thresholds there.
    """

    cells: Values
    accuracy: Values
    raw: float
    nested: float
    chosen: Values
    nearest: Values
    chance: float
    n_subjects: int
    n_regions: int
    n_stimuli: int
    n_pairs: int
    n_tested: int
    n_missing_pairs: int
    draws: Values
    raw_draws: Values
    nested_draws: Values
    dropped_pairs: NDArray[np.intp]
    vanished: NDArray[np.intp]
    shuffled: Values
    shuffled_accuracy: Values

    @property
    def shuffled_best(self) -> Values:
        """The largest accuracy over all thresholds of each relabelling: what choosing by looking gives of nothing."""
        return np.asarray(self.shuffled_accuracy.max(axis=1))

    def at(self, lower: float, upper: float) -> int:
        """Return the row of a pair of thresholds."""
        row = np.flatnonzero(np.isclose(self.cells, (lower, upper)).all(axis=1))
        if not len(row):
            raise BrainalignError(f"thresholds ({lower}, {upper}) are not on the grid; use a step that divides them")
        return int(row[0])


def identify_regions(
    rdms: Values,
    cells: Values | None = None,
    n_boot: int = 0,
    n_shuffles: int = 0,
    rng: np.random.Generator | None = None,
    draws: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None,
) -> RegionIdentification:
    """Name the regions of each subject after the nearest mean RDM of the other subjects, at all thresholds at once.

    Nearest is the largest Pearson's r of transformed RDMs; means are of transformed RDMs of unit variance; exact ties
    share the credit. Thresholds are nested: for each subject, those that name most regions of the other subjects when
    each of them is left out in turn (the larger margin where several name as many).

    Parameters
    ----------
    rdms : array (n_subjects, n_regions, n_pairs)
        A region that a subject lacks is all NaN. Pairs missing in any other RDM are left out of all, and counted.
    cells : array (n_cells, 2), optional
        Lower and upper thresholds; `threshold_grid` by default.
    n_boot : int
        Draws of subjects and stimuli. Copies of a subject are tested and left out together; pairs of a stimulus with
        its own copy are left out; ranks and thresholds are those of the drawn pairs.
    n_shuffles : int
        Relabellings of the regions of every subject.
    rng : Generator, optional
        Needed for either.
    draws : (array (n_boot, n_subjects), array (n_boot, n_stimuli)) of int, optional
        Which subjects and stimuli each draw takes, instead of `n_boot`.

    Raises
    ------
    BrainalignError
        If there are fewer than 3 subjects, 2 regions or 4 stimuli, or no pair that all RDMs have.

    References
    ----------
    Lin B, Kriegeskorte N (2024). The topology and geometry of neural representations. PNAS 121:e2317881121.
    doi:10.1073/pnas.2317881121
    """
    rdms = condensed_rdms("rdms", rdms, "n_subjects", "n_regions")
    _check(rdms)
    rng = generator(rng) if n_boot or n_shuffles else None
    cells = threshold_grid() if cells is None else np.asarray(cells, dtype=np.float64)
    n_subjects, n_regions, n_pairs = rdms.shape
    n_stimuli = n_stimuli_of(n_pairs)
    present: NDArray[np.bool_] = np.asarray(np.isfinite(rdms).any(axis=2))
    kept: NDArray[np.bool_] = np.asarray(np.isfinite(rdms[present]).all(axis=0))
    n_kept = int(kept.sum()) if present.any() else 0
    if n_kept < 2:
        raise BrainalignError(f"{n_kept} of {n_pairs} pairs are in all RDMs; drop stimuli or subjects with gaps")
    surface = _Surface(rdms[..., kept], present, cells)
    orders = [_relabelled(present, rng) for _ in range(n_shuffles)] if rng is not None else []
    found, *shuffled = surface.named(None, orders)
    named = present & (present.sum(axis=0) > 1)
    draws = index_draws(n_subjects, n_stimuli, n_boot, rng or np.random.default_rng(0), draws)  # without rng: none
    counts = multiplicities(draws[0], n_subjects), multiplicities(draws[1], n_stimuli)
    boot = [_resampled(surface, kept, *drawn) for drawn in zip(*counts, strict=True)]
    return RegionIdentification(
        cells=cells,
        accuracy=found.accuracy,
        raw=float(surface.raw(None).accuracy[0]),
        nested=found.nested,
        chosen=cells[found.chosen],
        nearest=found.nearest[found.chosen, np.arange(n_subjects)],
        chance=float(named.any(axis=1).sum() / (found.tested or np.nan)),
        n_subjects=n_subjects,
        n_regions=n_regions,
        n_stimuli=n_stimuli,
        n_pairs=n_kept,
        n_tested=int(found.tested),
        n_missing_pairs=int((~kept).sum()),
        draws=np.array([some.accuracy for some, _, _ in boot]).reshape(len(boot), len(cells)),
        raw_draws=np.array([alone for _, alone, _ in boot]),
        nested_draws=np.array([some.nested for some, _, _ in boot]),
        dropped_pairs=np.array([n for _, _, n in boot], dtype=np.intp),
        vanished=np.array([some.vanished for some, _, _ in boot], dtype=np.intp),
        shuffled=np.array([some.nested for some in shuffled]),
        shuffled_accuracy=np.array([some.accuracy for some in shuffled]).reshape(len(shuffled), len(cells)),
    )


class _Surface:
    """Regions named at all thresholds, and from RDMs as they are, for any draw of stimuli and subjects."""

    def __init__(self, rdms: Values, present: NDArray[np.bool_], cells: Values) -> None:
        self.present, self.cells, self.rdms = present, cells, rdms[present]
        self.ranked = RankedRdms(self.rdms)
        self.at_once = max(1, CHUNK_BYTES // (8 * present.size**2))

    def named(
        self, weights: NDArray[np.intp] | None, orders: Sequence[NDArray[np.intp]] = (), copies: Values | None = None
    ) -> list[_NamedRegions]:
        """Name the regions at every cell, and with the regions of subjects relabelled in each of `orders`."""
        parts: list[list[_NamedRegions]] = [[] for _ in range(1 + len(orders))]
        for start in range(0, len(self.cells), self.at_once):
            grams = self._square(self.ranked.grams(self.cells[start : start + self.at_once], weights))
            parts[0].append(_name_regions(grams, self.present, copies))
            flat = grams.reshape(len(grams), self.present.size, self.present.size)
            for part, order in zip(parts[1:], orders, strict=True):
                relabelled = flat[:, order[:, None], order].reshape(grams.shape)
                part.append(_name_regions(relabelled, self.present, copies))
        return [_NamedRegions.joined(part) for part in parts]

    def raw(self, weights: NDArray[np.intp] | None, copies: Values | None = None) -> _NamedRegions:
        counts = np.ones(self.rdms.shape[1], dtype=np.intp) if weights is None else weights
        rows = self.rdms[:, counts > 0]
        # Of any scale, so that what the mean loses by rounding is small.
        scale = np.abs(rows).max(axis=1, keepdims=True)
        gram = _correlations(rows / np.where(scale > 0, scale, 1), counts[counts > 0].astype(np.float64), False)
        return _name_regions(self._square(gram[None]), self.present, copies)

    def _square(self, grams: Values) -> Values:
        """Put zeros where a subject lacks a region."""
        shape = self.present.shape
        if self.present.all():
            return grams.reshape(-1, *shape, *shape)
        rows = np.flatnonzero(self.present)
        whole = np.zeros((len(grams), self.present.size, self.present.size))
        whole[:, rows[:, None], rows] = grams
        return whole.reshape(-1, *shape, *shape)


def _relabelled(present: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.intp]:
    """Return rows of RDMs with the regions that each subject has in random order."""
    rows = np.arange(present.size).reshape(present.shape)
    for row, has in zip(rows, present, strict=True):
        row[has] = rng.permutation(row[has])
    return rows.ravel()


def _resampled(
    surface: _Surface, kept: NDArray[np.bool_], subjects: Values, stimuli: Values
) -> tuple[_NamedRegions, float, int]:
    """Name the regions in one draw; also compute the accuracy of raw RDMs, and count the pairs it is without."""
    i, j = np.triu_indices(len(stimuli), 1)
    weights = (stimuli[i] * stimuli[j])[kept].astype(np.intp)
    dropped = int((weights == 0).sum())
    if (subjects > 0).sum() < 2 or len(weights) - dropped < 2:
        nothing = np.full((len(surface.cells), 1), np.nan)
        return _NamedRegions(nothing, nothing, nothing, 0, 0), np.nan, dropped
    return surface.named(weights, copies=subjects)[0], float(surface.raw(weights, subjects).accuracy[0]), dropped


def _check(rdms: Values) -> None:
    n_subjects, n_regions, n_pairs = rdms.shape
    for name, n, least in (
        ("subjects", n_subjects, MIN_SUBJECTS),
        ("regions", n_regions, 2),
        ("stimuli", n_stimuli_of(n_pairs), MIN_STIMULI),
    ):
        if n < least:
            raise BrainalignError(f"identification across subjects needs {least} or more {name}; got {n}")


class RankedRdms:
    """Complete RDMs (n_rdms, n_pairs) in the order of their dissimilarities: sorted once for all thresholds."""

    def __init__(self, rdms: Values) -> None:
        self.order, self.groups = sorted_ties(rdms)

    def grams(self, cells: Values, weights: NDArray[np.intp] | None = None) -> Values:
        """Return Pearson's r between all RDMs transformed at every pair of thresholds, (n_cells, n_rdms, n_rdms).

        Weights (n_pairs,) say how often each pair is there, as after drawing stimuli with replacement. Rows of RDMs
        that are constant after the transform are zero.
        """
        counts = np.ones(self.order.shape[1], dtype=np.intp) if weights is None else weights
        x, levels, quantiles = self._ranks(cells, counts)
        kept = counts[counts > 0].astype(np.float64)
        found = np.empty((len(cells), len(x), len(x)))
        even = bool((kept == kept[0]).all())
        for gram, (lower, upper) in zip(found, np.searchsorted(levels, cells), strict=True):
            a, width = quantiles[:, lower, None], (quantiles[:, upper] - quantiles[:, lower])[:, None]
            binary, forms = width == 0, x - a
            if binary.any():
                steps = np.where(forms.max(axis=1, keepdims=True) > 0, forms > 0, forms >= 0)  # as of one transform
            forms *= 1 / np.where(binary, 1, width)
            np.clip(forms, 0, 1, out=forms)
            if binary.any():
                forms = np.where(binary, steps, forms)
            gram[:] = _correlations(forms, kept, even)
        return found

    def _ranks(self, cells: Values, counts: NDArray[np.intp]) -> tuple[Values, Values, Values]:
        """Return ranks in [0, 1] of the pairs that are there, the levels of all thresholds, and the quantiles there."""
        drawn = counts[self.order]
        there = drawn > 0
        n_rdms, n_kept = len(drawn), int((counts > 0).sum())
        drawn = drawn[there].reshape(n_rdms, n_kept)
        groups = self.groups[there].reshape(n_rdms, n_kept)
        column = (np.cumsum(counts > 0) - 1)[self.order[there]].reshape(n_rdms, n_kept)
        reached = np.cumsum(drawn, axis=1)
        n = int(reached[0, -1])
        first, last = tie_ends(groups)
        before = np.take_along_axis(reached - drawn, first, axis=1)
        ranks = (before + np.take_along_axis(reached, last, axis=1) - 1) / 2 / max(n - 1, 1)
        levels = np.unique(cells)
        place = levels * (n - 1)
        low = np.minimum(np.floor(place), max(n - 2, 0))
        quantiles = np.empty((n_rdms, len(levels)))
        for row, of_rdm, ends in zip(quantiles, ranks, reached, strict=True):
            below, above = (of_rdm[np.searchsorted(ends, np.minimum(low + k, n - 1), side="right")] for k in (0, 1))
            row[:] = below + (place - low) * (above - below)
        x = np.empty_like(ranks)
        np.put_along_axis(x, column, ranks, axis=1)
        return x, levels, quantiles


def _correlations(forms: Values, weights: Values, even: bool) -> Values:
    """Return r between rows of values up to 1: products less those of the means, which saves passes over the rows."""
    total = weights.sum()
    mean = forms @ weights / total
    gram = forms @ forms.T * weights[0] if even else (forms * weights) @ forms.T
    gram -= total * np.outer(mean, mean)
    norm = np.sqrt(np.maximum(np.diag(gram), 0))
    varies = norm > 1e-7 * np.sqrt(total)
    scale = varies / np.where(varies, norm, 1)
    return np.asarray(gram * scale[:, None] * scale)
