"""Areas driven by one network, recovered with another one: trained on other scenes, from another initialisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from brainalign.encoding import Ridge, evaluate_held_out
from brainalign.features import layer_inputs
from brainalign.simulation import (
    LAYERS,
    activations,
    cortex_drives,
    draw_scenes,
    load_cortex,
    pool_everywhere,
    render,
    schedule,
    simulate_cortex,
    train_generator,
)
from brainalign.statistics import layer_preference

Record = Callable[[str, object, str], None]
N_SHARED, N_IMAGES = 100, 300


def trained(seed: int, scenes_seed: int) -> object:
    scenes = draw_scenes(800, scenes_seed)
    return train_generator(scenes, render(scenes), n_epochs=3, seed=seed)


@pytest.mark.acceptance
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_depth_with_another_network(seed: int, record: Record) -> None:
    """Depth of areas recovered with another trained network of the same relative depth"""
    scenes = draw_scenes(N_IMAGES, seed)
    images = render(scenes)
    generating = activations(trained(seed, seed + 999), images)
    other = activations(trained(seed + 50, seed + 77), images)
    trials = schedule(list(scenes["stimulus_id"]), 3, 3, seed)
    responses, truth = simulate_cortex(trials, cortex_drives(generating, scenes), load_cortex(), seed)
    driven = truth["kind"].isin(["what", "where"]).to_numpy()
    responses, truth = responses.select(targets=driven).zscore("session"), truth[driven].reset_index(drop=True)
    stimuli = responses.trials["stimulus_id"].to_numpy()
    rows = pd.Index(scenes["stimulus_id"]).get_indexer(pd.Index(stimuli))
    train, test = np.flatnonzero(rows >= N_SHARED), np.flatnonzero(rows < N_SHARED)
    found = []
    for kind, maps in (("what", False), ("where", True)):
        mine = truth[truth["kind"] == kind]
        areas = {name: np.asarray(part.index) for name, part in mine.groupby(mine["hemi"] + mine["roi"])}
        results = []
        for layer in LAYERS:
            values = other[layer].reshape(N_IMAGES, -1) if maps else pool_everywhere(other[layer])
            X = layer_inputs(values[rows].astype(np.float32), train, maps=maps)
            scored = evaluate_held_out(
                Ridge(), X, responses.values, train, test, stimuli, n_permutations=200, n_boot=300, target_groups=areas
            )
            results.append((scored.group_r, scored.group_draws, scored.group_null))
        table = layer_preference(*(np.stack(part, axis=-1) for part in zip(*results, strict=True)), list(areas), LAYERS)
        planted = {name: truth["layer"][part[0]] for name, part in areas.items()}
        found.append(table.assign(planted=table["roi"].map(planted)))
    table = pd.concat(found)
    depth = {layer: k / (len(LAYERS) - 1) for k, layer in enumerate(LAYERS)}
    planted, recovered = table["planted"].map(depth), table["best"].map(depth)
    decided = table["decided"].to_numpy(dtype=bool)
    every, sure = spearmanr(planted, recovered)[0], spearmanr(planted[decided], recovered[decided])[0]
    record(
        f"seed {seed}: Spearman of depths",
        f"{sure:.2f} over {decided.sum()} decided areas; {every:.2f} over all {len(table)}",
        ">= .7",
    )
    assert decided.sum() >= 4
    assert sure >= 0.7
    assert every >= 0.65
