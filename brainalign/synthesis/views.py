"""Images as guidance shows them to an encoder: noised, and cleaned by one pass of the network.

A readout fitted to photographs alone is fooled by such images; one that has also seen these views of its training
images, with their measured responses, is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainalign.checks import BrainalignError

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline

__all__ = ["denoised_views"]

Images = TypeVar("Images", NDArray[np.floating], Tensor)


@torch.no_grad()
def denoised_views(
    pipe: BrainGuidedPipeline, images: Images, n_draws: int = 2, seed: int = 0, batch_size: int = 64
) -> Images:
    """Return w = √(1 − ā) x0 + (1 − √(1 − ā)) u of images noised to uniform times, decoded: what guidance scores.

    Parameters
    ----------
    pipe : BrainGuidedPipeline
    images : array or tensor (n, 3, H, W), in [0, 1]
        Of the size that the pipeline makes.
    n_draws : int
        Views of every image, each with its own time and noise.
    seed : int
        The views do not depend on `batch_size`.
    batch_size : int

    Returns
    -------
    array or tensor (n_draws, n, 3, H, W), in [0, 1], float32, as `images`

    Raises
    ------
    BrainalignError
        If the images are of another shape or range.
    """
    from brainalign.synthesis.prediction import clean_and_noise
    from brainalign.synthesis.prompts import embed

    pixels = torch.as_tensor(images)
    expected = (3, *pipe.image_size)
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != expected:
        raise BrainalignError(
            f"images have shape {tuple(pixels.shape)} but this prior makes (n, {', '.join(map(str, expected))}); resize"
        )
    if not pixels.is_floating_point() or float(pixels.min()) < 0 or float(pixels.max()) > 1:
        raise BrainalignError(f"images must be of floating point in [0, 1]; got {pixels.dtype}; divide bytes by 255")
    device, dtype = pipe.device, pipe.unet.dtype
    source = torch.Generator().manual_seed(seed)
    alphas = pipe.scheduler.alphas_cumprod
    views = torch.empty(n_draws, *pixels.shape, dtype=torch.float32)
    for draw in range(n_draws):
        times = torch.randint(len(alphas), (len(pixels),), generator=source)
        for first in range(0, len(pixels), batch_size):
            rows = slice(first, first + batch_size)
            clean = pipe.encode(pixels[rows].to(device, dtype) * 2 - 1)
            # Drawn image by image: one call for a batch would depend on the size of the batch.
            noise = torch.stack([torch.randn(clean.shape[1:], generator=source) for _ in clean]).to(clean)
            alpha = alphas[times[rows]].to(clean)[:, None, None, None]
            noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
            output = pipe.predict(noisy, times[rows].to(device), embed(pipe, len(clean)))
            seen, _ = clean_and_noise(output, noisy, alpha, pipe.scheduler.config.prediction_type)
            share = (1 - alpha).sqrt()
            decoded = pipe.decode(share * seen + (1 - share) * noisy)
            views[draw, rows] = (decoded / 2 + 0.5).clamp(0, 1).float().cpu()
    return views.numpy() if isinstance(images, np.ndarray) else views.to(images.device)
