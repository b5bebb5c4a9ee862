"""Dictionaries recover planted atoms, from any start; pursuit tells siblings apart where one look cannot."""

from dataclasses import replace

import numpy as np
import pytest
from made import responses_of
from shown import FURTHER, Record
from worlds.small import hierarchical_mixtures, sparse_mixtures

from brainalign.encoding import ImageSubject, Ridge
from brainalign.encoding.scoring import DictionaryStudy
from brainalign.features import SparseAutoencoder, dictionary_quality, match_atoms, stability

SEEDS = (0, 1, 2)
N_TRAINING = 6000


@pytest.mark.acceptance
def test_planted_atoms_are_found_from_any_start(record: Record) -> None:
    found = []
    for seed in (*SEEDS, *FURTHER):
        world = sparse_mixtures(N_TRAINING + 1000, seed=seed)
        starts = [SparseAutoencoder(64, 3, epochs=40, seed=100 * seed + start) for start in range(2)]
        fits = [start.fit(world.features[:N_TRAINING]) for start in starts]
        quality = dictionary_quality(fits[0], world.features[N_TRAINING:])
        alike, truth = stability([fit.atoms_ for fit in fits]), float(match_atoms(world.atoms, fits[0].atoms_).mean())
        found.append([1 - quality.unexplained, truth, alike["stability"], alike["random_stability"]])
    values = np.array(found)
    expected = {"R² of rows not trained on": 0.85, "mean cosine with planted atoms": 0.85, "cosine of two starts": 0.8}
    for (name, least), column in zip(expected.items(), values.T, strict=False):
        fixed = column[: len(SEEDS)]
        record(name, f"{fixed.mean():.3f} (worst {fixed.min():.3f})", f">= {least}")
        if FURTHER:
            record(f"{name}, further seeds", f"{column[len(SEEDS) :].mean():.3f}", "shown")
        assert fixed.mean() >= least, name
        assert fixed.min() >= least - 0.05, name
    record("the same of random dictionaries", f"{values[:, 3].mean():.3f}", "about .37")
    assert values[:, 2].min() > values[:, 3].max() + 0.3


@pytest.mark.acceptance
def test_pursuit_tells_siblings_apart(record: Record) -> None:
    r2, truth = {}, {}
    for coding in ("topk", "matching_pursuit"):
        for seed in SEEDS:
            world = hierarchical_mixtures(N_TRAINING + 1000, seed=seed)
            fit = SparseAutoencoder(64, 2, coding, epochs=40, seed=seed).fit(world.features[:N_TRAINING])
            r2[coding, seed] = 1 - dictionary_quality(fit, world.features[N_TRAINING:]).unexplained
            truth[coding, seed] = float(match_atoms(world.atoms, fit.atoms_).mean())
    for name, values in (("R²", r2), ("mean cosine with planted atoms", truth)):
        means = {coding: np.mean([values[coding, seed] for seed in SEEDS]) for coding in ("topk", "matching_pursuit")}
        record(f"{name}, pursuit against one look", f"{means['matching_pursuit']:.3f}, {means['topk']:.3f}", "higher")
        assert all(values["matching_pursuit", seed] > values["topk", seed] + 0.02 for seed in SEEDS)


def codes_and_others(seed: int, n_rows: int, epochs: int, *, shuffle: bool = False) -> dict[str, float]:
    """Return the mean r of every encoder with targets that answer to one atom each, as strongly as their noise."""
    world, rng = sparse_mixtures(n_rows, seed=seed), np.random.default_rng(seed)
    signal = world.codes[:, rng.choice(64, 20, replace=False)]
    Y = (signal / signal.std(axis=0) + rng.normal(size=signal.shape)).astype(np.float32)
    study = study_of(rng.permutation(Y) if shuffle else Y, seed, epochs)
    list(study.fits([("mixtures", world.features)]))
    return study.tables[0].set_index("encoder")["r"].to_dict()


def study_of(Y: np.ndarray, seed: int, epochs: int) -> DictionaryStudy:
    """Return the study of a subject with such responses (n_rows, 20); the last quarter of the rows is the test."""
    train, test = np.split(np.arange(len(Y)), [3 * len(Y) // 4])
    given = {"responses": responses_of(Y, list(map(str, range(len(Y))))), "ceiling": np.full(20, 0.5)}
    groups = {"all": np.arange(20)}
    subject = ImageSubject(**given, train=train, test=test, groups=groups, n_permutations=19, n_draws=20)
    options = {"coding": "topk", "width": 64, "n_active": 3, "epochs": epochs, "starts": (seed,)}
    return DictionaryStudy(subject=subject, ridge=Ridge(device="cpu"), **options)


@pytest.mark.acceptance
def test_codes_predict_responses_to_single_atoms(record: Record) -> None:
    """Targets that answer to one atom each, and only above a threshold: no linear read-out of the features can."""
    reached: dict[str, list[float]] = {}
    for seed in SEEDS:
        for encoder, r in codes_and_others(seed, 4000, 40).items():
            reached.setdefault(encoder, []).append(r)
    for encoder, scores in reached.items():
        record(f"mean r, {encoder}", f"{np.mean(scores):.3f}", "sparse codes highest")
    assert min(reached.pop("ridge, sparse codes")) > max(max(scores) for scores in reached.values()) + 0.05
    assert max(abs(r) for r in codes_and_others(0, 4000, 10, shuffle=True).values()) < 0.06


def test_ridge_is_given_the_codes_though_features_are_components() -> None:
    """A subject's features may be reduced; what is learned from them is not, or ridge would see no sparse codes."""
    world = sparse_mixtures(400, seed=0)
    study = study_of(np.random.default_rng(0).normal(size=(400, 20)).astype(np.float32), 0, 5)
    study.subject = replace(study.subject, n_components=8)
    ((_, found),) = study.fits([("mixtures", study.subject.inputs(world.features, maps=False))])
    assert len(found.encoder.coef_) == study.width
    assert study.tables[0].set_index("encoder")["n_parameters"]["ridge, random units"] == (study.width + 1) * 20


def test_nothing_is_learned_from_test_images() -> None:
    world = sparse_mixtures(400, seed=0)
    Y = np.random.default_rng(0).normal(size=(400, 20)).astype(np.float32)
    other = world.features.copy()
    other[300:] *= 5
    ((_, first),) = study_of(Y, 0, 5).fits([("mixtures", world.features)])
    ((_, second),) = study_of(Y, 0, 5).fits([("mixtures", other)])
    np.testing.assert_array_equal(first.encoder.coef_, second.encoder.coef_)
