"""Published dissimilarity matrices against published models and every layer of every network."""

import re

import numpy as np
import pandas as pd

from brainalign import geometry
from brainalign.arrays import Arrays, Values
from brainalign.config import CompareSettings
from brainalign.pipelines.compare.rdms import layer_rdms, write_rsatoolbox
from brainalign.workflow import Job

DRAW = re.compile(r"(?P<layer>.+)_draw\d+")  # layers of the draws of a network with random weights


def compare_references(job: Job) -> None:
    """Compare reference RDMs with published models and with every layer of every network."""
    settings = job.options("compare", CompareSettings)
    references = job.load("references", Arrays)
    details = job.details("references")
    sets = {name: references[name] for name in details["sets"]}
    published = {(name, ""): references[f"model_{name}"] for name in details["models"]}
    layers = layer_rdms(job, details["stimuli"], settings.feature_distance)
    draws = {key: values for key, values in layers.items() if DRAW.fullmatch(key[1])}
    candidates = published | {key: values for key, values in layers.items() if key not in draws}
    # Monkey IT is a reference set and a published model of the others; it is not scored against itself.
    found = geometry.score_references(
        sets,
        candidates,
        settings.comparison,
        settings.draws,
        job.seed,
        alpha=1 - job.settings["confidence"],
        exclude={name: [key for key in published if _same(published[key], sets[name])] for name in sets},
    )
    random = _random_weights(sets, draws, settings.comparison)
    pooled = {
        name: geometry.pooled_rdm(geometry.subject_rdms(values, settings.comparison), settings.comparison)
        for name, values in sets.items()
    }
    group = [
        float(geometry.compare(pooled[reference], candidates[model, layer], settings.comparison)[0, 0])
        for reference, model, layer in found.scores[["reference", "model", "layer"]].to_numpy()
    ]
    scores = found.scores.assign(group_score=group, kind=np.where(found.scores["layer"] == "", "published", "layer"))
    best = found.best.assign(kind="best")
    combined = _combined(sets, layers, job, settings)
    job.save(
        "comparison",
        pd.concat([scores, *combined, random.assign(kind="random weights"), best], ignore_index=True),
        comparison=settings.comparison,
        score="mean over subjects of the comparison with each subject's RDM; group_score: with the pooled RDM",
        se="dual bootstrap over subjects and stimuli; over stimuli where there is one subject",
        combinations="fitted to some subjects and stimuli, scored on others; ceilings of the same folds; null: "
        "refitted with the stimuli of the model exchanged",
    )
    job.save("differences", found.differences, p_max="largest studentised difference of the family")
    of_models = {
        ("model", " ".join(dict.fromkeys((model, layer))).strip()): values
        for (model, layer), values in candidates.items()
    }
    write_rsatoolbox(job, {("responses", name): rdms for name, rdms in sets.items()} | of_models, details["stimuli"])
    shown = {f"set_{of}": geometry.pooled_rdm(geometry.session_average(r), "spearman") for of, r in sets.items()}
    pairs = dict.fromkeys((str(model), str(layer)) for model, layer in best[["model", "layer"]].to_numpy())
    tops = [pair for pair in pairs if pair in layers]  # the layer with the largest fit of every network
    job.save(
        "rdm",
        Arrays(shown | {f"layer_{' '.join(dict.fromkeys(top))}": layers[top] for top in tops}),
        conditions=details["stimuli"],
        categories=details["categories"],
        feature_distance=settings.feature_distance,
    )


def _same(model: Values, rdms: Values) -> bool:
    return rdms.shape[:2] == (1, 1) and bool(geometry.compare(model, rdms[0, 0], "pearson")[0, 0] > 1 - 1e-6)


def _random_weights(sets: dict[str, Values], draws: dict[tuple[str, str], Values], method: str) -> pd.DataFrame:
    """Return mean and sd over the draws of networks with random weights, by layer."""
    columns = ["reference", "model", "layer", "mean", "sd", "n", "group_mean", "group_sd"]
    rows = []
    for reference, rdms in sets.items():
        subjects = geometry.subject_rdms(rdms, method)
        pooled = geometry.pooled_rdm(subjects, method)[None]
        scores: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for (model, layer), values in draws.items():
            mean = float(geometry.compare(subjects, values, method).mean())
            of_group = float(geometry.compare(pooled, values, method)[0, 0])
            scores.setdefault((model, DRAW.sub(r"\g<layer>", layer)), []).append((mean, of_group))
        for (model, layer), found in scores.items():
            means = np.mean(found, axis=0)
            sd = np.std(found, axis=0, ddof=1) if len(found) > 1 else np.full(2, np.nan)
            rows.append((reference, model, layer, means[0], sd[0], len(found), means[1], sd[1]))
    return pd.DataFrame(rows, columns=columns)


def _combined(
    sets: dict[str, Values], layers: dict[tuple[str, str], Values], job: Job, settings: CompareSettings
) -> list[pd.DataFrame]:
    """Return the scores of combinations of layers, and of the same layers with random weights."""
    if not settings.combinations:
        return []
    models = {
        (options.model, name): geometry.combination(layers, options.model, name, options.layers, options.fit)
        for name, options in settings.combinations.items()
    }
    scores = geometry.score_combinations(
        sets,
        models,
        settings.comparison,
        settings.combination_draws,
        settings.combination_permutations,
        job.seed,
        1 - job.settings["confidence"],
    )
    rows = []
    for name, options in settings.combinations.items():
        chosen = options.layers or [layer for model, layer in layers if model == options.model]
        for control, drawn in _random_draws(layers, list(chosen)).items():
            for reference, rdms in sets.items():
                subjects, rng = geometry.subject_rdms(rdms, settings.comparison), np.random.default_rng(job.seed)
                twins = [geometry.FlexibleModel(stack, options.fit) for stack in drawn]
                found = [geometry.flexible_score(subjects, of, settings.comparison, rng).mean() for of in twins]
                sd = float(np.std(found, ddof=1)) if len(found) > 1 else np.nan
                row = {"reference": reference, "model": control, "layer": name, "n": len(found)}
                rows.append(row | {"mean": float(np.mean(found)), "sd": sd})
    return [scores.assign(kind="combination"), pd.DataFrame(rows).assign(kind="random weights")]


def _random_draws(layers: dict[tuple[str, str], Values], names: list[str]) -> dict[str, list[Values]]:
    """Return the stacked RDMs of these layers in every draw of every network with random weights that has them all."""
    found: dict[tuple[str, str], dict[str, Values]] = {}
    for (model, layer), values in layers.items():
        match = DRAW.fullmatch(layer)
        if match and match["layer"] in names:
            found.setdefault((model, layer.rpartition("_draw")[2]), {})[match["layer"]] = values
    controls: dict[str, list[Values]] = {}
    for (model, _), own in found.items():
        if len(own) == len(names):
            controls.setdefault(model, []).append(np.stack([own[name] for name in names]))
    return controls
