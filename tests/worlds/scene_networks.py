"""Regions that answer to the pixels of small scenes, and small networks that learned to describe these scenes."""

from collections.abc import Sequence

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
