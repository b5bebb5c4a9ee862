"""In-context encoding of voxels with a shared prior (W2): against what the prior allows, and beside what is simpler.

Short versions of these are in tests/encoding/test_in_context.py.
"""

import time
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from shown import Record, within
from sklearn.base import clone
from worlds.small import linear_gaussian_reference

from brainalign.encoding import InContextEncoder, WeightPrior, estimate_prior, scaling_curve
from brainalign.encoding.in_context import curve_baselines
from brainalign.simulation import VoxelPriorWorld, voxel_prior_world
from brainalign.statistics import explained_variance, pearson

pytestmark = pytest.mark.acceptance
RATIOS = (0.7, 1.5, 3.0)
SIZES = (10, 20, 50, 100)
SEEDS = (0, 1, 2)
METHODS = ("in_context", "reference", "empirical_bayes", "ridge_pooled", "ridge_per_target")


class Reference:
    def __init__(self, world: VoxelPriorWorld, noise_sd: np.ndarray) -> None:
        self.world, self.noise_sd = world, noise_sd

    def __sklearn_clone__(self) -> Self:
        return self

    def fit(self, X: np.ndarray, Y: np.ndarray) -> Self:
        world = self.world
        self.weights = linear_gaussian_reference(X, Y, self.noise_sd, world.prior_mean, world.prior_covariance)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(X @ self.weights[:-1] + self.weights[-1])


@dataclass(frozen=True)
class Trained:
    world: VoxelPriorWorld
    prior: WeightPrior
    encoder: InContextEncoder
    seconds: float

    def images(self, seed: int) -> np.ndarray:
        return self.world.images(1000, np.random.default_rng([seed, 5]))

    def voxels(self, images: np.ndarray, seed: int, ratio: float, n_voxels: int = 300, *, on_prior: bool = True):
        rng = np.random.default_rng([seed, 6, on_prior])
        weights = self.world.weights(n_voxels, rng, on_prior=on_prior)
        Y, noise_sd = images @ weights[:-1] + weights[-1], self.world.noise_sd(weights, ratio)
        Y[:500] += noise_sd * rng.normal(size=(500, n_voxels))
        return Y, noise_sd


@cache
def trained(seed: int) -> Trained:
    """Meta-train on the prior that 500 other voxels x 500 images give: what empirical-Bayes ridge has too."""
    world, rng = voxel_prior_world(seed=seed), np.random.default_rng([seed, 4])
    images, weights = world.images(500, rng), world.weights(500, rng)
    responses = images @ weights[:-1] + weights[-1]
    responses += world.noise_sd(weights, 1.5) * rng.normal(size=responses.shape)
    prior, start = estimate_prior([(images, responses)]), time.process_time()
    encoder = InContextEncoder(fallback=False, seed=seed).pretrain(world.images(2000, rng), prior)
    return Trained(world, prior, encoder, time.process_time() - start)


def curve(study: Trained, seed: int, ratio: float) -> pd.DataFrame:
    X = study.images(seed)
    Y, noise_sd = study.voxels(X, seed, ratio)
    encoders: dict[str, Any] = {"in_context": study.encoder, "reference": Reference(study.world, noise_sd)}
    return scaling_curve(encoders, X, Y, test=np.arange(500, 1000), sizes=SIZES, prior=study.prior, seed=seed)


def test_scaling(record: Record) -> None:
    """In-context encoding (W2): explained variance of the true signal, 300 new voxels, means over 3 seeds"""
    seconds, tables = [], []
    for seed in SEEDS:
        study = trained(seed)
        before = study.encoder.parameter_hash()
        seconds.append(study.seconds)
        tables += [curve(study, seed, ratio).assign(ratio=ratio, seed=seed) for ratio in RATIOS]
        assert study.encoder.parameter_hash() == before
    repeats = pd.concat(tables).groupby(["ratio", "seed", "method", "size", "repeat"])["explained_variance"].mean()
    per_seed = repeats.groupby(["ratio", "seed", "method", "size"]).mean().unstack("method")
    mean = per_seed.groupby(["ratio", "size"]).mean()
    for (ratio, size), row in mean.iterrows():
        found = ", ".join(f"{method} {row[method]:.3f}" for method in METHODS)
        record(f"noise {ratio}, N = {size}", found, "in-context >= reference - .05, >= empirical Bayes - .03")
    judged = mean[mean.index.get_level_values("size") >= 20]
    singly = per_seed[per_seed.index.get_level_values("size") >= 20]
    for other, margin in (("reference", 0.05), ("empirical_bayes", 0.03)):
        assert (judged["in_context"] >= judged[other] - margin).all(), judged
        assert (singly["in_context"] >= singly[other] - margin - 0.05).all(), singly
    # At noise .7 and N >= 50 even the reference is less than .10 above ridge, so the margin is asked for at 1.5 and 3.
    noisy = judged.drop(index=0.7, level="ratio")
    gain = noisy["in_context"] - noisy["ridge_pooled"]
    own = repeats.xs("in_context", level="method").unstack("size")
    rise = own.groupby("ratio").mean().diff(axis=1).iloc[:, 1:]
    assert (rise >= -own.groupby("ratio").sem().iloc[:, 1:]).all(axis=None), rise
    for other in ("reference", "empirical_bayes"):
        ahead = (judged["in_context"] - judged[other]).min()
        record(f"smallest difference to {other}, N >= 20", f"{ahead:.3f}", "see above")
    within(record, "smallest gain over pooled ridge, noise 1.5 and 3, N >= 20", gain.min(), least=0.10)
    record("meta-training, processor seconds", f"{np.mean(seconds):.0f}", "shown")
    record("parameter hash after all fits", "unchanged", "unchanged")


