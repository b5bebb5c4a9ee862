"""Halves of test stimuli: disjoint, the same for every layer and subject, and scored by hand-checkable numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brainalign.encoding import HeldOut, Ridge, SplitScores, evaluate_held_out, split_scores
from brainalign.encoding.scoring import area_places, half_rows, separations

AREAS = {"V1": np.arange(5), "V4": np.arange(5, 12), "empty": np.empty(0, dtype=int)}


def targets(n: int = 12) -> pd.DataFrame:
    table = pd.DataFrame({"target_id": [f"v{k}" for k in range(n)], "kind": "vertex", "hemi": "L", "roi": [[]] * n})
    return table.assign(x_mm=-10.0, y_mm=np.arange(n, dtype=float), z_mm=0.0)


def fits(n_test: int = 40, n_layers: int = 2) -> dict[str, HeldOut]:
    rng = np.random.default_rng(0)
    n = 60 + n_test
    layers = [rng.normal(size=(n, 6)) for _ in range(n_layers)]
    Y = layers[0] @ rng.normal(size=(6, 12)) + rng.normal(size=(n, 12))
    names = np.array([f"image{k}" for k in rng.permutation(n)])
    return {
        f"layer{k}": evaluate_held_out(
            Ridge((1.0, 10.0)), X, Y, np.arange(60), np.arange(60, n), names, n_permutations=50, n_boot=50,
            target_groups=AREAS, seed=0,
        )
        for k, X in enumerate(layers)
    }  # fmt: skip


def test_halves_depend_on_the_stimuli_alone() -> None:
    names = np.array([f"image{k}" for k in range(31)])
    choice, scored = half_rows(names, seed=3)
    assert (len(choice), len(scored)) == (15, 16)
    assert sorted([*choice, *scored]) == list(range(31))
    order = np.random.default_rng(1).permutation(31)
    again, _ = half_rows(names[order], seed=3)
    assert set(names[order][again]) == set(names[choice])
    assert set(half_rows(names, seed=4)[0]) != set(choice)


def test_each_half_is_scored_by_itself() -> None:
    results = fits()
    found = split_scores(results, targets(), AREAS, ceiling=np.full(12, 0.25), n_permutations=50, n_draws=60, seed=1)
    assert found.layers == ["layer0", "layer1"]
    assert found.areas == list(AREAS)
    assert found.n_stimuli == (20, 20)
    first = results["layer0"]
    for name, rows in zip(("choice_r", "r"), half_rows(first.test_ids, 1), strict=True):
        by_hand = [np.corrcoef(first.predicted[rows, v], first.measured[rows, v])[0, 1] for v in AREAS["V4"]]
        assert found.arrays[name][0, 1] == pytest.approx(np.mean(by_hand), abs=1e-5)
    assert found.arrays["choice_draws"].shape == (60, 2, 3)
    assert found.arrays["null"].shape == (50, 2, 3)
    assert abs(found.arrays["null"][:, 0, 0].mean()) < 0.1
    assert found.arrays["draws"][:, 0, 0].mean() == pytest.approx(found.arrays["r"][0, 0], abs=0.1)
    assert np.isnan(found.arrays["r"][:, 2]).all()  # no target, no score
    assert found.arrays["ceiling_r"][:2] == pytest.approx(0.5)
    again = SplitScores.of(found.arrays, found.details)
    assert again.details == found.details


def test_what_cannot_be_halved_says_so() -> None:
    few = split_scores(fits(n_test=13), targets(), AREAS)
    assert few.reason == "13 test images cannot be halved: either half needs 7, for a null"
    assert not few.arrays
    assert split_scores(fits(), targets(), {}).reason == "no target lies in a named region"


def test_sensors_keep_all_test_stimuli() -> None:
    results = {name: replace(found, groups=["0.0", "0.1", "all"]) for name, found in fits().items()}
    sensors = targets().assign(sensor_type=["mag", "grad"] * 6)
    groups = {"0.0": AREAS["V1"], "0.1": AREAS["V4"]}
    found = split_scores(results, sensors, groups, np.array([0.0, 0.1]))
    assert found.measured == "grad and mag"
    assert found.n_stimuli == (0, 40)
    assert found.arrays["r"] == pytest.approx(np.stack([some.group_r[:2] for some in results.values()]), abs=1e-6)
    assert found.arrays["draws"].shape == (50, 2, 2)


def test_places_mirror_the_right_hemisphere() -> None:
    table = targets(4).assign(hemi=["L", "R", "", ""], x_mm=[-30.0, 30.0, 20.0, -20.0], y_mm=0.0)
    places = area_places(table, [np.array([0, 1]), np.array([2, 3]), np.empty(0, dtype=int)])
    assert places[:2] == pytest.approx(np.array([[-30, 0, 0], [-20, 0, 0]]))  # not at the midline
    assert np.isnan(places[2]).all()
    assert separations(places[:2])[0, 1] == pytest.approx(10)
    assert np.isnan(area_places(table.drop(columns="x_mm"), [np.array([0])])).all()
    missing = table.assign(x_mm=[np.nan, 30.0, 20.0, -20.0])
    assert area_places(missing, [np.array([0, 1])])[0, 0] == pytest.approx(-30)
