"""Images as they come, and what every judge says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

ByRegion = Callable[[Any], NDArray[np.floating]]  # of a tensor, or of natural images that are read in slices
ByImage = Callable[[Tensor], NDArray[np.floating]]


@dataclass(frozen=True)
class Judges:
    """Who says what an image is worth; all take images (n, 3, H, W) in [0, 1].

    Parameters
    ----------
    by_region : mapping of callables
        "guide", "check" and, where it is known, "true": responses (n, n_regions), in the order of the regions, in
        standard deviations over natural images.
    by_image : mapping of callables
        For example "valid" and "typical": (n,).
    """

    by_region: Mapping[str, ByRegion]
    by_image: Mapping[str, ByImage] = field(default_factory=dict)


@dataclass(frozen=True)
class Synthesised:
    """What a study made.

    Attributes
    ----------
    images : array (n_images, size, size, 3), uint8
    table : DataFrame
        A row per image and region that judges it: image (row of `images`), condition, region (guided for, or ""),
        seed, null (number of the null encoder, or -1), scale, contrast (RMS), luminance, what `Judges.by_image` say,
        scored (region), and what `Judges.by_region` say.
    steps : DataFrame
        region, step, timestep, score, grad_rms, d_rms, clipped: means over images.
    cost : dict
        Seconds per image, unguided and guided, their ratio, and the number of images that best-of-n chose from
        and that evolution sampled.
    """

    images: NDArray[np.uint8]
    table: pd.DataFrame
    steps: pd.DataFrame
    cost: dict[str, float]


class JudgedImages:
    """Images and what judges say of them, as they come."""

    def __init__(self, judges: Judges, regions: list[str]) -> None:
        self.judges = judges
        self.regions = regions
        self.images: list[NDArray[np.uint8]] = []
        self.tables: list[pd.DataFrame] = []
        self.traces: list[pd.DataFrame] = []
        self.n = 0

    def add(
        self,
        images: Tensor,
        condition: str,
        region: str = "",
        seeds: Sequence[int] | None = None,
        *,
        null: int = -1,
        scale: float = 0.0,
    ) -> None:
        """Judge images of a condition and keep them.

        Parameters
        ----------
        images : tensor (n, 3, H, W) in [0, 1]
        condition, region : str
        seeds : sequence of int, optional
            One per image, where they come from noise.
        null : int
            Number of the null encoder that guided.
        scale : float
            Of guidance.
        """
        n = len(images)
        grey = images.mean(dim=1)
        own: dict[str, Any] = {
            "image": np.arange(self.n, self.n + n),
            "condition": condition,
            "region": region,
            "seed": np.full(n, -1) if seeds is None else np.asarray(seeds),
            "null": null,
            "scale": float(scale),
            "contrast": grey.flatten(1).std(dim=1, correction=0).cpu().numpy(),
            "luminance": grey.flatten(1).mean(dim=1).cpu().numpy(),
        }
        own |= {name: np.asarray(judge(images), float) for name, judge in self.judges.by_image.items()}
        said = {name: judge(images) for name, judge in self.judges.by_region.items()}
        for k, scored in enumerate(self.regions):
            by = {name: values[:, k] for name, values in said.items()}
            self.tables.append(pd.DataFrame(own | {"scored": scored} | by))
        self.images.append((images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())
        self.n += n

    def trace(self, region: str, trace: pd.DataFrame) -> None:
        """Keep what every step of one region's guidance did."""
        self.traces.append(trace.assign(region=region))

    def done(self, cost: dict[str, float]) -> Synthesised:
        """Return everything that was kept."""
        steps = pd.concat(self.traces, ignore_index=True)
        values = ["timestep", "score", "grad_rms", "d_rms", "clipped"]
        means = steps.astype({"clipped": float}).groupby(["region", "step"], sort=False)[values].mean().reset_index()
        return Synthesised(np.concatenate(self.images), pd.concat(self.tables, ignore_index=True), means, cost)


def as_shown(images: Tensor) -> Tensor:
    """Return images in the 256 steps of the file that people will open."""
    return (images.detach().float().clamp(0, 1) * 255).round() / 255
