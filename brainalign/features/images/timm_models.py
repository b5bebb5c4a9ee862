"""Networks of timm and torchvision, where these are installed (they are optional: no build of them is pinned)."""

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from brainalign.checks import BrainalignError, did_you_mean, import_optional
from brainalign.devices import seeded
from brainalign.features.images.files import Preprocessing
from brainalign.features.images.network import Network, NetworkExtractor, main_blocks
from brainalign.features.videos import find_function


@dataclass(eq=False, repr=False)
class TimmExtractor(NetworkExtractor):
    """Layers of a timm model, by the names of its modules.

    Parameters
    ----------
    model : str
        "resnet50.a1_in1k", "vit_small_patch14_dinov2", ...
    random_weights : bool
        Untrained, from `seed`.
    channels_last : bool
        Whether maps come as (n, rows, columns, channels); of models that say so themselves (Swin) it is known.
    layers, pooling, batch_size, reduce, seed, device
        As of `NetworkExtractor`; all main blocks where no layers are given.

    Examples
    --------
    >>> TimmExtractor("resnet18", layers=("layer3",)).module("layer3")
    """

    model: str
    random_weights: bool = False
    channels_last: bool = False

    def build(self) -> Network:
        """Return the model with the preprocessing of its evaluation."""
        timm = import_optional("timm", "vision", "the extractor 'timm'")
        name = self.model.split(".")[0]
        if not timm.is_model(name):
            near = did_you_mean(name, timm.list_models())
            raise BrainalignError(f"timm has no model {self.model!r}{near}; see timm.list_models()")
        with seeded(self.seed):
            module = timm.create_model(self.model, pretrained=not self.random_weights)
        data: dict[str, Any] = timm.data.resolve_model_data_config(module)
        rows, columns = data["input_size"][1:]
        edges = int(rows / data["crop_pct"]), int(columns / data["crop_pct"])
        preprocessing = Preprocessing(
            edges if data.get("crop_mode") == "squash" else edges[0],
            (rows, columns),
            tuple(data["mean"]),
            tuple(data["std"]),
            data["interpolation"],
        )
        has_cls = getattr(module, "cls_token", None) is not None
        n_prefix = int(getattr(module, "num_prefix_tokens", has_cls))
        about = f"timm {timm.__version__} {self.model}"
        last = self.channels_last or getattr(module, "output_fmt", "") == "NHWC"
        return Network(module, preprocessing, main_blocks(module), n_prefix, has_cls, about, last)


@dataclass(eq=False, repr=False)
class TorchvisionExtractor(NetworkExtractor):
    """Layers of a torchvision model, by the names of its modules.

    Parameters
    ----------
    model : str
        "resnet50", "alexnet", ...
    weights : str
        "DEFAULT", another of the model's sets of weights ("IMAGENET1K_V1"), or "random".
    channels_last : bool
        Whether maps come as (n, rows, columns, channels); of torchvision's Swin models it is known.
    layers, pooling, batch_size, reduce, seed, device
        As of `NetworkExtractor`; all main blocks where no layers are given.

    Examples
    --------
    >>> TorchvisionExtractor("alexnet", layers=("features.8",)).module("features.8")
    """

    model: str
    weights: str = "DEFAULT"
    channels_last: bool = False

    def build(self) -> Network:
        """Return the model with the preprocessing of its weights."""
        torchvision = import_optional("torchvision", "vision", "the extractor 'torchvision'")
        models = torchvision.models
        if self.model not in models.list_models():
            near = did_you_mean(self.model, models.list_models())
            raise BrainalignError(f"torchvision has no model {self.model!r}{near}; see its models.list_models()")
        menu = models.get_model_weights(self.model)
        chosen = "DEFAULT" if self.weights == "random" else self.weights
        if chosen not in menu.__members__:
            raise BrainalignError(f"{self.model} has the weights {[*menu.__members__, 'random']}; got {self.weights!r}")
        weights = menu[chosen]
        with seeded(self.seed):
            module = models.get_model(self.model, weights=None if self.weights == "random" else weights)
        data = weights.transforms()
        resample: Literal["nearest", "bilinear", "bicubic"] = data.interpolation.value
        (size,), (crop,) = data.resize_size, data.crop_size
        preprocessing = Preprocessing(size, (crop, crop), tuple(data.mean), tuple(data.std), resample)
        has_cls = getattr(module, "class_token", None) is not None
        about = f"torchvision {torchvision.__version__} {self.model}"
        last = self.channels_last or self.model.startswith("swin")
        return Network(module, preprocessing, main_blocks(module), int(has_cls), has_cls, about, last)


@dataclass(eq=False, repr=False)
class UserExtractor(NetworkExtractor):
    """Layers of a network that a function of yours returns.

    The function takes nothing, or the keyword `seed`, and returns an `nn.Module` of images (n, 3, image_size,
    image_size), normalised by `mean` and `std`. Any of its modules can be a layer, so a model that is no torch network
    can be wrapped in a module with one part.

    Parameters
    ----------
    function : str
        "module:function" of an installed module, or "path/to/file.py:function".
    image_size : int
        Pixels of the square that the whole image is resized to.
    mean, std : one value per channel
        Of the image in [0, 1].
    layers, pooling, batch_size, reduce, seed, device
        As of `NetworkExtractor`; all main blocks where no layers are given.

    Examples
    --------
    >>> UserExtractor("my_models:build", layers=("conv3",)).module("conv3")
    """

    function: str
    image_size: int = 224
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def build(self) -> Network:
        """Build the network with the user's function; its source file takes part in the digest.

        Raises
        ------
        BrainalignError
            If the function cannot be found, or does not return a module.
        """
        function, source = find_function(self.function)
        options = {"seed": self.seed} if "seed" in inspect.signature(function).parameters else {}
        with seeded(self.seed):
            module = function(**options)
        if not isinstance(module, nn.Module):
            raise BrainalignError(f"{self.function} returned {type(module).__name__}; it must return a torch nn.Module")
        size = (self.image_size, self.image_size)
        preprocessing = Preprocessing(resize=size, mean=_three(self.mean), std=_three(self.std))
        # The code of forward() is as much a part of the features as the weights are.
        return Network(module, preprocessing, main_blocks(module), description=hashlib.sha256(source).hexdigest())


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) != 3:
        raise BrainalignError(f"mean and std have a value per channel (red, green, blue); got {values!r}")
    return float(values[0]), float(values[1]), float(values[2])
