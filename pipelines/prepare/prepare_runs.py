"""prepare_runs: the runs of one subject on their own clock, and what repeats in them."""

from __future__ import annotations

import pandas as pd

from brainalign.datasets import outside_problems, read_continuous, read_events, stop_on
from brainalign.study import load_descriptor
from brainalign.workflow import Job


def prepare_runs(job: Job) -> None:
    """Read the runs of one subject; save rows trimmed, detrended and z-scored, and explainable variance."""
    subject = job.labels["subject"]
    study = load_descriptor(job.path("descriptor"))
    for field, path in study.found_files(subject).items():
        job.provenance.read(field, path)
    runs = read_continuous(study, subject)
    problems = outside_problems(study, subject, runs, read_events(study))
    stop_on(problems)
    files = study.recordings[subject]
    noted = {
        "n_dropped": runs.n_dropped,
        "presentations": runs.presentations,
        "step_s": files.step_s,  # type: ignore[union-attr]
        "slow": files.slow,  # type: ignore[union-attr]
        "delays": study.continuous.delays(files),  # type: ignore[arg-type]
        "trimmed": list(study.continuous.trim(files)),  # type: ignore[arg-type]
        "detrend": study.continuous.detrend,
        "high_pass_hz": study.continuous.high_pass(files),  # type: ignore[arg-type]
        "space": files.space,  # type: ignore[union-attr]
    }
    if space := study.space_of(subject):
        runs.responses.targets.attrs["space"] = {"name": space} | runs.responses.targets.attrs.get("space", {})
    job.save("responses", runs.responses, **noted)
    table = pd.DataFrame({"target_id": runs.responses.targets["target_id"], "ceiling": runs.explainable})
    job.save("ceiling", table, ceiling="explainable variance of the mean over presentations, unclamped")
