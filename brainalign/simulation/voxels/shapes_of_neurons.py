"""Neurons that answer to the pixels of an image, for images nobody drew: what a region would really have done.

Each looks for the largest coloured thing in the picture and measures it: its hue, how well it fits a shape's outline,
how large it is and where. The neurons know nothing of how an image was made, and no encoder sees inside them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.simulation.voxels.scenes import COLOURS, SHAPES

Floats = NDArray[np.float64]

CHROMA = 0.28  # of a pixel that belongs to a thing: about half of what the palest colour has, so that edges are halved
HUE_WIDTH, SHAPE_WIDTH, LARGEST = 0.08, 0.22, 0.35
FITS, STRAY = 0.75, 0.1  # a valid image: overlap with the best shape at least, coloured area outside of it at most
SUPERSAMPLING = 2


@dataclass(frozen=True)
class Things:
    """The largest coloured thing of each image.

    Attributes
    ----------
    hue : array (n_images,)
        In [0, 1), of its mean colour; saturation likewise in [0, 1].
    saturation : array (n_images,)
    area : array (n_images,)
        Share of the image.
    x, y : array (n_images,)
        Centre of gravity from the upper left corner, shares of the image.
    overlap : DataFrame (n_images)
        By shape: intersection over union with that shape, of the same area at the same place.
    stray : array (n_images,)
        Share of the coloured pixels that lie outside of it.
    """

    hue: Floats
    saturation: Floats
    area: Floats
    x: Floats
    y: Floats
    overlap: pd.DataFrame
    stray: Floats

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Whether an image shows one clear shape: overlap at least .75, stray area at most .1."""
        return np.asarray((self.overlap.max(axis=1) >= FITS) & (self.stray <= STRAY))


def measure_things(images: NDArray[np.uint8] | NDArray[np.floating]) -> Things:
    """Measure the largest coloured thing of every image; of an image without one, all is 0.

    Images are (n_images, size, size, 3), of uint8, or of floats in [0, 1].
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.shape[1] != images.shape[2]:
        raise BrainalignError(f"neurons look at images (n, size, size, 3); got the shape {images.shape}")
    values = images / 255.0 if images.dtype == np.uint8 else images.astype(float)
    chroma = values.max(axis=3) - values.min(axis=3)
    coloured = chroma > CHROMA
    thing = np.stack([_largest(mask) for mask in coloured])
    n_pixels, size = thing.sum(axis=(1, 2)), images.shape[1]
    place, some = (np.arange(size) + 0.5) / size, np.maximum(n_pixels, 1)
    x = (thing * place).sum(axis=(1, 2)) / some
    y = (thing * place[:, None]).sum(axis=(1, 2)) / some
    # The darker part of a striped thing has its hue too, but says less of it.
    weight = (thing * chroma)[..., None]
    colour = (weight * values).sum(axis=(1, 2)) / np.maximum(weight.sum(axis=(1, 2)), 1e-9)
    area = n_pixels / size**2
    overlap = pd.DataFrame({name: _overlap(name, thing, x, y, area) for name in SHAPES})
    stray = 1 - n_pixels / np.maximum(coloured.sum(axis=(1, 2)), 1)
    return Things(*_hue(colour), area, x, y, overlap, stray)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import label

    parts, n_parts = label(mask)
    return np.asarray(parts == 1 + np.bincount(parts.ravel())[1:].argmax()) if n_parts else mask


def _hue(colours: Floats) -> tuple[Floats, Floats]:
    """Return hue and saturation of colours (n, 3), each in [0, 1]."""
    from matplotlib.colors import rgb_to_hsv

    hsv = rgb_to_hsv(colours.clip(0, 1))
    return hsv[:, 0], hsv[:, 1]


def _overlap(name: str, thing: NDArray[np.bool_], x: Floats, y: Floats, area: Floats) -> Floats:
    """Return the intersection over union of things and a shape of their area around their centre of gravity."""
    axis = np.linspace(-1.2, 1.2, 481, dtype=np.float32)
    u, v = np.meshgrid(axis, axis)
    inside = SHAPES[name](u, v)  # of radius 1
    off_x, off_y = float(u[inside].mean()), float(v[inside].mean())
    radius = np.sqrt(np.maximum(area, 1e-6) / float(inside.mean() * 2.4**2))
    size = thing.shape[1]
    place = (np.arange(size * SUPERSAMPLING) + 0.5) / (size * SUPERSAMPLING)
    u = (place[None, None, :] - x[:, None, None]) / radius[:, None, None] + off_x
    v = (place[None, :, None] - y[:, None, None]) / radius[:, None, None] + off_y
    u, v = np.broadcast_arrays(u.astype(np.float32), v.astype(np.float32))
    template = SHAPES[name](u, v).reshape(len(thing), size, SUPERSAMPLING, size, SUPERSAMPLING).mean(axis=(2, 4)) >= 0.5
    union = (template | thing).sum(axis=(1, 2))
    return np.asarray((template & thing).sum(axis=(1, 2)) / np.maximum(union, 1) * (area > 0))


def _of_hue(colour: str) -> Callable[[Things], Floats]:
    target = _hue(np.array([COLOURS[colour]]))[0][0]

    def response(things: Things) -> Floats:
        distance = np.abs((things.hue - target + 0.5) % 1 - 0.5)
        return np.asarray(things.saturation * np.exp(-((distance / HUE_WIDTH) ** 2)))

    return response


def _of_shape(shape: str) -> Callable[[Things], Floats]:
    def response(things: Things) -> Floats:
        return np.asarray(np.exp((things.overlap[shape].to_numpy() - 1) / SHAPE_WIDTH) * (things.area > 0))

    return response


# What a neuron answers to a thing. The names are those of the regions of the simulated cortex.
SHAPE_NEURONS: Mapping[str, Callable[[Things], Floats]] = {
    "red": _of_hue("red"),
    "large": lambda things: np.minimum(1, things.area / LARGEST),
    "leftside": lambda things: np.asarray((1 - things.x) * (things.area > 0)),
    "cross": _of_shape("cross"),
    "triangle": _of_shape("triangle"),
    "square": _of_shape("square"),
    "circle": _of_shape("circle"),
    "bluecircle": lambda things: _of_hue("blue")(things) * _of_shape("circle")(things),
}


def true_responses(things: Things) -> pd.DataFrame:
    """Compute the response of every neuron of `SHAPE_NEURONS` (a column each) to the things of images, in its unit."""
    return pd.DataFrame({name: neuron(things) for name, neuron in SHAPE_NEURONS.items()})
