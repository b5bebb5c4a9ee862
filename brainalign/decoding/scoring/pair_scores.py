"""Scores of a decoder's outputs against every distinct stimulus: what cells of a control matrix are compared by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from brainalign.arrays import Values
from brainalign.checks import check_rows
from brainalign.decoding.scoring.retrieval import similarity_ranks
from brainalign.decoding.scoring.text_measures import content_overlaps
from brainalign.decoding.training import Trials

# (outputs of n trials, distinct stimuli) to scores (n, n_stimuli) by measure; more is better.
PairScore = Callable[[Any, Trials], Mapping[str, Values]]


def retrieval_hits(outputs: Values, distinct: Trials) -> Mapping[str, Values]:
    """Mark the stimuli that each output would retrieve, first and among the first five.

    Parameters
    ----------
    outputs : array (n_trials, n_dimensions)
    distinct : Trials
        One per stimulus.
    """
    ranks = similarity_ranks(np.asarray(outputs), distinct.targets)
    return {f"top-{k}": (ranks <= k).astype(float) for k in (1, 5) if k < len(distinct.meta)}


def content_hits(outputs: Sequence[str], distinct: Trials) -> Mapping[str, Values]:
    """Return the overlap of content words of generated sentences with the text of every stimulus.

    Parameters
    ----------
    outputs : sequence of str (n_trials)
    distinct : Trials
        One per stimulus; its table has the column text.
    """
    texts = distinct.column("text")["text"]
    return {"content words": content_overlaps(outputs, texts.tolist())}


def label_hits(label: str) -> PairScore:
    """Return a score that says whether a decoded label is that of each stimulus.

    Parameters
    ----------
    label : str
        Column of the table, one value per stimulus.
    """

    def hits(outputs: Any, distinct: Trials) -> Mapping[str, Values]:
        decoded = np.asarray(outputs)
        check_rows("decoded labels", decoded.ndim, "one axis", 1, "give one label per trial")
        truth = distinct.column(label)[label].to_numpy(dtype=object)
        return {label: (decoded.astype(object)[:, None] == truth).astype(float)}

    return hits
