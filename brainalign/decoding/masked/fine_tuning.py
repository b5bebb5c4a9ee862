"""A masked model's blocks trained on for a label of people, with a linear read-out of what regions share."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainalign.checks import BrainalignError, check_rows
from brainalign.decoding.masked.embedded_runs import token_correlations
from brainalign.decoding.masked.model import MaskedBrainModel
from brainalign.decoding.masked.segments import check_series, segment_starts
from brainalign.decoding.masked.subject_scores import LOGISTIC_C
from brainalign.decoding.training import batches, train


class FineTuned:
    """Classify runs by the correlations of their regions' tokens.

    The read-out is first fitted to the blocks as they are; then it and they learn together.

    Parameters
    ----------
    model : MaskedBrainModel
        Fitted; it is copied, and stays as it is.
    n_steps, batch_size : int
        Steps, and runs of each.
    n_segments : int
        Drawn from a run at every step; all where it has fewer.
    learning_rate, weight_decay : float
    seed : int

    References
    ----------
    Kumar A, Raghunathan A, Jones R, Ma T, Liang P (2022). Fine-tuning can distort pretrained features and underperform
    out-of-distribution. ICLR. arXiv:2202.10054 (why the read-out comes first)
    """

    def __init__(
        self,
        model: MaskedBrainModel,
        *,
        n_steps: int = 60,
        batch_size: int = 12,
        n_segments: int = 8,
        learning_rate: float = 3e-4,
        weight_decay: float = 1e-2,
        seed: int = 0,
    ) -> None:
        self.model, self.n_steps, self.batch_size, self.n_segments = model, n_steps, batch_size, n_segments
        self.learning_rate, self.weight_decay, self.seed = learning_rate, weight_decay, seed

    def fit(self, series: NDArray[np.floating[Any]], labels: Sequence[str]) -> FineTuned:
        """Train on runs (n_runs, n_frames, n_regions) with a label each.

        Raises
        ------
        BrainalignError
            If rows do not fit, regions are others than the model's, or there is one class only.
        """
        values = check_series(series, 2 * self.model.segment_frames, len(self.model.regions_))
        check_rows("labels", len(labels), "series", len(values), "give one label per run")
        self.classes_, classes = np.unique(np.asarray(labels), return_inverse=True)
        if len(self.classes_) < 2:
            raise BrainalignError(f"all {len(labels)} labels are {self.classes_[0]!r}; there is nothing to tell apart")
        self._blocks = copy.deepcopy(self.model.network_.regions)
        device = self._blocks.hidden.device
        cut = torch.from_numpy(self._cut(values))
        with torch.no_grad():  # features are standardised as they are before the blocks change
            start = torch.cat([self._features(one[None].to(device)) for one in cut])
        self._mean, self._scale = start.mean(dim=0), start.std(dim=0).clamp(min=1e-6) * start.shape[1] ** 0.5
        self._read = _probe((start - self._mean) / self._scale, classes)
        rng = np.random.default_rng([self.seed, 0xF17E])
        rows = batches(len(values), self.batch_size, self.n_steps, rng)
        targets = torch.from_numpy(classes).to(device)
        n = min(self.n_segments, cut.shape[1])

        def loss(step: int) -> Tensor:
            chosen = torch.from_numpy(next(rows))
            drawn = torch.from_numpy(rng.random((len(chosen), cut.shape[1])).argsort(axis=1)[:, :n])
            scores = self._scores(cut[chosen[:, None], drawn].to(device))
            return nn.functional.cross_entropy(scores, targets[chosen.to(device)])

        train(
            [self._blocks, self._read],
            loss,
            self.n_steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        return self

    def predict(self, series: NDArray[np.floating[Any]]) -> NDArray[np.str_]:
        """Return the label of every run (n_runs)."""
        values = check_series(series, 2 * self.model.segment_frames, len(self.model.regions_))
        cut = torch.from_numpy(self._cut(values)).to(self._blocks.hidden.device)
        with torch.no_grad():
            scores = torch.cat([self._scores(one[None]) for one in cut])
        return np.asarray(self.classes_[scores.argmax(dim=1).cpu().numpy()])

    def _cut(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        length = self.model.segment_frames
        starts = segment_starts(values.shape[1], length, length)
        return values[:, starts[:, None] + np.arange(length)]  # (n_runs, n_segments, length, n_regions)

    def _features(self, segments: Tensor) -> Tensor:
        hidden = torch.zeros(segments.shape[0] * segments.shape[1], segments.shape[3], dtype=torch.bool)
        tokens = self._blocks(segments.flatten(0, 1), hidden.to(segments.device))
        related = token_correlations(tokens.unflatten(0, segments.shape[:2]))
        i, j = np.triu_indices(related.shape[1], 1)
        return torch.atanh(related[:, i, j].clamp(-0.9999, 0.9999))

    def _scores(self, segments: Tensor) -> Tensor:
        scores: Tensor = self._read((self._features(segments) - self._mean) / self._scale)
        return scores


def _probe(features: Tensor, classes: NDArray[np.intp]) -> nn.Linear:
    """Return the read-out of standardised features (n_runs, n_features) by logistic regression."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=LOGISTIC_C, max_iter=500).fit(features.cpu().numpy(), classes)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(weight) == 1:  # two classes have one row, of their difference
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    read = nn.Linear(weight.shape[1], len(weight)).to(features.device)
    with torch.no_grad():
        read.weight.copy_(torch.from_numpy(weight))
        read.bias.copy_(torch.from_numpy(bias))
    return read
