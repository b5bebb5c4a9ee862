"""What must hold before guidance starts: an error within the sampling would come late, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from brainalign.checks import BrainalignError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def check_numbers(counts: dict[str, int], start: float, stop: float, trust_radius: float) -> None:
    """Raise unless counts are one at least, start and stop are shares of the steps, and the radius is positive.

    Raises
    ------
    BrainalignError
        If one of them is out of its range.
    """
    for name, count in counts.items():
        if count < 1:
            raise BrainalignError(f"{name} must be at least 1; got {count}")
    if not 0 <= start <= stop <= 1:
        raise BrainalignError(f"start and stop are shares of the steps, 0 <= start <= stop <= 1; got {start}, {stop}")
    if not trust_radius > 0:
        raise BrainalignError(f"trust_radius must be positive, inf for none; got {trust_radius}")


def check_components(pipe: DiffusionPipeline, guided: bool) -> None:
    """Raise where the models cannot be sampled from, or not be differentiated.

    Raises
    ------
    BrainalignError
        If the scheduler clips latents that are no pixels, or gradients cannot be had.
    """
    from brainalign.synthesis.guidance.codec import PixelShuffleCodec

    pixels = pipe.vae is None or isinstance(pipe.vae, PixelShuffleCodec)
    if not pixels and pipe.scheduler.config.get("clip_sample", False):
        raise BrainalignError(
            "the scheduler clips samples to a range of pixels, but these are latents of an autoencoder; "
            "pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)"
        )
    if not guided:
        return
    if torch.is_inference_mode_enabled() or any(weight.is_inference() for weight in pipe.unet.parameters()):
        raise BrainalignError(
            "guidance needs gradients, which inference_mode switches off for good; load and call the pipeline outside "
            "of it (torch.no_grad does no harm)"
        )
    if any(hasattr(part, "_hf_hook") for part in (pipe.unet, pipe.vae)):
        raise BrainalignError(
            "the models are offloaded between calls, which loses gradients; use pipe.to(device) with "
            "pipe.save_memory() instead"
        )


def check_objective(objective: Callable[[Tensor], Tensor], n_images: int, size: int, device: torch.device) -> None:
    """Score noise once: an objective that cannot be used fails before the sampling.

    Raises
    ------
    BrainalignError
        If it fails on images of this size, gives no finite score per image, or has no gradient.
    """
    # Its own noise: the images' generators are left as they are.
    noise = torch.rand(n_images, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.enable_grad():
        try:
            scores = objective(noise.requires_grad_())
        except RuntimeError as error:
            raise BrainalignError(
                f"the objective fails on images of shape {tuple(noise.shape)}, which is what this diffusion model "
                f"makes: {error}"
            ) from error
    check_scores(scores, n_images)
    if not scores.requires_grad:
        raise BrainalignError(
            "the objective is not differentiable: its score does not depend on the image through torch; leave out "
            "no_grad, detach and numpy, and use an encoder whose features are a torch module"
        )


def check_scores(scores: Tensor, n_images: int) -> Tensor:
    """Return scores if there is a finite one for each image.

    Raises
    ------
    BrainalignError
        If their shape is another, or one is NaN or infinite.
    """
    if not isinstance(scores, Tensor) or scores.shape != (n_images,):
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise BrainalignError(
            f"an objective gives a tensor with one score per image; for {n_images} images it gave {got}"
        )
    bad = (~scores.detach().isfinite()).nonzero()[:, 0].tolist()
    if bad:
        kind = "NaN" if scores.detach().isnan().any() else "infinite"
        raise BrainalignError(
            f"the objective is {kind} for image(s) {bad[:8]}; look for NaN in the encoder's weights, or a logarithm or "
            "division of its features"
        )
    return scores
