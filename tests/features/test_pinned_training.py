"""What a seed trains is the same in every release, up to rounding."""

import numpy as np
import pytest

from brainalign.features import HEADS, LatentDynamics, RandomUnits, SparseAutoencoder, dictionary_quality, stability

VIDEOS = np.random.default_rng(0).normal(size=(9, 12, 4)).cumsum(axis=1) * [1, 2, 0.5, 0] + 3
ROWS = np.random.default_rng(1).normal(size=(70, 6)).astype(np.float32) * [1, 2, 3, 1, 1, 1] + 2


def number(values: np.ndarray) -> float:
    """Return a mean of numbers, each with a weight of its own."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    return float(flat @ (1 + np.cos(np.arange(len(flat)))) / len(flat))


def rolled_out(head: str) -> list[float]:
    model = LatentDynamics(head, n_context=3, width=6, n_steps=8, batch_size=5, seed=2).fit(VIDEOS)
    assert len(model.losses_) == 8 * (head != "identity")
    return [number(model.simulate(VIDEOS[:2, :3], 5)), *model.losses_[::7]]


def coded(coding: str) -> list[float]:
    first, second = (
        SparseAutoencoder(9, 2, coding, epochs=60, batch_size=16, seed=seed).fit(ROWS, rows=np.arange(60))
        for seed in (2, 3)
    )
    codes, found = first.transform(ROWS), dictionary_quality(first, ROWS[60:])
    alike = stability([first.atoms_, second.atoms_], seed=4)
    quality = [found.unexplained, found.n_active, found.dead]
    return [number(codes), number(first.inverse_transform(codes)), *quality, *alike.values()]


PINNED: dict[str, list[float]] = {
    "identity": [3.683],
    "mlp": [3.9088, 0.23157, 2.4728],
    "lstm": [3.9201, 0.26352, 2.9546],
    "ctrnn": [3.1276, 0.47879, 2.6876],
    "topk": [0.48394, 1.7269, 0.32752, 2, 0.22222, 0.59502, 0.11111, 0.43213, 0],
    "matching_pursuit": [0.53461, 1.7178, 0.2694, 2, 0.22222, 0.53909, 0, 0.43213, 0],
}


@pytest.mark.parametrize("head", HEADS)
def test_dynamics_of_a_seed_stay(head: str) -> None:
    assert rolled_out(head) == pytest.approx(PINNED[head], rel=1e-2)


@pytest.mark.parametrize("coding", ["topk", "matching_pursuit"])
def test_dictionaries_of_a_seed_stay(coding: str) -> None:
    assert coded(coding) == pytest.approx(PINNED[coding], rel=1e-2)


def test_random_units_are_rectified_projections() -> None:
    units = RandomUnits(5, 3).fit(ROWS, rows=np.arange(40))
    weights = np.random.default_rng(3).normal(size=(6, 5))
    centred = ROWS.astype(float) - ROWS[:40].astype(float).mean(axis=0)
    scale = np.sqrt((centred[:40] ** 2).sum(axis=1).mean())
    np.testing.assert_allclose(units.transform(ROWS), np.maximum(centred @ weights / scale, 0), atol=1e-6)
