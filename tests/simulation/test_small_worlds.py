from __future__ import annotations

import numpy as np
import pytest
from refusals import refused
from sklearn.linear_model import Ridge as SklearnRidge
from worlds.hierarchy import R_CEILING, hierarchy, smooth_maps
from worlds.objects import OBJECT_ROIS, object_world
from worlds.shifting import shifting_fields
from worlds.small import linear_gaussian_reference

from brainalign.simulation import abstraction_world, linear_world, voxel_prior_world


def test_the_world_is_what_it_says() -> None:
    world = hierarchy(seed=3)
    assert len(world.layers) == len(world.random_layers) == 6
    assert world.voxels.shape == (600, 108)
    assert world.sensors.shape == (600, 30, 60)
    assert pytest.approx(0.573, abs=0.001) == R_CEILING
    assert world.voxels.var(axis=0).mean() == pytest.approx(1.49, abs=0.05)
    assert np.corrcoef(world.depth, world.distance_mm)[0, 1] > 0.95
    assert world.separation_mm.max() > world.distance_mm.max()  # a sheet, not a line
    assert world.latency_s == pytest.approx([0.08, 0.13, 0.18, 0.23, 0.28, 0.33])


def test_voxels_are_linear_in_the_layers_beside_their_depth() -> None:
    world = hierarchy(n_images=2000, seed=1)
    voxel = world.voxels[:, world.area == 7][:, 0]  # depth 2.06: layers 2 and 3
    for layer, expected in ((2, R_CEILING), (5, 0.45)):
        X = np.column_stack([world.layers[layer], np.ones(2000)])
        r = np.corrcoef(X @ np.linalg.lstsq(X, voxel)[0], voxel)[0, 1]
        assert (r > 0.95 * expected) if layer == 2 else (r < expected)


def test_sensors_carry_each_layer_at_its_time() -> None:
    world = hierarchy(n_images=2000, seed=1)
    power = world.sensors.var(axis=0).mean(axis=0) - 9  # the noise
    assert np.abs(power[world.times_s < 0]).max() < 0.2
    assert power[(world.times_s > 0.07) & (world.times_s < 0.34)].min() > 0.5


def test_smooth_maps_have_their_length() -> None:
    line = np.arange(30.0) * 4
    maps = smooth_maps(np.abs(line[:, None] - line), 20, 3000, seed=1)
    found = (maps[:, 0] * maps[:, 5]).mean()  # 20 mm apart
    assert maps.var(axis=0).mean() == pytest.approx(1, abs=0.05)
    assert found == pytest.approx(np.exp(-0.5), abs=0.06)


# --- shifting fields --------------------------------------------------------------------------------------------------


def test_plants_what_it_says() -> None:
    world = shifting_fields(3000, 1000, 8, seed=1)
    assert world.tokens.std() == pytest.approx(1, rel=0.02)
    np.testing.assert_allclose(world.signal.std(axis=0), 1)
    noise = world.responses - world.signal
    assert noise[world.train].std() == pytest.approx(0.7, rel=0.02)
    assert noise[world.test].std() == pytest.approx(0.4, rel=0.02)
    assert world.shifting.tolist() == [True] * 4 + [False] * 4
    assert not world.shifts[:, ~world.shifting].any()
    # Shifts are .45 of the first two semantic values, which carry noise of sd .05.
    apart = world.shifts[:, 0] - 0.45 * world.semantics[:, :2]
    assert apart.std() == pytest.approx(0.45 * 0.05, rel=0.1)
    again = shifting_fields(3000, 1000, 8, seed=1)
    np.testing.assert_array_equal(again.responses, world.responses)


