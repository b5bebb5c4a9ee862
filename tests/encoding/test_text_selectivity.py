from __future__ import annotations

import numpy as np
import pytest
import torch
from refusals import refused

from brainalign.encoding import Ridge, text_selectivity, unit_rows

N_CONCEPTS = 6


def shared_space(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (with their concept) and one text per concept, unit length, each modality in a cone of its own."""
    rng = np.random.default_rng(seed)
    concepts = rng.normal(size=(N_CONCEPTS, 32))
    image_mean, text_mean = 4 * rng.normal(size=(2, 32))
    label = rng.integers(N_CONCEPTS, size=600)
    images = unit_rows(image_mean + concepts[label] + 0.5 * rng.normal(size=(600, 32)))
    return images, unit_rows(text_mean + concepts), label


def test_planted_selectivity_across_the_modality_gap() -> None:
    right, without = [], []
    for seed in range(5):
        images, text, label = shared_space(seed)
        preferred = np.arange(30) % N_CONCEPTS
        rng = np.random.default_rng(seed)
        Y = (label[:, None] == preferred) + 0.5 * rng.normal(size=(600, 30))
        ridge = Ridge((1e-3, 1e-2, 0.1, 1.0)).fit(images, Y)
        right.append((text_selectivity(ridge.coef_, text).argmax(axis=0) == preferred).mean())
        shuffled = Ridge((1e-3, 1e-2, 0.1, 1.0)).fit(images, rng.permuted(Y, axis=0))
        without.append((text_selectivity(shuffled.coef_, text).argmax(axis=0) == preferred).mean())
        # Both modalities centred by hand: the images' mean response is what 0 means.
        moved = images.mean(axis=0) + text - text.mean(axis=0)
        expected = ridge.predict(moved) - ridge.predict(images).mean(axis=0)
        np.testing.assert_allclose(text_selectivity(ridge.coef_, text), expected, atol=1e-5)
    assert np.mean(right) > 0.95
    assert np.mean(without) == pytest.approx(1 / N_CONCEPTS, abs=0.1)


def test_reference_texts() -> None:
    rng = np.random.default_rng(0)
    coef, text, reference = (rng.normal(size=shape) for shape in ((8, 5), (3, 8), (40, 8)))
    found = text_selectivity(coef, text[:1], reference)
    np.testing.assert_allclose(found, (text[:1] - reference.mean(axis=0)) @ coef)
    tensors = text_selectivity(*(torch.as_tensor(a) for a in (coef, text[:1], reference)))
    np.testing.assert_allclose(tensors.numpy(), found)


def test_clear_errors() -> None:
    coef = np.ones((8, 5))
    refused("give reference", text_selectivity, coef, np.ones((1, 8)))
    refused(r"text has shape \(3, 7\) but the encoder knows 8 features", text_selectivity, coef, np.ones((3, 7)))
