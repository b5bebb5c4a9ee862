"""What must hold before guidance starts: an error within the sampling would come late, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from brainalign.checks import BrainalignError
from brainalign.synthesis.steering import score_images

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline

__all__ = ["check_call", "check_folder", "check_objective"]


def check_folder(path_or_id: str | Path) -> None:
    """Raise if what can only be a path holds no pipeline; the name of a model of the hub is let through.

    Raises
    ------
    BrainalignError
        If there is no such folder, or no model_index.json in it.
    """
    place = Path(path_or_id)
    is_path = place.is_dir() or place.is_absolute() or str(path_or_id).startswith(".") or len(place.parts) > 2
    if is_path and not (place / "model_index.json").is_file():
        raise BrainalignError(
            f"{path_or_id} {'has no model_index.json' if place.is_dir() else 'does not exist'}; give a folder that "
            "save_pretrained of a diffusers pipeline wrote, or a model of the hub (owner/name)"
        )


def check_call(
    pipe: BrainGuidedPipeline,
    n_images: int,
    n_steps: int,
    recurrence: int,
    start: float,
    stop: float,
    guided: bool,
) -> None:
    """Raise unless the components and the numbers allow sampling, guided or not.

    Raises
    ------
    BrainalignError
        If a number is out of range, a component does not fit another, or gradients cannot be had.
    """
    from brainalign.synthesis.codec import PixelShuffleCodec

    if min(n_images, n_steps, recurrence) < 1:
        raise BrainalignError(
            "num_images, num_inference_steps and recurrence must be at least 1; "
            f"got {n_images}, {n_steps} and {recurrence}"
        )
    if not 0 <= start < stop <= 1:
        raise BrainalignError(
            f"start and stop must be shares of the steps, 0 <= start < stop <= 1; got {start}, {stop}"
        )
    if pipe.unet.config.out_channels != pipe.unet.config.in_channels:
        raise BrainalignError(
            f"the network reads {pipe.unet.config.in_channels} channels and gives "
            f"{pipe.unet.config.out_channels}; guidance needs as many (no learned variance, no inpainting)"
        )
    pixels = pipe.vae is None or isinstance(pipe.vae, PixelShuffleCodec)
    if not pixels and pipe.scheduler.config.get("clip_sample", False):
        raise BrainalignError(
            "the scheduler clips samples to ±1, which is wrong for the latents of a variational autoencoder; "
            "pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)"
        )
    if not guided:
        return
    if torch.is_inference_mode_enabled() or next(pipe.unet.parameters()).is_inference():
        raise BrainalignError(
            "guidance needs gradients, which torch.inference_mode() rules out for good; load the models and call "
            "the pipeline outside of it (torch.no_grad() does no harm)"
        )
    if pipe.vae is not None and pipe.vae.dtype in (torch.float16, torch.bfloat16):
        raise BrainalignError(
            f"gradients through an autoencoder in {pipe.vae.dtype} overflow; pipe.vae.to(torch.float32)"
        )
    if any(hasattr(part, "_hf_hook") for part in (pipe.unet, pipe.vae)):
        raise BrainalignError(
            "the models are offloaded to the CPU between calls, which loses gradients; use pipe.to(device) with "
            "pipe.unet.enable_gradient_checkpointing() and pipe.vae.enable_slicing() instead"
        )


def check_objective(pipe: BrainGuidedPipeline, objective: Callable[[Tensor], Tensor], n_images: int) -> None:
    """Score noise once: an objective that cannot be used fails before the sampling, not within it.

    Raises
    ------
    BrainalignError
        If it fails on images of this size, gives no finite score per image, or has no gradient.
    """
    height, width = pipe.image_size
    # Its own noise: the images' generators are left as they are.
    noise = torch.rand(n_images, 3, height, width, generator=torch.Generator().manual_seed(0)).to(pipe.device)
    with torch.enable_grad():
        noise = noise.to(torch.float64 if pipe.unet.dtype == torch.float64 else torch.float32).requires_grad_(True)
        try:
            scores = score_images(objective, noise)
        except RuntimeError as error:
            raise BrainalignError(
                f"the objective fails on images {tuple(noise.shape)}, which is what this prior makes: {error}"
            ) from error
    if not scores.requires_grad:
        raise BrainalignError(
            "the objective has no gradient with respect to the images; it must compute in torch, without no_grad, "
            "detach or numpy"
        )
