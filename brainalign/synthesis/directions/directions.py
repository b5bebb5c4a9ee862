"""Semantic directions: along what do the images of a denoiser differ, and along what does a region's response rise?

Directions live in the output of the middle block (h-space), one map per step of the sampler; adding a multiple of one
while an image forms changes what is in it, and leaves the rest of the same seed's image as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from brainalign.checks import BrainalignError, check_choice
from brainalign.synthesis.directions.bottleneck import (
    Trajectories,
    denoised_at,
    edited,
    generators,
    record_trajectories,
)
from brainalign.synthesis.guidance import Denoiser, Objective, clamped_images, score_gradient

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline, GuidedOutput

EXTREMES = 0.1  # share of the seeds at either end of an annotator's scores
N_SCORES, PENALTY = 32, 0.1  # principal components that ridge takes, and its penalty per seed (of unit variance)


def _centred_rows(recorded: Trajectories) -> Tensor:
    """Return trajectories as rows (n_seeds, n_steps · channels · rows · columns) of mean 0."""
    rows = recorded.bottleneck.transpose(0, 1).flatten(1)
    return rows - rows.mean(dim=0)


def _principal_components(centred: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return principal components (n, length) and the singular values; by the matrix of seeds, which is small."""
    values, left = torch.linalg.eigh((centred @ centred.T).double())
    singular = values.clamp_min(0).sqrt().flip(0)
    n = min(n, int((singular > 1e-6 * singular[0]).sum()))
    vectors = (left.flip(1)[:, :n] / singular[:n]).to(centred).T @ centred
    return vectors, singular


def _regression_gradient(centred: Tensor, scores: Tensor) -> Tensor:
    """Return the gradient of ridge regression of scores on principal components of unit variance."""
    vectors, singular = _principal_components(centred, N_SCORES)
    n = len(scores)
    spread = (singular[: len(vectors)] / n**0.5).to(centred)
    components = centred @ vectors.T / spread  # (n_seeds, n_components), orthogonal, of unit variance
    weights = components.T @ (scores - scores.mean()).to(centred) / (n * (1 + PENALTY))
    # In units of spread a step is as likely along one component as along another.
    return (weights * spread) @ vectors


