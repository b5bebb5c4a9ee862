import copy
from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch
from refusals import refused
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

import brainalign.geometry as g
from brainalign.geometry.odd_one_out import log_choices
from brainalign.geometry.odd_one_out.alignment_study import _over_objects
from brainalign.regression import Ridge
from brainalign.simulation import concept_world


def drawn(n: int, n_triplets: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(n, 3, replace=False) for _ in range(n_triplets)])


def features(n: int = 30, p: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, p)) + 3


def test_divergences_by_hand() -> None:
    p, q = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]), np.array([[0.2, 0.2, 0.6], [0.2, 0.3, 0.5]])
    tensors = torch.from_numpy(q).log(), torch.from_numpy(p)
    assert float(g.DIVERGENCES["kl"](*tensors)) == pytest.approx(rel_entr(p, q).sum() / 2)
    assert float(g.DIVERGENCES["jsd"](*tensors)) == pytest.approx((jensenshannon(p, q, axis=1) ** 2).mean())
    opposite = torch.tensor([[1.0, 0, 0]]).double(), torch.tensor([[0, 0, 1.0]]).double()
    assert float(g.DIVERGENCES["jsd"](opposite[0].clamp(1e-300).log(), opposite[1])) == pytest.approx(np.log(2))


def test_the_temperature_of_given_choices_is_found() -> None:
    similarities, triplets = g.object_similarities(features()), drawn(30, 500)
    p = g.choice_probabilities(similarities / 3.7, triplets)
    assert g.choice_temperature(similarities, triplets, p) == pytest.approx(3.7, rel=1e-4)
    # Of choices that have nothing to do with it, the entropy is as good as that of no choice.
    useless = g.choice_temperature(similarities, np.random.default_rng(1).permuted(triplets, axis=1))
    assert g.choice_entropy(g.choice_probabilities(similarities / useless, triplets)).mean() > 0.97 * np.log(3)
    refused("equally similar", g.choice_temperature, np.ones((30, 30)), triplets)
    of_tensors = log_choices(torch.from_numpy(similarities / 3.7), torch.from_numpy(triplets)).exp()
    np.testing.assert_allclose(of_tensors.numpy(), p, atol=1e-12)
    np.testing.assert_allclose(g.choice_entropy(np.array([[1, 0, 0], [1, 1, 1] / np.float64(3)])), [0, np.log(3)])
    several, shares = g.judged_shares(np.array([[0, 1, 2], [1, 0, 2], [2, 1, 0], [3, 4, 5], [0, 1, 5], [5, 1, 0]]))
    assert several.tolist() == [[1, 0, 2], [1, 0, 5]]
    np.testing.assert_allclose(shares, [[0, 1 / 3, 2 / 3], [0, 1 / 2, 1 / 2]])


@pytest.mark.parametrize("level", ["fine", "boundary", "coarse"])
def test_triplets_are_of_their_level(level: str) -> None:
    groups = np.array(["a"] * 5 + ["b"] * 3 + ["c"] + ["d"] * 3)
    triplets = g.draw_triplets(groups, 2000, np.random.default_rng(0), level)
    assert set(g.triplet_levels(triplets, groups)) == {level}
    assert (np.diff(np.sort(triplets, axis=1), axis=1) > 0).all()
    if level == "boundary":
        assert (groups[triplets[:, 0]] == groups[triplets[:, 1]]).all()
    first = np.unique(groups[triplets[:, 0]], return_counts=True)[1] / 2000
    np.testing.assert_allclose(first, 1 / len(first), atol=0.04)  # groups, not objects, are equally probable
    assert level == "fine" or set(triplets[:, 2]) == set(range(12))
    groups = np.repeat(np.arange(4), 10)
    found = g.cluster_objects(8 * np.eye(4)[groups] + 0.1 * features(40, 4), 4)
    assert len({*zip(groups.tolist(), found.tolist(), strict=True)}) == 4


def test_the_penalty_is_chosen_on_other_objects() -> None:
    x, triplets = features(40), drawn(40, 1500)
    noise = np.random.default_rng(3).permuted(triplets, axis=1)
    assert g.HumanTeacher(penalties=(1e-4, 10.0)).fit(x, noise).penalty_ == 10.0
    y = x * [1, 1, 1, 1, 0, 0, 0, 0]
    p = g.choice_probabilities(g.object_similarities(y - y.mean(axis=0)), triplets)
    fitted = g.HumanTeacher(penalties=(1e-4, 10.0)).fit(x, triplets, p)
    assert fitted.penalty_ == 1e-4
    assert fitted.held_out_[1e-4] < fitted.held_out_[10.0]


