"""Families of models on planted truth: the one that drives a region wins it, equal ones do not, noise has no winner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from brainalign.encoding import Ridge, evaluate_held_out
from brainalign.simulation import FamilyWorld, family_world
from brainalign.statistics import Candidate, family_contest, region_draws, target_winners

Record = Callable[[str, object, str], None]
N_TEST = 100
LEAD = 0.4  # of the world in which power is shown


def candidates(world: FamilyWorld, seed: int) -> list[Candidate]:
    """Return every layer of every family, fitted on all but the last images."""
    n = len(world.responses)
    train, test, ids = np.arange(n - N_TEST), np.arange(n - N_TEST, n), np.arange(n).astype(str)
    found = []
    for family, layers in world.features.items():
        for number, X in enumerate(layers):
            held = evaluate_held_out(
                Ridge((1.0, 10.0, 100.0, 1000.0), device="cpu"),
                X,
                world.responses,
                train,
                test,
                ids,
                n_permutations=99,
                n_boot=0,
                seed=seed,
            )
            regions = region_draws(
                held.predicted, held.measured, world.regions, n_draws=300, n_permutations=99, seed=seed
            )
            inner = np.sqrt(np.maximum(np.asarray(held.encoder.cv_scores_).max(axis=0), 0))
            found.append(Candidate(family, family, "ridge", f"layer{number}", held.r, held.p, inner, *regions))
    return found


def contest(world: FamilyWorld, seed: int) -> pd.DataFrame:
    """Return the winner of every region, what was planted, and of which kind the region is."""
    n_train = len(world.responses) - N_TEST
    table = family_contest(candidates(world, seed), world.regions, n_train=n_train, n_test=N_TEST)
    table = table[table["winner"]]
    planted = table["region"].map(world.winners)
    kind = table["region"].where(planted == "", "one family")
    return table.assign(planted=planted, kind=kind.mask(kind.str.contains(" and "), "two alike"), seed=seed)


def upper(table: pd.DataFrame) -> float:
    """Return the upper 95 % bound of the share of decided regions."""
    n = int(table["decided"].sum())
    return float(binomtest(n, len(table)).proportion_ci(0.95, method="exact").high)


def test_planted_families_win_their_regions() -> None:
    """Two worlds: every region of one family is found, and the layer that it follows; nothing else is decided."""
    worlds = [family_world(seed=seed) for seed in range(2)]
    table = pd.concat([contest(world, seed) for seed, world in enumerate(worlds)])
    of_one = table[table["kind"] == "one family"]
    assert of_one["decided"].mean() >= 5 / 6
    assert (of_one["family"] == of_one["planted"]).all()
    assert (table.loc[table["kind"] != "none", "layer"] == "layer1").all()
    assert table.loc[table["kind"] != "one family", "decided"].mean() <= 0.1


def test_planted_families_win_their_targets() -> None:
    world = family_world(seed=3)
    rows = np.concatenate(list(world.regions.values()))
    winners = target_winners(candidates(world, 3), rows)
    planted = np.concatenate([[world.winners[name]] * len(rows) for name, rows in world.regions.items()])
    shown = (winners["q"] < 0.05).to_numpy()
    of_one = planted != ""
    assert (winners["family"] == planted)[shown & of_one].mean() >= 0.85
    noise = np.isin(rows, world.regions["none"])
    assert shown[noise].mean() <= 0.1
    assert shown[of_one].mean() >= 0.8
    margin = winners["margin"].to_numpy()
    assert margin[of_one].mean() > 1.5 * margin[~of_one].mean()


@pytest.mark.acceptance
def test_size_and_power(record: Record) -> None:
    """Families of models: false winners where families are equal, and power where one is ahead"""
    null = pd.concat([contest(family_world(n_targets=10, seed=seed), seed) for seed in range(170)])
    for kind in ("two alike", "all", "none"):
        mine = null[null["kind"] == kind]
        assert upper(mine) <= 0.075
        found = f"{mine['decided'].mean():.3f} (upper bound {upper(mine):.3f}, n = {len(mine)})"
        record(f"decided, {kind}", found, "<= .05; bound <= .075")
    power = pd.concat([contest(family_world(lead=LEAD, seed=seed), seed) for seed in range(1000, 1040)])
    mine = power[power["kind"] == "one family"]
    right = mine["decided"] & (mine["family"] == mine["planted"])
    assert right.mean() >= 0.8
    assert (mine["decided"] & ~right).sum() == 0
    record(f"power, ahead by {mine['ahead'].mean():.3f} in r", f"{right.mean():.3f} (n = {len(mine)})", ">= .8")
    layers = power.loc[power["kind"] != "none", "layer"] == "layer1"
    record("layer that was planted, chosen in training", f"{layers.mean():.3f}", ">= .95")
    assert layers.mean() >= 0.95
