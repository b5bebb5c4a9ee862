"""In-context encoding of one subject, layer by layer: networks trained on others read weights off a few images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from brainalign.arrays import Layers, Rows, Values
from brainalign.checks import BrainalignError, check_named, check_rows, check_width
from brainalign.encoding.in_context.inputs import check_features, unit_rows
from brainalign.encoding.in_context.pretraining import PretrainedLayer, Reduction
from brainalign.encoding.in_context.study import InContextEnsemble, score_context
from brainalign.encoding.scoring import HeldOut, ImageSubject
from brainalign.regression import Array, as_tensor, same_kind_as
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
    def of(cls, subject: ImageSubject, **known: Any) -> Self:
        """Choose the targets of a subject: the reliable ones, or where there are none all that vary."""
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

        Raises BrainalignError if no network was trained for a layer, or `score_context` raises.
        """
        subject = self.subject
        self.contexts = {"layers": {}, "subjects": self.about["subjects"], "n_images": self.about["n_images"]}
        for layer, features in layers.items():
            check_named("pretrain", self.networks, [layer], "network for layer", "run it again")
            found = score_context(
                self.networks[layer],
                np.asarray(features.align_to(subject.responses).values),
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


N_REFITS = 19  # beyond the largest of them: p <= .05
LEAST_CHECKS = 500  # of a refit, where the fall-back only stands in for one that is tested


def reduce_texts(reduction: Reduction, texts: Values) -> Values:
    """Return embeddings of texts as the reduction makes them of images, about their own mean: unit rows.

    Texts and images of a shared space lie apart, so each is taken about its own mean.
    """
    remedy = "they are not of one space: take layers: [visual_projection] of the same model"
    check_width("the array of texts", texts.shape, len(reduction.mean), "images have", remedy)
    if len(texts) < 2:
        raise BrainalignError("one text has no others to be compared with; give two or more text_queries")
    return np.asarray(unit_rows((texts - texts.mean(axis=0)) @ reduction.components.T))


def text_preferences(
    pretrained: PretrainedLayer,
    X: Values,
    Y: Values,
    texts: Values,
    names: Sequence[str],
    groups: Mapping[str, Rows],
    *,
    roi: NDArray[Any] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute each text's shift of the mean response of each group of targets.

    Parameters
    ----------
    pretrained : PretrainedLayer
    X : array (n_images, n_components)
        The context, unit rows.
    Y : array (n_images, n_targets)
        Responses to it, z-scored over images of the subject as those that the prior is of.
    texts : array (n_texts, n_features)
        Embeddings in the space of the images, before the reduction.
    names : sequence of str
    groups : mapping of arrays of target numbers
        Whose means are taken.
    roi : array (n_targets,), optional
        Label per target, for the fall-back.
    seed : int

    Returns
    -------
    DataFrame
        A row per group and text: group, text, selectivity (standard deviations of a target's responses, mean over
        the group), chance (the largest absolute value of any text after refits on responses exchanged between
        the images of the context, the largest of 19 refits).
    """
    check_rows("names", len(names), "texts", len(texts), "give one embedding per text")
    queries = reduce_texts(pretrained.reduction, texts)
    found = _selectivity(InContextEnsemble(pretrained.encoders, roi), X, Y, queries)
    fewer = [clone(one).set_params(n_checks=min(one.n_checks, LEAST_CHECKS)) for one in pretrained.encoders]
    rng = np.random.default_rng([seed, 3])
    null = [
        _selectivity(InContextEnsemble(fewer, roi), X, Y[rng.permutation(len(Y))], queries) for _ in range(N_REFITS)
    ]
    tables = []
    for group, targets in groups.items():
        if len(targets):
            largest = max(float(np.abs(draw[:, targets].mean(axis=1)).max()) for draw in null)
            values = found[:, targets].mean(axis=1)
            tables.append(pd.DataFrame({"group": group, "text": list(names), "selectivity": values, "chance": largest}))
    return pd.concat(tables, ignore_index=True)


def _selectivity(ensemble: InContextEnsemble, X: Values, Y: Values, queries: Values) -> Values:
    """Compute the selectivity of each target for texts (n_texts, n_targets): the mean over networks."""
    ensemble.fit(X, Y)
    coef = np.zeros((X.shape[1], Y.shape[1]))  # of what is constant in the context
    coef[:, ensemble.chosen_] = np.mean([one.coef_ for one in ensemble.encoders_], axis=0)
    return np.asarray(text_selectivity(coef, queries))


def text_selectivity(coef: Array, text: Array, reference: Array | None = None) -> Array:
    """Compute each text's shift of each voxel's response from that to the average image.

    Text and image embeddings of a shared space lie apart (the modality gap), so each is taken about its own mean. A
    text moved into the cloud of images is x̄ + (t − t̄); the difference of its predicted response from that of x̄ is
    (t − t̄) · w: the mean image and the intercept cancel and need not be given.

    Parameters
    ----------
    coef : array (n_features, n_targets)
        Of an encoder fitted on image embeddings.
    text : array (n_texts, n_features)
        Embeddings by the same model's text tower, normalised as the images were.
    reference : array (n_reference, n_features), optional
        Texts whose mean is t̄, such as captions of the images; otherwise the queries themselves, two or more.

    Returns
    -------
    array (n_texts, n_targets)
        In the units of the responses.

    Raises
    ------
    BrainalignError
        If widths differ, or a single text has nothing to be compared with.

    References
    ----------
    Liang W, et al. (2022). Mind the gap: understanding the modality gap in multi-modal contrastive representation
    learning. NeurIPS. arXiv:2203.02053
    """
    n_features = coef.shape[0]
    check_features("text", text, n_features, "encoder")
    centre = text if reference is None else reference
    check_features("reference", centre, n_features, "encoder")
    if reference is None and len(text) < 2:
        raise BrainalignError("one text without reference texts has no mean to differ from; give reference")
    weights = as_tensor(coef).double()
    queries = as_tensor(text).to(weights) - as_tensor(centre).to(weights).mean(dim=0)
    return same_kind_as(text)((queries @ weights).to(as_tensor(coef).dtype))
