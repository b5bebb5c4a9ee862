"""Worlds of topological RSA: where it gains over ranks and why, where it loses, what shuffled labels give."""

from functools import cache

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import binomtest, spearmanr, ttest_1samp
from shown import Record, cases, within
from worlds.regions import dependent_pair, region_patterns
from worlds.small import swiss_roll

from brainalign.geometry import BASELINES, RegionIdentification, dependence_test, geodesic, identify_regions, rdm


@cache  # of the seeds that several tests look at
def identified(regime: str, seed: int) -> RegionIdentification:
    return identify_regions(rdm(region_patterns(regime, seed=seed), "euclidean"))


def accuracies(regime: str, seeds: int) -> np.ndarray:
    found = [identified(regime, seed) for seed in range(seeds)]
    rows = [[one.raw, *(one.accuracy[one.at(*cell)] for cell in BASELINES.values()), one.nested] for one in found]
    return np.array(rows)


NAMES = ["raw", *BASELINES, "nested"]
PAGE = {"raw": ".27", "rank": ".75", "upper clip": "", "geo-topological": ".82", "topological": ".91", "nested": ".965"}


@cases(3, 12)("seeds")
def test_idiosyncratic_outliers(seeds: int, record: Record) -> None:
    """Topological RSA, outlier world: 6 regions, 40 stimuli, 12 subjects, chance .167; 12 seeds, paired"""
    of = dict(zip(NAMES, accuracies("outliers", seeds).T, strict=True))
    for name in NAMES:
        record(f"accuracy, {name}", f"{of[name].mean():.3f}", f"{PAGE[name]} (prototype)" if PAGE[name] else "beside")
    over_rank, over_clip = ttest_1samp(of["topological"] - of["rank"], 0), of["topological"] - of["upper clip"]
    se, gain = over_clip.std(ddof=1) / np.sqrt(seeds), (of["topological"] - of["rank"]).mean()
    within(record, "topological - rank", gain, f" (t {over_rank.statistic:.1f})", least=0.03)
    # Robust clipping suffices: topology explains nothing that it does not.
    within(record, "topological - upper clip", over_clip.mean(), f" (SE {se:.3f})", most=2 * se)
    if seeds == 12:
        assert over_rank.statistic > 3
        assert of["nested"].mean() > of["rank"].mean()
        assert ((of["topological"] - of["rank"]) > 0.03 - 0.05).all()


@cases(2, 6)("seeds")
def test_isotropic_noise_is_an_honest_small_loss(seeds: int, record: Record) -> None:
    """Topological RSA under isotropic noise of sd 2.5; 6 seeds"""
    of = dict(zip(NAMES, accuracies("isotropic", seeds).T, strict=True))
    for name in NAMES:
        record(f"accuracy, {name}", f"{of[name].mean():.3f}", "raw .76, rank .75, .2-.8 .73, topological .69 (proto)")
    assert abs((of["geo-topological"] - of["rank"]).mean()) <= 0.06
    assert (of["topological"] - of["rank"]).mean() <= 0.0


@pytest.mark.acceptance
def test_monotone_warps_change_nothing_but_raw_rdms(record: Record) -> None:
    """Topological RSA under a monotone warp of every RDM's own; 3 seeds"""
    rows = []
    for seed in range(3):
        rng, plain = np.random.default_rng(seed), rdm(region_patterns("outliers", seed=seed), "euclidean")
        power = np.exp(rng.uniform(np.log(0.2), np.log(5), size=(12, 6, 1)))
        warped, unwarped = identify_regions((plain / plain.max()) ** power), identified("outliers", seed)
        np.testing.assert_array_equal(warped.accuracy, unwarped.accuracy)
        rows.append((warped.raw, unwarped.raw))
    record("raw accuracy, warped and not", " and ".join(f"{x:.3f}" for x in np.mean(rows, axis=0)), "shown")
    record("accuracy of ranks and at all thresholds", "identical", "identical")


@pytest.mark.acceptance
def test_shuffled_labels_and_nothing_to_find(record: Record) -> None:
    """Topological RSA, nested choice with nothing to find: labels shuffled within subjects, 3 seeds of 30 shuffles"""
    nested, best = [], []
    for seed in range(3):
        rng, rdms = np.random.default_rng(seed), rdm(region_patterns("outliers", seed=seed), "euclidean")
        found = identify_regions(rdms, n_shuffles=30, rng=rng)
        nested.append(found.shuffled)
        best.append(found.shuffled_best)
        assert abs(found.shuffled.mean() - 1 / 6) <= 3 * found.shuffled.std(ddof=1) / np.sqrt(30)
    mean, se = np.mean(nested), np.std(nested, ddof=1) / np.sqrt(90)
    record("nested accuracy (SE)", f"{mean:.3f} ({se:.3f})", "within 3 SE of .167")
    record("maximum over thresholds", f"{np.mean(best):.3f}", "optimistic: above chance")
    assert abs(mean - 1 / 6) <= 3 * se
    assert np.mean(best) > 1 / 6 + 3 * se


