"""Size and power of every test, coverage of every interval, bias of every ceiling, on simulated truth."""

from copy import deepcopy
from functools import cache

import numpy as np
import pytest
from shown import Record, cases, check_size, within
from sklearn.model_selection import LeaveOneGroupOut

from brainalign import statistics
from brainalign.encoding import Ridge, evaluate
from brainalign.encoding.scoring import encode_folds
from brainalign.geometry import rdm, rdm_permutation_test, split_half_ceiling, split_half_rdms
from brainalign.simulation import linear_world

ALPHAS = (0.1, 3.0, 100.0)


def runs_world(ceiling: np.ndarray, seed: int, n_runs: int = 6, n_stimuli: int = 6) -> dict[str, np.ndarray]:
    """Simulate blocks of n_stimuli in n_runs runs; targets with ceiling 0 carry no signal."""
    world = linear_world(n_stimuli, 8, n_runs, ceiling, seed)
    return {
        "X": np.tile(world.X, (n_runs, 1)),
        "responses": world.repeats.reshape(n_runs * n_stimuli, -1).astype(np.float32),
        "stimulus_ids": np.tile(np.arange(n_stimuli), n_runs),
        "runs": np.repeat(np.arange(n_runs), n_stimuli),
    }


def encode(ceiling: np.ndarray, seed: int, n_permutations: int = 99) -> dict[str, np.ndarray]:
    """Return p values of targets (uncorrected, family-wise, q) and of identification in one simulated subject."""
    data = runs_world(ceiling, seed)
    options = {"leave_out": "run", "n_permutations": n_permutations, "seed": seed}
    folds = [*LeaveOneGroupOut().split(data["X"], groups=data["runs"])]
    found = evaluate(Ridge(ALPHAS, cv=3), folds=folds, **options, **data)
    p, accuracy = found.null.p, found.observed.correct.mean()
    return {
        "p": p,
        "fwer": statistics.permutation_test(found.observed.r[0], found.null.max_r, "max"),
        "q": statistics.fdr(p),
        "identification": statistics.permutation_test(np.asarray(accuracy), found.null.accuracy),
    }


REJECTIONS = {
    "one target, p": lambda found: found["p"][0] <= 0.05,
    "any target of the map, family-wise p": lambda found: (found["fwer"][:4] <= 0.05).any(),
    "identification, p": lambda found: found["identification"] <= 0.05,
}


@cases((40, 10), (1000, 100))("n")
def test_held_out_runs(n: tuple[int, int], record: Record) -> None:
    """Encoding of held-out runs: permutation tests of one target, of a map of 20 targets, of identification"""
    n_null, n_power = n
    nulls = [encode(np.zeros(20), seed) for seed in range(n_null)]
    planted = [encode(np.repeat([0.7, 0.0], [4, 16]), 10_000 + seed) for seed in range(n_power)]
    anywhere = sum((found["fwer"] <= 0.05).any() for found in nulls)
    for name, rejects in REJECTIONS.items():
        check_size(record, name, anywhere if "map" in name else sum(rejects(found) for found in nulls), n_null)
        power = np.mean([rejects(found) for found in planted])
        within(record, f"{name}: power, 4 of 20 targets at ceiling .7", power, f" (n = {n_power})", least=0.8)


@cases(15, 200)("n_replicates")
def test_false_discovery_rate(n_replicates: int, record: Record) -> None:
    """False discovery proportion with 20 % true targets"""
    q, true = 0.05, np.repeat([True, False], [12, 48])
    proportions, recalls = [], []
    for seed in range(n_replicates):
        found = encode(np.where(true, 0.6, 0.0), 30_000 + seed, n_permutations=199)["q"] <= q
        proportions.append((found & ~true).sum() / max(found.sum(), 1))
        recalls.append(found[true].mean())
    mean, error = np.mean(proportions), np.std(proportions) / np.sqrt(n_replicates)
    se = f" +/- {error:.3f} (n = {n_replicates})"
    within(record, "false discovery proportion at q = .05", mean, se, most=q + 2 * error)
    within(record, "recall", np.mean(recalls), least=0.5)


