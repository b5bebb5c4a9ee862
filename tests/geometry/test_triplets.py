"""Triplets by hand: accuracy with ties, two ceilings, splits that leak nothing, dimensions found again."""

import copy
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from scipy.stats import norm

import brainalign.geometry as g
from brainalign.config import ConceptSettings
from brainalign.geometry.odd_one_out import networks
from brainalign.regression import Ridge
from brainalign.simulation import concept_world
from brainalign.statistics import fdr

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


def test_ties_share_the_prediction() -> None:
    triplets = np.array([[0, 1, 2], [1, 2, 0]])
    assert g.odd_one_out_accuracy(np.zeros((3, 3)), triplets) == pytest.approx(1 / 3)  # an argmax would call it 1
    similarities = np.array([[9, 1, 1], [1, 9, 0], [1, 0, 9.0]])
    assert g.odd_one_out_accuracy(similarities, triplets) == pytest.approx(0.25)  # a half and nothing
    p = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    # Pairs (0, 1) and (0, 2) tie: of the first triplet 2 or 1 is odd; of the second, columns 0 and 1.
    assert g.odd_one_out_accuracy(similarities, triplets, p) == pytest.approx(((0.3 + 0.5) / 2 + (0.1 + 0.1) / 2) / 2)


def test_probabilities_are_a_softmax_of_the_remaining_pairs() -> None:
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
    p = np.array([[0.5, 0.5, 0], [0.2, 0.2, 0.6]])
    truth = g.triplet_ceilings(p)
    assert (truth.accuracy, truth.agreement) == pytest.approx((0.55, (0.5 + 0.44) / 2))
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
    order = [[2, 0, 1], [0, 2, 1], [0, 1, 2]][place]
    moved = WORLD.triplets[:, order]
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


class Given(g.SparseConcepts):
    """Whose embedding is the world's with noise of a size that its penalty says."""

    def _train(self, rows: np.ndarray, n_objects: int, fits: list[tuple[float, int]]) -> list[np.ndarray]:
        noise = np.random.default_rng(len(rows)).random((24, 3))
        return [WORLD.embedding + alpha * noise + (seed - 3) for alpha, seed in fits]


def test_the_largest_penalty_within_one_standard_error() -> None:
    chosen = []
    for n in range(300, 1200, 60):
        rows, alphas = WORLD.triplets[:n], (0.2, 0.0, 0.8, 0.1, 0.4)
        found = Given(alphas, validation_share=0.2, seeds=(3, 4)).fit(rows, 24)
        split = g.split_triplets(rows, 0.2, np.random.default_rng(3))
        of = Given(alphas)._train(rows[split.train], 24, [(alpha, 3) for alpha in alphas])
        test = rows[split.test]
        surprise = np.array([-np.log(g.choice_probabilities(e @ e.T, test)[:, 2]) for e in of])
        np.testing.assert_allclose(found.cv_scores_, surprise.mean(axis=1))
        excess = surprise - surprise[surprise.mean(axis=1).argmin()]
        within = excess.mean(axis=1) <= excess.std(axis=1, ddof=1) / np.sqrt(len(test))
        chosen.append(found.alpha_)
        assert found.alpha_ == max(np.array(alphas)[within])
    assert len(set(chosen)) > 1


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


def test_regions_beside_judgements() -> None:
    i, j = np.triu_indices(24, 1)
    rng = np.random.default_rng(0)
    fits = -TRUE[i, j] + 0.1 * rng.normal(size=(3, len(i)))
    regions = {"fits": fits, "noise": rng.normal(size=(3, len(i))), "one": fits[:1]}
    rows = []
    for name, rdms in regions.items():
        test = g.rdm_permutation_test(rdms, -TRUE[i, j], "spearman", 99, np.random.default_rng(4))
        low, high = g.rdm_noise_ceiling(rdms, "spearman") if len(rdms) > 1 else (np.nan, np.nan)
        null = test.null.mean(), np.quantile(test.null, 0.95)
        rows.append((name, test.score, test.p, *null, low, high, len(rdms), 24))
    found = g.region_table(regions, WORLD.embedding, 99, 4)
    np.testing.assert_array_equal(found.to_numpy()[:, 1:].astype(float), np.array(rows)[:, 1:].astype(float))
    assert found["region"].tolist() == list(regions)
    assert found.columns.tolist() == [
        "region", "score", "p", "null_mean", "null_high", "ceiling_low", "ceiling_high", "n_subjects", "n_objects"
    ]  # fmt: skip
    assert found["score"][0] > 0.8
    assert found["p"].tolist()[0] == 0.01 < 0.05 < found["p"][1]


