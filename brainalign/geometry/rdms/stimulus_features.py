"""RDMs of the layers of a model, stimuli in the order of the responses they are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Features
from brainalign.checks import BrainalignError, listed
from brainalign.geometry.rdms.dissimilarity import rdm


def feature_rdms(
    layers: Mapping[str, Features], stimulus_ids: Sequence[str], distance: str
) -> dict[str, NDArray[np.floating[Any]]]:
    """Return the RDM (n_pairs,) of every layer, matched by stimulus id.

    Parameters
    ----------
    layers : mapping of Features
    stimulus_ids : sequence of str
        The stimuli, in the order of the pairs.
    distance : str
        As for `rdm`.

    Raises
    ------
    BrainalignError
        If a stimulus has no features.
    """
    found = {}
    for name, features in layers.items():
        rows = pd.Index(features.stimuli["stimulus_id"]).get_indexer(pd.Index(stimulus_ids))
        missing = [stimulus for stimulus, row in zip(stimulus_ids, rows, strict=True) if row < 0]
        if missing:
            raise BrainalignError(
                f"layer {name!r} has no features for {len(missing)} of {len(rows)} stimuli ({listed(missing)}); run "
                "extract again"
            )
        values = features.values[rows]
        found[name] = rdm(values.reshape(len(values), -1), distance)
    return found
