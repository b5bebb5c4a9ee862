"""What images differ in before anything is seen in them: luminance, contrast and spectrum."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from brainalign.checks import BrainalignError
from brainalign.features.images.files import load_image

REDUCED = 256  # pixels of the shorter side, of images that are measured in thousands
OCTAVES = 6
RED, GREEN, BLUE = 0.2126, 0.7152, 0.0722  # of luminance, ITU-R BT.709


def image_properties(images: Iterable[str | Path | Tensor], n_bands: int = OCTAVES) -> pd.DataFrame:
    """Measure images; as columns of the table of trials they are nuisances of `nuisance_scores`.

    Parameters
    ----------
    images : iterable of path or Tensor (3, rows, columns) in [0, 1]
        Of any sizes.
    n_bands : int
        Octaves of spatial frequency, counted down from half a cycle per pixel of the shorter side.

    Returns
    -------
    DataFrame (n_images)
        luminance (mean), contrast (standard deviation over the mean), and spectrum_1 (finest), spectrum_2, ...: log
        share of the power in each octave. Values as stored: no gamma is undone.
    """
    rows = []
    for k, image in enumerate(images):
        pixels = (image if isinstance(image, Tensor) else load_image(image)).double().numpy()
        if pixels.ndim != 3 or len(pixels) != 3:
            raise BrainalignError(f"image {k} has the shape {pixels.shape}; give (3, rows, columns)")
        grey = RED * pixels[0] + GREEN * pixels[1] + BLUE * pixels[2]
        if min(grey.shape) < 2**n_bands:
            raise BrainalignError(
                f"image {k} of {grey.shape[0]} x {grey.shape[1]} pixels has no {n_bands} octaves; lower n_bands"
            )
        mean = float(grey.mean())
        rows.append(
            {"luminance": mean, "contrast": float(grey.std()) / max(mean, 1 / 255)}
            | {f"spectrum_{band + 1}": share for band, share in enumerate(_spectrum(grey, n_bands))}
        )
    return pd.DataFrame(rows)


def low_level_vectors(paths: Sequence[str | Path]) -> NDArray[np.float64]:
    """Return `image_properties` as vectors (n_images, 2 + n_octaves), to be decoded in place of those of a network.

    Larger images are first reduced to 256 pixels of their shorter side; octaves are as many, up to six, as the smallest
    image has.
    """
    least = min(_shorter_side(path) for path in paths)
    table = image_properties((_reduced(load_image(path)) for path in paths), min(OCTAVES, int(np.log2(least))))
    return table.to_numpy(dtype=np.float64)


def _shorter_side(path: str | Path) -> int:
    """Return the shorter side as the head of the file has it."""
    try:
        with Image.open(path) as file:
            return min(file.size)
    except Exception:  # whatever Pillow stumbles over
        return min(load_image(path).shape[1:])  # raises, and says what is wrong


def _reduced(image: Tensor) -> Tensor:
    sides = image.shape[1:]
    shorter = min(sides)
    if shorter <= REDUCED:
        return image
    return interpolate(image[None], [round(REDUCED * side / shorter) for side in sides], mode="area")[0]


def _spectrum(grey: NDArray[np.float64], n_bands: int) -> list[float]:
    """Return the log share of power of each octave, finest first."""
    # A window keeps edges that do not meet from looking like fine detail.
    window = np.outer(*(np.hanning(size + 2)[1:-1] for size in grey.shape))
    power = np.abs(np.fft.fft2((grey - np.average(grey, weights=window)) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(size) for size in grey.shape), indexing="ij"))
    octave = np.full(grey.shape, n_bands)
    inside = (frequency > 0) & (frequency <= 0.5)
    octave[inside] = np.minimum(np.floor(-np.log2(2 * frequency[inside])), n_bands)
    sums = np.bincount(octave.ravel(), power.ravel())[:n_bands]  # the mean is in none
    # An even image has no power at all: equal shares, and a floor for octaves without any.
    shares = (sums + 1e-12) / (sums + 1e-12).sum()
    return [float(share) for share in np.log(np.maximum(shares, 1e-9))]
