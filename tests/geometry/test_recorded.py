"""Whole results of geometry as they were: dissimilarities, tests, tables and maps, of small uneven data."""

import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from seeded.recorded import Record

import brainalign.geometry as g
from brainalign.arrays import Features
from brainalign.config import ConceptSettings
from brainalign.geometry import dynamics, inference, network_similarity, odd_one_out, rdms, topology
from brainalign.geometry import time as over_time
from brainalign.geometry.network_similarity import network_pairs, unit_pairing
from brainalign.geometry.odd_one_out import networks, triplet_splits, triplets
from brainalign.geometry.searchlights import neighbourhoods, searchlight, searchlight_maps

RECORD = Record(Path(__file__).parent / "recorded.json")
RNG = np.random.default_rng
NAN = np.nan
PATTERNS = RNG(1).normal(size=(13, 5)) * [1, 2, 0.5, 1, 3] + [0, 1, 0, 2, 0]
CONDITIONS, RUNS = np.array(list("baabdcabdcbad")), np.repeat([3, 1, 2], [6, 4, 3])
EVEN = np.tile(list("cbad"), 3), np.repeat([2, 3, 1], 4)
NOISE = RNG(2).normal(size=(9, 5)) @ (np.eye(5) + 0.3) * [1, 3, 1, 0.5, 1]
WORLD = RNG(3)
SHAPE = WORLD.normal(size=(9, 4)) * [2, 1, 1, 0.5]
SUBJECTS = g.rdm(np.stack([SHAPE + WORLD.normal(size=(9, 4)) for _ in range(5)]), "euclidean")
MODELS = g.rdm(np.stack([SHAPE, SHAPE[:, ::-1] ** 2, WORLD.normal(size=(9, 4))]), "euclidean")
GAPS, HOLES = SUBJECTS.copy(), MODELS.copy()
GAPS[1, [0, 7]], GAPS[3, 7], HOLES[2, [3, 20]] = NAN, NAN, NAN
TIED = np.round(SUBJECTS, 0)
X, Y = WORLD.normal(size=(2, 14, 4)) * [3, 1, 1, 0.4] + 0.3
Y[:, :2] += X[:, 1:3]


class Fit:
    """Ridge with weights by group, which says a little of nothing."""

    def fit(self, x: Any, y: Any, groups: Any = None) -> "Fit":
        each = 1 + np.asarray(np.zeros(len(x)) if groups is None else groups) % 3
        self.weights = np.linalg.solve((x.T * each) @ x + 0.5 * np.eye(x.shape[1]), (x.T * each) @ y)
        return self

    def predict(self, x: Any) -> Any:
        return x @ self.weights + 0.05


def dissimilarities() -> Any:
    stack = np.stack([PATTERNS, PATTERNS[::-1] + 2, PATTERNS * 2])[None]
    broken = stack.copy()
    broken[0, 1, 2, 3] = NAN
    flat = np.vstack([PATTERNS[:4], np.ones((1, 5))])
    found = [g.rdm(flat, "correlation"), g.rdm(broken, "euclidean", CONDITIONS)]
    for method in ("correlation", "euclidean", "poisson"):
        for given in (stack, torch.from_numpy(stack)):
            found += [g.rdm(abs(given), method, CONDITIONS, RUNS), g.rdm(abs(given), method)]
    found += [g.rdm(PATTERNS[:12], "euclidean", None, EVEN[1]), sorted(g.DISTANCES)]
    return found, rdms.design_of(13, CONDITIONS, RUNS)


def crossed_runs() -> Any:
    found = []
    gaps = RUNS.copy()
    gaps[4] = 1  # a pair of conditions that shares one run
    inverse = np.linalg.inv(np.cov(NOISE.T))
    each = [g.noise_covariance(NOISE[k:], method=kind) for k, kind in enumerate(("diag", "full", "full"))]
    low = [g.noise_covariance(NOISE[k : k + 2], method="diag") for k in range(3)]
    matrices = np.stack([inverse, 2 * inverse, inverse + np.eye(5)])
    for precision in (None, inverse, each[1], each, low, list(matrices), matrices, torch.from_numpy(inverse)):
        for labels in (EVEN, (CONDITIONS, RUNS), (CONDITIONS, gaps)):
            values = PATTERNS[: len(labels[0])] + 300.0 * (labels[1] == 3)[:, None]
            found += [g.rdm(x, "crossnobis", *labels, precision) for x in (values, torch.from_numpy(values))]
    for precision in (inverse, each[0], each[1]):
        found.append(g.rdm(PATTERNS, "mahalanobis", CONDITIONS, None, precision))
    return found


def noise() -> Any:
    found: list[Any] = []
    for method in g.NOISE_COVARIANCES:
        for residuals in (NOISE, NOISE[:4], NOISE[:, :1], np.tile(NOISE[:2], (3, 1))):
            for dof in (None, len(residuals) - 2):
                if method == "full" and residuals.shape[1] >= min(len(residuals) - 1, dof or 9):
                    continue
                if residuals.shape[1] > 1 and len(residuals) == 6:
                    continue
                one = g.noise_covariance(residuals, dof, method)
                wide = PATTERNS[:, : one.n_channels]
                found.append([one.matrix(), one.precision(), one.solve(wide), one.solve(torch.from_numpy(wide))])
                found.append(g.noise_precision(torch.from_numpy(residuals), dof, method))
    wide = RNG(4).normal(size=(6, 11))
    some = [g.noise_covariance(part) for part in (wide[:3], 2 * wide[3:])]
    means = [rdms.mean_covariance(few) for few in (some, some * 2, [some[0], g.noise_covariance(wide.T @ wide)])]
    return found, [[one.matrix(), one.solve(wide), isinstance(one, rdms.LowRankCovariance)] for one in means]


