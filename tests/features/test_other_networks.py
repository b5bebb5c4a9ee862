import os
import sys
import types
from collections import OrderedDict
from enum import Enum
from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from features.conftest import Half
from refusals import refused
from torch import nn
from torch.nn import functional as F

from brainalign.features import EfficientNetExtractor, TimmExtractor, TorchvisionExtractor, UserExtractor, load_image

network = attrgetter("network")
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

def loud():
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    network[0].weight.data *= 1e6
    return network
"""


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
        wide = UserExtractor(f"{tmp_path / 'mine.py'}:wide", image_size=20, pooling="tokens")
        wide.extract(images, writer := new_rows(7))
        assert writer.grids == {"0": (16, 18)}

    def test_in_half_precision_features_are_nearly_the_same_or_refused(
        self, tmp_path: Path, images: pd.DataFrame, new_rows: type, monkeypatch
    ) -> None:
        exact, half = EfficientNetExtractor(layers=["block4"]), EfficientNetExtractor(layers=["block4"])
        half.mixed_precision = True
        assert half.digest() == exact.digest()  # on a processor nothing changes
        exact.extract(images, of_exact := new_rows(7))
        monkeypatch.setattr(torch, "autocast", Half)
        half.extract(images, of_half := new_rows(7))
        values, other = of_exact.layers["block4"], of_half.layers["block4"]
        assert 1e-4 < np.median((values - other).std(axis=0) / values.std(axis=0)) < 0.1
        loud = UserExtractor(f"{Path(self.reference(tmp_path)).parent / 'mine.py'}:loud", mixed_precision=True)
        refused(r"layer\(s\) '?0'? leave float16's range", loud.extract, images, new_rows(7))

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


def resnet_like() -> nn.Module:
    parts: dict[str, nn.Module] = {"conv1": nn.Conv2d(3, 4, 3, stride=2)}
    parts |= {f"layer{k}": nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()) for k in (1, 2, 3)}
    return nn.Sequential(OrderedDict(parts, pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(4, 2)))


class Swinlike(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(3, 6, 4, 4)])])
        self.last, self.output_fmt = nn.Identity(), "NHWC"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.blocks[0][0](images).permute(0, 2, 3, 1))


def test_timm(monkeypatch, images: pd.DataFrame, new_rows: type) -> None:
    refused(r"needs timm; install it with: pip install .brainalign\[vision\]", network, TimmExtractor("resnet18"))
    config = {"input_size": (3, 28, 28), "crop_pct": 0.875, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    config |= {"interpolation": "bicubic", "crop_mode": "center"}
    timm = types.ModuleType("timm")
    timm.__version__ = "1"
    timm.is_model = lambda name: name in {"resnet18", "swin"}
    timm.list_models = lambda: ["resnet18", "swin"]
    timm.create_model = lambda name, pretrained: resnet_like() if name.startswith("resnet18") else Swinlike()
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
    TimmExtractor("swin", layers=("last",)).extract(images, writer := new_rows(7))
    assert writer.layers["last"].shape == (7, 6)
    config |= {"crop_mode": "squash", "crop_pct": 0.7}
    assert (swin := TimmExtractor("swin")).network.preprocessing.resize == (40, 40)
    assert swin.layer_names == ("blocks.0.0",)


def test_torchvision(monkeypatch) -> None:
    refused("needs torchvision", network, TorchvisionExtractor("resnet18"))
    sizes = {"resize_size": [32], "crop_size": [28], "mean": [0.5] * 3, "std": [0.5] * 3}

    class Weights(Enum):
        IMAGENET1K_V1, DEFAULT = 1, 1

        def transforms(self) -> types.SimpleNamespace:
            return types.SimpleNamespace(**sizes, interpolation=types.SimpleNamespace(value="bilinear"))

    models = types.SimpleNamespace(list_models=lambda: ["resnet18"], get_model_weights=lambda name: Weights)
    models.get_model = lambda name, weights: resnet_like()
    torchvision = types.ModuleType("torchvision")
    torchvision.__version__, torchvision.models = "1", models
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    extractor = TorchvisionExtractor("resnet18", weights="random")
    assert extractor.module("layer3")(torch.rand(2, 3, 64, 50)).shape == (2, 4)
    again, other = (TorchvisionExtractor("resnet18", weights="random", seed=seed) for seed in (0, 1))
    assert extractor.digest() == again.digest() != other.digest()
    refused("has the weights", network, TorchvisionExtractor("resnet18", weights="V2"))
    refused("did you mean 'resnet18'", network, TorchvisionExtractor("resnet81"))


DATA = Path(os.environ.get("BRAINALIGN_DATA", "nowhere"), "kriegeskorte92")


@pytest.fixture(scope="module")
def trained() -> EfficientNetExtractor:
    return EfficientNetExtractor(image_size=64)


def same(images: torch.Tensor, weight: torch.Tensor, stride: int, groups: int) -> torch.Tensor:
    """TensorFlow's padding, written for even sizes: stride 1 pads evenly, stride 2 one pixel less on top."""
    k = weight.shape[-1]
    before, after = ((k - 1) // 2, (k - 1) // 2) if stride == 1 else ((k - 2) // 2, k - 2 - (k - 2) // 2)
    return F.conv2d(F.pad(images, (before, after, before, after)), weight, stride=stride, groups=groups)


def reference(weights: dict[str, torch.Tensor], images: torch.Tensor) -> dict[str, torch.Tensor]:
    """The network again, as plain functions of the weights."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        keys = "running_mean", "running_var", "weight", "bias"
        return F.batch_norm(x, *(weights[f"{name}.{key}"] for key in keys), eps=1e-3)

    strides, found = {1: 2, 3: 2, 5: 2, 11: 2}, {}
    x = found["stem"] = norm(same(images, weights["_conv_stem.weight"], 2, 1), "_bn0").clamp(0, 6)
    for k in range(16):
        name, y = f"_blocks.{k}", x
        if f"{name}._expand_conv.weight" in weights:
            y = norm(same(y, weights[f"{name}._expand_conv.weight"], 1, 1), f"{name}._bn0").clamp(0, 6)
        filters = weights[f"{name}._depthwise_conv.weight"]
        y = norm(same(y, filters, strides.get(k, 1), len(filters)), f"{name}._bn1").clamp(0, 6)
        y = norm(same(y, weights[f"{name}._project_conv.weight"], 1, 1), f"{name}._bn2")
        x = found[f"block{k}"] = x + y if x.shape == y.shape else y
    x = found["head"] = norm(same(x, weights["_conv_head.weight"], 1, 1), "_bn1").clamp(0, 6)
    found["logits"] = x.mean(dim=(2, 3)) @ weights["_fc.weight"].T + weights["_fc.bias"]
    return found


def test_equals_plain_functions_of_the_published_weights(trained: EfficientNetExtractor) -> None:
    images, module = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), trained.network.module
    assert sum(p.numel() for p in module.parameters()) == 4_652_008
    expected = reference(module.state_dict(), (images * 255 - 127) / 128)
    trained_features, _ = EfficientNetExtractor(image_size=64, crop=False).features(images, trained.layer_names)
    assert list(trained_features) == ["stem", *(f"block{k}" for k in range(16)), "head"]
    for layer, values in trained_features.items():
        np.testing.assert_allclose(values, expected[layer].mean(dim=(2, 3)), atol=2e-5, err_msg=layer)
    np.testing.assert_allclose(module((images * 255 - 127) / 128), expected["logits"], atol=1e-4)


class TestRandomWeights:
    def test_seeded_and_alive(self) -> None:
        torch.manual_seed(5)
        before = torch.get_rng_state()
        one, again, other = (EfficientNetExtractor(weights="random", image_size=64, seed=s) for s in (1, 1, 2))
        assert one.digest() == again.digest() != other.digest()
        assert torch.equal(torch.get_rng_state(), before)  # the global generator is nobody's business
        for layer, values in one.features(torch.rand(8, 3, 64, 64), one.layer_names)[0].items():
            assert 1e-2 < values.std() < 1e2, layer  # neither dead nor exploded at any depth
            assert values.std(dim=0).mean() > 1e-3, layer  # images still differ

    def test_other_weights_other_digest(self, trained: EfficientNetExtractor) -> None:
        assert trained.digest() != EfficientNetExtractor(weights="random", image_size=64).digest()
        assert trained.digest() != EfficientNetExtractor(image_size=96).digest()  # other preprocessing

    def test_choices(self) -> None:
        refused("did you mean 'imagenet'", EfficientNetExtractor, weights="imagnet")
        wrong = EfficientNetExtractor(layers=("block_12",))
        refused(r"no layer 'block_12'; did you mean 'block12'", wrong.module, "block_12")


@pytest.mark.skipif(not DATA.is_dir(), reason="needs kriegeskorte92 in $BRAINALIGN_DATA")
def test_human_it_on_the_92_images() -> None:
    """Spearman of 1 − Pearson RDMs with human IT; expected .40 for block 12 and .15 for block 0, ± .02."""
    from scipy.io import loadmat
    from scipy.spatial.distance import pdist
    from scipy.stats import spearmanr

    content = loadmat(DATA / "Kriegeskorte_Neuron2008_supplementalData.mat", squeeze_me=True, struct_as_record=False)
    human = next(rdm.RDM for rdm in content["RDMs_mIT_hIT_fig1"] if rdm.name.startswith("hIT"))
    pictures = torch.tensor(np.stack([s.image for s in content["stimuli_92objs"]])).permute(0, 3, 1, 2) / 255
    extractor = EfficientNetExtractor(layers=("block0", "block12"), pooling="flatten", crop=False)
    with torch.inference_mode():
        parts = [extractor.features(batch, extractor.layer_names)[0] for batch in pictures.split(8)]
    values = {layer: torch.cat([part[layer] for part in parts]).numpy() for layer in extractor.layer_names}
    scores = {layer: spearmanr(pdist(x, "correlation"), human).statistic for layer, x in values.items()}
    assert (scores["block12"], scores["block0"]) == (pytest.approx(0.40, abs=0.02), pytest.approx(0.15, abs=0.02))


def test_projections_are_those_of_scikit_learn(images: pd.DataFrame, new_rows: type) -> None:
    layers = ("block2", "block3", "head")
    EfficientNetExtractor(layers=layers, pooling="flatten", image_size=32).extract(images, whole := new_rows(7))
    extractor = EfficientNetExtractor(layers=layers, pooling="flatten", image_size=32, reduce=200, seed=4)
    extractor.extract(images, reduced := new_rows(7))
    for layer in layers:
        matrix = extractor._projections[layer].components_.to_dense().numpy()
        np.testing.assert_allclose(reduced.layers[layer], whole.layers[layer] @ matrix.T, atol=1e-4)
