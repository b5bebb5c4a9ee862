"""Sparse dictionaries of the layers of a model as spaces for ridge, beside others of the same width, and how sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from brainalign.encoding.dictionary_ridge import DictionaryRidge
from brainalign.encoding.held_out_scores import HeldOut
from brainalign.encoding.image_subject import ImageSubject
from brainalign.encoding.ridge import Ridge
from brainalign.encoding.side_by_side import Contender, side_by_side
from brainalign.features import SparseAutoencoder, dictionary_quality, stability

__all__ = ["DictionaryStudy"]

SIMPLER = {"pca": "ridge, principal components", "random": "ridge, random units"}

Values = NDArray[np.floating[Any]]


@dataclass(kw_only=True)
class DictionaryStudy:
    """Fits ridge on the sparse codes of each layer, on simpler spaces of the same width, and on the features.

    Attributes
    ----------
    subject : ImageSubject
    encoder : DictionaryRidge
    starts : sequence of int
        Seeds of the dictionaries that are compared with each other; the first is the encoder's own.
    tables : list of DataFrame
        As `side_by_side` returns them, with a column layer; once fitted.
    quality : list of dict
        Of each layer: share of the variance of test images that is unexplained, atoms per image, share of dead atoms,
        and stability over starts beside that of random atoms; once fitted.
    """

    subject: ImageSubject
    encoder: DictionaryRidge
    starts: Sequence[int]
    tables: list[pd.DataFrame] = field(default_factory=list, init=False)
    quality: list[dict[str, object]] = field(default_factory=list, init=False)

    def fits(self, layers: Iterable[tuple[str, Values]]) -> Iterator[tuple[str, HeldOut]]:
        """Yield the evaluation of each layer's inputs (n_trials, n_features); keep what stands beside it."""
        for layer, X in layers:
            encoder = clone(self.encoder).set_params(seed=self.starts[0])
            found = self.subject.evaluate_in_full(encoder, X)
            self.tables.append(self._beside(encoder, found, X).assign(layer=layer))
            self.quality.append({"layer": layer} | self._quality(found, X))
            yield layer, found

    def _beside(self, encoder: DictionaryRidge, found: HeldOut, X: Values) -> pd.DataFrame:
        n_targets = found.predicted.shape[1]
        contenders = {"ridge, sparse codes": Contender(found, (encoder.width + 1) * n_targets)}
        for space, title in SIMPLER.items():
            simpler = self.subject.evaluate(clone(encoder).set_params(space=space), X, n_permutations=0)
            contenders[title] = Contender(simpler, (len(simpler.encoder.ridge_.coef_) + 1) * n_targets)
        options = {name: getattr(encoder, name) for name in ("alphas", "cv", "metric", "per_target_alpha", "device")}
        plain = self.subject.evaluate(Ridge(**options), X, n_permutations=0)
        contenders["ridge, all features"] = Contender(plain, (X.shape[1] + 1) * n_targets)
        sizes = [len(rows) for rows in self.subject.groups.values()]
        return side_by_side(contenders, sizes, self.subject.confidence)

    def _quality(self, found: HeldOut, X: Values) -> dict[str, object]:
        """Return how well test images are explained, and whether other starts find the same atoms."""
        first = ~pd.Series(self.subject.stimulus_ids).duplicated().to_numpy()
        seen = np.intersect1d(self.subject.train, np.flatnonzero(first))
        held = np.intersect1d(self.subject.test, np.flatnonzero(first))
        dictionary: SparseAutoencoder = found.encoder.space_
        others = [clone(dictionary).set_params(seed=seed).fit(X, rows=seen) for seed in self.starts[1:]]
        measured = vars(dictionary_quality(dictionary, X[held]))
        if others:
            measured = measured | stability([each.atoms_ for each in (dictionary, *others)])
        return measured | {"n_atoms": dictionary.n_atoms, "n_starts": len(self.starts), "n_images": len(seen)}
