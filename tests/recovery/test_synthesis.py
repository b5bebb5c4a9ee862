"""Guided images raise the true response of a region, shuffled encoders raise none, and the cheap searches stand beside.

An encoder of noisy voxels guides; neurons that look at the pixels judge, and they know nothing of the encoder. Scale,
trust radius and recurrence are those of the method page, chosen on other seeds and other encoders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from brainalign.encoding import Ridge
from brainalign.simulation import (
    clear_scenes,
    measure_things,
    render,
    selective_voxels,
    train_scene_network,
    true_responses,
)
from brainalign.synthesis import (
    BrainGuidedPipeline,
    Judges,
    RegionObjective,
    Sampling,
    Synthesised,
    SynthesisStudy,
    denoised_views,
)

Record = Callable[[str, object, str], None]

PRIOR = Path(__file__).parents[2] / "data" / "prior"
# What each region prefers, and the least gain of its true response, in standard deviations over natural images.
LEAST = {"red": 1.2, "large": 1.2, "leftside": 0.0, "cross": 0.8, "triangle": 0.8, "bluecircle": 0.8}
SIZE, N_TRAINING, N_VIEWS = 32, 2000, 2
ALPHAS = np.logspace(-1, 5, 13)
SEEDS = (0, 1, 2)


def tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


@dataclass(frozen=True)
class Encoder:
    """A network and a ridge read-out of simulated voxels, with what its training images give."""

    network: torch.nn.Module
    coef: np.ndarray
    intercept: np.ndarray
    natural: np.ndarray
    regions: tuple[str, ...]
    of_voxel: np.ndarray

    def objective(self, region: str) -> RegionObjective:
        """Return what guides towards a region, in standard deviations over training images."""
        mine = np.flatnonzero(self.of_voxel == region)
        return RegionObjective(self.network, self.coef, self.intercept, mine).standardised(self.natural)

    def judge(self) -> Callable[[Tensor], np.ndarray]:
        """Return the responses of all regions to images."""
        objectives = [self.objective(region) for region in self.regions]

        def said(images: Tensor) -> np.ndarray:
            with torch.no_grad():
                features = self.network(images).numpy()
            return np.stack([objective.score(features) for objective in objectives], axis=1)

        return said


def fit_encoder(pipe: BrainGuidedPipeline, regions: tuple[str, ...], seed: int, *, shuffle: bool = False) -> Encoder:
    """Fit an encoder to voxels that saw scenes of its own; views as guidance shows them carry the scene's response."""
    scenes = clear_scenes(N_TRAINING, 50_000 + seed)
    images = render(scenes, SIZE)
    pictures = tensor(images)
    views = denoised_views(pipe, pictures, N_VIEWS, seed=seed)
    network = train_scene_network(scenes, pictures, views=views, n_steps=500, seed=seed)
    voxels, of_voxel = selective_voxels(images, regions, seed=seed)
    with torch.no_grad():
        parts = [network(x).numpy() for x in (pictures, *views)]
    return read_out(network, parts, voxels, of_voxel, regions)


def read_out(
    network: torch.nn.Module,
    parts: list[np.ndarray],
    voxels: np.ndarray,
    of_voxel: np.ndarray,
    regions: tuple[str, ...],
) -> Encoder:
    scenes = np.tile(np.arange(len(voxels)), len(parts))  # a scene and its views stay in one fold
    ridge = Ridge(ALPHAS, cv=5, device="cpu").fit(
        np.concatenate(parts), np.tile(voxels, (len(parts), 1)), groups=scenes
    )
    return Encoder(network, np.asarray(ridge.coef_), np.asarray(ridge.intercept_), parts[0], regions, of_voxel)


def null_objectives(guide: Encoder, pipe: BrainGuidedPipeline, n_nulls: int, seed: int) -> list[RegionObjective]:
    """Return objectives of read-outs that were fitted to voxels in shuffled order, one region each."""
    scenes = clear_scenes(N_TRAINING, 50_000 + seed)
    images = render(scenes, SIZE)
    voxels, of_voxel = selective_voxels(images, guide.regions, seed=seed)
    views = denoised_views(pipe, tensor(images), N_VIEWS, seed=seed)
    with torch.no_grad():
        parts = [guide.network(x).numpy() for x in (tensor(images), *views)]
    rng = np.random.default_rng([seed, 1])
    found = []
    for number in range(n_nulls):
        shuffled = read_out(guide.network, parts, voxels[rng.permutation(len(voxels))], of_voxel, guide.regions)
        found.append(shuffled.objective(guide.regions[number % len(guide.regions)]))
    return found


def synthesise(
    regions: tuple[str, ...], seed: int, n_images: int, n_nulls: int, n_null_images: int, *, recurrence: int = 3
) -> Synthesised:
    pipe = BrainGuidedPipeline.from_pretrained(PRIOR)
    guide, check = fit_encoder(pipe, regions, 2 * seed), fit_encoder(pipe, regions, 2 * seed + 1)
    natural = render(clear_scenes(2000, 90_000 + seed), SIZE)
    of_natural = true_responses(measure_things(natural))[list(regions)]

    def true(images: Tensor) -> np.ndarray:
        found = true_responses(measure_things(images.permute(0, 2, 3, 1).numpy()))[list(regions)]
        return ((found - of_natural.mean()) / of_natural.std(ddof=0)).to_numpy()

    def valid(images: Tensor) -> np.ndarray:
        return measure_things(images.permute(0, 2, 3, 1).numpy()).valid.astype(float)

    judges = Judges({"guide": guide.judge(), "check": check.judge(), "true": true}, {"valid": valid})
    study = SynthesisStudy(
        pipe,
        {region: guide.objective(region) for region in regions},
        judges,
        tensor(natural),
        Sampling(n_images=n_images, recurrence=recurrence, batch_size=64, seed=100 + seed),
    )
    nulls = null_objectives(guide, pipe, n_nulls, 2 * seed) if n_nulls else []
    return study.run(nulls, n_null_images)


def gain(gains: pd.DataFrame, region: str, against: str, score: str = "true") -> pd.Series:
    chosen = (gains["region"] == region) & (gains["against"] == against) & (gains["score"] == score)
    return gains[chosen & (gains["condition"] == "guided")].iloc[0]


def validity(table: pd.DataFrame, condition: str, region: str = "") -> float:
    mine = table[(table["condition"] == condition) & (table["region"] == region)].drop_duplicates("image")
    return float(mine["valid"].mean())
