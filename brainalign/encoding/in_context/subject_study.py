"""In-context encoding of one subject, layer by layer: networks trained on others read weights off a few images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Layers, Rows, Values
from brainalign.checks import BrainalignError
from brainalign.encoding.in_context.preferences import text_preferences
from brainalign.encoding.in_context.pretrained_layer import PretrainedLayer
from brainalign.encoding.in_context.study import score_context
from brainalign.encoding.scoring import HeldOut, ImageSubject
from brainalign.statistics import RELIABLE


@dataclass(frozen=True)
class TextQueries:
    """Texts that are asked about, where a layer embeds images as another model embeds texts.

    Attributes
    ----------
    texts : sequence of str
    embeddings : array (n_texts, n_features)
        In the space of those layers.
    layers : collection of str
        That share the space.
    """

    texts: Sequence[str]
    embeddings: Values
    layers: frozenset[str]


@dataclass(kw_only=True)
class FewImages:
    """Scores networks that read the weights of a subject's reliable targets off a few of its training images.

    Attributes
    ----------
    subject : ImageSubject
        Whose groups are of `targets` alone.
    targets : array of target numbers
    networks : mapping of PretrainedLayer
        By layer.
    about : mapping
        What the pretrain stage says of them: "layers", "subjects", "n_images".
    sizes, n_repeats
        Of `score_context`.
    queries : TextQueries or None
    curves : list of DataFrame
        By layer, once fitted.
    contexts : dict
        What the networks learned from, where ridge is taken, and which texts move a region; once fitted.
    """

    subject: ImageSubject
    targets: Rows
    networks: Mapping[str, PretrainedLayer]
    about: Mapping[str, Any]
    sizes: Sequence[int]
    n_repeats: int
    queries: TextQueries | None = None
    curves: list[pd.DataFrame] = field(default_factory=list, init=False)
    contexts: dict[str, Any] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, subject: ImageSubject, **known: Any) -> FewImages:
        """Choose the targets of a subject: the reliable ones, or where there are none all that vary.

        Raises
        ------
        BrainalignError
            If its responses are over time, or no group has a target that is encoded.
        """
        if subject.responses.times is not None:
            raise BrainalignError("in-context encoding reads the weights of voxels; responses over time have none")
        shown = subject.responses.values[subject.train]
        varying = np.flatnonzero(shown.min(axis=0) < shown.max(axis=0))
        reliable = np.intersect1d(subject.groups[RELIABLE], varying)
        targets = reliable if len(reliable) else varying
        groups = {name: np.intersect1d(rows, targets) for name, rows in subject.groups.items()}
        if not any(len(rows) for rows in groups.values()):
            raise BrainalignError(
                "in-context encoding shows means over the reliable targets and over regions, but no target is reliable "
                "and no region holds one that varies: give regions, or lower ceiling_threshold"
            )
        return cls(subject=replace(subject, groups=groups), targets=targets, **known)

    def fits(self, layers: Layers) -> Iterator[tuple[str, HeldOut]]:
        """Yield the evaluation of each layer, and keep its curve and decisions.

        Raises
        ------
        BrainalignError
            If no network was trained for a layer, or `score_context` raises.
        """
        subject = self.subject
        self.contexts = {"layers": {}, "subjects": self.about["subjects"], "n_images": self.about["n_images"]}
        for layer, features in layers.items():
            if layer not in self.networks:
                raise BrainalignError(
                    f"no network was trained for layer {layer!r}, but for {', '.join(self.networks)}; run pretrain "
                    "again"
                )
            found = score_context(
                self.networks[layer],
                features.align_to(subject.responses).values,
                subject.responses.values,
                subject.stimulus_ids,
                subject.train,
                subject.test,
                evaluate=subject.evaluate_in_full,
                targets=self.targets,
                groups=subject.groups,
                roi=self._regions(),
                ceiling=subject.ceiling,
                sizes=self.sizes,
                n_repeats=self.n_repeats,
                confidence=subject.confidence,
                seed=subject.seed,
            )
            self.curves.append(found.curve.assign(layer=layer))
            decided = {"fallbacks": found.fallbacks.to_dict("records"), "seed_r": found.seed_r}
            decided |= {"n_context": len(found.context[0]), "texts": self._texts(layer, *found.context)}
            self.contexts["layers"][layer] = self.about["layers"][layer] | decided
            yield layer, found.held_out

    def _texts(self, layer: str, X: Values, Y: Values) -> list[dict[str, Any]]:
        """List each requested text's shift of each region's mean response, where the layer is shared with texts."""
        if self.queries is None or layer not in self.queries.layers:
            return []
        table = text_preferences(
            self.networks[layer],
            X,
            Y,
            self.queries.embeddings,
            self.queries.texts,
            {name: np.searchsorted(self.targets, rows) for name, rows in self.subject.groups.items()},
            roi=self._regions(),
            seed=self.subject.seed,
        )
        return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]

    def _regions(self) -> NDArray[np.str_]:
        """Return a label per chosen target: the first region that it lies in."""
        labels = np.full(len(self.subject.responses.targets), "in no region", dtype=object)
        for name, rows in reversed(list(self.subject.groups.items())):
            if name != RELIABLE:
                labels[rows] = name
        return labels[self.targets].astype(str)
