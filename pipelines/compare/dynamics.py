"""dynamics: neurons of one subject predicted over time by every model of the videos, in hidden and in shown frames."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays
from brainalign.checks import BrainalignError
from brainalign.config import DynamicsSettings
from brainalign.datasets import neurons_of, read_neural, read_videos
from brainalign.encoding import Ridge
from brainalign.geometry import movie_agreement, score_dynamics, time_features
from brainalign.io import Provenance, entities_of, load, load_sidecar, save
from brainalign.pipelines import run_stage, stage_parser
from brainalign.study import VideoStudy, load_descriptor, parse

TIME_ALONE = "time alone"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("dynamics", __doc__)
    parser.add_argument("--descriptor", type=Path, required=True)
    parser.add_argument("--subject", required=True)
    parser.add_argument("--rollouts", type=Path, nargs="+", required=True, help="one per model")
    for name in ("scores", "neurons", "folds", "movies"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="output")
    return run_stage(parser, _dynamics, argv)


def _dynamics(arguments: argparse.Namespace, provenance: Provenance) -> None:
    options = parse(DynamicsSettings, arguments.settings["dynamics"], "dynamics")
    descriptor = load_descriptor(arguments.descriptor, VideoStudy)
    for name, path in descriptor.files(arguments.subject).items():
        if path.is_file() and name != "training":
            provenance.read(name, path)
    visible = read_videos(descriptor.files(arguments.subject)["videos"]).visible
    neural = read_neural(descriptor, arguments.subject)
    if neural.shape[:2] != visible.shape:
        raise BrainalignError(
            f"subject {arguments.subject} has {neural.shape[0]} conditions of {neural.shape[1]} frames, but the videos "
            f"have {visible.shape[0]} of {visible.shape[1]}; both must be in the same order, frame by frame"
        )
    models, names = _models(arguments.rollouts, visible.shape, provenance)
    tables: dict[str, list[pd.DataFrame]] = {"scores": [], "neurons": [], "folds": [], "movies": []}
    for region, rows in neurons_of(descriptor, arguments.subject, neural.shape[2]).items():
        found = score_dynamics(
            models,
            neural[:, :, rows],
            visible,
            Ridge(device="cpu", dtype="float64"),
            folds=options.folds,
            min_reliability=options.min_reliability,
            fit_on=options.fit_on,
            n_permutations=options.permutations,
            confidence=arguments.settings["confidence"],
            seed=arguments.seed,
        )
        movie = movie_agreement(
            models, neural[:, :, rows], visible, n_permutations=options.permutations, seed=arguments.seed
        )
        of_region = {"scores": found.models, "neurons": found.neurons, "folds": found.folds, "movies": movie}
        for name, table in of_region.items():
            tables[name].append(table.assign(region=region).merge(names, on="model").drop(columns="model"))
    facts = {
        "n_conditions": int(visible.shape[0]),
        "n_times": int(visible.shape[1]),
        "n_hidden": int((~visible).sum()),
        "n_neurons": int(neural.shape[2]),
        "n_repeats": int(neural.shape[3]),
        "r_normalized": "r / sqrt(reliability of the mean over repeats), mean over neurons",
    }
    for name, parts in tables.items():
        save(getattr(arguments, name), pd.concat(parts, ignore_index=True), provenance, **facts)


def _models(
    paths: Sequence[Path], shape: tuple[int, ...], provenance: Provenance
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Return features over time by a name of their own, and what each of them is."""
    models, rows = {}, []
    for path in paths:
        network = entities_of(path)["model"]
        arrays = load(path, Arrays, provenance)
        for row in load_sidecar(path)["details"]["rows"]:
            key = f"{network}, {row['name']}"
            models[key] = arrays[row["name"]]
            rows.append({"model": key, "network": network, "name": row["name"], "role": row["role"]})
    models[TIME_ALONE] = time_features(shape[0], shape[1])
    rows.append({"model": TIME_ALONE, "network": "", "name": TIME_ALONE, "role": "control"})
    return models, pd.DataFrame(rows)


if __name__ == "__main__":
    raise SystemExit(main())