@pytest.mark.acceptance
def test_the_interval_and_the_verdict_of_one_study(record: Record) -> None:
    """Topological RSA, outlier world as one study: bootstrap over subjects and stimuli, 60 draws, 3 seeds"""
    for seed in range(3):
        rdms = rdm(region_patterns("outliers", n_subjects=8, seed=seed), "euclidean")
        cells = np.array([*BASELINES.values(), (0.0, 0.4), (0.1, 0.6)])
        found = identify_regions(rdms, cells, n_boot=60, rng=np.random.default_rng(seed))
        rank, clip, _, topological = range(4)
        gap = found.draws[:, topological] - found.draws[:, rank]
        record(f"topological - rank, seed {seed} (SE)", f"{found.accuracy[topological] - found.accuracy[rank]:.3f} "
               f"({gap.std(ddof=1):.3f})", "shown")  # fmt: skip
        assert found.dropped_pairs.mean() > 0
        assert np.isfinite(found.draws).all()
        assert found.accuracy[clip] >= found.accuracy[topological] - 0.05


@cases(1, 5)("seeds")
def test_swiss_roll(seeds: int, record: Record) -> None:
    """Geodesics of a swiss roll: 800 points, 8 neighbours, against arc length and height; 5 seeds"""
    found, plain, short = [], [], []
    for seed in range(seeds):
        roll = swiss_roll(800, seed)
        d, true = pdist(roll.points), pdist(roll.intrinsic)
        paths = geodesic(d, neighbors=8)
        assert paths.n_components == 1
        found.append(spearmanr(paths.rdms, true).statistic)
        plain.append(spearmanr(d, true).statistic)
        # An edge is a path of one step; one that leaves the sheet is far shorter than the sheet between its ends.
        short.append(int((np.isclose(paths.rdms, d) & (true > 2 * d)).sum()))
    small = swiss_roll(400, 0)
    worse = spearmanr(geodesic(pdist(small.points), neighbors=12).rdms, pdist(small.intrinsic)).statistic
    within(record, "geodesic: median", np.median(found), least=0.99, digits=4)
    within(record, "geodesic: smallest", min(found), least=0.85)
    record("short-circuit edges by seed", ", ".join(map(str, short)), "reported")
    within(record, "euclidean: largest", max(plain), most=0.45)
    within(record, "400 points, 12 neighbours", worse, most=0.8)


POWER = {"sine": ".99 to 1", "circle": ".78", "checkerboard": ".85"}


@pytest.mark.acceptance
def test_size_of_the_dependence_test(record: Record) -> None:
    """Adaptive dependence test, n = 50, 99 permutations: size over 500 independent pairs"""
    rng, n = np.random.default_rng(0), 500
    tests = [dependence_test(*dependent_pair("independent", 50, rng), 99, rng) for _ in range(n)]
    rejected, plain = sum(test.p <= 0.05 for test in tests), sum(test.plain_p <= 0.05 for test in tests)
    upper = binomtest(rejected, n).proportion_ci(0.9, "exact").high
    within(record, "false positives, upper 95 % bound", upper, f" of {rejected / n:.3f}", most=0.075)
    record("false positives of plain distance correlation", f"{plain / n:.3f}", "beside")


@cases(12, 100)("n")
def test_power_of_the_dependence_test(n: int, record: Record) -> None:
    """Adaptive dependence test, n = 50, 99 permutations: power beside plain distance correlation, 100 pairs each"""
    rng = np.random.default_rng(1)
    for kind in ("sine", "circle", "checkerboard", "linear"):
        tests = [dependence_test(*dependent_pair(kind, 50, rng), 99, rng) for _ in range(n)]
        adaptive, plain = (np.mean([getattr(test, name) <= 0.05 for test in tests]) for name in ("p", "plain_p"))
        record(f"{kind}: adaptive, plain", f"{adaptive:.2f}, {plain:.2f}", f"{POWER.get(kind, '.58, .68')} (prototype)")
        if kind != "linear":
            assert adaptive - plain >= 0.3
            assert adaptive >= (0.8 if n == 100 else 0.5)
        elif n == 100:  # of 12 pairs the standard error alone is .2
            assert plain - adaptive <= 0.15
