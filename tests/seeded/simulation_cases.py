"""Of simulations; what worlds are is on record, too: tests/simulation/test_pinned_worlds.py."""

from collections.abc import Callable
from typing import Any

import numpy as np

from brainalign import simulation
from seeded.worlds import RNG, case

SCENES = simulation.draw_scenes(12, 0)
PICTURES = simulation.render(simulation.clear_scenes(8, 0), 32)
NAMES = list(SCENES["stimulus_id"])
SHOWN = simulation.schedule(NAMES, 2, 1, 0)
WHAT = {"early": RNG(1).normal(size=(12, 2)), "late": RNG(2).normal(size=(12, 2))}
SEEN = simulation.preferences(SCENES), simulation.scene_variables(SCENES)
DRIVES = simulation.CortexDrives(NAMES, WHAT, {"L": WHAT, "R": WHAT}, *SEEN, list(WHAT))
# A tetrahedron in the place of either hemisphere.
CORNERS = 100 / np.sqrt(3) * np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
FACES = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])
CORTEX = simulation.Cortex(*(dict.fromkeys("LR", each) for each in (CORNERS, CORNERS, FACES)))

SPACES = (simulation.Modality("eeg", 2, 4, 8, 0.3, 3), simulation.Modality("fmri", 3, 6, 0, 0.5, 2))
SHARED = {"n_train": 6, "n_test": 3, "train_repeats": 2, "share": 0.3, "n_codes": 3, "n_dimensions": 5}
TEXTS = RNG(6).normal(size=(576, 24)) * np.geomspace(4, 0.1, 24)
READING = {"n_subjects": 2, "n_channels": 4, "n_times": 9, "n_components": 6}
# Of worlds whose seed decides all of them.
WORLDS: dict[str, Callable[[int], Any]] = dict([
    case(simulation.clear_scenes, 12),
    case(simulation.concept_world, 12, 3, 60, n_repeated=5, n_people=3, n_features=7),
    case(simulation.draw_scenes, 40),
    case(simulation.eeg_power, TEXTS, **READING),
    case(simulation.eeg_text, TEXTS, **READING),
    case(simulation.grounded_words, 60, 50, 20, n_locations=4, n_channels=7, n_text=9),
    case(simulation.linear_world, 9, 4, 3, [0.0, 0.3, 0.8]),
    case(simulation.occluded_ball, 6, 20, 5, 3, n_videos=2, side=12),
    case(simulation.roi_lagged, 3, 40, 2, 2),
    case(simulation.roi_series, 5, 60, 2),
    case(simulation.shared_space, SPACES, **SHARED),
    case(simulation.simulate_rest, simulation.rest_networks(["ventral1", "dorsal1", "red"]), 30),
])  # fmt: skip
TRAIN = {"scenes": SCENES[:4], "images": PICTURES[:4], "n_epochs": 1, "batch_size": 2}
SIMULATION: dict[str, Callable[[int], Any]] = WORLDS | {
    "schedule": lambda s: simulation.schedule(list("abcdef"), 2, 1, s),
    "voxel_prior_world": lambda s: simulation.voxel_prior_world(seed=s).weights(3, RNG(0)),
    "simulate_cortex": lambda s: simulation.simulate_cortex(SHOWN, DRIVES, CORTEX, s)[0].values,
    "simulate_meeg": lambda s: simulation.simulate_meeg(SHOWN, WHAT, NAMES, simulation.sensor_info("eeg"), s)[0].values,
    "story": lambda s: simulation.story(2, 20, 1, seed=s).responses,
    "train_generator": lambda s: simulation.activations(simulation.train_generator(**TRAIN, seed=s), PICTURES[:2]),
}
