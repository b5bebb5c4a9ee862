"""Scenes embedded by what their labels say, and voxels that answer to some labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
