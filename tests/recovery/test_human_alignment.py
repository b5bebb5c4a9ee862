"""A hierarchy hidden from two networks: what people's choices bring back, in a teacher and in a student of it.

Each world runs reduced in `make test`, and at full size (marked acceptance) in `make acceptance`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from brainalign.features import EfficientNetExtractor
from brainalign.geometry import (
    CHANCE,
    LEVELS,
    AlignmentScore,
    HumanAlignment,
    HumanTeacher,
    affine_head,
    choice_probabilities,
    choice_temperature,
    cluster_objects,
    draw_triplets,
    object_similarities,
    score_alignment,
)
from brainalign.simulation import AbstractionWorld, abstraction_world, draw_scenes, render

Record = Callable[[str, object, str], None]
N_CLUSTERS = 12
SEEDS = [pytest.param((0, 4000), id="reduced"), pytest.param((0, 8000), id="0", marks=pytest.mark.acceptance)]
SEEDS += [pytest.param((seed, 8000), id=str(seed), marks=pytest.mark.acceptance) for seed in (1, 2)]


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
    def of(cls, seed: int, n_triplets: int) -> Study:
        world, rng = abstraction_world(seed=seed), np.random.default_rng(seed)
        unseen = world.basic % 8 >= 5  # 3 of the 8 basic categories of each superordinate one
        seen, objects = np.flatnonzero(~unseen), np.flatnonzero(unseen)
        train = world.judge(np.array([rng.choice(seen, 3, replace=False) for _ in range(n_triplets)]), rng)
        drawn = [draw_triplets(world.superordinate[objects], 1000, rng, level) for level in LEVELS]
        test = world.judge(objects[np.concatenate(drawn)], rng)
        assert not set(train[0].ravel()) & set(test[0].ravel())
        return cls(world, rng, seen, *train, *test)

    def scores(self, similarities: np.ndarray) -> dict[str, AlignmentScore]:
        found = score_alignment(similarities, self.test, self.test_p, self.world.superordinate)
        return {score.level: score for score in found}

    def unaligned(self, features: np.ndarray) -> np.ndarray:
        """Return similarities of a network as it is, as sure of its choices as the same training choices allow."""
        similarities = object_similarities(features - features[self.seen].mean(axis=0))
        return similarities / choice_temperature(similarities, self.train, self.train_p)

    def student(self, clustered: np.ndarray, choices: Callable[[np.ndarray], np.ndarray]) -> HumanAlignment:
        """Return the other network's features under an affine head, which learned from a teacher's choices."""
        clusters = cluster_objects(clustered[self.seen], N_CLUSTERS)
        triplets = self.seen[draw_triplets(clusters, len(self.train), self.rng)]
        head = affine_head(self.world.others.shape[1])
        return HumanAlignment().fit(head, self.world.others, triplets, choices(triplets))


def above_chance(score: AlignmentScore) -> float:
    return (score.accuracy - CHANCE) / (score.ceiling - CHANCE)


@pytest.mark.parametrize("size", SEEDS)
def test_a_hidden_level_comes_back(size: tuple[int, int], record: Record) -> None:
    """Human alignment: superordinate categories hidden from networks; unseen categories, 3 seeds"""
    study = Study.of(*size)
    teacher = HumanTeacher().fit(study.world.features, study.train, study.train_p)
    aligned = teacher.transform(study.world.features)
    student = study.student(aligned, lambda triplets: teacher.choices(study.world.features, triplets))
    found = {
        "teacher, unaligned": study.scores(study.unaligned(study.world.features)),
        "teacher": study.scores(object_similarities(aligned)),
        "student, unaligned": study.scores(study.unaligned(study.world.others)),
        "student": study.scores(student.similarities(study.world.others)),
    }
    for name, scores in found.items():
        values = ", ".join(f"{level} {scores[level].accuracy:.3f}" for level in LEVELS)
        record(f"accuracy of the {name}, seed {size[0]}", values, "shown")
        record(f"uncertainty of the {name}, seed {size[0]}", f"{scores['all'].uncertainty_r:.2f}", "shown")
    ceilings = ", ".join(f"{level} {found['teacher'][level].ceiling:.3f}" for level in LEVELS)
    record(f"ceiling, seed {size[0]}", ceilings, "shown")
    reached = above_chance(found["teacher"]["all"])
    record(f"teacher, of what can be predicted, seed {size[0]}", f"{reached:.3f}", ">= .9")
    assert reached >= 0.9
    for who in ("teacher", "student"):
        after, before = found[who], found[f"{who}, unaligned"]
        for level in ("boundary", "coarse"):
            gain = after[level].accuracy - before[level].accuracy
            record(f"gain of the {who}, {level}, seed {size[0]}", f"{gain:.3f}", ">= .15")
            assert gain >= 0.15
        loss = before["fine"].accuracy - after["fine"].accuracy
        record(f"loss of the {who}, fine, seed {size[0]}", f"{loss:.3f}", "<= .02")
        assert loss <= 0.02
        assert after["all"].uncertainty_r >= max(0.5, before["all"].uncertainty_r + 0.3)
        assert after["all"].divergence < before["all"].divergence


@pytest.mark.parametrize("size", SEEDS)
def test_nothing_comes_of_shuffled_choices_or_an_unaligned_teacher(size: tuple[int, int], record: Record) -> None:
    """Human alignment, nulls: shuffled choices, and a student of a teacher that was not aligned; 3 seeds"""
    study = Study.of(*size)
    features = study.world.features
    shuffled = HumanTeacher().fit(features, study.train, study.rng.permuted(study.train_p, axis=1))
    unaligned = study.unaligned(features)
    before = {
        name: study.scores(study.unaligned(x)) for name, x in (("teacher", features), ("student", study.world.others))
    }
    students = {
        "of shuffled choices": study.student(shuffled.transform(features), lambda t: shuffled.choices(features, t)),
        "of an unaligned teacher": study.student(features, lambda t: choice_probabilities(unaligned, t)),
    }
    after = {"teacher of shuffled choices": study.scores(object_similarities(shuffled.transform(features)))}
    after |= {f"student {name}": study.scores(one.similarities(study.world.others)) for name, one in students.items()}
    for name, scores in after.items():
        gains = {level: scores[level].accuracy - before[name.split()[0]][level].accuracy for level in LEVELS}
        record(f"gain, {name}, seed {size[0]}", ", ".join(f"{k} {v:+.3f}" for k, v in gains.items()), "<= .05")
        assert max(gains.values()) <= 0.05
        assert scores["all"].uncertainty_r <= before[name.split()[0]]["all"].uncertainty_r + 0.15


def test_a_network_learns_end_to_end(record: Record) -> None:
    """Human alignment of EfficientNet-Lite0, trained end to end on 64 scenes judged by shape, scored on 48 others"""
    scenes = draw_scenes(112, seed=3)
    images = torch.from_numpy(render(scenes, 48)).permute(0, 3, 1, 2).float() / 255
    shape = np.unique(scenes["shape"], return_inverse=True)[1]
    size = scenes["size"].to_numpy()
    people = 4 * (shape[:, None] == shape) - 10 * np.abs(size[:, None] - size)  # so some choices are harder
    rng = np.random.default_rng(0)
    train, test = draw_triplets(shape[:64], 1000, rng), 64 + draw_triplets(shape[64:], 1000, rng)
    judged, expected = choice_probabilities(people, train), choice_probabilities(people, test)
    network = EfficientNetExtractor(layers=("block5",), image_size=48, crop=False).module("block5")
    initial = {name: weight.clone() for name, weight in network.network.state_dict().items()}

    def trained(probabilities: np.ndarray, n_steps: int, rate: float = 1e-3) -> tuple[HumanAlignment, AlignmentScore]:
        fitted = HumanAlignment(n_steps=n_steps, batch_size=16, learning_rate=rate)
        fitted.fit(network, images, train, probabilities)
        return fitted, score_alignment(fitted.similarities(images), test, expected)[0]

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
