"""Voxels with planted preferences are captioned from their weights: attributes found, nothing in shuffled responses."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from shown import Record, within
from worlds.guided import tensor
from worlds.scenes import captioned_voxels, train_scene_network

from brainalign import synthesis
from brainalign.encoding import Ridge
from brainalign.simulation import clear_scenes, render
from brainalign.statistics import fdr, pearson, permuted_correlations

ATTRIBUTES = ("colour", "shape")
TEMPERATURES = [0.0, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 100.0, 150.0, np.inf]


class Found(NamedTuple):
    accuracy: dict[str, float]
    temperature: float
    shuffled: float
    interval: tuple[float, float]
    majority: float
    hits: float
    false_alarms: float
    caption_r: float
    permuted_r: float
    frequent_r: float
    encoder_r: float
    above_chance: float
    above_chance_shuffled: float


def study(seed: int, n_images: int, n_voxels: int) -> Found:
    scenes, others = clear_scenes(n_images, seed=seed), clear_scenes(1000, seed=100 + seed)
    network = train_scene_network(others, tensor(render(others, 32)), n_steps=250, seed=seed)  # learned to name others
    with torch.inference_mode():
        embeddings = network(tensor(render(scenes, 32))).numpy().astype(np.float64)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    responses, planted = captioned_voxels(scenes, {"colour": 0.75, "shape": 0.75}, n_voxels, seed=seed)
    order = np.random.default_rng(seed).permutation(n_images)
    test, validation, train = np.split(order, [n_images // 5, 2 * n_images // 5])
    rng = np.random.default_rng([seed, 1])

    labels, attributes = {name: scenes[name].to_numpy()[train] for name in ATTRIBUTES}, {}
    for name in ATTRIBUTES:
        values = sorted(set(labels[name]))
        attributes[name] = values, np.stack([units[train][labels[name] == value].mean(axis=0) for value in values])
    captioner = synthesis.AttributeCaptioner(attributes, origin=units[train].mean(axis=0))
    encoder = Ridge(alphas=np.logspace(-3, 2, 6), device="cpu").fit(units[train], responses[train])
    weights = np.asarray(encoder.coef_)
    held = units[validation], responses[validation]
    curve = synthesis.temperature_curve(weights, embeddings[train], captioner, *held, TEMPERATURES)
    chosen = float(curve.loc[curve["chosen"], "temperature"].iloc[0])

    cared = {name: planted[name].to_numpy() != synthesis.ANY for name in ATTRIBUTES}

    def accuracy(values: dict[str, np.ndarray], truth: pd.DataFrame = planted) -> float:
        return float(np.concatenate([(values[name] == truth[name])[cared[name]] for name in ATTRIBUTES]).mean())

    at = {}
    for t in [*TEMPERATURES, chosen]:
        points = synthesis.project_to_bank(weights, embeddings[train], t)
        at[str(t)] = accuracy(synthesis.caption_targets(points, captioner).values)
    at["raw"] = accuracy(captioner(weights.T).values)
    at["chosen"] = at[str(chosen)]
    null, *_ = synthesis.shuffled_weights(units[train], responses[train], np.asarray(encoder.alpha_), 19, rng)
    drawn = synthesis.caption_targets(synthesis.project_to_bank(null, embeddings[train], chosen), captioner)
    # Captions given to other voxels: what agreement there is by the attributes' prior alone.
    orders, prior = [rng.permutation(n_voxels) for _ in range(1000)], []
    for mixed in orders:
        hits = [drawn.values[name][mixed][cared[name]] == planted[name].to_numpy()[cared[name]] for name in ATTRIBUTES]
        prior.append(np.concatenate(hits).mean())
    counts = [planted.loc[cared[name], name].value_counts() for name in ATTRIBUTES]
    majority = sum(count.iloc[0] for count in counts) / sum(count.sum() for count in counts)
    encoded = (weights, np.asarray(encoder.alpha_))
    asked = (captioner, embeddings[train], responses[train], encoded, labels, chosen)
    silenced = synthesis.attribute_evidence(*asked, rng=rng)
    matters, said = np.concatenate([cared[name] for name in ATTRIBUTES]), silenced["said"].to_numpy() != synthesis.ANY
    captions = synthesis.caption_targets(synthesis.project_to_bank(weights, embeddings[train], chosen), captioner)
    scores = synthesis.caption_scores(captions, units[test], responses[test])

    def above(predicted: np.ndarray) -> float:
        return float((fdr(permuted_correlations(predicted, responses[test], 999, 0).p) <= 0.05).mean())

    predicted, shuffled_scores = units[test] @ weights, synthesis.caption_scores(drawn, units[test], responses[test])
    named, wrongly = float(said[matters].mean()), float((said & ~matters).sum() / max(said.sum(), 1))
    r = [scores.r, scores.permuted_r, scores.frequent_r, pearson(predicted, responses[test])]
    shares = above(scores.predicted), above(shuffled_scores.predicted)
    ends, means = tuple(np.quantile(prior, [0.025, 0.975])), [float(of.mean()) for of in r]
    return Found(at, chosen, accuracy(drawn.values), ends, float(majority), named, wrongly, *means, *shares)


@pytest.mark.acceptance
def test_captions_of_scenes(record: Record) -> None:
    """Captions of 80 voxels that prefer colour, shape or both, from features of a small network; 3 seeds"""
    runs = [study(seed, 800, 80) for seed in range(3)]

    def each(name: str) -> str:
        values = [getattr(run, name) for run in runs]
        return f"{np.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"

    for at in runs[0].accuracy:
        if all(at in run.accuracy for run in runs):
            record(f"attribute accuracy, T = {at}", f"{np.mean([run.accuracy[at] for run in runs]):.3f}", "shown")
    chosen = [run.accuracy["chosen"] for run in runs]
    within(record, "attribute accuracy, T by validation", np.mean(chosen), f" ({min(chosen):.3f} least)", least=0.9)
    record("temperature chosen", each("temperature"), "shown")
    inside = [run.interval[0] <= run.shuffled <= run.interval[1] for run in runs]
    record("accuracy, shuffled responses", each("shuffled"), f"inside the prior's 95 % interval: {inside}")
    record("accuracy, most frequent value", each("majority"), "shown")
    record("attributes named that matter", each("hits"), "shown")
    record("named that do not, of those named", each("false_alarms"), "<= .05 + 2 SE")
    for name in ("encoder_r", "caption_r", "permuted_r", "frequent_r"):
        record(f"held-out {name}", each(name), "caption above permuted and most frequent")
    record("voxels whose caption predicts (FDR .05)", each("above_chance"), "above chance per voxel")
    record("the same, captions of shuffled responses", each("above_chance_shuffled"), "shown")
    assert min(chosen) >= 0.85
    assert all(inside)
    assert np.mean([run.false_alarms for run in runs]) <= 0.1
    assert np.mean([run.above_chance for run in runs]) >= 0.9
    for run in runs:
        assert run.caption_r > max(run.permuted_r, run.frequent_r) + 0.1
        assert run.hits >= 0.8
        assert run.above_chance_shuffled <= 0.5
