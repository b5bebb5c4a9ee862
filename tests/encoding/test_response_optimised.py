from collections.abc import Callable

import numpy as np
import pytest
import torch
from refusals import refused
from torch.nn import functional

from brainalign.encoding import ResponseOptimisedEncoder
from brainalign.regression import carve_validation

GRID = (6, 8)
RNG = np.random.default_rng(0)
X = (3 + 2 * RNG.normal(size=(150, 48, 2))).astype(np.float32)
Z = RNG.normal(size=(150, 3))
# Squares of a pixel: nothing that a read-out of the pixels themselves could find.
Y = 100 + 5 * (X[:, [10, 37], 0] - 3) ** 2 + RNG.normal(size=(150, 2))
READOUTS = ("factorized", "gaussian", "semantic")
SMALL = {"n_channels": (4, 6), "kernel_sizes": (3, 3), "pool": (2, 1), "epochs": 3, "batch_size": 40}


def given(readout: str) -> dict[str, object]:
    return {"semantics": Z} if readout == "semantic" else {}


def fitted(readout: str = "factorized", **options: object) -> ResponseOptimisedEncoder:
    encoder = ResponseOptimisedEncoder(readout=readout, **(SMALL | options))
    return encoder.fit(X, Y, grid=GRID, **given(readout))


@pytest.mark.parametrize("pool", [(2, 1), (4, 1)])
def test_the_core_written_out(pool: tuple[int, int]) -> None:
    """Convolution, normalisation by the statistics of training, ELU, means of places; 6 rows in fours are 4 and 2"""
    encoder = fitted(pool=pool)
    state = {name.removeprefix("parts.0.core.layers."): value for name, value in encoder.module_.state_dict().items()}
    rows = carve_validation(len(X), encoder.validation, None, encoder.seed)[0]
    maps = torch.as_tensor((X - X[rows].mean(axis=(0, 1))) / X[rows].std(axis=(0, 1)))
    maps = maps.reshape(-1, *GRID, 2).permute(0, 3, 1, 2)
    for number, size in zip((0, 5), pool, strict=True):
        maps = functional.conv2d(maps, state[f"{number}.weight"], padding=1)
        names = "running_mean", "running_var", "weight", "bias"
        mean, variance, scale, offset = (state[f"{number + 1}.{name}"][:, None, None] for name in names)
        maps = (maps - mean) / (variance + 1e-5).sqrt() * scale + offset
        maps = torch.where(maps > 0, maps, maps.exp() - 1)
        averaged = [
            torch.stack([part.mean(dim=(2, 3)) for part in band.split(size, dim=3)], dim=-1)
            for band in maps.split(size, dim=2)
        ]
        maps = torch.stack(averaged, dim=2)
    assert tuple(maps.shape[2:]) == encoder.core_grid_
    np.testing.assert_allclose(encoder.core(X), maps.flatten(2).mT, atol=2e-4)


@pytest.mark.parametrize("readout", ["factorized", "gaussian"])
def test_predictions_are_fields_times_weights_over_the_core(readout: str) -> None:
    encoder = fitted(readout)
    flat = encoder.fields_.reshape(2, -1)
    assert encoder.fields_.shape == (2, 3, 4)
    expected = encoder.intercept_ + np.einsum("npc,vp,vc->nv", encoder.core(X), flat, encoder.weights_)
    np.testing.assert_allclose(encoder.predict(X), expected, rtol=1e-5)


def test_learns_features_that_pixels_do_not_have() -> None:
    """From a third of missing responses: the square of one pixel each, at its place up to the reach of a filter"""
    rng = np.random.default_rng(1)
    pixels = rng.normal(size=(1200, 48, 1)).astype(np.float32)
    squares = pixels[:, [10, 37], 0] ** 2 + 0.3 * rng.normal(size=(1200, 2))
    holes = np.where(rng.random(squares.shape) < 1 / 3, np.nan, squares)
    train, test = slice(0, 1000), slice(1000, None)
    encoder = ResponseOptimisedEncoder((6,), (3,), (1,), epochs=25, batch_size=50)
    encoder.fit(pixels[train], holes[train], grid=GRID)
    assert (encoder.score_targets(pixels[test], holes[test]) > 0.9).all()
    assert (encoder.validation_r_ > 0.9).all()
    found = np.stack(np.unravel_index(encoder.fields_.reshape(2, -1).argmax(axis=1), GRID))
    assert (np.abs(found - np.stack(np.unravel_index([10, 37], GRID))) <= 1).all()  # filters of 3 × 3 may move a map


