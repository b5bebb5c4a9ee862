"""Whole results of geometry as they were: triplets, concepts and alignment, of small uneven data."""

from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
from seeded.recorded import as_they_were

import brainalign.geometry as g
from brainalign.config import ConceptSettings
from brainalign.geometry import odd_one_out
from brainalign.geometry.odd_one_out import networks, triplet_splits

RNG = np.random.default_rng


class Fit:
    """Ridge with weights by group, which says a little of nothing."""

    def fit(self, x: Any, y: Any, groups: Any = None) -> "Fit":
        each = 1 + np.asarray(np.zeros(len(x)) if groups is None else groups) % 3
        self.weights = np.linalg.solve((x.T * each) @ x + 0.5 * np.eye(x.shape[1]), (x.T * each) @ y)
        return self

    def predict(self, x: Any) -> Any:
        return x @ self.weights + 0.05


TRIPLETS = np.stack([RNG(k).permutation(11)[:3] for k in range(160)])
OBJECTS = np.abs(RNG(34).normal(size=(11, 4))) * [3, 2, 1, 0.5]
SURE = RNG(35).dirichlet([0.6, 1, 2], size=160)
GROUPS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3])


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
    """Return tables of what is fitted, to shuffled_triplets, too."""
    asked = {"b": ((3, 1, 2), 0.3), "a": ((5, 4), 0.99)}
    fits = {name: g.fit_concepts(sparse, TRIPLETS[20:], 11, *one) for name, one in asked.items()}
    tests, train = {"new": TRIPLETS[:20], "all": TRIPLETS[:9]}, g.unrepeated(TRIPLETS, TRIPLETS[:20], 11)
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
    """Return tables of networks and regions, these by rdm_permutation_test."""
    wide, narrow = np.hstack([OBJECTS, np.sin(OBJECTS)]), OBJECTS[:, :2] + np.cos(OBJECTS)[:, 2:]
    layers = {("net", "b"): wide, ("other", "a"): narrow}
    shares = {"object_share": 0.4, "object_splits": 2, "folds": 3, "permutations": 19, "readout_permutations": 3}
    given = layers, OBJECTS, TRIPLETS, TRIPLETS[:70], Fit(), sparse
    with patch.object(networks, "NULL_TRIPLETS", 40):
        few = g.network_tables(*given, ConceptSettings(**shares, objects=10), 2)
    one = ConceptSettings(**shares | {"object_splits": 1}, objects=300)
    regions = {"it": g.rdm(np.stack([OBJECTS + 1, OBJECTS**2, np.sin(OBJECTS)]), "euclidean")}
    dims = np.column_stack([OBJECTS, np.ones(11)])
    return (
        few, g.network_tables(*given, one, 3), g.region_table(regions | {"v1": regions["it"][:1]}, OBJECTS, 19, 3),
        g.fit_dimensions(np.hstack([OBJECTS[:, :2], np.ones((11, 1))]), dims, Fit(), 3, 5, RNG(4)),
        g.unseen_similarities(layers["net", "b"], dims - 0.8, np.array([8, 2, 5]), Fit()),
        g.permuted_accuracies(OBJECTS @ OBJECTS.T, TRIPLETS[:9], 4, RNG(5)),
    )  # fmt: skip


def alignment_study() -> Any:
    layers = {
        ("net", "b"): OBJECTS, ("net", "c"): np.sin(OBJECTS), ("other", "a"): OBJECTS[:, ::-1] + np.cos(OBJECTS),
        ("other", "d"): np.cos(2 * OBJECTS[:, :3]), ("last", "e"): OBJECTS[:, 1:] ** 0.5,
    }  # fmt: skip
    kinds = RNG(37).permuted(RNG(36).permutation(np.unique(np.sort(TRIPLETS, axis=1), axis=0)), axis=1)
    tests = {"new": (kinds[40:50], None), "soft": (kinds[50:], SURE[: len(kinds) - 50])}
    teacher = partial(g.HumanTeacher, (0.3, 0.05), held_share=0.5, max_iterations=5)
    made = teacher, lambda n: g.HumanAlignment(n_steps=2 + n, batch_size=30, learning_rate=3e-3)
    options = {"n_clusters": 4, "n_triplets": 50, "seed": 3}
    found = g.align_networks(layers, (kinds[:40], SURE[:40]), tests, "net", *made, groups=GROUPS, **options)
    return found, [one(layers[name]) for maps in (found.aligned, found.unaligned) for name, one in maps.items()], (
        triplet_splits.check_triplets_apart(kinds[:40], {"new": kinds[40:]})
    )  # fmt: skip


test_results_of_fixed_seeds = as_they_were(splits, concepts, concept_tables, beside_people, alignment_study)
