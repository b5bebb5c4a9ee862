"""Whole results of fixed seeds as they were: scores, tables, networks and what stands beside them, of uneven data."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from seeded.encoding_cases import ENCODING
from seeded.recorded import Record
from sklearn.base import clone

from brainalign import encoding
from brainalign.arrays import Features, Layers, Responses
from brainalign.encoding import convergence, in_context, networks, scoring, trained
from brainalign.features import PCA
from brainalign.statistics import RELIABLE

RECORD = Record(Path(__file__).parent / "recorded.json")
RNG = np.random.default_rng
ORDER = RNG(0).permutation(72)
STIMULUS = np.concatenate([np.repeat(np.arange(18), 2), np.repeat(np.arange(18, 36), np.tile([1, 2, 3], 6))])[ORDER]
TRAIN, TEST = np.flatnonzero(STIMULUS < 18), np.flatnonzero(STIMULUS >= 18)
RAGGED = np.delete(TRAIN, [3, 11])
IMAGES = (RNG(1).normal(size=(36, 5)) * [1, 2, 3, 0.5, 1] + 1)[STIMULUS]
SIGNAL = IMAGES @ (RNG(2).normal(size=(5, 6)) * [1, 0.6, 0.3, 0.2, 0, 0.8])
Y = SIGNAL + RNG(3).normal(size=SIGNAL.shape) * [1, 2, 1, 0.5, 1, 1] + np.arange(6)
IDS = np.array([f"i{(7 * k) % 36:02d}" for k in STIMULUS])
BLOCKS = STIMULUS % 4
CEILING = np.array([0.7, 0.4, np.nan, 0.3, -0.1, 0.6])
ROIS = [["b"], ["b", "a"], ["a"], ["a"], ["c"], []]


def responses(values: np.ndarray = Y, n: int = 6, **changes: Any) -> Responses:
    """Return vertices, or with `times` sensors of two types."""
    trials = pd.DataFrame({"trial_id": np.arange(len(values)), "stimulus_id": IDS[: len(values)], "session": "1"})
    trials = trials.assign(run="", repeat=0, onset_s=np.nan)
    kind = "sensor" if "times" in changes else "vertex"
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(n)], "kind": kind, "hemi": list("LRLLRR")[:n]})
    places = pd.DataFrame(10 * RNG(4).normal(size=(n, 3)), columns=["x_mm", "y_mm", "z_mm"])
    targets = pd.concat([targets.assign(roi=ROIS[:n], sensor_type=list("mgmmgg")[:n]), places], axis=1)
    return Responses(values, trials, targets, "z", **changes)


TIMES = np.array([-0.1, 0.05, 0.2])
CUBE = responses(Y.reshape(-1, 2, 3), 2, times=TIMES)
GROUPS = encoding.target_groups(responses(), CEILING > 0.35)


def ridge(**options: Any) -> encoding.Ridge:
    return encoding.Ridge(**{"alphas": (0.1, 3.0, 100.0), "cv": 3, "device": "cpu"} | options)


def numbers(found: Any) -> dict[str, Any]:
    """Return all of an evaluation but fits and times."""
    return {name: value for name, value in vars(found).items() if name not in ("encoder", "refitted", "seconds")}


def evaluated(encoder: Any = None, X: Any = IMAGES, values: Any = Y, train: Any = TRAIN, **given: Any) -> Any:
    """Return `evaluate_held_out` of few permutations and draws, with a control."""
    options = {"n_permutations": 19, "n_boot": 12, "target_groups": GROUPS, "control": "refit", "seed": 3} | given
    return encoding.evaluate_held_out(encoder or ridge(), X, values, train, TEST, IDS, **options)


@cache
def layers() -> dict[str, encoding.HeldOut]:
    wide = np.concatenate([IMAGES[:, :2], RNG(5).normal(size=(36, 40))[STIMULUS]], axis=1)
    return {"whole": evaluated(), "part": evaluated(ridge(metric="r"), IMAGES[:, 2:]), "wide": evaluated(X=wide)}


@cache
def timed() -> dict[str, encoding.HeldOut]:
    groups = encoding.target_groups(CUBE, np.array([0.5, 0.4, 0.3, 0.3, 0.9, 0.3]) > 0.35)
    options = {"values": CUBE.values, "target_groups": groups, "n_maps": 7}
    return {"late": evaluated(**options), "early": evaluated(X=IMAGES[:, 2:], **options)}


def held_out() -> Any:
    """Return what `evaluate_held_out` finds of responses and times, flat targets, ragged trials, groups and bands."""
    flat = np.where((np.arange(6) == 4) & (STIMULUS >= 18)[:, None], 2.0, Y)
    plain = {"control": "none", "target_groups": None, "n_permutations": 0}
    roi = np.array(list("abaabb"))
    shared = ridge(per_target_alpha=False)
    return [
        numbers(one)
        for one in (
            *layers().values(),
            *timed().values(),
            evaluated(values=flat),
            evaluated(train=RAGGED),
            evaluated(train=RAGGED, groups=BLOCKS, **plain),
            evaluated(shared, groups=BLOCKS, roi=roi),
            evaluated(shared, train=RAGGED, roi=roi, **plain),
            evaluated(banded(), [IMAGES[:, :2], IMAGES[:, 2:]]),
        )
    ]


def banded() -> encoding.BandedRidge:
    return encoding.BandedRidge((0.1, 3.0, 100.0), 5, cv=3, device="cpu", seed=2)


def averages(folder: Path) -> Any:
    found = []
    for train in (TRAIN, RAGGED):
        for path in (None, folder / f"{len(train)}.bin"):
            whole, *sides = scoring.average_split(responses(Y.astype(np.float32)), train, TEST, path)
            found.append([whole.values[:], whole.trials[["stimulus_id", "repeat"]], sides])
    every = [scoring.average_repeats(values, IDS) for values in (Y, (9 * Y).astype(np.int16))]
    return found, every, scoring.average_repeats(Y[:3].astype(np.float16), IDS[:3])


def tables() -> Any:
    parts = evaluated(banded(), [IMAGES[:, :2], IMAGES[:, 2:]])
    without = {name: replace(one, null=None, control_r=None) for name, one in layers().items()}
    flat = replace(layers()["part"], group_r=np.array([0.1, np.nan, 0.2, 0.3]))
    constant = replace(timed()["early"], group_r=np.full(4, np.nan))
    contenders = {
        "first": encoding.Contender(layers()["part"], 7, RNG(6).random((3, 4))),
        "one": encoding.Contender(layers()["whole"], 9, RNG(7).random((1, 4))),
        "none": encoding.Contender(replace(layers()["wide"], seconds=2.5), 11),
    }
    contenders = {name: one._replace(found=replace(one.found, seconds=0.5)) for name, one in contenders.items()}
    reliable = GROUPS[RELIABLE]
    draws = encoding.layer_draws(layers(), GROUPS, 18, n_draws=6, n_permutations=5, seed=2)
    return (
        [scoring.score_table(one, responses(), CEILING, reliable, 0.35) for one in layers().values()],
        [scoring.score_table(one, CUBE, CEILING, np.array([0, 4]), 0.35) for one in timed().values()],
        [scoring.group_table(one, GROUPS, CEILING, 0.8) for one in (*layers().values(), flat)],
        scoring.null_table(layers()),
        scoring.null_table(without),
        scoring.band_table(parts.partition, responses(), ["x", "y"]),
        scoring.band_table(replace(parts.partition, control_split=None), CUBE, ["x", "y"]),
        parts.partition.table(GROUPS, ["x", "y"], CEILING, 0.8),
        scoring.preference_table(layers()),
        scoring.preference_table({name: replace(one, groups=[RELIABLE] * 4) for name, one in layers().items()}),
        scoring.latency_table(timed() | {"flat": constant}, TIMES),
        [draws, encoding.layer_draws(layers(), {RELIABLE: reliable[:0]}, 18, n_draws=6, n_permutations=5, seed=2)],
        [scoring.score_clusters(one, CUBE) for one in timed().values()],
        encoding.side_by_side(contenders, [1, 2, 3, 4], 0.8),
        [encoding.target_groups(responses(), given) for given in (CEILING > 0.35, CEILING != 0)],
        encoding.target_groups(CUBE, np.array([0.5, 0, 0.4, 0.1, 0, 0]) > 0.35),
    )


MEANS, *SIDES = scoring.average_split(responses(), TRAIN, TEST)
SHOWN = np.stack([IMAGES[name == IDS][0] for name in MEANS.trials["stimulus_id"]])


def subject(**changes: Any) -> encoding.ImageSubject:
    """Return one row per image: products of equal rows need not be equal."""
    known = {"responses": MEANS, "ceiling": CEILING, "train": SIDES[0], "test": SIDES[1], "groups": GROUPS, "seed": 3}
    return encoding.ImageSubject(**known | {"n_permutations": 19, "n_draws": 12, "confidence": 0.8} | changes)


def subjects() -> Any:
    reduced, plain = subject(n_components=3), subject(standardize=False)
    times = subject(responses=scoring.average_split(CUBE, TRAIN, TEST)[0], n_permutations=210)
    fits = {"a": reduced.evaluate_in_full(ridge(), reduced.inputs(SHOWN)), "b": layers()["whole"]}
    maps = SHOWN[:, :, None] * [1.0, -2.0]
    return (
        reduced.table(fits),
        [who.inputs(maps, maps=given) for who in (reduced, plain, subject()) for given in (True, False)],
        [numbers(who.evaluate_in_full(ridge(), SHOWN)) for who in (times, subject())],
        numbers(subject().score(None, Y[TEST], SIGNAL[TEST], IDS[TEST], np.ones(36), target_groups=GROUPS)),
    )


def cross_validated() -> Any:
    runs, shown = np.repeat(np.arange(4), 6), np.tile([3, 1, 0, 2, 5, 4], 4)
    X, values = IMAGES[:24], Y[:24] + 2 * RNG(8).normal(size=(6, 6))[shown]
    by_run = [(np.flatnonzero(runs != k), np.flatnonzero(runs == k)) for k in range(4)]
    by_pair = [(np.flatnonzero(shown // 2 != k), np.flatnonzero(shown // 2 == k)) for k in range(3)]
    same = RNG(9).normal(size=(6, 30))[shown]
    some = np.delete(np.arange(24), [2, 9, 10])  # runs of five, four and six stimuli

    def halved(values: np.ndarray, train: np.ndarray) -> np.ndarray:
        return values[:, ::2] - values[train, ::2].mean(axis=0)

    found: list[Any] = [scoring.row_space(X), scoring.row_space(same), scoring.row_space(np.zeros((4, 2)))]
    for leave_out, folds in (("run", by_run), ("stimulus", by_pair)):
        given = {"leave_out": leave_out, "stimulus_ids": shown, "runs": runs, "n_permutations": 5, "seed": 2}
        for encoder, features, inputs in (
            (ridge(), same, None),
            (ridge(per_target_alpha=False), same, halved),
            (ridge(alphas=(1.0,)), np.ones((24, 2)), None),
        ):
            one = encoding.evaluate(encoder, features, values, folds, **given, inputs=inputs, good_r=0.1)
            found += [one.observed, one.null]
        place = np.full(24, -1)
        place[some] = np.arange(len(some))
        fewer = [tuple(place[side][place[side] >= 0] for side in fold) for fold in folds]
        given |= {"stimulus_ids": shown[some], "runs": runs[some]}
        one = encoding.evaluate(ridge(), same[some], values[some], fewer, **given)
        found += [one.observed, one.null]
        one = encoding.evaluate(ridge(), same[some], values[some], fewer, **given | {"n_permutations": 0})
        found += [one.observed, one.null]
    return found, scoring.encode_folds(ridge(), X, values[None], by_run, runs, shown)


def regions() -> Any:
    rng = RNG(10)
    clean = np.c_[rng.normal(size=(12, 4)) * [0.5, 1, 5, 20] + 3, np.zeros(12)]
    views = np.stack([clean, clean + 0.1 * rng.normal(size=clean.shape)])
    values = rng.normal(size=(12, 4)) + clean[:, :4] / 3
    fit = encoding.fit_regions(views, values, (0.1, 10.0, 1000.0), cv=3)
    groups = {"two": np.array([0, 2]), "one": np.array([1]), "two-one": np.array([3, 1])}
    asked = [None, ["one"], ["two-one"], ["one-two", "two"]]
    chosen = [scoring.choose_regions(groups, np.arange(4), some, 1) for some in asked]
    alpha = np.array([1.0, 30.0, 30.0, 7.0])
    few = encoding.fit_regions(views[:, :3], values[:3], (1.0, 9.0))
    return vars(fit), fit.predict(views[1]), vars(few), chosen, (
        encoding.shuffled_regions(views, values, alpha, {name: groups[name] for name in ("two", "one")}, 3, 2)
    )  # fmt: skip


def runs() -> Any:
    names = np.repeat(list("cabed"), [14, 11, 13, 10, 12])
    bands = {"x": RNG(11).normal(size=(60, 2)).cumsum(axis=0), "y": RNG(12).normal(size=(60, 3)), "z": np.ones((60, 1))}
    values = (bands["x"] @ RNG(13).normal(size=(2, 4)) + 2 * RNG(14).normal(size=(60, 4))).astype(np.float32)
    values[1:] += bands["y"][:-1, [0, 1, 2, 0]]
    delays, options = (0, 1), {"n_candidates": 5, "seed": 2}
    folds = scoring.run_folds("cabed", 2, ["a"])
    found: list[Any] = [[scoring.run_folds("edcba", n, apart) for n, apart in ((None, ""), (2, "c"), (3, "ba"))]]
    for chosen in ((), folds):
        whole = encoding.fit_runs(list(bands.values()), values, names, delays, chosen, **options)
        sets = [("x", "y"), ("y", "z", "x")]
        fits = encoding.fits_without(bands, values, names, delays, chosen, sets=sets, **options) | {(): whole}
        alone = {name: encoding.fit_runs([band], values, names, delays, chosen) for name, band in bands.items()}
        best = [scoring.best_layers(some, alone, "cabed") for some in (bands, {"y": bands["y"]})]
        turns = [encoding.turned_in_time(names, 3, 4, null, seed=2) for null in ("shift", "phase")]
        sets = [["c", "b", "e"], ["a"]]
        by_run = {run: bands["y"] * k for k, run in enumerate("cabed", 1)}
        found += [
            whole, fits, list(map(str, fits)), alone, best,
            [scoring.common_r2(some, fits) for some in (("x",), ("x", "y"), ("y",))],
            scoring.run_null(list(bands.values()), values, names, delays, whole, turns[0], chosen, sets),
            scoring.run_null([by_run], values, names, delays, alone["y"], turns[1], chosen),
            scoring.unique_null(bands, "y", fits, values, names, delays, turns[0], chosen, ["b", "c"]),
            scoring.unique_null(bands, "x", fits, values, names, delays, turns[1], chosen),
            [[np.stack([turn.real, turn.imag]) for turn in some.values()] for some in turns],
        ]  # fmt: skip
    r = np.array([[0.2, np.nan, 1.0], [0.6, np.nan, -0.3], [np.nan, np.nan, 0.1]])
    return found, scoring.mean_over_runs(r)


def halves() -> Any:
    places = responses().targets
    groups = {name: GROUPS[name] for name in ("b", "a", "c")} | {"none": np.array([], dtype=int)}
    options = {"n_permutations": 7, "n_draws": 6, "seed": 2}
    every = [replace(one, groups=[*groups]) for one in layers().values()]
    fits = dict(zip(layers(), every, strict=True))
    few = {name: replace(one, test_ids=one.test_ids[:13]) for name, one in fits.items()}
    whole = encoding.split_scores(fits, places, groups, ceiling=CEILING, **options)
    unhinted = places.assign(
        hemi=["L", "", "", "R", "", "L"], y_mm=[1, 2, np.nan, 3, 4, 5], x_mm=[-9, 0.5, 4, 7, -0.5, -2]
    )
    rows = [np.array([0, 1, 3]), np.array([2]), np.array([4, 5, 2])]
    return (
        [whole.arrays, whole.details, encoding.SplitScores.of(whole.arrays, whole.details).details],
        encoding.split_scores(fits, places, {"a": groups["a"]}, **options).arrays,
        vars(encoding.split_scores(timed(), CUBE.targets, {"0.0500": 0, "-0.1000": 1}, TIMES[:2], seed=2)),
        [encoding.split_scores(*given).details for given in (
            (few, places, groups), (fits, places, {}), (fits, places, {"none": groups["none"]}))],
        [scoring.area_places(table, rows) for table in (places, unhinted, places.drop(columns="z_mm"))],
        scoring.separations(scoring.area_places(places, rows)),
        scoring.half_rows(IDS[:17], 2),
    )  # fmt: skip


def area_scores(seed: int, n_layers: int = 4, names: str = "hgfedcba", depth: float = 1.0, **known: Any) -> Any:
    rng = RNG(seed)
    best = np.round(depth * np.linspace(0, n_layers - 1, len(names)) + 0.6 * rng.normal(size=len(names)))
    r = 0.5 - 0.1 * np.abs(np.arange(n_layers)[:, None] - best.clip(0))
    arrays: dict[str, Any] = {"places": 20 * rng.normal(size=(len(names), 3)), "ceiling_r": rng.random(len(names))}
    for half in ("choice_", ""):
        arrays |= {f"{half}r": r + 0.02 * rng.normal(size=r.shape)}
        arrays |= {f"{half}draws": r + 0.03 * rng.normal(size=(20, *r.shape))}
        arrays |= {f"{half}null": 0.05 * rng.normal(size=(30, *r.shape))}
    arrays |= known.pop("arrays", {})
    return encoding.SplitScores([f"l{k}" for k in range(n_layers)], list(names), "fMRI", arrays, (9, 9), **known)


def sensor_scores(seed: int, late: float = 0.06, kind: str = "mag", n_layers: int = 4) -> Any:
    rng, times = RNG(seed), np.arange(-0.1, 0.4, 0.02)
    r = 0.3 * np.exp(-(((times - 0.08 - late * np.arange(n_layers)[:, None]) / 0.03) ** 2))
    arrays = {"r": r + 0.01 * rng.normal(size=r.shape), "draws": r + 0.02 * rng.normal(size=(20, *r.shape))}
    arrays |= {"null": 0.03 * rng.normal(size=(30, *r.shape)), "times_s": times}
    return encoding.SplitScores([f"l{k}" for k in range(n_layers)], [], kind, arrays, (0, 18))


def layer_scores(seed: int, n_layers: int = 4, late: float = 0.06) -> encoding.LayerScores:
    areas, times = area_scores(seed, n_layers).arrays, sensor_scores(seed, late, n_layers=n_layers).arrays
    names = ("choice_r", "choice_draws", "choice_null", "r", "null")
    sensors = times["r"][:, None] * np.array([1.0, 0.5, 1.5])[:, None]
    return encoding.LayerScores(*(areas[name] for name in names), sensors, times["draws"], times["null"])


def converged() -> Any:
    distance, times = np.array([0.0, 5, 12, 22, 30, 45, 52, 66]), sensor_scores(1).arrays["times_s"]
    one, other = layer_scores(1), layer_scores(2)
    weak = one.choice_null.copy()
    weak[:, :, [1, 5]] += 1
    lost = one.choice_r.copy()
    lost[:, 3] = np.nan
    alike = replace(one, choice_r=one.choice_r[[0] * 4], sensor_r=one.sensor_r[[0] * 4])
    plain = {"times_s": times, "n_permutations": 60, "seed": 2}
    spins = [RNG(k).permutation(8) for k in range(30)]
    apart = np.abs(distance[:, None] - distance) ** 0.5
    known = {"layers": list("dcba"), "random_layers": list("wxyz"), "areas": list("stuvwxyz"), "separation_mm": apart}
    same = replace(one, sensor_r=None)
    given = [
        (one, {"random": other, **known}), (one, {"spins": spins, "random": layer_scores(3, 5), "layers": "dcba"}),
        (replace(one, choice_null=weak), {}), (replace(one, choice_r=lost), {}), (alike, {}), (same, {"random": alike}),
        (layer_scores(4, 10), {}), (replace(one, choice_r=one.choice_r * np.nan), {}),
        (replace(one, choice_r=-one.choice_r), {}), (layer_scores(5, late=0.001), {}),
    ]  # fmt: skip
    found = [encoding.convergence_scores(scores, distance, **plain | more) for scores, more in given]
    flat = encoding.convergence_scores(one, 0 * distance, **plain)
    return [vars(each) for each in (*found, flat)]


def subjects_converged() -> Any:
    reason = encoding.SplitScores(["l0"], list("ab"), reason="no half")
    nowhere = {"arrays": {"places": np.full((8, 3), np.nan), "ceiling_r": np.full(8, np.nan)}}
    options = {"n_permutations": 60, "n_boot": 25, "confidence": 0.8, "seed": 2}
    both = [{f"s{k}": area_scores(10 * j + k, names="hgfedcba"[: 8 - k % 2], depth=d) for k in range(6)}
            for j, d in ((1, 1.0), (2, 0.1))]  # fmt: skip
    waves = [{f"m{k}": sensor_scores(10 * j + k, late) for k in range(5)} for j, late in ((3, 0.06), (4, 0.02))]
    mixed = [{"z": area_scores(1), "y": reason, "x": sensor_scores(k, kind="eeg"), "w": area_scores(k)} for k in (2, 3)]
    lost = [{"z": area_scores(k, **nowhere), "y": area_scores(k, names="hgf")} for k in (1, 2)]
    found = [
        encoding.converge_subjects(both[0] | waves[0], both[1] | waves[1], origin=["h", "f"], **options),
        encoding.converge_subjects(*mixed, origin=["h"], areas=list("bdfh"), **options),
        *(encoding.converge_subjects(*lost, origin=origin, **options) for origin in ((), ("a",))),
    ]
    means = [
        [both[0]["s0"], both[0]["s1"]], [both[0]["s0"], reason], [area_scores(1), area_scores(2, 5)],
        [area_scores(1, names="abc"), area_scores(1, names="def")], [sensor_scores(1), sensor_scores(2)],
        [sensor_scores(1), replace(sensor_scores(2), arrays=sensor_scores(2).arrays | {"times_s": TIMES})],
    ]  # fmt: skip
    means = [convergence.mean_scores(some) for some in means]
    return [vars(each) for each in found], [[one.areas, one.reason, one.arrays] for one in means]


def checkpoints() -> Any:
    steps = (0, 1, 4, 16, 64)
    rise = {step: step / (step + 3.0) for step in steps}

    def grown(seed: int, step: int) -> Any:
        one = area_scores(seed)
        arrays = {name: values if name in ("places", "ceiling_r") or "null" in name else rise[step] * values
                  for name, values in one.arrays.items()}  # fmt: skip
        arrays["draws"] *= np.where(np.arange(20)[:, None, None] % 2 * (np.arange(8) == 5), -1, 1)  # half cross nothing
        arrays["choice_null"] = arrays["choice_null"] + (step == 64) * (np.arange(8) == 2)  # one area is lost at last
        return replace(one, arrays=arrays)

    given = {
        step: {"b": grown(1, step), "a": grown(2, step), "m": sensor_scores(step, 0.06 * rise[step]),
               "r": encoding.SplitScores([], [], reason="none"), "e": sensor_scores(step, 0.001, "eeg")}
        for step in (64, 16, 0, 4, 1)
    }  # fmt: skip
    axis = np.array([0.0, 1, 2, 3, 4, 5])
    courses = np.array([
        [0, 0, 0, 1.0, 1, 1], [0, 0.6, 0.1, 0.2, 0.9, 1], [0, 0.25, 0.5, 0.75, 0.9, 1.0], [0.8, 0.5, 0.9, 1, 1, 1],
        [0.1, 0.2, np.nan, 1, 1, 1], [0.1, 0.2, 0.3, 0, 0, -0.2], [0.9, 0.2, 0.3, 0.4, 0.5, 0.6],
    ]).T  # fmt: skip
    return (
        [vars(encoding.checkpoint_curves(given, origin=origin, areas=areas, confidence=0.8))
         for origin, areas in ((("h", "c"), None), ((), list("abch")))],
        vars(encoding.checkpoint_curves({step: {"r": some["r"]} for step, some in given.items()})),
        [encoding.half_times(axis, courses), encoding.half_times(axis, courses[:, 1], ["V1"])],
    )  # fmt: skip


GRID = (3, 4)
TOKENS = (3 + 2 * RNG(20).normal(size=(72, 12, 3))).astype(np.float32)
Z = RNG(21).normal(size=(72, 4)).astype(np.float32) * [1, 2, 3, 1]
SEEN = (TOKENS[:, [2, 7, 5]].sum(axis=2) + TOKENS[:, [1, 1, 4], [0, 1, 2]] * Z[:, :1]).astype(np.float32) * [1, 5, 2]
HOLES = np.where(RNG(22).random(SEEN.shape) < 0.1, np.nan, SEEN)
SHORT = {"epochs": 3, "batch_size": 19, "seed": 2, "device": "cpu"}
ATTRIBUTES = ("fields_", "weights_", "intercept_", "validation_r_", "restart_", "means_", "covariances_", "core_grid_",
              "members_", "queries_", "n_parameters_")  # fmt: skip


def read(encoder: Any, **given: Any) -> list[Any]:
    """Return all that a network of tokens learned, and what it predicts."""
    semantics = {"semantics": Z} if getattr(encoder, "reads_semantics", False) else {}
    fitted = encoder.set_params(**SHORT).fit(TOKENS, HOLES, **{"grid": GRID} | semantics | given)
    found = [getattr(fitted, name, None) for name in ATTRIBUTES]
    found += [[epoch[:3] for epoch in fitted.history_], fitted.score_targets(TOKENS, HOLES, *semantics.values())]
    found.append(fitted.predict(TOKENS[:9], *(z[:9] for z in semantics.values())))
    for method, told in (("shifts", Z), ("core", TOKENS), ("attention", TOKENS)):
        found.append(getattr(fitted, method)(told[:9]) if hasattr(fitted, method) else None)
    return found


def read_outs() -> Any:
    """Return what read-outs of every kind learn from `flat_fields` and `unit_fields` on, and how warps move fields."""
    response = encoding.ResponseOptimisedEncoder((4, 3), (3, 1), (2, 1))
    kinds = [
        encoding.FactorizedReadout(restarts=2), encoding.FactorizedReadout(loss="concordance", schedule="constant"),
        encoding.GaussianReadout("point", patience=1, schedule="constant"), encoding.GaussianReadout("integrated"),
        response, clone(response).set_params(readout="gaussian", dropout=0.2),
        *(encoding.SemanticSpatialReadout(warp, warp_features=warp in ("rotation", "affine"), n_hidden=5)
          for warp in networks.WARPS),
    ]  # fmt: skip
    groups = np.arange(72) // 3
    semantic = clone(response).set_params(readout="semantic")
    fields, draws = torch.as_tensor(RNG(26).random((3, 4, 5))), torch.as_tensor(RNG(27).normal(size=(2, 3, 6)) / 3)
    moves = [networks.affine_matrix(mode, draws[..., :n]) for mode, n in networks.WARPS.items()]
    moved = [[one, networks.moved_centre(fields, one), networks.warp(fields, one)] for one in moves]
    return [read(kind) for kind in (*kinds, semantic)], read(clone(kinds[0]), groups=groups), moved


def routed() -> Any:
    """Return what a `RoutingNetwork` of every kind of keys and queries learns."""
    members = np.array([[True, True, False], [False, True, True]])
    small = {"d_model": 6, "n_heads": 2}
    made: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {"roi": list("bab")}), ({"keys": "content", "feedforward": 5, "clip": 1}, {"roi": members, "grid": None}),
        ({"keys": "position", "patience": 1}, {"roi": list("RLR"), "queries": "hemisphere"}),
        ({"queries": "target", "frozen_queries": True, "dropout": 0.2}, {}), ({"rest": True}, {"roi": ["a", "", "b"]}),
        ({"queries": "parcel", "n_parcels": 2}, {}),
    ]  # fmt: skip
    found = []
    for options, given in made:
        options |= {"queries": given.pop("queries")} if "queries" in given else {}
        found.append(read(encoding.RoutingEncoder(**small | options), **given))
    padded = TOKENS.copy()
    padded[::2, 9:] = np.nan
    one = encoding.RoutingEncoder("target", **small | SHORT).fit(padded, SEEN, grid=GRID)
    many = np.repeat(SEEN, 30, axis=1) + RNG(23).normal(size=(72, 90))
    return found, one.predict(padded), one.attention(padded), networks.parcels_of(many, 4, 2), (
        [networks.position_code(grid) for grid in ((1, 4), (3, 5))]
    )  # fmt: skip


def ensembles() -> Any:
    given = {"grid": GRID, "semantics": Z}
    one = networks.SeedEnsemble(
        encoding.SemanticSpatialReadout(n_hidden=5, restarts=1, **SHORT), (4, 1), targets=np.array([2, 0])
    ).fit(TOKENS, SEEN, **given)
    return one.predictions(TOKENS, Z), one.predict(TOKENS, Z), one.seed_validation_r_, one.validation_r_, (
        one.n_parameters_, trained.ensemble_weights(RNG(24).random((3, 4)))
    )  # fmt: skip


def chosen(study: encoding.TokenStudy) -> list[Any]:
    """Return what a study is of."""
    return [study.targets, study.regions, study.shown, study.hemispheres, study.inside, study.groups, study.n_images]


def token_study(encoder: Any, **options: Any) -> Any:
    values = np.repeat(SEEN[:36], 2, axis=1) + RNG(25).normal(size=(36, 6))
    tokens, z = TOKENS[:36], Z[:36]
    who = subject(responses=replace(MEANS, values=values.astype(np.float32)))
    known = {"name": "mine", "encoder": encoder.set_params(**SHORT | {"epochs": 1}), "seeds": (2, 5), "baselines": ()}
    known |= {"checkpoint": Path("nowhere"), "progress": lambda *_: None, "semantics": z.astype(np.float32)} | options
    study = encoding.TokenStudy.of(who, **{"targets": "reliable"} | known)
    study = replace(study, checkpoint=None)
    times = scoring.average_split(CUBE, TRAIN, TEST)[0]
    less = [replace(who, responses=times), replace(who, groups=GROUPS | {RELIABLE: np.array([], dtype=int)})]
    others = [encoding.TokenStudy.of(one, **{"targets": "reliable"} | known) for one in less]
    findings = trained.TokenFindings()
    named = [("first", tokens, GRID), ("second", tokens[:, ::-1, :2], GRID)]
    found = {name: numbers(one) for name, one in study.fits(named, findings)}
    tables = [table.drop(columns="seconds") for table in findings.tables]
    seen = [chosen(study) for study in (study, *others)]
    ensemble = None if findings.ensemble is None else numbers(findings.ensemble)
    return seen, found, tables, findings.fields, findings.layers, findings.stimuli, ensemble, findings.weights


def token_studies() -> Any:
    every = ("tokens", "mean", "second_order", "interactions", "factorized", "gaussian")
    routing = encoding.RoutingEncoder("roi", d_model=4, rest=True, validation=0.2)
    controls = ("frozen_queries", "content", "position")
    return (
        token_study(encoding.SemanticSpatialReadout(n_hidden=4, restarts=1), baselines=every, ensemble=True),
        token_study(routing, controls=controls, semantics=None, targets="all", cls={"first": Z[:36]}),
        token_study(encoding.RoutingEncoder("hemisphere", d_model=4, validation=0.2), semantics=None, ensemble=True),
        token_study(encoding.FactorizedReadout(), baselines=every, semantics=None),
    )


def dictionaries() -> Any:
    study = scoring.DictionaryStudy(
        subject=subject(), ridge=ridge(), coding="topk", width=6, n_active=2, epochs=2, starts=(1, 4)
    )
    found = {name: numbers(one) for name, one in study.fits([("a", SHOWN), ("b", SHOWN[:, ::-1] ** 2)])}
    one = replace(study, starts=(2,), coding="matching_pursuit")
    list(one.fits([("a", SHOWN)]))
    return found, [table.drop(columns="seconds") for table in study.tables], study.quality, one.quality


def estimators() -> Any:
    found = []
    for name, options, groups in (
        ("sklearn.linear_model:Lasso", {"alpha": 0.1}, None), ("sklearn.linear_model:BayesianRidge", None, BLOCKS),
        ("sklearn.linear_model:Ridge", {}, BLOCKS),
    ):  # fmt: skip
        for values in (Y, Y[:, :1]):
            one = encoding.EstimatorEncoder(name, options, cv=4).fit(IMAGES, values, groups=groups)
            found.append([one.cv_scores_, one.predict(IMAGES[:7])])
    return found


P = 4  # features of images that in-context networks know
AXES = PCA(P).fit(IMAGES[np.unique(STIMULUS, return_index=True)[1]], rows=np.arange(36))
REDUCTION = encoding.Reduction(AXES.mean_, AXES.components_)
BANK = REDUCTION(RNG(30).normal(size=(50, 5)) * 2)


def others() -> list[tuple[np.ndarray, np.ndarray]]:
    weights = [RNG(k).normal(size=(P + 1, 20 - k)) * [[1], [2], [0.5], [1], [0.3]] + 0.4 for k in (1, 2)]
    rows = [np.arange(50), np.arange(5, 48)]
    clean = [BANK[own] @ w[:-1] + w[-1] for own, w in zip(rows, weights, strict=True)]
    return [(BANK[own], y + RNG(31).normal(size=y.shape)) for own, y in zip(rows, clean, strict=True)]


PRIOR = encoding.estimate_prior(others())
CONTEXT = (BANK[:14], others()[0][1][:14, :9])
TINY = {"n_steps": (1, 2, 2), "context_sizes": (4, 9), "n_voxels": 5, "n_queries": 6, "device": "cpu", "seed": 2}


def priors() -> Any:
    X, values = CONTEXT
    bayes = encoding.EmpiricalBayesRidge(PRIOR).fit(X, values)
    folds = [np.array([0, 3]), np.array([5]), np.array([9, 1, 2])]
    chosen = [np.array([0, 2]), np.array([4, 1]), np.array([3, 8])]
    sums = in_context.left_out_errors(bayes, X, values, folds, chosen)
    pooled = []
    for groups in (None, np.arange(14) // 2):
        tensors = torch.as_tensor(X), torch.as_tensor(values / values.std(axis=0))
        fit, errors = in_context.pooled_ridge(*tensors, folds, chosen, groups)
        pooled += [fit.coef_, fit.alpha_, errors]
    roi = np.array(list("bbbaaccbb"))
    return (
        [PRIOR.mean, PRIOR.covariance, PRIOR.independent().covariance, PRIOR.n_features],
        in_context.posterior_weights(PRIOR, others(), 30, seed=2),
        [bayes.coef_, bayes.intercept_, bayes.noise_, bayes.predict(BANK[20:]), bayes.score_targets(X, values), sums],
        encoding.EmpiricalBayesRidge(PRIOR, (0.1, 1.0)).fit(X, values).noise_,
        pooled,
        [in_context.groups_of_targets(labels, 9, least) for labels in (None, roi) for least in (1, 3, 9)],
        encoding.unit_rows(IMAGES[:5]),
    )


def episodes() -> Any:
    bank = torch.as_tensor(BANK).float()
    root = torch.linalg.cholesky(torch.as_tensor(PRIOR.covariance)).float()
    mean = torch.as_tensor(PRIOR.mean).float()
    found: list[Any] = []
    for real in (None, torch.as_tensor(in_context.posterior_weights(PRIOR, others(), 30).T).float()):
        made = in_context.Voxels(bank, mean, root, (0.5, 4.0), torch.Generator().manual_seed(2), real)
        found.append([made.episode(7, 5), made.queries, made.signal_sd(mean[None])])
    x, y = (torch.as_tensor(part).float() for part in others()[0])
    found.append(in_context.real_episode(x, y, 5, 8, 6, torch.Generator().manual_seed(2)))
    for token, knows in (("mlp", False), ("product", True), ("product", False)):
        size = in_context.NetworkSize(8, 2, 2, 3, 10, token, 3.0, 0.0, True)  # type: ignore[arg-type]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            network = in_context.InContextNetwork(P, size, knows_units=knows).eval()
        network.look_along(torch.as_tensor(PRIOR.covariance[:-1, :-1]), bank)
        network.count_in(*map(torch.as_tensor, (PRIOR.mean, PRIOR.covariance)), bank)
        silent = torch.cat([y[:9, :3], torch.ones(9, 1)], dim=1)
        found.append([network(x[:9].expand(4, -1, -1), silent.T), network.axes, network.units])
        found.append(network.bytes_per_voxel(9))
    named = encoder()
    named.network_ = torch.nn.BatchNorm1d(2)  # type: ignore[assignment]
    return [*found, int(named.parameter_hash()[:7], 16)]


def encoder(**options: Any) -> encoding.InContextEncoder:
    return encoding.InContextEncoder(**TINY | options)


@cache
def layer(**options: Any) -> in_context.PretrainedLayer:
    features = RNG(30).normal(size=(50, 5)) * 2
    subjects = [(np.arange(50), others()[0][1]), (np.arange(5, 48), others()[1][1])]
    quick = encoder(**{"fallback": True, "min_group": 3, "n_checks": 40} | options)
    return encoding.pretrain_layer(quick, REDUCTION, features, subjects, seeds=(2, 5))


def contexts() -> Any:
    X, values = CONTEXT
    roi = np.array(list("bbbaaccbb"))
    found: list[Any] = []
    for options in (
        {}, {"units": "any", "prior": "independent"}, {"optimizer": "adamw", "n_steps": (0, 3, 2), "metric": "r"},
        {"n_steps": (1, 2, 5), "weight_decay": 0.5, "learning_rate": 0.02, "noise_ratio": (0.1, 1.0)},
    ):  # fmt: skip
        for known in (others(), []):
            one = encoder(**options).pretrain(BANK, PRIOR, subjects=known)
            one.set_params(fallback=True, min_group=3, n_checks=40).fit(X[:9], values[:9], roi=roi)
            found.append([one.losses_, one.coef_, one.intercept_, one.taken_, one.fell_back_, one.context_errors_])
            found.append(clone(one).set_params(fallback=False).fit(X[:9], values[:9]).coef_)
            one.fit(X, values, groups=np.arange(14) // 2)
            found.append([one.context_errors_, one.beyond_training_, one.score_targets(BANK, others()[0][1][:, :9])])
    again = in_context.PretrainedLayer.from_arrays(layer().arrays())
    return found, [again.reduction(IMAGES), again.encoders[1].losses_, again.n_parameters, again.largest_context]


def curves() -> Any:
    X, values = BANK, others()[0][1][:, :9]
    groups = {"b": np.array([0, 1, 2, 7]), "a": np.array([3, 4]), "none": np.array([], dtype=int)}
    options = {"test": np.arange(36, 50), "sizes": (5, 10), "n_repeats": 3, "seed": 2}
    roi = np.array(list("bbbaaccbb"))
    ensemble = in_context.InContextEnsemble(layer().encoders, roi, np.array([8, 0, 1, 3, 4, 2, 5, 6, 7])[:9])
    ensemble.fit(X[:9], values[:9])
    texts = RNG(32).normal(size=(3, 5))
    coef = RNG(33).normal(size=(P, 6))
    table = encoding.text_preferences(layer(), X[:9], values[:9], texts, ["x", "y", "z"], groups, roi=roi, seed=2)
    return (
        encoding.context_curve(layer(), X, values, groups=groups, roi=roi, confidence=0.8, **options),
        encoding.scaling_curve({"mine": ridge()}, X, values, prior=PRIOR, **options),
        [ensemble.predictions(X[9:]), ensemble.fallbacks_, ensemble.cv_scores_],
        table,
        in_context.reduce_texts(REDUCTION, texts),
        [encoding.text_selectivity(coef, BANK[:3]), encoding.text_selectivity(coef, BANK[:1], BANK[5:9])],
        [list(in_context.curve_baselines(prior)) for prior in (None, PRIOR)],
        in_context.training_voxels(Y[TRAIN], IDS[TRAIN], 0.5),
        in_context.training_voxels(np.c_[Y[:5], np.ones(5)], np.arange(5), 0.5),
    )


def few_images() -> Any:
    who = subject(groups=GROUPS | {RELIABLE: np.array([0, 1, 3, 5])})
    queries = in_context.TextQueries(["x", "y"], RNG(32).normal(size=(2, 5)), frozenset({"early"}))
    about = {"layers": {"early": {"n_features": 5}, "late": {}}, "subjects": {"b": 1}, "n_images": 9}
    stimuli = MEANS.trials[["stimulus_id"]]
    given = Layers({name: Features(SHOWN.astype(np.float32), stimuli, name) for name in ("early", "late")})
    known = {"networks": {"early": layer(), "late": layer(min_group=1)}, "about": about, "sizes": [3, 5]}
    known |= {"n_repeats": 2}
    few = in_context.FewImages.of(who, queries=queries, **known)
    found = {name: numbers(one) for name, one in few.fits(given)}
    nothing = in_context.FewImages.of(subject(groups=GROUPS | {RELIABLE: np.array([], dtype=int)}), **known)
    return found, few.curves, str(few.contexts["layers"].keys()), few.targets, nothing.targets, few.subject.groups, [
        [one["n_context"], one["seed_r"], pd.DataFrame(one["fallbacks"]), pd.DataFrame(one["texts"])]
        for one in few.contexts["layers"].values()
    ]  # fmt: skip


CASES: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        held_out, averages, tables, subjects, cross_validated, regions, runs, halves, converged, subjects_converged,
        checkpoints, read_outs, routed, ensembles, token_studies, dictionaries, estimators, priors, episodes, contexts,
        curves, few_images,
    )
}  # fmt: skip
# Muon makes its steps orthogonal in bfloat16.
TOLERANCES = dict.fromkeys(
    ("contexts", "curves", "few_images", "context_curve", "score_context, curve", "text_preferences"), 0.01
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_results_of_fixed_seeds_are_as_they_were(name: str, tmp_path: Path) -> None:
    RECORD.check_case(name, CASES[name], tmp_path, TOLERANCES.get(name, 1e-4))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(ENCODING.keys() - {"InContextEncoder", "pretrain_layer"}))
def test_seeded_results_are_as_they_were(name: str) -> None:
    RECORD.check(name, ENCODING[name](3), TOLERANCES.get(name, 1e-4))