def ranks() -> Any:
    gaps = np.round(GAPS, 1)
    with patch.object(rdms.ranks, "RANKED_AT_ONCE", 40):
        found = g.rdms.rank_rdms(np.tile(gaps, (3, 1)))
    order, ties = rdms.sorted_ties(TIED)
    near = np.array([[0.1 + 0.2, 0.3, 1e-14, 0, -1e-14, 0.3 + 1e-13, 2, 2]])
    return (
        found, order, ties, rdms.tie_ends(ties), rdms.mean_ranks(near), [rdms.dense_codes(row) for row in TIED],
        rdms.are_constant(np.array([[3, 3 + 1e-13], [1, 2], [0, 0], [-1, -2]])),
        list(rdms.equal_masks(np.isfinite(gaps))), list(rdms.equal_masks(np.isfinite(TIED))),
    )  # fmt: skip


def stored() -> Any:
    table = pd.DataFrame({"stimulus_id": list("dbca"), "path": list("wxyz")})
    layers = {"b": Features(PATTERNS[:4], table, "b"), "a": Features(PATTERNS[4:12].reshape(4, 2, 5), table, "a")}
    labelled = g.LabelledRdms(
        GAPS[:2, :6], np.array(list("dacb")), "euclidean", np.array([4, 2]), np.array([1, 7]),
        {"session": np.array([5, 6])}, {"size": np.array([3.0, 1, 2, 9])}, {"study": "s"},
    )  # fmt: skip
    rows = g.LabelledPatterns(
        PATTERNS[:4], np.array(list("bdac")), np.array([2, 1, 1, 2]), "7",
        {"onset": np.arange(4.0) ** 2}, {"voxel": np.arange(5) * 2}, {"tr": 2},
    )  # fmt: skip
    plain = g.LabelledRdms(np.arange(3.0), np.array(list("zyx")), "odd", of_all={"subject": "3"})
    theirs = [g.to_rsatoolbox(one) for one in (labelled, rows, plain)]
    made = [vars(one) for one in theirs]
    found = [g.from_rsatoolbox(one) for one in theirs]
    other = g.from_rsatoolbox(theirs[1], "onset", "voxel", "tr"), g.from_rsatoolbox(theirs[0], "size")
    return (
        [{name: part for name, part in one.items() if isinstance(part, dict | str | np.ndarray)} for one in made],
        found, other, g.feature_rdms(layers, list("cbd"), "correlation"),
        g.stimulus_features(layers["a"], ["a", "d", "a"]),
    )  # fmt: skip


def compared() -> Any:
    flat = np.vstack([MODELS, np.ones(36), np.zeros(36)])
    few = np.full((1, 36), NAN)
    few[0, 3] = 2
    variances = 0.5 + RNG(5).random(9)
    mixed = RNG(6).normal(size=(9, 20))
    found = []
    for method in g.COMPARISONS:
        found.append([g.compare(one, flat, method) for one in (SUBJECTS, GAPS, TIED, few)])
        found.append([g.compare(GAPS, HOLES, method), g.compare(torch.from_numpy(TIED), MODELS, method)])
        for one in (GAPS, TIED, flat):
            found += [g.pooled_rdm(one, method), g.rdm_noise_ceiling(one, method)]
        if method != "tau-a":
            found.append(inference.unit_forms(np.vstack([flat, GAPS]), method))
        if method.startswith("whitened"):
            for sigma in (variances, mixed @ mixed.T):
                found.append([g.compare(GAPS, MODELS, method, sigma), g.compare(TIED, TIED, method, sigma)])
                found.append(g.rdm_noise_ceiling(GAPS, method, sigma))
    some = SUBJECTS[:, :20], MODELS[:, :20]  # pairs of no set of stimuli
    return found, g.compare(*some, "cosine"), g.rdm_noise_ceiling(some[0], "rho-a"), g.session_average(some[0][:, None])


def fixed_models() -> Any:
    sessions = np.stack([GAPS[:4], TIED[1:], SUBJECTS[:4] ** 2], axis=1)
    runs = np.array([5, 1, 2, 7, 4])[np.repeat(np.arange(5), [3, 2, 3, 3, 2])]
    seen = np.array(list("bcbbababcbacb"))
    found: list[Any] = [g.replicate_rdms(PATTERNS, "crossnobis", seen, runs, np.diag([1.0, 2, 3, 4, 5]))]
    found += [g.session_average(sessions), *(g.subject_rdms(sessions, m) for m in ("cosine", "rho-a"))]
    for method in ("spearman", "cosine", "tau-a"):
        for one in (SUBJECTS, np.vstack([TIED[:2], np.ones((1, 36))])):
            found.append(g.rdm_permutation_test(one, MODELS[0], method, 30, RNG(1)))
    found.append(g.rdm_permutation_test(SUBJECTS, np.full(36, 2.0), "cosine", 9, RNG(1)))
    found.append(g.rdm_permutation_test(np.ones((2, 36)), MODELS[0], "pearson", 9, RNG(1)))
    found += [one.n_undefined for one in found[-4:]]
    for method in ("spearman", "pearson", "cosine", "whitened-pearson", "whitened-cosine"):
        for n in (5, 3):
            found.append(g.rdm_partial_test(SUBJECTS[:n], MODELS[0], MODELS[1:], method, 230, RNG(2)))
    twins = np.vstack([SUBJECTS[:3], MODELS[1:]])
    found.append(g.rdm_partial_test(twins, MODELS[0], MODELS[[1, 2, 1]], "pearson", 9, RNG(2)))
    return found, inference.stimulus_orders(8, 4, RNG(3))