def test_choices_of_every_candidate_in_a_row_each() -> None:
    rng = np.random.default_rng(0)
    two, others = WORLD.embedding[:, :2], rng.random((24, 4))
    fits = {
        "some": g.ConceptFit(
            None, g.Reproducibility(0, np.array([0.9, 0.2]), np.array([True, False]), None), two, others
        ),
        "none": g.ConceptFit(None, g.Reproducibility(0, np.zeros(4), np.zeros(4, bool), None), others, two[:, :1]),
    }
    train, tests = WORLD.triplets[:900], {"triplets": WORLD.triplets[900:], "repeated": WORLD.repeats}
    ceilings = g.repeated_ceilings(WORLD.repeats, 24)
    low, high = ceilings.accuracy_low, ceilings.accuracy_high
    found = g.choice_table(fits, train, tests, 24, ceilings, WORLD.embedding)
    candidates = [
        ("some", "embedding", two), ("some", "reproducible", two[:, :1]), ("some", "control", others),
        ("none", "embedding", others), ("none", "reproducible", others), ("none", "control", two[:, :1]),
        ("spectral", "baseline", None), ("published", "published", WORLD.embedding),
    ]  # fmt: skip
    rows = []
    for split, test in tests.items():
        for name, kind, values in candidates:
            similarities = g.spectral_similarities(train, 24) if values is None else values @ values.T
            a = g.odd_one_out_accuracy(similarities, test)
            n_dimensions = 0 if values is None else values.shape[1]
            row = (name, kind, split, a, np.sqrt(a * (1 - a) / len(test)), len(test), n_dimensions)
            rows.append((*row, 1 / 3, low, high, (3 * a - 1) / (3 * high - 1), (3 * a - 1) / (3 * low - 1)))
    columns = ["name", "kind", "split", "accuracy", "se", "n_triplets", "n_dimensions", "chance", "ceiling_low"]
    columns += ["ceiling_high", "share_low", "share_high"]
    pd.testing.assert_frame_equal(found, pd.DataFrame(rows, columns=columns))
    without = g.choice_table({}, train, {"triplets": tests["triplets"]}, 24, None)
    assert without["kind"].tolist() == ["baseline"]
    assert without[["ceiling_low", "ceiling_high", "share_low", "share_high"]].isna().all(axis=None)
    shared = {"a": WORLD.triplets[899:]}
    refused("1 of 601 triplets of the split .a. are trained on", g.choice_table, {}, train, shared, 24, None)


def test_dimensions_are_described_by_their_objects() -> None:
    weights = np.array([[0, 3.0, 0], [2, 1, 0], [5, 0, 0.5], [1, 4, 0], [4, 2, 0.1], [3, 5, 0.2]])
    again = g.Reproducibility(0, np.array([0.9, 0.5, 0.85]), np.array([True, False, True]), None)
    fits = {"sparse": g.ConceptFit(None, again, weights, weights)}
    published = np.column_stack([weights[:, 1], -(weights[:, 0] ** 2)])
    labels = list("abcdef")
    tops = [list("cefbd"), list("fdaeb"), list("cfe")]  # up to 8, above 0
    r = np.corrcoef(weights[:, 0], weights[:, 0] ** 2)[0, 1]
    expected = pd.DataFrame(
        {
            "method": "sparse", "dimension": [1, 2, 3], "r": again.r, "reproducible": again.reproducible,
            "weight": np.array([15, 15, 0.8]) / 30.8, "top": tops, "published": ["round", "green", ""],
            "published_r": [r, 1, 0],
        }
    )  # fmt: skip
    pd.testing.assert_frame_equal(g.dimension_table(fits, labels, published, ["green", "round"]), expected)
    numbered = g.dimension_table(fits, labels, published, [])
    assert numbered["published"].tolist() == ["dimension 2", "dimension 1", ""]
    alone = g.dimension_table(fits, labels, None, [])
    assert alone["published"].tolist() == [""] * 3
    assert alone["published_r"].isna().all()


