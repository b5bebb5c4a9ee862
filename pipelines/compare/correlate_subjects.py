"""correlate_subjects: how well the mean of other subjects, who heard or saw the same, predicts one subject's runs."""

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
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
        rows = pd.Index(other.trials["trial_id"]).get_indexer(own.trials["trial_id"])
        places = pd.Index(other.targets["target_id"]).get_indexer(own.targets["target_id"])
        here = np.ix_(rows >= 0, places >= 0)
        total[here] += other.values[np.ix_(rows[rows >= 0], places[places >= 0])]
        heard_by[here] += 1
    means = np.where(heard_by > 0, total / np.maximum(heard_by, 1), 0)
    r = mean_over_runs(np.stack([pearson(means[runs == run], Y[runs == run]) for run in dict.fromkeys(runs)]))
    table = pd.DataFrame({"target_id": own.targets["target_id"], "r": r, "n_others": heard_by.max(axis=0)})
    job.save("intersubject", table, brain_maps(own.targets, r[None], names=["r with the mean of other subjects"]))
