"""The noise that sampling starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, float32, promote_types

from brainalign.checks import BrainalignError
from brainalign.synthesis.guidance.steering import Generators

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def initial_noise(
    pipe: DiffusionPipeline, num_images: int, generator: Generators, latents: Tensor | None = None
) -> Tensor:
    """Return noise of unit variance (num_images, channels, rows, columns): `latents`, if given, or drawn.

    Raises
    ------
    BrainalignError
        If there are neither one generator nor as many as images, or latents have another shape than the network's.
    """
    from diffusers.utils.torch_utils import randn_tensor

    if isinstance(generator, list) and len(generator) != num_images:
        raise BrainalignError(f"{num_images} images need a generator each; got {len(generator)}")
    size = pipe.unet.config.sample_size
    rows, columns = (size, size) if isinstance(size, int) else size
    shape = (num_images, pipe.unet.config.in_channels, rows, columns)
    dtype = promote_types(pipe.unet.dtype, float32)
    if latents is None:
        noise: Tensor = randn_tensor(shape, generator=generator, device=pipe.device, dtype=dtype)
        return noise
    if tuple(latents.shape) != shape:
        raise BrainalignError(f"initial noise must have the shape {shape}; got {tuple(latents.shape)}")
    return latents.to(pipe.device, dtype)