def bootstraps() -> Any:
    contrasts = np.array([[1.0, -1, 0, 0, 0], [0, 0, 1, -1, 0], [0.5, 0.5, -1, 0, 0]])
    cases: list[tuple[Any, ...]] = [(SUBJECTS, MODELS, method, "both", None) for method in g.COMPARISONS]
    cases += [(GAPS, HOLES, method, "both", None) for method in ("spearman", "whitened-pearson", "tau-a", "rho-a")]
    cases += [(TIED, MODELS, "pearson", "subjects", None), (TIED, MODELS, "rho-a", "stimuli", None)]
    cases += [(GAPS[:1], MODELS, "cosine", "both", None), (GAPS[:1], MODELS, "tau-a", "both", None)]
    cases += [(GAPS, MODELS, "whitened-cosine", "both", 0.5 + RNG(5).random(9))]
    found: list[Any] = []
    for subjects, models, method, over, sigma in cases:
        one = g.dual_bootstrap(subjects, models, method, 12, RNG(7), over=over, sigma_k=sigma)
        found.append([one, one.se(), one.test(contrasts), one.test(contrasts, two_sided=False), one.dof])
        found.append([g.compare_models(one, list("cab")), g.compare_models(one, list("cab"), [2, 0])])
    draws = RNG(8).integers(5, size=(6, 5)), RNG(9).integers(9, size=(6, 9))
    half = draws[0][:2], np.array([[3] * 6 + [0, 1, 8], [0, 0, 0, 0, 0, 0, 4, 4, 5]])  # is one stimulus
    found.append([g.dual_bootstrap(SUBJECTS, MODELS, m, draws=half) for m in ("whitened-cosine", "whitened-pearson")])
    with patch.object(inference.resampled, "CHUNK_BYTES", 8000):
        for over in ("both", "subjects"):
            found.append(g.dual_bootstrap(SUBJECTS, MODELS, "pearson", over=over, draws=draws))
    return found, inference.multiplicities(draws[0], 6), inference.index_draws(4, 7, 3, RNG(1))


LAYERS = {("net", "b"): MODELS[0], ("net", "a"): MODELS[1], ("other", "c"): MODELS[2], ("odd", ""): TIED[4]}


def flexible() -> Any:
    flat = np.vstack([MODELS, np.ones((1, 36))])
    found: list[Any] = []
    for method in ("spearman", "rho-a", "pearson", "cosine", "whitened-pearson"):
        for fit in g.FITS:
            model = g.FlexibleModel(HOLES, fit)
            found.append([g.fit_weights(SUBJECTS, one, method) for one in (model, g.FlexibleModel(flat, fit))])
            found.append(g.flexible_score(SUBJECTS, model, method, RNG(1), 2))
    models = [g.FlexibleModel(flat, "interpolate"), MODELS[1], g.FlexibleModel(MODELS)]
    for method, over, n in (("spearman", "both", 5), ("pearson", "subjects", 5), ("whitened-cosine", "both", 1)):
        with patch.object(inference.flexible, "CHUNK", 4):
            one = g.flexible_bootstrap(
                SUBJECTS[:n], models, method, 6, RNG(2), over=over, n_folds=(2 if n > 1 else 1, 2), n_cv_score=2
            )  # fmt: skip
        found.append([one, one.se(), one.test(np.eye(2, 5))])
    many = g.rdm(RNG(3).normal(size=(11, 21, 4)), "euclidean")
    found.append(g.flexible_score(many, g.FlexibleModel(many[:2]), "cosine", RNG(3), 2))
    found.append(g.flexible_permutation_test(SUBJECTS, g.FlexibleModel(MODELS), "pearson", 3, RNG(4), 2))
    return found


def references() -> Any:
    sets = {"it": SUBJECTS[:, None], "v1": np.stack([TIED, SUBJECTS], axis=1)[:4]}
    left = {"v1": [("net", "a"), ("odd", "")]}
    options = {"alpha": 0.2, "seed": 4}
    chosen = {"all": None, "ab": ["a", "b"]}
    made = {("net", name): g.combination(LAYERS, "net", name, some) for name, some in chosen.items()}
    flat = {("net", "z"): np.ones(36)}
    return (
        g.score_references(sets, LAYERS, n_boot=15, exclude=left, **options),
        g.score_references({"v": GAPS[:1, None]}, LAYERS | flat, "pearson", 15),
        g.score_references({"v": SUBJECTS[:, None]}, flat, "cosine", 9),
        g.score_references({"v": SUBJECTS[:, None]}, flat, n_boot=9),
        g.score_references(sets, {("net", "b"): SUBJECTS[0], ("net", "c"): -MODELS[2]}, "pearson", 9),
        made,
        g.score_combinations(sets, made, "pearson", 40, 4, **options),
        g.score_combinations({"it": sets["it"][:1]}, made, n_boot=4, n_permutations=3),
    )


def places() -> Any:
    repeats = np.stack([SUBJECTS, TIED, SUBJECTS**2], axis=1)
    repeats[1, 2], repeats[3, :, :] = 1.0, 2.0
    with patch.object(inference.mass_univariate, "CHUNK_BYTES", 3000):
        return [
            g.rdm_permutation_places(given, MODELS, method, 25, RNG(5))
            for method in inference.METHODS for given in (TIED, repeats)
        ]  # fmt: skip


def matched_units() -> Any:
    constant = np.column_stack([X, np.full(14, 0.1), Y[:, 0] + 0.2 * X[:, 1]])
    held = constant[::-1] ** 2, Y[::-1] + X
    wide = RNG(1).normal(size=(5, 1100)), RNG(2).normal(size=(5, 1050))
    found: list[Any] = []
    for method in g.MATCHINGS:
        found += [g.match_units(constant, Y, method), g.match_units(Y, constant, method)]
        found += [g.match_units(constant, Y, method, held), g.match_units(np.ones((14, 2)), Y, method)]
    found += [g.match_units(*pair, method) for method in ("forward", "backward") for pair in (wide, (X[:, :1], Y))]
    for p, q in ((4, 6), (5, 7), (33, 20), (3, 3)):
        gain = RNG(p).normal(size=(p, q))
        rows, columns, weights = g.best_coupling(gain)
        coupled = csr_array((weights, (rows, columns)), shape=(p, q)).toarray()
        found.append([coupled, weights @ gain[rows, columns]])
    narrow, other = g.rotated_copy(X, RNG(3), Y)
    turned = np.concatenate(g.rotated_copy(X.T, RNG(3), Y.T[:2], Y.T))
    return found, narrow, other, turned @ turned.T, g.shuffled_units(X, RNG(4))


