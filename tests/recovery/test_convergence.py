"""Convergence scores on a planted hierarchy, and the size of their nulls on maps and layers without one.

Each world runs twice: reduced in `make test`, at full size (marked acceptance) in `make acceptance`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from brainalign.encoding import Convergence, LayerScores, Ridge, convergence_scores, evaluate_held_out
from brainalign.simulation import Hierarchy

Record = Callable[[str, object, str], None]
ALPHAS = tuple(np.logspace(-1, 5, 13).tolist())
N_FOLDS, N_CHOICE = 5, 3


def cases(reduced: object, full: object) -> Callable[..., pytest.MarkDecorator]:
    both = [pytest.param(reduced, id="reduced"), pytest.param(full, id="full", marks=pytest.mark.acceptance)]
    return lambda name: pytest.mark.parametrize(name, both)


def folds_of(n_images: int, seed: int) -> list[np.ndarray]:
    return np.array_split(np.random.default_rng([seed, 3]).permutation(n_images), N_FOLDS)


def held_out(X: np.ndarray, Y: np.ndarray, groups: dict[str, np.ndarray], fold: np.ndarray, n: int) -> list[np.ndarray]:
    """Return r, its draws and its null of every group of targets, on the images of one fold."""
    rest = np.setdiff1d(np.arange(len(Y)), fold)
    names = np.array([f"image{k}" for k in range(len(Y))])
    found = evaluate_held_out(
        Ridge(ALPHAS), X, Y, rest, fold, names, n_permutations=n, n_boot=n, target_groups=groups, seed=int(fold[0])
    )
    return [found.group_r, found.group_draws, found.group_null]


def averaged(layers: list[np.ndarray], Y: np.ndarray, groups: dict[str, np.ndarray], folds: list, n: int) -> list:
    """Return r, draws and null by layer, each computed within folds and then averaged over them."""
    parts = [[held_out(X, Y, groups, fold, n) for fold in folds] for X in layers]
    r, draws, null = (np.stack([np.mean([part[k] for part in some], axis=0) for some in parts]) for k in range(3))
    return [r, draws.transpose(1, 0, 2), null.transpose(1, 0, 2)]


def score_network(layers: list[np.ndarray], world: Hierarchy, seed: int, n: int) -> LayerScores:
    """Choose best layers on three folds, score them on the other two; sensors on all."""
    folds = folds_of(len(world.voxels), seed)
    areas = {f"area{a}": np.flatnonzero(world.area == a) for a in range(len(world.depth))}
    choice = averaged(layers, world.voxels, areas, folds[:N_CHOICE], n)
    scored = averaged(layers, world.voxels, areas, folds[N_CHOICE:], n)
    n_sensors, n_times = world.sensors.shape[1:]
    times = {str(t): np.arange(n_sensors) * n_times + t for t in range(n_times)}
    over_time = averaged(layers, world.sensors.reshape(len(world.sensors), -1), times, folds, n)
    sensor_r = over_time[0][:, None]  # their mean over sensors
    return LayerScores(*choice, scored[0], scored[2], sensor_r, over_time[1], over_time[2])


def scores_of(world: Hierarchy, seed: int, n: int = 200, *, random: bool = True) -> tuple[LayerScores, Convergence]:
    trained = score_network(world.layers, world, seed, n)
    other = score_network(world.random_layers, world, seed, n) if random else None
    found = convergence_scores(
        trained,
        world.distance_mm,
        random=other,
        times_s=world.times_s,
        separation_mm=world.separation_mm,
        seed=seed,
    )
    return trained, found


def row(found: Convergence, score: str, network: str = "trained") -> dict:
    table = found.scores
    return table[(table["network"] == network) & (table["score"] == score)].iloc[0].to_dict()
