from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import refused
from torch import nn

from brainalign.encoding import ENCODERS, RoutingEncoder
from brainalign.encoding.networks import PUBLISHED_ROUTING, RoutingNetwork, parcels_of, position_code
from brainalign.regression import Ridge, carve_validation
from brainalign.statistics import pearson

GRID = (3, 4)
ROI = np.repeat(["V1", "FFA", "PPA"], 4)
QUICK = {"epochs": 2, "d_model": 8, "batch_size": 20}


def small(n: int = 60, n_channels: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 12, n_channels)).astype(np.float32)
    return X, (X[:, 3] @ rng.normal(size=(n_channels, 12)) + rng.normal(size=(n, 12))).astype(np.float32)


def network(members: np.ndarray, **changes: object) -> RoutingNetwork:
    torch.manual_seed(0)
    options = {"content": True, "d_model": 8, "n_heads": 2, "feedforward": None, "dropout": 0.0} | changes
    net = RoutingNetwork(members, 5, position_code(GRID), **options).eval()
    assert not net.weight.any()  # every target starts at its mean
    torch.nn.init.normal_(net.weight)
    return net


@pytest.mark.parametrize("feedforward", [None, 6])
def test_equations(feedforward: int | None) -> None:
    """Token by token in float64: keys, softmax per head, values, feed-forward, and the sum over a target's queries."""
    members = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [1, 1, 1, 0]], dtype=bool)
    net = network(members, feedforward=feedforward)
    X = torch.from_numpy(small()[0][:3])
    found, weights = net(X).detach(), net.attention(X).detach()
    net = net.double()
    packed = iter(net.weight)
    read = {(q, v): next(packed) for q, v in np.argwhere(members).tolist()}
    for n, tokens in enumerate(X.double()):
        expected = net.bias.clone()
        for q, query in enumerate(net.queries):
            keys = torch.stack([net.content_key(x) + net.position_key(net.code[p]) for p, x in enumerate(tokens)])
            values, heads = torch.stack([net.value(x) for x in tokens]), [slice(0, 4), slice(4, 8)]
            shares = [torch.softmax(keys[:, head] @ query[head] / 2, dim=0) for head in heads]
            gathered = torch.cat([share @ values[:, head] for share, head in zip(shares, heads, strict=True)])
            if feedforward is not None:
                gathered = net.feedforward(gathered)
            for v in np.flatnonzero(members[q]):
                expected[v] += read[q, v] @ gathered
            torch.testing.assert_close(weights[n, q].double(), torch.stack(shares).mean(dim=0), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(found[n].double(), expected, atol=1e-5, rtol=1e-5)


def test_a_query_per_target_is_the_packed_read_out_and_all_places_differ() -> None:
    """The einsum of one query per target gives what packed members give; a permuted membership shows it."""
    X = torch.from_numpy(small()[0][:4])
    one, other = network(np.eye(6, dtype=bool)), network(np.eye(6, dtype=bool)[::-1].copy())
    assert one.one_each
    assert not other.one_each
    other.load_state_dict(one.state_dict() | {"target": other.target, "bias": one.bias.flip(0)})
    torch.testing.assert_close(one(X), other(X).flip(1))
    # Any row and any column can be singled out by a sum over channels, as a query does.
    for grid in ((8, 8), (3, 5), (31, 31), (1, 4)):
        code = position_code(grid).double().numpy()
        assert code.shape[0] == grid[0] * grid[1]
        inverse = np.linalg.pinv(code)
        row, column = np.divmod(np.arange(len(code)), grid[1])
        for place in (row, column):
            wanted = place[:, None] == np.unique(place)
            np.testing.assert_allclose(code @ (inverse @ wanted), wanted, atol=1e-4)


@pytest.mark.parametrize(("keys", "follows"), [("content", True), ("position", False)])
def test_keys_hold_content_or_position_alone(keys: str, follows: bool) -> None:
    """Moved tokens take attention with them if keys hold content; it stays in place if they hold position."""
    X, Y = small(800)  # of fewer, or of what keys cannot tell, queries attend evenly
    if follows:
        Y = 3 * X[np.arange(800), X[:, :, 0].argmax(axis=1)] @ np.random.default_rng(2).normal(size=(5, 12)) + Y / 3
    encoder = RoutingEncoder(keys=keys, **QUICK | {"epochs": 20}).fit(X, Y, grid=GRID, roi=ROI)
    order = np.random.default_rng(0).permutation(12)
    before, after = encoder.attention(X), encoder.attention(X[:, order])
    np.testing.assert_allclose(after, before[:, :, order] if follows else before, atol=1e-6)
    assert before.std(axis=2).max() > 1e-5


def test_parcels_are_found_in_training_rows_only_of_many_targets() -> None:
    rng = np.random.default_rng(3)
    X, truth = rng.normal(size=(100, 12, 5)).astype(np.float32), np.repeat([0, 1, 2], 4)
    Y = rng.normal(size=(100, 3))[:, truth] + 0.3 * rng.normal(size=(100, 12))
    encoder = RoutingEncoder("parcel", n_parcels=3, **QUICK).fit(X, Y, grid=GRID)
    assert len(set(zip(encoder.members_.argmax(axis=0).tolist(), truth.tolist(), strict=True))) == 3
    # The rows that choose the epoch may say anything about parcels.
    held, other = carve_validation(100, encoder.validation, None, encoder.seed)[1], Y.copy()
    other[held] = 50 * rng.normal(size=(len(held), 3))[:, np.tile([0, 1, 2], 4)]
    again = RoutingEncoder("parcel", n_parcels=3, **QUICK).fit(X, other, grid=GRID)
    np.testing.assert_array_equal(again.members_, encoder.members_)
    # Leading components of the profiles are enough; missing responses do not stop it.
    rng, truth = np.random.default_rng(3), np.repeat(np.arange(5), 40)
    Y = rng.normal(size=(150, 5))[:, truth] + rng.normal(size=(150, 200))
    Y[rng.random(Y.shape) < 0.05] = np.nan
    names, members = parcels_of(Y, 5, seed=0)
    assert len(set(zip(members.argmax(axis=0).tolist(), truth.tolist(), strict=True))) == len(names) == 5


def test_padding_is_not_attended_to() -> None:
    """Tokens that are NaN throughout get no weight, and what was below them changes nothing."""
    X, Y = small()
    X[:, 8:] = np.nan
    X[::2, 0] = np.nan  # images may differ
    encoder = RoutingEncoder(n_heads=2, **QUICK).fit(X, Y, grid=GRID, roi=ROI)
    weights = encoder.attention(X)
    there = np.broadcast_to(~np.isnan(X[:, None, :, 0]), weights.shape)
    assert (weights[~there] == 0).all()
    assert (weights[there] > 0).all()
    np.testing.assert_allclose(weights.sum(axis=2), 1, atol=1e-6)
    expected, module = encoder.predict(X)[1::2], encoder.module_
    module.code = module.code[:8]
    short = torch.from_numpy(X[1::2, :8])  # the same images without the padded tokens
    np.testing.assert_allclose(module.unscaled(module(short)).detach(), expected, atol=1e-5)


def test_missing_responses_are_left_out() -> None:
    """A wild value behind NaN changes nothing, and scores are over the observed rows."""
    X, Y = small(200)
    missing = np.random.default_rng(1).random(Y.shape) < 0.2
    Y[missing] = np.nan
    encoder = RoutingEncoder(**QUICK | {"epochs": 20}).fit(X, Y, grid=GRID, roi=ROI)
    assert np.isfinite(encoder.predict(X)).all()
    predicted = encoder.predict(X)
    expected = [pearson(predicted[~gone, v], Y[~gone, v]) for v, gone in enumerate(missing.T)]
    np.testing.assert_allclose(encoder.score_targets(X, Y), expected, atol=1e-6)
    assert np.mean(expected) > 0.4


def test_units_do_not_matter_and_sizes_are_published() -> None:
    X, Y = small()
    plain = RoutingEncoder(**QUICK).fit(X, Y, grid=GRID, roi=ROI)
    other = RoutingEncoder(**QUICK).fit(100 * X + 7, 5 * Y - 3, grid=GRID, roi=ROI)
    np.testing.assert_allclose(other.predict(100 * X + 7), 5 * plain.predict(X) - 3, atol=2e-3)
    # One layer of the published width, with layer norms and a feed-forward network, trains as any other.
    X, Y = small(30)
    encoder = ENCODERS["routing"](**PUBLISHED_ROUTING | {"epochs": 1}).fit(X, Y, grid=GRID, roi=ROI)
    assert encoder.module_.queries.shape == (3, 768)
    assert encoder.n_parameters_ == sum(p.numel() for p in encoder.module_.parameters())
    hidden = [layer.out_features for layer in encoder.module_.feedforward.layers if isinstance(layer, nn.Linear)]
    assert hidden == [1024, 768]
    assert np.isfinite(encoder.predict(X)).all()


@pytest.mark.parametrize(("change", "message"), [
    ({"roi": None}, "queries 'roi' needs roi="), ({"roi": ROI[:5]}, "roi has 5 rows but the targets of Y has 12"),
    ({"roi": np.array([[True] * 12, [False] * 12])}, r"1 of 2 ROIs have no members \(rows 1\)"),
    ({"roi": np.ones((2, 12), dtype=int)}, "membership is boolean"),
    ({"roi": np.where(ROI == "V1", "", ROI)}, r"4 of 12 targets are in no ROI \(columns 0, 1, 2 and 1.*rest=True"),
    ({"roi": [""] * 12}, "none of the 12 targets has a label"), ({"queries": "hemisphere"}, "wants 'L' or 'R'"),
    ({"queries": "target"}, "leave roi out"), ({"queries": "parcel"}, "leave roi out"),
    ({"queries": "parcel", "roi": None}, "n_parcels is 100 but Y has 12 targets"),
    ({"queries": "vertex"}, "queries must be one of"), ({"keys": "where"}, "keys must be one of"),
    ({"queries": "target", "roi": None, "rest": True}, "rest is for queries 'roi'"),
    ({"n_heads": 3}, "d_model 32 is no multiple of n_heads 3"), ({"dropout": 1.0}, "dropout is 1.0"),
    ({"feedforward": 0}, "feedforward is 0"), ({"semantics": np.zeros((60, 2))}, "cannot use semantics"),
    ({"X": np.where(small()[0] > 2, np.nan, small()[0])}, "NaN in some channels"),
    ({"X": np.where(np.arange(60)[:, None, None] < 30, np.nan, small()[0])}, "nothing but padding"),
])  # fmt: skip
def test_bad_input(change: dict, message: str) -> None:
    X, Y = small()
    call = {"X": X, "Y": Y, "grid": GRID, "roi": ROI} | change
    encoder = RoutingEncoder(**{name: call.pop(name) for name in RoutingEncoder().get_params().keys() & call.keys()})
    refused(message, encoder.fit, call.pop("X"), call.pop("Y"), **call)


def test_content_needs_no_grid_and_features_of_the_same_width(tmp_path: Path) -> None:
    X, Y = small()
    encoder = RoutingEncoder(keys="content", **QUICK).fit(X, Y, roi=ROI)
    encoder.save(tmp_path)
    before = torch.get_rng_state()
    np.testing.assert_array_equal(RoutingEncoder.load(tmp_path).predict(X), encoder.predict(X))
    assert torch.equal(torch.get_rng_state(), before)
    for call in (encoder.predict, encoder.attention):
        refused(r"shape \(60, 12, 4\) but .* fitted on 12 tokens of 5 channels", call, X[:, :, :4])
    refused("cannot use semantics", encoder.predict, X, semantics=X)


def test_few_images_of_little_signal_lose_nothing_to_ridge_on_the_mean_token() -> None:
    """Weights left as they were trained cost .05 of r; targets of two ROIs, and missing responses, lose as little."""
    rng, behind = np.random.default_rng(5), []
    overlapping = np.vstack([np.arange(24) % 3 == k for k in range(3)] + [np.arange(24) < 6])
    for seed in range(4):
        x = (rng.normal(size=(700, 1, 12)) + rng.normal(size=(700, 12, 12))).astype(np.float32)
        signal = x.mean(axis=1) @ rng.normal(size=(12, 24))
        y = signal / signal.std(axis=0) + 4 * rng.normal(size=signal.shape)
        ridge = Ridge(per_target_alpha=False).fit(x[:200].mean(axis=1), y[:200]).predict(x[200:].mean(axis=1))
        y[rng.random(y.shape) < 0.02 * seed] = np.nan
        found = RoutingEncoder(seed=seed).fit(x[:200], y[:200], grid=GRID, roi=overlapping).predict(x[200:])
        behind.append(pearson(ridge, signal[200:]).mean() - pearson(found, signal[200:]).mean())
    assert np.mean(behind) < 0.01, behind
    y = np.where(rng.random(signal.shape) < 0.5, np.nan, signal)  # of what is half missing nothing is said half as loud
    found = RoutingEncoder(epochs=3).fit(x[:200], y[:200], grid=GRID, roi=overlapping).predict(x[200:])
    assert (found * signal[200:]).mean() > 0.8 * np.square(signal[200:]).mean()