def test_signals_are_fields_at_their_places() -> None:
    """Written out for single images: x goes with columns, y with rows."""
    world = shifting_fields(20, 20, 4, seed=2)
    ratios = []
    for image, voxel in [(0, 0), (7, 0), (31, 0), (3, 3), (33, 3)]:
        x, y = world.base[voxel] + world.shifts[image, voxel]
        weights = np.array(
            [
                np.exp(-((col * 2 / 9 - 1 - x) ** 2 + (row * 2 / 9 - 1 - y) ** 2) / (2 * 0.22**2))
                for row in range(10)
                for col in range(10)
            ]
        )
        expected = weights / weights.sum() @ world.tokens[image] @ world.weights[voxel]
        ratios.append(world.signal[image, voxel] / expected)
    np.testing.assert_allclose(ratios, 1)


# --- objects ----------------------------------------------------------------------------------------------------------


def test_plants_what_it_says_of_objects() -> None:
    world = object_world(3000, 600, n_targets=4, seed=3)
    rows = np.arange(3600)
    assert world.tokens.shape == (3600, 64, 12)
    assert (
        np.sort(world.cells, axis=1)[:, 1:] > np.sort(world.cells, axis=1)[:, :-1]
    ).all()  # all on tokens of their own
    left = world.cells % 8 < 4
    for name, (kind, which) in OBJECT_ROIS.items():
        signal = world.signal[:, world.roi == name]
        cells = np.full(3600, which) if kind == "where" else world.cells[:, which]
        seen = world.tokens[rows, cells, 4:]
        if kind == "whatwhere":
            seen = seen * left[:, which, None]
        weights = np.linalg.lstsq(seen, signal, rcond=None)[0]
        np.testing.assert_allclose(seen @ weights, signal, atol=1e-8)
        if kind == "where":
            np.testing.assert_allclose(signal.std(axis=0), 1)
        else:
            share = 1 if kind == "what" else 0.5  # of images in which the ROI responds
            np.testing.assert_allclose(signal.var(axis=0), share * np.square(weights).sum(axis=0), rtol=0.15)
    for k in range(4):
        own = world.tokens[rows, world.cells[:, k]]
        assert abs(own[:, k].mean() - 2) < 0.03
        assert abs(own[:, 4:].std() - 1) < 0.02
    noise = world.responses - world.signal
    np.testing.assert_allclose(noise[:3000].std(), 1, atol=0.02)
    np.testing.assert_allclose(noise[3000:].var(), 1 / 3, atol=0.02)
    share = world.signal[3000:].var(axis=0)
    np.testing.assert_allclose(world.ceiling(slice(3000, None)), share / (share + 1 / 3))


# --- abstraction ------------------------------------------------------------------------------------------------------


def test_plants_what_it_says_of_abstraction() -> None:
    world = abstraction_world(seed=1)
    assert len(world.basic) == 320
    assert np.bincount(world.basic).tolist() == [4] * 80
    assert np.bincount(world.superordinate).tolist() == [32] * 10
    # Basic categories of one superordinate category look like those of eight different ones.
    assert len({*zip(world.superordinate.tolist(), world.lookalike.tolist(), strict=True)}) == 80
    assert np.diag(world.similarities).mean() == pytest.approx(6)


def test_people_see_superordinate_categories_and_networks_lookalikes() -> None:
    world = abstraction_world(seed=2)
    i, j = np.triu_indices(320, 1)
    kin = world.superordinate[i] == world.superordinate[j]
    alike = world.lookalike[i] == world.lookalike[j]
    for values, mine, other in [
        (world.similarities, kin, alike),
        (np.corrcoef(world.features), alike, kin),
        (np.corrcoef(world.others), alike, kin),
    ]:
        pairs = values[i, j]
        assert pairs[mine & ~other].mean() > pairs[other & ~mine].mean()


def test_choices_are_drawn_as_probable_as_they_are() -> None:
    world, rng = abstraction_world(4, 3, 2, seed=3), np.random.default_rng(0)
    triplets, p = world.judge(np.tile([0, 5, 12], (4000, 1)), rng)
    chosen = np.array([(triplets[:, 2] == k).mean() for k in (0, 5, 12)])
    expected = [float(p[triplets[:, 2] == k, 2][0]) for k in (0, 5, 12)]
    np.testing.assert_allclose(chosen, expected, atol=0.03)
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_what_cannot_be_built() -> None:
    refused("cannot look like", abstraction_world, n_superordinate=3, n_basic=4)
    refused("cannot hold 26 dimensions", abstraction_world, n_features=20)


