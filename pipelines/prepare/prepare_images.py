"""prepare_images: recordings of one subject who saw images to responses, splits and ceiling."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.datasets import (
    Problem,
    audit_images,
    changed_files,
    copied_recordings,
    fit_whitener,
    image_split,
    inspect_trials,
    leakage_audit,
    marked_images,
    noise_source,
    read_images_table,
    read_subject,
    response_copies,
    split_card,
    split_rows,
    stop_on,
)
from brainalign.statistics import noise_ceiling_from_share, signal_share
from brainalign.study import ImageStudy, load_descriptor
from brainalign.workflow import Job


def prepare_images(job: Job) -> None:
    """Read the recordings of one subject; save trials, their split by images, and what repeats in every target."""
    subject = job.labels["subject"]
    descriptor = load_descriptor(job.path("descriptor"), ImageStudy, raw=job.path("folder"))
    files = descriptor.found_files(subject)
    for field, path in files.items():
        if path.is_file():
            job.provenance.read(field, path)
    job.provenance.read("images", job.path("stimuli"))
    stop_on([Problem(descriptor.name, line) for line in changed_files(descriptor)])
    stimuli = read_images_table(job.path("stimuli"))
    images = audit_images(stimuli)
    stop_on(images.problems())
    responses = read_subject(descriptor, subject)
    if "category" in stimuli:
        category = stimuli.set_index("stimulus_id")["category"]
        trials = responses.trials.assign(category=responses.trials["stimulus_id"].map(category))
        responses = replace(responses, trials=trials)
    ((name, rule),) = descriptor.splits.items()
    test = marked_images(stimuli, rule, name)
    where = f"{descriptor.name}: subjects.{subject}"
    stop_on(inspect_trials(where, responses.trials, stimuli["stimulus_id"].tolist(), test or None))
    splits = image_split(responses.trials, rule, test, images, seed=job.seed).assign(name=name)
    leaks = leakage_audit(splits, responses.trials, images, near=rule.near_duplicates)
    leaks += [*copied_recordings(descriptor, subject), *response_copies(responses, where, [splits])]
    stop_on(leaks)
    details: dict[str, object] = {}
    if responses.times is not None and descriptor.epochs.whiten:
        responses, details = _whitened(responses, responses.times, splits)
    job.save("responses", responses, n_trials=len(responses.trials), **details)
    card = split_card(splits, responses.trials, images)
    job.save(
        "splits",
        splits,
        splits={name: rule.model_dump(mode="json")},
        card=json.loads(card.to_json(orient="records")),
        warnings=[str(problem) for problem in leaks],
    )
    job.save(
        "ceiling",
        _ceiling(responses, splits),
        definition="share of the variance of averages over the repeats of test images that repeats: ncsnr over all "
        "repeats of the subject, unclamped",
    )


def _whitened(
    responses: Responses, times: NDArray[np.floating], splits: pd.DataFrame
) -> tuple[Responses, dict[str, object]]:
    train = split_rows(splits, responses.trials)["train"]
    stimuli = responses.trials["stimulus_id"].to_numpy()[train]
    noise = noise_source(times, stimuli.tolist())
    whitener = fit_whitener(
        responses.values[train], times, responses.targets, noise=noise, stimulus_ids=stimuli.tolist()
    )
    white = replace(responses, values=whitener.transform(responses.values), units="noise standard deviations")
    return white, {
        "whitened": "on training epochs",
        "noise": noise,
        "shrinkage": whitener.shrinkage,
        "rank": whitener.rank,
    }


def _ceiling(responses: Responses, splits: pd.DataFrame) -> pd.DataFrame:
    """Return a row per target (and time): the ceiling of averages over the repeats of the test images."""
    stimuli = responses.trials["stimulus_id"].to_numpy()
    test = split_rows(splits, responses.trials)["test"]
    n_repeats = np.unique(stimuli[test], return_counts=True)[1]
    targets = responses.targets["target_id"].to_numpy()
    table = {"target_id": targets}
    if responses.times is not None:
        table = {
            "target_id": np.repeat(targets, len(responses.times)),
            "time_s": np.tile(responses.times, len(targets)),
        }
    share = np.full(responses.values[0].size, np.nan)
    if np.unique(stimuli, return_counts=True)[1].max() > 1:
        share = signal_share(responses.values, stimuli).ravel()
    ceiling = noise_ceiling_from_share(share, n_repeats)
    return pd.DataFrame(table | {"ceiling": ceiling, "signal_share": share})
