"""Small scenes: regions that answer to their pixels, small networks that learned to describe them, embeddings of what
their labels say, and voxels that answer to some labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from brainalign.simulation import measure_things, true_responses
from brainalign.simulation.voxels import COLOURS, SHAPES

GAIN = (0.6, 1.2)

CHANNELS, WIDTH, BATCH = (24, 48, 64), 64, 64
MEASURES = ("size", "x", "y")


def selective_voxels(
    images: NDArray[np.uint8], regions: Sequence[str], n_voxels: int = 20, noise_sd: float = 1.0, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Simulate voxels of regions: gain × z-scored response of the region's neuron + noise, gain uniform in .6-1.2.
    `regions` are names in `SHAPE_NEURONS`. Returns responses (n_images, n_regions × n_voxels) and each voxel's
    region."""
    rng = np.random.default_rng([seed, 0x5E1])
    found = true_responses(measure_things(images))[list(regions)]
    signal = ((found - found.mean()) / found.std(ddof=0)).to_numpy()
    voxels = (signal[:, :, None] * rng.uniform(*GAIN, (len(regions), n_voxels))).reshape(len(images), -1)
    voxels += noise_sd * rng.standard_normal(voxels.shape)
    return voxels.astype(np.float32), np.repeat(list(regions), n_voxels)


def train_scene_network(
    scenes: pd.DataFrame, images: torch.Tensor, *, views: torch.Tensor | None = None, n_steps: int, seed: int = 0
) -> torch.nn.Module:
    """Train a convolutional network to name shape and colour and measure size and place, through 64 features. Views
    (n_views, n_scenes, 3, size, size) are other pictures of the same scenes, such as denoised ones: three of five
    rows of every batch are taken from them. The frozen network maps images (n, 3, size, size) in [0, 1] to features
    (n, 64) of mean 0 and variance 1 over features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for before, after in zip((3, *CHANNELS[:-1]), CHANNELS, strict=True):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2)]
        n_flat = CHANNELS[-1] * (images.shape[-1] // 2 ** len(CHANNELS)) ** 2
        layers += [nn.Flatten(), nn.Linear(n_flat, WIDTH), nn.LayerNorm(WIDTH, elementwise_affine=False)]
        network = nn.Sequential(*layers)
        head = nn.Linear(WIDTH, len(SHAPES) + len(COLOURS) + len(SHAPES) * len(COLOURS) + len(MEASURES))
    shape = torch.tensor([list(SHAPES).index(s) for s in scenes["shape"]])
    colour = torch.tensor([list(COLOURS).index(c) for c in scenes["colour"]])
    measures = torch.tensor(scenes[list(MEASURES)].to_numpy(np.float32))
    measures = (measures - measures.mean(dim=0)) / measures.std(dim=0)
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=n_steps)
    draws = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        rows = torch.randint(len(images), (BATCH,), generator=draws)
        batch = images[rows]
        if views is not None:
            which = torch.randint(len(views), (BATCH,), generator=draws)
            seen = (torch.rand(BATCH, generator=draws) < 0.6)[:, None, None, None]
            batch = torch.where(seen, views[which, rows], batch)
        batch = batch.contiguous(memory_format=torch.channels_last)  # on a CPU a third faster
        sizes = [len(SHAPES), len(COLOURS), len(SHAPES) * len(COLOURS), len(MEASURES)]
        parts = head(network(batch)).split(sizes, dim=1)
        loss = functional.mse_loss(parts[3], measures[rows])
        for part, answer in zip(parts[:3], (shape, colour, shape * len(COLOURS) + colour), strict=True):
            loss = loss + functional.cross_entropy(part, answer[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval().requires_grad_(False)


INDIFFERENT = ""  # of an attribute that a voxel does not care for


def labelled_embeddings(
    scenes: pd.DataFrame, attributes: Sequence[str], n_features: int = 48, noise: float = 0.6, seed: int = 0
) -> NDArray[np.float64]:
    """Embed scenes as CLIP-like models do: what all share, a unit vector per value, and noise of a length. Lengths of
    the embeddings (n_scenes, n_features) are uniform in 8 to 12."""
    rng = np.random.default_rng([seed, 0xE3B])
    total = np.tile(2 * _unit(rng.standard_normal(n_features)), (len(scenes), 1))
    for name in attributes:
        directions = {value: _unit(rng.standard_normal(n_features)) for value in sorted(scenes[name].unique())}
        total += np.stack([directions[value] for value in scenes[name]])
    total += noise * rng.standard_normal(total.shape) / np.sqrt(n_features)
    return np.asarray(_unit(total) * rng.uniform(8, 12, (len(scenes), 1)))


def captioned_voxels(
    scenes: pd.DataFrame, attributes: Mapping[str, float], n_voxels: int = 60, noise_sd: float = 1.0, seed: int = 0
) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Simulate voxels that answer to one value of each attribute they care for: z-scored sum of matches + noise.
    `attributes` are columns of scenes, with the share of voxels that care for each; every voxel cares for one or
    more. Returns responses (n_scenes, n_voxels), and the value each voxel prefers, "" where it does not care."""
    rng = np.random.default_rng([seed, 0xCA9])
    values = {name: sorted(scenes[name].unique()) for name in attributes}
    rows: list[dict[str, Any]] = []
    for _ in range(n_voxels):
        cares = {name: rng.random() < share for name, share in attributes.items()}
        if not any(cares.values()):
            cares[list(attributes)[rng.integers(len(attributes))]] = True
        drawn = {name: values[name][rng.integers(len(values[name]))] for name in attributes}
        rows.append({name: drawn[name] if cares[name] else INDIFFERENT for name in attributes})
    planted, signal = pd.DataFrame(rows), np.zeros((len(scenes), n_voxels))
    for name in attributes:
        signal += scenes[name].to_numpy()[:, None] == planted[name].to_numpy()
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    return (signal + noise_sd * rng.standard_normal(signal.shape)).astype(np.float32), planted


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True))
