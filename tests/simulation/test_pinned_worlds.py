"""A world of a seed is the same in every release: published figures rest on it, and any change of a line shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from seeded.recorded import Record

from brainalign import simulation
from brainalign.simulation import Modality

RNG = np.random.default_rng
SCENES = simulation.draw_scenes(40, 2)
NAMES = SCENES["stimulus_id"].tolist()
SHOWN = simulation.schedule(NAMES, 2, 3, 1, trials_per_run=7, trial_s=2.5)
WHAT = {"early": RNG(1).normal(size=(40, 3)), "late": RNG(2).normal(size=(40, 3))}
WHERE = {"L": WHAT, "R": {layer: values[::-1] for layer, values in WHAT.items()}}
DRIVES = simulation.CortexDrives(
    NAMES, WHAT, WHERE, simulation.preferences(SCENES), simulation.scene_variables(SCENES), list(WHAT)
)
MAPS = {"early": RNG(3).normal(size=(40, 6, 4, 8)).astype(np.float32), "late": RNG(4).normal(size=(40, 3, 2, 7))}
TEXTS = RNG(6).normal(size=(576, 24)) * np.geomspace(4, 0.1, 24)


def points(n: int) -> np.ndarray:
    """Return points spread evenly over a sphere of 100 mm."""
    z, turn = 1 - (2 * np.arange(n) + 1) / n, np.pi * (1 + 5**0.5) * np.arange(n)
    return 100 * np.column_stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z])


def cortex() -> simulation.Cortex:
    from scipy.spatial import ConvexHull

    sphere = points(400)
    faces = ConvexHull(sphere).simplices.astype(np.int64)
    pial = {"L": sphere * [0.3, 0.7, 0.5] - [30, 20, 0], "R": sphere * [0.3, 0.7, 0.5] + [30, -20, 0]}
    return simulation.Cortex(pial, dict.fromkeys("LR", sphere), dict.fromkeys("LR", faces))


def generator_outputs() -> Any:
    images = simulation.render(SCENES[:10], 32)
    model = simulation.train_generator(SCENES[:10], images, n_epochs=2, batch_size=4, seed=5)
    return simulation.activations(model, images[:5], batch_size=2)


def planted_energies() -> Any:
    """Sizes of drives: their signs are those of eigenvectors, which libraries choose."""
    drives = simulation.cortex_drives(MAPS, SCENES)
    return [np.abs(values) for each in (drives.what, drives.where["L"], drives.where["R"]) for values in each.values()]


WORLDS: dict[str, Callable[[], Any]] = {
    "abstraction_world": lambda: simulation.abstraction_world(4, 3, 2, 30, 27, seed=3),
    "abstraction_world judged": lambda: simulation.abstraction_world(4, 3, 2, seed=3).judge(
        np.arange(24).reshape(8, 3), RNG(1)
    ),
    "concept_world": lambda: simulation.concept_world(12, 3, 60, n_repeated=5, n_people=3, n_features=7, seed=3),
    "concept_world of many": lambda: simulation.concept_world(120, 3, 400, n_repeated=5, n_people=3, seed=3),
    "occluded_ball": lambda: simulation.occluded_ball(6, 20, 5, 3, n_videos=2, side=12, seed=3),
    "ball_features": lambda: simulation.ball_features(
        simulation.occluded_ball(6, 20, 5, 3, n_videos=2, side=12, seed=3).frames
    ),
    "ball_future": lambda: simulation.ball_future(RNG(3).uniform(0.1, 0.9, (5, 3, 4)) * [1, 1, 0.3, -0.3], 9),
    "family_world": lambda: simulation.family_world(30, 4, seed=3),
    "sparse_mixtures": lambda: simulation.sparse_mixtures(30, 8, 12, 2, noise=0.1, seed=3),
    "region_patterns outliers": lambda: simulation.region_patterns("outliers", 3, 2, 9, seed=3, signal=0.7),
    "region_patterns isotropic": lambda: simulation.region_patterns("isotropic", 3, 2, 9, seed=3),
    "dependent_pair": lambda: [simulation.dependent_pair(name, 20, RNG(3)) for name in sorted(simulation.RELATIONS)],
    "grounded_words": lambda: simulation.grounded_words(60, 50, 20, n_locations=4, n_channels=7, n_text=9, seed=3),
    "ring_agent tabular": lambda: simulation.ring_agent(0.5, n_states=8, n_updates=120, n_checkpoints=3, seed=3),
    "ring_agent learned": lambda: simulation.ring_agent(
        0.5, n_states=8, encoder="learned", n_updates=60, n_checkpoints=2, seed=3
    ),
    "ring_agent shuffled": lambda: simulation.ring_agent(
        0.5, n_states=8, objective="shuffled", n_updates=60, n_checkpoints=1, seed=3
    ),
    "ring_agent repulsion": lambda: simulation.ring_agent(
        0.5, n_states=8, encoder="learned", objective="repulsion", n_updates=60, n_checkpoints=1, seed=3
    ),
    "ring_agent model-free": lambda: simulation.ring_agent(
        0.5, n_states=8, encoder="learned", objective="model-free", n_updates=60, n_checkpoints=1, seed=3
    ),
    "category_epochs lasting": lambda: simulation.category_epochs(24, 3, 4, peaks_s=(0.1, 0.25), seed=3),
    "category_epochs moving": lambda: simulation.category_epochs(
        24, 5, 4, peaks_s=(0.1, 0.25), code="moving", amplitude=2.0, step_s=0.02, seed=3
    ),
    "layer_latencies": lambda: simulation.layer_latencies(["a", "b", "c"]),
    "simulate_meeg eeg": lambda: simulation.simulate_meeg(SHOWN, WHAT, NAMES, simulation.sensor_info("eeg"), 3),
    "simulate_meeg meg": lambda: simulation.simulate_meeg(SHOWN[:30], WHAT, NAMES, simulation.sensor_info("meg"), 3),
    "to_epochs": lambda: simulation.to_epochs(
        simulation.simulate_meeg(SHOWN, WHAT, NAMES, simulation.sensor_info("eeg"), 3)[0], simulation.sensor_info("eeg")
    ).get_data(copy=True),
    "shared_space": lambda: simulation.shared_space(
        (Modality("eeg", 2, 4, 8, 0.3, 3), Modality("fmri", 3, 6, 0, 0.5, 2)),
        n_train=6,
        n_test=3,
        train_repeats=2,
        share=0.3,
        n_codes=3,
        n_dimensions=5,
        seed=3,
    ),
    "eeg_text": lambda: simulation.eeg_text(TEXTS, n_subjects=2, n_channels=4, n_times=9, n_components=6, seed=3),
    "eeg_power": lambda: simulation.eeg_power(TEXTS, n_subjects=2, n_channels=4, n_times=9, n_components=6, seed=3),
    "roi_series": lambda: simulation.roi_series(5, 60, 2, seed=3),
    "roi_series with states": lambda: simulation.roi_series(4, 60, 2, state_strength=0.6, state_frames=9, seed=3),
    "roi_lagged": lambda: simulation.roi_lagged(3, 40, 2, 2, seed=3),
    "rest_networks": lambda: simulation.rest_networks(["ventral1", "dorsal1", "red", "V1"]),
    "simulate_rest": lambda: simulation.simulate_rest(simulation.rest_networks(["ventral1", "dorsal1", "red"]), 30, 3),
    "story slow": lambda: simulation.story(3, 60, 2, repeated=1, n_features=(9, 8), seed=3),
    "story fast": lambda: simulation.story(2, 200, 2, step_s=0.05, explained=0.6, n_features=(9, 8), seed=3),
    "complex_cells": lambda: simulation.complex_cells(8, 5, 4, seed=3),
    "linear_world": lambda: simulation.linear_world(9, 4, 3, [0.0, 0.3, 0.8], seed=3),
    "voxel_prior_world": lambda: simulation.voxel_prior_world(7, 2, seed=3),
    "voxel_prior_world weights": lambda: [
        simulation.voxel_prior_world(7, 2, seed=3).weights(4, RNG(0), on_prior=on) for on in (True, False)
    ],
    "voxel_prior_world prior": lambda: [
        (world.prior_mean, world.prior_covariance, world.images(3, RNG(1)), world.noise_sd(np.ones((8, 2)), [1, 2]))
        for world in [simulation.voxel_prior_world(7, 2, seed=3)]
    ],
    "draw_scenes": lambda: simulation.draw_scenes(40, 3),
    "clear_scenes": lambda: simulation.clear_scenes(12, 3),
    "render": lambda: simulation.render(simulation.draw_scenes(40, 3), 48),
    "schedule": lambda: SHOWN,
    "preferences": lambda: (DRIVES.preferred, DRIVES.other),
    "labelled_embeddings": lambda: simulation.labelled_embeddings(SCENES, ["shape", "colour"], 5, seed=3),
    "captioned_voxels": lambda: simulation.captioned_voxels(SCENES, {"shape": 0.3, "colour": 0.5}, 7, seed=3),
    "measure_things": lambda: simulation.measure_things(simulation.render(simulation.draw_scenes(40, 3), 32)),
    "true_responses": lambda: simulation.true_responses(
        simulation.measure_things(simulation.render(simulation.draw_scenes(40, 3), 32))
    ),
    "plan_areas": lambda: simulation.plan_areas(["a", "b", "c"]),
    "simulate_cortex": lambda: simulation.simulate_cortex(SHOWN, DRIVES, cortex(), 3),
    "cortex_drives": planted_energies,
    "train_generator": generator_outputs,
}


RECORD = Record(Path(__file__).parent / "recorded.json")


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_of_a_seed_stays(name: str) -> None:
    RECORD.check(name, WORLDS[name](), 1e-3)
