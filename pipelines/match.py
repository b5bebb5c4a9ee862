"""match: layers of networks beside those of others: similarity with nulls, dimension, what known features fill."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Layers
from brainalign.artifacts import entities_of, load, save
from brainalign.checks import BrainalignError, listed
from brainalign.geometry import compare_dimensions, compare_networks, feature_bias
from brainalign.pipelines import run_stage, stage_parser
from brainalign.provenance import Provenance
from brainalign.settings import MatchSettings, parse

ALPHAS = tuple(np.logspace(-3, 6, 10))
SIMILARITY = ["model_a", "layer_a", "model_b", "layer_b", "measure", "value", "null", "null_high", "rotated"]
BIAS = ["model", "layer", "number", "feature", "explained", "unique", "chance", "decodability"]
Matrices = dict[tuple[str, str], NDArray[np.float64]]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the stage."""
    parser = stage_parser("match", __doc__)
    parser.add_argument("--features", type=Path, nargs="+", required=True, help="one per model and checkpoint")
    parser.add_argument("--stimuli", type=Path, help="table of stimuli, for what is known of them")
    parser.add_argument("--similarity", type=Path, required=True, help="output")
    parser.add_argument("--dimensions", type=Path, required=True, help="output")
    parser.add_argument("--featurebias", type=Path, required=True, help="output")
    return run_stage(parser, _match, argv)


def _match(arguments: argparse.Namespace, provenance: Provenance) -> None:
    from sklearn.linear_model import RidgeCV

    options = parse(MatchSettings, arguments.settings["match"], "match")
    checkpoints: Mapping[str, Mapping[str, str]] = arguments.settings.get("checkpoints", {})
    found = {entities_of(path)["model"]: load(path, Layers, provenance) for path in arguments.features}
    stimuli = _shared(found, options.stimuli, arguments.seed)
    matrices: Matrices = {}
    for model, layers in found.items():
        for name, features in layers.items():
            rows = pd.Index(features.stimuli["stimulus_id"]).get_indexer(pd.Index(stimuli))
            values = np.asarray(features.values[rows], dtype=np.float64)
            matrices[model, name] = values.mean(axis=1) if values.ndim == 3 else values
    mine = {key: values for key, values in matrices.items() if key[0] in options.models}
    pairs = compare_networks(
        mine,
        options.measures,
        max_units=options.units,
        draws=options.draws,
        regressor=RidgeCV(ALPHAS),
        seed=arguments.seed,
    )
    pairs = pairs if len(pairs) else pd.DataFrame(columns=SIMILARITY)
    about = {"n_stimuli": len(stimuli), "unit": "a row is a stimulus; maps are averaged over their places"}
    save(arguments.similarity, pairs, provenance, null="mean of draws; null_high: the largest", **about)
    save(arguments.dimensions, _dimensions(matrices, options.models, checkpoints), provenance, **about)
    save(arguments.featurebias, _bias(mine, stimuli, arguments.stimuli, options, provenance), provenance, **about)


def _shared(found: Mapping[str, Layers], most: int, seed: int) -> list[str]:
    """Return the stimuli that every model has, at most so many of them, in the order of the first model."""
    ids = [list(next(iter(layers.values())).stimuli["stimulus_id"]) for layers in found.values()]
    shared = set(ids[0]).intersection(*ids[1:])
    stimuli = [name for name in ids[0] if name in shared]
    if len(stimuli) < 20:
        raise BrainalignError(f"models share {len(stimuli)} stimuli; comparing them needs 20 or more")
    if len(stimuli) <= most:
        return stimuli
    return [stimuli[k] for k in np.sort(np.random.default_rng(seed).permutation(len(stimuli))[:most])]


def _dimensions(
    matrices: Matrices, compared: Sequence[str], checkpoints: Mapping[str, Mapping[str, str]]
) -> pd.DataFrame:
    """Return dimension over layers: of every compared model (step -1), and of every checkpoint with its network."""
    numbers = _numbers(list(matrices))
    # Wide layers in the axes that their stimuli span: every measure here ignores rotation.
    narrow = {
        key: X if X.shape[1] <= len(X) else np.asarray(np.linalg.qr(X.T, mode="r")).T for key, X in matrices.items()
    }
    steps: dict[str, list[tuple[str, int]]] = {}
    for network, of in checkpoints.items():
        for step, model in of.items():
            steps.setdefault(model, []).append((network, int(step)))
    parts = []
    for key, X in narrow.items():
        # One n for all, since `_shared` gave every layer the same stimuli.
        table = compare_dimensions({"": X}, n_stimuli=len(X)).drop(columns=["name", "n_units"])
        model, layer = key
        table = table.assign(model=model, layer=layer, number=numbers[key], n_units=matrices[key].shape[1])
        own = [("", -1)] if model in compared else []
        parts += [table.assign(network=network, step=step) for network, step in own + steps.get(model, [])]
    return pd.concat(parts, ignore_index=True)


def _numbers(keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    seen: dict[str, int] = {}
    numbers = {}
    for model, layer in keys:
        numbers[model, layer] = seen.get(model, 0)
        seen[model] = numbers[model, layer] + 1
    return numbers


def _bias(
    mine: Matrices, stimuli: list[str], path: Path | None, options: MatchSettings, provenance: Provenance
) -> pd.DataFrame:
    """Return how much of every layer each known feature of the stimuli fills; no rows where nothing is known."""
    from sklearn.linear_model import RidgeCV

    if not options.features or path is None:
        return pd.DataFrame(columns=BIAS)
    provenance.read("stimuli", path)
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, sep=None, engine="python")
    missing = [name for name in options.features if name not in table]
    if missing:
        known = ", ".join(map(str, table.columns))
        raise BrainalignError(f"match.features: {path.name} has no column {listed(missing)}; its columns are {known}")
    table = table.assign(stimulus_id=table["stimulus_id"].astype(str)).set_index("stimulus_id").reindex(stimuli)
    unknown = table.index[table[list(options.features)].isna().any(axis=1)]
    if len(unknown):
        raise BrainalignError(f"{path.name} says nothing of {len(unknown)} stimuli ({listed(list(unknown))})")
    features = {name: table[name].to_numpy() for name in options.features}
    numbers, parts = _numbers(list(mine)), []
    for key, X in mine.items():
        narrow = X if X.shape[1] <= len(X) else np.asarray(np.linalg.qr(X.T, mode="r")).T
        found = feature_bias(narrow, features, RidgeCV(ALPHAS))
        parts.append(found.assign(model=key[0], layer=key[1], number=numbers[key]))
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    raise SystemExit(main())
