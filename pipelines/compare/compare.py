"""compare: the geometry of one subject's responses, and how well the geometry of each model's features fits it."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import geometry
from brainalign.arrays import Arrays, Responses
from brainalign.config import CompareSettings
from brainalign.datasets.splits import group_labels, repeat_counts
from brainalign.pipelines.compare.places import compare_places
from brainalign.pipelines.compare.rdms import comparable, layer_rdms, write_rsatoolbox
from brainalign.pipelines.compare.references import compare_references
from brainalign.statistics import MIN_UNITS, bootstrap
from brainalign.workflow import Job


def compare(job: Job) -> None:
    """Compare the geometry of whole patterns, regions or moments, or published matrices, with that of every model."""
    if job.has("references"):
        compare_references(job)
        return
    in_turn = bool(job.load("splits", pd.DataFrame)["trial_id"].duplicated().any())
    responses = job.load("responses", Responses, stored=True)
    if in_turn and responses.times is None:
        _compare_patterns(job, responses)
    else:
        compare_places(job, responses, in_turn)


def _compare_patterns(job: Job, responses: Responses) -> None:
    """Compare whole patterns, measured in every run, by all distances and comparisons."""
    settings = job.options("compare", CompareSettings)
    responses, runs = _measurements(replace(responses, values=responses.values[...]))
    conditions = responses.trials["stimulus_id"].to_numpy()
    distances = settings.distances_of(repeat_counts(responses.trials).min())
    noise = None
    if job.has("noise") and set(distances) & set(geometry.WHITENED):
        noise = geometry.noise_covariance(job.load("noise", Arrays)["residuals"], job.details("noise")["dof"])
    names = list(pd.unique(conditions))
    rdms, rows = Arrays(), []
    models = layer_rdms(job, names, settings.feature_distance)
    for distance in distances:
        whitening = noise if distance in geometry.WHITENED else None
        rdms[distance] = geometry.rdm(responses.values, distance, conditions, runs, whitening)
        replicates = geometry.replicate_rdms(responses.values, distance, conditions, runs, whitening)
        if not len(replicates):  # every stimulus was shown once
            replicates = rdms[distance][None]
        rdms[f"{distance}_replicates"] = replicates
        for comparison in settings.comparisons:
            measured, method = comparable(replicates, comparison, settings)
            ceiling = geometry.rdm_noise_ceiling(measured, method) if len(measured) > 1 else (np.nan, np.nan)
            for (model, layer), model_rdm in models.items():
                row = {"distance": distance, "comparison": comparison, "model": model, "layer": layer}
                finite = np.isfinite(model_rdm).all()
                compared = comparable(model_rdm, comparison, settings)[0] if finite else model_rdm
                result = _test(measured, compared, method, settings.permutations, job)
                rows.append(row | result | {"ceiling_low": ceiling[0], "ceiling_high": ceiling[1]})
    of_models = {("model", f"{model} {layer}"): values for (model, layer), values in models.items()}
    by_distance = {("responses", distance): rdms[distance] for distance in distances}
    write_rsatoolbox(job, by_distance | of_models, names)
    rdms |= {f"model_{model}_{layer}": values for (model, layer), values in models.items()}
    job.save("rdm", rdms, conditions=names, feature_distance=settings.feature_distance)
    job.save(
        "comparison",
        pd.DataFrame(rows),
        replicates="RDMs of disjoint pairs of runs (of repeats, where runs hold different stimuli), or of all trials "
        "where a stimulus was shown once; scores are averaged over them, intervals are over them",
        p="one-sided, stimuli of the feature RDM permuted",
    )


def _measurements(responses: Responses) -> tuple[Responses, NDArray[np.object_]]:
    """Return trials and the measurement each is part of: runs, as many repeats as all have, or one of all trials."""
    stimuli, runs = responses.trials["stimulus_id"], group_labels(responses.trials, "run")
    if runs.nunique() > 1 and (pd.crosstab(runs, stimuli) > 0).to_numpy().all():
        return responses, runs.to_numpy()
    repeat = responses.trials.groupby("stimulus_id", sort=False).cumcount()
    most = repeat_counts(responses.trials).min()
    if most < 2:
        return responses, np.zeros(len(repeat), dtype=object)
    kept = (repeat < most).to_numpy()
    return responses.select(trials=kept), repeat[kept].astype(str).to_numpy()


def _test(replicates: np.ndarray, model: np.ndarray, comparison: str, permutations: int, job: Job) -> dict[str, object]:
    row = dict.fromkeys(("score", "p", "null_mean", "low", "high"), np.nan) | {"n": len(replicates), "note": ""}
    if not np.isfinite(model).all():
        return row | {
            "note": "this space has no such distances: a stimulus has constant features, there is only one feature, or "
            "all stimuli are equally far apart"
        }
    # The same permutations for every model, so that models differ by their geometry only.
    test = geometry.rdm_permutation_test(replicates, model, comparison, permutations, np.random.default_rng(job.seed))
    row |= {"score": test.score, "p": test.p, "null_mean": test.null_mean}
    if np.isnan(test.p):
        row |= {"note": "all stimuli are equally far apart in this space"}
    if len(replicates) >= MIN_UNITS and not np.isnan(test.score):
        interval = bootstrap(test.per_replicate, job.settings["confidence"], seed=job.seed)
        row |= {"low": interval.low, "high": interval.high}
    return row
