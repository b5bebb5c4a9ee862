"""match: layers of networks beside those of others: similarity with nulls, dimension, known features."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign import geometry
from brainalign.arrays import Layers
from brainalign.checks import check_unique
from brainalign.config import MatchSettings
from brainalign.io import no_cell_lost, read_parquet
from brainalign.pipelines.compare.concepts import layers_of
from brainalign.pipelines.compare.rdms import model_layers
from brainalign.study import check_shared_stimuli
from brainalign.workflow import Job

ALPHAS = tuple(np.logspace(-3, 6, 10))
SIMILARITY = ["model_a", "layer_a", "model_b", "layer_b", "measure", "value", "null", "null_high", "rotated"]
BIAS = ["model", "layer", "number", "feature", "explained", "unique", "chance", "decodability"]
MANIFOLDS = ["model", "layer", "number", "network", "step", "feature", "n_categories", "n_each", "n_left_out"]
MANIFOLDS += ["measure", "value", "null", "null_low", "null_high", "n_draws", "note"]
PROBES = 100  # of each manifold: capacity is repeatable to a few percent
Matrices = dict[tuple[str, str], NDArray[np.floating[Any]]]
Places = dict[tuple[str, str], list[dict[str, str | int]]]


def match(job: Job) -> None:
    """Compare layers of networks with those of others, and with what is known of the stimuli."""
    from brainalign.regression import Ridge

    options = job.options("match", MatchSettings)
    checkpoints: Mapping[str, Mapping[str, str]] = job.settings.get("checkpoints", {})
    found = model_layers(job)
    stimuli = _shared(found, options.stimuli, job.seed)
    known = _known(job, stimuli, options)
    categories = {
        name: geometry.balanced_categories(values, options.per_category, job.seed)
        for name, values in known.items()
        if values.dtype.kind not in "fiu"
    }
    matrices: Matrices = layers_of(found, stimuli)
    mine = {key: values for key, values in matrices.items() if key[0] in options.models}
    pairs = geometry.compare_networks(
        mine,
        options.measures,
        max_units=options.units,
        draws=options.draws,
        regressor=Ridge(ALPHAS, cv=10, dtype="float64"),
        seed=job.seed,
    )
    pairs = pairs if len(pairs) else pd.DataFrame(columns=SIMILARITY)
    # Wide layers in the axes that their stimuli span: every measure from here on ignores rotation.
    narrow = {key: geometry.rotated_to_fewer(X) for key, X in matrices.items()}
    places = _places(list(matrices), options.models, checkpoints)
    about = {"n_stimuli": len(stimuli), "unit": "a row is a stimulus; maps are averaged over their places"}
    job.save("similarity", pairs, null="mean of draws; null_high: the largest", **about)
    dimensions = []
    for key, X in narrow.items():
        # One n for all, since `_shared` gave every layer the same stimuli.
        table = geometry.compare_dimensions({"": X}, n_stimuli=len(X)).drop(columns=["name", "n_units"])
        dimensions += [table.assign(**place, n_units=matrices[key].shape[1]) for place in places[key]]
    job.save("dimensions", pd.concat(dimensions, ignore_index=True), **about)
    job.save("featurebias", _bias({key: X for key, X in narrow.items() if key in mine}, known, job.seed), **about)
    manifolds = _manifolds(narrow, places, categories, options.draws, job.seed)
    drawn = {name: {"each": found.n_each, "left_out": found.left_out} for name, found in categories.items()}
    null = "median of draws with shuffled categories; null_low, null_high: their range"
    job.save("manifolds", manifolds, null=null, categories=drawn, **about)


def _shared(found: Mapping[str, Layers], most: int, seed: int) -> list[str]:
    """Return the stimuli that every model has, at most so many of them, in the order of the first model."""
    ids = [list(next(iter(layers.values())).stimuli["stimulus_id"]) for layers in found.values()]
    shared = set(ids[0]).intersection(*ids[1:])
    stimuli = [name for name in ids[0] if name in shared]
    check_shared_stimuli(len(stimuli))
    if len(stimuli) <= most:
        return stimuli
    return [stimuli[k] for k in np.sort(np.random.default_rng(seed).permutation(len(stimuli))[:most])]


def _places(
    keys: Sequence[tuple[str, str]], compared: Sequence[str], checkpoints: Mapping[str, Mapping[str, str]]
) -> Places:
    """Return where each layer stands: in its own network (step -1), and as a checkpoint of others."""
    numbers = _numbers(keys)
    steps: dict[str, list[tuple[str, int]]] = {}
    for network, of in checkpoints.items():
        for step, model in of.items():
            steps.setdefault(model, []).append((network, int(step)))
    return {
        (model, layer): [
            {"model": model, "layer": layer, "number": numbers[model, layer], "network": network, "step": step}
            for network, step in ([("", -1)] if model in compared else []) + steps.get(model, [])
        ]
        for model, layer in keys
    }


def _numbers(keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return the place of each layer among those of its model."""
    return {key: [other for other in keys if other[0] == key[0]].index(key) for key in keys}


