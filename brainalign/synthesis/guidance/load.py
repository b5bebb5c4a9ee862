"""A diffusion model from a folder or the hub, tried out before a stage relies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

from brainalign.checks import BrainalignError, check_choice
from brainalign.devices import pick_device
from brainalign.synthesis.guidance.prediction import RECURRENT, SCHEDULERS

if TYPE_CHECKING:
    from brainalign.synthesis.guidance.pipeline import BrainGuidedPipeline

SMALLEST = 8  # pixels; below that no network sees anything


def _with_scheduler(pipe: BrainGuidedPipeline, name: str) -> Any:
    """Return another scheduler with the settings of a pipeline's own, which are those its network was trained for.

    Parameters
    ----------
    pipe : BrainGuidedPipeline
    name : str
        Of `SCHEDULERS`.

    Raises
    ------
    BrainalignError
        If there is no such scheduler.
    """
    import diffusers

    check_choice("scheduler", name, SCHEDULERS)
    config = dict(pipe.scheduler.config)
    # What DDIM and DDPM clip by default are pixels; latents of an autoencoder reach further.
    clips = {"clip_sample": config.get("clip_sample", False)} if name in RECURRENT else {}
    return getattr(diffusers, name).from_config(config, **clips)


def load_prior(
    prior: str,
    device: str = "cpu",
    recurrence: int = 1,
    *,
    save_memory: bool = False,
    scheduler: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
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
    scheduler : str, optional
        Of `SCHEDULERS`, with the settings of the prior's own. Where not given, the prior's own; one that remembers
        earlier steps (PNDM of Stable Diffusion 1) becomes DDIM, which does not, if steps are to be repeated.
    dtype : {"float32", "float16", "bfloat16"}
        Of the networks; an autoencoder that says it overflows in float16 (`force_upcast`) stays in float32.

    Raises
    ------
    BrainalignError
        If it cannot be loaded, its scheduler is not supported, its parts do not fit each other, or what it makes are no
        square colour images of the size it says.
    """
    from brainalign.synthesis.guidance.pipeline import BrainGuidedPipeline

    pipe: BrainGuidedPipeline = BrainGuidedPipeline.from_pretrained(prior, dtype=getattr(torch, dtype))
    pipe = pipe.to(pick_device(device))
    if dtype == "float16" and pipe.vae is not None and pipe.vae.config.get("force_upcast", False):
        pipe.vae.to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    own = type(pipe.scheduler).__name__
    if scheduler is None and recurrence > 1 and own in SCHEDULERS and own not in RECURRENT:
        scheduler = RECURRENT[0]
    if scheduler is not None and scheduler != own:
        pipe.scheduler = _with_scheduler(pipe, scheduler)
    if save_memory:
        pipe.save_memory()
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
