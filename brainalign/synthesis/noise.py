"""The random numbers of an image: its own, whatever batch it is made in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from brainalign.checks import BrainalignError

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline

__all__ = ["image_generators", "initial_latents"]


def image_generators(
    generator: torch.Generator | Sequence[torch.Generator] | None, n_images: int
) -> list[torch.Generator]:
    """Return one generator for each image; seeds are drawn from a single one, or from torch's own.

    Raises
    ------
    BrainalignError
        If there are as many as neither one nor the images.
    """
    if generator is None or isinstance(generator, torch.Generator):
        device = "cpu" if generator is None else generator.device
        seeds = torch.randint(2**62, (n_images,), generator=generator, device=device).tolist()
        return [torch.Generator(device).manual_seed(seed) for seed in seeds]
    if len(generator) != n_images:
        raise BrainalignError(f"{len(generator)} generators for {n_images} images; give one for each, or a single one")
    return list(generator)


def initial_latents(
    pipe: BrainGuidedPipeline, generators: list[torch.Generator], latents: Tensor | None = None
) -> Tensor:
    """Return the noise that sampling starts from, at the scale of the scheduler; `latents` are of unit variance.

    Raises
    ------
    BrainalignError
        If latents are given in another shape than the network's.
    """
    from diffusers.utils.torch_utils import randn_tensor

    n_images = len(generators)
    shape = (n_images, *pipe.latent_shape)
    if latents is None:
        latents = randn_tensor(shape, generator=generators, device=pipe.device, dtype=pipe.unet.dtype)
    elif tuple(latents.shape) != shape:
        raise BrainalignError(f"latents must be {shape} for {n_images} images; got {tuple(latents.shape)}")
    # Of the network's own type, as diffusers has it: a tensor times a tensor of no axes keeps it.
    scaled: Tensor = latents.to(pipe.device, pipe.unet.dtype) * pipe.scheduler.init_noise_sigma
    return scaled