def _without_span(vectors: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Return unit vectors from which the span of others is taken out."""
    length, left = vectors.norm(dim=1, keepdim=True), vectors
    if others:
        basis, _ = torch.linalg.qr(torch.cat(list(others)).double().T)
        unit = (vectors / length).double()
        for _ in range(2):  # once leaves rounding errors of the size of what was taken out
            unit = unit - (unit @ basis) @ basis.T
        left = (unit * length).to(vectors)
    remaining = left.norm(dim=1, keepdim=True)
    if not (remaining > 1e-4 * length).all() or not torch.isfinite(remaining).all():
        raise BrainalignError(
            "nothing is left of a direction: it is zero, or lies in the span of those it must be orthogonal to; "
            "use fewer of them, or another method"
        )
    return left / remaining


def _explained_by(method: str, centred: Tensor, projected: Tensor, scores: Tensor | None, vectors: Tensor) -> Tensor:
    """Compute the share that directions explain: of variance, of squared singular values, or of the scores."""
    if scores is not None:
        a = projected - projected.mean(dim=0)
        b = (scores - scores.mean()).to(a)[:, None]
        return ((a * b).sum(dim=0) / (a.norm(dim=0) * b.norm())).square()
    if method == "pca":
        return projected.square().sum(dim=0) / centred.square().sum()
    strength = vectors.flatten(1).square().sum(dim=1)
    return strength / strength.sum()


METHODS = ("pca", "jacobian", "supervised", "ridge", "pullback")
Method = Literal["pca", "jacobian", "supervised", "ridge", "pullback"]
LEAST = 20  # seeds


@dataclass(frozen=True)
class Directions:
    """Directions in the middle block of a denoiser.

    Attributes
    ----------
    vectors : Tensor (n_directions, n_steps, channels, rows, columns)
        Each of length 1 over all steps together.
    scale : Tensor (n_directions,)
        Standard deviation over seeds of their projection on each vector: the unit of alpha.
    explained : Tensor (n_directions,)
        pca: share of the variance of trajectories. jacobian: share of the squared singular values of those found.
        Others: squared correlation, over the seeds they were found with, of projection and annotator (NaN: `without`).
    timesteps : tuple of float (n_steps,)
    options : mapping
        Arguments of the pipeline that directions were found with.
    """

    vectors: Tensor
    scale: Tensor
    explained: Tensor
    timesteps: tuple[float, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.vectors)

    def edit(
        self,
        pipe: BrainGuidedPipeline,
        alpha: float | Sequence[float] | NDArray[np.floating],
        generator: Sequence[torch.Generator] | Sequence[int],
        *,
        direction: int = 0,
        **options: Any,
    ) -> GuidedOutput:
        """Let images form while the middle block is moved: h_t <- h_t + alpha scale v_t.

        Parameters
        ----------
        alpha : float or array (n_images,)
            In standard deviations; 0 gives the images of the same seeds without any edit.
        generator : sequence of torch.Generator or of int (n_images,)
            Or their seeds.
        **options
            Of the pipeline, in the place of those that the direction was found with.

        Returns
        -------
        GuidedOutput
            images (n_images, 3, H, W) in [0, 1].

        Raises
        ------
        BrainalignError
            If the sampler takes other steps than it did when the direction was found.
        """
        seeded = [one if isinstance(one, torch.Generator) else generators([one])[0] for one in generator]
        n = len(seeded)
        amount = (torch.as_tensor(alpha).double().expand(n) * float(self.scale[direction])).to(self.vectors)
        shift = self.vectors[direction][:, None] * amount[None, :, None, None, None]
        with edited(pipe, shift, self.timesteps, n) if amount.any() else nullcontext():
            return pipe(None, num_images=n, generator=seeded, **{**self.options, **options})

    def without(self, others: Sequence[Directions], recorded: Trajectories) -> Directions:
        """Return the directions without what others span, so that each changes what is its own, if anything is left.

        Projections of the trajectories `recorded` give the new unit of alpha.
        """
        flat = _without_span(self.vectors.flatten(1), [other.vectors.flatten(1) for other in others])
        scale = (_centred_rows(recorded) @ flat.T).std(dim=0)
        return replace(self, vectors=flat.reshape(self.vectors.shape), scale=scale, explained=scale * torch.nan)

    def select(self, rows: Sequence[int]) -> Directions:
        """Return some of the directions."""
        chosen = list(rows)
        return replace(self, vectors=self.vectors[chosen], scale=self.scale[chosen], explained=self.explained[chosen])


def semantic_directions(
    pipe: BrainGuidedPipeline,
    method: Method,
    objective: Objective | None = None,
    n_seeds: int = 256,
    n_directions: int = 3,
    spatial: Literal["full", "mean"] = "full",
    orthogonal_to: Directions | Sequence[Directions] | None = None,
    *,
    seed: int = 0,
    recorded: Trajectories | None = None,
    image: int = 0,
    **options: Any,
) -> Directions:
    """Find directions in the middle block of a denoiser.

    Parameters
    ----------
    method : {"pca", "jacobian", "supervised", "ridge", "pullback"}
        pca: principal components of the trajectories of seeds. jacobian: what changes one image most. supervised: mean
        of the tenth of the seeds whose images score highest minus that of the lowest tenth. ridge: the scores'
        regression on principal components. pullback: mean gradient of the score. The last three ask the objective; with
        a region's response as the annotator they are brain-supervised.
    objective : callable, optional
        Images (n, 3, H, W) in [0, 1] to a score each; for pullback it must be differentiable.
    n_directions : int
        Of pca and jacobian; the others find one.
    spatial : {"full", "mean"}
        "mean": the same change everywhere, which suits colour; size and place need the whole map.
    orthogonal_to : Directions or sequence of Directions, optional
        What these span is taken out of the result, so that it changes what is its own.
    seed : int
        Of the first image; seeds count up from it.
    recorded : Trajectories, optional
        From `record_trajectories`, in the place of new seeds: several annotators can share one set.
    image : int
        Of the seeds, the one whose Jacobian is taken.
    **options
        Of the pipeline, while seeds are recorded.

    Raises
    ------
    BrainalignError
        If there are fewer than 20 seeds, an annotator is missing, gives no finite score per image or the same for
        all, or nothing is left of a direction.

    References
    ----------
    Kwon M, Jeong J, Uh Y (2023). Diffusion models already have a semantic latent space. ICLR. arXiv:2210.10960
    Haas R et al. (2024). Discovering interpretable directions in the semantic latent space of diffusion models. FG.
    arXiv:2303.11073

    Examples
    --------
    >>> found = semantic_directions(pipe, "supervised", objective)
    >>> found.edit(pipe, 3.0, generators(range(1000, 1016))).images
    """
    check_choice("method", method, METHODS)
    check_choice("spatial", spatial, ("full", "mean"))
    asks = method in ("supervised", "ridge", "pullback")
    if asks and objective is None:
        raise BrainalignError(f"{method} directions need an objective: a function of images that scores each")
    n_given = n_seeds if recorded is None else len(recorded.seeds)
    if n_given < LEAST:
        raise BrainalignError(f"directions need {LEAST} seeds or more; got {n_given}")
    recorded = recorded or record_trajectories(pipe, range(seed, seed + n_seeds), **options)
    scores = _scores(objective, recorded) if asks and objective is not None else None
    shape = recorded.bottleneck.shape
    centred = _centred_rows(recorded)  # (n_seeds, n_steps · channels · rows · columns)
    if method == "pca":
        vectors, _ = _principal_components(centred, n_directions)
    elif method == "jacobian":
        dtype = pipe.unet.dtype  # the rounding of half precision hides small differences
        torch.nn.Module.to(pipe.unet, torch.promote_types(dtype, torch.float32))
        try:
            vectors = _jacobian_directions(pipe, recorded, image, n_directions).flatten(1)
        finally:
            torch.nn.Module.to(pipe.unet, dtype)
    elif method == "supervised" and scores is not None:
        order, k = scores.argsort(), max(2, round(EXTREMES * len(scores)))
        vectors = (centred[order[-k:]].mean(dim=0) - centred[order[:k]].mean(dim=0))[None]
    elif method == "ridge" and scores is not None:
        vectors = _regression_gradient(centred, scores)[None]
    elif objective is not None:
        vectors = _pulled_back(pipe, recorded, objective).flatten()[None]
    maps = vectors.reshape(len(vectors), shape[0], *shape[2:])
    if spatial == "mean":
        maps = maps.mean(dim=(3, 4), keepdim=True).expand_as(maps)
    others = [orthogonal_to] if isinstance(orthogonal_to, Directions) else list(orthogonal_to or ())
    flat = _without_span(maps.flatten(1), [other.vectors.flatten(1) for other in others])
    projected = centred @ flat.T  # (n_seeds, n_directions)
    return Directions(
        flat.reshape(len(flat), shape[0], *shape[2:]),
        projected.std(dim=0),
        _explained_by(method, centred, projected, scores, vectors),
        recorded.timesteps,
        dict(recorded.options),
    )


def random_directions(like: Directions, n_directions: int, seed: int = 0) -> Directions:
    """Return directions of random maps that move the middle block as far as the longest of `like` does.

    `scale` is the largest of `like`, so that the same alpha is an edit of the same norm or more.
    """
    draws = torch.Generator().manual_seed(seed)
    vectors = torch.randn((n_directions, *like.vectors.shape[1:]), generator=draws).to(like.vectors)
    vectors = vectors / vectors.flatten(1).norm(dim=1)[:, None, None, None, None]
    scale = like.scale.max().expand(n_directions).clone()
    return replace(like, vectors=vectors, scale=scale, explained=torch.zeros_like(scale))


def cosines(directions: Sequence[Directions]) -> NDArray[np.float64]:
    """Return the cosine of every two first directions, (n, n)."""
    flat = normalize(torch.stack([one.vectors[0].flatten() for one in directions]).double())
    return np.asarray((flat @ flat.T).cpu().numpy())


def _scores(objective: Objective, recorded: Trajectories) -> Tensor:
    with torch.no_grad():
        scores = objective(recorded.images)
    n = len(recorded.seeds)
    if scores.shape != (n,) or not torch.isfinite(scores).all() or scores.std() < 1e-12:
        raise BrainalignError(
            f"an annotator must give a finite score per image, not all the same; got the shape {tuple(scores.shape)} "
            f"for {n} images, of {len(torch.unique(scores))} values"
        )
    return scores.detach()


def _pulled_back(
    pipe: BrainGuidedPipeline, recorded: Trajectories, objective: Objective, batch_size: int = 64
) -> Tensor:
    """Return the mean over seeds of the gradient, as in guidance, by the output of the middle block, a map per step."""
    gradients = []
    for step in range(len(recorded.timesteps)):
        total = torch.zeros_like(recorded.bottleneck[step, 0])
        for start in range(0, len(recorded.seeds), batch_size):
            rows = range(start, min(start + batch_size, len(recorded.seeds)))
            h = recorded.bottleneck[step][list(rows)].clone().requires_grad_(True)
            u, signal = recorded.latents[step][list(rows)], torch.tensor(recorded.alphas[step]).to(h)
            denoiser = Denoiser(pipe.unet, pipe.vae)
            with torch.enable_grad():
                x0 = denoised_at(pipe, recorded, step, rows, h)
                images = clamped_images(denoiser, (1 - signal).sqrt() * x0 + (1 - (1 - signal).sqrt()) * u)
                score = objective(images)
                if not score.requires_grad:
                    raise BrainalignError(
                        "pullback needs a differentiable objective; supervised and ridge take any function of images"
                    )
                gradient = score_gradient(denoiser, score, images, h)
            total += gradient.nan_to_num().sum(dim=0)
        gradients.append(total / len(recorded.seeds))
    return torch.stack(gradients)


FIRST_ITERATIONS, ITERATIONS = 10, 4  # of a step that starts from random vectors, and from those of the step before
STEP = 1e-3  # of central differences, relative to the length of what is moved


def _jacobian_directions(pipe: BrainGuidedPipeline, recorded: Trajectories, image: int, n_directions: int) -> Tensor:
    """Return the top right-singular vectors of dx̂0 / dh_t of one image at every step, times their singular values."""
    from scipy.optimize import linear_sum_assignment

    draws = torch.Generator().manual_seed(0)
    start = torch.randn((n_directions, *recorded.bottleneck.shape[2:]), generator=draws).to(recorded.bottleneck)
    steps: list[Tensor] = []
    iterations = FIRST_ITERATIONS
    for step in range(len(recorded.timesteps)):
        h = recorded.bottleneck[step, image]

        def clean(moved: Tensor, step: int = step) -> Tensor:
            return denoised_at(pipe, recorded, step, [image] * len(moved), moved)

        vectors, values = _singular_vectors(clean, h, start, iterations)
        if steps:
            alike = vectors.flatten(1) @ normalize(steps[-1].flatten(1)).T
            _, mine = linear_sum_assignment(-alike.abs().T.cpu().numpy())
            order = torch.as_tensor(mine, device=vectors.device)
            sign = torch.where(alike[order, torch.arange(len(order))] < 0, -1.0, 1.0)
            vectors, values = vectors[order] * sign[:, None, None, None], values[order]
        steps.append(vectors * values[:, None, None, None])
        start, iterations = vectors, ITERATIONS
    return torch.stack(steps, dim=1)


def _singular_vectors(
    function: Callable[[Tensor], Tensor], h: Tensor, start: Tensor, n_iterations: int
) -> tuple[Tensor, Tensor]:
    """Iterate to the top right-singular vectors of the Jacobian at h: J v by differences, Jᵀ u by a backward pass."""
    point = h.detach().expand(len(start), *h.shape)
    size = STEP * max(float(h.norm()), 1e-6)
    vectors = _orthonormal(start.flatten(1))
    for _ in range(n_iterations):
        pushed = _pushed(function, point, vectors, size)
        moved = point.clone().requires_grad_(True)
        with torch.enable_grad():
            (pulled,) = torch.autograd.grad((function(moved).flatten(1) * pushed).sum(), moved)
        vectors = _orthonormal(pulled.flatten(1))
    # Within the space found, the singular vectors themselves.
    pushed = _pushed(function, point, vectors, size)
    rotation, values, _ = torch.linalg.svd(pushed, full_matrices=False)
    return (rotation.T @ vectors).reshape(start.shape), values


def _pushed(function: Callable[[Tensor], Tensor], point: Tensor, vectors: Tensor, size: float) -> Tensor:
    step = size * vectors.reshape(point.shape)
    with torch.no_grad():
        return (function(point + step) - function(point - step)).flatten(1) / (2 * size)


def _orthonormal(rows: Tensor) -> Tensor:
    return torch.linalg.qr(rows.T)[0].T
