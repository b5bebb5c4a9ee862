"""Geometry of every region, or at every moment, against every layer of every model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import geometry
from brainalign.arrays import Arrays, Responses, Values
from brainalign.config import MIN_TARGETS, CompareSettings
from brainalign.datasets.splits import repeat_counts, repeats_cube
from brainalign.pipelines.compare.rdms import comparable, compared_trials, layer_rdms, write_rsatoolbox
from brainalign.study import check_repeated
from brainalign.workflow import Job

MEANING = {
    "p": "one-sided, stimuli of the feature RDM exchanged; p_fwer against the largest over groups and layers",
    "se": "bootstrap over stimuli; of the layer of each model with the largest mean fit over groups",
    "ceiling": "bounds of how well the true geometry compares, from RDMs of halves of the repeats (or runs)",
    "combinations": "fitted to some stimuli, scored on others; p and null: refitted with the stimuli of the model "
    "exchanged, for this region alone",
}
Place = tuple[NDArray[np.intp], int | None]  # numbers of targets, of a time


def compare_places(job: Job, responses: Responses, in_turn: bool) -> None:
    """Compare the geometry of regions, or of moments."""
    settings = job.options("compare", CompareSettings)
    shown = responses if in_turn else compared_trials(job, responses)
    # (n_repeats, n_stimuli, n_targets[, n_times]): as many repeats as all have, and the means of all there are.
    counts, mean = repeat_counts(shown.trials), shown.average_repeats().values[None]
    cube = mean if counts.min() == 1 else repeats_cube(shown, unequal="fewest")
    names = pd.unique(shown.trials["stimulus_id"]).tolist()
    models = layer_rdms(job, names, settings.feature_distance)
    # Noise of means falls with the number of repeats, which may differ between stimuli.
    n_averaged = len(cube) if settings.distance == "crossnobis" else len(counts) / (1 / counts).sum()
    places = places_of(responses) or {"all": (np.arange(len(responses.targets)), None)}
    table, average = fit_places(cube, mean, places, models, settings, job.seed, n_averaged=n_averaged)
    by_name = {("responses", place): of_place for place, of_place in zip(places, average, strict=True)}
    by_name |= {("model", f"{model} {layer}"): of_layer for (model, layer), of_layer in models.items()}
    write_rsatoolbox(job, by_name, names)
    job.save(
        "rdm",
        Arrays(responses=average, models=np.stack(list(models.values()))),
        groups=list(places),
        models=[list(pair) for pair in models],
        conditions=names,
        distance=settings.distance,
        feature_distance=settings.feature_distance,
    )
    job.save(
        "comparison",
        table,
        groups="regions" if responses.times is None else "times in s",
        comparison=settings.comparison,
        thresholds=list(settings.thresholds) if settings.comparison == "geotopological" else None,
        score="with the RDM of all repeats",
        **MEANING,
    )


def fit_places(
    cube: Values,
    mean: Values,
    places: Mapping[str, Place],
    models: Mapping[tuple[str, str], Values],
    settings: CompareSettings,
    seed: int,
    *,
    n_averaged: float,
    noise: tuple[Values, int] | None = None,
) -> tuple[pd.DataFrame, Values]:
    """Return the fit of every layer to every place, and the RDMs of places (n_places, n_pairs).

    `cube` (n_repeats, n_stimuli, n_targets[, n_times]) holds repeats (or runs), `mean` (1, ...) what is averaged over
    `n_averaged` of them; `noise` is residuals (n_rows, n_targets) and their degrees of freedom.
    """
    distance, whole = settings.distance, cube if settings.distance == "crossnobis" else mean
    check_repeated(distance, len(cube))
    given: list[dict[str, Any]] = [{"method": distance} for _ in places]
    if noise is not None:
        for how, (rows, _) in zip(given, places.values(), strict=True):
            how["precision"] = geometry.noise_covariance(noise[0][:, rows], noise[1])
    patterns = [_in_rows(_cut(whole, *place)) for place in places.values()]
    average = np.stack([geometry.rdm(**of, **how) for of, how in zip(patterns, given, strict=True)])
    stacked = np.stack(list(models.values()))
    (compared, method), (of_models, _) = (comparable(of, settings.comparison, settings) for of in (average, stacked))
    found = geometry.rdm_permutation_places(
        compared, of_models, method, settings.permutations, np.random.default_rng(seed), [of for of, _ in models]
    )
    # Of every model the layer with the largest mean fit over regions or times.
    means = pd.Series(np.nan_to_num(found.scores, nan=-1.0).mean(axis=0))
    drawn = means.groupby([model for model, _ in models], sort=False).idxmax().to_numpy(dtype=np.intp)
    se = np.full(found.scores.shape, np.nan)
    rng = np.random.default_rng(seed)
    se[:, drawn] = geometry.bootstrap_places(compared, of_models[drawn], method, settings.draws, rng)
    tables, times = [], n_averaged / max(len(cube) // 2, 1)
    for k, (place, of) in enumerate(places.items()):
        halves = geometry.split_half_rdms(**_in_rows(_cut(cube, *of)), **given[k], seed=seed)
        low, high = geometry.split_half_ceiling(comparable(halves, settings.comparison, settings)[0], method, times)
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
        if settings.comparison == "geotopological":  # never without rank RSA
            table["rank_score"] = pd.DataFrame(geometry.compare(average[k], stacked, "spearman")).mean()
        tables.append(table)
    if settings.combinations and cube.ndim == 3:
        regions, layers = dict(zip(places, compared, strict=True)), dict(zip(models, of_models, strict=True))
        tables.append(_combined(regions, layers, method, settings, seed))
    return pd.concat(tables, ignore_index=True), average


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
        {region: rdm[None, None] for region, rdm in regions.items()},
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


def places_of(responses: Responses) -> dict[str, Place]:
    """Return targets and time of every pattern that is compared: a region's, or of all sensors at a moment."""
    if responses.times is not None:
        return {f"{time:.4f}": (np.arange(len(responses.targets)), k) for k, time in enumerate(responses.times)}
    return {roi: (rows, None) for roi, rows in responses.regions().items() if len(rows) >= MIN_TARGETS}


def _cut(values: Values, targets: NDArray[np.intp], time: int | None) -> Values:
    """Return the patterns (n_repeats, n_stimuli, n_targets) of a place."""
    return values[:, :, targets] if time is None else values[:, :, targets, time]


def _in_rows(patterns: Values) -> dict[str, Any]:
    """Return repeats and stimuli as rows."""
    n_repeats, n_stimuli, n_targets = patterns.shape
    conditions = np.tile(np.arange(n_stimuli), n_repeats)
    runs = np.repeat(np.arange(n_repeats), n_stimuli)
    return {"patterns": patterns.reshape(-1, n_targets), "conditions": conditions, "runs": runs}
