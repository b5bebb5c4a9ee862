from __future__ import annotations

import numpy as np
import pandas as pd

from brainalign.arrays import Responses
from brainalign.pipelines.summarize.summarize_images import _preferences
from brainalign.simulation import draw_scenes, preferences


def test_planted_preferences_are_found_and_noise_is_undecided() -> None:
    scenes = draw_scenes(120, seed=4)
    wanted, rng = preferences(scenes), np.random.default_rng(0)
    areas = {"a": "red", "b": "cross", "c": "large", "d": "bluecircle", "nothing": "red"}
    signals = [np.zeros(120) if area == "nothing" else wanted[name].to_numpy() for area, name in areas.items()]
    values = np.repeat(np.stack(signals, axis=1), 6, axis=1) + 2 * rng.normal(size=(120, 30))  # 6 targets each
    order = rng.permutation(120)  # trials in another order than the table of scenes
    trials = pd.DataFrame(
        {"trial_id": [f"t{k}" for k in range(120)], "stimulus_id": scenes["stimulus_id"].to_numpy()[order]}
    )
    trials = trials.assign(session="1", run="1", repeat=0, onset_s=0.0)
    names = np.repeat(list(areas), 6)
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(30)], "kind": "vertex", "hemi": "L"})
    targets["roi"] = [[name] for name in names]
    responses = Responses(values[order].astype(np.float32), trials, targets, "z")
    truth = pd.DataFrame({"roi": names, "preference": [areas[name] for name in names]})
    found = _preferences(truth, responses, scenes).set_index("area")
    planted = found.drop(index="nothing")
    assert (planted["recovered_preference"] == planted["planted_preference"]).all()
    assert planted["decided"].all()
    assert not found.loc["nothing", "decided"]
