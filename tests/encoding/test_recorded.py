"""Tables of scores and of dictionaries as they were, of uneven data."""

from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
from made import responses_of
from seeded.recorded import as_they_were

from brainalign import encoding
from brainalign.arrays import Responses
from brainalign.encoding import scoring
from brainalign.statistics import RELIABLE

RNG = np.random.default_rng
ORDER = RNG(0).permutation(72)
STIMULUS = np.concatenate([np.repeat(np.arange(18), 2), np.repeat(np.arange(18, 36), np.tile([1, 2, 3], 6))])[ORDER]
TRAIN, TEST = np.flatnonzero(STIMULUS < 18), np.flatnonzero(STIMULUS >= 18)
IMAGES = (RNG(1).normal(size=(36, 5)) * [1, 2, 3, 0.5, 1] + 1)[STIMULUS]
SIGNAL = IMAGES @ (RNG(2).normal(size=(5, 6)) * [1, 0.6, 0.3, 0.2, 0, 0.8])
Y = SIGNAL + RNG(3).normal(size=SIGNAL.shape) * [1, 2, 1, 0.5, 1, 1] + np.arange(6)
IDS = np.array([f"i{(7 * k) % 36:02d}" for k in STIMULUS])
CEILING = np.array([0.7, 0.4, np.nan, 0.3, -0.1, 0.6])
ROIS = [["b"], ["b", "a"], ["a"], ["a"], ["c"], []]


def responses(values: np.ndarray = Y, n: int = 6, **changes: Any) -> Responses:
    trials = {"trial_id": np.arange(len(values)), "run": "", "repeat": 0, "onset_s": np.nan}
    targets = {"kind": "sensor" if "times" in changes else "vertex", "hemi": list("LRLLRR")[:n]}
    places = dict(zip(("x_mm", "y_mm", "z_mm"), 10 * RNG(4).normal(size=(n, 3)).T, strict=True))
    targets |= {"sensor_type": list("mgmmgg")[:n]} | places
    return responses_of(values, IDS[: len(values)], roi=ROIS[:n], targets=targets, **trials, **changes)


TIMES = np.array([-0.1, 0.05, 0.2])
CUBE = responses(Y.reshape(-1, 2, 3), 2, times=TIMES)
GROUPS = encoding.target_groups(responses(), CEILING > 0.35)
ridge = partial(encoding.Ridge, alphas=(0.1, 3.0, 100.0), cv=3, device="cpu")


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


def tables() -> Any:
    """Return tables of scores: of band_candidates and score_predictions, too."""
    banded = encoding.BandedRidge((0.1, 3.0, 100.0), 5, cv=3, device="cpu", seed=2)
    parts = evaluated(banded, [IMAGES[:, :2], IMAGES[:, 2:]])
    without = {name: replace(one, null=None, control_r=None) for name, one in layers().items()}
    flat = replace(layers()["part"], group_r=np.array([0.1, np.nan, 0.2, 0.3]))
    constant = replace(timed()["early"], group_r=np.full(4, np.nan))
    contenders = {"first": encoding.Contender(layers()["part"], 7, RNG(6).random((3, 4)))}
    contenders |= {"one": encoding.Contender(layers()["whole"], 9, RNG(7).random((1, 4)))}
    contenders |= {"none": encoding.Contender(replace(layers()["wide"], seconds=2.5), 11)}
    contenders = {name: one._replace(found=replace(one.found, seconds=0.5)) for name, one in contenders.items()}
    reliable = GROUPS[RELIABLE]
    draws = encoding.layer_draws(layers(), GROUPS, 18, n_draws=6, n_permutations=5, seed=2)
    return (
        [scoring.score_table(one, responses(), CEILING, reliable, 0.35) for one in layers().values()],
        [scoring.score_table(one, CUBE, CEILING, np.array([0, 4]), 0.35) for one in timed().values()],
        [scoring.group_table(one, GROUPS, CEILING, 0.8) for one in (*layers().values(), flat)],
        scoring.null_table(layers()), scoring.null_table(without),
        scoring.band_table(parts.partition, responses(), ["x", "y"]),
        scoring.band_table(replace(parts.partition, control_split=None), CUBE, ["x", "y"]),
        parts.partition.table(GROUPS, ["x", "y"], CEILING, 0.8), scoring.preference_table(layers()),
        scoring.preference_table({name: replace(one, groups=[RELIABLE] * 4) for name, one in layers().items()}),
        scoring.latency_table(timed() | {"flat": constant}, TIMES),
        [draws, encoding.layer_draws(layers(), {RELIABLE: reliable[:0]}, 18, n_draws=6, n_permutations=5, seed=2)],
        [scoring.score_clusters(one, CUBE) for one in timed().values()],
        encoding.side_by_side(contenders, [1, 2, 3, 4], 0.8),
        [encoding.target_groups(responses(), given) for given in (CEILING > 0.35, CEILING != 0)],
        encoding.target_groups(CUBE, np.array([0.5, 0, 0.4, 0.1, 0, 0]) > 0.35),
    )  # fmt: skip


MEANS, *SIDES = scoring.average_split(responses(), TRAIN, TEST)
SHOWN = np.stack([IMAGES[name == IDS][0] for name in MEANS.trials["stimulus_id"]])


def subject(**changes: Any) -> encoding.ImageSubject:
    known = {"responses": MEANS, "ceiling": CEILING, "train": SIDES[0], "test": SIDES[1], "groups": GROUPS, "seed": 3}
    return encoding.ImageSubject(**known | {"n_permutations": 19, "n_draws": 12, "confidence": 0.8} | changes)


def dictionaries() -> Any:
    small = {"coding": "topk", "width": 6, "n_active": 2, "epochs": 2, "starts": (1, 4)}
    study = scoring.DictionaryStudy(subject=subject(), ridge=ridge(), **small)
    found = {name: dict(vars(one)) for name, one in study.fits([("a", SHOWN), ("b", SHOWN[:, ::-1] ** 2)])}
    for of in found.values():
        del of["encoder"], of["refitted"], of["seconds"]
    one = replace(study, starts=(2,), coding="matching_pursuit")
    list(one.fits([("a", SHOWN)]))
    return found, [table.drop(columns="seconds") for table in study.tables], study.quality, one.quality


test_results_of_fixed_seeds = as_they_were(tables, dictionaries)
