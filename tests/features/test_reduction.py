import tracemalloc
from itertools import pairwise, permutations
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from refusals import refused
from sklearn.decomposition import PCA as TheirPCA
from sklearn.pipeline import make_pipeline
from sklearn.random_projection import SparseRandomProjection
from worlds.small import sparse_mixtures

from brainalign.arrays import StoredArray
from brainalign.features import PCA, RandomUnits, SparseAutoencoder, SparseProjection, layer_inputs, reduction
from brainalign.features.dictionaries import MatchingPursuit, TopK, dictionary_quality, match_atoms, stability


class TestSparseProjection:
    def test_equals_scikit_learn(self) -> None:
        values = np.random.default_rng(0).normal(size=(12, 2_000)).astype(np.float32)
        theirs = SparseRandomProjection(300, random_state=7).fit_transform(values)
        np.testing.assert_allclose(SparseProjection(2_000, 300, seed=7)(torch.from_numpy(values)), theirs, atol=1e-3)
        assert not np.allclose(SparseProjection(2_000, 300, seed=8)(torch.from_numpy(values)), theirs, atol=0.1)

    def test_runs_batch_by_batch(self) -> None:
        values = torch.randn(20, 5_000, generator=torch.Generator().manual_seed(0))
        projection = SparseProjection(5_000, 1_000)
        whole = projection(values)
        np.testing.assert_allclose(torch.cat([projection(part) for part in values.split(7)]), whole, atol=1e-5)
        np.testing.assert_allclose(projection(values.reshape(4, 5, 5_000)).reshape(20, -1), whole, atol=1e-5)

    def test_gradient_is_the_transposed_projection(self) -> None:
        projection, values = SparseProjection(30, 5), torch.randn(2, 30, requires_grad=True)
        weights = torch.randn(2, 5)
        (projection(values) * weights).sum().backward()
        np.testing.assert_allclose(values.grad, weights @ projection.components_.to_dense().float(), atol=1e-5)

    def test_sizes(self) -> None:
        refused("cannot project 5 features onto 6", SparseProjection, 5, 6)
        refused("takes 9 features; got 8", SparseProjection(9, 3), torch.rand(2, 8))


class TestPCA:
    values = np.random.default_rng(0).normal(size=(40, 6)) @ np.diag([5, 4, 3, 2, 1, 0.5]) + 3

    @pytest.mark.parametrize("n_rows", [20, 5])
    def test_equals_scikit_learn_on_the_training_rows(self, n_rows: int, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.setattr(reduction, "BLOCK_BYTES", 4 * min(n_rows, 6) * 8)  # four of the longer side
        rows = np.arange(0, 2 * n_rows, 2)
        np.save(tmp_path / "layer.npy", self.values)
        theirs = TheirPCA(3).fit(self.values[rows])
        for values in (self.values, StoredArray(tmp_path / "layer.npy", 128, self.values.shape, np.dtype(float))):
            ours = PCA(3).fit(values, rows=rows)
            np.testing.assert_allclose(np.abs(ours.components_ @ theirs.components_.T), np.eye(3), atol=1e-8)
            np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_)
            np.testing.assert_allclose(np.abs(ours.transform(values)), np.abs(theirs.transform(self.values)))

    def test_limits(self) -> None:
        whole, some = np.round(10 * self.values).astype(np.int64), np.arange(20)
        expected = PCA(2).fit(whole + 0.0, rows=some).transform(whole + 0.0)
        np.testing.assert_allclose(PCA(2).fit(whole, rows=some).transform(whole), expected, rtol=1e-5)
        refused(r"5 training rows of 6 features give at most 4 .* = 5", PCA(5).fit, self.values, rows=np.arange(5))
        refused("NaN", PCA(2).fit, np.full((9, 3), np.nan), rows=np.arange(9))


@pytest.mark.parametrize(("maps", "n_components"), [(False, None), (True, None), (True, 3)])
def test_features_are_scaled_and_reduced_on_training_rows_alone(maps: bool, n_components: int | None, rng) -> None:
    values, train = rng.normal(size=(30, 8)).astype(np.float32), np.arange(20)
    options = {"n_components": n_components, "maps": maps}
    ours, other = layer_inputs(values, train, **options), values.copy()
    other[20:] = 50 + 9 * rng.normal(size=(10, 8))  # nothing of the test rows may reach the training rows
    np.testing.assert_array_equal(layer_inputs(other, train, **options)[:20], ours[:20])
    assert ours.shape[1] == (n_components or 8)
    np.testing.assert_allclose(ours[:20].mean(axis=0), 0, atol=1e-5)
    assert np.square(ours[:20]).sum(axis=1).mean() == pytest.approx(reduction.TOTAL_VARIANCE, rel=1e-5)


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


@pytest.fixture(scope="module")
def world():
    return sparse_mixtures(1500, 20, 30, 2)