def similarities() -> Any:
    long = RNG(5).normal(size=(6, 9))
    flat, many = np.full((14, 2), 0.1), np.arange(1500)
    found: list[Any] = []
    for measure in g.SIMILARITIES:
        found.append([g.similarity(*pair, measure) for pair in ((X, Y), (Y, X[:, :2]), (flat, X), (X, X * 2))])
        if "cca" not in measure:
            found.append([g.similarity(*pair, measure) for pair in ((long, X[:6]), (long, long[:, ::-1] ** 2))])
    layers = {("b", "2"): X, ("a", "1"): Y, ("a", "3"): np.hstack([Y, X**2, X, Y**3]), ("c", "4"): flat}
    return (
        found,
        [g.svcca(long[:, :3], X[:6, :2]), g.pwcca(long[:, :3], X[:6, :2])],
        [g.canonical_correlations(*pair) for pair in ((X, Y), (X, X[:, :1]), (np.column_stack([X, X]), Y))],
        g.linear_predictivity(X, Y, Fit(), 4, seed=2),
        g.cross_correlations(np.column_stack([X, flat]), Y, 3),
        [unit_pairing.centred(np.column_stack([X, flat])), *network_similarity.centred_pair(X.astype("f"), Y)],
        g.rotated_to_fewer(long) @ g.rotated_to_fewer(long).T,
        unit_pairing.pair_correlations(np.tile(X, (1, 400)), np.column_stack([Y, flat]), many, many % 6),
        g.compare_networks(layers, network_pairs.PAIR_MEASURES, max_units=3, draws=3, regressor=Fit(), seed=2),
        g.compare_networks(layers, ("one_to_one", "cka"), draws=0),
    )


VISIBLE = np.arange(12) < np.array([7, 8, 8, 9, 7, 8, 12, 9])[:, None]
VISIBLE[[0, 2], 10:] = True
SPIKES = RNG(11).normal(size=(8, 12, 4, 3)) + 2 * RNG(12).normal(size=(8, 12, 4, 1))
SPIKES[:, :, 3] = 1.0
SPIKES[1, 11:], SPIKES[4, 10:] = NAN, NAN
FRAMES = {"b": np.nan_to_num(SPIKES)[..., :3, 0] + RNG(13).normal(size=(8, 12, 3)), "a": np.ones((8, 12, 2))}


def followed() -> Any:
    found = []
    for fit_on, least, folds in (("epoch", 0.2, 7), ("visible", -3.0, 3)):
        options = {"fit_on": fit_on, "min_reliability": least, "folds": folds, "confidence": 0.8, "seed": 2}
        found.append(g.score_dynamics(FRAMES, SPIKES, VISIBLE, Fit(), n_permutations=9, **options))
    with patch.object(dynamics.future_prediction, "MOST_VALUES", 700):
        apart = g.score_dynamics(FRAMES, SPIKES, np.ones((8, 12), bool), Fit(), folds=4, n_permutations=5)
    films = {name: x + 0.1 * np.arange(12)[None, :, None] for name, x in FRAMES.items()}
    agree = [g.movie_agreement(films, some, VISIBLE, n_permutations=19, seed=2) for some in (SPIKES, SPIKES[..., :2])]
    rolled = [
        g.roll_out(FRAMES["b"].astype(kind), VISIBLE, simulate, n)
        for kind, n in (("f", 3), (float, 7)) for simulate in g.SIMPLE_FUTURES.values()
    ]  # fmt: skip
    return found, apart, agree, rolled, g.time_features(3, 7), g.constant_velocity(FRAMES["b"], 3)


def agents() -> Any:
    steps = RNG(14).random((9, 9)) + 4 * np.eye(9, k=1)
    steps /= steps.sum(axis=1, keepdims=True)
    modules = {"b": RNG(15).normal(size=(3, 9, 4)), "a": RNG(16).normal(size=(3, 9, 2)) * [3, 1]}
    wanted = {"future": g.successor_rdm(steps, 0.6), "here": MODELS[0]}
    returns = {"b": [1.0, 4, 3, 9], "a": [2.0, 5, 4]}
    return (
        [g.successor_representation(steps, gamma, ahead=ahead) for gamma in (0, 0.7) for ahead in (False, True)],
        g.successor_rdm(steps, 0.5, features=X[:9], ahead=True, distance="correlation"),
        g.compare_checkpoints(modules, wanted, [0.5, 2, 1], n_permutations=19, seed=3),
        g.compare_checkpoints(modules, wanted, [0.5, 2, 1], comparison="spearman", distance="correlation"),
        [g.at_equal_return(returns), g.at_equal_return(returns, 4)],
    )


PLACES = np.argwhere(np.ones((3, 3, 2)))[[0, 1, 2, 4, 5, 6, 8, 9, 11, 12, 13, 17]]
AFFINE = np.diag([2.0, 3, 2.5, 1]) + 0.2 * np.eye(4, k=1)
AFFINE[3] = [0, 0, 0, 1]
GRID = np.array([[i + 0.1 * j, j, 0.3 * (i * j % 3)] for i in range(6) for j in range(4)])
CORNERS = [4 * i + j for i in range(5) for j in range(3)]
FACES = np.array([[c, c + 1, c + 4] for c in CORNERS] + [[c + 5, c + 4, c + 1] for c in CORNERS[:-1]])


def near() -> Any:
    cortex = np.arange(24) % 11 != 5
    apart = np.vstack([GRID, GRID[:3] + 50]), np.vstack([FACES, [[24, 25, 26]]])
    whole = g.volume_neighbourhoods(PLACES, AFFINE, 4.2)
    with patch.object(neighbourhoods, "AT_ONCE", 5):
        made = [
            whole,
            g.volume_neighbourhoods(PLACES, np.eye(4), 1.0),
            g.surface_neighbourhoods(GRID, FACES, radius_mm=1.6),
            g.surface_neighbourhoods(GRID, FACES, radius_mm=2.1, cortex=cortex),
            g.surface_neighbourhoods(GRID, FACES, n_nearest=7, cortex=cortex),
            g.surface_neighbourhoods(*apart, n_nearest=5),
        ]
    made.append(g.joined_hemispheres(made[3:5]))
    made += [whole.without(np.arange(12) % 5 == 2), whole.select(np.arange(12) % 3 == 1), made[-1].select([30, 2, 9])]
    return [[one.centres, one.sizes, one.members.toarray()] for one in made]


