"""Of geometry and statistics."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from brainalign import geometry, statistics
from brainalign.config import ConceptSettings
from seeded.worlds import CLUSTERS, GROUPS, MODELS, REGIONS, RNG, SUBJECTS, TRIPLETS, WORLD, R, X, Y, case, ridge


class UntrainedConcepts(geometry.SparseConcepts):
    """Whose embeddings depend on the penalty alone: all that is left to the seed is the split they are chosen on."""

    def _train(self, rows: Any, n_objects: int, fits: list[tuple[float, int]]) -> list[Any]:
        return [RNG(int(1e6 * alpha)).random((n_objects, 3)) for alpha, _ in fits]


def concepts(seeds: Any) -> geometry.SparseConcepts:
    return geometry.SparseConcepts((0.01,), n_dims=3, epochs=1, least_steps=2, seeds=seeds)


def networks(seed: int) -> pd.DataFrame:
    shares = {"object_share": 0.4, "object_splits": 2, "folds": 2, "permutations": 19, "readout_permutations": 2}
    layers = {("net", "last"): WORLD_FEATURES}
    given = (layers, np.abs(WORLD_FEATURES[:, :3]), TRIPLETS, TRIPLETS[:60], ridge(), concepts)
    return geometry.network_tables(*given, ConceptSettings(**shares, objects=10), seed)[0]


WORLD_FEATURES = WORLD.normal(size=(10, 6))
DISCS = geometry.Neighbourhoods(np.arange(2), csr_array(np.repeat(np.eye(2), 3, axis=1)))
VISIBLE = np.arange(9) < np.repeat([5, 6], 4)[:, None]
NEURAL = WORLD.normal(size=(8, 9, 3, 2))


def student(seed: int) -> np.ndarray:
    """Return features of a student that saw two batches of triplets."""
    given = (geometry.affine_head(6), WORLD_FEATURES, TRIPLETS, np.full((len(TRIPLETS), 3), [0.1, 0.2, 0.7]))
    return geometry.HumanAlignment(n_steps=2, batch_size=20, seed=seed).fit(*given).transform(WORLD_FEATURES)


DIFFERENT = RNG(5).permutation(np.unique(np.sort(TRIPLETS, axis=1), axis=0))


def aligned(seed: int) -> pd.DataFrame:
    known = {("net", "a"): WORLD_FEATURES, ("other", "a"): WORLD_FEATURES[:, ::-1]}
    judged = (DIFFERENT[:50], None), {"test": (DIFFERENT[50:], None)}
    made = lambda: geometry.HumanTeacher((0.1,), max_iterations=3), lambda _: geometry.HumanAlignment(n_steps=2)
    sizes = {"n_clusters": 3, "n_triplets": 30, "groups": None, "draws": 9}
    return geometry.align_networks(known, *judged, "net", *made, **sizes, seed=seed).scores


ALL_OF_THEM = np.arange(4)[None], np.arange(12)[None]
FLEXIBLE = geometry.FlexibleModel(MODELS)
TWO, HALVES = {("a", "1"): X, ("b", "1"): Y}, np.array([[0.2, 0.8], [0, 1]])
SIMILAR = [np.abs(X), np.abs(X[:, ::-1] + 0.5 * Y)]
SEARCH = geometry.Searchlight(X[:9], DISCS, "correlation"), geometry.rdm(Y[:9], "euclidean")
QUICK = {"n_dims": 3, "epochs": 1, "least_steps": 2, "q": 1.0, "least_objects": 0}
TEACHER = {"held_share": 0.5, "max_iterations": 3}
DYNAMICS = {"folds": 3, "min_reliability": -2, "n_permutations": 9}
COMBINED = {"it": SUBJECTS[:, None]}, {("net", "all"): FLEXIBLE}, "pearson", 5, 3
GEOMETRY: dict[str, Callable[[int], Any]] = {
    "align_networks, clusters": lambda s: aligned(s).query("role == 'student' and control == 'unaligned teacher'"),
    "align_networks, controls": lambda s: (
        aligned(s).query("role == 'teacher' and control == 'shuffled choices'").drop(columns="gain_se")
    ),
    "align_networks, draws": lambda s: aligned(s).query("role == 'teacher' and control == 'aligned'")["gain_se"],
    "HumanAlignment": student,
    "HumanTeacher": lambda s: (
        geometry.HumanTeacher((0.1, 1.0), **TEACHER, seed=s).fit(WORLD_FEATURES, TRIPLETS).held_out_
    ),
    "fit_concepts": lambda s: geometry.fit_concepts(concepts, TRIPLETS, 10, [s, s + 1], 0.1).embedding,
    "network_tables, layers": lambda s: networks(s)["null_mean"],
    "network_tables, splits": lambda s: networks(s)["unseen_cosine"],  # of features as they are: splits alone decide
    "rotated_copy": lambda s: geometry.rotated_copy(X, RNG(s), Y),
    "score_combinations": lambda s: geometry.score_combinations(*COMBINED, s)[["se", "null_mean"]],
    "score_references": lambda s: geometry.score_references(
        COMBINED[0], {("net", ""): MODELS[0]}, n_boot=9, seed=s
    ).scores["se"],
    "split_objects_in_turn": lambda s: [x.test for x in geometry.split_objects_in_turn(TRIPLETS, 10, 0.4, 2, RNG(s))],
    "SparseConcepts": lambda s: concepts((s,)).fit(TRIPLETS, 10).embedding_,
    "SparseConcepts, split": lambda s: UntrainedConcepts((0.01, 0.02), seeds=(s,)).fit(TRIPLETS, 10).cv_scores_,
    "VariationalConcepts": lambda s: geometry.VariationalConcepts(**QUICK, seeds=(s,)).fit(TRIPLETS, 10).embeddings_,
}
GEOMETRY |= [
    case(geometry.balanced_categories, np.repeat(["a", "b"], 12), 8),
    case(geometry.category_manifolds, X, CLUSTERS, ridge(), draws=2, n_probes=10),
    case(geometry.cluster_objects, X, 5),
    case(geometry.compare_checkpoints, {"a": X[None, :12]}, {"b": SUBJECTS[0]}, [1], n_permutations=19, look="p"),
    case(geometry.compare_dimensions, {"a": X}, ("participation ratio",), 15, draws=2),
    case(geometry.compare_networks, TWO, ("cka",), max_units=4, draws=2),
    case(geometry.compare_networks, TWO, ("predicts",), draws=1, regressor=ridge(), part="folds", look="value"),
    case(geometry.bootstrap_places, SUBJECTS[:, None], MODELS, "pearson", 9),
    case(geometry.dependence_test, X[:, 0], Y[:, 0], 29, step=0.5, look="z"),
    case(geometry.draw_triplets, GROUPS, 20),
    case(geometry.dual_bootstrap, SUBJECTS, MODELS, "pearson", 9, look="draws"),
    case(geometry.feature_bias, X, {"a": X[:, 0] + Y[:, 0]}, ridge(), 3, look="decodability"),
    case(geometry.fit_dimensions, X, np.abs(Y[:, :2]), ridge(), 3, 3),
    case(geometry.flexible_bootstrap, SUBJECTS, [FLEXIBLE], "pearson", draws=ALL_OF_THEM, look="draws"),
    case(geometry.flexible_permutation_test, SUBJECTS, FLEXIBLE, "pearson", 3, n_divisions=2, look="null"),
    case(geometry.flexible_score, SUBJECTS, FLEXIBLE, "pearson", n_divisions=2),
    case(geometry.identify_regions, REGIONS, HALVES[:1], n_boot=5, part="draws", look="raw_draws"),
    case(geometry.identify_regions, REGIONS, HALVES, n_shuffles=9, part="shuffles", look="shuffled_best"),
    case(geometry.linear_predictivity, X, Y, ridge(), 3),
    case(geometry.manifold_capacity, X, CLUSTERS, 20),
    case(geometry.movie_agreement, {"a": NEURAL[..., 0]}, NEURAL, VISIBLE, n_permutations=9, look="null_95"),
    case(geometry.check_odd_last, TRIPLETS, 10),
    case(geometry.odd_column_shares, TRIPLETS, 10),
    case(geometry.permuted_accuracies, np.corrcoef(WORLD_FEATURES), TRIPLETS, 9),
    case(geometry.rdm_partial_test, SUBJECTS, MODELS[0], MODELS[1:], "pearson", 9, look="null"),
    case(geometry.rdm_permutation_places, SUBJECTS, MODELS, "pearson", 9, look="null_mean"),
    case(geometry.rdm_permutation_test, SUBJECTS, MODELS[0], "pearson", 9, look="null"),
    case(geometry.region_table, {"it": SUBJECTS}, np.abs(X[:12]), 9, look="null_mean"),
    case(geometry.reproducible_dimensions, SIMILAR, 0.1),
    case(geometry.score_dynamics, {"a": NEURAL[..., 0]}, NEURAL, VISIBLE, ridge(), **DYNAMICS),
    case(geometry.searchlight_map, *SEARCH, n_permutations=9, look="largest"),
    case(geometry.shuffled_triplets, TRIPLETS),
    case(geometry.shuffled_units, X),
    case(geometry.split_objects, TRIPLETS, 10, 0.4, look="test"),
    case(geometry.split_triplets, TRIPLETS, 0.2, look="test"),
]


def pictures_scored(seed: int, n_permutations: int = 9) -> pd.DataFrame:
    given = RNG(3).random((2, 9, 3, 12, 12))
    return statistics.reconstruction_scores(*given, n_permutations=n_permutations, seed=seed)


def drawn(seed: int) -> Any:
    return statistics.region_draws(X, Y, {"a": np.arange(6)}, n_draws=5, n_permutations=5, seed=seed)


IDS, TURNS = np.arange(24) % 8, np.arange(24) // 8
PLACES = X[:, :3] / np.linalg.norm(X[:, :3], axis=1, keepdims=True)
APART = np.abs(X[:, 0][:, None] - X[:, 0])
STATISTICS: dict[str, Callable[[int], Any]] = {
    "reconstruction_scores, intervals": lambda s: pictures_scored(s, n_permutations=0)["low"],
    "reconstruction_scores, pairs": lambda s: pictures_scored(s)["value"],
    "sign_flip_test": lambda s: statistics.sign_flip_test(X[:20] + 0.2, s)[1],
    "region_draws, draws": lambda s: drawn(s)[0],
    "region_draws, null": lambda s: drawn(s)[1],
}
STATISTICS |= [
    case(statistics.area_map_test, X[:, 0], {"a": Y[:, 0]}, [], APART, n_surrogates=19, look="null_sd"),
    case(statistics.bootstrap, X[:, 0], n_draws=50),
    case(statistics.permuted_correlations, X, Y, 5, look="mean_r"),
    case(statistics.bootstrap_correlations, X, Y, [np.arange(6)], n_draws=5),
    case(statistics.crossed_bootstrap, X[:, 0], TURNS, IDS, n_draws=20),
    case(statistics.exchanged, IDS, 8, np.zeros(8), 3),
    case(statistics.noise_ceiling, R[:5], n_halvings=3),
    case(statistics.pairing_test, X[:, :6] @ Y[:6].T @ np.eye(6), np.arange(24) % 6),
    case(statistics.exchange_features, IDS, TURNS, 3),
    case(statistics.permute_stimuli, IDS, TURNS, 3),
    case(statistics.permute_within, np.zeros(24), 3),
    case(statistics.smooth_map_test, X[:, :1].T, Y[:, 0], APART, n_surrogates=19),
    case(statistics.spin_orders, PLACES, np.repeat(["L", "R"], 12), 3),
    case(statistics.split_half_reliability, R[:5], 3),
]
