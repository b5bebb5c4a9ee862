"""Patterns of a shared space, a row per concept, for a comparison of geometries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from brainalign.arrays import Values
from brainalign.decoding.shared_space.cross_modal import fused_embedding
from brainalign.decoding.training import Trials


def space_patterns(
    embeddings: Mapping[str, Values], test: Mapping[str, Trials]
) -> Iterator[tuple[str, Values, Values]]:
    """Yield (source, patterns, image vectors) of every modality, subjects averaged, and of all fused.

    Parameters
    ----------
    embeddings : mapping of array (n_trials, n_dimensions)
    test : mapping of Trials
        Repeats averaged.
    """
    parts = {name: {name: trials} for name, trials in test.items()}
    if len(test) > 1:
        parts["fused"] = dict(test)
    for source, chosen in parts.items():
        patterns, ids = fused_embedding(embeddings, chosen)
        distinct = next(iter(chosen.values())).distinct()
        rows = pd.Index(distinct.meta["stimulus_id"]).get_indexer(pd.Index(ids))
        yield source, patterns, distinct.targets[rows]
