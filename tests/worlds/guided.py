"""Worlds in which images are guided towards a region: simulated voxels, encoders of them, and neurons that judge. An
encoder of noisy voxels guides; neurons that look at the pixels judge, and they know nothing of the encoder. Scale,
trust radius and recurrence are those of the method page, chosen on other seeds and other encoders."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from brainalign import synthesis
from brainalign.encoding import Ridge
from brainalign.simulation import clear_scenes, measure_things, render, true_responses
from worlds.scenes import selective_voxels, train_scene_network

# What each region prefers, and the least gain of its true response, in standard deviations over natural images.
LEAST = {"red": 1.2, "large": 1.2, "leftside": 0.0, "cross": 0.8, "triangle": 0.8}
SIZE, N_VIEWS, N_NULL_IMAGES = 32, 2, 8
ALPHAS = np.logspace(-1, 5, 13)


@cache
def prior() -> synthesis.BrainGuidedPipeline:
    pipe = synthesis.BrainGuidedPipeline.from_pretrained(Path(__file__).parents[2] / "data" / "prior")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def truth(regions: tuple[str, ...], natural: np.ndarray) -> Callable[[Tensor], np.ndarray]:
    """Return a function of images to their true responses, in standard deviations over natural ones."""
    of_natural = true_responses(measure_things(natural))[list(regions)]

    def respond(images: Tensor) -> np.ndarray:
        found = true_responses(measure_things(images.permute(0, 2, 3, 1).numpy()))[list(regions)]
        return ((found - of_natural.mean()) / of_natural.std(ddof=0)).to_numpy()

    return respond


@dataclass(frozen=True)
class Encoder:
    """A network and a ridge read-out of simulated voxels, with what its training images give."""

    network: torch.nn.Module
    coef: np.ndarray
    intercept: np.ndarray
    parts: list[np.ndarray]  # features of training images and of every set of views of them
    voxels: np.ndarray
    regions: tuple[str, ...]
    of_voxel: np.ndarray

    def objective(self, region: str) -> synthesis.RegionObjective:
        """Return what guides towards a region, in standard deviations over training images."""
        mine = np.flatnonzero(self.of_voxel == region)
        return synthesis.RegionObjective(self.network, self.coef, self.intercept, mine).standardised(self.parts[0])

    def judge(self) -> Callable[[Tensor], np.ndarray]:
        objectives = [self.objective(region) for region in self.regions]

        def said(images: Tensor) -> np.ndarray:
            with torch.no_grad():
                features = self.network(images).numpy()
            return np.stack([objective.score(features) for objective in objectives], axis=1)

        return said


@cache  # whatever the regions
def trained(seed: int) -> tuple[np.ndarray, torch.nn.Module, list[np.ndarray]]:
    """Return scenes, a network of them, and its features of scenes and views: as guidance shows a scene."""
    scenes = clear_scenes(2000, 50_000 + seed)
    images = render(scenes, SIZE)
    pictures = tensor(images)
    views = synthesis.denoised_views(prior(), pictures, N_VIEWS, seed=seed)
    network = train_scene_network(scenes, pictures, views=views, n_steps=500, seed=seed)
    with torch.no_grad():
        return images, network, [network(x).numpy() for x in (pictures, *views)]


@cache  # the one that guides in a world checks in another
def fit_encoder(regions: tuple[str, ...], seed: int) -> Encoder:
    """Fit an encoder to voxels that saw scenes of its own; views carry the scene's response."""
    images, network, parts = trained(seed)
    voxels, of_voxel = selective_voxels(images, regions, seed=seed)
    coef, intercept = read_out(parts, voxels)
    return Encoder(network, coef, intercept, parts, voxels, regions, of_voxel)


def read_out(parts: list[np.ndarray], voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and intercepts of voxels; a scene and its views stay in one fold."""
    shown = np.concatenate(parts), np.tile(voxels, (len(parts), 1))
    ridge = Ridge(ALPHAS, cv=5, device="cpu").fit(*shown, groups=np.tile(np.arange(len(voxels)), len(parts)))
    return np.asarray(ridge.coef_), np.asarray(ridge.intercept_)


def null_objectives(guide: Encoder, n_nulls: int, seed: int) -> list[synthesis.RegionObjective]:
    """Return objectives of read-outs that were fitted to voxels in shuffled order, one region each."""
    rng = np.random.default_rng([seed, 1])
    shuffled = [guide.voxels[rng.permutation(len(guide.voxels))] for _ in range(n_nulls)]
    coef, intercept = read_out(guide.parts, np.concatenate(shuffled, axis=1))  # a voxel's fit is its own
    found = []
    for number in range(n_nulls):
        mine = np.arange(len(guide.of_voxel)) + number * len(guide.of_voxel)
        one = replace(guide, coef=coef[:, mine], intercept=intercept[mine])
        found.append(one.objective(guide.regions[number % len(guide.regions)]))
    return found


def synthesise(
    regions: tuple[str, ...], seed: int, sampling: synthesis.Sampling, n_nulls: int = 0, check: int | None = None
) -> synthesis.Synthesised:
    """Fit a guiding encoder, and sample every condition, evolution where there are nulls, too. The encoder of the world
    `check` looks at the images as well."""
    pipe, guide = prior(), fit_encoder(regions, 2 * seed)
    natural = render(clear_scenes(2000, 90_000 + seed), SIZE)

    def valid(images: Tensor) -> np.ndarray:
        return measure_things(images.permute(0, 2, 3, 1).numpy()).valid.astype(float)

    by_region = {"guide": guide.judge(), "true": truth(regions, natural)}
    if check is not None:
        by_region["check"] = fit_encoder(regions, 2 * check).judge()
    objectives = {region: guide.objective(region) for region in regions}
    nulls = null_objectives(guide, n_nulls, 2 * seed) if n_nulls else []
    judges = synthesis.Judges(by_region, {"valid": valid})
    study = synthesis.SynthesisStudy(pipe, objectives, judges, tensor(natural), sampling)
    return study.run(nulls, N_NULL_IMAGES if nulls else 0, evolution=bool(nulls))


def of(gains: pd.DataFrame, region: str, against: str, score: str = "true") -> pd.Series:
    chosen = (gains["region"] == region) & (gains["against"] == against) & (gains["score"] == score)
    return gains[chosen & (gains["condition"] == "guided")].iloc[0]


def validity(table: pd.DataFrame, condition: str, region: str = "") -> float:
    """Return the share of images that show one clear shape."""
    mine = table[(table["condition"] == condition) & (table["region"] == region)].drop_duplicates("image")
    return float(mine["valid"].mean())


def interval(row: pd.Series) -> str:
    return f"{row['gain']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
