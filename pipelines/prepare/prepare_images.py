"""prepare_images: recordings of one subject who saw images to responses, splits and ceiling."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

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
from brainalign.io import Provenance, save
from brainalign.pipelines import run_stage, stage_parser
from brainalign.statistics import noise_ceiling_from_share, signal_share
from brainalign.study import ImageStudy, load_descriptor


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("prepare_images", __doc__)
    parser.add_argument("--descriptor", type=Path, required=True)
    parser.add_argument("--raw", type=Path, required=True, help="where files of a simulated study lie")
    parser.add_argument("--subject", required=True)
    parser.add_argument("--stimuli", type=Path, required=True, help="table of the images")
    parser.add_argument("--responses", type=Path, required=True, help="output")
    parser.add_argument("--splits", type=Path, required=True, help="output")
    parser.add_argument("--ceiling", type=Path, required=True, help="output")
    return run_stage(parser, _prepare, argv)


def _prepare(arguments: argparse.Namespace, provenance: Provenance) -> None:
    descriptor = load_descriptor(arguments.descriptor, ImageStudy, raw=arguments.raw)
    files = descriptor.files(arguments.subject)
    for field, path in files.items():
        if path.is_file():
            provenance.read(field, path)
    provenance.read("images", arguments.stimuli)
    stop_on([Problem(descriptor.name, line) for line in changed_files(descriptor)])
    stimuli = read_images_table(arguments.stimuli)
    images = audit_images(stimuli)
    stop_on(images.problems())
    responses = read_subject(descriptor, arguments.subject)
    if "category" in stimuli:
        category = stimuli.set_index("stimulus_id")["category"]
        trials = responses.trials.assign(category=responses.trials["stimulus_id"].map(category))
        responses = replace(responses, trials=trials)
    ((name, rule),) = descriptor.splits.items()
    test = marked_images(stimuli, rule, name)
    where = f"{descriptor.name}: subjects.{arguments.subject}"
    stop_on(inspect_trials(where, responses.trials, stimuli["stimulus_id"].tolist(), test or None))
    splits = image_split(responses.trials, rule, test, images, seed=arguments.seed).assign(name=name)
    leaks = leakage_audit(splits, responses.trials, images, near=rule.near_duplicates)
    leaks += [*copied_recordings(descriptor, arguments.subject), *response_copies(responses, where, [splits])]
    stop_on(leaks)
    details: dict[str, object] = {}
    if responses.times is not None and descriptor.epochs.whiten:
        responses, details = _whitened(responses, responses.times, splits)
    save(arguments.responses, responses, provenance, n_trials=len(responses.trials), **details)
    card = split_card(splits, responses.trials, images)
    save(
        arguments.splits,
        splits,
        provenance,
        splits={name: rule.model_dump(mode="json")},
        card=json.loads(card.to_json(orient="records")),
        warnings=[str(problem) for problem in leaks],
    )
    save(
        arguments.ceiling,
        _ceiling(responses, splits),
        provenance,
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


if __name__ == "__main__":
    raise SystemExit(main())
