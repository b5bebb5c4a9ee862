"""prepare: raw recordings of one subject to responses, splits, ceiling, mask and background image."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays, Responses
from brainalign.config import PrepareSettings
from brainalign.datasets import audit, copied_recordings, make_splits, read_fmri, stop_on
from brainalign.io import Provenance, save
from brainalign.pipelines import run_stage, stage_parser
from brainalign.statistics import noise_ceiling
from brainalign.study import BlockStudy, load_descriptor, parse


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("prepare", __doc__)
    parser.add_argument("--descriptor", type=Path, required=True)
    parser.add_argument("--subject", required=True)
    parser.add_argument("--responses", type=Path, required=True, help="output")
    parser.add_argument("--splits", type=Path, required=True, help="output")
    parser.add_argument("--ceiling", type=Path, required=True, help="output")
    parser.add_argument("--noise", type=Path, required=True, help="output: residuals of volumes within blocks")
    parser.add_argument("--mask", type=Path, required=True, help="output")
    parser.add_argument("--bold", type=Path, required=True, help="output: mean over volumes")
    return run_stage(parser, _prepare, argv)


def _prepare(arguments: argparse.Namespace, provenance: Provenance) -> None:
    settings = parse(PrepareSettings, arguments.settings["prepare"], "prepare")
    descriptor = load_descriptor(arguments.descriptor, BlockStudy)
    problems = [*audit(descriptor, [arguments.subject]), *copied_recordings(descriptor, arguments.subject)]
    stop_on(problems)
    for field, path in descriptor.files(arguments.subject).items():
        provenance.read(field, path)
    recording = read_fmri(descriptor, arguments.subject)
    responses = recording.responses
    save(
        arguments.responses,
        responses,
        provenance,
        n_trials=len(responses.trials),
        n_targets=len(responses.targets),
        n_dropped_voxels=recording.n_dropped,
        space=descriptor.fmri.space,
        warnings=[str(problem) for problem in problems],
    )
    splits = [
        make_splits(responses.trials, split, arguments.seed).assign(name=name)
        for name, split in descriptor.splits.items()
    ]
    kinds = {name: split.model_dump() for name, split in descriptor.splits.items()}
    save(arguments.splits, pd.concat(splits, ignore_index=True), provenance, splits=kinds)
    ceiling = pd.DataFrame({"target_id": responses.targets["target_id"]})
    ceiling["ceiling"] = _ceiling(responses, settings.n_halvings, arguments.seed)
    repeats = responses.trials["run"].nunique()
    save(
        arguments.ceiling,
        ceiling,
        provenance,
        definition="share of variance of a single block that repeats: split-half over runs, Spearman-Brown to one "
        "block, unclamped",
        n_repeats=repeats,
    )
    dof = len(recording.residuals) - len(responses.trials)
    save(
        arguments.noise,
        Arrays(residuals=recording.residuals),
        provenance,
        dof=dof,
        of="volumes around block means",
    )
    save(arguments.mask, recording.mask, provenance)
    save(arguments.bold, recording.mean, provenance)


def _ceiling(responses: Responses, n_halvings: int, seed: int) -> np.ndarray:
    """Return the ceiling of one block, each run being a repeat of every stimulus."""
    order = responses.trials.sort_values(["session", "run", "stimulus_id"]).index
    n_stimuli = responses.trials["stimulus_id"].nunique()
    cube = responses.values[order].reshape(-1, n_stimuli, len(responses.targets))  # (n_runs, n_stimuli, n_targets)
    return noise_ceiling(cube, n_averaged=1, n_halvings=n_halvings, seed=seed)


if __name__ == "__main__":
    raise SystemExit(main())
