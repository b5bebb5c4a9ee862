import copy
from functools import partial

import numpy as np
import pytest
from refusals import refused

import brainalign.geometry as g
from brainalign.regression import Ridge
from brainalign.simulation import concept_world

WORLD = concept_world(24, 3, 1500, n_repeated=60, n_people=8, seed=2)
TRUE = g.object_similarities(WORLD.embedding)


def test_bad_triplets_are_refused_by_name() -> None:
    refused(r"same object twice \(first: row 1, \[3, 0, 3\]\)", g.check_triplets, np.array([[0, 1, 2], [3, 0, 3]]), 4)
    refused(r"1 to 4, but the 4 objects are numbered from 0 to 3; subtract", g.check_triplets, np.array([[1, 2, 4]]), 4)
    for wrong in (np.zeros((0, 3), int), np.array([[0.0, 1, 2]]), np.array([0, 1, 2]), np.array([[0, 1]])):
        refused("whole numbers of shape", g.check_triplets, wrong, 4)
    refused("goes through object_similarities first", g.odd_one_out_accuracy, WORLD.embedding, WORLD.triplets)
    for wrong in ({"alphas": ()}, {"alphas": (-1.0,)}, {"seeds": ()}, {"seeds": (1, 1)}, {"n_dims": 0}):
        refused(r"alphas must|different seeds", g.SparseConcepts(**wrong).fit, WORLD.triplets, 24)
    refused("0 < spike < slab", g.VariationalConcepts(spike=2.0).fit, WORLD.triplets, 24)
    refused("have 56 triplets; asked for 57", concept_world, 8, 2, 57)


def test_ties_share_the_prediction_and_probabilities_are_a_softmax() -> None:
    triplets = np.array([[0, 1, 2], [1, 2, 0]])
    assert g.odd_one_out_accuracy(np.zeros((3, 3)), triplets) == pytest.approx(1 / 3)  # an argmax would call it 1
    similarities = np.array([[9, 1, 1], [1, 9, 0], [1, 0, 9.0]])
    assert g.odd_one_out_accuracy(similarities, triplets) == pytest.approx(0.25)  # a half and nothing
    p = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    # Pairs (0, 1) and (0, 2) tie: of the first triplet 2 or 1 is odd; of the second, columns 0 and 1.
    assert g.odd_one_out_accuracy(similarities, triplets, p) == pytest.approx(((0.3 + 0.5) / 2 + (0.1 + 0.1) / 2) / 2)
    p = g.choice_probabilities(TRUE, WORLD.triplets)
    np.testing.assert_allclose(p, WORLD.probabilities, atol=1e-12)
    a, b, c = WORLD.embedding[WORLD.triplets[0]]
    raised = np.exp([b @ c, a @ c, a @ b])
    np.testing.assert_allclose(p[0], raised / raised.sum())


def test_ceilings_by_hand() -> None:
    four = np.array([[0, 1, 2], [1, 0, 2], [0, 1, 2], [2, 1, 0]])  # three say 2, one says 0
    found = g.repeated_ceilings(four, 3)
    assert found.accuracy_high == 0.75
    assert found.accuracy_low == pytest.approx(3 / 4)  # the three are predicted by the others, the one is not
    assert found.agreement == pytest.approx(3 / 6)
    two = g.repeated_ceilings(np.array([[0, 1, 2], [0, 2, 1]]), 3)
    assert (two.accuracy_low, two.accuracy_high, two.agreement) == (0, 0.5, 0)
    refused("none of 2 triplets was judged twice", g.repeated_ceilings, np.array([[0, 1, 2], [1, 2, 3]]), 4)


def test_copies_of_a_triplet_stay_together() -> None:
    rng = np.random.default_rng(0)
    triplets = np.concatenate([WORLD.triplets, g.shuffled_triplets(WORLD.triplets[:700], rng), WORLD.repeats])
    split = g.split_triplets(triplets, 0.2, rng)
    keys = g.triplet_keys(triplets)
    assert not np.intersect1d(keys[split.train], keys[split.test]).size
    assert len(split.train) + len(split.test) == len(triplets)
    kept = g.unrepeated(triplets, WORLD.repeats, 24)
    assert len(kept) == 2200
    np.testing.assert_array_equal(kept[:1500], WORLD.triplets)
    refused("leaves one side empty", g.split_triplets, triplets[:3], 0.01, rng)


def test_unseen_objects_are_in_no_training_triplet() -> None:
    split = g.split_objects(WORLD.triplets, 24, 0.4, np.random.default_rng(0))
    assert not np.isin(WORLD.triplets[split.train], split.unseen).any()
    assert np.isin(WORLD.triplets[split.test], split.unseen).all()
    assert len(split.unseen) == 10
    in_turn = g.split_objects_in_turn(WORLD.triplets, 24, 0.25, 4, np.random.default_rng(0))
    assert sorted(np.concatenate([split.unseen for split in in_turn])) == list(range(24))
    rng = np.random.default_rng(0)
    refused("5 splits with 6 of 24 objects", g.split_objects_in_turn, WORLD.triplets, 24, 0.25, 5, rng)
    refused("choose another share", g.split_objects, WORLD.triplets, 24, 0.05, rng)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_odd_column_is_found(place: int) -> None:
    moved = WORLD.triplets[:, [[2, 0, 1], [0, 2, 1], [0, 1, 2]][place]]
    rng = np.random.default_rng(0)
    assert g.odd_column_shares(moved, 24, rng).argmax() == place
    shares = g.odd_column_shares(moved, 24, rng, TRUE)
    assert shares.argmax() == place
    assert shares[place] == pytest.approx(g.odd_one_out_accuracy(TRUE, WORLD.triplets))