def test_order_and_shuffled_responses(record: Record) -> None:
    """In-context encoding (W2): order of the context, and responses shuffled over it, 3 seeds"""
    changes, nulls = [], []
    for seed in SEEDS:
        study = trained(seed)
        X, rng = study.images(seed), np.random.default_rng(seed)
        for ratio in RATIOS:
            Y, _ = study.voxels(X, seed, ratio)
            for size in SIZES[1:]:
                context = rng.permutation(500)[:size]
                orders = (context, rng.permutation(context))
                first, again = (clone(study.encoder).fit(X[rows], Y[rows]).predict(X[500:]) for rows in orders)
                changes.append(np.abs(first - again).max())
                shuffled = clone(study.encoder).fit(X[context], rng.permuted(Y[context], axis=0))
                nulls.append(pearson(Y[500:], shuffled.predict(X[500:])).mean())
    assert max(changes) < 1e-4
    record("largest change of a prediction with the order of the context", f"{max(changes):.0e}", "< 1e-4")
    within(record, "r of predictions from shuffled responses", np.mean(nulls), least=-0.05, most=0.05)


def test_fallback(record: Record) -> None:
    """In-context encoding (W2): fallback of a region on the prior and one off it, 150 voxels each, 3 seeds"""
    rows = []
    for seed in SEEDS:
        study = trained(seed)
        X, rng = study.images(seed), np.random.default_rng(seed)
        on, off = (study.voxels(X, seed, 1.5, 150, on_prior=flag)[0] for flag in (True, False))
        Y, roi = np.hstack([on, off]), np.repeat(["on", "off"], 150)
        mixed = np.hstack([on[:, :75], off[:, :75]])
        for size in SIZES[1:]:
            context = rng.permutation(500)[:size]
            alone = clone(study.encoder).fit(X[context], Y[context])
            careful = clone(study.encoder).set_params(fallback=True)
            halves = clone(careful).fit(X[context], mixed[context])
            careful.fit(X[context], Y[context], roi=roi)
            assert not careful.fell_back_["on"]
            np.testing.assert_allclose(careful.coef_[:, :150], careful.shares_["on"] * alone.coef_[:, :150], rtol=1e-6)
            pooled = curve_baselines()["ridge_pooled"].fit(X[context], off[context])
            found = {
                "off, fallback": explained_variance(off[500:], careful.predict(X[500:])[:, 150:]),
                "off, in-context alone": explained_variance(off[500:], alone.predict(X[500:])[:, 150:]),
                "off, pooled ridge": explained_variance(off[500:], pooled.predict(X[500:])),
                "half and half, fallback": explained_variance(mixed[500:], halves.predict(X[500:])),
            }
            rows.append({"size": size} | {name: values.mean() for name, values in found.items()})
    table = pd.DataFrame(rows)
    mean, lost = table.groupby("size").mean(), table["off, pooled ridge"] - table["off, fallback"]
    assert (mean["off, fallback"] >= mean["off, pooled ridge"] - 0.02).all(), mean
    assert lost.max() <= 0.07, table
    record("region on the prior, N = 20, 50, 100", "unchanged", "unchanged")
    for size, row in mean.iterrows():
        shown = ", ".join(f"{name} {row[name]:.3f}" for name in mean.columns)
        record(f"N = {size}", shown, "off, fallback >= pooled ridge - .02; half and half shown")
