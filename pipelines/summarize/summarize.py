"""summarize: every score of one subject to one table of headline numbers, each with its controls.

The simplest control is made here: a linear classifier of the responses, without any feature space.
"""

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.config import SummarizeSettings
from brainalign.datasets import folds_of
from brainalign.io import entities_of, load_sidecar
from brainalign.pipelines.summarize.held_out import summarize_held_out
from brainalign.statistics import linear_classification, summary
from brainalign.workflow import Job

MOST_CLASSES = 50


def summarize(job: Job) -> None:
    """Gather the scores of one subject; save headline numbers with controls, such as a classifier without features."""
    if "recovery" in job.outputs:
        summarize_held_out(job)
        return
    settings = job.options("summarize", SummarizeSettings)
    confidence = job.settings["confidence"]
    responses = job.load("responses", Responses)
    splits = job.load("splits", pd.DataFrame)
    kinds, infos = job.details("splits")["splits"], {}
    for name, kind in kinds.items():
        counts = splits.loc[splits["name"] == name, "split"].value_counts()  # over folds, which may differ
        # Where folds overlap, their scores are no sample.
        share = counts["test"] / counts["train"] if kind["size"] == 1 else np.nan
        infos[name] = summary.SplitInfo("stimulus" if kind["leave_out"] == "stimulus" else "run", share)
    rows = []
    tables = (job.load_all(suffix, pd.DataFrame) for suffix in ("scores", "identification", "null"))
    for path, scores, identification, null in zip(job.paths("scores"), *tables, strict=True):
        found = summary.summarize_encoding(
            summary.Encoding(scores, identification, null),
            infos,
            good_r=load_sidecar(path)["details"]["good_r"],
            confidence=confidence,
            q=settings.q,
        )
        entities = entities_of(path)
        found += summary.summarize_over_layers(found, null)
        rows += [{"model": entities["model"], "method": entities["method"], **row} for row in found]
    decoding = _decoding(responses, splits, [name for name, info in infos.items() if info.leave_out == "run"])
    job.save("decoding", decoding)
    rows += summary.summarize_decoding(decoding, infos, confidence)
    job.save("summary", pd.DataFrame(rows), confidence=confidence, q=settings.q)


def _decoding(responses: Responses, splits: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Score a linear classifier in every fold that leaves runs out; none of more stimuli than it is of use for."""
    stimuli = responses.trials["stimulus_id"].to_numpy()
    values = responses.values.reshape(len(stimuli), -1)
    tables = [pd.DataFrame({"split": [], "fold": [], "accuracy": [], "chance": []})]
    for name in names:
        folds = folds_of(splits[splits["name"] == name], responses.trials)
        known = all(np.isin(stimuli[test], stimuli[train]).all() for train, test in folds)
        if not known or len(np.unique(stimuli)) > MOST_CLASSES:
            continue
        accuracy = linear_classification(values, stimuli, folds)
        table = pd.DataFrame({"split": name, "fold": np.arange(len(folds)), "accuracy": accuracy})
        tables.append(table.assign(chance=1 / len(np.unique(stimuli))))
    return pd.concat(tables, ignore_index=True)
