"""A world with planted truth from files to the page: encoders of tokens find it, and what stands beside does not.

It is written as a study of images in real formats, and its tokens come from a network of the user's. In full, encoders
are held against it and against fields that move in tests/recovery: test_routing.py, test_shifting_fields.py.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from jobs import config_of, run_all
from PIL import Image
from worlds.objects import OBJECT_ROIS, object_world

from brainalign.arrays import Arrays
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.statistics import normalized_r2

N_REPEATS = 3  # of test images
N_BITS = 16
COLOURS = np.array([[220, 60, 50], [60, 160, 60], [60, 90, 220], [230, 190, 40]])

NETWORK = '''"""In place of a network: tokens of the simulated world, looked up by the number that an image carries."""

import torch
from torch import nn
from worlds.objects import object_world


class Lookup(nn.Module):
    def __init__(self, values):
        super().__init__()
        self.register_buffer("values", torch.as_tensor(values, dtype=torch.float32))

    def forward(self, images):
        bits = (images[:, 0, 0, :16] * 255).round().long() % 2
        return self.values[(bits * 2 ** torch.arange(16)).sum(dim=1)]


class World(nn.Module):
    def __init__(self, **tables):
        super().__init__()
        for name, values in tables.items():
            self.add_module(name, Lookup(values))

    def forward(self, images):
        return [part(images) for part in self.children()]


def maps(tokens, grid):
    return tokens.swapaxes(1, 2).reshape(len(tokens), -1, *grid)


def objects():
    world = object_world({n_train}, {n_test}, seed={seed})
    return World(attributes=maps(world.tokens[:, :, 4:], world.grid), tokens=maps(world.tokens, world.grid))
'''


@dataclass(frozen=True)
class Written:
    """The world as a study on disk: responses of targets in regions, test images shown three times."""

    folder: Path
    signal: np.ndarray
    regions: np.ndarray
    n_train: int
    cells: np.ndarray  # where objects lie in each image

    def write(self, pictures: np.ndarray) -> None:
        """Write everything; pictures (n_images, size, size, 3) get their number into the last bits of the first row."""
        (self.folder / "images").mkdir(parents=True)
        n = len(self.signal)
        bits = np.arange(n)[:, None] >> np.arange(N_BITS) & 1
        pictures[:, 0, :N_BITS, 0] = pictures[:, 0, :N_BITS, 0] // 2 * 2 + bits
        ids = [f"image{number:04d}" for number in range(n)]
        for name, picture in zip(ids, pictures, strict=True):
            Image.fromarray(picture).save(self.folder / "images" / f"{name}.png", compress_level=1)
        test = np.arange(n) >= self.n_train
        images = pd.DataFrame({"stimulus_id": ids, "path": [f"images/{name}.png" for name in ids]})
        images["set"] = np.where(test, "shared", "unique")
        images.to_csv(self.folder / "images.tsv", sep="\t", index=False)
        shown = np.concatenate([np.arange(n), *[np.flatnonzero(test)] * (N_REPEATS - 1)])
        rng = np.random.default_rng(1)
        shown = rng.permutation(shown)
        responses = self.signal[shown] + rng.normal(size=(len(shown), self.signal.shape[1]))
        trials = pd.DataFrame({"stimulus_id": np.array(ids)[shown], "session": "1"})
        trials.insert(0, "trial_id", [f"t{row:05d}" for row in range(len(trials))])
        trials.to_csv(self.folder / "trials.tsv", sep="\t", index=False)
        np.save(self.folder / "responses.npy", responses.astype(np.float32))
        targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(len(self.regions))], "roi": self.regions})
        targets.to_csv(self.folder / "targets.csv", index=False)
        files = {"format": "array", "values": "responses.npy", "trials": "trials.tsv", "targets": "targets.csv"}
        descriptor = {
            "name": "objects",
            "stimuli": "images.tsv",
            "recordings": {"01": files},
            "splits": {"shared": {"column": "set", "value": "shared", "near_duplicates": "warning"}},
        }
        (self.folder / "objects.yaml").write_text(yaml.safe_dump(descriptor, sort_keys=False))


def write_objects(folder: Path, n_train: int, n_test: int, seed: int) -> Written:
    """Write the world of objects; images show a coloured square where each object lies."""
    world = object_world(n_train, n_test, seed=seed)
    pictures = np.full((n_train + n_test, 64, 64, 3), 128, dtype=np.uint8)
    for picture, cells in zip(pictures, world.cells, strict=True):
        for cell, colour in zip(cells, COLOURS, strict=True):
            row, column = divmod(int(cell), 8)
            picture[8 * row + 1 : 8 * row + 7, 8 * column + 1 : 8 * column + 7] = colour
    written = Written(folder, world.signal, world.roi, n_train, world.cells)
    written.write(pictures)
    return written


@dataclass(frozen=True)
class Results:
    root: Path
    world: Written
    ceiling: np.ndarray

    def path(self, suffix: str, method: str) -> Path:
        labels = {"subject": "01", "model": "objects", "method": method}
        return artifact_path(self.root / "results", "objects", suffix, **labels)

    def table(self, suffix: str, method: str) -> pd.DataFrame:
        return load(self.path(suffix, method), pd.DataFrame)

    def reached(self, method: str, regions: np.ndarray, column: str = "r") -> float:
        """Return the mean of r|r| / ceiling over the targets of some regions."""
        scores = self.table("scores", method)
        scores = scores[scores["layer"] == "tokens"]
        return float(normalized_r2(scores[column].to_numpy(), self.ceiling)[regions].mean())

    def beside(self, method: str, encoder: str, regions: list[str]) -> float:
        """Return about the same of what stands beside a method, of which only means of r over regions are kept."""
        rows = self.table("baselines", method).set_index(["layer", "encoder", "group"])
        r = np.array([rows.loc[("tokens", encoder, region), "r"] for region in regions])
        ceilings = [self.ceiling[self.world.regions == region].mean() for region in regions]
        return float(normalized_r2(r, np.array(ceilings)).mean())

    def page(self) -> str:
        return (self.root / "results" / "objects" / "sub-01.html").read_text(encoding="utf-8")


def run(root: Path, sizes: dict[str, int], methods: dict[str, object], seed: int) -> Results:
    world = write_objects(root / "objects", **sizes, seed=seed)
    function = root / "network.py"
    content = NETWORK
    for name, value in (sizes | {"seed": seed}).items():
        content = content.replace(f"{{{name}}}", str(value))
    function.write_text(content)
    network = {"extractor": "user", "pooling": "tokens", "layers": ["attributes", "tokens"], "batch_size": 200}
    models = {"objects": network | {"function": f"{function}:objects", "image_size": 64}}
    config = config_of(
        root / "objects" / "objects.yaml", results=str(root / "results"), models=models, methods=methods,
        encode={"permutations": 200, "draws": 200},
        compare={"permutations": 1, "draws": 100, "comparisons": ["cosine"]},  # nothing is asked of it here
    )  # fmt: skip
    run_all(config)
    signal = world.signal[world.n_train :].var(axis=0)
    return Results(root, world, signal / (signal + 1 / N_REPEATS))


def kinds(world: Written) -> dict[str, np.ndarray]:
    """Return which targets lie in regions of each kind."""
    of = np.array([OBJECT_ROIS[region][0] for region in world.regions])
    return {kind: of == kind for kind in ("what", "where", "whatwhere")}


def landed(results: Results) -> float:
    """Return the share of shown test images and regions in which attention is largest on the object it follows."""
    path = results.path("fields", "routing")
    about, fields = load_sidecar(path)["details"], load(path, Arrays)["tokens"]
    cells = results.world.cells
    hits = []
    for column, stimulus in enumerate(about["stimuli"]):
        number = int(stimulus.removeprefix("image"))
        for row, region in enumerate(about["layers"]["tokens"]["regions"]):
            kind, which = OBJECT_ROIS.get(region, ("", 0))
            if kind == "what" or (kind == "whatwhere" and cells[number, which] % 8 < 4):
                hits.append(fields[column, row].argmax() == cells[number, which])
    return float(np.mean(hits))


TRAINING = {"device": "cpu", "targets": "all", "validation": 1 / 6}
FIELD = TRAINING | {"encoder": "factorized", "baselines": []}


def test_objects_reduced(tmp_path: Path) -> None:
    """Fewer images and epochs: what is read is found, by the layer that holds it, and attention lands on it."""
    routing = TRAINING | {"encoder": "routing", "epochs": 16, "baselines": ["second_order"], "ensemble": True}
    methods = {"routing": routing, "field": FIELD | {"epochs": 8}}
    results = run(tmp_path, {"n_train": 900, "n_test": 120}, methods, seed=0)
    where = kinds(results.world)
    for kind, mask in where.items():
        assert results.reached("routing", mask) >= 0.75, kind
        assert abs(results.reached("routing", mask, "control_r")) < 0.03
    assert results.reached("field", where["what"]) <= 0.2
    assert results.beside("routing", "ridge, products of channels", ["what0", "what1"]) > 0.4
    assert landed(results) >= 0.9
    ensemble = results.table("ensemble", "routing")
    weights = ensemble.set_index(["layer", "group"])["weight"]
    # Attributes alone cannot tell objects apart.
    assert weights["tokens"][["what0", "what1", "what2", "what3"]].min() > 0.8
    np.testing.assert_allclose(weights["tokens"] + weights["attributes"], 1, atol=1e-5)
    assert ensemble.loc[ensemble["layer"] == "all layers, ensemble", "p_fwer"].max() < 0.02
    page = results.page()
    for part in ('id="encoders"', "Where objects (routing) attends", "Layers that objects (routing) reads"):
        assert part in page