def zero_shot_p(effect: bool, seed: int) -> float:
    """Return p of matching left-out pairs: responses have structure; only with `effect` the features know it."""
    n_stimuli, n_runs = 8, 4
    data = runs_world(np.full(30, 0.5), seed, n_runs, n_stimuli)
    if not effect:
        data["X"] = np.tile(np.random.default_rng(seed + 1).normal(size=(n_stimuli, 8)), (n_runs, 1))
    pairs = [(i, j) for i in range(n_stimuli) for j in range(i + 1, n_stimuli)]
    stimuli = data["stimulus_ids"]
    folds = [(np.flatnonzero(~np.isin(stimuli, pair)), np.flatnonzero(np.isin(stimuli, pair))) for pair in pairs]
    found = evaluate(Ridge(ALPHAS, cv=2), folds=folds, leave_out="stimulus", n_permutations=99, seed=seed, **data)
    return float(statistics.permutation_test(np.asarray(found.observed.correct.mean()), found.null.accuracy))


@cases((16, 6), (500, 100))("n")
def test_zero_shot(n: tuple[int, int], record: Record) -> None:
    """Zero-shot matching of left-out pairs: exchange of stimuli as wholes"""
    n_null, n_power = n
    check_size(record, "pairs", sum(zero_shot_p(False, seed) <= 0.05 for seed in range(n_null)), n_null)
    power = np.mean([zero_shot_p(True, 40_000 + seed) <= 0.05 for seed in range(n_power)])
    within(record, "power, 30 targets at ceiling .5", power, f" (n = {n_power})", least=0.8)