def lights() -> Any:
    around = g.volume_neighbourhoods(PLACES, AFFINE, 4.2)
    values = RNG(17).normal(size=(13, 12)) + np.arange(12) % 4
    values[:, 5], missing = np.where(np.isin(CONDITIONS, ["c"]), 0.5, values[:, 5]), values.copy()
    missing[3, 7] = NAN
    residuals = RNG(18).normal(size=(8, 12)) * np.linspace(1, 3, 12)
    residuals[:, 2], spread = 4, {"residuals": residuals}
    flat = np.where(np.isin(CONDITIONS, "a")[:, None], 0.7, missing)
    found: list[Any] = []
    cases = [(flat, "correlation", {}), (missing, "euclidean", {}), (missing, "euclidean", spread)]
    cases.append((values, "euclidean", spread | {"noise": "diagonal", "dof": 5}))
    for dtype in ("float64", "float32"):
        options = {"device": "cpu", "dtype": dtype}
        with patch.multiple(searchlight, GATHERED=6000, AVERAGED=200):
            for given, method, more in cases:
                found.append(g.searchlight_rdms(given, around, method, CONDITIONS, **more, **options))
            for more in ({}, spread, spread | {"dof": 4}, spread | {"noise": "diagonal"}):
                found.append(g.searchlight_rdms(missing[:12], around, "crossnobis", *EVEN, **more, **options))
    one = g.Searchlight(missing, around, "correlation", CONDITIONS, device="cpu")
    return found, one.rdms(slice(2, 5)), one.rdms(np.array([7, 1])), one.n_pairs, one.n_centres, one.n_channels_left_out


def maps() -> Any:
    around = g.volume_neighbourhoods(PLACES, AFFINE, 4.2)
    values = RNG(19).normal(size=(9, 12))
    values[:, 3] = NAN
    plain = g.Searchlight(values, around, "euclidean", device="cpu")
    flat = values + 0
    flat[4] = 1.0  # a pattern that is constant wherever one looks
    holes = g.Searchlight(flat, around, "correlation", device="cpu", dtype="float32")
    found: list[Any] = []
    with patch.multiple(searchlight_maps, BLOCK=5, AT_ONCE=4000), TemporaryDirectory() as folder:
        for search in (plain, holes):
            for comparison in ("pearson", "spearman", "whitened-cosine"):
                one = g.searchlight_map(search, HOLES, comparison, 29, 3)
                found.append([one, one.n_nan, one.threshold(0.1), one.threshold_anywhere(0.2), one.p_anywhere()])
                found.append([one.threshold(0.001), one.threshold_anywhere()])
        found.append(g.searchlight_map(plain, MODELS, progress=Path(folder) / "a" / "map", n_permutations=19))
        assert not list((Path(folder) / "a").glob("map*"))
    return found


def geotopological() -> Any:
    ragged = np.round(GAPS[:4].reshape(2, 2, 36), 1)
    ragged[1, 1] = 3.0
    apart = g.rdm(np.vstack([SHAPE[:4], SHAPE[4:7] + 20, SHAPE[7:] - 30]), "euclidean")
    gone = np.stack([apart, np.where(np.arange(36) % 5 == 1, NAN, apart)])
    cells = ((0.2, 0.8), (0.5, 0.5), (0.0, 1.0), (0.0, 0.1), (1.0, 1.0))
    found: list[Any] = [g.geotopological(ragged, *cell, rank) for cell in cells for rank in (True, False)]
    for rule in ({"neighbors": 2}, {"quantile": 0.2}, {"threshold": (0.1, 0.3)}, {"neighbors": 7}, {"quantile": 1.0}):
        for apart_as in ("nan", "max_finite", "largest"):
            found += [g.geodesic(one, **rule, disconnected=apart_as) for one in (gone, ragged)]
    layers = SUBJECTS[:4, None] + MODELS * [[1], [3], [0.5]]
    layers[2, 1] = NAN
    return (
        found,
        [g.threshold_grid(step) for step in (0.5, 0.2)],
        [g.threshold_family(*cell) for cell in g.threshold_grid(0.1)],
        g.layer_agreement(layers, MODELS, {"rank": None, "geo": (0.2, 0.8)}),
    )


def identified() -> Any:
    regions = g.rdm(RNG(20).normal(size=(1, 3, 7, 4)) + 0.6 * RNG(21).normal(size=(4, 3, 7, 4)), "euclidean")
    lacking = regions.copy()
    lacking[3, 2], lacking[0, 0], lacking[1, :, 5] = NAN, NAN, NAN
    tied = np.round(np.repeat(regions[:, :2], 2, axis=1), 1)
    cells = np.array([[0.0, 1], [0.2, 0.8], [0.5, 0.5], [0, 0.4]])
    found: list[Any] = []
    with patch.object(topology.region_identification, "CHUNK_BYTES", 4000):
        for given in (regions, lacking, tied):
            found.append(g.identify_regions(given, cells, 4, 3, RNG(6)))
    draws = np.array([[0, 0, 0, 0], [1, 1, 2, 3]]), np.array([[0, 1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 0, 1]])
    found.append(g.identify_regions(regions, cells, draws=draws))
    sorted_once = topology.RankedRdms(np.round(regions[0], 1))
    weights = np.arange(21) % 3
    return (
        found, found[0].at(0.2, 0.8), sorted_once.grams(cells), sorted_once.grams(cells, weights),
        g.identify_regions(regions).accuracy, dict(g.BASELINES),
    )  # fmt: skip