@pytest.mark.parametrize("coding", ["topk", "matching_pursuit"])
def test_few_atoms_explain_unseen_rows_by_few_codes_of_the_largest_and_pursuit(coding, world):
    options, train = {"epochs": 30, "batch_size": 64, "seed": 1}, np.arange(1200)
    fitted = SparseAutoencoder(30, 2, coding, **options).fit(world.features, rows=train)
    found = dictionary_quality(fitted, world.features[1200:])
    assert found.unexplained < 0.15  # a random dictionary leaves about half
    assert found.n_active <= 2
    assert found.dead <= 0.1
    assert match_atoms(world.atoms, fitted.atoms_).mean() > 0.8
    random = np.random.default_rng(5).normal(size=(30, 20))
    assert match_atoms(world.atoms, random / np.linalg.norm(random, axis=1, keepdims=True)).mean() < 0.55
    codes = fitted.transform(world.features[1200:])
    assert codes.shape == (300, 30)
    assert codes.min() >= 0
    assert (codes > 0).sum(axis=1).max() <= 2
    np.testing.assert_allclose(np.linalg.norm(fitted.atoms_, axis=1), 1, atol=1e-5)
    again = SparseAutoencoder(30, 2, coding, **options).fit(5 * world.features + 100, rows=train)  # as are codes
    np.testing.assert_allclose(again.transform(5 * world.features[1200:] + 100), 5 * codes, atol=0.02)
    torch.manual_seed(0)
    network, rows = TopK(6, 10, 3), torch.randn(40, 6)
    drive = ((rows - network.bias) @ network.encoder.T).relu().detach().numpy()
    expected = np.where(drive >= np.sort(drive, axis=1)[:, -3][:, None], drive, 0)
    np.testing.assert_allclose(network.encode(rows).detach().numpy(), expected, atol=1e-6)
    torch.manual_seed(0)
    rows, left = torch.randn(50, 6), []
    for n_active in range(1, 7):
        torch.manual_seed(1)
        network = MatchingPursuit(6, 10, n_active)
        codes, rest = network._pursue(rows)
        np.testing.assert_allclose((codes @ network.atoms + rest).detach(), rows, atol=1e-5)
        left.append(rest.norm(dim=1))
    assert all((later <= earlier + 1e-6).all() for earlier, later in pairwise(left))
    assert left[-1].mean() < 0.6 * left[0].mean()


def test_few_rows_are_learned_from_for_long_enough():
    worlds = [sparse_mixtures(250, 20, 30, 2, seed=seed) for seed in range(33, 37)]
    found = [match_atoms(few.atoms, SparseAutoencoder(30, 2).fit(few.features).atoms_) for few in worlds]
    assert (np.array(found) > 0.9).mean() > 0.8


def test_dead_atoms_are_brought_back():
    torch.manual_seed(0)
    network, rows = TopK(4, 6, 1), torch.randn(64, 4)
    network.silent[2] = 1000
    network.loss(rows).backward()
    assert network.atoms.grad[2].abs().sum() > 0  # though it may explain no row itself
    dead = TopK(4, 6, 1)
    dead.encoder.data[2], dead.silent[2] = 0, 1000  # explains nothing of what others leave
    with_it, dead.silent[2] = dead.loss(rows), 0
    assert with_it.item() == pytest.approx(dead.loss(rows).item() + 1 / 32)
    lone = TopK(4, 6, 1)  # without the auxiliary loss an atom that never fires has no gradient
    lone.encoder.data[2] = 0
    lone.loss(rows).backward()
    assert lone.atoms.grad[2].abs().sum() == 0


def test_matching_is_the_best_of_all_orders():
    one, other = np.random.default_rng(0).normal(size=(2, 5, 3))
    best = max(sum(one[k] @ other[j] for k, j in enumerate(order)) for order in permutations(range(5)))
    np.testing.assert_allclose(match_atoms(one, other).sum(), best)


def test_bad_input(world):
    atoms = np.eye(3)
    refused("share their start", stability, [atoms, atoms])
    refused("got 1", stability, [atoms])
    refused("coding must be one of", SparseAutoencoder(coding="omp").fit, world.features)
    refused("n_active is 9 of 8", SparseAutoencoder(8, 9).fit, world.features)
    refused("all alike", SparseAutoencoder(8, 2).fit, np.ones((10, 3)))
    refused("2 or more rows", SparseAutoencoder(8, 2).fit, np.ones((1, 3)))
    values = world.features[:50].copy()
    values[3, 1] = np.nan
    refused("training rows", SparseAutoencoder(8, 2).fit, values)
    fitted = make_pipeline(SparseAutoencoder(8, 2, epochs=1), "passthrough").fit(world.features[:50], np.arange(50))[0]
    refused("fitted on 20 features", fitted.transform, world.features[:5, :3])
    refused("20 features but one of others has 3", match_atoms, fitted.atoms_, np.eye(3))


def test_random_units_are_rectified_projections_of_training_rows(world):
    rows = world.features[:70]
    units = RandomUnits(5, 3).fit(rows, rows=np.arange(40))
    centred = rows.astype(float) - rows[:40].astype(float).mean(axis=0)
    weights = np.random.default_rng(3).normal(size=(20, 5)) / np.sqrt((centred[:40] ** 2).sum(axis=1).mean())
    np.testing.assert_allclose(units.transform(rows), np.maximum(centred @ weights, 0), atol=1e-5)
