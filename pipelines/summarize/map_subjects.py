"""map_subjects: maps over subjects who saw stimuli, where they share a space."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from brainalign.io import entities_of, load
from brainalign.pipelines.summarize.over_subjects import Maps, save_maps
from brainalign.workflow import Job


def map_subjects(job: Job) -> None:
    """Save the mean, t and p over subjects of every target's r: of the layer chosen in training, or over all layers."""
    fits: list[list[str]] = job.settings["fits"]
    models = [model for model, _ in fits]
    paths = {tuple(entities_of(path)[key] for key in ("sub", "model", "method")): path for path in job.paths("scores")}
    summaries = {entities_of(path)["sub"]: path for path in job.paths("summary")}

    def r_of(subject: str, model: str, method: str) -> "pd.Series[float]":
        table = load(paths[subject, model, method], pd.DataFrame, job.provenance)
        table = table[table["split"] == table["split"].iloc[0]]
        told = load(summaries[subject], pd.DataFrame, job.provenance)
        if "chosen" in told:
            mine = told[(told["model"] == model) & (told["method"] == method) & told["chosen"]]
            table = table[table["layer"] == mine["layer"].iloc[0]]
        r: pd.Series[float] = table.groupby("target_id", sort=False)["r"].mean()
        return r

    def maps_of(cohort: Sequence[str]) -> Maps:
        whole = [fit for fit in fits if all((subject, *fit) in paths for subject in cohort)]
        return {
            ("r", model if models.count(model) == 1 else f"{model} ({method})"): partial(
                r_of, model=model, method=method
            )
            for model, method in whole
        }

    save_maps(job, maps_of)
