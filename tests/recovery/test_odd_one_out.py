"""Odd-one-out judgements: dimensions of planted properties, and networks that learn a level hidden from them.

Each world runs reduced in `make test`, and at full size (marked acceptance) in `make acceptance`.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from shown import Record, cases
from worlds.abstraction import abstraction_world

from brainalign import geometry
from brainalign.encoding import Ridge
from brainalign.features import EfficientNetExtractor
from brainalign.simulation import ConceptWorld, concept_world, draw_scenes, render

# Reduced, the other method's choices and dimensions are those of tests/workflow/test_concepts.py.
reduced_for_sparse = pytest.mark.parametrize(
    ("method", "worlds", "starts"),
    [
        pytest.param("sparse", 1, 3, id="reduced"),
        *(pytest.param(name, 3, 20, id=name, marks=pytest.mark.acceptance) for name in geometry.CONCEPT_METHODS),
    ],
)


def make(method: str, n_alphas: int = 4):
    chosen = {"alphas": (0.02, 0.01, 0.015, 0.03)[:n_alphas]} if method == "sparse" else {}
    return lambda seeds: geometry.CONCEPT_METHODS[method](n_dims=20, seeds=tuple(seeds), **chosen)  # type: ignore[arg-type]


def share(accuracy: float, ceiling: float) -> float:
    return (accuracy - geometry.CHANCE) / (ceiling - geometry.CHANCE)


def similarity_r(world: ConceptWorld, embedding: np.ndarray) -> float:
    pairs = np.triu_indices(len(embedding), 1)
    both = [geometry.object_similarities(values)[pairs] for values in (embedding, world.embedding)]
    return float(np.corrcoef(both)[0, 1])


@reduced_for_sparse
def test_choices_and_dimensions(method: str, worlds: int, starts: int, record: Record) -> None:
    """Odd-one-out world: 60 objects, 6 dimensions, 30,000 triplets, triplets held out; 3 seeds of 20 starts"""
    rows = []
    for seed in range(worlds):
        world = concept_world(seed=seed)
        split = geometry.split_triplets(world.triplets, 0.1, np.random.default_rng(seed))
        train, test, p = world.triplets[split.train], world.triplets[split.test], world.probabilities[split.test]
        ceiling = p.max(axis=1).mean()
        fit = geometry.fit_concepts(make(method, 4 if worlds > 1 else 2), train, 60, range(starts), 0.8)
        found = [
            geometry.odd_one_out_accuracy(geometry.object_similarities(values), test, p)
            for values in (fit.embedding, fit.reproducible, fit.shuffled, world.embedding)
        ]
        # The other control: the embedding as it was fitted, and choices in which there is nothing.
        shuffled = geometry.shuffled_triplets(test, np.random.default_rng(seed))
        nothing = geometry.odd_one_out_accuracy(geometry.object_similarities(fit.embedding), shuffled)
        spectral = geometry.odd_one_out_accuracy(geometry.spectral_similarities(train, 60), test, p)
        r, _ = geometry.match_dimensions(world.embedding, fit.reproducible)
        n_found = fit.found_again.reproducible.sum()
        rows.append(
            [ceiling, *found, nothing, spectral, (r > 0.8).sum(), n_found, similarity_r(world, fit.reproducible)]
        )
        assert found[0] / ceiling >= 0.95
        assert share(found[1], ceiling) >= 0.9
        assert found[3] == pytest.approx(ceiling)
        assert found[2] == pytest.approx(geometry.CHANCE, abs=0.015)
        assert (r > 0.8).sum() >= 5
        assert 5 <= n_found <= 7  # those that only one start has are gone
        assert rows[-1][-1] >= 0.95
    mean = np.mean(rows, axis=0)
    # Single choices at random: 3 standard errors of one world's 3,000 are .026, of the mean of three .015.
    assert mean[5] == pytest.approx(geometry.CHANCE, abs=0.015 if worlds == 3 else 0.026)
    record(
        f"{method}: accuracy (ceiling, expected)", f"{mean[1]:.3f} ({mean[0]:.3f})", ">= .95 of it; .534/.539 (proto)"
    )
    record(f"{method}: (accuracy - 1/3)/(ceiling - 1/3)", f"{share(mean[1], mean[0]):.3f}", ">= .9")
    record(f"{method}: the same, dimensions found again only", f"{share(mean[2], mean[0]):.3f}", ">= .9")
    record(f"{method}: fitted to shuffled choices", f"{mean[3]:.3f}", ".333 +- .015")
    record(f"{method}: tested on shuffled choices", f"{mean[5]:.3f}", ".333 +- .015")
    record("spectral similarities, no training: accuracy", f"{mean[6]:.3f}", "beside")
    record(f"{method}: planted dimensions with r > .8 (of 6)", f"{mean[7]:.1f}", ">= 5")
    record(f"{method}: dimensions found again", f"{mean[8]:.1f}", "6")
    record(f"{method}: r of similarities", f"{mean[9]:.3f}", ">= .95; .972 (proto)")


@reduced_for_sparse
def test_unseen_objects(method: str, worlds: int, starts: int, record: Record) -> None:
    """Odd-one-out world, triplets of three objects that were in no training triplet, read out of features; 3 seeds"""
    rows = []
    for seed in range(worlds):
        world = concept_world(seed=seed)
        rng = np.random.default_rng(seed)
        for split in geometry.split_objects_in_turn(world.triplets, 60, 0.25, 3 if worlds > 1 else 1, rng):
            train, test, p = world.triplets[split.train], world.triplets[split.test], world.probabilities[split.test]
            ceiling = p.max(axis=1).mean()
            embedding = make(method, 1)((seed,)).fit(train, 60).embedding_
            ridge = Ridge(alphas=tuple(np.logspace(-2, 4, 7)), cv=5)
            noise = rng.normal(size=world.features.shape)
            found = [
                share(geometry.odd_one_out_accuracy(similarities, test, p), ceiling)
                for similarities in (
                    geometry.unseen_similarities(world.features, embedding, split.unseen, ridge),
                    geometry.unseen_similarities(noise, embedding, split.unseen, ridge),
                    geometry.object_similarities(world.features, "cosine"),
                    geometry.object_similarities(embedding),
                )
            ]
            rows.append(found)
            assert found[3] == pytest.approx(0)  # of objects that were never shown the embedding says nothing
    mean = np.mean(rows, axis=0)
    record(f"{method}: share of the way to the ceiling, unseen objects", f"{mean[0]:.3f}", ">= .9")
    record(f"{method}: smallest of {len(rows)} splits", f"{np.min(rows, axis=0)[0]:.3f}", "shown")
    record(f"{method}: features of noise", f"{mean[1]:.3f}", "0")
    record("features as they are, cosine", f"{mean[2]:.3f}", "beside")
    assert mean[0] >= 0.9
    assert abs(mean[1]) <= 0.15


@cases(1, 3)("worlds")
def test_ceilings_from_repeated_judgements(worlds: int, record: Record) -> None:
    """Ceilings of accuracy and of agreement from 1,000 triplets judged 12 times; 3 seeds"""
    rows = []
    for seed in range(worlds):
        world = concept_world(n_triplets=1000, n_repeated=1000, n_people=12, seed=seed)
        p = geometry.choice_probabilities(geometry.object_similarities(world.embedding), world.repeats)
        best, agreement = p.max(axis=1).mean(), (p**2).sum(axis=1).mean()
        found = geometry.repeated_ceilings(world.repeats, 60)
        assert found.accuracy_low < best < found.accuracy_high
        assert found.agreement == pytest.approx(agreement, abs=0.02)
        rows.append([best, found.accuracy_low, found.accuracy_high, agreement, found.agreement])
    mean = np.mean(rows, axis=0)
    record("ceiling of accuracy, true and bounds", f"{mean[0]:.3f}: {mean[1]:.3f} to {mean[2]:.3f}", "between")
    record("ceiling of agreement, true and estimated", f"{mean[3]:.3f}, {mean[4]:.3f}", "+- .02")


@cases(20, 500)("n")
def test_readouts_of_nothing_are_called_as_often_as_they_should(n: int, record: Record) -> None:
    """Dimensions read out of features of noise: false positives at .05, and power for planted ones; 500 simulations"""
    regressor = Ridge(np.logspace(-1, 4, 4), cv=3, dtype="float64")
    false, true = [], []
    for seed in range(n):
        world = concept_world(30, 3, 10, n_features=8, seed=seed)
        rng = np.random.default_rng(seed)
        weak = world.features + world.features.std(axis=0) * rng.normal(size=world.features.shape)
        false.append(
            geometry.fit_dimensions(rng.normal(size=(30, 8)), world.embedding[:, :1], regressor, 3, 39, rng).p[0]
        )
        if seed >= 100:
            continue
        true.append(geometry.fit_dimensions(weak, world.embedding[:, :1], regressor, 3, 39, rng).p[0])
    rate, power = np.mean(np.array(false) <= 0.05), np.mean(np.array(true) <= 0.05)
    record("false positives at .05", f"{rate:.3f}", "<= .075")
    record("power, features with as much noise as signal", f"{power:.2f}", ">= .8")
    assert rate <= (0.075 if n == 500 else 0.2)
    assert power >= (0.8 if n == 500 else 0.5)


def above_chance(score: geometry.AlignmentScore) -> float:
    return (score.accuracy - geometry.CHANCE) / (score.ceiling - geometry.CHANCE)


@pytest.mark.acceptance
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_hidden_level_comes_back_and_of_nothing_comes_nothing(seed: int, record: Record) -> None:
    """Human alignment: superordinate categories hidden from networks, and nulls; unseen categories, 3 seeds"""
    world, rng = abstraction_world(seed=seed), np.random.default_rng(seed)
    own, others = world.features, world.others  # of the teacher and of the student
    unseen = world.basic % 8 >= 5  # 3 of the 8 basic categories of each superordinate one
    seen, objects = np.flatnonzero(~unseen), np.flatnonzero(unseen)
    train, train_p = world.judge(np.array([rng.choice(seen, 3, replace=False) for _ in range(8000)]), rng)
    drawn = [geometry.draw_triplets(world.superordinate[objects], 1000, rng, level) for level in geometry.LEVELS]
    test, test_p = world.judge(objects[np.concatenate(drawn)], rng)

    def scores(similarities: np.ndarray) -> dict[str, geometry.AlignmentScore]:
        return {
            score.level: score for score in geometry.score_alignment(similarities, test, test_p, world.superordinate)
        }

    def unaligned(features: np.ndarray) -> np.ndarray:
        similarities = geometry.object_similarities(features - features[seen].mean(axis=0))
        return similarities / geometry.choice_temperature(similarities, train, train_p)  # as sure as choices allow

    def student(clustered: np.ndarray, choices: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        triplets = seen[geometry.draw_triplets(geometry.cluster_objects(clustered[seen], 12), len(train), rng)]
        head = geometry.affine_head(others.shape[1])
        return geometry.HumanAlignment().fit(head, others, triplets, choices(triplets)).similarities(others)

    teacher, shuffled = (geometry.HumanTeacher().fit(own, train, p) for p in (train_p, rng.permuted(train_p, axis=1)))
    before = {"teacher": scores(unaligned(own)), "student": scores(unaligned(others))}
    of, nothing = teacher.transform(own), shuffled.transform(own)
    after = {
        "teacher": scores(geometry.object_similarities(of)),
        "student": scores(student(of, lambda triplets: teacher.choices(own, triplets))),
        "teacher of shuffled choices": scores(geometry.object_similarities(nothing)),
        "student of shuffled choices": scores(student(nothing, lambda triplets: shuffled.choices(own, triplets))),
        "student of an unaligned teacher": scores(
            student(own, lambda triplets: geometry.choice_probabilities(unaligned(own), triplets))
        ),
    }
    reached = above_chance(after["teacher"]["all"])
    record(f"teacher, of what can be predicted, seed {seed}", f"{reached:.3f}", ">= .9")
    assert reached >= 0.9
    for name, found in after.items():
        plain = before[name.split()[0]]
        gains = {level: found[level].accuracy - plain[level].accuracy for level in geometry.LEVELS}
        expected = "coarse, boundary >= .15; fine >= -.02" if name in before else "<= .05"
        record(f"gain, {name}, seed {seed}", ", ".join(f"{k} {v:+.3f}" for k, v in gains.items()), expected)
        sure, unsure = found["all"].uncertainty_r, plain["all"].uncertainty_r
        record(f"uncertainty, {name}, seed {seed}", f"{sure:.2f} ({unsure:.2f} before)", "shown")
        if name in before:
            assert min(gains["boundary"], gains["coarse"]) >= 0.15
            assert gains["fine"] >= -0.02
            assert sure >= max(0.5, unsure + 0.3)
            assert found["all"].divergence < plain["all"].divergence
        else:
            assert max(gains.values()) <= 0.05
            assert sure <= unsure + 0.15


def test_a_network_learns_end_to_end(record: Record) -> None:
    """Human alignment of EfficientNet-Lite0, trained end to end on 64 scenes judged by shape, scored on 48 others"""
    scenes = draw_scenes(112, seed=3)
    images = torch.from_numpy(render(scenes, 48)).permute(0, 3, 1, 2).float() / 255
    shape = np.unique(scenes["shape"], return_inverse=True)[1]
    size = scenes["size"].to_numpy()
    people = 4 * (shape[:, None] == shape) - 10 * np.abs(size[:, None] - size)  # so some choices are harder
    rng = np.random.default_rng(0)
    train, test = geometry.draw_triplets(shape[:64], 1000, rng), 64 + geometry.draw_triplets(shape[64:], 1000, rng)
    judged, expected = geometry.choice_probabilities(people, train), geometry.choice_probabilities(people, test)
    network = EfficientNetExtractor(layers=("block5",), image_size=48, crop=False).module("block5")
    initial = {name: weight.clone() for name, weight in network.network.state_dict().items()}

    def trained(
        probabilities: np.ndarray, n_steps: int, rate: float = 1e-3
    ) -> tuple[geometry.HumanAlignment, geometry.AlignmentScore]:
        fitted = geometry.HumanAlignment(n_steps=n_steps, batch_size=16, learning_rate=rate)
        fitted.fit(network, images, train, probabilities)
        return fitted, geometry.score_alignment(fitted.similarities(images), test, expected)[0]

    _, before = trained(judged, 1, 1e-12)
    aligned, after = trained(judged, 25)
    _, null = trained(rng.permuted(judged, axis=1), 10)
    gain = after.accuracy - before.accuracy
    record("accuracy before, gain", f"{before.accuracy:.3f}, {gain:+.3f} of {after.ceiling:.3f}", "gain >= .2")
    record("accuracy after shuffled choices", f"{null.accuracy:.3f}", "no gain")
    record("weights moved, of their length", f"{aligned.moved_:.4f}", "shown")
    assert gain >= 0.2
    assert after.divergence < before.divergence
    assert null.accuracy <= before.accuracy + 0.05
    state = aligned.student_.network.state_dict()
    changed = [name for name, weight in state.items() if not torch.equal(weight, initial[name])]
    assert any(name.startswith("_conv_stem") for name in changed)  # gradients reach the first layer
    assert not any("running_" in name for name in changed)
    assert all(torch.equal(weight, initial[name]) for name, weight in network.network.state_dict().items())
