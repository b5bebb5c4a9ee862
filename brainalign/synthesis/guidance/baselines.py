"""Searches that need no gradient: the best of many samples, and evolution of the initial noise."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainalign.checks import BrainalignError
from brainalign.synthesis.guidance.steering import Objective

if TYPE_CHECKING:
    from brainalign.synthesis.guidance.pipeline import BrainGuidedPipeline

MUTATION = 0.5  # share of a child's noise that is new, at first; it falls to a tenth over the generations


@dataclass(frozen=True)
class Searched:
    """Images that a search kept.

    Attributes
    ----------
    images : tensor (n_images, 3, H, W) in [0, 1]
        The best first.
    scores : array (n_images,)
    n_evaluations : int
        Images that were sampled to find them.
    """

    images: Tensor
    scores: NDArray[np.floating]
    n_evaluations: int


def best_of(
    pipe: "BrainGuidedPipeline",
    objective: Objective,
    n_images: int,
    n_evaluations: int,
    seed: int = 0,
    batch_size: int = 32,
    **options: Any,
) -> Searched:
    """Sample `n_evaluations` images without guidance and keep the `n_images` that the objective likes best.

    The objective takes images (n, 3, H, W) in [0, 1] to (n,) and need not be differentiable; options are those of the
    pipeline.
    """
    draws = torch.Generator().manual_seed(seed)
    images = _sampled(pipe, _noise(pipe, n_evaluations, draws), seed, batch_size, options)
    return _best(images, _scored(objective, images), n_images)


def evolve(
    pipe: "BrainGuidedPipeline",
    objective: Objective,
    n_images: int,
    n_evaluations: int,
    seed: int = 0,
    batch_size: int = 32,
    **options: Any,
) -> Searched:
    """Evolve the initial noise of a sampler: the fittest noises have children, which are told in part anew.

    A (μ + λ) strategy with μ = λ = `n_images`: a child is √(1 − s) parent + √s fresh noise, so that it stays noise of
    unit variance; parents are drawn from the fitter half, and s falls from .5 to .05 over the whole generations. A last
    generation has as many children as are left.

    Parameters
    ----------
    pipe, objective, seed, batch_size, **options
        As of `best_of`; of a sampler that draws noise itself (DDPM), a child inherits the initial noise alone.
    n_images : int
        Kept, and made in every generation.
    n_evaluations : int
        Images that are sampled in all: the compute, which guidance at the same cost is compared with; one generation
        at least.

    References
    ----------
    Ponce CR, et al. (2019). Evolving images for visual neurons using a deep generative network. Cell.
    doi:10.1016/j.cell.2019.04.005 (evolution of a generator's code; here of a diffusion model's noise)
    """
    if n_evaluations < n_images:
        raise BrainalignError(f"{n_images} images cannot evolve within {n_evaluations} samples; allow for more")
    draws = torch.Generator().manual_seed(seed)
    noise = _noise(pipe, n_images, draws)
    images = _sampled(pipe, noise, seed, batch_size, options)
    scores = _scored(objective, images)
    n_whole, n_left = n_evaluations // n_images - 1, n_evaluations % n_images
    for generation, n_children in enumerate([n_images] * n_whole + [n_left] * (n_left > 0)):
        share = MUTATION * 10 ** -min(generation / max(1, n_whole - 1), 1)
        fitter = np.argsort(-scores, kind="stable")[: max(1, n_images // 2)]
        parents = fitter[torch.randint(len(fitter), (n_children,), generator=draws).numpy()]
        children = (1 - share) ** 0.5 * noise[parents.copy()] + share**0.5 * _noise(pipe, n_children, draws)
        born = _sampled(pipe, children, seed, batch_size, options)
        everyone = np.concatenate([scores, _scored(objective, born)])
        kept = np.argsort(-everyone, kind="stable")[:n_images].copy()
        noise, images, scores = torch.cat([noise, children])[kept], torch.cat([images, born])[kept], everyone[kept]
    return replace(_best(images, scores, n_images), n_evaluations=n_evaluations)


def _best(images: Tensor, scores: NDArray[np.floating], n_images: int) -> Searched:
    """Keep the images of the highest scores; of equal ones the first."""
    if len(images) != len(scores) or len(images) < n_images:
        raise BrainalignError(
            f"cannot keep {n_images} of {len(images)} images with {len(scores)} scores; ask for fewer"
        )
    best = np.argsort(-np.asarray(scores), kind="stable")[:n_images]
    return Searched(images[best.copy()], np.asarray(scores)[best], len(images))


def _noise(pipe: "BrainGuidedPipeline", n: int, draws: torch.Generator) -> Tensor:
    sides = np.broadcast_to(pipe.unet.config.sample_size, 2).tolist()  # rows and columns, or one number for both
    return torch.randn((n, pipe.unet.config.in_channels, *sides), generator=draws)


def _sampled(pipe: "BrainGuidedPipeline", noise: Tensor, seed: int, batch_size: int, options: dict[str, Any]) -> Tensor:
    own = [torch.Generator().manual_seed(seed + 1 + k) for k in range(len(noise))]  # some samplers draw at every step
    parts = [slice(k, k + batch_size) for k in range(0, len(noise), batch_size)]
    told: list[dict[str, Any]] = [{"latents": noise[part], "generator": own[part]} | options for part in parts]
    return torch.cat([pipe(num_images=len(each["latents"]), **each).images.float().cpu() for each in told])


def _scored(objective: Objective, images: Tensor) -> NDArray[np.floating]:
    with torch.no_grad():
        return np.asarray(objective(images).float().cpu().numpy())
