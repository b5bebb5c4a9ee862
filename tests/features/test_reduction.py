import tracemalloc
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from refusals import refused
from sklearn.decomposition import PCA as TheirPCA
from sklearn.random_projection import SparseRandomProjection

from brainalign.arrays import StoredArray
from brainalign.features import PCA, SparseProjection, layer_inputs
from brainalign.features.reduction import TOTAL_VARIANCE


class TestSparseProjection:
    def test_equals_scikit_learn(self) -> None:
        values = np.random.default_rng(0).normal(size=(12, 2_000)).astype(np.float32)
        theirs = SparseRandomProjection(300, random_state=7).fit_transform(values)
        ours = SparseProjection(2_000, 300, seed=7)(torch.from_numpy(values))
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
        other = SparseProjection(2_000, 300, seed=8)(torch.from_numpy(values))
        assert not np.allclose(other, theirs, atol=0.1)

    def test_runs_batch_by_batch(self) -> None:
        values = torch.randn(20, 5_000, generator=torch.Generator().manual_seed(0))
        projection = SparseProjection(5_000, 1_000)
        whole = projection(values)
        np.testing.assert_allclose(torch.cat([projection(part) for part in values.split(7)]), whole, atol=1e-5)
        tokens = projection(values.reshape(4, 5, 5_000))
        np.testing.assert_allclose(tokens.reshape(20, -1), whole, atol=1e-5)

    def test_gradient_is_the_transposed_projection(self) -> None:
        projection = SparseProjection(30, 5)
        values = torch.randn(2, 30, requires_grad=True)
        weights = torch.randn(2, 5)
        (projection(values) * weights).sum().backward()
        np.testing.assert_allclose(values.grad, weights @ projection.components_.to_dense().float(), atol=1e-5)

    def test_sizes(self) -> None:
        refused("cannot project 5 features onto 6", SparseProjection, 5, 6)
        refused("takes 9 features; got 8", SparseProjection(9, 3), torch.rand(2, 8))


class TestPCA:
    values = np.random.default_rng(0).normal(size=(40, 6)) @ np.diag([5, 4, 3, 2, 1, 0.5]) + 3

    def test_equals_scikit_learn_on_the_training_rows(self) -> None:
        rows = np.arange(0, 40, 2)
        ours = PCA(3).fit(self.values, rows=rows)
        theirs = TheirPCA(3).fit(self.values[rows])
        np.testing.assert_allclose(np.abs(ours.components_ @ theirs.components_.T), np.eye(3), atol=1e-8)
        np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_)
        np.testing.assert_allclose(np.abs(ours.transform(self.values)), np.abs(theirs.transform(self.values)))

    def test_limits(self) -> None:
        refused(r"5 training rows of 6 features give at most 4 .* = 5", PCA(5).fit, self.values, rows=np.arange(5))
        refused("NaN", PCA(2).fit, np.full((9, 3), np.nan), rows=np.arange(9))


@pytest.mark.parametrize(("maps", "n_components"), [(False, None), (True, None), (True, 3)])
def test_features_are_scaled_and_reduced_on_training_rows_alone(maps: bool, n_components: int | None) -> None:
    rng = np.random.default_rng(0)
    values, train = rng.normal(size=(30, 8)).astype(np.float32), np.arange(20)
    options = {"n_components": n_components, "maps": maps}
    ours = layer_inputs(values, train, **options)
    other = values.copy()
    other[20:] = 50 + 9 * rng.normal(size=(10, 8))  # nothing of the test rows may reach the training rows
    np.testing.assert_array_equal(layer_inputs(other, train, **options)[:20], ours[:20])
    assert ours.shape[1] == (n_components or 8)
    np.testing.assert_allclose(ours[:20].mean(axis=0), 0, atol=1e-5)
    assert np.square(ours[:20]).sum(axis=1).mean() == pytest.approx(TOTAL_VARIANCE, rel=1e-5)


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("half", [None, "float16"])
def test_a_stored_layer_is_scaled_as_it_is_read(half: Literal["float16"] | None, maps: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values, rows = rng.normal(size=(2400, 20, 100)).astype(half or np.float32) * 3 + 2, rng.permutation(2400)
    values[:, 3] = 2
    values.tofile(tmp_path / "layer")
    stored = StoredArray(tmp_path / "layer", 0, values.shape, np.dtype("<f4"), rows, half)
    tracemalloc.start()
    found = layer_inputs(stored, np.arange(600), maps=maps)
    part = found[np.array([2, 2300])][:, 140:170]
    assert tracemalloc.get_traced_memory()[1] < 3 * values.size  # of the 4 bytes each takes
    tracemalloc.stop()
    expected = layer_inputs(values[rows].astype(np.float32), np.arange(600), maps=maps)
    assert not expected[:, 300:400].any()
    np.testing.assert_array_equal(found[...], expected)
    np.testing.assert_array_equal(found[:, 140:170], expected[:, 140:170])
    np.testing.assert_array_equal(part, expected[[2, 2300], 140:170])
    reduced = (layer_inputs(some, np.arange(600), n_components=3) for some in (stored, values[rows].astype(np.float32)))
    np.testing.assert_array_equal(*reduced)
