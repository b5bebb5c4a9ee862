"""Which texts a region prefers: weights that a network read off a few images, queried in a shared image-text space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from brainalign.arrays import Rows, Values
from brainalign.checks import BrainalignError, check_rows
from brainalign.encoding.in_context.ensemble import InContextEnsemble
from brainalign.encoding.in_context.inputs import unit_rows
from brainalign.encoding.in_context.pretrained_layer import PretrainedLayer, Reduction
from brainalign.encoding.in_context.selectivity import text_selectivity

N_REFITS = 19  # beyond the largest of them: p <= .05
LEAST_CHECKS = 500  # of a refit, where the fall-back only stands in for one that is tested


def reduce_texts(reduction: Reduction, texts: Values) -> Values:
    """Return embeddings of texts as the reduction makes them of images, about their own mean: unit rows.

    Texts and images of a shared space lie apart, so each is taken about its own mean.

    Raises
    ------
    BrainalignError
        If texts are of another width than the images were, or fewer than two.
    """
    if texts.shape[1] != len(reduction.mean):
        raise BrainalignError(
            f"texts have {texts.shape[1]} features but images {len(reduction.mean)}: they are not of one space; take "
            "layers: [visual_projection] of the same model"
        )
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
    coef = np.mean([one.coef_ for one in ensemble.encoders_], axis=0)
    return np.asarray(text_selectivity(coef, queries))
