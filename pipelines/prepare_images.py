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
from brainalign.artifacts import save
from brainalign.checks import BrainalignError, did_you_mean, listed
from brainalign.datasets import (
    audit_images,
    fit_whitener,
    inspect_trials,
    leakage_audit,
    make_image_split,
    read_betas,
    read_epochs,
    read_fmriprep,
    read_table,
    split_card,
    split_rows,
    stop_on,
)
from brainalign.descriptor import BetaFiles, EpochFiles, HoldOut
from brainalign.files import file_digest
from brainalign.pipelines import run_stage, stage_parser
from brainalign.provenance import Provenance
from brainalign.settings import ImageStudy, load_descriptor
from brainalign.statistics import noise_ceiling_from_share, signal_share


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
    _check_digests(descriptor, arguments.subject)
    stimuli = read_table(arguments.stimuli)
    stimuli["path"] = [str(arguments.stimuli.parent / path) for path in stimuli["path"]]
    images = audit_images(stimuli)
    stop_on(images.problems())
    responses = _read(descriptor, arguments.subject)
    ((name, rule),) = descriptor.splits.items()
    test = _test_images(stimuli, rule, name)
    where = f"{descriptor.name}: subjects.{arguments.subject}"
    stop_on(inspect_trials(where, responses.trials, stimuli["stimulus_id"].tolist(), test or None))
    # What is drawn keeps pairs of like images on one side; what the table marks stays as marked, and is audited.
    chosen: Sequence[str] | float = test if rule.share is None else rule.share
    together = None if rule.share is None else images.pairs
    splits = make_image_split(responses.trials, test=chosen, seed=arguments.seed, together=together).assign(name=name)
    leaks = leakage_audit(splits, responses.trials, images, near=rule.near_duplicates)
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


def _check_digests(descriptor: ImageStudy, subject: str) -> None:
    for given, expected in descriptor.sha256.items():
        path = descriptor.locate(Path(given), "sha256")
        if file_digest(path) != expected:
            raise BrainalignError(f"{path} is not the file the descriptor names (sha256 differs); download it again")


def _read(descriptor: ImageStudy, subject: str) -> Responses:
    files, paths = descriptor.subjects[subject], descriptor.files(subject)
    if isinstance(files, BetaFiles):
        options = descriptor.betas
        return read_betas(
            descriptor.placed(files.betas),
            paths["trials"],
            mask=paths.get("mask"),
            rois=descriptor.placed(files.rois) or None,
            space=files.space,
            units=files.units,
            standardize=options.standardize,
            bad_targets=options.bad_targets,
        )
    if isinstance(files, EpochFiles):
        epochs = descriptor.epochs
        return read_epochs(
            paths["epochs"],
            trials=paths.get("trials"),
            picks=files.picks,
            tmin=epochs.tmin_s,
            tmax=epochs.tmax_s,
            decimate=epochs.decimate,
            baseline=epochs.baseline_s,
            bad_channels=epochs.bad_channels,
        )
    return read_fmriprep(
        paths["derivatives"],
        paths["raw"],
        files.participant,
        task=files.task,
        space=files.space,
        mask=paths.get("mask"),
        **descriptor.glm.model_dump(),
        **descriptor.betas.model_dump(),
    )


def _test_images(stimuli: pd.DataFrame, rule: HoldOut, name: str) -> list[str]:
    """Return the test images a column of the table marks; none where a share is drawn."""
    if rule.column is None:
        return []
    if rule.column not in stimuli:
        raise BrainalignError(
            f"splits.{name}.column: the table of images has no column {rule.column!r}"
            f"{did_you_mean(rule.column, map(str, stimuli.columns))}; it has {', '.join(map(str, stimuli.columns))}"
        )
    chosen = stimuli.loc[stimuli[rule.column].astype(str) == rule.value, "stimulus_id"].astype(str).tolist()
    if not chosen:
        values = sorted(stimuli[rule.column].astype(str).unique())
        raise BrainalignError(
            f"splits.{name}.value: no image has {rule.value!r} in column {rule.column!r}; values there are "
            f"{listed(values)}"
        )
    return chosen


def _whitened(
    responses: Responses, times: NDArray[np.floating], splits: pd.DataFrame
) -> tuple[Responses, dict[str, object]]:
    train = split_rows(splits, responses.trials)["train"]
    stimuli = responses.trials["stimulus_id"].to_numpy()[train]
    whitener = fit_whitener(responses.values[train], times, responses.targets, stimulus_ids=stimuli.tolist())
    white = replace(responses, values=whitener.transform(responses.values), units="noise standard deviations")
    return white, {"whitened": "on training epochs", "shrinkage": whitener.shrinkage, "rank": whitener.rank}


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
