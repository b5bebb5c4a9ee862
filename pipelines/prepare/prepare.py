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
    repeats = int(responses.trials["stimulus_id"].value_counts().min())
    job.save(
        "ceiling",
        ceiling,
        definition="share of variance of a single block that repeats: split-half over runs (the mean of the blocks of "
        "a stimulus in each), Spearman-Brown to one block, unclamped",
        n_repeats=repeats,
    )
    dof = len(recording.residuals) - len(responses.trials)
    job.save("noise", Arrays(residuals=recording.residuals), dof=dof, of="volumes around block means")
    job.save("mask", recording.mask)
    job.save("bold", recording.mean)


def _ceiling(responses: Responses, n_halvings: int, seed: int) -> np.ndarray:
    """Return the ceiling of one block, the mean of a stimulus in a run being one repeat of it.

    With m blocks in run r of stimulus s and noise of variance σ² in each, repeats have noise σ² · mean over (r, s) of
    1 / m: a single block is worth so many repeats.
    """
    labels = [responses.trials[name] for name in ("session", "run", "stimulus_id")]
    cells = pd.DataFrame(responses.values).groupby([label.to_numpy() for label in labels], sort=True)
    n_stimuli = labels[2].nunique()
    cube = cells.mean().to_numpy().reshape(-1, n_stimuli, len(responses.targets))  # (n_runs, n_stimuli, n_targets)
    worth = float((1 / cells.size()).mean())
    return noise_ceiling(cube, n_averaged=worth, n_halvings=n_halvings, seed=seed)
