"""Whole results of fixed seeds as they were: features of images, videos, events and tables, and what they teach."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from refusals import refused
from seeded.encoding_cases import FEATURES, NETWORKS
from seeded.recorded import Record

from brainalign import features
from brainalign.features import images

RECORD = Record(Path(__file__).parent / "recorded.json")
RNG = np.random.default_rng
ROWS = (RNG(1).normal(size=(40, 6)) * [1, 2, 3, 1, 1, 0] + 2).astype(np.float32)
TRAIN = np.r_[3:20, 25:40]


class Kept:
    """Takes rows, of which some are there."""

    def __init__(self, pending: Any) -> None:
        self.pending = np.asarray(pending)
        self.found: list[Any] = []

    def write(self, rows: np.ndarray, values: dict[str, np.ndarray], grids: Any = None) -> None:
        self.found.append([rows, values, grids])


def extracted(extractor: Any, table: pd.DataFrame, pending: Any) -> list[Any]:
    """Return what is written for some rows, and for none."""
    some, none = Kept(pending), Kept([])
    for writer in (some, none):
        extractor.extract(table, writer)
    assert not none.found
    return some.found


def dictionaries() -> Any:
    found, atoms = [], []
    for coding, seed in (("topk", 2), ("matching_pursuit", 2), ("topk", 5)):
        one = features.SparseAutoencoder(9, 2, coding, epochs=3, batch_size=13, learning_rate=0.05, seed=seed)  # type: ignore[arg-type]
        one.fit(ROWS, rows=TRAIN)
        codes, quality = one.transform(ROWS), features.dictionary_quality(one, ROWS[20:25])
        found += [one.mean_, one.scale_, one.atoms_, codes, one.inverse_transform(codes), quality]
        found.append(one.fit_transform(ROWS[:20, :5]))
        atoms.append(features.SparseAutoencoder(9, 2, coding, epochs=1, seed=seed).fit(ROWS).atoms_)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        networks: list[Any] = [features.TopK(6, 9, 2), features.MatchingPursuit(6, 9, 3)]
    rows = torch.as_tensor(ROWS[:11])
    for network in networks:
        for silent in (0, 100, 1000):
            if hasattr(network, "silent"):
                network.silent[[1, 4, 7]] = silent
            network.zero_grad()
            loss = network.loss(rows)
            loss.backward()
            found += [loss, network.atoms.grad, network.encode(rows), getattr(network, "silent", None)]
    units = features.RandomUnits(5, 3).fit(ROWS, rows=TRAIN)
    return found, features.stability(atoms, 2), features.match_atoms(atoms[0], atoms[1][:7]), units.transform(ROWS)


def dynamics() -> Any:
    videos = RNG(2).normal(size=(7, 9, 4)).cumsum(axis=1) * [1, 2, 0.5, 0] + 3
    found = []
    for head in features.HEADS:
        for n_steps, n_context in ((0, 3), (5, 2)):
            model = features.LatentDynamics(head, n_context, 5, n_steps, batch_size=4, learning_rate=0.05, seed=2)
            model.fit(videos)
            found.append([model.losses_, model.simulate(videos[:2, :n_context], 4)])
    return found


def events() -> Any:
    times, values = np.sort(RNG(3).random(30)) * 12, RNG(4).normal(size=(30, 2))
    rows = np.arange(0.75, 14, 1.5)
    order = RNG(5).permutation(30)
    frames = RNG(6).random((4, 3, 5))
    return (
        [features.resample_events(times[order], RNG(7).random(30), values[order], rows, step) for step in (None, 0.4)],
        [features.resample_signal(times, values, rows, step) for step in (1.5, 0.1)],
        features.block_means(times[order], values, rows + 1, 1.5),
        [features.loudness(RNG(8).normal(size=n), 1000) for n in (403, 2)],
        features.picture_changes(frames),
    )


def reductions() -> Any:
    pca = features.PCA(3).fit(ROWS, rows=TRAIN)
    maps = np.stack([ROWS, ROWS[::-1] * 2], axis=2)
    options = [{"standardize": s, "maps": m, "n_components": n} for s in (True, False) for m in (True, False)
               for n in (None, 3, 99)]  # fmt: skip
    project = features.SparseProjection(30, 7, 2)
    values = torch.as_tensor(RNG(9).normal(size=(2, 3, 30)))
    return (
        [pca.mean_, pca.components_, pca.explained_variance_ratio_, pca.transform(ROWS)],
        [features.layer_inputs(some, TRAIN, **one) for one in options for some in (ROWS, maps)],  # type: ignore[arg-type]
        features.layer_inputs(np.ones((9, 2)), np.arange(5)),
        project(values),
    )


TABLE = pd.DataFrame({"stimulus_id": list("badc"), "texts": [["x"], ["y", "z"], ["w"], ["v"]]})


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
    ids = [one.describe() for one in made[1:3]]
    return (
        [extracted(one, TABLE, [3, 0, 2]) for one in made],
        many,
        ids,
        [int(f"0{one.digest():.7}", 16) for one in made[1:]],
    )


@cache
def pictures(folder: Path) -> pd.DataFrame:
    """Return images of several sizes; the fourth is grey and has a turn."""
    paths = []
    for k, size in enumerate([(40, 31), (37, 52), (300, 280), (33, 64)]):
        pixels = RNG(k).integers(0, 256, (5, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
        turned = Image.Exif()
        turned[0x0112] = 6 if k == 3 else 1
        paths.append(folder / f"{k}.png")
        (picture.convert("L") if k == 3 else picture).save(paths[-1], exif=turned)
    return pd.DataFrame({"stimulus_id": list("dcba"), "path": [str(path) for path in paths]})


def prepared(folder: Path) -> Any:
    table = pictures(folder)
    batch = features.load_image(table["path"][1])[None]
    resizes, crops = [None, 20, 90, (31, 18), (52, 37)], [None, (24, 24), (60, 30)]
    options = [{"resize": size, "crop": crop, "resample": kind} for size in resizes for crop in crops
               for kind in ("bicubic", "bilinear", "nearest")]  # fmt: skip
    scaled = features.Preprocessing(16, (16, 12), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), scale=255.0)
    found: list[Any] = [features.Preprocessing(**one)(batch) for one in options]  # type: ignore[arg-type]
    found += [int(scaled.digest()[:7], 16), features.load_images(table["path"], table["stimulus_id"], scaled)]
    return found, features.image_properties(table["path"], 3), features.low_level_vectors(table["path"]), (
        [features.low_level_vectors(table["path"][2:3]), [features.load_image(path) for path in table["path"]]]
    )  # fmt: skip


CODE = """
import torch
from torch import nn

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 4, 4)
        self.norm = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 6, 1), nn.Dropout())
        self.head = nn.Linear(6, 5)

    def forward(self, images):
        maps = self.norm(self.first(images))
        return {"x": self.head(maps.flatten(2).transpose(1, 2)), "y": None}