def dependence() -> Any:
    x = RNG(22).normal(size=11)
    y = np.abs(x[:, None]) @ [[1.0, -2]] + 0.3 * RNG(23).normal(size=(11, 2))
    cases = (x, y), (x, np.round(x)), (x, np.ones(11)), (y, np.arange(11.0) // 6)
    return [g.dependence_test(*case, 19, RNG(7), step) for case in cases for step in (0.5, 0.25)]


def dimensions() -> Any:
    wide, flat = RNG(24).normal(size=(7, 12)), np.full((6, 2), 0.3)
    spread = np.diag(np.arange(1, 131) ** -0.6) @ RNG(25).normal(size=(130, 125))
    twice = np.vstack([X, X[:3], X[4:5] * (1 + 2e-7)]).astype(np.float32)
    values = np.arange(1, 40) ** -1.3 * (5 + np.sin(np.arange(39)))
    values[15] = -1
    every = {"b": X, "a": np.vstack([Y, X[:2]]).astype("f"), "long": np.tile(wide, (3, 1))}
    found = [
        [one(given) for one in (g.eigenspectrum, g.participation_ratio, g.rankme)]
        for given in (X, wide, flat, X[:, :1], 0 * flat)
    ]
    return (
        found,
        [g.rankme(X, spectrum=kind, center=True) for kind in ("singular", "eigen")],
        [g.power_law(values, ranks) for ranks in ((2, 30), (16, 18), (5, 9))] + [g.power_law(np.ones(9), (2, 8))],
        [g.cross_validated_spectrum(*pair) for pair in ((X, X + Y), (wide, wide**3))],
        [g.two_nn(given) for given in (X, twice, wide, flat, np.arange(30.0)[:, None] ** 2)],
        g.compare_dimensions(every, n_stimuli=13, draws=3, seed=2),
        g.compare_dimensions({"b": X, "a": Y}, tuple(g.DIMENSIONS)[:2]),
        g.compare_dimensions({"b": spread}),
    )


def biases() -> Any:
    kinds = {"size": X[:, 1] + 0.1 * Y[:, 3], "kind": np.array(list("abcabcaabbccab")), "rare": np.arange(14) % 3 == 0}
    kinds["more"] = np.arange(14) ** 2
    return (
        g.feature_bias(X, kinds, Fit(), 4, seed=2),
        g.feature_bias(Y, {"size": kinds["size"]}),
        g.feature_bias(np.ones((14, 2)), {"size": kinds["size"]}),
        [g.equal_variance(X, kinds, least) for least in (0.03, 0.3, 0.99)],
        [g.whitened(given, share) for given in (X, np.ones((5, 2))) for share in (0.01, 0.7)],
    )


def manifolds() -> Any:
    labels = np.repeat(list("cab"), [13, 9, 12])[RNG(26).permutation(34)]
    points = RNG(27).normal(size=(34, 5)) + 1.5 * (labels == "a")[:, None] * [1, 0, 1, 0, 0] - (labels == "b")[:, None]
    few, two = np.repeat(list("dcab"), [3, 8, 2, 9]), g.balanced_categories(labels, 8, 3)
    tables = [g.balanced_categories(labels, *more) for more in ((), (11, 2))]
    tables += [g.balanced_categories(few), g.balanced_categories(few[:10])]
    same, pair = points[two.rows], np.isin(two.labels, ["a", "b"])
    four = np.tile(list("xyzw"), 6)
    studies = [
        g.category_manifolds(*given, Fit(), draws=3, n_probes=12, seed=2)
        for given in ((same, two.labels), (same[pair], two.labels[pair]), (same[:, :2], four), (np.ones((24, 3)), four))
    ]
    held = points[::2] + 0.1, labels[::2]
    reader = RNG(28).normal(size=(3, 5)), np.array([0.1, -0.3, 0.2])
    collapse = [
        g.neural_collapse(points, labels, held_out=held, classifier=reader),
        g.neural_collapse(points, labels, classifier=reader),
        g.neural_collapse(points, labels, centroids="in_sample"),
        g.neural_collapse(points[:, :1], labels),
        g.neural_collapse(RNG(29).normal(size=(34, 2)) * 9, labels),
        g.neural_collapse(np.tile([[1.0, 2], [1, 2], [2, 1]], (4, 1)), np.tile(list("aab"), 4)),
        g.neural_collapse(np.tile([[0.0, 1], [1, 0], [-1, -1], [0, 0]], (2, 1)) + 5, list("abcd") * 2),
    ]
    capacity = [g.manifold_capacity(*given, 16, 2) for given in ((points, labels), (points[:, :2], labels))]
    return tables, studies, collapse, capacity, [one.mean_capacity for one in capacity]


def moments() -> Any:
    labels = np.array(list("bbababaabbabbaabab"))
    values = RNG(30).normal(size=(18, 3, 4)) + (labels == "a")[:, None, None] * np.array([0, 1, 2, 0.5])
    three = np.where(np.arange(18) % 5 == 2, "c", labels)
    sessions, onsets = np.repeat([2, 1], [10, 8]), np.tile(np.arange(9.0)[::-1], 2) ** 1.1
    folds = g.leave_one_group_out(np.repeat(["z", "y", "x"], [7, 5, 6]))
    permuted = np.stack([RNG(k).permutation(labels) for k in range(4)])
    many = np.stack([RNG(k).permutation(three) for k in range(4)])
    weights = RNG(31).integers(3, size=(5, 18)).astype(float)
    whiteners = [np.eye(3) + 0.2 * k for k in range(3)]
    found: list[Any] = [folds, g.contiguous_folds(sessions, onsets, 3, guard_s=1.2)]
    cases = [(labels, permuted, "auc"), (labels, permuted, "accuracy"), (three, many, "accuracy")]
    for given, shuffled, score in cases:
        for more in ({}, {"whiteners": whiteners}, {"ridge": 0.3}):
            one = g.decode_times(values, given, folds, permuted=shuffled, score=score, **more)
            found += [one, one.score, one.draws(folds, weights)]
        found.append(g.decode_generalization(values, given, folds, permuted=shuffled, score=score))
    wide = RNG(32).normal(size=(18, 15, 2))
    found.append(g.decode_times(wide, labels, folds))
    train, test = folds[0]
    found.append(g.decode_times(values[:, :, :1], labels, [(train, test[labels[test] == "b"])]))
    for more in ({}, {"whiteners": whiteners, "ridge": 0.2}):
        found.append(g.pairwise_movie(values, three, folds, **more))
    tied = np.round(values[:, :, 0].T)
    areas = [g.auc(given, labels == "a") for given in (tied, values[:, 0].T, -0.0 * tied)]
    areas += [g.auc(values[:, 0, 0], np.ones(18, bool)), g.auc_draws(np.round(values[:, 0]), labels == "b", weights)]
    effects = [g.sensor_effects(values, *pair) for pair in ((labels, permuted), (three, many), (three, many[:0]))]
    flat = values + 0
    flat[:, 1, 2] = 3
    effects.append(g.sensor_effects(flat, three, many))
    return found, areas, effects, [over_time.shrinkage_ridge(one) for one in (X, X.T, np.eye(4), np.ones((3, 2)))]


def movies() -> Any:
    values = RNG(33).normal(size=(13, 5, 7))
    sets = np.stack([np.eye(5), np.diag(np.arange(1.0, 6)), np.eye(5) + 0.2])
    one = g.rdm_movie(values, "euclidean", CONDITIONS, bin_size=2)
    return (
        one,
        g.rdm_movie(values, "mahalanobis", CONDITIONS, None, sets[1], 3),
        g.rdm_movie(values, "crossnobis", CONDITIONS, RUNS, sets, 2),
        [g.rdm_time_generalization(one, *more) for more in ((), (one[1:] ** 2,), (None, "spearman"))],
    )


TRIPLETS = np.stack([RNG(k).permutation(11)[:3] for k in range(160)])
OBJECTS = np.abs(RNG(34).normal(size=(11, 4))) * [3, 2, 1, 0.5]
SURE = RNG(35).dirichlet([0.6, 1, 2], size=160)
GROUPS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3])


