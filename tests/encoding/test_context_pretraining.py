"""Pre-training on other subjects: what enters, what is kept, and that a killed run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from brainalign.encoding import InContextEncoder, PretrainedLayer, Reduction, pretrain_layer, training_voxels
from brainalign.features import PCA

ENCODER = InContextEncoder(n_steps=(2, 2, 2), context_sizes=(4, 10), n_voxels=4, n_queries=6, fallback=False)
OPTIONS = {"seeds": (0, 3)}


def reduction(features: np.ndarray, n_components: int = 5) -> Reduction:
    axes = PCA(n_components).fit(features, rows=np.arange(len(features)))
    return Reduction(axes.mean_, axes.components_)


def pretrain(features: np.ndarray, subjects: list[tuple[np.ndarray, np.ndarray]], **options: object) -> PretrainedLayer:
    return pretrain_layer(ENCODER, reduction(features), features, subjects, **options)


def study(n_images: int = 40) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Features of images, and two subjects who saw the first and the last 30 of them."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n_images, 8)).astype(np.float32)
    seen = [np.arange(30), np.arange(10, 40)]
    return features, [(rows, rng.normal(size=(30, 7)).astype(np.float32)) for rows in seen]


def alike(one: PretrainedLayer, other: PretrainedLayer) -> bool:
    mine, theirs = one.arrays(), other.arrays()
    return mine.keys() == theirs.keys() and all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)


def test_what_is_written_is_read() -> None:
    features, subjects = study()
    layer = pretrain(features, subjects, **OPTIONS)
    arrays = layer.arrays()
    again = PretrainedLayer.from_arrays(arrays, n_checks=7)
    assert alike(layer, pretrain(features, subjects, **OPTIONS))
    assert [one.seed for one in again.encoders] == [0, 3]
    assert {one.n_checks for one in again.encoders} == {7}
    assert [one.parameter_hash() for one in again.encoders] == [one.parameter_hash() for one in layer.encoders]
    assert len({one.parameter_hash() for one in layer.encoders}) == 2
    np.testing.assert_array_equal(again.reduction(features), layer.reduction(features))
    np.testing.assert_array_equal(again.prior.covariance, layer.prior.covariance)
    assert again.largest_context == 10
    assert again.n_parameters == sum(values.numel() for values in layer.encoders[0].network_.parameters())


def test_the_reduction_is_that_of_the_images_it_is_given() -> None:
    features, _ = study()
    reduced = reduction(features, 3)(features)
    np.testing.assert_allclose(np.linalg.norm(reduced, axis=1), 1, rtol=1e-5)
    centred = features - features.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    scores = centred @ axes[:3].T
    np.testing.assert_allclose(np.abs(reduced), np.abs(scores) / np.linalg.norm(scores, axis=1)[:, None], atol=1e-4)


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    features, subjects = study()
    whole = pretrain(features, subjects, **OPTIONS)
    said: list[tuple[int, int]] = []

    def killed(seed: int, step: int, n_steps: int, loss: float) -> None:
        said.append((seed, step))
        assert n_steps == 6
        if len(said) == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(features, subjects, **OPTIONS, folder=tmp_path, progress=killed)
    layer = pretrain(features, subjects, **OPTIONS, folder=tmp_path, progress=killed)
    assert said == [(0, k) for k in range(1, 7)] + [(3, 1), (3, 2)] + [(3, k) for k in range(1, 7)]
    assert alike(layer, whole)
    del said[:]
    subjects[0][1][0, 0] += 1  # other data: nothing of it may be taken over
    options = {"seeds": (0,), "progress": lambda *step: said.append(step[:2])}
    pretrain(features, subjects, **options, folder=tmp_path)
    assert said == [(0, k) for k in range(1, 7)]


def test_voxels_are_chosen_by_their_repeats() -> None:
    """Responses to images shown twice: some voxels repeat, some are noise, one is silent."""
    rng = np.random.default_rng(1)
    ids = np.array([f"i{k}" for k in rng.permutation(np.repeat(np.arange(30), 2))])
    signal = {name: rng.normal(size=4) for name in ids}
    values = rng.normal(size=(60, 9))
    values[:, :4] += 2 * np.stack([signal[name] for name in ids])
    values[:, 8] = 1
    images, kept = training_voxels(values, ids, 0.5)
    assert kept.shape == (30, 4)
    np.testing.assert_allclose(kept.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(kept.std(axis=0), 1, rtol=1e-5)
    assert images.tolist() == list(dict.fromkeys(ids.tolist()))
    one = np.array([values[ids == name, 0].mean() for name in images])
    np.testing.assert_allclose(kept[:, 0], (one - one.mean()) / one.std(), rtol=1e-5)
    once, every = training_voxels(values[:30], np.arange(30), 0.5)  # no repeats: all that vary
    assert (len(once), every.shape) == (30, (30, 8))
    refused(r"none of 9 voxels has a noise ceiling above 1.5 over 30 tr", training_voxels, values, ids, 1.5)


def test_clear_errors() -> None:
    features, subjects = study()
    refused("there is no other subject to learn from", pretrain, features, [], **OPTIONS)
    few = [(rows[:6], responses[:6]) for rows, responses in subjects]
    refused(r"has 6 training images, too few for .* 5 features .*n_components to 4", pretrain, features, few, **OPTIONS)
    less = [(rows[:12], responses[:12]) for rows, responses in subjects]
    refused("12 images but training asks for contexts of 10 and 6 queries", pretrain, features, less, **OPTIONS)
    layer = pretrain(features, subjects, **OPTIONS)
    refused(r"shape \(40, 6\) but the networks were trained on 8 features", layer.reduction, features[:, :6])
