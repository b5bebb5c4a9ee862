"""correlate_subjects: how well the mean of other subjects, who heard or saw the same, predicts one subject's runs."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses, Values
from brainalign.encoding.scoring import mean_over_runs
from brainalign.io import brain_maps, load
from brainalign.statistics import pearson
from brainalign.workflow import Job


def correlate_subjects(job: Job) -> None:
    """Correlate every target of a subject with the mean over all others, run by run.

    Leave-one-subject-out: Nastase SA et al. (2019). Measuring shared responses across subjects using intersubject
    correlation. Soc Cogn Affect Neurosci 14:667-685. doi:10.1093/scan/nsz037
    """
    own = job.load("responses", Responses)
    runs, Y = own.trials["run"].to_numpy(dtype=str), own.values
    total, heard_by = np.zeros_like(Y), np.zeros(Y.shape, dtype=np.int16)
    for path in job.paths("others"):  # one at a time: whole brains are large
        other = load(path, Responses, job.provenance)
        rows = _at_the_same_time(other.trials, own.trials)
        places = pd.Index(other.targets["target_id"]).get_indexer(own.targets["target_id"])
        here = np.ix_(rows >= 0, places >= 0)
        total[here] += other.values[np.ix_(rows[rows >= 0], places[places >= 0])]
        heard_by[here] += 1
    of_runs = [runs == run for run in dict.fromkeys(runs)]
    r = mean_over_runs(np.stack([_r_where_heard(total[of], heard_by[of], Y[of]) for of in of_runs]))
    table = pd.DataFrame({"target_id": own.targets["target_id"], "r": r, "n_others": heard_by.max(axis=0)})
    job.save("intersubject", table, brain_maps(own.targets, r[None], names=["r with the mean of other subjects"]))


def _at_the_same_time(others: pd.DataFrame, own: pd.DataFrame) -> NDArray[np.intp]:
    """Find the row of others (n_own) that lies within half a step of every own one in its run; -1 where none does.

    Recordings may begin at different times, so that rows of one number need not be of one moment.
    """
    found = np.full(len(own), -1)
    there = others.groupby("run", sort=False).indices
    for run, rows in own.groupby("run", sort=False).indices.items():
        times = own["onset_s"].to_numpy()[rows]
        if run in there:
            seconds = others["onset_s"].to_numpy()[there[run]]
            near = np.searchsorted((seconds[1:] + seconds[:-1]) / 2, times)
            close = np.abs(times - seconds[near]) < np.diff(times).min() / 2
            found[rows] = np.where(close, there[run][near], -1)
    return found


def _r_where_heard(total: Values, heard_by: NDArray[np.int16], own: Values) -> Values:
    """Correlate the mean of others and one's own over the rows that somebody else has: centred, the rest are 0."""
    known = heard_by > 0
    n = np.maximum(known.sum(axis=0), 1)
    sides = [np.where(known, values, 0) for values in (total / np.maximum(heard_by, 1), own)]
    others, mine = (np.where(known, side - side.sum(axis=0) / n, 0) for side in sides)
    return pearson(others, mine)
