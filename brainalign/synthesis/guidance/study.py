"""Guided images beside everything that could explain them: what every condition gives, scored by every judge.

Conditions share seeds where they can, so that differences are paired. The guiding encoder only picks images; whether a
region would like them is for others to say: a second encoder, and in a simulation the neuron itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainalign.checks import BrainalignError, check_named
from brainalign.synthesis.guidance.baselines import evolve
from brainalign.synthesis.guidance.natural import NaturalImages
from brainalign.synthesis.guidance.steering import Objective

if TYPE_CHECKING:
    from brainalign.synthesis.guidance.pipeline import BrainGuidedPipeline

# Seeds of images that nothing else uses: those that settings are looked at on, and those that best-of-n chooses from.
VALIDATION, POOL = 10_000, 100_000


@dataclass(frozen=True)
class Sampling:
    """How images are drawn.

    Parameters
    ----------
    n_images : int
        Per condition and region.
    share_kept : float
        Of guided images, those that the guide likes best: searches keep as many, and these are compared.
    scale, trust_radius, recurrence, n_steps
        As in `BrainGuidedPipeline`.
    classifier_free_scale : float
        Of images that a prompt asks for.
    prompt, negative_prompt : str, optional
        Of all images, guided or not; a region's own words take the place of the prompt.
    batch_size : int
        Images at once.
    seed : int
        Image k has the seed 1,000,003 seed + k in every condition.
    """

    n_images: int = 16
    share_kept: float = 1.0
    scale: float = 10.0
    trust_radius: float = 0.2
    recurrence: int = 3
    n_steps: int = 25
    classifier_free_scale: float = 7.5
    prompt: str | None = None
    negative_prompt: str | None = None
    batch_size: int = 32
    seed: int = 0

    @property
    def n_kept(self) -> int:
        """How many images a search keeps, and how many guided ones are compared with them."""
        return max(1, round(self.share_kept * self.n_images))


@dataclass(frozen=True)
class SynthesisStudy:
    """Images of regions under every condition.

    Parameters
    ----------
    objectives : mapping of callables
        By region, images (n, 3, H, W) in [0, 1] to (n,): what guides.
    natural : tensor (n, 3, H, W) or NaturalImages
        Natural images at the size of the pipeline's, in [0, 1]. Judges are handed them whole, and slice them.
    prompts : mapping, optional
        By region words for it, where the pipeline reads text: what they alone give stands beside.
    progress : callable, optional
        Called with a line of words per condition.
    """

    pipe: BrainGuidedPipeline
    objectives: Mapping[str, Objective]
    judges: Judges
    natural: Tensor | NaturalImages
    sampling: Sampling = Sampling()
    prompts: Mapping[str, str] = field(default_factory=dict)
    progress: Callable[[str], object] = lambda words: None

    def __post_init__(self) -> None:
        if not self.objectives or "guide" not in self.judges.by_region:
            raise BrainalignError(
                f"a study needs regions and a judge 'guide'; got regions {list(self.objectives)}, judges "
                f"{list(self.judges.by_region)}"
            )
        check_named("prompts", self.objectives, self.prompts, "region", "give a prompt for one of these")
        for words in self.prompts.values():
            self.pipe.denoiser(1, prompt=words)  # raises before the long computation where the model reads no text
        self.pipe.denoiser(1, **self._told())

    def run(
        self,
        nulls: Sequence[Objective] = (),
        n_null_images: int = 8,
        scales: Sequence[float] = (),
        *,
        evolution: bool = True,
    ) -> Synthesised:
        """Sample and judge every condition.

        Parameters
        ----------
        nulls : sequence of callables
            Objectives of encoders fitted to shuffled responses. They belong to no region: each is sampled once and
            judged by all.
        n_null_images : int
            Of each null encoder, on the first seeds.
        scales : sequence of float
            Guidance scales to look at, on seeds of their own.
        evolution : bool
            Also evolve noise for each region, which costs as much as guidance does.
        """
        found = _JudgedImages(self.judges, list(self.objectives))
        n, sampling = self.sampling.n_images, self.sampling
        seeds = self._seeds(0, n)
        self.progress("unguided")
        plain, plain_seconds = self._sample(None, seeds, recurrence=1)
        found.add(plain, "unguided", seeds=seeds)
        if sampling.recurrence > 1:
            found.add(self._sample(None, seeds)[0], "recurrent", seeds=seeds)
        guided_seconds = 0.0
        for region, objective in self.objectives.items():
            self.progress(f"guided for {region}")
            images, seconds = self._sample(objective, seeds, found=found, region=region)
            found.add(images, "guided", region, seeds, scale=sampling.scale)
            found.add(_match(images, plain), "matched", region, seeds, scale=sampling.scale)
            guided_seconds += seconds
        for region, words in self.prompts.items():
            self.progress(f"prompted for {region}: {words}")
            found.add(self._sample(None, seeds, recurrence=1, prompt=words)[0], "prompted", region, seeds)
        ratio = guided_seconds / len(self.objectives) / max(plain_seconds, 1e-9)
        n_pool = max(n, round(ratio * n))
        self._add_searched(found, n_pool)
        # With as many samples as best-of-n, the cost of guidance.
        options = self._told() | {"num_inference_steps": sampling.n_steps, "batch_size": sampling.batch_size}
        for region, objective in self.objectives.items() if evolution else ():
            self.progress(f"evolved for {region}")
            images = evolve(self.pipe, objective, n, n_pool, sampling.seed, **options).images
            found.add(_as_shown(images[: sampling.n_kept]), "evolved", region)
        for number, null in enumerate(nulls):
            self.progress(f"null encoder {number + 1} of {len(nulls)}")
            chosen = seeds[:n_null_images]
            found.add(self._sample(null, chosen)[0], "null", seeds=chosen, null=number, scale=sampling.scale)
        seeds = self._seeds(VALIDATION, n)
        for scale, (region, objective) in product(scales, self.objectives.items()):
            self.progress(f"scale {scale:g} for {region}")
            found.add(self._sample(objective, seeds, scale=scale)[0], "sweep", region, seeds, scale=scale)
        cost = {"unguided_seconds": plain_seconds / n, "guided_seconds": guided_seconds / n / len(self.objectives)}
        return found.done(cost | {"ratio": ratio, "n_pool": n_pool})

    def _add_searched(self, found: _JudgedImages, n_pool: int) -> None:
        """Add the best of as many samples as guidance would pay for, and the best images there are."""
        n, regions = self.sampling.n_kept, list(self.objectives)
        self.progress(f"best of {n_pool}")
        pool_seeds = self._seeds(POOL, n_pool)
        pool, _ = self._sample(None, pool_seeds, recurrence=1)
        by_pool = self.judges.by_region["guide"](pool)
        by_natural = {name: judge(self.natural) for name, judge in self.judges.by_region.items() if name != "check"}
        for k, region in enumerate(regions):
            best = np.argsort(-by_pool[:, k], kind="stable")[:n]
            found.add(pool[best], "best of n", region, [pool_seeds[row] for row in best])
            for judge, condition in (("guide", "natural"), ("true", "natural true")):
                if judge in by_natural:
                    top = np.argsort(-by_natural[judge][:, k], kind="stable")[:n]
                    found.add(self.natural[top.copy()], condition, region)

    def _seeds(self, first: int, n: int) -> list[int]:
        return [1_000_003 * self.sampling.seed + first + k for k in range(n)]

    def _sample(
        self,
        objective: Objective | None,
        seeds: Sequence[int],
        *,
        scale: float | None = None,
        recurrence: int | None = None,
        prompt: str | None = None,
        found: _JudgedImages | None = None,
        region: str = "",
    ) -> tuple[Tensor, float]:
        """Return images as they will be saved, in steps of 1/255, and the seconds they took."""
        options = self.sampling
        parts, seconds = [], 0.0
        for start in range(0, len(seeds), options.batch_size):
            batch = seeds[start : start + options.batch_size]
            begun = _clock(self.pipe.device)
            out = self.pipe(
                objective,
                num_images=len(batch),
                guidance_scale=options.scale if scale is None else scale,
                trust_radius=options.trust_radius,
                generator=[torch.Generator().manual_seed(seed) for seed in batch],
                num_inference_steps=options.n_steps,
                recurrence=options.recurrence if recurrence is None else recurrence,
                **self._told(prompt),
                return_trace=found is not None,
            )
            seconds += _clock(self.pipe.device) - begun
            parts.append(_as_shown(out.images))
            if found is not None and out.trace is not None:
                found.traces.append(out.trace.assign(region=region))
        return torch.cat(parts), seconds

    def _told(self, prompt: str | None = None) -> dict[str, Any]:
        """Collect the prompts and the guidance scale of the prior, as arguments of a call."""
        options = self.sampling
        words, away = prompt if prompt is not None else options.prompt, options.negative_prompt
        scale = 0.0 if words is None and away is None else options.classifier_free_scale
        return {"prompt": words, "negative_prompt": away, "classifier_free_scale": scale}


def _match(images: Tensor, like: Tensor) -> Tensor:
    """Return images with the mean luminance and RMS contrast of others, one by one: early areas answer to these."""

    def moments(x: Tensor) -> tuple[Tensor, Tensor]:
        grey = x.mean(dim=1, keepdim=True).flatten(1)
        return grey.mean(dim=1)[:, None, None, None], grey.std(dim=1, correction=0)[:, None, None, None]

    (mean, sd), (goal_mean, goal_sd) = moments(images), moments(like)
    return _as_shown((images - mean) * goal_sd / sd.clamp_min(1e-6) + goal_mean)


def _clock(device: torch.device) -> float:
    """Return seconds of work: a CPU's own, which other jobs do not disturb, or of the wall where a GPU works."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


