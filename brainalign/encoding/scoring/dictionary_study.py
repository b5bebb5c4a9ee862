"""Sparse dictionaries of the layers of a model as spaces for ridge, beside others of the same width, and how sound."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from brainalign.arrays import Rows, Values
from brainalign.encoding.scoring.held_out_scores import HeldOut
from brainalign.encoding.scoring.held_out_tables import Contender, side_by_side
from brainalign.encoding.scoring.image_subject import ImageSubject
from brainalign.features import PCA, RandomUnits, SparseAutoencoder, dictionary_quality, stability
from brainalign.regression import Ridge


@dataclass(kw_only=True)
class DictionaryStudy:
    """Fits ridge on the sparse codes of each layer, on simpler spaces of the same width, and on the features.

    All spaces are learned from the training images alone, without responses, so that every fit to them, the control
    and the inner folds share them.

    Attributes
    ----------
    subject : ImageSubject
    ridge : Ridge
        Fitted to codes and features alike.
    coding : {"topk", "matching_pursuit"}
    width, n_active, epochs
        Of `SparseAutoencoder`; of principal components as many as there can be, where those are fewer.
    starts : sequence of int
        Seeds of the dictionaries that are compared with each other; scores are of the first.
    tables : list of DataFrame
        As `side_by_side` returns them, with a column layer; once fitted.
    quality : list of dict
        Of each layer: share of the variance of test images that is unexplained, atoms per image, share of dead atoms,
        and stability over starts beside that of random atoms; once fitted.
    """

    subject: ImageSubject
    ridge: Ridge
    coding: Literal["topk", "matching_pursuit"]
    width: int
    n_active: int
    epochs: int | None
    starts: Sequence[int]
    tables: list[pd.DataFrame] = field(default_factory=list, init=False)
    quality: list[dict[str, object]] = field(default_factory=list, init=False)

    def fits(self, layers: Iterable[tuple[str, Values]]) -> Iterator[tuple[str, HeldOut]]:
        """Yield the evaluation of each layer's inputs (n_trials, n_features); keep what stands beside it."""
        first = np.flatnonzero(~pd.Series(self.subject.stimulus_ids).duplicated())
        seen, held = (np.intersect1d(rows, first) for rows in (self.subject.train, self.subject.test))
        for layer, X in layers:
            dictionaries = [
                SparseAutoencoder(self.width, self.n_active, self.coding, self.epochs, seed=seed).fit(X, rows=seen)
                for seed in self.starts
            ]
            # X may be principal components already; what is learned from it is given to ridge whole.
            codes = self.subject.inputs(dictionaries[0].transform(X), maps=True, n_components=None)
            found = self.subject.evaluate_in_full(self.ridge, codes)
            contenders = {"ridge, sparse codes": _contender(found, codes)} | self._simpler(X, seen)
            sizes = [len(rows) for rows in self.subject.groups.values()]
            self.tables.append(side_by_side(contenders, sizes, self.subject.confidence).assign(layer=layer))
            row = {"layer": layer, "n_images": len(seen)} | vars(dictionary_quality(dictionaries[0], X[held]))
            if len(dictionaries) > 1:  # of the atoms over other starts
                row |= stability([each.atoms_ for each in dictionaries], self.subject.seed)
            self.quality.append(row | {"n_atoms": self.width, "n_starts": len(dictionaries)})
            yield layer, found

    def _simpler(self, X: Values, seen: Rows) -> dict[str, Contender]:
        """Return ridge on what sparse codes have to beat at the same width, and on the features."""
        n_components = min(self.width, len(seen) - 1, X.shape[1])
        spaces = {
            "ridge, principal components": PCA(n_components).fit(X, rows=seen).transform(X),
            "ridge, random units": RandomUnits(self.width, self.starts[0]).fit(X, rows=seen).transform(X),
        }
        inputs = {name: self.subject.inputs(values, maps=True, n_components=None) for name, values in spaces.items()}
        inputs["ridge, all features"] = X
        return {
            name: _contender(self.subject.evaluate(self.ridge, values, n_permutations=0), values)
            for name, values in inputs.items()
        }


def _contender(found: HeldOut, X: Values) -> Contender:
    return Contender(found, (X.shape[1] + 1) * found.predicted.shape[1])
