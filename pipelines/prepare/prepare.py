"""prepare: raw recordings of one subject to responses, splits, ceiling, mask and background image."""

from __future__ import annotations

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays, Responses
from brainalign.config import PrepareSettings
from brainalign.datasets import audit, copied_recordings, make_splits, read_fmri, stop_on
from brainalign.statistics import noise_ceiling
from brainalign.study import BlockStudy, load_descriptor
from brainalign.workflow import Job


def prepare(job: Job) -> None:
    """Read the recording of one subject; save blocks, their splits, ceiling and noise, with mask and background."""
    settings = job.options("prepare", PrepareSettings)
    subject = job.labels["subject"]
    descriptor = load_descriptor(job.path("descriptor"), BlockStudy)
    problems = [*audit(descriptor, [subject]), *copied_recordings(descriptor, subject)]
    stop_on(problems)
    for field, path in descriptor.found_files(subject).items():
        job.provenance.read(field, path)
    recording = read_fmri(descriptor, subject)
    responses = recording.responses
    job.save(
        "responses",
        responses,
        n_trials=len(responses.trials),
        n_targets=len(responses.targets),
        n_dropped_voxels=recording.n_dropped,
        space=descriptor.fmri.space,
        warnings=[str(problem) for problem in problems],
    )
    splits = [
        make_splits(responses.trials, split, job.seed).assign(name=name) for name, split in descriptor.splits.items()
    ]
    kinds = {name: split.model_dump() for name, split in descriptor.splits.items()}
    job.save("splits", pd.concat(splits, ignore_index=True), splits=kinds)
    ceiling = pd.DataFrame({"target_id": responses.targets["target_id"]})
    ceiling["ceiling"] = _ceiling(responses, settings.n_halvings, job.seed)
    repeats = responses.trials["run"].nunique()
    job.save(
        "ceiling",
        ceiling,
        definition="share of variance of a single block that repeats: split-half over runs, Spearman-Brown to one "
        "block, unclamped",
        n_repeats=repeats,
    )
    dof = len(recording.residuals) - len(responses.trials)
    job.save("noise", Arrays(residuals=recording.residuals), dof=dof, of="volumes around block means")
    job.save("mask", recording.mask)
    job.save("bold", recording.mean)


def _ceiling(responses: Responses, n_halvings: int, seed: int) -> np.ndarray:
    """Return the ceiling of one block, each run being a repeat of every stimulus."""
    order = responses.trials.sort_values(["session", "run", "stimulus_id"]).index
    n_stimuli = responses.trials["stimulus_id"].nunique()
    cube = responses.values[order].reshape(-1, n_stimuli, len(responses.targets))  # (n_runs, n_stimuli, n_targets)
    return noise_ceiling(cube, n_averaged=1, n_halvings=n_halvings, seed=seed)