# --- linear -----------------------------------------------------------------------------------------------------------


def test_plants_what_it_says_of_linear() -> None:
    ceiling = np.repeat([0.0, 0.3, 0.8, 1.0], 50)
    world = linear_world(2000, 15, 3, ceiling, seed=1)
    np.testing.assert_allclose(world.X @ world.weights, world.signal)
    # Features are independent and of unit variance, so the variance of the signal is that of its weights.
    np.testing.assert_allclose(np.square(world.weights).sum(axis=0), ceiling)
    noise = world.repeats - world.signal
    for level in np.unique(ceiling):
        these = noise[:, :, ceiling == level]
        standard_error = (1 - level) * np.sqrt(2 / these.size)
        assert abs(these.var() - (1 - level)) <= 4 * standard_error


def test_ceilings_are_shares() -> None:
    refused(r"shares in \[0, 1\]", linear_world, 10, 2, 2, [1.2])


# --- voxel prior ------------------------------------------------------------------------------------------------------


def test_plants_what_it_says_of_voxel_prior() -> None:
    world, rng = voxel_prior_world(seed=3), np.random.default_rng(0)
    images = world.images(20_000, rng)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1)
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(images.T)))
    assert spread[-1] / spread[0] == pytest.approx(3, abs=0.5)  # the planted ratio, a little less on the sphere
    weights = world.weights(40_000, rng)
    np.testing.assert_allclose(np.cov(weights), world.prior_covariance, atol=0.1)
    on, off = (np.linalg.eigvalsh(np.cov(world.weights(40_000, rng, on_prior=flag)[:-1])) for flag in (True, False))
    assert on[-3:].sum() / on.sum() > 0.9
    assert off[-3:].sum() / off.sum() < 0.25
    assert off.sum() == pytest.approx(on.sum(), rel=0.05)
    few = weights[:, :50]
    signal = images @ few[:-1] + few[-1]
    np.testing.assert_allclose(world.noise_sd(few, 1.5) / signal.std(axis=0), 1.5, rtol=0.05)


def test_reference_is_ridge_where_the_prior_is_isotropic() -> None:
    world, rng = voxel_prior_world(), np.random.default_rng(1)
    X, Y = world.images(30, rng), rng.normal(size=(30, 4))
    covariance = 4 * np.eye(17)
    covariance[-1, -1] = 1e5  # as good as a free intercept
    found = linear_gaussian_reference(X, Y, np.full(4, 0.6), np.zeros(17), covariance)
    expected = SklearnRidge(alpha=0.36 / 4).fit(X, Y)
    np.testing.assert_allclose(found[:-1].T, expected.coef_, atol=1e-5)
    np.testing.assert_allclose(found[-1], expected.intercept_, atol=1e-5)


def test_reference_is_the_posterior_mean() -> None:
    """Truth and its estimate: E[w | y] leaves errors that no linear function of y explains, of the posterior's size."""
    world, rng = voxel_prior_world(), np.random.default_rng(2)
    X, weights = world.images(15, rng), world.weights(20_000, rng)
    Y = X @ weights[:-1] + weights[-1] + 0.5 * rng.normal(size=(15, 20_000))
    found = linear_gaussian_reference(X, Y, np.full(20_000, 0.5), world.prior_mean, world.prior_covariance)
    error = weights - found
    assert np.abs(error @ Y.T / 20_000).max() < 0.05
    design = np.column_stack([X, np.ones(15)])
    posterior = np.linalg.inv(np.linalg.inv(world.prior_covariance) + design.T @ design / 0.25)
    np.testing.assert_allclose(np.trace(np.cov(error)), np.trace(posterior), rtol=0.03)


def test_more_features_than_latents() -> None:
    refused("n_features is 2 but n_latents 3", voxel_prior_world, n_features=2)