def test_bad_input() -> None:
    (x, triplets), rng = (features(), drawn(30, 300)), np.random.default_rng(0)
    refused("got 2 groups, the largest of 2 objects", g.draw_triplets, np.array([0, 0, 1]), 5, rng, "coarse")
    refused("got 3 groups, the largest of 1 objects", g.draw_triplets, np.arange(3), 5, rng)
    refused("level must be one of", g.draw_triplets, np.arange(3), 5, rng, "middling")
    refused("30 clusters of 30 objects", g.cluster_objects, x, 30)
    sizes = {"n_clusters": 4, "n_triplets": 60, "groups": None, "seed": 3}
    given = ({("net", "wide"): np.zeros((3, 4097))}, (drawn(30, 90), None), {}, "net", g.HumanTeacher, g.HumanAlignment)
    refused("layer .wide. of .net. has 4097 features; .* more than 4096", g.align_networks, *given, **sizes)
    teach, align = g.HumanTeacher().fit, g.HumanAlignment().fit
    refused("same features", teach, np.ones((30, 4)), triplets)
    refused("no distribution", teach, x, triplets, np.ones((300, 3)))
    refused("probabilities has 299 rows but triplets has 300", teach, x, triplets, np.full((299, 3), 1 / 3))
    refused("numbered from 0 to 19", teach, x[:20], triplets)
    fitted = g.HumanTeacher(penalties=(1.0,), max_iterations=1).fit(x, triplets)
    refused(r"shape \(\d+, 7\) but the teacher was fitted on 8 features", fitted.transform, x[:, 1:])
    for wrong in ({"penalties": ()}, {"local_weight": -1}, {"held_share": 1.0}, {"max_iterations": 0}):
        refused(next(iter(wrong)), g.HumanTeacher, **wrong)
    x, triplets, p = student_case()
    refused("no weights", align, torch.nn.Flatten(), x, triplets, p)
    layers = torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.Unflatten(1, (2, 6)))
    refused(r"features of shape \(40, 2, 6\)", align, layers, x, triplets, p)
    refused("divergence must be one of 'jsd', 'kl'; got 'l2'", g.HumanAlignment, "l2")
    for wrong in ({"temperature": 0.0}, {"decay": -1}, {"n_steps": 0}, {"learning_rate": 0}):
        refused(next(iter(wrong)), g.HumanAlignment, **wrong)