def judged() -> Any:
    alike = g.object_similarities(OBJECTS)
    cosine = g.object_similarities(np.vstack([OBJECTS[:9], 0.1 * OBJECTS[9:10], np.zeros(4)]), "cosine")
    ties = np.round(alike / 4)
    log_q, p = torch.log(torch.from_numpy(SURE[::-1].copy())), torch.from_numpy(SURE)
    log_choices = odd_one_out.log_choices(torch.from_numpy(cosine), torch.from_numpy(TRIPLETS))
    told = []
    for given in (alike, cosine, ties):
        told.append([g.odd_one_out_accuracy(given, TRIPLETS, q) for q in (None, SURE)])
        told.append([g.choice_probabilities(given, TRIPLETS), g.choice_temperature(given, TRIPLETS)])
        told.append([triplets.mean_divergence(given, TRIPLETS, q) for q in (None, SURE)])
        told.append(g.choice_temperature(given, TRIPLETS, SURE))
        for groups, unsure in ((None, None), (GROUPS, None), (GROUPS, np.arange(160) % 7)):
            told.append([g.score_alignment(given, TRIPLETS, q, groups, unsure) for q in (None, SURE)])
    return (
        g.check_triplets(TRIPLETS.astype("i2"), 11), triplets.check_probabilities(SURE[:2] + 1e-9, 2),
        told, cosine, log_choices, [one(log_q, p) for one in g.DIVERGENCES.values()], g.choice_entropy(SURE),
        g.triplet_keys(TRIPLETS), [g.judged_shares(TRIPLETS)],
        g.repeated_ceilings(TRIPLETS, 11),
        g.unrepeated(TRIPLETS, TRIPLETS[:40], 11), g.shuffled_triplets(TRIPLETS, RNG(1)),
    )  # fmt: skip


def splits() -> Any:
    return (
        g.split_triplets(TRIPLETS, 0.3, RNG(1)), g.split_objects(TRIPLETS, 11, 0.4, RNG(2)),
        g.split_objects_in_turn(TRIPLETS, 11, 0.36, 2, RNG(3)), g.cluster_objects(OBJECTS, 4, 2),
        g.triplet_levels(TRIPLETS, GROUPS),
        [g.draw_triplets(GROUPS, 25, RNG(4), level) for level in g.LEVELS],
        g.check_odd_last(TRIPLETS, 11), g.odd_column_shares(TRIPLETS, 11, RNG(5)),
        g.odd_column_shares(TRIPLETS, 11, RNG(5), OBJECTS @ OBJECTS.T),
        [g.spectral_similarities(TRIPLETS, 11), g.spectral_similarities(TRIPLETS % 3, 3)],
    )  # fmt: skip


def sparse(seeds: Any, **more: Any) -> g.SparseConcepts:
    options = {"n_dims": 5, "epochs": 2, "least_steps": 9, "batch_size": 50, "least_weight": 0.3}
    return g.SparseConcepts((0.02,), seeds=seeds, **options | more)


def concepts() -> Any:
    found: list[Any] = []
    chosen = sparse((2, 5))
    chosen.alphas, chosen.validation_share = (2.0, 0.01, 30.0), 0.2
    chosen.fit(TRIPLETS, 12)
    found.append([chosen.alpha_, chosen.cv_scores_, chosen.embeddings_, chosen.embedding_, chosen.seen_])
    with patch.object(odd_one_out.embedding, "MOST_VALUES", 150):
        for more in ({}, {"n_dims": 2, "batch_size": 7, "epochs": 1}):
            found.append(sparse((3, 1, 4), **more).fit(TRIPLETS, 11).embeddings_)
    for more in ({}, {"n_dims": 2, "batch_size": 7, "q": 0.4}):
        options = {"n_dims": 4, "epochs": 2, "least_steps": 12, "batch_size": 60, "q": 0.3, "least_objects": 1}
        one = g.VariationalConcepts(spike=0.2, seeds=(4, 2), **options | more).fit(TRIPLETS, 12)
        found.append([one.embeddings_, one.n_objects_with_, one.location_, one.scale_, one.embedding_])
    return found


