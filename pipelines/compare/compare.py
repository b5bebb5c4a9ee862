"""compare: the geometry of one subject's responses, and how well the geometry of each model's features fits it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import geometry
from brainalign.arrays import Arrays, Layers, Responses, Values
from brainalign.config import CompareSettings
from brainalign.datasets import group_labels, repeat_counts
from brainalign.io import entities_of, load, write_atomically
from brainalign.statistics import MIN_UNITS, bootstrap
from brainalign.workflow import Job


def compare(job: Job) -> None:
    """Compare the geometry of responses with that of every layer of every model."""
    settings = job.options("compare", CompareSettings)
    responses = job.load("responses", Responses)
    responses, runs = _measurements(responses)
    conditions = responses.trials["stimulus_id"].to_numpy()
    noise = _noise(job) if job.has("noise") and set(settings.distances) & set(geometry.WHITENED) else None
    names = list(pd.unique(conditions))
    rdms, rows = Arrays(), []
    models = layer_rdms(job, names, settings.feature_distance)
    for distance in settings.distances:
        whitening = noise if distance in geometry.WHITENED else None
        rdms[distance] = geometry.rdm(responses.values, distance, conditions, runs, whitening)
        replicates = geometry.replicate_rdms(responses.values, distance, conditions, runs, whitening)
        rdms[f"{distance}_replicates"] = replicates
        for comparison in settings.comparisons:
            ceiling = geometry.rdm_noise_ceiling(replicates, comparison) if len(replicates) > 1 else (np.nan, np.nan)
            for (model, layer), model_rdm in models.items():
                row = {"distance": distance, "comparison": comparison, "model": model, "layer": layer}
                result = _test(replicates, model_rdm, comparison, settings.permutations, job)
                rows.append(row | result | {"ceiling_low": ceiling[0], "ceiling_high": ceiling[1]})
    of_models = {("model", f"{model} {layer}"): values for (model, layer), values in models.items()}
    measured = {("responses", distance): rdms[distance] for distance in settings.distances}
    write_rsatoolbox(job, measured | of_models, names)
    rdms |= {f"model_{model}_{layer}": values for (model, layer), values in models.items()}
    job.save("rdm", rdms, conditions=names, feature_distance=settings.feature_distance)
    job.save(
        "comparison",
        pd.DataFrame(rows),
        replicates="RDMs of disjoint pairs of runs (of repeats, where runs hold different stimuli); scores are "
        "averaged over them, intervals are over them",
        p="one-sided, stimuli of the feature RDM permuted",
    )


def _measurements(responses: Responses) -> tuple[Responses, NDArray[np.object_]]:
    """Return trials and the measurement each is part of: runs, or as many repeats as every stimulus has."""
    stimuli, runs = responses.trials["stimulus_id"], group_labels(responses.trials, "run")
    if runs.nunique() > 1 and (pd.crosstab(runs, stimuli) > 0).to_numpy().all():
        return responses, runs.to_numpy()
    repeat = responses.trials.groupby("stimulus_id", sort=False).cumcount()
    kept = (repeat < repeat_counts(responses.trials).min()).to_numpy()
    return responses.select(trials=kept), repeat[kept].astype(str).to_numpy()


def _noise(job: Job) -> geometry.NoiseCovariance:
    residuals = job.load("noise", Arrays)["residuals"]
    return geometry.noise_covariance(residuals, job.details("noise")["dof"])


def model_layers(job: Job) -> dict[str, Layers]:
    """Load the features of every model."""
    return {entities_of(path)["model"]: load(path, Layers, job.provenance) for path in job.paths("features")}


def layer_rdms(job: Job, stimuli: list[str], distance: str) -> dict[tuple[str, str], Values]:
    """Return the RDM of every layer of every model, stimuli in the order given."""
    return {
        (model, layer): values
        for model, layers in model_layers(job).items()
        for layer, values in geometry.feature_rdms(layers, stimuli, distance).items()
    }


def write_rsatoolbox(job: Job, rdms: Mapping[tuple[str, str], Values], conditions: list[str]) -> None:
    """Write RDMs ([n_subjects, n_sessions,] n_pairs) by kind and name as a file of rsatoolbox."""
    rows, labels = [], []
    for (kind, name), values in rdms.items():
        for place in np.ndindex(values.shape[:-1]):
            rows.append(values[place])
            subject, session = (k + 1 for k in place or (0, 0))
            labels.append({"kind": kind, "name": name, "subject": subject, "session": session})
    of_rdms = {name: _writable([label[name] for label in labels]) for name in labels[0]}
    theirs = geometry.to_rsatoolbox(geometry.LabelledRdms(np.stack(rows), _writable(conditions), of_rdms=of_rdms))
    job.outputs["rsatoolbox"].parent.mkdir(parents=True, exist_ok=True)
    write_atomically(job.outputs["rsatoolbox"], lambda file: theirs.save(str(file), "hdf5"))


def _writable(labels: list[Any]) -> NDArray[Any]:
    """Return labels as rsatoolbox can write them: its texts are ASCII, those with other letters are objects."""
    return np.array(labels, dtype=None if "".join(map(str, labels)).isascii() else object)


def rdms_among(rdms: Values, conditions: list[str], stimuli: list[str]) -> Values:
    """Return RDMs (n_rdms, n_pairs) of some of the conditions, in the order of the stimuli."""
    rows = pd.Index(conditions).get_indexer(pd.Index(stimuli))
    i, j = np.triu_indices(len(stimuli), 1)
    return geometry.square_rdms(rdms)[:, rows[i], rows[j]]


def _test(replicates: np.ndarray, model: np.ndarray, comparison: str, permutations: int, job: Job) -> dict[str, object]:
    row = dict.fromkeys(("score", "p", "null_mean", "low", "high"), np.nan) | {"n": len(replicates), "note": ""}
    if not np.isfinite(model).all():
        note = "this space has no such distances: a stimulus has constant features, or there is only one feature"
        return row | {"note": note}
    # The same permutations for every model, so that models differ by their geometry only.
    rng = np.random.default_rng(job.seed)
    test = geometry.rdm_permutation_test(replicates, model, comparison, permutations, rng)
    row |= {"score": test.score, "p": test.p, "null_mean": test.null.mean()}
    if np.isnan(test.p):
        row |= {"note": "all stimuli are equally far apart in this space: nothing to test"}
    if len(replicates) >= MIN_UNITS and not np.isnan(test.score):
        interval = bootstrap(test.per_replicate, job.settings["confidence"], seed=job.seed)
        row |= {"low": interval.low, "high": interval.high}
    return row
