"""Image files to the tensors a network expects: read with Pillow, resized, cropped and normalised in torch.

One function serves files and tensors alike, so that a network fed with an image that is being synthesised computes the
features that extraction stored.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad
from torch.utils.data import DataLoader

from brainalign.checks import BrainalignError, check_choice, listed
from brainalign.io import film_of, open_pictures, reading

Part = TypeVar("Part")
RESAMPLE = ("nearest", "bilinear", "bicubic")
EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image before a network sees it; every field is part of the provenance.

    Parameters
    ----------
    resize : int, (rows, columns) or None
        Length of the shortest edge in pixels, or the exact size, whatever the proportions were.
    crop : (rows, columns) or None
        Size of the central crop; an image smaller than that is padded with black.
    mean, std : one value per channel
        Of the image in [0, 1].
    resample : {"bicubic", "bilinear", "nearest"}
        With antialiasing, as Pillow does it.
    scale : float
        The image in [0, 1] is multiplied by it before `mean` and `std` apply.
    """

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    resample: Literal["bicubic", "bilinear", "nearest"] = "bicubic"
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_choice("resample", self.resample, RESAMPLE)

    def __call__(self, images: Tensor) -> Tensor:
        """Preprocess images (n, 3, rows, columns) in [0, 1] for the network; differentiable."""
        images = self._resized(images)
        if self.crop is not None:
            rows, columns = (max(0, wanted - have) for wanted, have in zip(self.crop, images.shape[-2:], strict=True))
            if rows or columns:
                images = pad(images, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
            top, left = ((have - wanted) // 2 for wanted, have in zip(self.crop, images.shape[-2:], strict=True))
            images = images[..., top : top + self.crop[0], left : left + self.crop[1]]
        mean, std = (images.new_tensor(values).reshape(1, -1, 1, 1) for values in (self.mean, self.std))
        return (images * self.scale - mean) / std

    def digest(self) -> str:
        """Return the sha256 of the description."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def _resized(self, images: Tensor) -> Tensor:
        size = self.resize
        if size is None:
            return images
        rows, columns = images.shape[-2:]
        if isinstance(size, int):
            short = min(rows, columns)
            size = (int(size * rows / short), int(size * columns / short))
        if size == (rows, columns):
            return images
        if self.resample == "nearest":
            return interpolate(images, size, mode="nearest-exact")
        resized = interpolate(images, size, mode=self.resample, antialias=True, align_corners=False)
        return resized.clamp(0, 1)  # bicubic overshoots; an 8-bit image could not


def check_images(stimuli: pd.DataFrame) -> None:
    """Raise unless every stimulus has an image file; all that are missing are counted, before anything is computed."""
    if "path" not in stimuli:
        raise BrainalignError(
            f"the table of stimuli has the columns {list(stimuli)} but no `path`; an image network needs an image file "
            "per stimulus: give stimuli.tsv with a path column"
        )
    table = stimuli[["stimulus_id", "path"]].astype(str)
    missing = [f"{name}: {path}" for name, path in table.itertuples(index=False) if not film_of(path).is_file()]
    if missing:
        raise BrainalignError(
            f"{len(missing)} of {len(stimuli)} stimuli have no image file ({listed(missing, 10)}); put the files "
            "there, or mend the path column of stimuli.tsv (paths are relative to that table)"
        )


def load_image(path: str | Path, name: str = "") -> Tensor:
    """Read an image file, or a frame of a film, as (3, rows, columns), float32 in [0, 1], upright, without alpha.

    `name` is the id of the stimulus, for messages.
    """
    return next(_loaded([path], [name]))


def _loaded(paths: Sequence[str | Path], names: Sequence[str]) -> Iterator[Tensor]:
    from PIL import ImageOps

    of = [f"stimulus {name!r}: " if name else "" for name in names]
    for path, stimulus in zip(paths, of, strict=True):
        if not film_of(path).is_file():
            raise BrainalignError(
                f"{stimulus}no image file {path}; put it there, or mend the path column of stimuli.tsv"
            )
    for picture, path, stimulus in zip(open_pictures(paths, of), paths, of, strict=True):
        mode = picture.mode
        with reading(f"{stimulus}cannot read the image {path}", "damaged", "copy it again, or leave it out"):
            pixels = np.array(ImageOps.exif_transpose(picture).convert("RGB") if mode in EIGHT_BIT else 0)
        if mode not in EIGHT_BIT:  # Pillow would clip these to white without a word
            raise BrainalignError(f"{stimulus}the image {path} has mode {mode!r}; save it with 8 bits per channel")
        yield torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255)


def load_images(paths: Sequence[str | Path], names: Sequence[str], preprocessing: Preprocessing) -> Tensor:
    """Read image files of any sizes as one batch (n, 3, rows, columns), preprocessed one by one.

    Raises
    ------
    BrainalignError
        If a file cannot be read, or the images still differ in size after preprocessing.
    """
    batch = [preprocessing(image[None]) for image in _loaded(paths, names)]
    for image, path, name in zip(batch, paths, names, strict=True):
        if image.shape != batch[0].shape:
            raise BrainalignError(
                f"after preprocessing, stimulus {name!r} ({path}) has {tuple(image.shape[2:])} pixels but "
                f"{names[0]!r} has {tuple(batch[0].shape[2:])}; give a crop or an exact size"
            )
    return torch.cat(batch)


def load_in_processes(load: Callable[[Part], Tensor], parts: Sequence[Part], n: int) -> Iterator[Tensor]:
    """Yield the images of parts, in order; processes load the next ones meanwhile.

    Threads wait for each other's Python: 16 read 600 photographs a second, half of what ViT-B looks at on an H100.
    """

    def loaded(part: Part) -> NDArray[np.float32] | BrainalignError:
        try:
            return load(part).numpy()  # by a pipe; tensors would lie in shared memory, of which containers have little
        except BrainalignError as error:
            return error  # raised there, it would reach its reader within the traceback of another process

    for found in DataLoader(parts, batch_size=None, num_workers=n, collate_fn=loaded):  # type: ignore[arg-type]
        if isinstance(found, BrainalignError):
            raise found
        yield torch.from_numpy(found)
