"""Captions of images: a table with a row per caption, as many per image as there are."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from brainalign.checks import BrainalignError, did_you_mean, listed

__all__ = ["captions_of"]


def captions_of(
    stimulus_ids: Sequence[str], captions: pd.DataFrame, name: str = "the table of captions"
) -> list[list[str]]:
    """Return the captions of each stimulus, in the order of the table.

    Parameters
    ----------
    stimulus_ids : sequence of str
    captions : DataFrame
        A row per caption: stimulus_id, caption. Those of other stimuli are left out; rows without text count as none.
    name : str
        Of the table, for the message.

    Raises
    ------
    BrainalignError
        If a column is missing, or a stimulus has no caption.

    Examples
    --------
    >>> table = pd.DataFrame({"stimulus_id": ["a", "b", "a"], "caption": ["a cat", "a dog", "a kitten"]})
    >>> captions_of(["b", "a"], table)
    [['a dog'], ['a cat', 'a kitten']]
    """
    for column in ("stimulus_id", "caption"):
        if column not in captions:
            raise BrainalignError(
                f"{name} has the columns {', '.join(map(str, captions))} but no {column!r}"
                f"{did_you_mean(column, map(str, captions))}; give a row per caption with stimulus_id and caption"
            )
    texts = captions["caption"].fillna("").astype(str).str.strip()
    written = texts[texts != ""]
    found = written.groupby(captions["stimulus_id"].astype(str), sort=False).agg(list)
    missing = [stimulus for stimulus in stimulus_ids if stimulus not in found.index]
    if missing:
        raise BrainalignError(
            f"{name} has no caption of {len(missing)} of {len(stimulus_ids)} stimuli ({listed(missing)})"
            f"{did_you_mean(missing[0], found.index)}; add rows for them, or leave the stimuli out"
        )
    return [list(found[stimulus]) for stimulus in stimulus_ids]
