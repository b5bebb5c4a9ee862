"""Of simulations."""

from collections.abc import Callable
from typing import Any

import numpy as np

from brainalign import simulation
from seeded.worlds import RNG

SCENES = simulation.draw_scenes(12, 0)
PICTURES = simulation.render(simulation.clear_scenes(8, 0), 32)
NAMES = list(SCENES["stimulus_id"])
SHOWN = simulation.schedule(NAMES, 2, 1, 0)
WHAT = {"early": RNG(1).normal(size=(12, 2)), "late": RNG(2).normal(size=(12, 2))}
DRIVES = simulation.CortexDrives(
    NAMES, WHAT, {"L": WHAT, "R": WHAT}, simulation.preferences(SCENES), simulation.scene_variables(SCENES), list(WHAT)
)
# A tetrahedron in the place of either hemisphere.
CORNERS = 100 / np.sqrt(3) * np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
FACES = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])
CORTEX = simulation.Cortex(*(dict.fromkeys("LR", each) for each in (CORNERS, CORNERS, FACES)))


SIMULATION: dict[str, Callable[[int], Any]] = {
    "clear_scenes": lambda s: simulation.clear_scenes(3, s),
    "concept_world": lambda s: simulation.concept_world(12, 3, 60, seed=s),
    "draw_scenes": lambda s: simulation.draw_scenes(3, s),
    "eeg_power": lambda s: simulation.eeg_power(
        RNG(6).normal(size=(576, 24)), n_subjects=2, n_channels=4, n_times=16, seed=s
    ),
    "eeg_text": lambda s: simulation.eeg_text(
        RNG(6).normal(size=(576, 24)), n_subjects=2, n_channels=4, n_times=16, seed=s
    ),
    "grounded_words": lambda s: simulation.grounded_words(60, 60, 20, seed=s),
    "linear_world": lambda s: simulation.linear_world(9, 4, 2, np.full(3, 0.5), s),
    "occluded_ball": lambda s: simulation.occluded_ball(6, 18, 3, 2, n_videos=2, seed=s),
    "roi_lagged": lambda s: simulation.roi_lagged(3, 40, 2, 1, seed=s),
    "roi_series": lambda s: simulation.roi_series(3, 40, 2, seed=s),
    "schedule": lambda s: simulation.schedule(list("abcdef"), 2, 1, s)["stimulus_id"],
    "voxel_prior_world": lambda s: simulation.voxel_prior_world(seed=s).weights(3, RNG(0)),
    "shared_space": lambda s: simulation.shared_space(
        (simulation.Modality("eeg", 2, 4, 8, 0.3, 3),), n_train=6, n_test=3, n_codes=3, n_dimensions=5, seed=s
    ),
    "simulate_cortex": lambda s: simulation.simulate_cortex(SHOWN, DRIVES, CORTEX, s)[0].values,
    "simulate_meeg": lambda s: simulation.simulate_meeg(SHOWN, WHAT, NAMES, simulation.sensor_info("eeg"), s)[0].values,
    "simulate_rest": lambda s: simulation.simulate_rest(simulation.rest_networks(["V1", "FFA"]), 12, s),
    "story": lambda s: simulation.story(2, 20, 1, seed=s).responses,
    "train_generator": lambda s: simulation.activations(
        simulation.train_generator(SCENES[:4], PICTURES[:4], n_epochs=1, batch_size=2, seed=s), PICTURES[:2]
    ),
}