def student_case(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, triplets = features(40, 6, seed), drawn(40, 400, seed)
    y = x * [3, 1, 1, 0.2, 0.2, 0.2]
    return x, triplets, g.choice_probabilities(g.object_similarities(y - y.mean(axis=0)), triplets)


def test_a_student_becomes_like_its_teacher() -> None:
    x, triplets, p = student_case()

    def fitted(inputs: np.ndarray | torch.Tensor, n_steps: int) -> g.HumanAlignment:
        return g.HumanAlignment(n_steps=n_steps, learning_rate=3e-2, decay=0).fit(g.affine_head(6), inputs, triplets, p)

    of_array, of_tensor = fitted(x, 800), fitted(torch.from_numpy(x), 20)
    assert of_array.losses_[-20:].mean() < 0.1 * of_array.losses_[:20].mean()
    np.testing.assert_allclose(of_array.choices(x, triplets), p, atol=0.1)
    np.testing.assert_array_equal(of_tensor.losses_, of_array.losses_[:20])
    p = g.choice_probabilities(g.object_similarities(x - x[np.unique(triplets)].mean(axis=0)) / 2, triplets)
    own = g.HumanAlignment(n_steps=30, learning_rate=1e-4).fit(g.affine_head(6), x, triplets, p)  # its own: it stays
    assert own.temperature_ == pytest.approx(2, rel=1e-3)
    np.testing.assert_array_less(own.losses_[[0, -1]], [1e-6, 1e-4])


def test_scores_of_who_knows_everything_and_of_who_knows_nothing() -> None:
    similarities = g.object_similarities(features(30, 3))
    triplets, groups = drawn(30, 900), np.arange(30) // 10
    p = g.choice_probabilities(similarities, triplets)
    known = {score.level: score for score in g.score_alignment(similarities, triplets, p, groups)}
    assert list(known) == ["all", "fine", "boundary", "coarse"]
    assert sum(score.n_triplets for score in known.values()) == 2 * 900
    for score in known.values():
        assert (score.accuracy, score.divergence) == (pytest.approx(score.ceiling), pytest.approx(0, abs=1e-12))
        assert score.uncertainty_r == pytest.approx(1)
    (nothing,) = g.score_alignment(np.zeros((30, 30)), triplets, p)
    assert nothing.accuracy == pytest.approx(1 / 3)
    (judged,) = g.score_alignment(similarities, triplets)
    assert np.isnan([nothing.uncertainty_r, judged.ceiling, judged.uncertainty_r]).all()
    times = 3 * g.choice_entropy(p)
    assert g.score_alignment(similarities, triplets, uncertainty=times)[0].uncertainty_r == pytest.approx(1)
    both = np.vstack([triplets, triplets[:, ::-1]])  # judged twice: equal but for rounding
    twice = g.score_alignment(similarities, both, uncertainty=np.tile(times, 2))[0]
    assert twice.uncertainty_r == pytest.approx(1, abs=1e-9)
    refused("uncertainty has 3 rows", g.score_alignment, similarities, triplets, uncertainty=times[:3])
    refused("groups has 29 rows", g.score_alignment, similarities, triplets, groups=groups[1:])


def test_the_error_of_a_gain_is_that_of_new_objects_and_choices(rng: np.random.Generator) -> None:
    means, errors = [], []
    for seed in range(200):
        triplets = drawn(40, 400, seed)
        gain = rng.normal(size=40)[triplets].sum(axis=1) + 8 * rng.normal(size=400)
        means.append(gain.mean())
        errors.append(_over_objects(gain, triplets))
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(np.std(means), rel=0.15)
    assert 0.9 <= (np.abs(means) < 1.96 * np.array(errors)).mean() < 0.99  # all, were objects drawn
    assert np.isnan(_over_objects(np.ones(2), np.array([[0, 1, 2], [2, 3, 4]])))  # no two are independent


def test_a_teacher_minimises_its_loss() -> None:
    """The gradient of the loss as written down is 0 at what was found; objects in no triplet are not looked at."""
    x, triplets = features(30, 5), drawn(25, 300)
    p = g.choice_probabilities(g.object_similarities((x - x.mean(axis=0)) * [3, 1, 1, 0.2, 0.2]), triplets)
    teacher = g.HumanTeacher((0.02,), local_weight=0.3, local_temperature=0.4).fit(x, triplets, p)
    centred = x[:25] - x[:25].mean(axis=0)
    np.testing.assert_allclose(teacher.centre_, x[:25].mean(axis=0))
    assert teacher.scale_ == pytest.approx(np.sqrt((centred**2).sum() / 25))
    standard, target = torch.from_numpy(centred / teacher.scale_), torch.from_numpy(p)

    def neighbours(values: torch.Tensor) -> torch.Tensor:
        unit = values / values.norm(dim=1, keepdim=True)
        return (unit @ unit.T / 0.4)[~torch.eye(25, dtype=torch.bool)].view(25, 24).log_softmax(dim=1)

    def loss(weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        aligned = standard @ weight.T + bias
        choices = log_choices(aligned @ aligned.T, torch.from_numpy(triplets))
        apart, before = weight - weight.diagonal().mean() * torch.eye(5), neighbours(standard)
        kept = (before.exp() * (before - neighbours(aligned))).sum(dim=1).mean()
        people = (target * (target.log() - choices)).sum(dim=1).mean()
        return people + 0.02 * ((apart**2).sum() + (bias**2).sum()) + 0.3 * kept

    found = tuple(torch.from_numpy(part.copy()).requires_grad_() for part in (teacher.weight_, teacher.bias_))
    assert max(gradient.abs().max() for gradient in torch.autograd.grad(loss(*found), found)) < 1e-4
    assert loss(*found) < loss(torch.eye(5).double(), torch.zeros(5).double())


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


def test_ties_share_the_prediction_probabilities_are_a_softmax_and_ceilings_by_hand() -> None:
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
    found = g.repeated_ceilings(np.array([[0, 1, 2], [1, 0, 2], [0, 1, 2], [2, 1, 0]]), 3)  # three say 2, one says 0
    assert found.accuracy_high == 0.75
    assert (found.accuracy_low, found.agreement) == pytest.approx((3 / 4, 3 / 6))  # of three by the others, not of one
    two = g.repeated_ceilings(np.array([[0, 1, 2], [0, 2, 1]]), 3)
    assert (two.accuracy_low, two.accuracy_high, two.agreement) == (0, 0.5, 0)
    refused("none of 2 triplets was judged twice", g.repeated_ceilings, np.array([[0, 1, 2], [1, 2, 3]]), 4)


def test_copies_of_a_triplet_stay_together(rng: np.random.Generator) -> None:
    triplets = np.concatenate([WORLD.triplets, g.shuffled_triplets(WORLD.triplets[:700], rng), WORLD.repeats])
    split, keys = g.split_triplets(triplets, 0.2, rng), g.triplet_keys(triplets)
    assert not np.intersect1d(keys[split.train], keys[split.test]).size
    assert len(split.train) + len(split.test) == len(triplets)
    kept = g.unrepeated(triplets, WORLD.repeats, 24)
    assert len(kept) == 2200
    np.testing.assert_array_equal(kept[:1500], WORLD.triplets)
    refused("leaves one side empty", g.split_triplets, triplets[:3], 0.01, rng)


def test_unseen_objects_are_in_no_training_triplet(rng: np.random.Generator) -> None:
    split = g.split_objects(WORLD.triplets, 24, 0.4, np.random.default_rng(0))
    assert not np.isin(WORLD.triplets[split.train], split.unseen).any()
    assert np.isin(WORLD.triplets[split.test], split.unseen).all()
    assert len(split.unseen) == 10
    thirty = np.random.default_rng(1).permuted(np.tile(np.arange(30), (4000, 1)), axis=1)[:, :3]
    assert [len(one.unseen) for one in g.split_objects_in_turn(thirty, 30, 0.25, 4, rng)] == [7] * 4  # of 7.5
    in_turn = g.split_objects_in_turn(WORLD.triplets, 24, 0.25, 4, np.random.default_rng(0))
    assert sorted(np.concatenate([split.unseen for split in in_turn])) == list(range(24))
    refused("5 splits with 6 of 24 objects", g.split_objects_in_turn, WORLD.triplets, 24, 0.25, 5, rng)
    refused("choose another share", g.split_objects, WORLD.triplets, 24, 0.05, rng)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_odd_column_is_found(place: int, rng: np.random.Generator) -> None:
    moved = WORLD.triplets[:, [[2, 0, 1], [0, 2, 1], [0, 1, 2]][place]]
    assert g.odd_column_shares(moved, 24, rng).argmax() == place
    np.testing.assert_array_equal(*(g.spectral_similarities(some, 24) for some in (moved, moved.astype(np.uint8))))
    shares = g.odd_column_shares(moved, 24, rng, TRUE)
    assert shares.argmax() == place
    assert shares[place] == pytest.approx(g.odd_one_out_accuracy(TRUE, WORLD.triplets))


def test_dimensions_are_found_again_whatever_their_order(rng: np.random.Generator) -> None:
    embeddings = []
    for _ in range(5):
        noisy = WORLD.embedding + 0.1 * rng.random(WORLD.embedding.shape)
        embeddings.append(np.hstack([noisy, rng.random((24, 2))])[:, rng.permutation(5)])
    found = g.reproducible_dimensions(embeddings)
    assert found.reproducible.sum() == 3
    r, partner = g.match_dimensions(WORLD.embedding, embeddings[found.reference][:, found.reproducible])
    assert r.min() > 0.95
    assert sorted(partner) == [0, 1, 2]
    assert found.r[~found.reproducible].max() < 0.6
    # A start with fewer dimensions finds nothing of the others.
    fewer = g.reproducible_dimensions([WORLD.embedding, WORLD.embedding[:, :1]])
    assert sorted(fewer.r.round(6)) in ([1.0], [0.0, 0.0, 1.0])
    refused("2 or more starts", g.reproducible_dimensions, [WORLD.embedding])
    # Nor is it the reference, though all that it has is found again.
    noisy = [np.where(rng.random((24, 3)) < 0.1, 0, WORLD.embedding) for _ in range(4)]
    assert g.reproducible_dimensions([noisy[0][:, :1], *noisy]).reference > 0
    # Among many random dimensions chance matches are high where they were made, and not on the other half.
    random = [rng.random((24, 40)) for _ in range(3)]
    assert g.match_dimensions(random[0], random[1])[0].mean() > 0.4
    assert g.reproducible_dimensions(random).r.mean() < 0.3


@pytest.mark.parametrize("kind", ["sparse", "variational"])
def test_an_embedding_is_that_of_its_seed(kind: str) -> None:
    """Starts together are the same as alone; objects never shown are 0 and marked; few objects keep dimensions."""
    triplets = WORLD.triplets[(WORLD.triplets != 5).all(axis=1)]
    make = partial(g.CONCEPT_METHODS[kind], n_dims=8, least_steps=0, batch_size=500)
    own = {"alphas": (0.04,)} if kind == "sparse" else {"epochs": 100}
    both, alone = (make(seeds=seeds, **own).fit(triplets, 24) for seeds in ((3, 4), (4,)))
    np.testing.assert_allclose(both.embeddings_[1], alone.embedding_, atol=1e-4)
    assert both.embedding_.min() >= 0
    assert (np.diff(both.embedding_.sum(axis=0)) <= 0).all()
    np.testing.assert_array_equal(both.seen_, np.arange(24) != 5)
    assert not both.embedding_[5].any()
    if kind == "variational":  # nothing but the prior says where the object is that nobody saw
        assert np.abs(both.location_[5]).max() < 0.3
        assert 0.25 < both.scale_[5].min() < both.scale_[5].max() < 1.0
        few = g.VariationalConcepts(seeds=(0, 1)).fit(WORLD.triplets, 24).embeddings_
        assert sum((g.match_dimensions(WORLD.embedding, one)[0] > 0.75).sum() for one in few) >= 4
    assert g.odd_one_out_accuracy(g.object_similarities(both.embedding_), WORLD.repeats) > 0.45


def test_readouts_and_their_nulls(rng: np.random.Generator) -> None:
    regressor = Ridge(np.logspace(-2, 4, 7), cv=3, dtype="float64")
    with_nothing = np.hstack([WORLD.embedding, rng.random((24, 1)), np.ones((24, 1))])
    again, found = copy.deepcopy(rng), g.fit_dimensions(WORLD.features, with_nothing, regressor, 4, 19, rng)
    assert found.r2[:3].min() > 0.9
    assert found.p[:3].max() == 1 / 20 < found.p[3]
    assert found.null.shape == (19, 5)
    rescaled = g.fit_dimensions(1e-3 * WORLD.features, with_nothing, regressor, 4, 19, again)
    np.testing.assert_allclose(rescaled.r2, found.r2)
    assert np.isnan([found.r2[4], found.p[4]]).all()
    similarities = g.unseen_similarities(WORLD.features, WORLD.embedding, np.arange(8), regressor)
    of_unseen = WORLD.triplets[(WORLD.triplets < 8).all(axis=1)]
    assert g.odd_one_out_accuracy(similarities, of_unseen) > g.odd_one_out_accuracy(TRUE, of_unseen) - 0.15
    assert not similarities[8:].any()
    null = g.permuted_accuracies(TRUE, WORLD.triplets, 50, rng)
    assert abs(null.mean() - 1 / 3) < 4 * null.std() / np.sqrt(50)
    assert null.max() < g.odd_one_out_accuracy(TRUE, WORLD.triplets)


def test_regions_beside_judgements_and_choices_without_ceilings(rng: np.random.Generator) -> None:
    i, j = np.triu_indices(24, 1)
    fits = -TRUE[i, j] + 0.1 * rng.normal(size=(3, len(i)))
    found = g.region_table({"fits": fits, "noise": rng.normal(size=(3, len(i)))}, WORLD.embedding, 99, 4)
    assert found["score"][0] > 0.8
    assert found["p"].tolist()[0] == 0.01 < 0.05 < found["p"][1]
    train, tests = WORLD.triplets[:900], {"triplets": WORLD.triplets[900:], "repeated": WORLD.repeats}
    without = g.choice_table({}, train, {"triplets": tests["triplets"]}, 24, None)
    assert without["kind"].tolist() == ["baseline"]
    uneven = np.concatenate([tests["repeated"], np.repeat(tests["repeated"][:1], 40, axis=0)])
    ceilings = g.repeated_ceilings(uneven, 24)
    again = g.choice_table({}, train, {"repeated": uneven}, 24, ceilings, WORLD.embedding).iloc[-1]
    assert again["n_triplets"] == ceilings.n_triplets == 60
    assert again["accuracy"] == g.odd_one_out_accuracy(TRUE, *g.judged_shares(uneven)) <= ceilings.accuracy_high
    assert without[["ceiling_low", "ceiling_high", "share_low", "share_high"]].isna().all(axis=None)
    every, rows = np.array(list(combinations(range(24), 3))), []
    for _ in range(100):  # the error of triplets judged five times, beside what it is of
        order = rng.permutation(len(every))[:360]
        judged = np.repeat(every[order[300:]], 5, axis=0)
        pull = np.log(g.choice_probabilities(TRUE, judged)) + rng.gumbel(size=(300, 3))  # the largest is chosen
        judged = np.take_along_axis(judged, pull.argsort(axis=1), axis=1)
        rows.append(g.choice_table({}, every[order[:300]], {"repeated": judged}, 24, None, WORLD.embedding).iloc[-1])
    assert np.mean([row["se"] for row in rows]) == pytest.approx(np.std([row["accuracy"] for row in rows]), rel=0.2)
    shared = {"a": WORLD.triplets[899:]}
    refused("1 of 601 triplets of the split .a. are trained on", g.choice_table, {}, train, shared, 24, None)
