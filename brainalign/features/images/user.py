"""A network of your own: any function that returns a torch module."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from brainalign.checks import BrainalignError
from brainalign.features.images.files import Preprocessing
from brainalign.features.images.layers import block_names
from brainalign.features.images.network import Network, NetworkExtractor
from brainalign.features.user_functions import find_function


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
    layers : sequence of str, optional
        Dotted names of modules; all main blocks where not given.
    pooling : {"mean", "flatten", "tokens"}
        See `NetworkExtractor`.
    image_size : int
        Pixels of the square that the whole image is resized to.
    mean, std : one value per channel
        Of the image in [0, 1].
    batch_size : int
    reduce : int, optional
    seed : int
    device : str

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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            module = function(**options)
        if not isinstance(module, nn.Module):
            raise BrainalignError(f"{self.function} returned {type(module).__name__}; it must return a torch nn.Module")
        size = (self.image_size, self.image_size)
        preprocessing = Preprocessing(resize=size, mean=_three(self.mean), std=_three(self.std))
        blocks = {name: name for name in block_names(module)}
        # The code of forward() is as much a part of the features as the weights are.
        return Network(module, preprocessing, blocks, description=hashlib.sha256(source).hexdigest())


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) != 3:
        raise BrainalignError(f"mean and std have a value per channel (red, green, blue); got {values!r}")
    return float(values[0]), float(values[1]), float(values[2])
