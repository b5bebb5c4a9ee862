"""Images of a study at the size of a diffusion model, and the features of views that guidance would show of them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import euclidean_distances
from torch import Tensor
from torch.nn import functional

from brainalign.checks import BrainalignError, check_shape
from brainalign.features import load_image
from brainalign.synthesis.guidance.denoiser import PREDICTIONS, check_scheduler

if TYPE_CHECKING:
    from brainalign.synthesis.guidance.pipeline import BrainGuidedPipeline

CHUNK = 32  # images whose views share a seed: a constant, so that the batch size changes no number

Floats = NDArray[np.floating]


def load_resized(paths: Sequence[str], size: int) -> Tensor:
    """Return image files as (n, 3, size, size) in [0, 1], squeezed to a square where they are none."""
    return torch.cat([resized(load_image(path)[None], size) for path in paths])


class NaturalImages:
    """Image files at one size, read to a device when they are asked for: a few are in memory at a time."""

    def __init__(self, paths: Sequence[str], size: int, device: torch.device | str = "cpu") -> None:
        self.paths, self.size, self.device = list(paths), size, device

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> Tensor:
        """Return images (n, 3, size, size) in [0, 1]."""
        chosen = self.paths[rows] if isinstance(rows, slice) else [self.paths[int(row)] for row in rows]
        return load_resized(chosen, self.size).to(self.device)


def features_of_views(
    pipe: "BrainGuidedPipeline",
    paths: Sequence[str],
    network: Callable[[Tensor], Tensor],
    n_views: int = 0,
    seed: int = 0,
    batch_size: int = CHUNK,
) -> NDArray[np.float32]:
    """Return features of images at the size of a diffusion model, and of noised and denoised views of them.

    The result is (1 + n_views, n_images, d), the clean images first. `network` takes images (n, 3, H, W) in [0, 1] to
    features (n, d), `batch_size` of them at once, which changes no number; few files are in memory at a time.
    """
    parts = []
    for first in range(0, len(paths), CHUNK):
        images = load_resized(paths[first : first + CHUNK], pipe.image_size)
        shown = images[None]
        if n_views:
            shown = torch.cat([shown, denoised_views(pipe, images, n_views, seed=seed + first, at_once=batch_size)])
        with torch.no_grad():
            seen = [torch.cat([network(some) for some in view.split(batch_size)]) for view in shown]
            parts.append(torch.stack(seen).float().cpu().numpy())
    return np.concatenate(parts, axis=1)


class Typicality:
    """How near an image lies to natural ones: their usual distance from the nearest other one, over its own.

    At most 1, which is a typical natural image; 0.5 lies twice as far from any natural one as these do from each other.
    A stand-in for validity where nobody can say what an image should look like; compare with unguided images, for a
    diffusion model of other images is far from all of them.

    `network` turns images into features (n, d), and is not the one that guided; `natural` (n_images, d) are its
    features of natural images, three at least.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], natural: Floats) -> None:
        if len(natural) < 3:
            raise BrainalignError(f"typicality needs three natural images or more; got {len(natural)}")
        self.network = network
        sd = natural.std(axis=0)
        self._scale = np.maximum(sd, 0.01 * max(float(np.sqrt((sd**2).mean())), 1e-12))
        self._natural = (natural / self._scale).astype(np.float64)
        own = euclidean_distances(self._natural)
        np.fill_diagonal(own, np.inf)
        self._usual = float(np.median(own.min(axis=1)))

    def __call__(self, images: Tensor) -> Floats:
        """Return a number in [0, 1] per image, (n,)."""
        with torch.no_grad():
            values = self.network(images).float().cpu().numpy()
        apart = euclidean_distances((values / self._scale).astype(np.float64), self._natural)
        apart[apart < 1e-3 * self._usual] = np.inf  # a natural image is no neighbour of itself
        return np.asarray(np.minimum(1, self._usual / np.maximum(apart.min(axis=1), 1e-12)))


def resized(images: Tensor, size: int) -> Tensor:
    """Return images (n, 3, size, size) in [0, 1], antialiased; as they are where they have that size."""
    if images.shape[-2:] == (size, size):
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True).clamp(0, 1)


@torch.no_grad()
def denoised_views(
    pipe: "BrainGuidedPipeline",
    images: Tensor,
    n_draws: int = 2,
    seed: int = 0,
    batch_size: int = 64,
    at_once: int | None = None,
) -> Tensor:
    """Compute the views (n_draws, n, 3, size, size) that guidance would show an encoder on its way to each image.

    Per draw: t uniform over the training steps, u = √ā x + √(1 − ā) ε, one pass of the network to x₀, then
    w = √(1 − ā) x₀ + (1 − √(1 − ā)) u, decoded and clamped to [0, 1].

    Parameters
    ----------
    images : tensor (n, 3, size, size) in [0, 1]
        Of the size of the pipeline's images.
    batch_size : int
        Images whose noise is drawn together: another one gives other noise.
    at_once : int, optional
        Images that go through the networks together, which is what needs memory; `batch_size` where not given.
    """
    size = pipe.image_size
    check_shape("an image", images.shape[1:], (3, size, size), "the diffusion model makes", "resize them first")
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