@pytest.mark.parametrize("readout", READOUTS)
def test_prediction_changes_nothing_and_rows_do_not_see_each_other(readout: str) -> None:
    """Neither statistics of the batch nor dropout nor random places"""
    encoder = fitted(readout, dropout=0.3)
    first = encoder.predict(X, **given(readout))
    encoder.predict(7 * X, **given(readout))
    alone = [encoder.predict(X[k : k + 1], **({"semantics": Z[k : k + 1]} if given(readout) else {})) for k in (3, 90)]
    np.testing.assert_allclose(np.concatenate(alone), first[[3, 90]], rtol=1e-5)
    np.testing.assert_array_equal(encoder.predict(X, **given(readout)), first)


def test_stops_where_validation_stops_getting_better() -> None:
    encoder = fitted(epochs=60, schedule="constant", patience=3, learning_rate=0.05)
    scores = [epoch.score for epoch in encoder.history_]
    assert len(scores) == int(np.argmax(scores)) + 1 + 3 < 60
    assert encoder.validation_r_.mean() == pytest.approx(max(scores))


def test_maps_of_a_single_place_and_a_batch_of_one_row() -> None:
    """155 rows leave 129 for training: the last batch of 32 has one row, whose normalisation needs places"""
    rows = np.arange(155) % 150
    encoder = ResponseOptimisedEncoder((3, 3), (3, 3), (4, 2), epochs=1, batch_size=32)
    assert encoder.fit(X[rows], Y[rows], grid=GRID).core_grid_ == (1, 1)
    assert np.isfinite(encoder.predict(X)).all()


def fit(X: np.ndarray = X, Y: np.ndarray = Y, keywords: dict[str, object] | None = None, **options: object) -> object:
    encoder = ResponseOptimisedEncoder(**(SMALL | {"epochs": 1} | options))
    return encoder.fit(X, Y, **({"grid": GRID} if keywords is None else keywords))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: fit(keywords={"grid": GRID, "semantics": Z}), "cannot use semantics"),
    (lambda: fit(readout="semantic"), "ResponseOptimisedEncoder needs semantics="),
    (lambda: fit(pool=(4, 4)), r"grid \(6, 8\) leaves 2 × 2 places to block 2, which pools over 4 × 4; take fewer"),
    (lambda: fit(X[:, :1], keywords={"grid": (1, 1)}, pool=(1, 1)), r"grid \(1, 1\) leaves 1 × 1 places"),
    (lambda: fit(X[:1], Y[:1]), r"cannot set 0.166667 of 1 group\(s\) of rows apart for validation"),
    (lambda: fit(X[:12], Y[:12]), "validation 0.166667 of 12 rows leaves 2 to choose the epoch by; 3 are needed"),
    (lambda: fit(pool=(2,)), r"n_channels \[4, 6\], kernel_sizes \[3, 3\] and pool \[2\] must have one number per"),
    (lambda: fit(n_channels=(), kernel_sizes=(), pool=()), "one number per block each"),
    (lambda: fit(n_channels=(4, 0)), r"n_channels is \[4, 0\]; its numbers must be positive"),
    (lambda: fit(kernel_sizes=(3, 4)), r"kernel_sizes is \[3, 4\]; filters need a centre"),
    (lambda: fit(dropout=1.0), r"dropout is 1.0; it must lie in \[0, 1\)"),
    (lambda: fit(readout="gausian"), "readout must be one of .*mean 'gaussian'"),
    (lambda: fitted("semantic").core(X[:, :5]), r"X has shape \(150, 5, 2\) but .* fitted on 48 tokens of 2"),
])  # fmt: skip
def test_bad_input(call: Callable[[], object], message: str) -> None:
    refused(message, call)