def test_dimensions_are_found_again_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    embeddings = []
    for _ in range(5):
        noisy = WORLD.embedding + 0.1 * rng.random(WORLD.embedding.shape)
        embeddings.append(np.hstack([noisy, rng.random((24, 2))])[:, rng.permutation(5)])
    found = g.reproducible_dimensions(embeddings)
    assert found.reproducible.sum() == 3
    best = embeddings[found.reference][:, found.reproducible]
    r, partner = g.match_dimensions(WORLD.embedding, best)
    assert r.min() > 0.95
    assert sorted(partner) == [0, 1, 2]
    assert found.r[~found.reproducible].max() < 0.6
    # A start with fewer dimensions finds nothing of the others.
    fewer = g.reproducible_dimensions([WORLD.embedding, WORLD.embedding[:, :1]])
    assert sorted(fewer.r.round(6)) in ([1.0], [0.0, 0.0, 1.0])
    refused("2 or more starts", g.reproducible_dimensions, [WORLD.embedding])
    # Among many random dimensions chance matches are high where they were made, and not on the other half.
    random = [rng.random((24, 40)) for _ in range(3)]
    assert g.match_dimensions(random[0], random[1])[0].mean() > 0.4
    assert g.reproducible_dimensions(random).r.mean() < 0.3


@pytest.mark.parametrize("kind", ["sparse", "variational"])
def test_an_embedding_is_that_of_its_seed(kind: str) -> None:
    """Starts are trained together and are the same as alone; objects that were never shown are 0 and marked."""
    triplets = WORLD.triplets[(WORLD.triplets != 5).all(axis=1)]
    options = {"n_dims": 8, "least_steps": 0, "batch_size": 500}
    sparse = kind == "sparse"
    make = partial(g.SparseConcepts if sparse else g.VariationalConcepts, **options)
    own = {"alphas": (0.04,)} if sparse else {"epochs": 100, "least_objects": 3}
    both, alone = (make(seeds=seeds, **own).fit(triplets, 24) for seeds in ((3, 4), (4,)))
    np.testing.assert_allclose(both.embeddings_[1], alone.embedding_, atol=1e-4)
    assert both.embedding_.min() >= 0
    assert (np.diff(both.embedding_.sum(axis=0)) <= 0).all()
    np.testing.assert_array_equal(both.seen_, np.arange(24) != 5)
    assert not both.embedding_[5].any()
    if not sparse:  # nothing but the prior says where the object is that nobody saw
        assert np.abs(both.location_[5]).max() < 0.3
        assert 0.25 < both.scale_[5].min() < both.scale_[5].max() < 1.0
    assert g.odd_one_out_accuracy(g.object_similarities(both.embedding_), WORLD.repeats) > 0.45


def test_readouts_and_their_nulls() -> None:
    rng = np.random.default_rng(0)
    regressor = Ridge(np.logspace(-2, 4, 7), cv=3, dtype="float64")
    with_nothing = np.hstack([WORLD.embedding, rng.random((24, 1)), np.ones((24, 1))])
    again = copy.deepcopy(rng)
    found = g.fit_dimensions(WORLD.features, with_nothing, regressor, 4, 19, rng)
    assert found.r2[:3].min() > 0.9
    assert found.p[:3].max() == 1 / 20 < found.p[3]
    assert found.null.shape == (19, 5)
    rescaled = g.fit_dimensions(1e-3 * WORLD.features, with_nothing, regressor, 4, 19, again)
    np.testing.assert_allclose(rescaled.r2, found.r2)
    assert np.isnan([found.r2[4], found.p[4]]).all()
    similarities = g.unseen_similarities(WORLD.features, WORLD.embedding, np.arange(8), regressor)
    of_unseen = WORLD.triplets[(WORLD.triplets < 8).all(axis=1)]
    best = g.odd_one_out_accuracy(TRUE, of_unseen)
    assert g.odd_one_out_accuracy(similarities, of_unseen) > best - 0.15
    assert not similarities[8:].any()
    null = g.permuted_accuracies(TRUE, WORLD.triplets, 50, rng)
    assert abs(null.mean() - 1 / 3) < 4 * null.std() / np.sqrt(50)
    assert null.max() < g.odd_one_out_accuracy(TRUE, WORLD.triplets)


def test_regions_beside_judgements_and_choices_without_ceilings() -> None:
    i, j = np.triu_indices(24, 1)
    rng = np.random.default_rng(0)
    fits = -TRUE[i, j] + 0.1 * rng.normal(size=(3, len(i)))
    found = g.region_table({"fits": fits, "noise": rng.normal(size=(3, len(i)))}, WORLD.embedding, 99, 4)
    assert found["score"][0] > 0.8
    assert found["p"].tolist()[0] == 0.01 < 0.05 < found["p"][1]
    train, tests = WORLD.triplets[:900], {"triplets": WORLD.triplets[900:], "repeated": WORLD.repeats}
    without = g.choice_table({}, train, {"triplets": tests["triplets"]}, 24, None)
    assert without["kind"].tolist() == ["baseline"]
    assert without[["ceiling_low", "ceiling_high", "share_low", "share_high"]].isna().all(axis=None)
    shared = {"a": WORLD.triplets[899:]}
    refused("1 of 601 triplets of the split .a. are trained on", g.choice_table, {}, train, shared, 24, None)
