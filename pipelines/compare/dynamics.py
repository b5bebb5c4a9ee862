"""dynamics: neurons of one subject predicted over time by every model of the videos, in hidden and in shown frames."""

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays
from brainalign.checks import check_shape
from brainalign.config import DynamicsSettings
from brainalign.datasets import read_neural, read_videos
from brainalign.datasets.formats import neurons_of
from brainalign.encoding import Ridge
from brainalign.geometry import movie_agreement, score_dynamics, time_features
from brainalign.io import entities_of, load, load_sidecar
from brainalign.workflow import Job

TIME_ALONE = "time alone"


def dynamics(job: Job) -> None:
    """Predict the neurons of every region from every model over time, in hidden and in shown frames."""
    options = job.options("dynamics", DynamicsSettings)
    descriptor, subject = job.study(), job.labels["subject"]
    videos = descriptor.found_files()["stimuli"]
    if videos.is_file():
        job.provenance.read("videos", videos)
    visible = read_videos(videos).visible
    neural = read_neural(descriptor, subject)
    remedy = "both must have the same conditions and frames, in the same order"
    check_shape(f"what neurons of {subject} were shown", neural.shape[:2], visible.shape, "the videos have", remedy)
    models, names = _models(job, visible.shape)
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in job.outputs}
    for region, rows in neurons_of(descriptor, subject, neural.shape[2]).items():
        found = score_dynamics(
            models,
            neural[:, :, rows],
            visible,
            Ridge(device="cpu", dtype="float64"),
            **options.model_dump(include={"folds", "min_reliability", "fit_on"}),
            n_permutations=options.permutations,
            confidence=job.settings["confidence"],
            seed=job.seed,
        )
        movie = movie_agreement(models, neural[:, :, rows], visible, n_permutations=options.permutations, seed=job.seed)
        of_region = {"": found.models, "neurons": found.neurons, "folds": found.folds, "movies": movie}
        for name, table in of_region.items():
            tables[f"dynamics{name}"].append(table.assign(region=region).merge(names, on="model").drop(columns="model"))
    facts = {
        "n_conditions": int(visible.shape[0]),
        "n_times": int(visible.shape[1]),
        "n_hidden": int((~visible).sum()),
        "n_neurons": int(neural.shape[2]),
        "n_repeats": int(neural.shape[3]),
        "r_normalized": "r / sqrt(reliability of the mean over repeats), mean over neurons",
    }
    for name, parts in tables.items():
        job.save(name, pd.concat(parts, ignore_index=True), **facts)


def _models(job: Job, shape: tuple[int, ...]) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Return features over time by a name of their own, and what each of them is."""
    models, rows = {}, []
    for path in job.paths("rollouts"):
        network = entities_of(path)["model"]
        arrays = load(path, Arrays, job.provenance)
        for row in load_sidecar(path)["details"]["rows"]:
            key = f"{network}, {row['name']}"
            models[key] = arrays[row["name"]]
            rows.append({"model": key, "network": network, "name": row["name"], "role": row["role"]})
    models[TIME_ALONE] = time_features(shape[0], shape[1])
    rows.append({"model": TIME_ALONE, "network": "", "name": TIME_ALONE, "role": "control"})
    return models, pd.DataFrame(rows)
