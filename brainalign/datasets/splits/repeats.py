"""Repeats of a stimulus side by side, which is what every noise ceiling starts from."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_choice, listed


def repeat_counts(trials: pd.DataFrame) -> "pd.Series[int]":
    """Count the presentations of each stimulus, by stimulus id, in the order of first appearance."""
    return trials.groupby("stimulus_id", sort=False).size()


def repeats_cube(
    responses: Responses, *, unequal: Literal["raise", "nan", "fewest"] = "raise"
) -> NDArray[np.floating[Any]]:
    """Return the repeats of every stimulus side by side.

    Parameters
    ----------
    responses : Responses
    unequal : {"raise", "nan", "fewest"}
        Where stimuli have different numbers of repeats: refuse, fill up with NaN, or keep the first so many that all
        have.

    Returns
    -------
    array (n_repeats, n_stimuli, n_targets[, n_times])
        Stimuli in the order of their first trial, as in `Responses.average_repeats`; repeats in the order of trials.

    Raises
    ------
    BrainalignError
        If no stimulus was shown twice (or, keeping the fewest, some was shown once), or numbers differ and `unequal`
        is "raise".
    """
    check_choice("unequal", unequal, ("raise", "nan", "fewest"))
    counts = repeat_counts(responses.trials)
    least, most = int(counts.min()), int(counts.max())
    n_repeats = least if unequal == "fewest" else most
    if n_repeats < 2:
        once = counts.index[counts == 1].tolist()
        raise BrainalignError(
            f"{len(once)} of {len(counts)} stimuli were shown once ({listed(once)}): without repeats nothing tells "
            "noise from signal; select stimuli with repeats first"
        )
    if least != most and unequal == "raise":
        few = counts.index[counts == least].tolist()
        remedy = "use unequal='nan' or 'fewest', or select stimuli with as many repeats"
        raise BrainalignError(f"stimuli were shown {least} to {most} times (fewest: {listed(few)}); {remedy}")
    codes, names = pd.factorize(responses.trials["stimulus_id"])
    number = responses.trials.groupby("stimulus_id", sort=False).cumcount().to_numpy()
    kept = number < n_repeats
    cube = np.full((n_repeats, len(names), *responses.values.shape[1:]), np.nan, dtype=responses.values.dtype)
    cube[number[kept], codes[kept]] = responses.values[kept]
    return cube
