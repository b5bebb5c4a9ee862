"""Whole results of statistics as they were: scores, ceilings, intervals, tests and tables, of small uneven data."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from seeded.recorded import Record

import brainalign.statistics as st
from brainalign.statistics import ceilings, correlations, reconstruction, scores, sign_flips, summary

RECORD = Record(Path(__file__).parent / "recorded.json")
RNG = np.random.default_rng
NAN = np.nan
WORLD = RNG(1)
X, Y = WORLD.normal(size=(2, 14, 7)) * [3, 1, 1, 0.4, 2, 1, 1] + 0.3
Y[:, :4] += X[:, :4] * [1, 0.3, -1, 0.1]
X[:, 5], Y[:, 6] = 0.1, 2.0
SHOWN = np.array([3, 0, 0, 2, 3, 3, 1, 0, 2, 1, 3, 0, 2, 2])
PLACES = WORLD.normal(size=(11, 3)) * [30, 20, 10]
APART = np.linalg.norm(PLACES[:, None] - PLACES, axis=2)


class Fit:
    """Ridge that says a little of nothing."""

    def fit(self, x: Any, y: Any, weight: float = 1.0) -> "Fit":
        self.weights = np.linalg.solve(x.T @ x + weight * np.eye(x.shape[1]), x.T @ y)
        return self

    def predict(self, x: Any) -> Any:
        return (x @ self.weights + 0.05).squeeze()


def per_target() -> Any:
    found: list[Any] = []
    flat = np.where(np.arange(7) % 3 == 1, X.mean(axis=0) + 1e-9 * X, X)
    pairs = ((X, Y), (Y, X), (X.astype("f"), flat))
    for block in (scores.BLOCK, 30):
        with patch.object(scores, "BLOCK", block):
            for one in (st.pearson, st.r2, st.explained_variance, st.without_rounding):
                found.append([[one(*pair), one(*pair, axis=1)] for pair in pairs])
    r = st.pearson(X, Y)
    return found, st.signed_r2(r), st.normalized_r2(r, np.array([0.5, 0.2, 1, 0, -1, 2, 3]))


def shares() -> Any:
    repeats = WORLD_REPEATS
    found: list[Any] = [st.spearman_brown(np.array([0.2, 0.9]), 3)]
    found += [st.split_half_reliability(some, 5, 3) for some in (repeats, repeats[:4])]
    found += [st.noise_ceiling(repeats, *more, n_halvings=4, seed=2) for more in ((), (5,), (0.5,))]
    subjects = repeats[:3] * np.array([1, 4, 0.5])[:, None, None]
    subjects[1, :, 2] = 1.0
    found.append(st.leave_one_subject_out_ceiling(subjects))
    trials = np.repeat(X[:4], 4, axis=0)[:14] + 0.8 * Y
    trials[:, 5], trials[:, 6] = np.array([0.1, 0.7, 0.2, 0.4])[SHOWN], 3
    for size in (ceilings.BLOCK, 30):
        with patch.object(ceilings, "BLOCK", size):
            found += [one(trials, SHOWN) for one in (st.ncsnr, st.signal_share)]
    found.append(st.ncsnr(trials[:, :6].reshape(14, 2, 3), SHOWN))
    for given in (found[-3], np.array([NAN, np.inf, -2.0])):
        found += [st.noise_ceiling_from_ncsnr(given, n) for n in (3, [1, 2, 5])]
    return found, [st.noise_ceiling_from_share(found[-8], n) for n in (1, [4, 2, 1])]


WORLD_REPEATS = RNG(2).normal(size=(5, 9, 4)) + RNG(3).normal(size=(9, 4)) * [3, 1, 0, 0.5]


def classified() -> Any:
    folds = [(np.arange(4, 14), np.arange(4)), (np.arange(10), np.arange(10, 14)), (np.r_[:4, 9:14], np.arange(4, 9))]
    kinds = np.where(np.arange(14) % 3 == 0, "b", "a")
    parts = [np.arange(5), np.arange(5, 9), np.arange(9, 14)]
    stack = np.stack([X, Y[::-1]]), np.stack([Y, X])
    tied = np.round(X[:5]), np.round(X[[1, 0, 2, 2, 2]])
    return (
        st.linear_classification(Y, SHOWN, folds),
        [st.logistic_auc(Y, kinds, folds, *more) for more in ((), (3.0,))],
        st.logistic_auc(Y, kinds, [(np.arange(4, 14), np.arange(1, 3))]),
        [st.held_out_prediction(Fit(), X[:9], Y[:9], X[9:], standardise=one) for one in (False, True)],
        st.held_out_prediction(Fit(), X[:9], Y[:9, :1], X[9:], weight=9.0),
        st.held_out_prediction(Fit(), X[:9], np.full((9, 2), 4.0), X[9:]),
        [st.held_out_r2(Fit(), X, given, parts) for given in (Y, Y[:, 6:], Y * 1e-3)],
        [st.identification(*pair) for pair in ((X, Y), stack, tied)],
        [st.pair_matching(*pair) for pair in ((X, Y), stack, tied)],
    )


def clustered() -> Any:
    maps = RNG(4).normal(size=(13, 5, 8)).cumsum(axis=2) / 2
    maps[0, 1:3, 2:6] += 2.5
    maps[:, 4, 7] = 1.0
    ring = sparse.coo_array(np.eye(5, k=1) + np.eye(5, k=-1) + np.eye(5))
    found = []
    for options in (
        {}, {"threshold": 0.8, "tail": "both"}, {"threshold": 0.8, "kind": "score"},
        {"threshold": 0.9, "kind": "quantile", "tail": "both"}, {"threshold": 9.0, "kind": "score"},
    ):  # fmt: skip
        for adjacency, times in ((None, None), (ring, np.linspace(-0.1, 0.6, 8))):
            one = st.cluster_permutation(maps[0], maps[1:], adjacency, times=times, **options)
            found.append([one, one.mask(), one.mask(0.5), one.table(), one.table(list("edcba"))])
    sensors = pd.DataFrame(PLACES, columns=["x_mm", "y_mm", "z_mm"]).assign(sensor_type=list("mmgmmgmmmme"))
    tables = sensors, sensors.assign(y_mm=NAN), sensors.assign(sensor_type="m")
    return found, [st.sensor_adjacency(table).toarray() for table in tables]


def correlated() -> Any:
    groups = [np.array([4, 0, 5]), np.arange(7) % 3 == 1, np.array([], dtype=int), np.array([5, 6])]
    many = RNG(5).normal(size=(2, 9, 1100))
    many[0, :, 300] = 1.0
    regions = {"v1": np.array([0, 3]), "none": np.array([5, 6]), "it": np.array([6, 2, 1])}
    found: list[Any] = [st.group_means(st.pearson(X, Y), groups)]
    for n, more in ((9, {"groups": groups, "n_maps": 4}), (31, {"groups": groups}), (5, {})):
        found.append(st.permuted_correlations(X, Y, n, [3, 1], n_maps=more.pop("n_maps", 0), **more))
    found.append(st.permuted_correlations(np.ones((6, 2)), X[:6, :2], 3, 1, groups=[np.array([0])]))
    found.append(st.permuted_correlations(*many, 4, 2, groups=[np.array([3, 1050]), np.arange(1100) > 600]))
    found += [st.bootstrap_correlations(X, Y, groups, n_draws=6, seed=2)]
    found += [st.bootstrap_correlations(*many, [np.array([3, 1050]), np.arange(1100) < 9], n_draws=4)]
    drawn = st.region_draws(X, Y, regions, n_draws=6, n_permutations=5, seed=2)
    kept = st.RegionDraws(regions, {"b": drawn[0], "a": -drawn[0]}, {"b": drawn[1], "a": -drawn[1]}, list("xzy"), 9)
    read = st.RegionDraws.read(kept.arrays(), kept.details())
    with patch.object(correlations, "BLOCK", 3):
        again = st.permuted_correlations(X, Y, 9, 4, groups=groups, n_maps=2)
        small = st.bootstrap_correlations(X, Y, groups[:1], n_draws=3)
    return found, drawn, dict(kept.arrays()), kept.details(), read, again, small


TIMES = np.linspace(-0.1, 0.5, 25)
COURSE = 0.5 + np.exp(-(((TIMES - 0.15) / 0.05) ** 2)) + 0.7 * np.exp(-(((TIMES - 0.38) / 0.04) ** 2))
DRAWN = COURSE + 0.15 * RNG(6).normal(size=(40, 25))
CHANCE = 0.5 + 0.1 * RNG(7).normal(size=(30, 25))


def in_time() -> Any:
    cases: list[Any] = [(COURSE, DRAWN, CHANCE, TIMES, more) for more in (
        {}, {"chance": 0.5}, {"chance": 0.5, "window": (0.0, 0.25)}, {"confidence": 0.7, "n_consecutive": 5},
        {"n_consecutive": 99},
    )]  # fmt: skip
    cases += [(CHANCE[0], CHANCE[1:9], CHANCE[9:], TIMES, {"chance": 0.5, "confidence": 0.5})]
    cases += [(COURSE, DRAWN + 3 * DRAWN[::-1], CHANCE, TIMES, {})]
    ramp = np.maximum(TIMES, 0) + 0.5
    found = [st.score_latency(*given, **more) for *given, more in cases]
    gates: list[dict[str, Any]] = [{"SE_FACTOR": 9.0}, {"MAX_P": 0.01}]
    strict = [patch.multiple("brainalign.statistics.latency", **gate)(st.score_latency) for gate in gates]
    found[4:4] = [score(COURSE, DRAWN, CHANCE, TIMES) for score in strict]
    courses = COURSE, ramp, CHANCE[0], COURSE[::-1]
    levels = [{"threshold": 0.6}, {"threshold": 1.1, "n_consecutive": 2}, {"threshold": 9.0}]
    humps = [st.first_hump(one, TIMES, chance=0.5, **level) for one in courses for level in levels]
    half = {"chance": 0.5}
    more = {}, half, half | {"confidence": 0.7, "n_folds": 4}, half | {"window": (0.25, 0.5)}, {"chance": 2.0}
    return found, humps, [st.hump_latency(one, DRAWN, TIMES, **kind) for kind in more for one in (COURSE, ramp)]


def candidate(k: int, family: str, layer: str) -> st.Candidate:
    rng = RNG(40 + k)
    r = rng.random(9) / 2 + 0.1 * k
    r[k], p = NAN, rng.random(9) / 20
    p[k] = NAN
    draws = r[[0, 4]] + 0.05 * rng.normal(size=(20, 2)) + 0.4
    scores = r, p, r + rng.normal(size=9) / 5, np.nan_to_num(draws), rng.normal(size=(30, 2)) / 9
    return st.Candidate(family, f"net{k}", "ridge", layer, *scores)


def contests() -> Any:
    some = [candidate(k, *kind) for k, kind in enumerate([("b", "l1"), ("a", "l2"), ("b", "l0"), ("c", "l9")])]
    regions = {"v1": np.array([0, 3, 5]), "it": np.array([2, 8, 7, 1])}
    ceiling = np.linspace(-0.1, 0.9, 9)
    twins = [some[0], st.Candidate("z", *list(vars(some[0]).values())[1:])]
    r = np.array([[0.3, NAN, 0.1, 0.25], [NAN] * 4, [0.2, NAN, NAN, NAN], [0.4, 0.4, 0.1, 0.2]])
    draws = r + 0.03 * RNG(8).normal(size=(15, 4, 4))
    null = 0.2 * RNG(9).normal(size=(19, 4, 4))
    null[3, 0, 0] = NAN
    loose = patch.multiple("brainalign.statistics.preference", SE_FACTOR=0.1, MAX_P=0.6)(st.layer_preference)
    names = list("wxyz")
    return (
        st.family_contest(some, regions, n_train=50, n_test=14, ceiling=ceiling),
        st.family_contest(twins, regions, n_train=30, n_test=9, confidence=0.6),
        [st.target_winners(some, rows) for rows in (np.arange(9), np.array([8, 2, 4]))],
        [st.interval_widening(*sizes) for sizes in ((40, 12, 0.95), (500, 100, 0.5))],
        [prefer(r, draws, null, list("dcba"), names) for prefer in (st.layer_preference, loose)],
    )


def paired() -> Any:
    pairs = RNG(10).normal(size=(14, 5)) + 2 * (SHOWN[:, None] == np.arange(5))
    groups = np.array([0, 1, 0, 1, 1])
    units, labels, blocks = SHOWN + 10 * (np.arange(14) > 6), np.where(SHOWN % 3 == 1, "b", "a"), np.arange(14) > 6
    exchange = st.Exchange(labels, units, blocks)
    draws = RNG(11).normal(size=(30, 4)) * [1, 2, 0, 3]
    values = RNG(12).normal(size=14)
    tests = [st.pairing_test(pairs, SHOWN, given, 19, 2) for given in (None, groups)]
    return (
        tests, [[one.null_mean, one.null_sd] for one in tests], st.sums_by_stimulus(pairs, SHOWN),
        st.exchanged(np.array([4, 1, 3, 0]), 5, groups, 6, RNG(1)),
        exchange.permuted(5, RNG(2)), exchange.draws(5, RNG(3)),
        st.paired_differences_p(np.array([2.5, -5.5, 1, 0.2]), draws, 8),
        st.largest_difference_p(np.array([2.5, -60, NAN]), 7, draws[:, [0, 1, 3]]),
        st.largest_difference_p(np.array([2.5]), 3, np.zeros((5, 1))),
        st.crossed_bootstrap(values, np.arange(14) % 3, np.arange(14) // 2, n_draws=50, seed=3),
        st.crossed_bootstrap(values, np.zeros(14), np.arange(14) // 2, 0.6, 50),
        [st.sign_flip_test(given, 2) for given in (Y[:5] + 0.4, np.vstack([Y, [NAN, *[1.0] * 6]]) + 0.2)],
    )  # fmt: skip


def flips() -> Any:
    with patch.multiple(sign_flips, MOST_FLIPS=40, BLOCK=7):
        return [st.sign_flip_test(given, 2) for given in (Y + 0.4, Y[:5], np.full((3, 2), NAN))]


def drawn_again() -> Any:
    groups, stimuli = np.array([2, 1, 2, 1, 1, 2, 2, 1, 1, 2, 1, 2]), np.array(list("badcbadcabcd"))
    even = np.repeat([5, 3], 6), np.array(list("cabbac" + "bcaacb"))
    null = np.array([[0.1, NAN, 0.5], [0.3, 0.2, 0.5], [0.2, 0.9, -0.1]])
    return (
        st.permute_within(groups, 5, RNG(1)), st.permute_within(even[0], 5, RNG(2), even[1]),
        st.exchange_features(stimuli, groups, 5, RNG(3)), st.permute_stimuli(even[1], even[0], 5, RNG(4)),
        [st.permutation_test(np.array([0.2, NAN, 0.5]), null, kind) for kind in ("none", "max")],
        st.permutation_test(np.array([0.2, 0.4]), null[:, 0], "max"),
        st.fdr(np.array([0.04, 0.01, NAN, 0.03, 0.5])), st.fdr(np.array([NAN])),
        [st.cross_validated_interval(Y[:, 0], 0.25, *more) for more in ((), (0.6,))],
        [st.bootstrap(Y[:, 0], *more, n_draws=60, seed=3) for more in ((), (0.6,))],
    )  # fmt: skip


def cortical() -> Any:
    sphere, hemi = RNG(13).normal(size=(16, 3)), np.repeat(["R", "L"], [9, 7])
    orders = [list(st.spin_orders(sphere, hemi, 6, seed=seed)) for seed in (0, 2)]
    values = RNG(15).normal(size=13)
    gone, maps = np.where(np.arange(13) % 4 == 1, NAN, 1.0), {"b": values + RNG(16).normal(size=13)}
    maps |= {"gaps": gone * values**2, "flat": np.full(13, 0.3), "a": -maps["b"] + 0.1 * values, "last": -gone * values}
    maps |= {"few": np.where(np.arange(13) < 2, values, NAN)}
    some = np.where(np.arange(13) == 5, NAN, values)
    spins = [*st.spin_orders(sphere[2:15], hemi[2:15], 19, seed=5), np.full(13, -1)]
    areas = {name: given[:11] for name, given in maps.items()} | {"four": np.where(np.arange(11) < 3, values[:11], NAN)}
    turns = [np.roll(np.arange(11), k) for k in range(5)]
    tables = [st.spin_test(given, maps, spins, *kind) for given in (values, some) for kind in ((), ("greater",))]
    tables.append(st.spin_test(values, {"b": maps["b"]}, []))
    lost = [np.where(np.arange(11) < 9, -1, turn) for turn in turns]
    for turned in (turns, [], lost, turns[:2] + lost[:3]):
        tables.append(st.area_map_test(some[:11], areas, turned, APART, n_surrogates=39, seed=3))
    given = np.stack([PLACES[:, 0], values[:11]]), PLACES[:, 1] + PLACES[:, 0], APART
    smooth = [
        st.smooth_map_test(*given, alternative=kind, n_surrogates=29, seed=2) for kind in ("greater", "two-sided")
    ]
    return orders, tables, smooth, st.smooth_map_test(values[:11], PLACES[:, 2], APART, n_surrogates=9)


def pictures() -> Any:
    shown = RNG(17).random((8, 3, 13, 12))
    made = (shown + RNG(18).random((8, 3, 13, 12))).astype("f") / 2
    training = RNG(19).random((5, 3, 13, 12))
    flat = lambda images: images.reshape(len(images), -1)  # noqa: E731
    read = {"CLIP": lambda images: flat(images[:, :, ::4, ::5]), "SwAV": lambda images: flat(images.mean(axis=2))}
    made[5] = 0.5
    options = {"n_ways": (2, 3), "n_permutations": 21, "confidence": 0.8, "seed": 2}
    with patch.multiple(reconstruction, CHUNK=500, SSIM_PAIRS=40):
        tables = [
            st.reconstruction_scores(made, shown, read, training=training, clusters=list("abbacaab"), **options),
            st.reconstruction_scores(made[:4], shown[:4], training=training, n_permutations=0),
        ]
    similar = np.round(RNG(20).normal(size=(6, 6)), 1)
    similar[2, 3:] = similar[2, 2]
    others = RNG(21).random((6, 6)) < 0.6
    published = [st.beside_published(table, "ours", dataset="nsd") for table in tables]
    return (
        tables, published, st.structural_similarity(made, shown), reconstruction.check_images("made", made),
        [st.n_way_identification(similar, n, one) for n in (2, 4) for one in (None, others)],
        [st.effective_dimension(given) for given in (X, X[:, 5:6], shown.reshape(8, -1))],
    )  # fmt: skip


def summaries() -> Any:
    rng = RNG(22)
    cells = [(split, layer) for split in ("run", "stimulus") for layer in ("l2", "l1")]
    each = [pd.DataFrame({"fold": np.arange(21) // 3 + k, "correct": rng.random(21) < 0.5 + 0.1 * k}) for k in range(4)]
    columns = ["r", "ceiling", "r2_normalized", "q", "p_fwer"], ["accuracy", "share_good", "max_r"]
    targets = [pd.DataFrame(rng.random((6, 5)), columns=columns[0]) for _ in cells]
    targets = [table.assign(reliable=table["ceiling"] > 0.3) for table in targets]
    nulls = [pd.DataFrame(rng.random((9, 3)) / 2, columns=columns[1]).assign(permutation=range(9)) for _ in cells]
    pairs = [zip(some, cells, strict=True) for some in (targets, each, nulls)]
    joined = [pd.concat([table.assign(split=s, layer=x) for table, (s, x) in pair]) for pair in pairs]
    splits = {name: summary.SplitInfo(*one) for name, one in {
        "run": ("run", 0.2), "stimulus": ("stimulus", NAN), "few": ("run", 0.3)}.items()
    }  # fmt: skip
    limits = {"good_r": 0.4, "confidence": 0.8, "q": 0.5}
    encoding = summary.Encoding(*joined)
    rows = summary.summarize_encoding(encoding, splits, **limits)
    joined[0]["q"] = NAN
    bare = summary.Encoding(joined[0], joined[1], joined[2][:0])
    folds = pd.DataFrame(
        {"accuracy": rng.random(10), "chance": [0.25] * 7 + [0.5] * 3, "split": ["run"] * 7 + ["few"] * 3}
    )
    one = summary.summarize_encoding(bare, splits | {"run": summary.SplitInfo("run", NAN)}, **limits)
    return (
        pd.DataFrame(rows), pd.DataFrame(one), pd.DataFrame(summary.summarize_over_layers(rows, joined[2])),
        summary.summarize_over_layers(rows[:1], joined[2]), summary.summarize_decoding(folds, splits, 0.7),
    )  # fmt: skip


CASES: dict[str, Callable[[], Any]] = {
    one.__name__: one
    for one in (
        per_target, shares, classified, clustered, correlated, in_time, contests, paired, flips, drawn_again, cortical,
        pictures, summaries,
    )
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_results_of_statistics_are_as_they_were(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        RECORD.check(name, CASES[name]())
