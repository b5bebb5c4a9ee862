"""Size and power of the tests of representational geometry, and what weights fitted to it are worth."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, kstest
from shown import Record, cases, check_size, within

from brainalign import geometry


def measured(patterns: np.ndarray, n_subjects: int, noise: float, rng: np.random.Generator) -> np.ndarray:
    signal = patterns @ (rng.normal(size=(n_subjects, patterns.shape[1], 30)) / np.sqrt(patterns.shape[1]))
    return geometry.rdm(signal + noise * rng.normal(size=signal.shape), "euclidean")


def related(seed: int, noise: float, *, own: bool = False) -> tuple[Any, Any, Any, np.random.Generator]:
    """Simulate subjects, a model with two latents of its own that they see or not, and others that share its rest."""
    rng = np.random.default_rng(seed)
    first, second, third = rng.normal(size=(3, 14, 3))
    others = geometry.rdm(np.stack([np.hstack([first, second]), np.hstack([second, third])]), "euclidean")
    latents = np.hstack([first, second, rng.normal(size=(14, 2))])
    return measured(latents if own else latents[:, :6], 6, noise, rng), geometry.rdm(latents, "euclidean"), others, rng


@cases(16, 200)("n")
@pytest.mark.parametrize("method", ["pearson", "spearman", "whitened-pearson", "tau-a"])
def test_true_model_lies_between_the_ceilings(n: int, method: str, record: Record) -> None:
    """The true geometry between lower and upper noise ceiling: 24 stimuli, 12 subjects"""
    n = n // 4 if method == "tau-a" else n
    inside = 0
    for seed in range(n):
        rng = np.random.default_rng(100_000 + seed)
        patterns = rng.normal(size=(24, 30))
        subjects = geometry.rdm(patterns + 3 * rng.normal(size=(12, 24, 30)), "euclidean")
        low, high = geometry.rdm_noise_ceiling(subjects, method)
        inside += low <= geometry.compare(subjects, geometry.rdm(patterns, "euclidean"), method).mean() <= high
    within(record, f"{method}: inside the band", inside / n, f" (n = {n})", least=0.9)


@cases(25, 500)("n")
def test_permutations_of_stimuli(n: int, record: Record) -> None:
    """Permutation of stimuli: p is uniform under the null"""
    p = []
    for seed in range(n):
        rng = np.random.default_rng(200_000 + seed)
        rdms = geometry.rdm(rng.normal(size=(1, 10, 12)), "euclidean")
        model = geometry.rdm(rng.normal(size=(10, 6)), "euclidean")
        p.append(geometry.rdm_permutation_places(rdms, model[None], "whitened-pearson", 399, rng).p[0, 0])
    uniform = kstest(p, "uniform").pvalue
    within(record, "p of one place, Kolmogorov-Smirnov against uniform", uniform, f" (n = {n})", least=0.01)


@cases(30, 500)("n")
@pytest.mark.filterwarnings("ignore:partial tests")
@pytest.mark.parametrize("method", ["pearson", "spearman", "whitened-pearson"])
def test_over_and_above_related_models(n: int, method: str, record: Record) -> None:
    """A model over and above two others that share its latents (Freedman-Lane): 14 stimuli, 6 subjects"""
    false, naive, power, n_power = 0, 0, 0, max(n // 5, 25)
    for seed in range(n):
        rdms, model, others, rng = related(300_000 + seed, 1.0)
        false += geometry.rdm_partial_test(rdms, model, others, method, 199, rng).p <= 0.05
        if seed < n_power:
            naive += geometry.rdm_permutation_test(rdms, model, method, 199, rng).p <= 0.05
    for seed in range(n_power):
        rdms, model, others, rng = related(400_000 + seed, 1.0, own=True)
        power += geometry.rdm_partial_test(rdms, model, others, method, 199, rng).p <= 0.05
    check_size(record, method, false, n)
    within(record, f"{method}: the same, others ignored: too many", naive / n_power, least=0.5)
    within(record, f"{method}: power, 2 of 8 dimensions are its own", power / n_power, f" (n = {n_power})", least=0.8)


@cases(40, 500)("n")
@pytest.mark.filterwarnings("ignore:partial tests")
@pytest.mark.parametrize(("method", "limit"), [("pearson", 0.05), ("spearman", 0.09)])
def test_over_and_above_at_high_signal(n: int, method: str, limit: float, record: Record) -> None:
    """Partial tests where nearly all is signal, seen through maps of six subjects: 14 stimuli"""
    alone, both = 0, 0
    for seed in range(n):
        rdms, model, others, rng = related(600_000 + seed, 0.1)
        found = geometry.rdm_partial_test(rdms, model, others, method, 199, rng)
        alone += found.p_stimuli <= 0.05
        both += found.p <= 0.05
    assert binomtest(both, n, limit, alternative="greater").pvalue > 0.01
    record(f"{method}: false positives at .05, over subjects too", f"{both / n:.3f} (n = {n})", f"<= {limit}")
    record(f"{method}: the same, of stimuli alone", f"{alone / n:.3f} (n = {n})", "")


@cases(25, 300)("n")
def test_over_and_above_of_correlations(n: int, record: Record) -> None:
    """Partial tests of correlation distances of 30 stimuli unlike in strength: the other model and more, 12 subjects"""
    called = np.zeros(2)  # nothing more in the brains (without strengths half of the worlds are called), and half of it
    for rng in map(np.random.default_rng, range(700_000, 700_000 + n)):
        latents = rng.normal(size=(30, 16))
        both, other = (geometry.rdm(np.hstack([x, -x]), "correlation") for x in (latents, latents[:, :8]))
        for k in (0, 1):
            signal = latents * np.repeat([1, k / 2], 8) @ rng.normal(size=(12, 16, 30)) / 4
            own = geometry.rdm(signal + 0.7 * rng.normal(size=signal.shape), "correlation")
            called[k] += geometry.rdm_partial_test(own, both, other[None], "pearson", 99, rng, strengths=True).p <= 0.05
    check_size(record, "nothing of its own", int(called[0]), n)
    within(record, "power, half of its own", called[1] / n, f" (n = {n})", least=0.9)


@cases(6, 60)("n")
def test_random_candidates_gain_nothing(n: int, record: Record) -> None:
    """Weights of six random candidates: in sample and cross-validated, alone and added to the true model"""
    inside, outside, called, gains, fooled = [], [], 0, [], []
    for seed in range(n):
        rng = np.random.default_rng(500_000 + seed)
        patterns = rng.normal(size=(24, 8))
        subjects, truth = measured(patterns, 12, 1.5, rng), geometry.rdm(patterns, "euclidean")
        random = geometry.rdm(rng.normal(size=(6, 24, 8)), "euclidean")
        weights = geometry.fit_weights(subjects, geometry.FlexibleModel(random), "pearson")
        fit = geometry.compare(subjects, weights @ random, "pearson") if weights.any() else np.zeros(1)
        both = np.concatenate([truth[None], random])
        weights = geometry.fit_weights(subjects, geometry.FlexibleModel(both), "pearson")
        fits = [geometry.compare(subjects, one, "pearson").mean() for one in (weights @ both, truth)]
        fooled.append(fits[0] - fits[1])
        models = [geometry.FlexibleModel(random), geometry.FlexibleModel(both), truth]
        found = geometry.flexible_bootstrap(subjects, models, "pearson", 30, rng)
        inside.append(fit.mean())
        outside.append(found.scores[0])
        gains.append(found.scores[1] - found.scores[2])
        called += found.test(np.array([[1.0, 0, 0, 0, 0]]), two_sided=False)[1][0] <= 0.05
    mean, error = np.mean(outside), np.std(outside) / np.sqrt(n)
    gain, gain_error = np.mean(gains), np.std(gains) / np.sqrt(n)
    overfitted = 3 * np.std(inside) / np.sqrt(n)
    within(record, "six random candidates, in sample: overfitting", np.mean(inside), least=overfitted)
    within(record, "the same, cross-validated", mean, f" +/- {error:.3f} (n = {n})", most=3 * error)
    check_size(record, "the same, called better than 0", called, n)
    record("gain of adding them to the true model, in sample", f"{np.mean(fooled):.4f}", "> 0: overfitting")
    within(record, "that gain, cross-validated", gain, f" +/- {gain_error:.4f}", most=3 * gain_error, digits=4)


@cases(4, 60)("n")
def test_planted_weights(n: int, record: Record) -> None:
    """Weights .5, .4, 0, .1 of four candidates: recovered, better than the best candidate, as good as the ceiling"""
    planted = np.array([0.5, 0.4, 0.0, 0.1])
    errors, gaps, better = [], [], 0
    for seed in range(n):
        rng = np.random.default_rng(600_000 + seed)
        latents = rng.normal(size=(4, 24, 6))
        candidates = geometry.rdm(latents, "euclidean")
        mixed = np.concatenate(list(np.sqrt(planted)[:, None, None] * latents), axis=1)  # sums of squared distances
        subjects = measured(mixed, 12, 0.7, rng)
        weights = geometry.fit_weights(subjects, geometry.FlexibleModel(candidates), "pearson")
        errors.append(np.abs(weights / weights.sum() - planted).max())
        models = [geometry.FlexibleModel(candidates), geometry.FlexibleModel(candidates, "select")]
        found = geometry.flexible_bootstrap(subjects, models, "pearson", 30, rng)
        gaps.append(found.scores[0] - found.ceiling[0])
        better += found.test(np.array([[1.0, -1, 0, 0]]), two_sided=False)[1][0] <= 0.05
    within(record, "largest error of a weight", np.mean(errors), f" (n = {n})", most=0.1)
    within(record, "cross-validated score minus lower ceiling", np.mean(gaps), least=-0.03)
    within(record, "called better than the best candidate", better / n, least=0.8 if n >= 60 else 0.5)
