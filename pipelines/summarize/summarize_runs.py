"""summarize_runs: scores of all subjects side by side, and maps over those who share a space."""

from collections.abc import Sequence

import pandas as pd

from brainalign.io import entities_of, load
from brainalign.pipelines.summarize.over_subjects import Maps, save_maps
from brainalign.workflow import Job


def summarize_runs(job: Job) -> None:
    """Save the scores of every subject, and the mean, t and p over subjects of every target that they share."""
    scores = [
        load(path, pd.DataFrame, job.provenance).assign(subject=entities_of(path)["sub"])
        for path in job.paths("runscores")
    ]
    job.save("groupscores", pd.concat(scores, ignore_index=True))

    def maps_of(cohort: Sequence[str]) -> Maps:
        found: Maps = {}
        for suffix, column in (("runtargets", "r"), ("rununiques", "unique")):
            paths = {entities_of(path)["sub"]: path for path in job.paths(suffix)}
            tables = {name: load(paths[name], pd.DataFrame, job.provenance) for name in cohort}
            for model in dict.fromkeys(tables[cohort[0]]["model"]):
                of = {name: table[table["model"] == model] for name, table in tables.items()}
                series = {name: table.set_index("target_id")[column] for name, table in of.items()}
                found = {**found, (column, model): series.__getitem__}
        return found

    save_maps(job, maps_of)
