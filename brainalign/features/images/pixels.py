"""Pixels: the images themselves, as what every network is compared with and what a network can be trained on."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from brainalign.checks import BrainalignError
from brainalign.features.images.files import Preprocessing
from brainalign.features.images.network import Network, NetworkExtractor


class PixelsExtractor(NetworkExtractor):
    """One layer, "pixels": red, green and blue in [0, 1] at every place, as tokens with their grid.

    An image is resized to a square, whatever its proportions were, with antialiasing. Ridge regression on the tokens is
    what a network has to beat; an image takes 12 · image_size² bytes, so 10,000 of 64 × 64 pixels are 490 MB.

    Parameters
    ----------
    image_size : int
        Rows and columns of pixels.
    batch_size : int
        Images read at once.

    Raises
    ------
    BrainalignError
        If image_size or batch_size is not positive.

    Examples
    --------
    >>> PixelsExtractor(image_size=16).module("pixels")(torch.rand(2, 3, 40, 30)).shape
    torch.Size([2, 256, 3])
    """

    def __init__(self, image_size: int = 64, batch_size: int = 64) -> None:
        super().__init__(pooling="tokens", batch_size=batch_size)
        if image_size < 1:
            raise BrainalignError(f"image_size is {image_size}; it must be positive")
        self.image_size = image_size

    def build(self) -> Network:
        """Return a network that does nothing to the resized image."""
        module = nn.Sequential(OrderedDict(pixels=nn.Identity()))
        return Network(module, Preprocessing(resize=(self.image_size, self.image_size)), {"pixels": "pixels"})
