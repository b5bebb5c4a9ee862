import sys
import types
from enum import Enum
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from refusals import refused
from torch import nn

from brainalign.features import TimmExtractor, TorchvisionExtractor, UserExtractor, load_image

CODE = """
import torch
from torch import nn

def build(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(1, 2))

def nested():
    return nn.Sequential(build(0), nn.Sequential(nn.Dropout(), nn.Linear(2, 2)), nn.ReLU())

def wide():
    return nn.Sequential(nn.Conv2d(3, 4, (5, 3)))

def number():
    return 3
"""


def network(extractor: object) -> object:
    return extractor.network


class TestUser:
    def reference(self, tmp_path: Path) -> str:
        (tmp_path / "mine.py").write_text(CODE)
        return f"{tmp_path / 'mine.py'}:build"

    def test_any_module(self, tmp_path: Path, images: pd.DataFrame, new_rows: type) -> None:
        extractor = UserExtractor(self.reference(tmp_path), layers=("0", "2"), image_size=20, mean=[0.5] * 3, seed=3)
        extractor.extract(images, writer := new_rows(7))
        network = extractor.network.module
        picture = extractor.network.preprocessing(load_image(images["path"][4])[None])
        assert picture.shape == (1, 3, 20, 20)
        first = network[0](picture)  # before the ReLU that works in place
        assert (first < 0).any()
        np.testing.assert_allclose(writer.layers["0"][4], first.mean(dim=(2, 3))[0], atol=1e-5)
        np.testing.assert_allclose(writer.layers["2"][4], network[2](first.relu()).mean(dim=(2, 3))[0], atol=1e-5)
        wide = UserExtractor(f"{tmp_path / 'mine.py'}:wide", layers=("0",), image_size=20, pooling="tokens")
        wide.extract(images, writer := new_rows(7))
        assert writer.grids == {"0": (16, 18)}

    def test_the_code_is_part_of_the_digest(self, tmp_path: Path) -> None:
        reference = self.reference(tmp_path)
        before = UserExtractor(reference, layers=("0",)).digest()
        assert before != UserExtractor(reference, layers=("0",), seed=1).digest()
        (tmp_path / "mine.py").write_text(CODE + "# another forward\n")
        assert before != UserExtractor(reference, layers=("0",)).digest()

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        reference = self.reference(tmp_path)
        for wrong, message in (
            ("mine", "must be 'module:function'"),
            ("nowhere_at_all:build", "cannot import 'nowhere_at_all'"),
            (str(tmp_path / "none.py:build"), "no file"),
            (reference.replace("build", "biuld"), "did you mean 'build'"),
            (reference.replace("build", "number"), r"returned int; it must return a torch nn\.Module"),
        ):
            refused(message, network, UserExtractor(wrong))


class ResNetLike(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, stride=2)
        self.layer1, self.layer2, self.layer3 = (nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()) for _ in range(3))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.layer3(self.layer2(self.layer1(self.conv1(images))))).flatten(1))


class Swinlike(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Conv2d(3, 6, 4, 4)])
        self.last = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.blocks[0](images).permute(0, 2, 3, 1))


def test_timm(monkeypatch, images: pd.DataFrame, new_rows: type) -> None:
    refused(r"needs timm; install it with: pip install .brainalign\[vision\]", network, TimmExtractor("resnet18"))
    config = {"input_size": (3, 28, 28), "crop_pct": 0.875, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    config |= {"interpolation": "bicubic", "crop_mode": "center"}
    timm = types.ModuleType("timm")
    timm.__version__ = "1"
    timm.is_model = lambda name: name in {"resnet18", "swin"}
    timm.list_models = lambda: ["resnet18", "swin"]
    timm.create_model = lambda name, pretrained: ResNetLike() if name.startswith("resnet18") else Swinlike()
    timm.data = types.SimpleNamespace(resolve_model_data_config=lambda module: config)
    monkeypatch.setitem(sys.modules, "timm", timm)
    extractor = TimmExtractor("resnet18.a1_in1k", random_weights=True)
    again, other = (TimmExtractor("resnet18.a1_in1k", random_weights=True, seed=seed) for seed in (0, 1))
    assert extractor.digest() == again.digest() != other.digest()
    assert extractor.layer_names == ("conv1", "layer1", "layer2", "layer3", "fc")
    assert (extractor.network.preprocessing.resize, extractor.network.preprocessing.crop) == (32, (28, 28))
    extractor.extract(images, writer := new_rows(7))
    assert writer.layers["layer2"].shape == (7, 4)
    refused("did you mean 'resnet18'", network, TimmExtractor("resnet8"))
    swin = TimmExtractor("swin", layers=("last",), channels_last=True)
    swin.extract(images, writer := new_rows(7))
    assert writer.layers["last"].shape == (7, 6)


def test_torchvision(monkeypatch) -> None:
    refused("needs torchvision", network, TorchvisionExtractor("resnet18"))
    sizes = {"resize_size": [32], "crop_size": [28], "mean": [0.5] * 3, "std": [0.5] * 3}
    transforms = types.SimpleNamespace(**sizes, interpolation=types.SimpleNamespace(value="bilinear"))

    class Weights(Enum):
        IMAGENET1K_V1 = 1
        DEFAULT = 1

        def transforms(self) -> types.SimpleNamespace:
            return transforms

    models = types.SimpleNamespace(
        list_models=lambda: ["resnet18"],
        get_model_weights=lambda name: Weights,
        get_model=lambda name, weights: ResNetLike(),
    )
    torchvision = types.ModuleType("torchvision")
    torchvision.__version__, torchvision.models = "1", models
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    extractor = TorchvisionExtractor("resnet18", weights="random")
    assert extractor.module("layer3")(torch.rand(2, 3, 64, 50)).shape == (2, 4)
    again, other = (TorchvisionExtractor("resnet18", weights="random", seed=seed) for seed in (0, 1))
    assert extractor.digest() == again.digest() != other.digest()
    refused("has the weights", network, TorchvisionExtractor("resnet18", weights="V2"))
    refused("did you mean 'resnet18'", network, TorchvisionExtractor("resnet81"))
