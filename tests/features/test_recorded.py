"""Whole results of fixed seeds as they were: features of videos and tables, and what they teach."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import torch
from refusals import refused
from seeded.encoding_cases import NETWORKS
from seeded.recorded import as_they_were

from brainalign import features

RNG = np.random.default_rng
ROWS = (RNG(1).normal(size=(40, 6)) * [1, 2, 3, 1, 1, 0] + 2).astype(np.float32)
TABLE = pd.DataFrame({"stimulus_id": list("badc"), "texts": [["x"], ["y", "z"], ["w"], ["v"]]})


def extracted(extractor: Any, table: pd.DataFrame, pending: Any) -> list[Any]:
    some, none = (MagicMock(pending=np.asarray(rows)) for rows in (pending, []))
    for writer in (some, none):
        extractor.extract(table, writer)
    assert not none.write.called
    return [[*call.args, None][:3] for call in some.write.call_args_list]


def dynamics() -> Any:
    videos, found = RNG(2).normal(size=(7, 9, 4)).cumsum(axis=1) * [1, 2, 0.5, 0] + 3, []
    for head in features.HEADS:
        for n_steps, n_context in ((0, 3), (5, 2)):
            model = features.LatentDynamics(head, n_context, 5, n_steps, batch_size=4, learning_rate=0.05, seed=2)
            model.fit(videos)
            found.append([model.losses_, model.simulate(videos[:2, :n_context], 4)])
    return found


def tables(folder: Path) -> Any:
    np.savez(folder / "v.npz", vectors=ROWS[:5], stimulus_id=list("dabce"))
    np.save(folder / "v.npy", ROWS[:4])
    wide = pd.DataFrame(ROWS[:4, :3], columns=["p_a", "p_b", "q_a"]).assign(stimulus_id=list("cdab"))
    wide.to_csv(folder / "v.csv", index=False)
    made = [
        features.TableExtractor(folder / "v.npz"), features.TableExtractor(folder / "v.npy"),
        features.TableExtractor(folder / "v.csv", layers=["q_", "p_"]),
        features.OneHotExtractor(), features.RandomExtractor(5, 2, 3),
    ]  # fmt: skip
    one_of = pd.DataFrame({"stimulus_id": range(9)}), MagicMock(pending=np.array([1]))
    many = features.RandomExtractor(2, 1).extract(*one_of)
    ids, numbers = [one.describe() for one in made[1:3]], [int(f"0{one.digest():.7}", 16) for one in made[1:]]
    return [extracted(one, TABLE, [3, 0, 2]) for one in made], many, ids, numbers


def videos() -> Any:
    frames = RNG(4).random((2, 3, 4, 4))
    flat = frames.reshape(2, 3, -1)
    found = {"a": torch.tensor(flat, requires_grad=True), "b": flat[..., :2].tolist()}
    for shape in ((2, 3), (2, 4, 5), (2, 3, 0), (3, 2, 2)):
        wrong = SimpleNamespace(features=lambda _, shape=shape: np.ones(shape))
        refused("a row of units for every frame", features.video_features, wrong, frames)
    alone, digest = features.load_video_model(f"{NETWORKS}:video", 3)
    function, source = features.find_function("json:dumps")
    several = SimpleNamespace(features=lambda _: found)
    return features.video_features(several, frames), alone.weight, len(digest), function([1, 2]), b"dumps" in source


test_results_of_fixed_seeds = as_they_were(dynamics, tables, videos)
