"""Of geometry and statistics."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from brainalign import geometry, statistics
from seeded.worlds import MODELS, RNG, SUBJECTS, TRIPLETS, WORLD, X, Y, case, ridge

WORLD_FEATURES = WORLD.normal(size=(10, 6))
DISCS = geometry.Neighbourhoods(np.arange(2), csr_array(np.repeat(np.eye(2), 3, axis=1)))
ALL_OF_THEM = np.arange(4)[None], np.arange(12)[None]
FLEXIBLE = geometry.FlexibleModel(MODELS)
TWO = {("a", "1"): X, ("b", "1"): Y}
SEARCH = geometry.Searchlight(X[:9], DISCS, "correlation"), geometry.rdm(Y[:9], "euclidean")
TEACHER = {"penalties": (0.1, 1.0), "held_share": 0.5, "max_iterations": 3}
COMBINED = {"it": SUBJECTS[:, None]}, {("net", "all"): FLEXIBLE}, "pearson", 5, 3
GEOMETRY: dict[str, Callable[[int], Any]] = {
    "HumanTeacher": lambda s: geometry.HumanTeacher(**TEACHER, seed=s).fit(WORLD_FEATURES, TRIPLETS).held_out_,
    "rotated_copy": lambda s: geometry.rotated_copy(X, RNG(s), Y),
    "score_combinations": lambda s: geometry.score_combinations(*COMBINED, s)[["se", "null_mean"]],
}
GEOMETRY |= [
    case(geometry.compare_checkpoints, {"a": X[None, :12]}, {"b": SUBJECTS[0]}, [1], n_permutations=19, look="p"),
    case(geometry.compare_dimensions, {"a": X}, ("participation ratio",), 15, draws=2),
    case(geometry.compare_networks, TWO, ("predicts",), draws=1, regressor=ridge(), part="folds", look="value"),
    case(geometry.dependence_test, X[:, 0], Y[:, 0], 29, step=0.5, look="z"),
    case(geometry.flexible_bootstrap, SUBJECTS, [FLEXIBLE], "pearson", draws=ALL_OF_THEM, look="draws"),
    case(geometry.flexible_permutation_test, SUBJECTS, FLEXIBLE, "pearson", 3, n_divisions=2, look="null"),
    case(geometry.flexible_score, SUBJECTS, FLEXIBLE, "pearson", n_divisions=2),
    case(geometry.check_odd_last, TRIPLETS, 10),
    case(geometry.rdm_partial_test, SUBJECTS, MODELS[0], MODELS[1:], "pearson", 9, look="null"),
    case(geometry.score_references, COMBINED[0], {("net", ""): MODELS[0]}, n_boot=9, look="scores.se"),
    case(geometry.searchlight_map, *SEARCH, n_permutations=9, look="largest"),
]


def pictures_scored(seed: int, n_permutations: int = 9) -> pd.DataFrame:
    return statistics.reconstruction_scores(*RNG(3).random((2, 9, 3, 12, 12)), n_permutations=n_permutations, seed=seed)


PLACES = X[:, :3] / np.linalg.norm(X[:, :3], axis=1, keepdims=True)
APART = np.abs(X[:, 0][:, None] - X[:, 0])
STATISTICS: dict[str, Callable[[int], Any]] = {
    "reconstruction_scores, intervals": lambda s: pictures_scored(s, n_permutations=0)["low"],
    "reconstruction_scores, pairs": lambda s: pictures_scored(s)["value"],
    "sign_flip_test": lambda s: statistics.sign_flip_test(X[:20] + 0.2, s)[1],
}
STATISTICS |= [
    case(statistics.area_map_test, X[:, 0], {"a": Y[:, 0]}, [], APART, n_surrogates=19, look="null_sd"),
    case(statistics.noise_ceiling, Y.reshape(4, 6, 6), n_halvings=3),
    case(statistics.permute_stimuli, np.arange(24) % 8, np.arange(24) // 8, 3),
    case(statistics.spin_orders, PLACES, np.repeat(["L", "R"], 12), 3),
]
