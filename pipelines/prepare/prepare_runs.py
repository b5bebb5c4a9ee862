"""prepare_runs: the runs of one subject on their own clock, and what repeats in them."""

import numpy as np
import pandas as pd

from brainalign.datasets import stop_on
from brainalign.datasets.studies import outside_problems, read_continuous, read_events
from brainalign.statistics import independent_share, noise_ceiling_from_share, share_and_q
from brainalign.workflow import Job


def prepare_runs(job: Job) -> None:
    """Read the runs of one subject; save rows trimmed, detrended and z-scored, and explainable variance."""
    subject, study = job.labels["subject"], job.study()
    runs = read_continuous(study, subject)
    stop_on(outside_problems(subject, runs, read_events(study)))
    files = study.recordings[subject]
    sets = study.continuous.tested_apart(files)  # type: ignore[arg-type]
    noted = {
        "n_dropped": runs.n_dropped,
        "presentations": runs.presentations,
        "step_s": files.step_s,  # type: ignore[union-attr]
        "slow": files.slow,  # type: ignore[union-attr]
        "delays": study.continuous.delays(files),  # type: ignore[arg-type]
        "hrf": study.continuous.hrf,
        "test_sets": sets,
        "folds": next(iter(study.splits.values())).folds,
        "trimmed": list(study.continuous.trim(files)),  # type: ignore[arg-type]
        "resample": study.continuous.resample,
        "detrend": study.continuous.detrend,
        "high_pass_hz": study.continuous.high_pass(files),  # type: ignore[arg-type]
        "confounds": list(study.continuous.confounds) if files.confounds else [],  # type: ignore[union-attr]
        "space": files.space,  # type: ignore[union-attr]
    }
    if space := study.space_of(subject):
        runs.responses.targets.attrs["space"] = {"name": space} | runs.responses.targets.attrs.get("space", {})
    job.save("responses", runs.responses, **noted)
    share, ceiling, q = np.full((3, len(runs.responses.targets)), np.nan)
    if runs.repeats is not None:
        values, ids = runs.repeats.values, runs.repeats.trials["stimulus_id"].to_numpy()
        # Of the mean over its presentations for each run, and of all runs that are averaged, as scores are.
        apart = {run for of in sets.values() for run in of}
        counts = [n for run, n in runs.presentations.items() if run not in apart]
        rows = runs.repeats.trials.groupby("run", sort=False).indices  # one presentation after the other
        parts = [values[of].reshape(runs.presentations[str(run)], -1, len(q)) for run, of in rows.items()]
        share, q = share_and_q(values, ids, independent_share(parts))
        ceiling = np.mean([noise_ceiling_from_share(share, n) for n in counts], axis=0)
    table = pd.DataFrame({"target_id": runs.responses.targets["target_id"], "ceiling": ceiling, "repeats_q": q})
    table["signal_share"] = share
    job.save("ceiling", table, ceiling="explainable variance of means over presentations, mean over runs; unclamped")