def _known(job: Job, stimuli: list[str], options: MatchSettings) -> dict[str, NDArray[np.generic]]:
    """Return the known features of the stimuli; none where there is no table of them."""
    if not options.features or not job.has("stimuli"):
        return {}
    path = job.path("stimuli")
    job.provenance.read("stimuli", path)
    if path.suffix == ".parquet":
        table = read_parquet(path)
    else:  # ids keep their zeros, and features that are numbers stay numbers
        with no_cell_lost(path):
            table = pd.read_csv(path, sep=None, engine="python", dtype={"stimulus_id": str}, index_col=False)
    check_unique(path.name, table["stimulus_id"])
    table = table.assign(stimulus_id=table["stimulus_id"].astype(str)).set_index("stimulus_id").reindex(stimuli)
    options.check_features(path.name, table.reset_index())
    return {name: table[name].to_numpy() for name in options.features}


def _bias(narrow: Matrices, known: Mapping[str, NDArray[np.generic]], seed: int) -> pd.DataFrame:
    """Compute the share of every layer that each known feature of the stimuli fills; no rows where nothing is known."""
    from brainalign.regression import Ridge

    if not known:
        return pd.DataFrame(columns=BIAS)
    ridge = Ridge(ALPHAS, cv=10, per_target_alpha=False, dtype="float64")
    numbers, parts = _numbers(list(narrow)), []
    for key, X in narrow.items():
        found = geometry.feature_bias(X, known, ridge, seed=seed)
        parts.append(found.assign(model=key[0], layer=key[1], number=numbers[key]))
    return pd.concat(parts, ignore_index=True)


def _manifolds(
    narrow: Matrices, places: Places, categories: Mapping[str, geometry.BalancedCategories], draws: int, seed: int
) -> pd.DataFrame:
    """Return capacity and collapse of every categorical feature, of the same stimuli in every layer."""
    from brainalign.regression import Ridge

    parts, ridge = [pd.DataFrame(columns=MANIFOLDS)], Ridge(ALPHAS, per_target_alpha=False, dtype="float64")
    for key, X in narrow.items():
        for name, drawn in categories.items():
            if drawn.note:
                table = pd.DataFrame([{"measure": "capacity", "value": np.nan, "note": drawn.note}])
            else:
                table = geometry.category_manifolds(X[drawn.rows], drawn.labels, ridge, draws, PROBES, seed)
            table = table.assign(feature=name, n_categories=drawn.n_categories, n_each=drawn.n_each)
            table["n_left_out"] = len(drawn.left_out)
            parts += [table.assign(**place) for place in places[key]]
    return pd.concat(parts[1:] or parts, ignore_index=True).reindex(columns=MANIFOLDS)
