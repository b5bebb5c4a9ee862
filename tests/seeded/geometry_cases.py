"""Of geometry and statistics."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from brainalign import geometry, statistics
from brainalign.config import ConceptSettings
from seeded.worlds import CLUSTERS, GROUPS, MODELS, REGIONS, RNG, SUBJECTS, TRIPLETS, WORLD, R, X, Y, ridge


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
GEOMETRY: dict[str, Callable[[int], Any]] = {
    "align_networks, clusters": lambda s: aligned(s).query("role == 'student' and control == 'unaligned teacher'"),
    "align_networks, controls": lambda s: (
        aligned(s).query("role == 'teacher' and control == 'shuffled choices'").drop(columns="gain_se")
    ),
    "align_networks, draws": lambda s: aligned(s).query("role == 'teacher' and control == 'aligned'")["gain_se"],
    "HumanAlignment": student,
    "HumanTeacher": lambda s: (
        geometry.HumanTeacher((0.1, 1.0), held_share=0.5, max_iterations=3, seed=s)
        .fit(WORLD_FEATURES, TRIPLETS)
        .held_out_
    ),
    "balanced_categories": lambda s: geometry.balanced_categories(np.repeat(["a", "b"], 12), 8, s),
    "category_manifolds": lambda s: geometry.category_manifolds(X, CLUSTERS, ridge(), draws=2, n_probes=10, seed=s),
    "cluster_objects": lambda s: geometry.cluster_objects(X, 5, s),
    "compare_checkpoints": lambda s: geometry.compare_checkpoints(
        {"a": X[None, :12]}, {"b": SUBJECTS[0]}, [1], n_permutations=19, seed=s
    )["p"],
    "compare_dimensions": lambda s: geometry.compare_dimensions(
        {"a": X}, ("participation ratio",), 15, draws=2, seed=s
    ),
    "compare_networks": lambda s: geometry.compare_networks(
        {("a", "1"): X, ("b", "1"): Y}, ("cka",), max_units=4, draws=2, seed=s
    ),
    "compare_networks, folds": lambda s: geometry.compare_networks(
        {("a", "1"): X, ("b", "1"): Y}, ("predicts",), draws=1, regressor=ridge(), seed=s
    )["value"],
    "dependence_test": lambda s: geometry.dependence_test(X[:, 0], Y[:, 0], 29, RNG(s), 0.5).z,
    "draw_triplets": lambda s: geometry.draw_triplets(GROUPS, 20, RNG(s)),
    "dual_bootstrap": lambda s: geometry.dual_bootstrap(SUBJECTS, MODELS, "pearson", 9, RNG(s)).draws,
    "feature_bias": lambda s: geometry.feature_bias(X, {"a": X[:, 0] + Y[:, 0]}, ridge(), 3, s)["decodability"],
    "fit_concepts": lambda s: geometry.fit_concepts(concepts, TRIPLETS, 10, [s, s + 1], 0.1).embedding,
    "fit_dimensions": lambda s: geometry.fit_dimensions(X, np.abs(Y[:, :2]), ridge(), 3, 3, RNG(s)),
    "flexible_bootstrap": lambda s: (
        geometry.flexible_bootstrap(
            SUBJECTS, [geometry.FlexibleModel(MODELS)], "pearson", draws=ALL_OF_THEM, rng=RNG(s)
        ).draws
    ),
    "flexible_permutation_test": lambda s: (
        geometry.flexible_permutation_test(SUBJECTS, geometry.FlexibleModel(MODELS), "pearson", 3, RNG(s), 2).null
    ),
    "flexible_score": lambda s: geometry.flexible_score(SUBJECTS, geometry.FlexibleModel(MODELS), "pearson", RNG(s), 2),
    "identify_regions, draws": lambda s: (
        geometry.identify_regions(REGIONS, np.array([[0.2, 0.8]]), n_boot=5, rng=RNG(s)).raw_draws
    ),
    "identify_regions, shuffles": lambda s: (
        geometry.identify_regions(REGIONS, np.array([[0.2, 0.8], [0, 1]]), n_shuffles=9, rng=RNG(s)).shuffled_best
    ),
    "linear_predictivity": lambda s: geometry.linear_predictivity(X, Y, ridge(), 3, s),
    "manifold_capacity": lambda s: geometry.manifold_capacity(X, CLUSTERS, 20, s),
    "movie_agreement": lambda s: geometry.movie_agreement(
        {"a": NEURAL[..., 0]}, NEURAL, VISIBLE, n_permutations=9, seed=s
    )["null_95"],
    "network_tables, layers": lambda s: networks(s)["null_mean"],
    "network_tables, splits": lambda s: networks(s)["unseen_cosine"],  # of features as they are: splits alone decide
    "check_odd_last": lambda s: geometry.check_odd_last(TRIPLETS, 10, seed=s),
    "odd_column_shares": lambda s: geometry.odd_column_shares(TRIPLETS, 10, RNG(s)),
    "permuted_accuracies": lambda s: geometry.permuted_accuracies(np.corrcoef(WORLD_FEATURES), TRIPLETS, 9, RNG(s)),
    "rdm_partial_test": lambda s: geometry.rdm_partial_test(SUBJECTS, MODELS[0], MODELS[1:], "pearson", 9, RNG(s)).null,
    "rdm_permutation_places": lambda s: (
        geometry.rdm_permutation_places(SUBJECTS, MODELS, "pearson", 9, RNG(s)).null_mean
    ),
    "rdm_permutation_test": lambda s: geometry.rdm_permutation_test(SUBJECTS, MODELS[0], "pearson", 9, RNG(s)).null,
    "region_table": lambda s: geometry.region_table({"it": SUBJECTS}, np.abs(X[:12]), 9, s)["null_mean"],
    "reproducible_dimensions": lambda s: geometry.reproducible_dimensions(
        [np.abs(X), np.abs(X[:, ::-1] + 0.5 * Y)], 0.1, RNG(s)
    ),
    "rotated_copy": lambda s: geometry.rotated_copy(X, RNG(s), Y),
    "score_combinations": lambda s: geometry.score_combinations(
        {"it": SUBJECTS[:, None]}, {("net", "all"): geometry.FlexibleModel(MODELS)}, "pearson", 5, 3, s
    )[["se", "null_mean"]],
    "score_dynamics": lambda s: geometry.score_dynamics(
        {"a": NEURAL[..., 0]}, NEURAL, VISIBLE, ridge(), folds=3, min_reliability=-2, n_permutations=9, seed=s
    ),
    "score_references": lambda s: geometry.score_references(
        {"it": SUBJECTS[:, None]}, {("net", ""): MODELS[0]}, n_boot=9, seed=s
    ).scores["se"],
    "searchlight_map": lambda s: (
        geometry.searchlight_map(
            geometry.Searchlight(X[:9], DISCS, "correlation"),
            geometry.rdm(Y[:9], "euclidean"),
            n_permutations=9,
            seed=s,
        ).largest
    ),
    "shuffled_triplets": lambda s: geometry.shuffled_triplets(TRIPLETS, RNG(s)),
    "shuffled_units": lambda s: geometry.shuffled_units(X, RNG(s)),
    "split_objects": lambda s: geometry.split_objects(TRIPLETS, 10, 0.4, RNG(s)).test,
    "split_objects_in_turn": lambda s: [x.test for x in geometry.split_objects_in_turn(TRIPLETS, 10, 0.4, 2, RNG(s))],
    "split_triplets": lambda s: geometry.split_triplets(TRIPLETS, 0.2, RNG(s)).test,
    "SparseConcepts": lambda s: concepts((s,)).fit(TRIPLETS, 10).embedding_,
    "SparseConcepts, split": lambda s: UntrainedConcepts((0.01, 0.02), seeds=(s,)).fit(TRIPLETS, 10).cv_scores_,
    "VariationalConcepts": lambda s: (
        geometry.VariationalConcepts(n_dims=3, epochs=1, least_steps=2, q=1.0, least_objects=0, seeds=(s,))
        .fit(TRIPLETS, 10)
        .embeddings_
    ),
}


def pictures_scored(seed: int, n_permutations: int = 9) -> pd.DataFrame:
    given = RNG(3).random((2, 9, 3, 12, 12))
    return statistics.reconstruction_scores(*given, n_permutations=n_permutations, seed=seed)


def drawn(seed: int) -> Any:
    return statistics.region_draws(X, Y, {"a": np.arange(6)}, n_draws=5, n_permutations=5, seed=seed)


STATISTICS: dict[str, Callable[[int], Any]] = {
    "area_map_test": lambda s: statistics.area_map_test(
        X[:, 0], {"a": Y[:, 0]}, [], np.abs(X[:, 0][:, None] - X[:, 0]), n_surrogates=19, seed=s
    )["null_sd"],
    "reconstruction_scores, intervals": lambda s: pictures_scored(s, n_permutations=0)["low"],
    "reconstruction_scores, pairs": lambda s: pictures_scored(s)["value"],
    "bootstrap": lambda s: statistics.bootstrap(X[:, 0], n_draws=50, seed=s),
    "permuted_correlations": lambda s: statistics.permuted_correlations(X, Y, 5, s).mean_r,
    "bootstrap_correlations": lambda s: statistics.bootstrap_correlations(X, Y, [np.arange(6)], n_draws=5, seed=s),
    "crossed_bootstrap": lambda s: statistics.crossed_bootstrap(
        X[:, 0], np.repeat([0, 1, 2], 8), np.tile(np.arange(8), 3), n_draws=20, seed=s
    ),
    "sign_flip_test": lambda s: statistics.sign_flip_test(X[:20] + 0.2, s)[1],
    "exchanged": lambda s: statistics.exchanged(np.arange(24) % 8, 8, np.zeros(8), 3, RNG(s)),
    "noise_ceiling": lambda s: statistics.noise_ceiling(R[:5], n_halvings=3, seed=s),
    "pairing_test": lambda s: statistics.pairing_test(X[:, :6] @ Y[:6].T @ np.eye(6), np.arange(24) % 6, seed=s),
    "exchange_features": lambda s: statistics.exchange_features(np.arange(24) % 8, np.arange(24) // 8, 3, RNG(s)),
    "permute_stimuli": lambda s: statistics.permute_stimuli(np.arange(24) % 8, np.arange(24) // 8, 3, RNG(s)),
    "permute_within": lambda s: statistics.permute_within(np.zeros(24), 3, RNG(s)),
    "region_draws, draws": lambda s: drawn(s)[0],
    "region_draws, null": lambda s: drawn(s)[1],
    "smooth_map_test": lambda s: statistics.smooth_map_test(
        X[:, :1].T, Y[:, 0], np.abs(X[:, 0][:, None] - X[:, 0]), n_surrogates=19, seed=s
    ),
    "spin_orders": lambda s: list(
        statistics.spin_orders(
            X[:, :3] / np.linalg.norm(X[:, :3], axis=1, keepdims=True), np.repeat(["L", "R"], 12), 3, seed=s
        )
    ),
    "split_half_reliability": lambda s: statistics.split_half_reliability(R[:5], 3, s),
}
