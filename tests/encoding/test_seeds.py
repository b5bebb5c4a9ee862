from pathlib import Path

import numpy as np
import pytest
from refusals import refused
from scipy.stats import norm, t

from brainalign.encoding import Contender, FactorizedReadout, Ridge, SeedEnsemble, evaluate_held_out, side_by_side

GRID = (2, 3)


@pytest.fixture
def world(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(120, 6, 3)).astype(np.float32)
    return X, X[:, [1, 4], 0] + 0.3 * rng.normal(size=(120, 2)).astype(np.float32)


def test_the_mean_of_single_seeds_and_of_targets_that_are_not_trained(world) -> None:
    X, Y = world
    ensemble = SeedEnsemble(FactorizedReadout(epochs=4), seeds=(5, 2)).fit(X, Y, grid=GRID)
    single = [FactorizedReadout(epochs=4, seed=seed).fit(X, Y, grid=GRID) for seed in (5, 2)]
    np.testing.assert_array_equal(ensemble.predictions(X), [one.predict(X) for one in single])
    np.testing.assert_array_equal(ensemble.predict(X), np.mean([one.predict(X) for one in single], axis=0))
    np.testing.assert_allclose(ensemble.validation_r_, np.mean([one.validation_r_ for one in single], axis=0))
    assert ensemble.n_parameters_ == single[0].n_parameters_
    for seeds in ((), (1, 1)):
        refused("seeds must be different", SeedEnsemble(FactorizedReadout(), seeds=seeds).fit, X, Y, grid=GRID)
    X, Y = world
    one = SeedEnsemble(FactorizedReadout(epochs=4), targets=np.array([1])).fit(X, Y, grid=GRID)
    alone = FactorizedReadout(epochs=4).fit(X, Y[:, [1]], grid=GRID)
    np.testing.assert_array_equal(one.predict(X)[:, 1], alone.predict(X)[:, 0])
    np.testing.assert_allclose(one.predict(X)[:, 0], Y[:, 0].mean(), rtol=1e-5)
    assert (np.isnan(one.validation_r_).tolist(), one.n_parameters_) == ([True, False], alone.n_parameters_)


def test_a_refit_on_other_data_is_never_the_fit(world, tmp_path: Path) -> None:
    """Killed in its control, a run takes up the control's state for the control alone; what is finished stays so."""
    X, Y = world
    said: list[tuple[object, ...]] = []

    def ensemble() -> SeedEnsemble:
        return SeedEnsemble(FactorizedReadout(epochs=3), (0,), tmp_path, lambda *some: said.append(some))

    expected = SeedEnsemble(FactorizedReadout(epochs=3)).fit(X, Y, grid=GRID).predict(X)
    ensemble().fit(X, Y, grid=GRID)
    assert len(said) == 3
    permuted = ensemble().fit(X, Y[::-1].copy(), grid=GRID)
    assert len(said) == 6
    again = ensemble().fit(X, Y, grid=GRID)
    assert len(said) == 6  # read, not trained
    np.testing.assert_array_equal(again.predict(X), expected)
    assert np.abs(permuted.predict(X) - expected).max() > 0.01


def test_encoders_side_by_side(world) -> None:
    X, Y = world
    groups = {"first": np.array([0]), "both": np.array([0, 1])}
    ids = np.array([f"s{k}" for k in range(len(X))])
    options = {"n_permutations": 0, "n_boot": 200, "target_groups": groups, "seed": 1}
    train, test = np.arange(90), np.arange(90, 120)
    ensemble = SeedEnsemble(FactorizedReadout(epochs=30), seeds=(0, 1))
    found = evaluate_held_out(ensemble, X, Y, train, test, ids, grid=GRID, **options)
    mean = evaluate_held_out(Ridge((1.0,)), X.mean(axis=1), Y, train, test, ids, **options)
    by_seed = found.encoder.predictions(X[test])
    contenders = {"read-out": Contender.trained(found, groups, X[test]), "mean": Contender(mean, 8)}
    table = side_by_side(contenders, [1, 2], 0.95).set_index(["encoder", "group"])
    r = [np.mean([np.corrcoef(p[:, k], Y[test, k])[0, 1] for k in range(2)]) for p in by_seed]
    assert table.loc[("read-out", "both"), "seed_mean"] == pytest.approx(np.mean(r), abs=1e-5)
    assert table.loc[("read-out", "both"), "seed_sd"] == pytest.approx(np.std(r, ddof=1), abs=1e-5)
    assert table.loc[("read-out", "first"), "r"] == pytest.approx(found.r[0], abs=1e-6)
    assert table.loc[("mean", "both"), "difference"] == pytest.approx(found.r.mean() - mean.r.mean(), abs=1e-6)
    assert table.loc[("mean", "both"), "difference_low"] > 0.15  # one token of six: the mean hardly knows it
    assert table.loc[("read-out", "both"), ["difference_low", "difference_high"]].tolist() == [0, 0]
    # As a contest of families: t of 30 test stimuli, and another 90 training stimuli would have moved the fits too.
    wider = t.ppf(0.975, 29) / norm.ppf(0.975) * np.sqrt(30 / 29) * np.sqrt(1 + 30 / 90)
    draws = {"r": mean.group_draws, "difference": found.group_draws - mean.group_draws}
    for value, low, high in (("r", "low", "high"), ("difference", "difference_low", "difference_high")):
        middle = table.loc["mean", value].to_numpy()
        limits = middle + wider * (np.quantile(draws[value], [0.025, 0.975], axis=0) - middle)
        np.testing.assert_allclose(table.loc["mean", [low, high]].to_numpy().T, limits)
    assert table.loc["mean", "n_parameters"].tolist() == [8, 8]
    assert table.loc["mean", "seed_mean"].isna().all()
