"""A world with a planted hierarchy: deeper layers drive areas farther from V1, and sensors later. 600 images; 6 layers
of 30 features, h' = .5h + .9tanh(1.5hM) + .3ε, standardised, M ~ N(0, 1/30). 18 areas × 6 voxels mix two adjacent
layers at a depth linear in 0 to 5; distance from V1 0 to 80 mm with sd 4 mm, on a half disc around V1; signal over
noise sd .7, so no r above .573. 30 sensors × 60 times from −.1 to .5 s: layer l speaks in a Gaussian of sd 25 ms
about 80 + 50·l ms; noise sd 3."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.encoding import Convergence

Values = NDArray[np.float64]

N_VOXELS = 6  # per area
SIGNAL_SD = 0.7
R_CEILING = SIGNAL_SD / np.sqrt(1 + SIGNAL_SD**2)
DISTANCE_MM, DISTANCE_SD_MM = 80.0, 4.0
N_SENSORS, SENSOR_NOISE_SD = 30, 3.0
FIRST_S, STEP_S, WIDTH_S = 0.08, 0.05, 0.025


@dataclass(frozen=True)
class Hierarchy:
    """Simulated features and responses, and the truth behind them."""

    # both list of arrays (n_images, n_features): of the network behind the responses, and of another with weights of
    # its own on the same first layer's images
    layers: list[Values]
    random_layers: list[Values]
    voxels: Values  # (n_images, n_areas · 6)
    area: NDArray[np.intp]  # (n_areas · 6,) of int: Area of each voxel
    depth: Values  # (n_areas,): planted layer number, fractional
    distance_mm: Values  # (n_areas,): from V1
    separation_mm: Values  # (n_areas, n_areas)
    sensors: Values  # (n_images, 30, 60)
    times_s: Values  # (60,)
    latency_s: Values  # (n_layers,)


def hierarchy(n_images=600, n_layers=6, n_features=30, n_areas=18, *, seed=0) -> Hierarchy:
    """Simulate a network, another with random weights, areas along a hierarchy, and sensors over time. Raugel J et al.
    (2025). Disentangling the factors of convergence between brains and computer vision models. arXiv:2508.18226"""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n_images, n_features))
    layers = _network(images, n_layers, rng)
    random_layers = _network(images @ rng.normal(size=(n_features, n_features)), n_layers, rng)
    depth, area = np.linspace(0, n_layers - 1, n_areas), np.repeat(np.arange(n_areas), N_VOXELS)
    voxels = np.column_stack([_mixture(layers, depth[a], rng) for a in area])
    voxels = SIGNAL_SD * voxels + rng.normal(size=voxels.shape)
    distance = np.linspace(0, DISTANCE_MM, n_areas) + rng.normal(0, DISTANCE_SD_MM, n_areas)
    angle = rng.uniform(-np.pi / 2, np.pi / 2, n_areas)
    places = distance[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    times, latency = np.linspace(-0.1, 0.5, 60), FIRST_S + STEP_S * np.arange(n_layers)
    course = np.exp(-((times - latency[:, None]) ** 2) / (2 * WIDTH_S**2))  # (n_layers, n_times)
    spoken = [layer @ rng.normal(0, n_features**-0.5, (n_features, N_SENSORS)) for layer in layers]
    sensors = np.einsum("lns,lt->nst", np.stack(spoken), course)
    sensors += rng.normal(0, SENSOR_NOISE_SD, sensors.shape)
    areas = voxels, area, depth, distance, np.linalg.norm(places[:, None] - places, axis=2)
    return Hierarchy(layers, random_layers, *areas, sensors, times, latency)


def _standardised(values: Values) -> Values:
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


def _network(images: Values, n_layers: int, rng: np.random.Generator) -> list[Values]:
    layers, n = [_standardised(images)], images.shape[1]
    for _ in range(n_layers - 1):
        h = layers[-1]
        mixed = np.tanh(1.5 * h @ rng.normal(0, n**-0.5, (n, n)))
        layers.append(_standardised(0.5 * h + 0.9 * mixed + 0.3 * rng.normal(size=h.shape)))
    return layers


def _mixture(layers: Sequence[Values], depth: float, rng: np.random.Generator) -> Values:
    """Return a standardised signal between the layer below a depth and the one above."""
    low = min(int(depth), len(layers) - 2)
    above = depth - low
    mixed = (1 - above) * layers[low] + above * layers[low + 1]
    return _standardised(mixed @ rng.normal(size=mixed.shape[1]))


def row(found: Convergence, score: str, network: str = "trained") -> dict:
    table = found.scores
    return table[(table["network"] == network) & (table["score"] == score)].iloc[0].to_dict()


def smooth_maps(separation_mm: NDArray[np.floating[Any]], length_mm: float, n_maps: int, *, seed: int = 0) -> Values:
    """Return unrelated maps (n_maps, n_areas) that vary smoothly: Gaussian fields, correlation exp(−d² / 2·length²)."""
    values, vectors = np.linalg.eigh(np.exp(-(np.asarray(separation_mm) ** 2) / (2 * length_mm**2)))
    noise = np.random.default_rng(seed).normal(size=(n_maps, len(values)))
    return np.asarray((noise * np.sqrt(np.maximum(values, 0))) @ vectors.T)
