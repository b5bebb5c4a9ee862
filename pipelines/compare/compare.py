"""compare: the geometry of one subject's responses, and how well the geometry of each model's features fits it."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from brainalign import geometry
from brainalign.arrays import Arrays, Responses, Values, average_rows
from brainalign.config import CompareSettings
from brainalign.datasets.splits import group_labels, repeat_counts
from brainalign.pipelines.compare.places import MEANING, compare_places, fit_places, places_of
from brainalign.pipelines.compare.rdms import comparable, layer_rdms, write_rsatoolbox
from brainalign.pipelines.compare.references import compare_references
from brainalign.statistics import MIN_UNITS
from brainalign.workflow import Job

NO_REGIONS = pd.DataFrame({"group": np.empty(0, dtype=str)})


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
        job.save("regionfits", NO_REGIONS)  # those of images held out are the comparison


def _compare_patterns(job: Job, responses: Responses) -> None:
    """Compare whole patterns, measured in every run, by all distances and comparisons."""
    settings = job.options("compare", CompareSettings)
    responses, runs = _measurements(replace(responses, values=responses.values[...]))
    conditions = responses.trials["stimulus_id"].to_numpy()
    distances = settings.distances_of(repeat_counts(responses.trials).min())
    noise = None
    if job.has("noise") and set(distances) & set(geometry.WHITENED):
        noise = geometry.noise_covariance(job.load("noise", Arrays)["residuals"], job.details("noise")["dof"])
    names, measurements = list(pd.unique(conditions)), pd.unique(runs)
    times = len(measurements) / max(len(measurements) // 2, 1)
    in_order = np.argsort(pd.Index(names).get_indexer(conditions), kind="stable")  # as those of all runs appear
    rdms, rows = Arrays(), []
    models = layer_rdms(job, names, settings.feature_distance)
    for distance in distances:
        whitening = noise if distance in geometry.WHITENED else None
        given = responses.values, distance, conditions, runs
        rdms[distance] = geometry.rdm(*given, whitening)
        halves = geometry.split_half_rdms(*given, whitening, seed=job.seed)
        rest = [in_order[runs[in_order] != run] for run in measurements] if len(measurements) >= MIN_UNITS else []
        without = [geometry.rdm(responses.values[k], distance, conditions[k], runs[k], whitening) for k in rest]
        compared_rdms = halves, rdms[distance][None], np.reshape(without, (-1, rdms[distance].size))
        for comparison in settings.comparisons:
            (halved, method), (measured, _), (parts, _) = (comparable(of, comparison, settings) for of in compared_rdms)
            low, high = geometry.split_half_ceiling(halved, method, times)
            for (model, layer), model_rdm in models.items():
                row = {"distance": distance, "comparison": comparison, "model": model, "layer": layer}
                finite = np.isfinite(model_rdm).all()
                compared = comparable(model_rdm, comparison, settings)[0] if finite else model_rdm
                result = _test(measured, parts, compared, method, settings.permutations, job)
                rows.append(row | result | {"ceiling_low": low, "ceiling_high": high})
    of_models = {("model", f"{model} {layer}"): values for (model, layer), values in models.items()}
    by_distance = {("responses", distance): rdms[distance] for distance in distances}
    write_rsatoolbox(job, by_distance | of_models, names)
    rdms |= {f"model_{model}_{layer}": values for (model, layer), values in models.items()}
    job.save("rdm", rdms, conditions=names, feature_distance=settings.feature_distance)
    job.save(
        "comparison",
        pd.DataFrame(rows),
        score="with the RDM of all runs",
        interval="jackknife over runs (repeats, where runs hold different stimuli), of 6 or more",
        ceiling="bounds of how well the true geometry compares, from RDMs of halves of the runs",
        p="one-sided, stimuli of the feature RDM permuted",
    )
    _compare_regions(job, responses, runs, models, settings)


def _compare_regions(
    job: Job,
    responses: Responses,
    runs: NDArray[np.object_],
    models: dict[tuple[str, str], Values],
    settings: CompareSettings,
) -> None:
    """Compare the patterns of every region, means of measurements, by one distance and comparison."""
    regions, about = places_of(responses), {"distance": settings.distance, "comparison": settings.comparison}
    if not regions:
        job.save("regionfits", NO_REGIONS)
        return
    conditions = responses.trials["stimulus_id"].to_numpy()
    (measured, measurements), (shown, names) = pd.factorize(runs), pd.factorize(conditions)
    cells = np.empty((len(measurements) * len(names), len(responses.targets)))
    average_rows(responses.values, np.arange(len(runs)), measured * len(names) + shown, cells)
    cube = cells.reshape(len(measurements), len(names), -1)
    noise = None
    if job.has("noise") and settings.distance in geometry.WHITENED:
        noise = job.load("noise", Arrays)["residuals"], job.details("noise")["dof"]
    mean, seed = cube.mean(axis=0, keepdims=True), job.seed
    table, _ = fit_places(cube, mean, regions, models, settings, seed, n_averaged=len(cube), noise=noise)
    job.save("regionfits", table, score="with the RDM of all runs", **about, **MEANING)


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


def _test(
    measured: Values, without: Values, model: Values, comparison: str, permutations: int, job: Job
) -> dict[str, object]:
    """Return the fit of a model to an RDM (1, n_pairs); its interval given the RDMs without each of the runs."""
    row: dict[str, object] = dict.fromkeys(("score", "p", "null_mean", "low", "high"), np.nan) | {"note": ""}
    if not np.isfinite(model).all():
        return row | {
            "note": "this space has no such distances: a stimulus has constant features, there is only one feature, or "
            "all stimuli are equally far apart"
        }
    # The same permutations for every model, so that models differ by their geometry only.
    test = geometry.rdm_permutation_test(measured, model, comparison, permutations, np.random.default_rng(job.seed))
    row |= {"score": test.score, "p": test.p, "null_mean": test.null_mean}
    if np.isnan(test.p):
        row |= {"note": "all stimuli are equally far apart in this space"}
    if len(without) and not np.isnan(test.score):
        scores = geometry.compare(without, model, comparison)
        reach = np.sqrt((len(scores) - 1) * scores.var())  # the jackknife's standard error
        reach *= stdtrit(len(scores) - 1, (1 + job.settings["confidence"]) / 2)
        row |= {"low": max(test.score - reach, -1.0), "high": min(test.score + reach, 1.0)}
    return row
