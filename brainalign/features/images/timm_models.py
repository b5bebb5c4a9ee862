"""Networks of timm and torchvision, where these are installed (they are optional: no build of them is pinned)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from brainalign.checks import BrainalignError, did_you_mean, import_optional
from brainalign.features.images.files import Preprocessing
from brainalign.features.images.layers import block_names
from brainalign.features.images.network import Network, NetworkExtractor


@dataclass(eq=False, repr=False)
class TimmExtractor(NetworkExtractor):
    """Layers of a timm model, by the names of its modules.

    Parameters
    ----------
    model : str
        "resnet50.a1_in1k", "vit_small_patch14_dinov2", ...
    layers : sequence of str, optional
        Dotted names of modules; all main blocks where not given.
    pooling : {"cls", "mean", "flatten", "tokens"}
        See `NetworkExtractor`.
    random_weights : bool
        Untrained, from `seed`.
    channels_last : bool
        Whether maps come as (n, rows, columns, channels), as in timm's Swin models.
    batch_size : int
    reduce : int, optional
    seed : int
    device : str

    Examples
    --------
    >>> TimmExtractor("resnet18", layers=("layer3",)).module("layer3")
    """

    model: str
    random_weights: bool = False
    channels_last: bool = False

    def build(self) -> Network:
        """Return the model with the preprocessing of its evaluation.

        Raises
        ------
        BrainalignError
            If timm is not installed or does not know the model.
        """
        timm = import_optional("timm", "vision", "the extractor 'timm'")
        name = self.model.split(".")[0]
        if not timm.is_model(name):
            near = did_you_mean(name, timm.list_models())
            raise BrainalignError(f"timm has no model {self.model!r}{near}; see timm.list_models()")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            module = timm.create_model(self.model, pretrained=not self.random_weights)
        data: dict[str, Any] = timm.data.resolve_model_data_config(module)
        rows, columns = data["input_size"][1:]
        squash = data.get("crop_mode") == "squash"
        preprocessing = Preprocessing(
            (rows, columns) if squash else int(rows / data["crop_pct"]),
            None if squash else (rows, columns),
            tuple(data["mean"]),
            tuple(data["std"]),
            data["interpolation"],
        )
        has_cls = getattr(module, "cls_token", None) is not None
        n_prefix = int(getattr(module, "num_prefix_tokens", has_cls))
        return Network(
            module,
            preprocessing,
            {name: name for name in block_names(module)},
            n_prefix,
            has_cls,
            f"timm {timm.__version__} {self.model}",
            self.channels_last,
        )


@dataclass(eq=False, repr=False)
class TorchvisionExtractor(NetworkExtractor):
    """Layers of a torchvision model, by the names of its modules.

    Parameters
    ----------
    model : str
        "resnet50", "alexnet", ...
    weights : str
        "DEFAULT", another of the model's sets of weights ("IMAGENET1K_V1"), or "random".
    layers : sequence of str, optional
        Dotted names of modules; all main blocks where not given.
    pooling : {"mean", "flatten", "tokens"}
        See `NetworkExtractor`.
    channels_last : bool
        Whether maps come as (n, rows, columns, channels), as in torchvision's Swin models.
    batch_size : int
    reduce : int, optional
    seed : int
    device : str

    Examples
    --------
    >>> TorchvisionExtractor("alexnet", layers=("features.8",)).module("features.8")
    """

    model: str
    weights: str = "DEFAULT"
    channels_last: bool = False

    def build(self) -> Network:
        """Return the model with the preprocessing of its weights.

        Raises
        ------
        BrainalignError
            If torchvision is not installed or does not know the model or the weights.
        """
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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            module = models.get_model(self.model, weights=None if self.weights == "random" else weights)
        data = weights.transforms()
        resample: Literal["nearest", "bilinear", "bicubic"] = data.interpolation.value
        (size,), (crop,) = data.resize_size, data.crop_size
        preprocessing = Preprocessing(size, (crop, crop), tuple(data.mean), tuple(data.std), resample)
        has_cls = getattr(module, "class_token", None) is not None
        return Network(
            module,
            preprocessing,
            {name: name for name in block_names(module)},
            int(has_cls),
            has_cls,
            f"torchvision {torchvision.__version__} {self.model}",
            self.channels_last,
        )
