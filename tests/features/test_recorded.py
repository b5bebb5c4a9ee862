"""Whole results of fixed seeds as they were: features of videos and tables, and what they teach."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from seeded.encoding_cases import NETWORKS
from seeded.recorded import Record

from brainalign import features

RNG = np.random.default_rng
ROWS = (RNG(1).normal(size=(40, 6)) * [1, 2, 3, 1, 1, 0] + 2).astype(np.float32)
TABLE = pd.DataFrame({"stimulus_id": list("badc"), "texts": [["x"], ["y", "z"], ["w"], ["v"]]})


class Kept:
    """Takes rows, of which some are there."""

    def __init__(self, pending: Any) -> None:
        self.pending = np.asarray(pending)
        self.found: list[Any] = []

    def write(self, rows: np.ndarray, values: dict[str, np.ndarray], grids: Any = None) -> None:
        self.found.append([rows, values, grids])


def extracted(extractor: Any, table: pd.DataFrame, pending: Any) -> list[Any]:
    some, none = Kept(pending), Kept([])
    for writer in (some, none):
        extractor.extract(table, writer)
    assert not none.found
    return some.found


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
    many = features.RandomExtractor(2, 1).extract(pd.DataFrame({"stimulus_id": range(9)}), Kept([1]))
    ids, numbers = [one.describe() for one in made[1:3]], [int(f"0{one.digest():.7}", 16) for one in made[1:]]
    return [extracted(one, TABLE, [3, 0, 2]) for one in made], many, ids, numbers


def videos() -> Any:
    frames = RNG(4).random((2, 3, 4, 4))

    class Several:
        def features(self, frames: np.ndarray) -> dict[str, Any]:
            flat = frames.reshape(2, 3, -1)
            return {"a": torch.tensor(flat, requires_grad=True), "b": flat[..., :2].tolist()}

    for shape in ((2, 3), (2, 4, 5), (2, 3, 0), (3, 2, 2)):
        wrong = SimpleNamespace(features=lambda _, shape=shape: np.ones(shape))
        refused("a row of units for every frame", features.video_features, wrong, frames)
    alone, digest = features.load_video_model(f"{NETWORKS}:video", 3)
    function, source = features.find_function("json:dumps")
    return features.video_features(Several(), frames), alone.weight, len(digest), function([1, 2]), b"dumps" in source


CASES: dict[str, Callable[..., Any]] = {one.__name__: one for one in (dynamics, tables, videos)}


@pytest.mark.parametrize("name", CASES)
def test_results_of_fixed_seeds_are_as_they_were(name: str, recorded: Record, tmp_path: Path) -> None:
    recorded.check_case(name, CASES[name], tmp_path)
