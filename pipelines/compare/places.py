"""Geometry of every region, or at every moment, against every layer of every model."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import geometry
from brainalign.arrays import Arrays, Responses, Values
from brainalign.config import CompareSettings
from brainalign.datasets.splits import repeat_counts, repeats_cube, split_rows
from brainalign.pipelines.compare.rdms import comparable, layer_rdms, write_rsatoolbox
from brainalign.study import check_repeated
from brainalign.workflow import Job

MIN_TARGETS = 5  # patterns over fewer have no stable correlation distance


def compare_places(job: Job, responses: Responses, in_turn: bool) -> None:
    """Compare the geometry of regions, or of moments: of test stimuli, or of all where trials are left out in turn."""
    settings, shown = job.options("compare", CompareSettings), responses
    if not in_turn:
        test = split_rows(job.load("splits", pd.DataFrame), responses.trials)["test"]
        shown = responses.select(trials=np.sort(test))
    # (n_repeats, n_stimuli, n_targets[, n_times]); where an image was shown once, averages alone, without a ceiling
    once = repeat_counts(shown.trials).min() == 1
    cube = shown.average_repeats().values[None] if once else repeats_cube(shown, unequal="fewest")
    names = pd.unique(shown.trials["stimulus_id"]).tolist()
    places = _places(responses)
    cuts = [cube[:, :, rows] if time is None else cube[:, :, rows, time] for rows, time in places.values()]
    measured = [_rdms(patterns, settings.distance) for patterns in cuts]
    repeats, average = (np.stack(part) for part in zip(*measured, strict=True))  # (n_places, n_measurements, n_pairs)
    models = layer_rdms(job, names, settings.feature_distance)
    stacked = np.stack(list(models.values()))
    topological = settings.comparison == "geotopological"
    (compared, method), (of_models, _) = (
        comparable(rdms, settings.comparison, settings) for rdms in (repeats, stacked)
    )
    found = geometry.rdm_permutation_places(
        compared, of_models, method, settings.permutations, np.random.default_rng(job.seed), [of for of, _ in models]
    )
    # Of every model the layer with the largest mean fit over regions or times.
    means = pd.Series(np.nan_to_num(found.scores, nan=-1.0).mean(axis=0))
    drawn = means.groupby([model for model, _ in models], sort=False).idxmax().to_numpy(dtype=np.intp)
    se = np.full(found.scores.shape, np.nan)
    rng = np.random.default_rng(job.seed)
    se[:, drawn] = geometry.bootstrap_places(compared, of_models[drawn], method, settings.draws, rng)
    tables = []
    for k, place in enumerate(places):
        low, high = geometry.rdm_noise_ceiling(compared[k], method) if len(compared[k]) > 1 else (np.nan, np.nan)
        table = pd.DataFrame(list(models), columns=["model", "layer"]).assign(
            group=place,
            score=found.scores[k],
            se=se[k],
            p=found.p[k],
            p_fwer=found.p_fwer[k],
            null_mean=found.null_mean[k],
            null_high=found.null_high[k],
            ceiling_low=low,
            ceiling_high=high,
            kind="layer",
        )
        if topological:  # never without rank RSA
            table["rank_score"] = pd.DataFrame(geometry.compare(repeats[k], stacked, "spearman")).mean()
        tables.append(table)
    timed = responses.times is not None
    if settings.combinations and not timed:
        regions, layers = dict(zip(places, compared, strict=True)), dict(zip(models, of_models, strict=True))
        tables.append(_combined(regions, layers, method, settings, job.seed))
    by_name = {("responses", place): of_place for place, of_place in zip(places, average, strict=True)}
    by_name |= {("model", f"{model} {layer}"): of_layer for (model, layer), of_layer in models.items()}
    write_rsatoolbox(job, by_name, names)
    job.save(
        "rdm",
        Arrays(responses=average, models=stacked),
        groups=list(places),
        models=[list(pair) for pair in models],
        conditions=names,
        distance=settings.distance,
        feature_distance=settings.feature_distance,
    )
    job.save(
        "comparison",
        pd.concat(tables, ignore_index=True),
        groups="times in s" if timed else "regions",
        comparison=settings.comparison,
        thresholds=list(settings.thresholds) if topological else None,
        p="one-sided, test images of the feature RDM exchanged; p_fwer against the largest over groups and layers",
        se="bootstrap over test images; of the layer of each model with the largest mean fit over groups",
        score="mean over the comparisons with the RDM of each repeat (crossnobis: each disjoint pair of repeats), as "
        "the ceiling is",
        combinations="fitted to some repeats and images, scored on others; p and null: refitted with the images of the "
        "model exchanged, for this region alone",
    )


def _combined(
    regions: dict[str, Values], models: dict[tuple[str, str], Values], method: str, settings: CompareSettings, seed: int
) -> pd.DataFrame:
    """Return the scores of combinations of layers, and of the same layers in every other model that has them."""
    combined = {}
    for name, options in settings.combinations.items():
        chosen = options.layers or [layer for model, layer in models if model == options.model]
        twins = [model for model in dict.fromkeys(model for model, _ in models) if model != options.model]
        for model in [options.model, *(twin for twin in twins if all((twin, layer) in models for layer in chosen))]:
            combined[model, name] = geometry.combination(models, model, name, chosen, options.fit)
    found = geometry.score_combinations(
        {region: rdms[:, None] for region, rdms in regions.items()},
        combined,
        method,
        settings.combination_draws,
        settings.combination_permutations,
        seed,
        over="stimuli",
    )
    found = found.rename(columns={"reference": "group"}).assign(p=found["null_p"], p_fwer=np.nan, kind="combination")
    columns = ["model", "layer", "group", "score", "se", "p", "p_fwer", "null_mean", "null_high"]
    return found[[*columns, "ceiling_low", "ceiling_high", "kind", "weights"]]


def _places(responses: Responses) -> dict[str, tuple[NDArray[np.intp], int | None]]:
    """Return targets and time of every pattern that is compared: a region's, or of all sensors at a moment."""
    everything = np.arange(len(responses.targets))
    if responses.times is not None:
        return {f"{time:.4f}": (everything, k) for k, time in enumerate(responses.times)}
    large = {roi: (rows, None) for roi, rows in responses.regions().items() if len(rows) >= MIN_TARGETS}
    return dict(large) or {"all": (everything, None)}


def _rdms(patterns: Values, distance: str) -> tuple[Values, Values]:
    """Return RDMs of independent measurements of one geometry, (n_measurements, n_pairs), and of all together.

    A measurement is a repeat of all images; two for crossnobis, whose products are between repeats.
    """
    if distance != "crossnobis":
        return geometry.rdm(patterns, distance), geometry.rdm(patterns.mean(axis=0), distance)
    n_repeats, n_stimuli, n_targets = patterns.shape
    check_repeated(distance, n_repeats)
    rows, images = patterns.reshape(-1, n_targets), np.tile(np.arange(n_stimuli), n_repeats)
    runs = np.repeat(np.arange(n_repeats), n_stimuli)
    return geometry.replicate_rdms(rows, distance, images, runs), geometry.rdm(rows, distance, images, runs)
