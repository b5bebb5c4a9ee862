"""A diffusion model from a folder or the hub, tried out before a stage relies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from brainalign.checks import BrainalignError
from brainalign.devices import pick_device

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline

__all__ = ["load_prior"]

SMALLEST = 8  # pixels; below that no network sees anything


def load_prior(
    prior: str, device: str = "cpu", recurrence: int = 1, *, save_memory: bool = False
) -> BrainGuidedPipeline:
    """Load a diffusion model and sample one guided image in two steps, so that what does not fit shows at once.

    Parameters
    ----------
    prior : str
        Folder in the layout of diffusers, or hub id.
    device : {"auto", "cpu", "cuda"}
    recurrence : int
        That its scheduler must be capable of.
    save_memory : bool
        Checkpoint gradients and decode in slices.

    Raises
    ------
    BrainalignError
        If it cannot be loaded, its scheduler is not supported, its parts do not fit each other, or what it makes are no
        square colour images of the size it says.
    """
    from brainalign.synthesis.guidance import BrainGuidedPipeline

    pipe: BrainGuidedPipeline = BrainGuidedPipeline.from_pretrained(prior).to(pick_device(device))
    pipe.set_progress_bar_config(disable=True)
    if save_memory:
        pipe.unet.enable_gradient_checkpointing()
        if hasattr(pipe.vae, "enable_slicing"):
            pipe.vae.enable_slicing()
    try:
        tried = pipe(
            lambda images: images.mean(dim=(1, 2, 3)),
            generator=[torch.Generator().manual_seed(0)],
            num_inference_steps=2,
            recurrence=recurrence,
        )
    except (RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, BrainalignError):
            raise BrainalignError(f"the prior {prior}: {error}") from error
        raise BrainalignError(
            f"the prior {prior} samples no image: {str(error).splitlines()[0]}; its network, autoencoder and scheduler "
            "must belong to each other"
        ) from error
    size = pipe.image_size
    shape = tuple(tried.images.shape)
    if shape != (1, 3, size, size) or size < SMALLEST:
        raise BrainalignError(
            f"the prior {prior} makes images of the shape {shape[1:]}, but square colour images (3, {size}, {size}) of "
            f"{SMALLEST} pixels or more are needed; take a prior trained on such"
        )
    return pipe
