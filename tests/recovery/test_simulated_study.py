"""The simulated study: what was planted is found with ordinary ridge, and nothing where nothing was planted."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial import ConvexHull
from scipy.stats import spearmanr
from shown import Record, within

from brainalign import simulation
from brainalign.arrays import Responses
from brainalign.encoding import Ridge, SplitScores, converge_subjects, evaluate_held_out, split_scores
from brainalign.features import layer_inputs
from brainalign.simulation.voxels import CONFIG
from brainalign.statistics import bootstrap_correlations, layer_preference, pearson

N_SHARED, N_IMAGES, N_REPEATS = 100, 300, 3
TRAINING = np.arange(N_IMAGES) >= N_SHARED
SEEDS = [pytest.param(0, id="seed0"), *(pytest.param(k, marks=pytest.mark.acceptance) for k in (1, 2, 3))]


@dataclass(frozen=True, eq=False)
class World:
    """Images, the generator's layers of them, and what these drive."""

    scenes: pd.DataFrame
    maps: dict[str, np.ndarray]
    drives: simulation.CortexDrives
    untrained: dict[str, np.ndarray]

    @property
    def features(self) -> dict[str, dict[str, np.ndarray]]:
        """What an analyst extracts: layers averaged over the image ("what" areas), or whole ("where" areas)."""
        return {
            "what": {layer: simulation.pool_everywhere(values) for layer, values in self.maps.items()},
            "where": {layer: values.reshape(len(values), -1) for layer, values in self.maps.items()},
        }


@cache
def world(seed: int) -> World:
    from transformers import ResNetConfig, ResNetModel

    scenes, training = simulation.draw_scenes(N_IMAGES, seed), simulation.draw_scenes(320, seed + 999)
    n_epochs = 3 if seed else 1  # reduced in `make test`
    model = simulation.train_generator(training, simulation.render(training), n_epochs=n_epochs, seed=seed)
    images = simulation.render(scenes)
    torch.manual_seed(seed + 17)
    networks = model, ResNetModel(ResNetConfig(**CONFIG)).eval()  # and one without training
    maps, untrained = (simulation.activations(network, images) for network in networks)
    return World(scenes, maps, simulation.cortex_drives(maps, scenes), untrained)


@cache
def cortex(study: World, seed: int, person: int) -> tuple[Responses, pd.DataFrame]:
    """Return averages of driven vertices, and of every twentieth other one, z-scored within sessions; their truth."""
    trials = simulation.schedule(list(study.scenes["stimulus_id"]), N_REPEATS, 3, seed)
    responses, truth = simulation.simulate_cortex(trials, study.drives, simulation.load_cortex(), seed + 100 * person)
    kept = truth["kind"].isin(["what", "where"]).to_numpy(copy=True)
    kept[np.flatnonzero(truth["kind"] == "none")[::20]] = True
    return responses.select(targets=kept).zscore("session").average_repeats(), truth[kept].reset_index(drop=True)


@cache
def small_cortex() -> simulation.Cortex:
    """Return fsaverage4: the first 2,562 vertices of fsaverage5."""
    full = simulation.load_cortex()
    sphere = {hemi: values[:2562] for hemi, values in full.sphere.items()}
    faces = {hemi: ConvexHull(values).simplices.astype(np.int64) for hemi, values in sphere.items()}
    return simulation.Cortex(sphere, {hemi: values[:2562] for hemi, values in full.pial.items()}, faces)


def by_stimulus(responses: Responses, scenes: pd.DataFrame) -> np.ndarray:
    """Return the average over repeats, a row per scene."""
    mean = responses.average_repeats()
    return mean.values[pd.Index(mean.trials["stimulus_id"]).get_indexer(scenes["stimulus_id"])].astype(np.float64)


