"""Odd-one-out judgements: dimensions of planted properties, and networks that learn a level hidden from them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from shown import Record, cases, within
from worlds.abstraction import AbstractionWorld, abstraction_world

from brainalign import geometry
from brainalign.encoding import Ridge
from brainalign.features import EfficientNetExtractor
from brainalign.simulation import concept_world, draw_scenes, render

# Reduced, the other method's choices and dimensions are those of tests/workflow/test_concepts.py.
IN_FULL = [pytest.param(name, 3, 20, id=name, marks=pytest.mark.acceptance) for name in geometry.CONCEPT_METHODS]
SIZES = [pytest.param("sparse", 1, 3, id="reduced"), *IN_FULL]
reduced_for_sparse = pytest.mark.parametrize(("method", "worlds", "starts"), SIZES)


def make(method: str, n_alphas: int = 4):
    """Return what makes an estimator for given seeds; fewer dimensions and penalties than by default, for time."""
    chosen = {"alphas": (0.02, 0.01, 0.015, 0.03)[:n_alphas]} if method == "sparse" else {}
    return lambda seeds: geometry.CONCEPT_METHODS[method](n_dims=20, seeds=tuple(seeds), **chosen)  # type: ignore[arg-type]


def share(accuracy: float, ceiling: float) -> float:
    """Return how far an accuracy is from chance to the ceiling."""
    return (accuracy - geometry.CHANCE) / (ceiling - geometry.CHANCE)


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
        kinds = (fit.embedding, fit.reproducible, fit.shuffled, world.embedding)
        found = [geometry.odd_one_out_accuracy(geometry.object_similarities(x), test, p) for x in kinds]
        # The other control: the embedding as it was fitted, and choices in which there is nothing.
        shuffled = geometry.shuffled_triplets(test, np.random.default_rng(seed))
        nothing = geometry.odd_one_out_accuracy(geometry.object_similarities(fit.embedding), shuffled)
        spectral = geometry.odd_one_out_accuracy(geometry.spectral_similarities(train, 60), test, p)
        r, _ = geometry.match_dimensions(world.embedding, fit.reproducible)
        pairs = np.triu_indices(len(world.embedding), 1)
        both = [geometry.object_similarities(values)[pairs] for values in (fit.reproducible, world.embedding)]
        n_found, alike = fit.found_again.reproducible.sum(), np.corrcoef(both)[0, 1]
        rows.append([ceiling, *found, nothing, spectral, (r > 0.8).sum(), n_found, alike])
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
    said = f"{mean[1]:.3f} ({mean[0]:.3f})"
    record(f"{method}: accuracy (ceiling, expected)", said, ">= .95 of it; .534/.539 (proto)")
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
        world, rng = concept_world(seed=seed), np.random.default_rng(seed)
        for split in geometry.split_objects_in_turn(world.triplets, 60, 0.25, 3 if worlds > 1 else 1, rng):
            train, test, p = world.triplets[split.train], world.triplets[split.test], world.probabilities[split.test]
            ceiling, embedding = p.max(axis=1).mean(), make(method, 1)((seed,)).fit(train, 60).embedding_
            ridge, noise = Ridge(alphas=tuple(np.logspace(-2, 4, 7)), cv=5), rng.normal(size=world.features.shape)
            alike = [geometry.unseen_similarities(x, embedding, split.unseen, ridge) for x in (world.features, noise)]
            alike += [geometry.object_similarities(world.features, "cosine"), geometry.object_similarities(embedding)]
            found = [share(geometry.odd_one_out_accuracy(each, test, p), ceiling) for each in alike]
            rows.append(found)
            assert found[3] == pytest.approx(0)  # of objects that were never shown the embedding says nothing
    mean = np.mean(rows, axis=0)
    within(record, f"{method}: share of the way to the ceiling, unseen objects", mean[0], least=0.9)
    record(f"{method}: smallest of {len(rows)} splits", f"{np.min(rows, axis=0)[0]:.3f}", "shown")
    within(record, f"{method}: features of noise", mean[1], least=-0.15, most=0.15)
    record("features as they are, cosine", f"{mean[2]:.3f}", "beside")


@pytest.mark.acceptance
def test_weak_penalties_keep_dimensions_that_nobody_else_finds(record: Record) -> None:
    """Odd-one-out world, a weak penalty: kept against found again; 3 seeds of 10 starts"""
    rows = []
    for seed in range(3):
        world = concept_world(seed=seed)
        fitted = geometry.CONCEPT_METHODS["sparse"](alphas=(0.004,), n_dims=20, seeds=range(10)).fit(world.triplets, 60)  # type: ignore[call-arg]
        again = geometry.reproducible_dimensions(fitted.embeddings_)
        kept = fitted.embeddings_[again.reference]
        r, _ = geometry.match_dimensions(world.embedding, kept[:, again.reproducible])
        rows.append((kept.shape[1], again.reproducible.sum(), (r > 0.8).sum()))
    kept_mean, found, true = np.mean(rows, axis=0)
    within(record, "dimensions kept", kept_mean, ", of 20 (prototype 19; 6 are true)", least=12)
    within(record, "found again", found, f"; planted among them {true:.1f}", most=kept_mean - 4)


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
        world, rng = concept_world(30, 3, 10, n_features=8, seed=seed), np.random.default_rng(seed)
        weak = world.features + world.features.std(axis=0) * rng.normal(size=world.features.shape)
        fit = geometry.fit_dimensions(rng.normal(size=(30, 8)), world.embedding[:, :1], regressor, 3, 39, rng)
        false.append(fit.p[0])
        if seed >= 100:
            continue
        true.append(geometry.fit_dimensions(weak, world.embedding[:, :1], regressor, 3, 39, rng).p[0])
    rate, power = np.mean(np.array(false) <= 0.05), np.mean(np.array(true) <= 0.05)
    within(record, "false positives at .05", rate, most=0.075 if n == 500 else 0.2)
    within(record, "power, features with as much noise as signal", power, least=0.8 if n == 500 else 0.5)


SEEDS = (0, 1, 2)


@dataclass
class Study:
    """A world, choices among its seen objects, and choices among objects of categories that nobody was asked about."""

    world: AbstractionWorld
    rng: np.random.Generator
    seen: np.ndarray
    train: np.ndarray
    train_p: np.ndarray
    test: np.ndarray
    test_p: np.ndarray

    @classmethod
    def of(cls, seed: int) -> "Study":
        world, rng = abstraction_world(seed=seed), np.random.default_rng(seed)
        unseen = world.basic % 8 >= 5  # 3 of the 8 basic categories of each superordinate one
        seen, objects = np.flatnonzero(~unseen), np.flatnonzero(unseen)
        train = world.judge(np.array([rng.choice(seen, 3, replace=False) for _ in range(8000)]), rng)
        drawn = [geometry.draw_triplets(world.superordinate[objects], 1000, rng, level) for level in geometry.LEVELS]
        test = world.judge(objects[np.concatenate(drawn)], rng)
        assert not set(train[0].ravel()) & set(test[0].ravel())
        return cls(world, rng, seen, *train, *test)

    def scores(self, similarities: np.ndarray) -> dict[str, geometry.AlignmentScore]:
        found = geometry.score_alignment(similarities, self.test, self.test_p, self.world.superordinate)
        return {score.level: score for score in found}

    def unaligned(self, features: np.ndarray) -> np.ndarray:
        """Return similarities of a network as it is, as sure of its choices as the same training choices allow."""
        similarities = geometry.object_similarities(features - features[self.seen].mean(axis=0))
        return similarities / geometry.choice_temperature(similarities, self.train, self.train_p)

    def student(self, clustered: np.ndarray, choices: Callable[[np.ndarray], np.ndarray]) -> geometry.HumanAlignment:
        """Return the other network's features under an affine head, which learned from a teacher's choices."""
        clusters = geometry.cluster_objects(clustered[self.seen], 12)
        triplets = self.seen[geometry.draw_triplets(clusters, len(self.train), self.rng)]
        head = geometry.affine_head(self.world.others.shape[1])
        return geometry.HumanAlignment(learning_rate=3e-3).fit(head, self.world.others, triplets, choices(triplets))


@pytest.mark.acceptance
@pytest.mark.parametrize("seed", SEEDS)
def test_a_hidden_level_comes_back(seed: int, record: Record) -> None:
    """Human alignment: superordinate categories hidden from networks; unseen categories, 3 seeds"""
    study = Study.of(seed)
    teacher = geometry.HumanTeacher().fit(study.world.features, study.train, study.train_p)
    aligned = teacher.transform(study.world.features)
    student = study.student(aligned, lambda triplets: teacher.choices(study.world.features, triplets))
    found = {
        "teacher, unaligned": study.scores(study.unaligned(study.world.features)),
        "teacher": study.scores(geometry.object_similarities(aligned)),
        "student, unaligned": study.scores(study.unaligned(study.world.others)),
        "student": study.scores(student.similarities(study.world.others)),
    }
    for name, scores in found.items():
        values = ", ".join(f"{level} {scores[level].accuracy:.3f}" for level in geometry.LEVELS)
        record(f"accuracy of the {name}, seed {seed}", values, "shown")
        record(f"uncertainty of the {name}, seed {seed}", f"{scores['all'].uncertainty_r:.2f}", "shown")
    ceilings = ", ".join(f"{level} {found['teacher'][level].ceiling:.3f}" for level in geometry.LEVELS)
    record(f"ceiling, seed {seed}", ceilings, "shown")
    reached = share(found["teacher"]["all"].accuracy, found["teacher"]["all"].ceiling)
    within(record, f"teacher, of what can be predicted, seed {seed}", reached, least=0.9)
    for who in ("teacher", "student"):
        after, before = found[who], found[f"{who}, unaligned"]
        for level in ("boundary", "coarse"):
            gain = after[level].accuracy - before[level].accuracy
            within(record, f"gain of the {who}, {level}, seed {seed}", gain, least=0.15)
        loss = before["fine"].accuracy - after["fine"].accuracy
        within(record, f"loss of the {who}, fine, seed {seed}", loss, most=0.02)
        assert after["all"].uncertainty_r >= max(0.5, before["all"].uncertainty_r + 0.3)
        assert after["all"].divergence < before["all"].divergence


@pytest.mark.acceptance
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_comes_of_shuffled_choices_or_an_unaligned_teacher(seed: int, record: Record) -> None:
    """Human alignment, nulls: shuffled choices, and a student of a teacher that was not aligned; 3 seeds"""
    study = Study.of(seed)
    features = study.world.features
    shuffled = geometry.HumanTeacher().fit(features, study.train, study.rng.permuted(study.train_p, axis=1))
    unaligned = study.unaligned(features)
    networks = {"teacher": features, "student": study.world.others}
    before = {name: study.scores(study.unaligned(x)) for name, x in networks.items()}
    students = {
        "of shuffled choices": study.student(shuffled.transform(features), lambda t: shuffled.choices(features, t)),
        "of an unaligned teacher": study.student(features, lambda t: geometry.choice_probabilities(unaligned, t)),
    }
    after = {"teacher of shuffled choices": study.scores(geometry.object_similarities(shuffled.transform(features)))}
    after |= {f"student {name}": study.scores(one.similarities(study.world.others)) for name, one in students.items()}
    for name, scores in after.items():
        gains = {level: scores[level].accuracy - before[name.split()[0]][level].accuracy for level in geometry.LEVELS}
        record(f"gain, {name}, seed {seed}", ", ".join(f"{k} {v:+.3f}" for k, v in gains.items()), "<= .05")
        assert max(gains.values()) <= 0.05
        assert scores["all"].uncertainty_r <= before[name.split()[0]]["all"].uncertainty_r + 0.15


def test_a_network_learns_end_to_end(record: Record, rng: np.random.Generator) -> None:
    """Human alignment of EfficientNet-Lite0, trained end to end on 64 scenes judged by shape, scored on 48 others"""
    scenes = draw_scenes(112, seed=3)
    images = torch.from_numpy(render(scenes, 48)).permute(0, 3, 1, 2).float() / 255
    shape, size = np.unique(scenes["shape"], return_inverse=True)[1], scenes["size"].to_numpy()
    people = 4 * (shape[:, None] == shape) - 10 * np.abs(size[:, None] - size)  # so some choices are harder
    train, test = geometry.draw_triplets(shape[:64], 1000, rng), 64 + geometry.draw_triplets(shape[64:], 1000, rng)
    judged, expected = geometry.choice_probabilities(people, train), geometry.choice_probabilities(people, test)
    network = EfficientNetExtractor(layers=("block5",), image_size=48, crop=False).module("block5")
    initial = {name: weight.clone() for name, weight in network.network.state_dict().items()}

    def trained(probabilities: np.ndarray, n_steps: int, rate: float = 1e-3):
        fitted = geometry.HumanAlignment(n_steps=n_steps, batch_size=16, learning_rate=rate)
        fitted.fit(network, images, train, probabilities)
        return fitted, geometry.score_alignment(fitted.similarities(images), test, expected)[0]

    _, before = trained(judged, 1, 1e-12)
    aligned, after = trained(judged, 25)
    _, null = trained(rng.permuted(judged, axis=1), 10)
    about = f", from {before.accuracy:.3f} of {after.ceiling:.3f}"
    within(record, "gain in accuracy", after.accuracy - before.accuracy, about, least=0.2)
    within(record, "accuracy after shuffled choices", null.accuracy, most=before.accuracy + 0.05)
    record("weights moved, of their length", f"{aligned.moved_:.4f}", "shown")
    assert after.divergence < before.divergence
    state = aligned.student_.network.state_dict()
    changed = [name for name, weight in state.items() if not torch.equal(weight, initial[name])]
    assert any(name.startswith("_conv_stem") for name in changed)  # gradients reach the first layer
    assert not any("running_" in name for name in changed)
    assert all(torch.equal(weight, initial[name]) for name, weight in network.network.state_dict().items())
