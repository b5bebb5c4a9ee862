"""Natural images as guidance sees them: noised, denoised in one step, and mixed with what is left of the noise.

A read-out that was fitted to clean images only is fooled by such mixtures; one that has also been fitted to them, under
the labels of the clean images, is much less. No new scan is needed for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from brainalign.checks import BrainalignError
from brainalign.synthesis.guidance.prediction import PREDICTIONS, check_scheduler

if TYPE_CHECKING:
    from brainalign.synthesis.guidance.pipeline import BrainGuidedPipeline


def resized(images: Tensor, size: int) -> Tensor:
    """Return images (n, 3, size, size) in [0, 1], antialiased; as they are where they have that size."""
    if images.shape[-2:] == (size, size):
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True).clamp(0, 1)


@torch.no_grad()
def denoised_views(
    pipe: BrainGuidedPipeline,
    images: Tensor,
    n_draws: int = 2,
    seed: int = 0,
    batch_size: int = 64,
    at_once: int | None = None,
) -> Tensor:
    """Compute the views that guidance would show an encoder on its way to each image.

    Per draw: t uniform over the training steps, u = √ā x + √(1 − ā) ε, one pass of the network to x₀, then
    w = √(1 − ā) x₀ + (1 − √(1 − ā)) u, decoded and clamped to [0, 1].

    Parameters
    ----------
    pipe : BrainGuidedPipeline
    images : tensor (n, 3, size, size) in [0, 1]
        Of the size of the pipeline's images.
    n_draws : int
    seed : int
    batch_size : int
        Images whose noise is drawn together: another one gives other noise.
    at_once : int, optional
        Images that go through the networks together, which is what needs memory; `batch_size` where not given.

    Returns
    -------
    tensor (n_draws, n, 3, size, size) in [0, 1]

    Raises
    ------
    BrainalignError
        If the images have another size or range, or the scheduler is not supported.
    """
    size = pipe.image_size
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, size, size):
        raise BrainalignError(
            f"the diffusion model makes images (n, 3, {size}, {size}); got {tuple(images.shape)}: resize them first"
        )
    if not images.is_floating_point() or float(images.min()) < 0 or float(images.max()) > 1:
        raise BrainalignError(f"images must be of floating point in [0, 1]; got {images.dtype}: divide bytes by 255")
    check_scheduler(pipe.scheduler, recurrence=1)
    to_x0, _ = PREDICTIONS[pipe.scheduler.config.get("prediction_type", "epsilon")]
    draws = torch.Generator().manual_seed(seed)
    shares = pipe.scheduler.alphas_cumprod.to(torch.float32)
    views = torch.empty((n_draws, *images.shape))
    for draw in range(n_draws):
        for first in range(0, len(images), batch_size):
            batch = images[first : first + batch_size]
            parts = [slice(k, k + (at_once or batch_size)) for k in range(0, len(batch), at_once or batch_size)]
            full = batch.to(pipe.device, torch.float32)
            latents = torch.cat([pipe.denoiser(len(full[part])).latents(full[part]) for part in parts])
            t = torch.randint(len(shares), (len(batch),), generator=draws)
            noise = torch.randn(latents.shape, generator=draws).to(latents)
            for part in parts:
                denoiser = pipe.denoiser(len(latents[part]))
                a = shares[t[part]].to(latents)[:, None, None, None]
                u = a.sqrt() * latents[part] + (1 - a).sqrt() * noise[part]
                x0 = to_x0(denoiser(u, t[part].to(pipe.device)), u, a)
                w = (1 - a).sqrt() * x0 + (1 - (1 - a).sqrt()) * u
                views[draw, first + part.start : first + part.start + len(u)] = denoiser.images(w).float().cpu()
    return views
