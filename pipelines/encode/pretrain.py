"""pretrain: what in-context encoding of one subject's voxels learns from the other subjects, for each layer of a model.

Of the subject held out nothing is read but which images are in its test set; of the others, training images alone.
"""

import shutil
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Arrays, Features, Layers, Responses
from brainalign.checks import BrainalignError
from brainalign.devices import pick_device
from brainalign.encoding import InContextEncoder, Reduction, pretrain_layer
from brainalign.encoding.in_context import training_voxels
from brainalign.features import PCA
from brainalign.io import entities_of, load
from brainalign.workflow import Job

N_LINES = 20  # of progress for every network

Images = NDArray[np.str_]


def pretrain(job: Job) -> None:
    """Train a network per layer on the voxels of the other subjects; one that a killed job finished is kept."""
    options = {name: value for name, value in job.settings["method"].items() if name != "encoder"}
    seeds, n_components = options.pop("seeds"), options.pop("n_components")
    encoder = InContextEncoder(**options | {name: tuple(v) for name, v in options.items() if isinstance(v, list)})
    job.provenance.device = str(pick_device(encoder.device))
    layers = job.load("features", Layers, stored=True)
    splits = job.load_all("splits", pd.DataFrame)
    tested = [*splits, job.load("held_out", pd.DataFrame)]
    test = set(pd.concat(tested).query("split == 'test'")["stimulus_id"])
    subjects: dict[str, tuple[Images, NDArray[np.floating]]] = {}
    for path, split in zip(job.paths("responses"), splits, strict=True):
        responses = load(path, Responses, job.provenance, stored=True)
        trained = split.loc[(split["split"] == "train") & ~split["stimulus_id"].isin(test), "trial_id"]
        rows = responses.trials["trial_id"].isin(trained).to_numpy()
        if not rows.any():
            raise BrainalignError(f"{path.name}: every training image of this subject is a test image of another one")
        threshold = job.settings["ceiling_threshold"]
        ids = responses.trials["stimulus_id"].to_numpy()[rows]
        subjects[entities_of(path)["sub"]] = training_voxels(responses.values[rows], ids, threshold)
    images = list(dict.fromkeys(name for seen, _ in subjects.values() for name in seen))
    place = {name: row for row, name in enumerate(images)}
    seen_by = [(np.array([place[name] for name in seen]), responses) for seen, responses in subjects.values()]
    work = job.outputs["network"].with_suffix(".partial")  # networks that a killed job has finished
    arrays, about = Arrays(), {}
    for layer, features in layers.items():
        start, shown = time.monotonic(), _rows_of(features, images)
        axes = PCA(min(n_components, shown.shape[1])).fit(shown, rows=np.arange(len(shown)))
        found = pretrain_layer(
            encoder,
            Reduction(axes.mean_, axes.components_),
            shown,
            seen_by,
            seeds=seeds,
            folder=work,
            progress=partial(_say, layer, start),
        )
        arrays |= {f"{layer}/{name}": values for name, values in found.arrays().items()}
        about[layer] = {
            "n_features": len(found.reduction.mean),
            "n_components": len(found.reduction.components),
            "variance": round(float(axes.explained_variance_ratio_.sum()), 4),
            "n_parameters": found.n_parameters,
            "seconds": round(time.monotonic() - start, 1),
            "loss": [float(np.mean(one.losses_[-50:])) for one in found.encoders],
        }
    counts = {
        name: {"n_images": len(seen), "n_voxels": responses.shape[1]} for name, (seen, responses) in subjects.items()
    }
    job.save("network", arrays, layers=about, subjects=counts, n_images=len(images))
    shutil.rmtree(work, ignore_errors=True)


def _rows_of(features: Features, images: Sequence[str]) -> NDArray[np.floating]:
    """Return the features (n_images, n_features) of some images."""
    if features.values.ndim != 2:
        raise BrainalignError(
            f"layer {features.layer!r} has shape {features.values.shape}; in-context encoding reads one vector per "
            "image: take pooling: mean or cls"
        )
    return np.asarray(features.values[features.rows_of(images)])


def _say(layer: str, start: float, seed: int, step: int, n_steps: int, loss: float) -> None:
    """Write some lines per network into the log."""
    if step == n_steps or step % max(1, n_steps // N_LINES) == 0:
        seconds = time.monotonic() - start
        print(f"{layer}, seed {seed}: step {step} of {n_steps}, loss {loss:.4f}, {seconds:.1f} s", flush=True)
