"""Regions of a subject left out, named by the nearest mean geometry of the others: all thresholds from one product.

A correlation with a mean of RDMs needs only products of RDMs, so leaving out one subject, or two of them for the choice
of thresholds, or drawing subjects repeatedly, are sums over the same matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values

TIE = 1e-9  # correlations closer than this are equal but for rounding
NONE = -2.0  # below every correlation
MARGIN = 1e-6  # a margin is at most 2: it decides only between cells that name equally many regions


@dataclass(frozen=True)
class NamedRegions:
    """How many regions of each left-out subject are named correctly.

    Attributes
    ----------
    hits : array (n_cells, n_subjects)
        Copies counted.
    choice : array (n_cells, n_subjects)
        What each cell reaches among the other subjects, when these are left out in turn.
    tested : float
        Regions that could be named, copies counted.
    vanished : float
        Regions that no other subject has.
    """

    hits: Values
    choice: Values
    tested: float
    vanished: float

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
    def joined(cls, parts: list[NamedRegions]) -> NamedRegions:
        """Return the regions named at the cells of all parts."""
        hits, choice = (np.concatenate([getattr(part, name) for part in parts]) for name in ("hits", "choice"))
        return cls(hits, choice, parts[0].tested, parts[0].vanished)


def name_regions(grams: Values, present: NDArray[np.bool_], copies: Values | None = None) -> NamedRegions:
    """Name every region of every subject after the nearest mean RDM of the others.

    Parameters
    ----------
    grams : array (n_cells, n_subjects, n_regions, n_subjects, n_regions)
        Correlations between RDMs; zero where an RDM is undefined.
    present : array (n_subjects, n_regions) of bool
    copies : array (n_subjects,), optional
        How often each subject was drawn. All its copies are left out together.
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
    credit, _ = _credit_and_margin(sums, squared, others)
    tested = copies[:, None] * (present & others)
    choice = np.full((len(grams), len(copies)), np.nan)
    for s in range(len(copies) if len(copies) > 2 else 0):
        rest = np.arange(len(copies)) != s
        products = sums[:, rest] - grams[:, :, :, s][:, rest] * weight[s]
        both = squared[:, rest] - 2 * row[:, s, None] + itself[:, s, None] + 2 * within[:, s, rest]
        left = total - weight[rest] - weight[s] > 0
        pooled = copies[rest, None] * (present[rest] & left)
        right, margin = _credit_and_margin(products, both, left)
        value = ((right + MARGIN * margin) * pooled).sum(axis=(1, 2))
        choice[:, s] = value / pooled.sum() if pooled.any() else np.nan
    vanished = float((copies[:, None] * (present & ~others)).sum())
    return NamedRegions((credit * tested).sum(axis=2), choice, float(tested.sum()), vanished)


def _credit_and_margin(products: Values, squared: Values, others: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Return credit (1, or a share of a tie) and margin of every region, (n_cells, n_subjects, n_regions).

    Parameters
    ----------
    products : array (n_cells, n_subjects, n_regions, n_regions)
        Of a region with the sum of each candidate.
    squared : array (n_cells, n_subjects, n_regions)
        Norm of that sum.
    others : array (n_subjects, n_regions)
        Whether a candidate exists.
    """
    norm = np.sqrt(np.maximum(squared, 0))
    r = products * np.where(norm > TIE, 1 / np.maximum(norm, TIE), 0)[:, :, None]
    if not others.all():
        r[:, ~others[:, None].repeat(r.shape[2], axis=1)] = NONE
    diagonal = np.arange(r.shape[-1])
    true = r[..., diagonal, diagonal].copy()
    r[..., diagonal, diagonal] = NONE
    wrong = r.max(axis=-1)
    margin = true - wrong
    credit = (margin > TIE).astype(np.float64)
    tied = np.abs(margin) <= TIE
    if tied.any():
        credit[tied] = 1 / (1 + (r[tied] >= wrong[tied][:, None] - TIE).sum(axis=-1))
    return credit, margin