def concept_tables() -> Any:
    fits = {
        name: g.fit_concepts(lambda seeds: sparse(seeds), TRIPLETS[20:], 11, seeds, least)
        for name, seeds, least in (("b", (3, 1, 2), 0.3), ("a", (5, 4), 0.99))
    }
    tests = {"new": TRIPLETS[:20], "all": TRIPLETS[:9]}
    train = g.unrepeated(TRIPLETS, TRIPLETS[:20], 11)
    names, words = list("ABCDEFGHIJK"), list("wxyz")
    return (
        {name: [one.embedding, one.shuffled, one.reproducible, one.found_again] for name, one in fits.items()},
        g.choice_table(fits, train, tests, 11, g.repeated_ceilings(TRIPLETS, 11), OBJECTS),
        g.choice_table(fits, train, tests, 11, None),
        g.dimension_table(fits, names, OBJECTS, words), g.dimension_table(fits, names, None, ()),
        g.dimension_table(fits, names, OBJECTS[:, :2], ()),
        g.match_dimensions(OBJECTS, OBJECTS[:, [2, 0]] + 0.1), g.match_dimensions(OBJECTS[:, :1], OBJECTS),
        g.reproducible_dimensions([OBJECTS, OBJECTS[:, ::-1] + 0.2 * np.sin(OBJECTS), OBJECTS[:, 1:]], 0.9, RNG(2)),
    )  # fmt: skip


def beside_people() -> Any:
    layers = {
        ("net", "b"): np.hstack([OBJECTS, np.sin(OBJECTS)]),
        ("other", "a"): OBJECTS[:, :2] + np.cos(OBJECTS)[:, 2:],
    }
    shares = {"object_share": 0.4, "object_splits": 2, "folds": 3, "permutations": 19, "readout_permutations": 3}
    options = ConceptSettings(**shares, objects=10)
    given = layers, OBJECTS, TRIPLETS, TRIPLETS[:70], Fit(), sparse
    with patch.object(networks, "NULL_TRIPLETS", 40):
        few = g.network_tables(*given, options, 2)
    one = ConceptSettings(**shares | {"object_splits": 1}, objects=300)
    regions = {"it": g.rdm(np.stack([OBJECTS + 1, OBJECTS**2, np.sin(OBJECTS)]), "euclidean")}
    dims = np.column_stack([OBJECTS, np.ones(11)])
    return (
        few,
        g.network_tables(*given, one, 3),
        g.region_table(regions | {"v1": regions["it"][:1]}, OBJECTS, 19, 3),
        g.fit_dimensions(np.hstack([OBJECTS[:, :2], np.ones((11, 1))]), dims, Fit(), 3, 5, RNG(4)),
        g.unseen_similarities(layers["net", "b"], dims - 0.8, np.array([8, 2, 5]), Fit()),
        g.permuted_accuracies(OBJECTS @ OBJECTS.T, TRIPLETS[:9], 4, RNG(5)),
    )


def aligned() -> Any:
    found: list[Any] = []
    for options in ({}, {"divergence": "jsd", "temperature": 2.0, "decay": 3.0, "batch_size": 300}):
        made = g.HumanAlignment(**{"n_steps": 5, "batch_size": 40, "learning_rate": 0.05, "seed": 2} | options)
        inputs = torch.from_numpy(OBJECTS).float() if options else OBJECTS
        made.fit(g.affine_head(4), inputs, TRIPLETS, SURE)
        found.append([made.losses_, made.moved_, made.temperature_, made.centre_, list(made.student_.parameters())])
        found.append([made.similarities(inputs), made.choices(inputs, TRIPLETS[:9]), made.transform(inputs, [3, 1])])
    for penalties, p, weight in (((0.3, 0.01), SURE, 0.5), ((0.05,), None, 0.0), ((0.2,), SURE, 0.2)):
        teacher = g.HumanTeacher(penalties, weight, 0.4, 0.4, 6, seed=3).fit(OBJECTS + 1, TRIPLETS, p)
        found.append([teacher.held_out_, teacher.penalty_, teacher.scale_, teacher.centre_, teacher.weight_])
        found.append([teacher.bias_, teacher.transform(OBJECTS), teacher.choices(OBJECTS, TRIPLETS[:9])])
    return found


def alignment_study() -> Any:
    layers = {
        ("net", "b"): OBJECTS, ("net", "c"): np.sin(OBJECTS), ("other", "a"): OBJECTS[:, ::-1] + np.cos(OBJECTS),
        ("other", "d"): np.cos(2 * OBJECTS[:, :3]), ("last", "e"): OBJECTS[:, 1:] ** 0.5,
    }  # fmt: skip
    kinds = RNG(36).permutation(np.unique(np.sort(TRIPLETS, axis=1), axis=0))
    kinds = RNG(37).permuted(kinds, axis=1)
    tests = {"new": (kinds[40:50], None), "soft": (kinds[50:], SURE[: len(kinds) - 50])}
    made = (
        lambda: g.HumanTeacher((0.3, 0.05), held_share=0.5, max_iterations=5),
        lambda n: g.HumanAlignment(n_steps=2 + n, batch_size=30),
    )
    options = {"n_clusters": 4, "n_triplets": 50, "draws": 12, "seed": 3}
    found = g.align_networks(layers, (kinds[:40], SURE[:40]), tests, "net", *made, groups=GROUPS, **options)
    return found, [one(layers[name]) for maps in (found.aligned, found.unaligned) for name, one in maps.items()], (
        triplet_splits.check_triplets_apart(kinds[:40], {"new": kinds[40:]})
    )  # fmt: skip


CASES: dict[str, Callable[[], Any]] = {
    one.__name__: one
    for one in (
        dissimilarities, crossed_runs, noise, ranks, stored, compared, fixed_models, bootstraps, flexible, references,
        places, matched_units, similarities, followed, agents, near, lights, maps, geotopological, identified,
        dependence, dimensions, biases, manifolds, moments, movies, judged, splits, concepts, concept_tables,
        beside_people, aligned, alignment_study,
    )
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_results_of_geometry_are_as_they_were(name: str) -> None:
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        RECORD.check(name, CASES[name]())