_ByRegion = Callable[[Any], NDArray[np.floating]]  # of a tensor, or of natural images that are read in slices
_ByImage = Callable[[Tensor], NDArray[np.floating]]


@dataclass(frozen=True)
class Judges:
    """Who says what an image is worth; all take images (n, 3, H, W) in [0, 1].

    `by_region`: "guide", "check" and, where it is known, "true": responses (n, n_regions), in the order of the regions,
    in standard deviations over natural images. `by_image`: for example "valid" and "typical", (n,).
    """

    by_region: Mapping[str, _ByRegion]
    by_image: Mapping[str, _ByImage] = field(default_factory=dict)


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


class _JudgedImages:
    """Images and what judges say of them, as they come."""

    def __init__(self, judges: Judges, regions: list[str]) -> None:
        self.judges, self.regions = judges, regions
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
        """Judge images of a condition and keep them."""
        n, grey = len(images), images.mean(dim=1).flatten(1)
        own: dict[str, Any] = {
            "image": np.arange(self.n, self.n + n),
            "condition": condition,
            "region": region,
            "seed": np.full(n, -1) if seeds is None else np.asarray(seeds),
            "null": null,
            "scale": float(scale),
            "contrast": grey.std(dim=1, correction=0).cpu().numpy(),
            "luminance": grey.mean(dim=1).cpu().numpy(),
        }
        own |= {name: np.asarray(judge(images), float) for name, judge in self.judges.by_image.items()}
        said = {name: judge(images) for name, judge in self.judges.by_region.items()}
        for k, scored in enumerate(self.regions):
            by = {name: values[:, k] for name, values in said.items()}
            self.tables.append(pd.DataFrame(own | {"scored": scored} | by))
        self.images.append((images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())
        self.n += n

    def done(self, cost: dict[str, float]) -> Synthesised:
        """Return everything that was kept."""
        steps = pd.concat(self.traces, ignore_index=True)
        values = ["timestep", "score", "grad_rms", "d_rms", "clipped"]
        means = steps.astype({"clipped": float}).groupby(["region", "step"], sort=False)[values].mean().reset_index()
        return Synthesised(np.concatenate(self.images), pd.concat(self.tables, ignore_index=True), means, cost)


def _as_shown(images: Tensor) -> Tensor:
    """Return images in the 256 steps of the file that people will open."""
    return (images.detach().float().clamp(0, 1) * 255).round() / 255