def tokens(seed):
    return Tokens()

def blocks():
    parts = (nn.Sequential(nn.Conv2d(2, 2, 1)) for _ in "ab")
    return nn.Sequential(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()), *parts)

def lists():
    network = nn.Sequential(nn.ModuleList([nn.Conv2d(3, 2, 1), nn.ModuleList([nn.ReLU()])]), nn.Flatten())
    network.forward = lambda images: network[0][0](images)
    return network
"""


def networks(folder: Path) -> Any:
    (folder / "made.py").write_text(CODE)
    table, found = pictures(folder), []
    for pooling in ("mean", "flatten", "tokens"):
        for options in (
            {},
            {"reduce": 3, "mean": [0.5, 0.4, 0.3], "std": (0.2, 0.3, 0.4)},
            {"layers": ("head", "first")},
        ):
            one = features.UserExtractor(
                f"{folder / 'made.py'}:tokens", image_size=12, pooling=pooling, batch_size=3, seed=2, **options  # type: ignore[arg-type]
            )  # fmt: skip
            found.append([one.layer_names, extracted(one, table, [0, 1, 3]), one.describe()["layers"]])
            found.append(one.module(one.layer_names[0])(torch.full((2, 3, 9, 14), 0.3)))
    for name in ("blocks", "lists"):
        one = features.UserExtractor(f"{folder / 'made.py'}:{name}", image_size=4, pooling="flatten")
        found.append([one.layer_names, one.features(torch.rand(1, 3, 4, 4, generator=torch.Generator()), ["0.0"])])
    pixels = features.PixelsExtractor(6, 2)
    module = features.image_features({"extractor": "pixels", "image_size": 6}, "pixels", "plain")
    stored = module(torch.cat([features.load_image(path)[None] for path in table["path"][:1]]))
    images.check_stored_features(module, table["path"][:1], stored.numpy(), np.ones(108))
    return found, extracted(pixels, table, [3, 1]), pixels.describe()["layers"], stored


def efficientnet() -> Any:
    images, found = torch.as_tensor(RNG(3).random((2, 3, 30, 44))).float(), []
    for options in ({"layers": ("stem", "block4", "head")}, {"n_draws": 2, "layers": ("block0",), "crop": False}):
        one = features.EfficientNetExtractor(weights="random", image_size=32, seed=2, **options)  # type: ignore[arg-type]
        found += [one.layer_names, one.features(images, one.layer_names)[0], one.describe()["preprocessing"]]
    return found, features.EfficientNetExtractor(weights="random", image_size=32).layer_names


def preparations() -> Any:
    """Return how images are prepared by files of processors, old and new."""
    made: list[dict[str, Any]] = [
        {}, {"size": 30}, {"size": 30, "feature_extractor_type": "CLIPFeature"}, {"do_resize": False, "size": 9},
        {"size": {"shortest_edge": 30}, "do_center_crop": True}, {"size": {"height": 3, "width": 4}, "resample": 3},
        {"size": {"shortest_edge": 30}, "do_center_crop": True, "crop_size": 20, "resample": 0},
        {"size": {"shortest_edge": 30}, "crop_pct": 0.875}, {"size": {"shortest_edge": 384}, "crop_pct": 0.875},
        {"size": 30, "image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.8},
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}, {"do_rescale": False, "do_pad": False},
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "do_normalize": False},
        {"rescale_factor": 1 / 127.5, "do_center_crop": True, "size": {"height": 9, "width": 8}},
    ]  # fmt: skip
    return [vars(features.preprocessing_of(one, "m")) for one in made]


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


CASES: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        dictionaries, dynamics, events, reductions, tables, prepared, networks, efficientnet, preparations, videos
    )
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_results_of_fixed_seeds_are_as_they_were(name: str, tmp_path: Path) -> None:
    RECORD.check_case(name, CASES[name], tmp_path)


@pytest.mark.parametrize("name", FEATURES)
def test_seeded_results_are_as_they_were(name: str) -> None:
    RECORD.check(f"seeded {name}", FEATURES[name](3))
