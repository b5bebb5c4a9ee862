"""What each band of a joint fit adds to its score on held-out stimuli: split scores, their bootstrap, their control.

The product measure: with o the targets and p_b a band's predictions, both about the means of the fit, and p = Σ_b p_b,
a band's part of R² is Σ p_b (2o − p) / Σ (y − ȳ)², and what predicting the mean of the fit loses is shared evenly; a
band's part of r is the covariance of p_b and y over the standard deviations of p and y. Parts add up to the score, and
can be negative where bands correlate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.regression.inputs import Array
from brainalign.statistics import group_means, interval_widening

BLOCK = 512  # targets whose draws are in memory at once
ROUNDING = 1e-12


class BandedEncoder(Protocol):
    """What a partition asks of an encoder of several bands."""

    metric: Literal["r2", "r"]
    deltas_: Array

    def parts(self, Xs: Sequence[Array], Y: Array, targets: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each band's predictions of some targets and these targets, both about the means of the fit."""

    def split_scores(self, Xs: Sequence[Array], Y: Array) -> Array:
        """Split the score over the bands."""


@dataclass(frozen=True)
class Partition:
    """What each band adds to the score, per target and as the mean over the targets of each group.

    Attributes
    ----------
    metric : {"r2", "r"}
        The score that is split.
    deltas : array (n_bands, n_targets)
        Share of the penalty that was chosen for each band.
    split : array (n_bands, n_targets)
        Sums to the score; NaN where the score is undefined.
    group_split : array (n_bands, n_groups)
    group_draws : array (n_draws, n_bands, n_groups)
        Under resampling of test stimuli; the same draws as those of r.
    control_split : array (n_bands, n_targets) or None
        Of a refit on permuted training responses.
    control_group_split : array (n_bands, n_groups) or None
    n_rows : int
        Test stimuli.
    """

    metric: Literal["r2", "r"]
    deltas: Values
    split: Values
    group_split: Values
    group_draws: Values
    control_split: Values | None
    control_group_split: Values | None
    n_rows: int

    def table(
        self,
        groups: Mapping[str, NDArray[Any]],
        bands: Sequence[str],
        ceiling: Values,
        confidence: float,
        *,
        together: str = "all",
    ) -> pd.DataFrame:
        """Return a row per group and band, and one of the bands together, whose score is the sum of theirs.

        Intervals are those of the draws, widened to Student's t, and moved to have the score as their mean: drawn rows
        vary less about their own mean, so that R² of a draw lies below R² of the rows by about (1 - R²) / n_rows.

        Parameters
        ----------
        groups : mapping of arrays of target numbers
            Those of the partition.
        bands : sequence of str
        ceiling : array (n_targets,)
            Of each target, in the unit of the score.
        confidence : float
            Of the interval.
        together : str
            What the sum is called.

        Returns
        -------
        DataFrame
            group, layer, split, low, high, control_split, joint (whether it is the sum), ceiling, n_targets, metric.
        """
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        control = self.group_split * np.nan if self.control_group_split is None else self.control_group_split
        widening = interval_widening(np.inf, self.n_rows, confidence)
        common = {
            "ceiling": group_means(ceiling, list(groups.values())),
            "n_targets": [len(rows) for rows in groups.values()],
            "metric": self.metric,
        }
        tables = []
        for k, band in enumerate([*bands, together]):
            joint = k == len(bands)
            which = slice(None) if joint else slice(k, k + 1)
            split, draws = self.group_split[which].sum(axis=0), self.group_draws[:, which].sum(axis=1)
            low = high = np.full(len(split), np.nan)
            if len(draws):
                low, high = split + widening * (np.quantile(draws, tails, axis=0) - draws.mean(axis=0))
            values = {"split": split, "low": low, "high": high, "control_split": control[which].sum(axis=0)}
            tables.append(pd.DataFrame({"group": list(groups), "layer": band, "joint": joint} | values | common))
        return pd.concat(tables, ignore_index=True)


def product_measure(
    parts: torch.Tensor, observed: torch.Tensor, metric: Literal["r2", "r"], weights: torch.Tensor
) -> torch.Tensor:
    """Split the score of weighted rows over the bands (n_draws, n_bands, n_targets); NaN where undefined.

    Predictions of each band (n_bands, n_rows, n_targets) and targets are about the means of the fit; each row of
    weights (n_draws, n_rows) sums to 1.
    """
    total = parts.sum(dim=0)
    mean, square = weights @ observed, weights @ observed.square()  # (n_draws, n_targets)
    variance = square - mean.square()
    variance = torch.where(variance > ROUNDING * square, variance, torch.nan)[:, None]
    if metric == "r2":
        explained = torch.matmul(weights, parts * (2 * observed - total)).transpose(0, 1)
        return explained / variance + (1 - square[:, None] / variance) / len(parts)
    covariance = torch.matmul(weights, parts * observed) - torch.matmul(weights, parts) * mean
    square = weights @ total.square()
    spread = square - (weights @ total).square()
    spread = torch.where(spread > ROUNDING * square, spread, torch.nan)[:, None]
    return covariance.transpose(0, 1) / (variance * spread).sqrt()


def partition(
    encoder: BandedEncoder,
    Xs: Sequence[Values],
    Y: Values,
    groups: Sequence[NDArray[Any]],
    *,
    control: BandedEncoder | None = None,
    n_draws: int = 1000,
    seed: int = 0,
) -> Partition:
    """Split the score of a fitted encoder over its bands.

    Parameters
    ----------
    encoder : fitted encoder of bands
    Xs : sequence of array (n_rows, n_features of the band)
    Y : array (n_rows, n_targets)
    groups : sequence of arrays of target numbers
        They may overlap.
    control : fitted encoder of bands, optional
        Fitted to permuted responses.
    n_draws, seed : int
        Bootstrap draws of the rows.
    """
    Y = np.asarray(Y)
    n_rows, n_targets = Y.shape
    counts = np.random.default_rng(seed).multinomial(n_rows, np.full(n_rows, 1 / n_rows), size=n_draws)
    members = [np.isin(np.arange(n_targets), np.arange(n_targets)[group]) for group in groups]
    split = np.empty((len(Xs), n_targets))
    totals, defined = np.zeros((2, n_draws, len(Xs), len(groups)))
    for start in range(0, n_targets, BLOCK):
        block = slice(start, start + BLOCK)
        parts, observed = encoder.parts(Xs, Y, block)
        weights = torch.as_tensor(np.concatenate([np.ones((1, n_rows)), counts]) / n_rows).to(observed)
        found = product_measure(parts, observed, encoder.metric, weights).cpu().numpy()
        split[:, block] = found[0]
        for number, inside in enumerate(member[block] for member in members):
            totals[..., number] += np.nansum(found[1:, :, inside], axis=2)
            defined[..., number] += (~np.isnan(found[1:, :, inside])).sum(axis=2)
    draws = np.divide(totals, defined, out=np.full_like(totals, np.nan), where=defined > 0)
    others = None if control is None else np.asarray(control.split_scores(Xs, Y))
    group_others = None if others is None else _means(others, groups)
    means, deltas = _means(split, groups), np.asarray(encoder.deltas_)
    return Partition(encoder.metric, deltas, split, means, draws, others, group_others, n_rows)


def _means(split: Values, groups: Sequence[NDArray[Any]]) -> Values:
    return np.stack([group_means(part, groups) for part in split])
