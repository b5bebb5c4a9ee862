"""Successor representations against counted visits, checkpoints against RDMs by hand."""

from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from sklearn.linear_model import Ridge

from brainalign.geometry import (
    at_equal_return,
    compare,
    compare_checkpoints,
    participation_ratio,
    place_error,
    rankme,
    rdm,
    successor_rdm,
    successor_representation,
)

RING = (np.roll(np.eye(8), 1, axis=1) + np.roll(np.eye(8), -1, axis=1)) / 2


def test_visits_are_a_discounted_sum_of_powers() -> None:
    P = np.random.default_rng(0).dirichlet(np.ones(6), size=6)
    powers = sum(0.7**k * np.linalg.matrix_power(P, k) for k in range(200))
    np.testing.assert_allclose(successor_representation(P, 0.7), powers, atol=1e-10)
    np.testing.assert_allclose(successor_representation(P, 0.7, ahead=True), P @ powers, atol=1e-10)
    np.testing.assert_allclose(successor_representation(P, 0.7).sum(axis=1), 1 / 0.3)


def test_dissimilarities_of_a_ring_grow_with_distance_in_one_order() -> None:
    slow, fast = successor_rdm(RING, 0.5), successor_rdm(RING, 0.9)
    assert compare(slow, fast, "spearman")[0, 0] > 1 - 1e-9
    assert compare(slow, fast, "pearson")[0, 0] < 0.99
    assert np.ptp(successor_rdm(RING, 0.0)) < 1e-12
    features = np.random.default_rng(1).normal(size=(8, 3))
    np.testing.assert_allclose(
        successor_rdm(RING, 0.5, features=features, ahead=True, distance="correlation"),
        rdm(RING @ np.linalg.inv(np.eye(8) - 0.5 * RING) @ features, "correlation"),
    )


@pytest.mark.parametrize(
    ("P", "gamma", "message"),
    [
        (RING[:4], 0.5, "give .n_states, n_states."),
        (2 * RING, 0.5, "row 0 adds up to 2"),
        (RING - np.eye(8) + np.roll(np.eye(8), 3, axis=1), 0.5, "no probabilities"),
        (RING, 1.0, "gamma must be 0 or more and below 1"),
    ],
)
def test_what_is_no_policy_is_refused(P, gamma: float, message: str) -> None:
    refused(message, successor_representation, P, gamma)


def test_checkpoints_are_compared_one_by_one() -> None:
    rng = np.random.default_rng(0)
    modules = {"a": rng.normal(size=(2, 8, 5)), "b": np.stack([successor_representation(RING, 0.8)] * 2)}
    references = {str(gamma): successor_rdm(RING, gamma) for gamma in (0.0, 0.5, 0.8)}
    found = compare_checkpoints(modules, references, [0.1, 0.4], n_permutations=39)
    assert len(found) == 2 * 2 * 3
    row = found[(found["module"] == "a") & (found["checkpoint"] == 1) & (found["reference"] == "0.5")].iloc[0]
    expected = np.corrcoef(rdm(modules["a"][1], "euclidean"), references["0.5"])[0, 1]
    assert row["score"] == pytest.approx(expected)
    assert row["return"] == 0.4
    assert row["participation_ratio"] == pytest.approx(participation_ratio(modules["a"][1]))
    assert row["rankme"] == pytest.approx(rankme(modules["a"][1]))
    mine = found[found["module"] == "b"].groupby("reference")["score"].first()
    assert mine["0.8"] == pytest.approx(1)
    assert np.isnan(mine["0.0"])  # every state is as far from every other
    assert found[(found["module"] == "b") & (found["reference"] == "0.8")]["p"].eq(1 / 40).all()
    refused("give one return per checkpoint", compare_checkpoints, modules, references, [0.1])
    refused("both must have the same states", compare_checkpoints, {"a": modules["a"][:, :7]}, references, [0.1, 0.4])


def test_agents_are_compared_when_they_earn_the_same() -> None:
    returns = {"slow": [0.0, 0.2, 0.5, 0.6], "fast": [0.4, 0.9, 0.8, 0.7]}
    assert at_equal_return(returns) == {"slow": 3, "fast": 1}
    assert at_equal_return(returns, 0.3) == {"slow": 2, "fast": 0}
    refused(r"slow never earns 0.8 \(its best is 0.6\)", at_equal_return, returns, 0.8)


def test_places_are_decoded_from_states_not_trained_on() -> None:
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    places = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    error, chance = place_error(places @ rng.normal(size=(2, 6)), places, Ridge(1e-6))
    assert error < 0.01 < chance
    error, chance = place_error(np.eye(24), places, Ridge(1e-6))  # every state a unit of its own: nothing carries over
    assert error == pytest.approx(chance)
    assert chance == pytest.approx(1, abs=0.15)
