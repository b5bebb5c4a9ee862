"""A layer of an image network as a function that gradients pass through, checked before anything relies on it."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainalign.checks import BrainalignError, check_shape
from brainalign.features.images.files import load_image

TOLERANCE = 0.01  # of the spread of a feature: a GPU's sums, and files that were read one by one


class ImageFeatures(nn.Module):
    """Images (n, 3, rows, columns) in [0, 1] to flat features (n, n_features) of one layer.

    Parameters
    ----------
    extractor : Extractor
    layer : str
    name : str
        Of the model, for messages.
    """

    def __init__(self, extractor: Any, layer: str, name: str) -> None:
        super().__init__()
        if not hasattr(extractor, "module"):
            raise BrainalignError(
                f"{name} ({type(extractor).__name__}) is no torch network, so no gradient of it reaches an image; name "
                "an image network"
            )
        self.name = name
        self.layer = layer
        self.inner = extractor.module(layer)
        parameter = next(self.inner.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        image = torch.full((1, 3, 32, 32), 0.5, device=self.device, requires_grad=True)
        with torch.enable_grad():
            total = self(image).sum()
            reaches = total.requires_grad and torch.autograd.grad(total, image, allow_unused=True)[0] is not None
        if not reaches:
            raise BrainalignError(
                f"no gradient of layer {layer!r} of {name} reaches the image; leave out no_grad, detach and numpy in "
                "the network's forward, or name another network"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return (n, n_features)."""
        return self.inner(images.to(self.device)).flatten(1)


def image_features(
    model: Mapping[str, Any], layer: str, name: str, device: str = "cpu", seed: int = 0
) -> ImageFeatures:
    """Return a layer of a model of the configuration, as the stage extract makes it, on another device.

    `model` holds its extractor, an entry of `EXTRACTORS`, and the arguments of its constructor.
    """
    from brainalign.features import EXTRACTORS  # the menu imports this file's folder

    options = dict(model)
    kind = EXTRACTORS[options.pop("extractor")]
    known = inspect.signature(kind).parameters
    options |= {name: value for name, value in {"seed": seed, "device": device}.items() if name in known}
    return ImageFeatures(kind(**options), layer, name)


def check_stored_features(
    module: ImageFeatures, paths: Sequence[str], stored: NDArray[np.floating], spread: NDArray[np.floating]
) -> None:
    """Raise where a network does not compute what was extracted with it: other weights, or other preprocessing.

    For a few image files, of any size, features are compared with their rows of the artifact, `stored` (n_images,
    n_features): they may differ by a hundredth of `spread`, the standard deviation of every feature over all images.
    """
    with torch.no_grad():
        found = torch.cat([module(load_image(path)[None]) for path in paths]).cpu().numpy()
    what = f"layer {module.layer!r} of {module.name}"
    check_shape(what, found.shape, stored.shape, "what was extracted", "extract it again")
    worst = float(np.abs(found - stored).max() / max(float(np.sqrt((spread**2).mean())), 1e-12))
    if worst > TOLERANCE:
        raise BrainalignError(
            f"{what} gives other features than were extracted (up to {worst:.2g} standard deviations); its weights or "
            "files have changed, or mixed_precision rounded them: delete the features and run snakemake again"
        )