class Drawn:
    """An estimator whose embedding is that of the world, with noise that its triplets and its seed decide."""

    def __init__(self, seeds: list[int]) -> None:
        self.seeds = seeds

    def fit(self, triplets: np.ndarray, n_objects: int) -> "Drawn":
        noise = np.random.default_rng([len(triplets), *self.seeds]).normal(size=(n_objects, 3))
        self.embedding_ = np.maximum(WORLD.embedding + 0.2 * noise, 0)
        return self


def test_networks_beside_judgements_number_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "NULL_TRIPLETS", 50)
    numbers = {"object_splits": 2, "folds": 3, "permutations": 19, "readout_permutations": 4, "objects": 15}
    options = ConceptSettings(object_share=0.4, **numbers)
    regressor, test = Ridge((0.1, 10.0), cv=2, dtype="float64"), WORLD.triplets[::3]
    embedding = np.hstack([WORLD.embedding, np.ones((24, 1))])
    layers = {("net", "deep"): WORLD.features, ("net", "flat"): WORLD.features[:, :2]}
    found = g.network_tables(layers, embedding, WORLD.triplets, test, regressor, Drawn, options, 5)
    splits = g.split_objects_in_turn(WORLD.triplets, 24, 0.4, 2, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    some, chosen = test[rng.permutation(len(test))[:50]], np.sort(rng.permutation(24)[:15])
    people = -g.object_similarities(embedding[chosen])[np.triu_indices(15, 1)]
    rows, readouts = [], []
    for (model, layer), X in layers.items():
        cosine = g.object_similarities(X, "cosine")
        null = g.permuted_accuracies(cosine, some, 19, rng)
        read, plain, unseen_null = [], [], 0
        for split in splits:
            partial = Drawn([5]).fit(WORLD.triplets[split.train], 24).embedding_
            predicted, of_unseen = (
                g.unseen_similarities(X, partial, split.unseen, regressor),
                WORLD.triplets[split.test],
            )
            read.append(g.odd_one_out_accuracy(predicted, of_unseen))
            plain.append(g.odd_one_out_accuracy(cosine, of_unseen))
            unseen_null += (
                g.permuted_accuracies(predicted, of_unseen[rng.permutation(len(of_unseen))[:50]], 19, rng) / 2
            )
        distance = "correlation" if X.shape[1] > 2 else "euclidean"
        rsa = g.rdm_permutation_test(people[None], g.rdm(X[chosen], distance), "spearman", 19, rng)
        fit = g.fit_dimensions(X, embedding, regressor, 3, 4, rng)
        rows.append(
            {
                "model": model, "layer": layer, "n_features": X.shape[1], "n_triplets": 500,
                "cosine": g.odd_one_out_accuracy(cosine, test), "dot": g.odd_one_out_accuracy(X @ X.T, test),
                "null_mean": null.mean(), "null_high": np.quantile(null, 0.95),
                "p": (1 + (null >= g.odd_one_out_accuracy(cosine, some) - 1e-12).sum()) / 20,
                "unseen": np.mean(read), "unseen_sd": np.std(read, ddof=1),
                "unseen_null_high": np.quantile(unseen_null, 0.95),
                "unseen_p": (1 + (unseen_null >= np.mean(read) - 1e-12).sum()) / 20, "unseen_cosine": np.mean(plain),
                "unseen_triplets": np.mean([len(split.test) for split in splits]),
                "rsa": rsa.score, "rsa_p": rsa.p, "n_objects": 15, "mean_r2": np.nanmean(fit.r2),
            }
        )  # fmt: skip
        for k in range(4):
            null = fit.null[:, k]
            readouts.append((model, layer, k + 1, fit.r2[k], null.mean(), np.quantile(null, 0.95), fit.p[k]))
    pd.testing.assert_frame_equal(found[0], pd.DataFrame(rows))
    columns = ["model", "layer", "dimension", "r2", "null_mean", "null_high", "p"]
    pd.testing.assert_frame_equal(found[1], pd.DataFrame(readouts, columns=columns))
    once = options.model_copy(update={"object_splits": 1})
    one = g.network_tables(layers, embedding, WORLD.triplets, test, regressor, Drawn, once, 5)[0]
    assert one["unseen_sd"].isna().all()


def trained(rows: np.ndarray, model: g.SparseConcepts | g.VariationalConcepts, seed: int) -> list[torch.Tensor]:
    """Train one embedding in a plain loop: Adam whose rate falls to a fiftieth, batches of a new order per epoch."""
    start = (torch.rand(24, model.n_dims, generator=torch.Generator().manual_seed(seed)) / 2).requires_grad_(True)
    log_scale = torch.full_like(start, np.log(0.15)).requires_grad_(True)
    orders, noise = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)
    sparse = isinstance(model, g.SparseConcepts)
    parameters = [start] if sparse else [start, log_scale]
    solver = torch.optim.Adam(parameters, lr=model.learning_rate)
    each = -(-len(rows) // model.batch_size)
    n_epochs = max(model.epochs, -(-model.least_steps // each))
    step = 0
    for _ in range(n_epochs):
        for part in torch.as_tensor(rows)[torch.randperm(len(rows), generator=orders)].split(model.batch_size):
            values = start
            if sparse:
                cost = model.alphas[0] * start.sum() / 24
            else:
                drawn = torch.randn(start.shape, generator=noise)
                values = start + log_scale.exp() * drawn
                narrow, wide = (torch.distributions.Normal(0, sd) for sd in (model.spike, model.slab))
                density = model.spike_share * narrow.log_prob(values).exp()
                density = density + (1 - model.spike_share) * wide.log_prob(values).exp()
                own = -log_scale - drawn**2 / 2 - np.log(2 * np.pi) / 2
                cost = (own - density.log()).sum() / len(rows)
                values = values.relu()
            a, b, c = values[part.T]
            logits = torch.stack([(b * c).sum(1), (a * c).sum(1), (a * b).sum(1)], dim=1)
            loss = torch.nn.functional.cross_entropy(logits, torch.full((len(part),), 2)) + cost
            solver.param_groups[0]["lr"] = model.learning_rate * max(0.02, 1 - step / (n_epochs * each))
            solver.zero_grad()
            loss.backward()
            solver.step()
            step += 1
            if sparse:
                with torch.no_grad():
                    start.clamp_(min=0)
    return [part.detach() for part in (start, log_scale.exp())]


@pytest.mark.parametrize("n_dims", [3, 40])  # whole tables of similarities, or the pairs that are asked for
@pytest.mark.parametrize("kind", ["sparse", "variational"])
def test_training_is_a_plain_loop_of_adam(kind: str, n_dims: int) -> None:
    options = {"n_dims": n_dims, "epochs": 2, "least_steps": 11, "batch_size": 100 if n_dims == 3 else 3, "seeds": (7,)}
    rows = WORLD.triplets[:130] if n_dims == 3 else WORLD.triplets[:10]
    if kind == "sparse":
        model = g.SparseConcepts((0.05,), least_weight=0.0, learning_rate=0.02, **options).fit(rows, 24)
        seen = np.isin(np.arange(24), rows)
        values = trained(rows, model, 7)[0].numpy() * seen[:, None]
        np.testing.assert_allclose(model.embedding_, values[:, np.argsort(-values.sum(axis=0))], atol=2e-3)
        largest = np.sort(values.max(axis=0))[-3:]
        assert largest[1] - largest[0] > 1e-3
        least = {"least_weight": largest[:2].mean(), "learning_rate": 0.02}
        fewer = g.SparseConcepts((0.05,), **least, **options).fit(rows, 24)
        assert fewer.embedding_.shape[1] == 2
        np.testing.assert_allclose(fewer.embedding_.max(axis=0).min(), largest[1], atol=2e-3)
        return
    model = g.VariationalConcepts(0.3, 2.0, 0.7, q=1.0, least_objects=0, **options).fit(rows, 24)
    location, scale = (part.numpy() for part in trained(rows, model, 7))
    seen = model.seen_[:, None]
    order = np.argsort(-(np.maximum(location, 0) * seen).sum(axis=0))
    np.testing.assert_allclose(model.location_, location[:, order], atol=2e-3)
    np.testing.assert_allclose(model.scale_, scale[:, order], atol=2e-3)
    np.testing.assert_allclose(model.embedding_, np.maximum(location[:, order], 0) * seen, atol=2e-3)
    p = norm.cdf(-location[model.seen_] / scale[model.seen_])
    counts = np.array([(fdr(column) <= 0.3).sum() for column in p.T])
    least = int(np.median(counts))
    fewer = g.VariationalConcepts(0.3, 2.0, 0.7, q=0.3, least_objects=least, **options).fit(rows, 24)
    assert fewer.n_objects_with_[0].tolist() == counts.tolist()
    assert fewer.embedding_.shape[1] == (counts > least).sum()
