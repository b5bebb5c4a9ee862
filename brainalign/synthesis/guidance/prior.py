"""A small diffusion model of images, trained within minutes on a CPU: what guidance needs where no large one fits.

It learns v-prediction under a cosine schedule; its weights are an exponential average over training.
"""

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice
from brainalign.devices import pick_device, seeded
from brainalign.regression import descend
from brainalign.synthesis.guidance.denoiser import RECURRENT, SCHEDULERS

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, UNet2DModel

    from brainalign.synthesis.guidance.codec import PixelShuffleCodec
    from brainalign.synthesis.guidance.pipeline import BrainGuidedPipeline

UNET: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 32,
}
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "clip_sample": True,
    "timestep_spacing": "leading",
}
AVERAGED, WARM_UP, RATE, LAST_RATE, BATCH = 0.998, 100, 2e-3, 0.05, 32

Progress = Callable[[int, float], None]


def train_prior(
    images: NDArray[np.uint8], n_steps: int = 7000, *, seed: int = 0, progress: Progress | None = None
) -> "tuple[UNet2DModel, DDIMScheduler, PixelShuffleCodec]":
    """Train a denoiser of images: minimise |v̂(z_t, t) − v|², v = √ā ε − √(1 − ā) x, with t uniform.

    Parameters
    ----------
    images : array (n_images, size, size, 3), uint8
        Square, a side that is a multiple of 4; their mirror images are learned, too.
    n_steps : int
        After a warm-up the rate falls along a cosine to a twentieth; sampling before the end of it is much worse.
    progress : callable, optional
        Called with the step and the loss of its batch, every 100 steps.

    Returns
    -------
    UNet2DModel, DDIMScheduler, PixelShuffleCodec
        The components of a `BrainGuidedPipeline`; weights are averaged over training.

    References
    ----------
    Ho J, Jain A, Abbeel P (2020). Denoising diffusion probabilistic models. NeurIPS. arXiv:2006.11239
    Salimans T, Ho J (2022). Progressive distillation for fast sampling of diffusion models. ICLR. arXiv:2202.00512
    """
    from diffusers import DDIMScheduler, UNet2DModel
    from torch.optim.swa_utils import AveragedModel

    from brainalign.synthesis.guidance.codec import PixelShuffleCodec

    size = images.shape[1] if images.ndim == 4 else 0
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3) or size % 4:
        raise BrainalignError(
            "a prior learns from images (n, size, size, 3) of bytes (uint8, 0 to 255) whose size is a multiple of 4; "
            f"got {images.dtype} of shape {images.shape}"
        )
    codec, scheduler = PixelShuffleCodec(), DDIMScheduler(**SCHEDULE)
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    draws = torch.Generator().manual_seed(seed)
    with seeded(seed):
        unet = UNet2DModel(sample_size=size // 2, in_channels=12, out_channels=12, **UNET)
    averaged = AveragedModel(unet, multi_avg_fn=None, avg_fn=_averaging)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: _rate(k, n_steps))
    unet.train()

    def losses() -> Iterator[torch.Tensor]:
        for step in range(n_steps):
            rows = torch.randint(len(pixels), (BATCH,), generator=draws)
            batch = pixels[rows].float().div_(127.5).sub_(1)
            flipped = torch.rand(BATCH, generator=draws) < 0.5
            batch[flipped] = batch[flipped].flip(3)
            latents = codec.encode(batch).latents
            noise = torch.randn(latents.shape, generator=draws)
            times = torch.randint(SCHEDULE["num_train_timesteps"], (BATCH,), generator=draws)
            noisy = scheduler.add_noise(latents, noise, times)
            target = scheduler.get_velocity(latents, noise, times)
            loss = torch.nn.functional.mse_loss(unet(noisy, times).sample, target)
            yield loss
            averaged.update_parameters(unet)
            if progress is not None and step % 100 == 0:
                progress(step, float(loss.detach()))

    descend(losses(), optimizer, schedule, clip=1.0)
    return copy.deepcopy(averaged.module).eval().requires_grad_(False), scheduler, codec


def _averaging(average: torch.Tensor, current: torch.Tensor, n_averaged: torch.Tensor | int) -> torch.Tensor:
    """Forget the random start fast: the weight of the past grows to its final value over the first steps."""
    k = float(n_averaged)
    return average.lerp(current, 1 - min(AVERAGED, (k + 1) / (k + 20)))


def _rate(step: int, n_steps: int) -> float:
    """Return the learning rate as a share of its largest: linear warm-up, then a cosine."""
    warm_up = min(WARM_UP, max(1, n_steps // 10))
    if step < warm_up:
        return (step + 1) / warm_up
    share = (step - warm_up) / max(1, n_steps - warm_up)
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + float(np.cos(np.pi * share)))


SMALLEST = 8  # pixels; below that no network sees anything


def load_prior(
    prior: str,
    device: str = "cpu",
    recurrence: int = 1,
    *,
    save_memory: bool = False,
    scheduler: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
) -> "BrainGuidedPipeline":
    """Load a diffusion model and sample a guided image in as few steps as can be: what does not fit shows at once.

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
        import diffusers

        check_choice("scheduler", scheduler, SCHEDULERS)
        # The settings are of the pipeline's own, which its network was trained for. What DDIM and DDPM clip by default
        # are pixels; latents of an autoencoder reach further.
        config = dict(pipe.scheduler.config)
        clips = {"clip_sample": config.get("clip_sample", False)} if scheduler in RECURRENT else {}
        pipe.scheduler = getattr(diffusers, scheduler).from_config(config, **clips)
    if save_memory:
        pipe.save_memory()
    try:
        n_steps = getattr(pipe.scheduler, "pndm_order", 2)
        how: dict[str, Any] = {"generator": [torch.Generator().manual_seed(0)], "recurrence": recurrence}
        tried = pipe(lambda images: images.mean(dim=(1, 2, 3)), num_inference_steps=n_steps, **how)
    except (RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, BrainalignError):
            raise BrainalignError(f"the prior {prior}: {error}") from error
        raise BrainalignError(
            f"the prior {prior} samples no image: {str(error).splitlines()[0]}; its network, autoencoder and scheduler "
            "must belong to each other"
        ) from error
    size, shape = pipe.image_size, tuple(tried.images.shape)
    if shape != (1, 3, size, size) or size < SMALLEST:
        raise BrainalignError(
            f"the prior {prior} makes images of the shape {shape[1:]}, but square colour images (3, {size}, {size}) of "
            f"{SMALLEST} pixels or more are needed; take a prior trained on such"
        )
    return pipe