@cache  # both ways to compare look at the same simulations
def measured_rdms(seed: int, effect: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """Return the RDM of 12 noisy runs of 8 conditions and those of halves, a model RDM, and the generator as they left
    it. With an effect the model is the RDM of the noise-free patterns; without, it has nothing to do with them."""
    rng = np.random.default_rng(seed)
    unrelated = rng.normal(size=(0 if effect else 8, 6))
    runs, conditions = np.repeat(np.arange(12), 8), np.tile(np.arange(8), 12)
    truth = rng.normal(size=(8, 6)) @ rng.normal(size=(6, 30)) / np.sqrt(6)
    given = 2 * rng.normal(size=(96, 30)) + truth[conditions], "crossnobis", conditions, runs
    return rdm(*given), split_half_rdms(*given), rdm(truth if effect else unrelated, "euclidean"), rng


@cases((40, 10), (500, 100))("n")
@pytest.mark.parametrize("method", ["spearman", "cosine"])
def test_rsa(n: tuple[int, int], method: str, record: Record) -> None:
    """RSA: permutation test of a model RDM, and the bounds of its ceiling, crossnobis on 8 conditions"""
    n_null, n_power = n
    false, power, found = 0, 0, []
    for seed in range(n_null):
        measured, _, other, rng = measured_rdms(50_000 + seed, effect=False)
        false += rdm_permutation_test(measured, other, method, 199, deepcopy(rng)).p <= 0.05
    for seed in range(n_power):
        measured, halves, truth, rng = measured_rdms(60_000 + seed, effect=True)
        test = rdm_permutation_test(measured, truth, method, 199, deepcopy(rng))
        power += test.p <= 0.05
        found.append((test.score, *split_half_ceiling(halves, method)))
    (fit, low, high), about = np.mean(found, axis=0), f" (n = {n_power})"
    check_size(record, method, false, n_null)
    within(record, f"{method}: power, true geometry", power / n_power, about, least=0.8)
    within(record, f"{method}: mean fit of the true geometry", fit, about, least=low - 0.02, most=high + 0.02)


UNITS = {
    "12 runs, normal": lambda rng: (rng.normal(size=12), 0.0),
    "12 runs, accuracy of 8 items at .5": lambda rng: (rng.binomial(8, 0.5, 12) / 8, 0.5),
    "12 runs, accuracy of 8 items at .125": lambda rng: (rng.binomial(8, 0.125, 12) / 8, 0.125),
    "6 pairs of runs, normal": lambda rng: (rng.normal(size=6), 0.0),
    "30 subjects, skewed": lambda rng: (rng.exponential(size=30), 1.0),
}


@cases(200, 2000)("n")
@pytest.mark.parametrize("units", UNITS)
def test_bootstrap_coverage(n: int, units: str, record: Record) -> None:
    """Coverage of 95 % bootstrap intervals (expanded percentile)"""
    covered = 0
    for seed in range(n):
        values, truth = UNITS[units](np.random.default_rng(70_000 + seed))
        interval = statistics.bootstrap(values, n_draws=1000, seed=seed)
        covered += interval.low <= truth <= interval.high
    # Reduced, the rate must be compatible with the band; at full size it must lie in it.
    slack = 0 if n >= 2000 else 2 * np.sqrt(0.05 * 0.95 / n)
    within(record, units, covered / n, f" (n = {n})", least=0.92 - slack, most=0.98 + slack)


WAYS = ("next to no penalty", "tuned penalty", "logistic")
IN_FULL = [pytest.param(name, 400, id=name, marks=pytest.mark.acceptance) for name in WAYS]


@pytest.mark.parametrize(("method", "n"), [pytest.param("tuned penalty", 36, id="reduced"), *IN_FULL])
def test_coverage_over_folds(method: str, n: int, record: Record) -> None:
    """Coverage of 95 % intervals of cross-validated identification (12 runs x 8 stimuli; the same signal, new noise)"""
    signal = linear_world(8, 8, 1, np.ones(40), seed=1)
    runs, stimuli = np.repeat(np.arange(12), 8), np.tile(np.arange(8), 12)
    folds = [*LeaveOneGroupOut().split(runs, groups=runs)]
    encoder = Ridge((0.001,)) if method == "next to no penalty" else Ridge(ALPHAS, cv=3)
    noise = [np.random.default_rng(80_000 + seed).normal(size=(96, 40)) for seed in range(n)]
    responses = 0.6 * signal.signal[stimuli] + np.stack(noise)
    if method == "logistic":
        accuracies = [statistics.linear_classification(one, stimuli, folds) for one in responses]
    else:  # all draws are fitted at once
        scores = encode_folds(encoder, signal.X[stimuli], responses, folds, runs, stimuli)
        accuracies = list(scores.correct.mean(axis=2))
    truth = np.mean(accuracies)
    intervals = [statistics.cross_validated_interval(values, test_share=1 / 11) for values in accuracies]
    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    plain = [statistics.cross_validated_interval(values, 0.0) for values in accuracies]
    naive = np.mean([one.low <= truth <= one.high for one in plain])
    least = 0.92 - (0 if n >= 400 else 2 * np.sqrt(0.05 * 0.95 / n))  # it errs on the wide side
    within(record, f"{method}, accuracy {truth:.2f}", covered, f"; uncorrected {naive:.3f} (n = {n})", least=least)


@cases((0,), (0, 1, 2, 10, 11, 12))("seeds")
def test_ceilings(seeds: tuple[int, ...], record: Record) -> None:
    """Noise ceilings: 1,000 stimuli x 3 repeats, split-half with Spearman-Brown, unclamped"""
    for level in (0.0, 0.05, 0.1, 0.3, 0.6):
        errors = []
        for seed in seeds:
            world = linear_world(1000, 20, 3, np.full(100, level), seed)
            errors.append(statistics.noise_ceiling(world.repeats, n_averaged=1, n_halvings=12).mean() - level)
        found = f"; mean {level + np.mean(errors):.3f}"
        within(record, f"planted {level:g}: worst seed off by", np.abs(errors).max(), found, most=0.02)
    for level in (0.0, 0.1, 0.3):  # the design of the Haxby slice: correlations over 8 stimuli are biased
        worlds = (linear_world(8, 8, 12, np.full(300, level), 200 + k) for k in range(20 * len(seeds)))
        found = [statistics.noise_ceiling(world.repeats, n_halvings=40).mean() for world in worlds]
        record(f"12 repeats of 8 stimuli, planted {level:g}", f"{np.mean(found):.3f}", "shown: bias of few stimuli")
        if level == 0:
            assert abs(np.mean(found)) <= 0.02
    scores = []
    for seed in seeds:
        world = linear_world(1000, 20, 4, np.full(100, 0.3), 100 + seed)
        r = statistics.pearson(world.signal, world.repeats[3])
        ceiling = statistics.noise_ceiling(world.repeats[:3], n_averaged=1, n_halvings=12)
        scores.append(statistics.normalized_r2(r, ceiling).mean())
    within(record, "r2/ceiling of the true model at ceiling .3", np.mean(scores), least=0.97, most=1.03)
