"""One guided step: the gradient of the objective, kept within a trust radius, as a change of the clean image.

Why a radius: (1 − ā)/√ā is 16 at the first of 25 steps of a cosine schedule and 20 000 at the noisiest, so that the
plain update saturates the image before there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from brainalign.checks import BrainalignError
from brainalign.synthesis.prediction import clean_and_noise, with_clean
from brainalign.synthesis.prompts import Conditions

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline

__all__ = ["Steering", "score_images", "steer", "to_unit"]

FLOOR = 1e-8  # of a root mean square that is divided by
SHIFT, JITTER = 1 / 16, 0.05  # of smoothing: largest shift in sides of the image, sd of the noise in units of [0, 1]


@dataclass(frozen=True)
class Steering:
    """How an objective steers; see `BrainGuidedPipeline.__call__`.

    Raises
    ------
    BrainalignError
        If the scale is not finite, the radius not positive, or there are no copies to average over.
    """

    objective: Callable[[Tensor], Tensor]
    scale: float
    trust_radius: float
    n_smooth: int = 1
    grad_through_unet: bool = True

    def __post_init__(self) -> None:
        if not abs(self.scale) < float("inf"):
            raise BrainalignError(f"guidance_scale must be finite; got {self.scale}")
        if not self.trust_radius > 0:
            raise BrainalignError(f"trust_radius must be positive (inf = none); got {self.trust_radius}")
        if self.n_smooth < 1:
            raise BrainalignError(f"n_smooth must be at least 1; got {self.n_smooth}")


def steer(
    pipe: BrainGuidedPipeline,
    steering: Steering,
    noisy: Tensor,
    timestep: Tensor,
    alpha: float,
    conditions: Conditions | None,
    generators: list[torch.Generator],
) -> tuple[Tensor, pd.DataFrame]:
    """Return the network's output with the clean image moved up the objective, and a row for each image.

    Parameters
    ----------
    noisy : tensor (n, channels, h, w)
        At unit variance: √ā x0 + √(1 − ā) e.
    alpha : float
        ā.

    Returns
    -------
    output : tensor, as `noisy`
    rows : DataFrame
        score, grad_rms, d_rms, clipped, nonfinite.
    """
    config = pipe.scheduler.config
    predicted = config.prediction_type
    with torch.enable_grad(), torch.autocast(noisy.device.type, enabled=False):
        u = noisy.detach().requires_grad_(True)
        with torch.set_grad_enabled(steering.grad_through_unet):
            output = pipe.predict(u, timestep, conditions)
        clean, _ = clean_and_noise(_full(output), _full(u), alpha, predicted)
        share = sqrt(1 - alpha)
        scores = _smoothed(steering, _seen(pipe, share * clean + (1 - share) * _full(u)), generators)
        (gradient,) = torch.autograd.grad(scores.sum(), u)
    clean, u = clean.detach(), _full(u.detach())
    finite = torch.isfinite(gradient)
    gradient = _full(gradient.nan_to_num(0.0, 0.0, 0.0))
    move = steering.scale * (1 - alpha) / sqrt(alpha) * gradient
    length = _rms(move)
    move = move * (steering.trust_radius / length.clamp(min=FLOOR)).clamp(max=1)[:, None, None, None]
    steered = clean + move
    if config.get("clip_sample", False):
        steered = steered.clamp(-config.clip_sample_range, config.clip_sample_range)
    rows = pd.DataFrame(
        {
            "score": scores.detach().cpu().numpy(),
            "grad_rms": _rms(gradient).cpu().numpy(),
            "d_rms": _rms(move).cpu().numpy(),
            "clipped": (length > steering.trust_radius).cpu().numpy(),
            "nonfinite": (~finite).flatten(1).sum(1).cpu().numpy(),
        }
    )
    return with_clean(steered, u, alpha, predicted).to(noisy.dtype), rows


def to_unit(images: Tensor) -> Tensor:
    """Return images of [-1, 1] on the scale of [0, 1], not clamped."""
    return images / 2 + 0.5


def score_images(objective: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the scores of images.

    Raises
    ------
    BrainalignError
        If there is not one finite score for each image.
    """
    scores = objective(images)
    if not isinstance(scores, Tensor) or scores.shape != (len(images),):
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise BrainalignError(f"the objective must give a tensor ({len(images)},), a score per image; got {got}")
    if not bool(torch.isfinite(scores.detach()).all()):
        bad = [i for i, value in enumerate(scores.detach().tolist()) if not abs(value) < float("inf")]
        raise BrainalignError(
            f"the objective is not finite for {len(bad)} of {len(images)} images (first: image {bad[0]}); look for a "
            "division by zero or a logarithm in it"
        )
    return scores


def _seen(pipe: BrainGuidedPipeline, latents: Tensor) -> Tensor:
    """Decode to images in [0, 1]. Values are clamped and gradients are not, or saturated pixels would have none."""
    vae_type = latents.dtype if pipe.vae is None else pipe.vae.dtype
    images = to_unit(_full(pipe.decode(latents.to(vae_type))))
    return images + (images.clamp(0, 1) - images).detach()


def _smoothed(steering: Steering, images: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Return the scores, each the mean over shifted and noisy copies where smoothing is asked for."""
    if steering.n_smooth == 1:
        return score_images(steering.objective, images)
    copies = [_shaken(images, generators) for _ in range(steering.n_smooth)]
    return torch.stack([score_images(steering.objective, each) for each in copies]).mean(0)


def _shaken(images: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Shift every image by whole pixels of its own, its border repeated, and add noise."""
    height, width = images.shape[2:]
    most = max(1, round(SHIFT * min(height, width)))
    wide = functional.pad(images, (most,) * 4, mode="replicate")
    shaken = []
    for image, generator in zip(wide, generators, strict=True):
        down, right = torch.randint(2 * most + 1, (2,), generator=generator, device=generator.device).tolist()
        noise = torch.randn(images.shape[1:], generator=generator, device=generator.device, dtype=images.dtype)
        shaken.append(image[:, down : down + height, right : right + width] + JITTER * noise.to(images.device))
    return torch.stack(shaken)


def _full(values: Tensor) -> Tensor:
    """Half precision becomes single: the algebra of a step divides by small numbers."""
    return values if values.dtype == torch.float64 else values.float()


def _rms(values: Tensor) -> Tensor:
    return values.pow(2).mean((1, 2, 3)).sqrt()
