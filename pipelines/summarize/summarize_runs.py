"""summarize_runs: scores of all subjects side by side, and maps over those who share a space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.io import brain_maps, entities_of, load
from brainalign.statistics import sign_flip_test
from brainalign.workflow import Job

LEAST_TESTED = 5  # subjects: 2 to the power of fewer flips cannot reach .05


def summarize_runs(job: Job) -> None:
    """Save the scores of every subject, and the mean, t and p over subjects of every target that they share."""
    scores = [
        load(path, pd.DataFrame, job.provenance).assign(subject=entities_of(path)["sub"])
        for path in job.paths("runscores")
    ]
    job.save("groupscores", pd.concat(scores, ignore_index=True))
    names = [entities_of(path)["sub"] for path in job.paths("responses")]
    spaces: dict[str, str] = job.settings["spaces"]
    sizes = pd.Series([spaces[name] for name in names if spaces[name]], dtype=str).value_counts()
    cohort = [k for k, name in enumerate(names) if len(sizes) and spaces[name] == sizes.index[0]]
    tables, images, maps, targets = [], {}, [], pd.DataFrame()
    if len(cohort) > 1:
        targets = _shared_targets([load(job.paths("responses")[k], Responses, job.provenance).targets for k in cohort])
    for suffix, column in (("runtargets", "r"), ("rununiques", "unique")) if len(targets) else ():
        of_subjects = [load(job.paths(suffix)[k], pd.DataFrame, job.provenance) for k in cohort]
        for model in dict.fromkeys(of_subjects[0]["model"]):
            rows = [table[table["model"] == model].set_index("target_id") for table in of_subjects]
            values = np.stack([row[column].reindex(targets["target_id"]).to_numpy(dtype=float) for row in rows])
            t, p, p_fwer = _tested(np.arctanh(np.clip(values, -0.999, 0.999)) if column == "r" else values, job.seed)
            found = {"quantity": column, "model": model, "mean": values.mean(axis=0), "t": t, "p": p, "p_fwer": p_fwer}
            tables.append(targets[["target_id"]].assign(**found, n_subjects=len(cohort)))
            maps.append(f"{'mean r' if column == 'r' else 'mean unique R²'}, {model}")
    if tables:
        images = brain_maps(targets, np.stack([table["mean"].to_numpy() for table in tables]), names=maps)
    job.save("grouptargets", targets)
    job.save(
        "groupmaps",
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"target_id": []}, dtype=str),
        images,
        subjects=[names[k] for k in cohort],
        maps=maps,
        p="one-sided; flips of the signs of whole maps of subjects, p_fwer against the largest t over targets"
        if len(cohort) >= LEAST_TESTED
        else f"none of fewer than {LEAST_TESTED} subjects: maps are descriptive",
    )


def _shared_targets(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the targets that all subjects have, with their places."""
    shared = tables[0]["target_id"]
    for table in tables[1:]:
        shared = shared[shared.isin(table["target_id"])]
    found = tables[0].set_index("target_id").loc[shared].reset_index()
    found.attrs = dict(tables[0].attrs)
    return found


def _tested(values: Any, seed: int) -> tuple[Any, Any, Any]:
    """Return t, p and p_fwer over subjects; NaN of too few."""
    if len(values) >= LEAST_TESTED:
        return sign_flip_test(values, seed)
    nothing = np.full(values.shape[1], np.nan)
    return nothing, nothing, nothing