def held_out_r(features: np.ndarray, responses: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return Pearson's r on the shared images after ridge on the unique ones."""
    return pearson(responses[~TRAINING], predictions(features, responses, rows))


def best_layer(fitted: list[np.ndarray], measured: np.ndarray, seed: int) -> tuple[np.ndarray, bool]:
    """Return each layer's mean r in an area, and whether the best beats the second by 2 SE (bootstrap over images)."""
    r, everywhere = np.array([pearson(measured, values).mean() for values in fitted]), [np.arange(measured.shape[1])]
    draws = [bootstrap_correlations(values, measured, everywhere, n_draws=100, seed=seed)[:, 0] for values in fitted]
    second, best = r.argsort()[-2:]
    return r, bool(r[best] - r[second] > 2 * (draws[best] - draws[second]).std())


def predictions(features: np.ndarray, responses: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return predictions for the shared images after ridge on the unique ones, features scaled on these."""
    chosen = features if rows is None else features[rows]
    X = layer_inputs(chosen, np.flatnonzero(TRAINING), maps=chosen.shape[1] >= 100)  # or channels
    ridge = Ridge().fit(X[TRAINING], responses[TRAINING].astype(np.float32))
    return np.asarray(ridge.predict(X[~TRAINING]), dtype=np.float64)


@pytest.mark.parametrize("seed", SEEDS)
def test_layers_of_areas(seed: int, record: Record) -> None:
    """The generating network finds the layer of each area; permuted images and unplanted cortex give nothing"""
    responses, truth = cortex(study := world(seed), seed, 0)
    shuffled = np.random.default_rng(seed).permutation(N_IMAGES)
    hits, steps, decided, permuted = [], [], [], []
    for kind, layers in study.features.items():
        mine = (truth["kind"] == kind).to_numpy()
        mean = by_stimulus(responses.select(targets=mine), study.scenes)
        fitted = {layer: predictions(values, mean) for layer, values in layers.items()}
        permuted.append(np.mean([held_out_r(values, mean, shuffled).mean() for values in layers.values()]))
        for (_, _, layer), area in truth[mine].reset_index(drop=True).groupby(["hemi", "roi", "layer"]):
            measured = mean[~TRAINING][:, area.index]
            r, beats = best_layer([values[:, area.index] for values in fitted.values()], measured, seed)
            step = abs(int(r.argmax()) - simulation.LAYERS.index(layer))
            hits.append(step == 0)
            steps.append(step)
            decided.append(beats)
    assert max(np.array(steps)[decided]) <= 1
    assert np.mean(decided) >= 0.5
    mean = by_stimulus(responses.select(targets=(truth["kind"] == "none").to_numpy()), study.scenes)
    unplanted = np.mean([held_out_r(values, mean).mean() for values in study.features["what"].values()])
    exact = np.array(hits)[decided].mean()
    within(record, "areas (what and where) whose layer is exact", np.mean(hits), least=0.8)
    said = f"{np.mean(decided):.2f}, {exact:.2f}, {max(steps)}"
    record("decided areas: share of all, exact, furthest", said, "<= 1 off")
    # 5 layers of 2 kinds: one draw of 100 test images has a standard error of .1, shared by correlated vertices.
    within(record, "mean r, images permuted", np.mean(permuted), least=-0.06, most=0.06)
    within(record, "mean r, unplanted vertices", unplanted, least=-0.02, most=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_preferences(seed: int) -> None:
    """A selective area answers most to its own preference."""
    scenes = simulation.draw_scenes(N_IMAGES, seed)
    trials = simulation.schedule(list(scenes["stimulus_id"]), N_REPEATS, 3, seed)
    responses, truth = simulation.simulate_cortex(trials, drives_of_noise(scenes, seed), small_cortex(), seed)
    true = simulation.preferences(scenes)
    for preference, mine in truth[truth["kind"] == "preference"].groupby("preference"):
        mean = by_stimulus(responses.select(targets=mine.index.to_numpy()).zscore("session"), scenes).mean(axis=1)
        assert true.apply(lambda column, mean=mean: np.corrcoef(column, mean)[0, 1]).idxmax() == preference


def drives_of_noise(scenes: pd.DataFrame, seed: int) -> simulation.CortexDrives:
    """Return drives that need no network: ceilings do not depend on what drives an area."""
    rng = np.random.default_rng(seed)
    what, left, right = ({layer: rng.normal(size=(len(scenes), 6)) for layer in simulation.LAYERS} for _ in range(3))
    seen = simulation.preferences(scenes), simulation.scene_variables(scenes)
    where = {"L": left, "R": right}
    return simulation.CortexDrives(list(scenes["stimulus_id"]), what, where, *seen, list(simulation.LAYERS))


@pytest.mark.parametrize("seed", SEEDS)
def test_ceilings(seed: int, record: Record) -> None:
    """Ceilings of 1,000 images x 3 repeats by ncsnr, z-scored within sessions, against the planted ones"""
    scenes = simulation.draw_scenes(1000, seed)
    trials = simulation.schedule(list(scenes["stimulus_id"]), N_REPEATS, 6, seed)
    responses, truth = simulation.simulate_cortex(trials, drives_of_noise(scenes, seed), small_cortex(), seed)
    planted = truth["ceiling"].to_numpy()
    keep = (planted > 0) | (np.arange(len(planted)) % 10 == 0)
    values = responses.select(targets=keep).zscore("session").values.astype(np.float64)
    order = trials.sort_values(["stimulus_id", "repeat"], kind="stable").index
    noise = values[order].reshape(len(scenes), N_REPEATS, -1).var(axis=1, ddof=1).mean(axis=0)
    ratio = (1 - noise) / noise  # ncsnr², unclamped
    for ceiling, mine in pd.Series(ratio / (ratio + 1 / N_REPEATS)).groupby(planted[keep]):
        name = f"mean ceiling of vertices with true ceiling {ceiling}"
        within(record, name, mine.mean(), least=ceiling - 0.02, most=ceiling + 0.02)


@pytest.mark.parametrize("kind", ["meg", "eeg"])
@pytest.mark.parametrize("seed", SEEDS)
def test_latencies(seed: int, kind: str, record: Record) -> None:
    """MEG and EEG: each layer's encoding score peaks at its latency, and is zero before the stimulus"""
    study = world(seed)
    trials = simulation.schedule(list(study.scenes["stimulus_id"]), 2, 1, seed)
    info = simulation.sensor_info(kind, "mag")
    responses, truth = simulation.simulate_meeg(trials, study.drives.what, study.drives.stimulus_ids, info, seed)
    mean = by_stimulus(responses, study.scenes)
    mean = mean.reshape(N_IMAGES, -1) / mean.std()
    assert responses.times is not None
    for layer, values in study.features["what"].items():
        score = held_out_r(values, mean).reshape(responses.values.shape[1:]).mean(axis=0)  # over sensors
        error = 1000 * abs(responses.times[score.argmax()] - truth.layers.set_index("layer")["latency_s"][layer])
        within(record, f"{kind}, {layer}: error of the peak, ms", error, most=12 + 1e-6)
        assert abs(score[responses.times < 0].mean()) <= 0.03


@pytest.mark.parametrize("kind", ["meg", "eeg"])
def test_sensor_ceilings(kind: str) -> None:
    """The share of variance that repeats, over many trials, is the planted one."""
    scenes = simulation.draw_scenes(500, 3)
    drives, trials = drives_of_noise(scenes, 3), simulation.schedule(list(scenes["stimulus_id"]), 2, 1, 3)
    info = simulation.sensor_info(kind, "mag")
    responses, truth = simulation.simulate_meeg(trials, drives.what, drives.stimulus_ids, info, 3)
    values = simulation.to_epochs(responses, info).get_data(copy=False)
    np.testing.assert_allclose(values, responses.values, atol=1e-3 * values.std())  # already referenced
    order = trials.sort_values(["stimulus_id", "repeat"], kind="stable").index
    found = pearson(*(values[order][k::2].reshape(500, -1) for k in (0, 1)))
    planted = truth.sensors["ceiling_single_trial"].to_numpy()
    assert found.mean() == pytest.approx(planted.mean(), abs=0.01)
    assert np.corrcoef(found, planted)[0, 1] > 0.85
    assert truth.layers.equals(simulation.layer_latencies(simulation.LAYERS))


def layer_scores(study: World, maps: dict[str, np.ndarray], responses: Responses, seed: int) -> SplitScores:
    """Return what the encode stage leaves of one network and subject."""
    Y, times = by_stimulus(responses, study.scenes).astype(np.float32), responses.times
    if times is None:
        rois = responses.targets["roi"].str[0]
        groups = {str(roi): np.asarray(rows) for roi, rows in rois.groupby(rois).groups.items()}
    else:
        flat = np.arange(Y[0].size).reshape(Y.shape[1:])
        groups = {f"{time:.2f}": flat[:, k] for k, time in enumerate(times)}
    rows = TRAINING, ~TRAINING, study.scenes["stimulus_id"].to_numpy()
    options = {"n_permutations": 200, "n_boot": 200, "target_groups": groups, "seed": seed}
    pooled = {layer: simulation.pool_everywhere(values) for layer, values in maps.items()}
    inputs = {layer: layer_inputs(values, np.flatnonzero(TRAINING)) for layer, values in pooled.items()}
    results = {layer: evaluate_held_out(Ridge(), X, Y, *rows, **options) for layer, X in inputs.items()}
    return split_scores(results, responses.targets, groups, times, n_permutations=200, n_draws=200, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_convergence(seed: int, record: Record) -> None:
    """Convergence scores of the generating network in the simulated study: 2 fMRI subjects, MEG, EEG"""
    study = world(seed)
    people = enumerate(cortex(study, seed, person) for person in range(2))
    subjects = {f"fMRI{k}": one.select(targets=(truth["kind"] == "what").to_numpy()) for k, (one, truth) in people}
    twice = simulation.schedule(list(study.scenes["stimulus_id"]), 2, 1, seed)
    for kind in ("meg", "eeg"):
        info = simulation.sensor_info(kind, "mag")
        responses, _ = simulation.simulate_meeg(twice, study.drives.what, study.drives.stimulus_ids, info, seed)
        unit = (responses.values / responses.values.std()).astype(np.float32)
        targets = responses.targets.assign(sensor_type=kind)
        subjects[kind] = Responses(unit, responses.trials, targets, "sd", responses.times)
    trained, random = {}, {}
    for name, responses in subjects.items():
        trained[name], random[name] = (layer_scores(study, x, responses, seed) for x in (study.maps, study.untrained))
    found = converge_subjects(trained, random, origin=["ventral1"], n_permutations=1000, seed=seed)
    scores = found.scores.set_index(["network", "subject", "score"])
    for subject, score in (("mean", "encoding"), ("mean", "spatial"), ("meg", "temporal"), ("eeg", "temporal")):
        mine, twin = scores.loc[("trained", subject, score)], scores.loc[("random", subject, score)]
        expected = {"encoding": "above random weights", "spatial": ">= .9", "temporal": ">= .95"}[score]
        nulls = f"n = {mine['n']}, p (layers) {mine['p_layers']:.4f}"
        nulls += f", p (areas) {mine['p_areas']:.3f}" if score == "spatial" else ""
        record(f"{score}, {subject}", f"{mine['value']:.3f}, {nulls}", expected)
        text = twin["reason"] or f"{twin['value']:.3f}, n = {twin['n']}, p (layers) {twin['p_layers']:.3f}"
        record(f"{score}, {subject}, random weights", text, "shown")
    assert scores.loc[("trained", "mean", "encoding"), "value"] > scores.loc[("random", "mean", "encoding"), "value"]
    assert scores.loc[("trained", "mean", "spatial"), "value"] >= 0.9
    for kind in ("meg", "eeg"):
        assert scores.loc[("trained", kind, "temporal"), "value"] >= 0.95
        assert scores.loc[("trained", kind, "temporal"), "p_layers"] <= 2 / 120


@pytest.mark.acceptance
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_depth_with_another_network(seed: int, record: Record) -> None:
    """Depth of areas recovered with another trained network of the same relative depth"""
    study, training = world(seed), simulation.draw_scenes(800, seed + 77)
    network = simulation.train_generator(training, simulation.render(training), n_epochs=3, seed=seed + 50)
    other = simulation.activations(network, simulation.render(study.scenes))
    responses, truth = cortex(study, seed, 0)
    stimuli = responses.trials["stimulus_id"].to_numpy()
    rows = pd.Index(study.scenes["stimulus_id"]).get_indexer(pd.Index(stimuli))
    train, test = np.flatnonzero(rows >= N_SHARED), np.flatnonzero(rows < N_SHARED)
    found = []
    for kind, maps in (("what", False), ("where", True)):
        targets = np.flatnonzero(truth["kind"] == kind)
        Y, mine = responses.values[:, targets], truth.iloc[targets].reset_index(drop=True)
        areas = {name: np.asarray(part.index) for name, part in mine.groupby(mine["hemi"] + mine["roi"])}
        results = []
        for layer in simulation.LAYERS:
            values = other[layer].reshape(N_IMAGES, -1) if maps else simulation.pool_everywhere(other[layer])
            X = layer_inputs(values[rows].astype(np.float32), train, maps=maps)
            options = {"n_permutations": 200, "n_boot": 300, "target_groups": areas}
            scored = evaluate_held_out(Ridge(), X, Y, train, test, stimuli, **options)
            results.append((scored.group_r, scored.group_draws, scored.group_null))
        parts = (np.stack(part, axis=-1) for part in zip(*results, strict=True))
        table = layer_preference(*parts, list(areas), simulation.LAYERS)
        planted = {name: mine["layer"][part[0]] for name, part in areas.items()}
        found.append(table.assign(planted=table["roi"].map(planted)))
    table = pd.concat(found)
    depth = {layer: k / (len(simulation.LAYERS) - 1) for k, layer in enumerate(simulation.LAYERS)}
    planted, recovered = table["planted"].map(depth), table["best"].map(depth)
    decided = table["decided"].to_numpy(dtype=bool)
    every, sure = spearmanr(planted, recovered)[0], spearmanr(planted[decided], recovered[decided])[0]
    said = f"{sure:.2f} over {decided.sum()} decided areas; {every:.2f} over all {len(table)}"
    record(f"seed {seed}: Spearman of depths", said, ">= .7")
    assert decided.sum() >= 4
    assert sure >= 0.7
    assert every >= 0.65
