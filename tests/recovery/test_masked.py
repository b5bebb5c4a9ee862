"""Hidden regions filled in by a masked model: six networks, leaders and followers, and nothing. Each
world runs reduced in `make test` (tests/decoding/test_masked.py), and at full size in `make acceptance`."""

import numpy as np
import pytest
from shown import Record, said

from brainalign import decoding
from brainalign.decoding.masked.study import _filling as filling
from brainalign.simulation import RoiSeries, roi_lagged, roi_series

pytestmark = pytest.mark.acceptance
SEEDS = (1, 2, 3)
N_TRAIN = 36
PLAIN = {"region_vectors": False, "ratio": (0.05, 0.8), "learning_rate": 3e-3, "schedule": "constant"}
SHORT = 300  # steps of nulls and ablations of one seed: enough for what is there to be found (.25 and more)


def halves(world: RoiSeries, seed: int) -> np.ndarray:
    masks = decoding.hidden_masks(len(world.series) - N_TRAIN, world.regions["network"].tolist(), 1, seed)
    return masks[decoding.HALF][0]


def r2(model: decoding.MaskedBrainModel | decoding.ConditionalGaussian, test: np.ndarray, mask: np.ndarray) -> float:
    fill = filling(model) if isinstance(model, decoding.MaskedBrainModel) else model.reconstruct
    return decoding.hidden_r2(test, fill(test, mask), mask)


def ari(world: RoiSeries, values: np.ndarray) -> float:
    return float(decoding.network_agreement({"one": values}, world.regions["network"].tolist(), 19)["ari"].iloc[0])


def test_six_networks(record: Record) -> None:
    """World roi_series: 36 people to learn from, 12 others with half of 60 regions hidden; seeds 1-3"""
    found: dict[str, list[float]] = {name: [] for name in ("model", "Gaussian", "ARI", "ARI of connectivity")}
    nulls: dict[str, list[float]] = {"R2": [], "ARI": []}
    for seed in SEEDS:
        world = roi_series(seed=seed)
        train, test, mask = world.series[:N_TRAIN], world.series[N_TRAIN:], halves(world, seed)
        model = decoding.MaskedBrainModel(seed=seed, n_steps=700, **PLAIN).fit(train)
        found["model"].append(r2(model, test, mask))
        found["Gaussian"].append(r2(decoding.ConditionalGaussian().fit(train), test, mask))
        found["ARI"].append(ari(world, model.region_embeddings_))
        found["ARI of connectivity"].append(ari(world, decoding.mean_connectivity(train)))
        moved = decoding.shifted_regions(world.series, np.random.default_rng(seed)).astype(np.float32)
        null = decoding.MaskedBrainModel(seed=seed, n_steps=SHORT, **PLAIN).fit(moved[:N_TRAIN])
        nulls["R2"].append(r2(null, moved[N_TRAIN:], mask))
        nulls["ARI"].append(ari(world, null.region_embeddings_))
        features = decoding.person_features(model, world.series)
        people, few = (world.subjects["trait"], world.subjects["subject"]), {"n_permutations": 9, "n_draws": 500}
        table = decoding.person_scores(features, *people, **few, seed=seed).set_index("name")
        for name, row in table.iterrows():
            value = f"{row['score']:.3f} [{row['low']:.3f}, {row['high']:.3f}], null {row['null_mean']:.2f}"
            record(f"trait from {name}, seed {seed}", f"{value}: {row['verdict']}", "latent >= .8")
        assert table.loc["latent connectivity", "score"] >= 0.75
        assert table["null_mean"].between(0.35, 0.65).all()
    for name, values in found.items():
        record(name, said(values), "R2 >= .9 of the Gaussian, ARI >= .8")
    for name, values in nulls.items():
        record(f"{name}, regions shifted", said(values), "R2 <= .02, |ARI| <= .1")
    assert np.mean(found["model"]) >= 0.9 * np.mean(found["Gaussian"])
    assert min(found["ARI"]) >= 0.8
    assert max(nulls["R2"]) <= 0.02
    assert abs(np.mean(nulls["ARI"])) <= 0.1


def test_ablations_of_six_networks(record: Record) -> None:
    """World roi_series: what the parts of the model are for; seed 1, short training"""
    world = roi_series(seed=1)
    train, test, mask = world.series[:N_TRAIN], world.series[N_TRAIN:], halves(world, 1)
    changes = {"full": {}, "no masking": {"masking": False}}
    changes |= {"fixed embeddings": {"fixed_embeddings": True}, "self loops": {"self_loops": True}}
    found = {}
    for name, change in changes.items():
        model = decoding.MaskedBrainModel(seed=1, n_steps=SHORT, **PLAIN, **change).fit(train)
        found[name] = r2(model, test, mask)
        record(f"{name}: R2 hidden, ARI", f"{found[name]:.3f} {ari(world, model.region_embeddings_):.2f}", "shown")
    assert found["no masking"] <= 0.02
    assert found["full"] > found["no masking"] + 0.2


def test_leaders_and_followers(record: Record) -> None:
    """World roi_lagged: a whole network hidden, which another carries three frames earlier or later; seeds 1-3"""
    found: dict[str, list[float]] = {}
    for seed in SEEDS:
        world = roi_lagged(seed=seed)
        train, test = world.series[:N_TRAIN], world.series[N_TRAIN:]
        whole = {kind: [world.regions["network"].eq(f"{kind}{k}").to_numpy() for k in range(3)] for kind in "AB"}
        masks = whole | {"half": [halves(world, seed)]}
        mixed = decoding.permuted_frames(world.series, np.random.default_rng(seed)).astype(np.float32)
        moved = decoding.shifted_regions(world.series, np.random.default_rng(seed)).astype(np.float32)
        null_name, null = [("frames permuted", mixed), ("regions shifted", moved)][seed % 2]
        fits = {
            "model": (decoding.MaskedBrainModel(seed=seed, n_steps=1200, schedule="one_cycle").fit(train), test),
            "instantaneous": (decoding.ConditionalGaussian().fit(train), test),
            "lagged": (decoding.ConditionalGaussian((0, 1, 2, 3, 4, 5)).fit(train), test),
        }
        untied = decoding.MaskedBrainModel(seed=seed, n_steps=SHORT, schedule="one_cycle").fit(null[:N_TRAIN])
        fits[null_name] = untied, null[N_TRAIN:]
        for name, (model, series) in fits.items():
            for hidden, each in masks.items():
                value = float(np.mean([r2(model, series, mask) for mask in each]))
                found.setdefault(f"{name}, {hidden}", []).append(value)
    for name, values in found.items():
        wanted = "A, B >= .28 and .75 of lagged; instantaneous |R2| <= .03; nulls <= .02"
        record(f"R2 hidden: {name}", said(values), wanted)
    for kind in "AB":
        assert np.mean(found[f"model, {kind}"]) >= 0.28
        assert min(found[f"model, {kind}"]) >= 0.23
        assert np.mean(found[f"model, {kind}"]) >= 0.75 * np.mean(found[f"lagged, {kind}"])
        assert max(np.abs(found[f"instantaneous, {kind}"])) <= 0.03
        assert max(found[f"frames permuted, {kind}"] + found[f"regions shifted, {kind}"]) <= 0.02
    assert np.mean(found["model, half"]) >= np.mean(found["instantaneous, half"]) + 0.03
