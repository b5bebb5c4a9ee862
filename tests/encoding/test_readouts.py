import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from features.conftest import Half
from refusals import killed, refused
from scipy import ndimage
from sklearn.base import clone
from sklearn.linear_model import Ridge
from torch.nn import functional
from torch.nn.functional import affine_grid, grid_sample

from brainalign import encoding
from brainalign.encoding import ResponseOptimisedEncoder, networks
from brainalign.encoding.networks import LOSSES, WARPS, Shape, closed_form, semantic_readout, start, token_inputs, warp
from brainalign.regression import carve_validation
from brainalign.statistics import pearson

GRID = (5, 4)
RNG = np.random.default_rng(0)
X = (3 + 2 * RNG.normal(size=(240, 20, 3))).astype(np.float32)
Z = 10 + 3 * RNG.normal(size=(240, 4))
FIELD = np.zeros((2, *GRID))
FIELD[0, 1, 1:3], FIELD[1, 3:, 0] = 1, (1, 2)
WEIGHTS = np.array([[1.0, -2, 0.5], [0.5, 1, -1]])
Y = 100 + np.einsum("npc,vp,vc->nv", X, FIELD.reshape(2, -1), WEIGHTS)
Y += RNG.normal(size=Y.shape)

KINDS = {
    "factorized": encoding.FactorizedReadout, "point": partial(encoding.GaussianReadout, "point"),
    "integrated": partial(encoding.GaussianReadout, "integrated"), "semantic": encoding.SemanticSpatialReadout,
    "response": lambda restarts=1, **options: encoding.ResponseOptimisedEncoder((4, 6), (3, 3), (2, 1), **options),
}  # fmt: skip
ROUTING = {"d_model": 8, "n_heads": 2}
ENCODERS = KINDS | {"routing": lambda restarts=1, **options: encoding.RoutingEncoder("target", **ROUTING, **options)}
factorized, semantic = encoding.FactorizedReadout(epochs=1), encoding.SemanticSpatialReadout(epochs=1, restarts=1)
ROWS, COLS = 7, 9


def given(readout: object, rows: slice = slice(None)) -> dict[str, object]:
    return {"semantics": Z[rows]} if isinstance(readout, encoding.SemanticSpatialReadout) else {}


def fitted(kind: str, **options: object):
    readout = ENCODERS[kind](**({"epochs": 3, "batch_size": 40} | options))
    return readout.fit(X, Y, grid=GRID, **given(readout))


def beside_factorized(shape: Shape, readout: object) -> tuple[torch.nn.Module, torch.nn.Module]:
    both = start(encoding.FactorizedReadout(), shape, seed=5), start(readout, shape, seed=5)
    for network in both:
        torch.manual_seed(1)
        torch.nn.init.normal_(network.weight)
        torch.nn.init.normal_(network.bias)
    return both


@pytest.mark.parametrize("kind", [*ENCODERS, "routing of a region"])
def test_trained_in_half_precision_it_learns_what_it_learns_in_float32(kind: str, monkeypatch) -> None:
    """As on a GPU with mixed_precision: here every forward pass of training is one in bfloat16."""
    region, options = kind not in ENCODERS, {"epochs": 3, "batch_size": 40}
    plain = encoding.RoutingEncoder(d_model=8, **options) if region else ENCODERS[kind](**options)
    other, data = clone(plain), {"grid": GRID} | given(plain) | ({"roi": np.array(["V1", "V1"])} if region else {})
    plain.fit(X, Y, **data)
    monkeypatch.setattr(torch, "autocast", Half)
    other.fit(X, Y, **data)
    assert [epoch.loss for epoch in other.history_] != [epoch.loss for epoch in plain.history_]
    np.testing.assert_allclose([e.loss for e in other.history_], [e.loss for e in plain.history_], rtol=0.03)


@pytest.mark.parametrize("warp_features", [False, True])
@pytest.mark.parametrize("warp", WARPS)
def test_the_semantic_one_starts_as_the_factorized_one(warp: str, warp_features: bool) -> None:
    """Whatever the channel weights are, which training starts from zero"""
    factorized, semantic = beside_factorized(Shape(GRID, 3, 6, 4), encoding.SemanticSpatialReadout(warp, warp_features))
    tokens, semantics = torch.randn(50, 20, 3), 3 * torch.randn(50, 4)
    torch.testing.assert_close(semantic(tokens, semantics), factorized(tokens), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("field", ["point", "integrated"])
def test_the_gaussian_one_is_a_factorized_one_with_its_fields(field: str) -> None:
    both = beside_factorized(Shape(GRID, 3, 6), encoding.GaussianReadout(field))
    factorized, gaussian = (network.eval() for network in both)
    torch.nn.init.uniform_(gaussian.mean, -1, 1)
    torch.nn.init.uniform_(gaussian.root, -1, 0.5)
    fields, tokens = gaussian.fields(), torch.randn(50, 20, 3)
    size = fields.sum(dim=(1, 2)) if field == "point" else fields.square().sum(dim=(1, 2))
    torch.testing.assert_close(size, torch.ones(6))
    torch.nn.init.zeros_(factorized.field)
    factorized.fields = lambda: fields  # type: ignore[method-assign]
    torch.testing.assert_close(gaussian(tokens), factorized(tokens))


def test_points_are_drawn_around_the_mean_in_training_only_by_roots_of_covariances() -> None:
    gaussian = start(encoding.GaussianReadout("point"), Shape((1, 41), 1, 1), seed=0)
    torch.nn.init.ones_(gaussian.weight)
    with torch.no_grad():
        gaussian.mean[:] = torch.tensor([0.3, 0.0])
        gaussian.root[:] = torch.tensor([np.log(0.1), np.log(0.1), 0.0])
    ramp = torch.linspace(-1, 1, 41).expand(4000, 41)[..., None]  # reads out the x of a place
    drawn = gaussian.train()(ramp).detach()
    assert (drawn.mean(), drawn.std()) == (pytest.approx(0.3, abs=0.01), pytest.approx(0.1, rel=0.05))
    torch.testing.assert_close(gaussian.eval()(ramp), torch.full((4000, 1), 0.3))
    readout = fitted("integrated", epochs=5)
    fields, (rows, cols) = readout.fields_, GRID
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, cols), indexing="ij")
    apart = np.stack([x, y], axis=-1)[None] - readout.means_[:, None, None]
    density = np.exp(-0.5 * np.einsum("vhwi,vij,vhwj->vhw", apart, np.linalg.inv(readout.covariances_), apart))
    density /= np.sqrt(np.square(density).sum(axis=(1, 2), keepdims=True))
    np.testing.assert_allclose(fields, density, atol=1e-5)


def test_losses_leave_missing_responses_out() -> None:
    predicted, measured = torch.randn(30, 4), torch.randn(30, 4)
    known = torch.rand(30, 4) > 0.3
    a, b = predicted[known].double().numpy(), measured[known].double().numpy()
    error = np.square(a - b).mean()
    concordance = 2 * np.cov(a, b, bias=True)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    holes = measured.where(known, torch.nan)
    assert float(LOSSES["mse"](predicted, holes)) == pytest.approx(error, rel=1e-5)
    assert float(LOSSES["concordance"](predicted, holes)) == pytest.approx(error + 1 - concordance, rel=1e-5)
    assert all(loss(predicted, torch.full((30, 4), torch.nan)) == 0 for loss in LOSSES.values())
    expected = [pearson(predicted[known[:, v], v].numpy(), measured[known[:, v], v].numpy()) for v in range(4)]
    np.testing.assert_allclose(networks.correlations(predicted, holes), expected, atol=1e-6)
    constant = torch.full((30, 4), 0.1, dtype=torch.float64)
    assert networks.correlations(constant, holes.double()).isnan().all()
    assert (token_inputs.semantic_moments(constant, np.arange(29))[1] == 0).all()


@pytest.mark.parametrize(("kind", "loss"), [("factorized", "concordance"), ("semantic", "mse")])
def test_finds_planted_fields_and_weights(kind: str, loss: str) -> None:
    """With a third of the responses missing, in the units of the features and responses"""
    holes = np.where(np.random.default_rng(1).random(Y.shape) < 1 / 3, np.nan, Y)
    readout = KINDS[kind](epochs=60, batch_size=20, restarts=1, loss=loss)
    readout.fit(X, holes, grid=GRID, **given(readout))
    scale = np.sqrt(np.square(FIELD).sum(axis=(1, 2)))
    assert (pearson(readout.fields_.reshape(2, -1), FIELD.reshape(2, -1), axis=1) > 0.95).all()
    np.testing.assert_allclose(readout.weights_, WEIGHTS * scale[:, None], atol=0.35)
    assert (readout.validation_r_ > 0.9).all()
    assert kind != "semantic" or 1 in readout.restart_  # whose fields stay still, as those planted do
    assert (readout.score_targets(X, holes, **given(readout)) > 0.93).all()


@pytest.mark.parametrize("kind", ["factorized", "point", "integrated"])
def test_predictions_are_fields_times_weights(kind: str) -> None:
    readout = fitted(kind, restarts=2)
    expected = readout.intercept_ + np.einsum("npc,vp,vc->nv", X, readout.fields_.reshape(2, -1), readout.weights_)
    np.testing.assert_allclose(readout.predict(X), expected, rtol=1e-5)


def test_each_target_keeps_its_best_restart() -> None:
    options = {"epochs": 2, "batch_size": 100}
    whole = fitted("semantic", restarts=3, seed=3, **options)
    first = fitted("semantic", restarts=1, seed=3, **options)
    assert (whole.validation_r_ >= first.validation_r_).all()
    assert [epoch.number for epoch in whole.history_] == [1, 2] * 4  # the last for fields that stay still
    assert whole.history_[:2][0][:3] == first.history_[0][:3]
    assert len(np.unique(whole.restart_)) > 1
    # The targets of the first restart are predicted as if there had been no other.
    same = whole.restart_ == 0
    np.testing.assert_array_equal(whole.predict(X, semantics=Z)[:, same], first.predict(X, semantics=Z)[:, same])
    np.testing.assert_array_equal(whole.validation_r_[same], first.validation_r_[same])


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_of_targets_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions, and gradients too: networks are the same after training; no array of warped maps is larger."""
    options = {"restarts": 1, "epochs": 2}
    expected = fitted(kind, **options).predict(X, **given(KINDS[kind]()))
    sizes, plain = [], semantic_readout.warp

    def watched(maps: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        sizes.append(matrices.shape[0] * matrices.shape[1] * maps[0].numel())
        return plain(maps, matrices)

    monkeypatch.setattr(semantic_readout, "warp", watched)
    monkeypatch.setattr(token_inputs, "CHUNK", 1000)  # one target of 40 rows × 20 tokens
    found = fitted(kind, **options).predict(X, **given(KINDS[kind]()))
    if kind == "point":  # other random numbers, because chunks draw their own
        assert pearson(found, expected).min() > 0.9
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (max(sizes) <= 1000) if kind == "semantic" else not sizes


@pytest.mark.parametrize("kind", ENCODERS)
def test_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    readout = fitted(kind, restarts=2, seed=7, checkpoint=tmp_path / "checkpoint")
    readout.save(tmp_path / "saved")
    loaded = type(readout).load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.predict(X, **given(readout)), readout.predict(X, **given(readout)))
    names = ("fields_", "weights_", "intercept_", "validation_r_", "restart_", "means_", "covariances_", "core_grid_")
    for name in (*names, "members_", "queries_", "grid_"):
        if hasattr(readout, name):
            np.testing.assert_array_equal(getattr(loaded, name), getattr(readout, name))
    assert (loaded.history_, loaded.n_parameters_) == (readout.history_, readout.n_parameters_)
    assert loaded.get_params() == readout.get_params() | {"checkpoint": None}
    for of, method, told in (("semantic", "shifts", Z), ("response", "core", X), ("routing", "attention", X)):
        if kind == of:
            np.testing.assert_array_equal(getattr(loaded, method)(told), getattr(readout, method)(told))
    assert sorted(file.name for file in (tmp_path / "saved").iterdir()) == ["encoder.json", "encoder.safetensors"]


# In the second of two restarts, and with normalisation and random numbers.
@pytest.mark.parametrize(("kind", "options", "left"), [
    ("semantic", {"epochs": 2, "restarts": 2}, [1, 2, 2, 1, 2]), ("response", {"epochs": 4, "dropout": 0.2}, [4]),
    ("routing", {"epochs": 4, "dropout": 0.2}, [4]),
])  # fmt: skip
def test_a_killed_fit_goes_on(kind: str, options: dict[str, object], left: list[int], tmp_path: Path) -> None:
    whole, seen = fitted(kind, **options), []
    killed(3, fitted, kind, checkpoint=tmp_path, **options)
    found = fitted(kind, checkpoint=tmp_path, progress=seen.append, **options)
    assert [epoch.number for epoch in seen] == left
    np.testing.assert_array_equal(found.predict(X, **given(found)), whole.predict(X, **given(whole)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ENCODERS)
def test_other_tokens_do_not_go_on_from_a_killed_fit_and_kinds_of_arrays_stay(kind: str, tmp_path: Path) -> None:
    """Channel weights start at 0, so that the first loss is the same whatever the tokens are."""
    killed(1, fitted, kind, epochs=2, checkpoint=tmp_path)
    read = {"grid": GRID, **given(fitted(kind))}
    encoders = (ENCODERS[kind](epochs=2, checkpoint=folder) for folder in (tmp_path, None))
    found, expected = (encoder.fit(X[::-1].copy(), Y, **read) for encoder in encoders)
    np.testing.assert_array_equal(found.predict(X, **given(found)), expected.predict(X, **given(found)))
    other = {"dropout": 0.5} if kind == "routing" else {"loss": "concordance"}  # neither do other options
    found, expected = (fitted(kind, epochs=2, checkpoint=folder, **other) for folder in (tmp_path, None))
    np.testing.assert_array_equal(found.predict(X, **given(found)), expected.predict(X, **given(found)))
    readout = fitted(kind)
    tensors = {name: torch.as_tensor(value) for name, value in given(readout).items()}
    again = clone(readout).fit(torch.as_tensor(X), torch.as_tensor(Y), grid=GRID, **tensors)
    found = again.predict(torch.as_tensor(X), **tensors)
    assert isinstance(found, torch.Tensor)
    known = [getattr(again, name) for name in ("fields_", "validation_r_") if hasattr(again, name)]
    known.append(again.score_targets(torch.as_tensor(X), torch.as_tensor(Y), **tensors))
    assert all(isinstance(each, torch.Tensor) for each in known)
    np.testing.assert_array_equal(found, readout.predict(X, **given(readout)))


@pytest.mark.parametrize("kind", ["factorized", "response", "routing"])
@pytest.mark.parametrize("loss", ["mse", "concordance"])
def test_validation_rows_teach_nothing(kind: str, loss: str) -> None:
    """Neither what they hold nor its scale reaches the network of a given epoch, but for weights that are solved for"""
    groups, options = np.arange(240) // 8, {"epochs": 1, "seed": 1} | ({} if kind == "routing" else {"loss": loss})
    seen = {"factorized": lambda one: one.fields_, "response": lambda one: one.core(X)} if loss == "mse" else {}
    seen["routing"] = lambda one: one.module_.queries.detach()
    shown = seen.get(kind, lambda one: one.predict(X))
    plain = ENCODERS[kind](**options).fit(X, Y, grid=GRID, groups=groups)
    held = carve_validation(240, plain.validation, groups, 1)[1]
    changed, other = Y.copy(), X.copy()
    changed[held], other[held] = 7 * changed[held] + 5, 3 * other[held]
    found = ENCODERS[kind](**options).fit(other, changed, grid=GRID, groups=groups)
    np.testing.assert_array_equal(shown(found), shown(plain))


@torch.no_grad()
def test_weights_are_those_of_ridge_on_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the rows where a response is known; the penalty of all targets is that of the first part, every second one"""
    monkeypatch.setattr(closed_form, "CHUNK", 40)  # a target at a time
    monkeypatch.setattr(closed_form, "HELD", 50)
    torch.manual_seed(2)
    network, x = start(encoding.FactorizedReadout(), Shape(GRID, 3, 3), seed=0), (torch.as_tensor(X) - 3) / 2
    seen = network.seen(x)(slice(None))
    signal = (seen * torch.randn(seen.shape[1:])).sum(dim=2)
    y = 1 + signal + 2 * signal.std(dim=0) * torch.randn(240, 3)
    y[torch.rand(240, 3) < 0.3] = torch.nan
    seen, y, fitted, held = seen.double().numpy(), y / 10, torch.arange(24), torch.arange(24, 240)
    errors, of_all = [], []
    for penalty in closed_form.PENALTIES.tolist():
        error, whole = 0.0, []
        for v in range(3):
            known = ~y[:, v].isnan().numpy()
            z, target, few = seen[known, v], y[known, v].double().numpy(), known[:24].sum()
            both = [Ridge(penalty * np.square(part - part.mean(axis=0)).sum() / z.shape[1]) for part in (z[:few], z)]
            missed = (v != 1) * (both[0].fit(z[:few], target[:few]).predict(z[few:]) - target[few:])
            error, whole = error + np.square(missed).sum(), [*whole, both[1].fit(z, target).predict(seen[:, v])]
        errors, of_all = [*errors, error], [*of_all, np.stack(whole, axis=1)]
    parts = (fitted, held), 50, (3, seen.shape[2], 8)
    solved = closed_form.solve(lambda rows: network.seen(x[rows]), y.__getitem__, *parts)
    found = [(network.seen(x)(slice(None)) * weights).sum(dim=2) + offsets for weights, offsets in solved]
    best = int(np.argmin(errors))
    assert 0 < best < len(errors) - 1
    np.testing.assert_allclose(found[1], of_all[best], atol=1e-4)
    assert float((found[0] - found[1]).abs().max()) > 1e-3  # before validation rows taught


def test_few_images_of_little_signal_lose_nothing_to_ridge_on_the_mean_token() -> None:
    """Weights left as they were trained cost .09 of r here."""
    rng, behind = np.random.default_rng(5), []
    for seed in range(2):
        x = rng.normal(size=(360, 1, 12)) + rng.normal(size=(360, 20, 12))
        signal = x.mean(axis=1) @ rng.normal(size=(12, 24))
        y = signal / signal.std(axis=0) + 3 * rng.normal(size=signal.shape)
        ridge = encoding.Ridge(per_target_alpha=False).fit(x[:60].mean(axis=1), y[:60]).predict(x[60:].mean(axis=1))
        readout = encoding.FactorizedReadout(seed=seed).fit(x[:60].astype(np.float32), y[:60], grid=GRID)
        found = readout.predict(x[60:].astype(np.float32))
        behind.append(pearson(ridge, signal[60:]).mean() - pearson(found, signal[60:]).mean())
    assert np.mean(behind) < 0.05, behind


@pytest.mark.parametrize(("call", "message"), [
    (lambda: factorized.fit(X, Y), "20 tokens but no grid; give grid="),
    (lambda: factorized.fit(X, Y, grid=(5, 5)), r"20 tokens but grid \(5, 5\) has 25"),
    (lambda: factorized.fit(X[:, :, 0], Y, grid=GRID), r"X has shape \(240, 20\)"),
    (lambda: factorized.fit(X[:9], Y, grid=GRID), "X has 9 rows but Y has 240"),
    (lambda: factorized.fit(X, Y[:, 0], grid=GRID), r"Y has shape \(240,\)"),
    (lambda: factorized.fit(X, Y, grid=GRID, roi=np.zeros(2)), "FactorizedReadout cannot use roi"),
    (lambda: factorized.fit(X, Y, grid=GRID, semantics=Z), "FactorizedReadout cannot use semantics"),
    (lambda: encoding.GaussianReadout("points").fit(X, Y, grid=GRID), r"field must be one of .*mean 'point'"),
    (lambda: factorized.fit(np.where(X > 10, np.nan, X), Y, grid=GRID), r"X of shape .* NaN or infinite"),
    (lambda: factorized.fit(X, np.where(Y > 100, np.inf, Y), grid=GRID), "infinite values; give NaN"),
    (lambda: factorized.fit(X, np.where([True, False], Y, 1), grid=GRID), r"1 target.* \(columns 1\)"),
    (lambda: factorized.fit(X, np.where([True, False], np.nan, Y), grid=GRID), r"1 target.* \(columns 0\)"),
    (lambda: encoding.FactorizedReadout(restarts=0).fit(X, Y, grid=GRID), "restarts is 0"),
    (lambda: encoding.FactorizedReadout(loss="mae").fit(X, Y, grid=GRID), "loss must be one of"),
    (lambda: encoding.FactorizedReadout(patience=2).fit(X, Y, grid=GRID), "patience is for schedule 'constant'"),
    (lambda: semantic.fit(X, Y, grid=GRID), "SemanticSpatialReadout needs semantics="),
    (lambda: semantic.fit(X, Y, grid=GRID, semantics=Z[:9]), "semantics has 9 rows but X has 240"),
    (lambda: semantic.fit(X, Y, grid=GRID, semantics=Z[:, 0]), r"semantics has shape \(240,\)"),
    (lambda: semantic.fit(X, Y, grid=GRID, semantics=Z * np.nan), "semantics of shape .* NaN"),
    (lambda: encoding.SemanticSpatialReadout("skew").fit(X, Y, grid=GRID, semantics=Z), "warp must be one of"),
    (lambda: fitted("factorized").predict(X[:, :, :2]), "fitted on 20 tokens of 3 channels"),
    (lambda: fitted("factorized").predict(X, semantics=Z), "FactorizedReadout cannot use semantics"),
    (lambda: fitted("semantic").predict(X), "SemanticSpatialReadout needs semantics="),
    (lambda: fitted("semantic").shifts(Z[:, :2]), r"semantics has shape \(240, 2\) but .* was fitted on 4"),
    (lambda: fitted("factorized").score_targets(X, Y[:, :1]), r"shape \(240, 1\) but predictions have \(240, 2\)"),
    (lambda: fit(keywords={"grid": CORE_GRID, "semantics": CORE_Z}), "cannot use semantics"),
    (lambda: fit(readout="semantic"), "ResponseOptimisedEncoder needs semantics="),
    (lambda: fit(pool=(4, 4)), r"grid \(6, 8\) leaves 2 × 2 places to block 2, which pools over 4 × 4; take fewer"),
    (lambda: fit(PIXELS[:, :1], keywords={"grid": (1, 1)}, pool=(1, 1)), r"grid \(1, 1\) leaves 1 × 1 places"),
    (lambda: fit(PIXELS[:1], SQUARES[:1]), r"cannot set 0.166667 of 1 group\(s\) of rows apart for validation"),
    (lambda: fit(PIXELS[:5], SQUARES[:5]), "validation 0.166667 of 5 rows leaves 2 to choose the epoch by; 3 are"),
    (lambda: fit(pool=(2,)), r"n_channels \[4, 6\], kernel_sizes \[3, 3\] and pool \[2\] must have one number per"),
    (lambda: fit(n_channels=(), kernel_sizes=(), pool=()), "one number per block each"),
    (lambda: fit(n_channels=(4, 0)), r"n_channels is \[4, 0\]; its numbers must be positive"),
    (lambda: fit(kernel_sizes=(3, 4)), r"kernel_sizes is \[3, 4\]; filters need a centre"),
    (lambda: fit(dropout=1.0), r"dropout is 1.0; it must lie in \[0, 1\)"),
    (lambda: fit(readout="gausian"), "readout must be one of .*mean 'gaussian'"),
    (lambda: with_core("semantic").core(PIXELS[:, :5]), r"X has shape \(150, 5, 2\) but .* fitted on 48 tokens of 2"),
])  # fmt: skip
def test_bad_input(call: Callable[[], object], message: str) -> None:
    refused(message, call)


def test_bad_folders(tmp_path: Path) -> None:
    refused(r"holds no encoder\.json", encoding.FactorizedReadout.load, tmp_path)
    fitted("factorized").save(tmp_path)
    refused(r"holds a FactorizedReadout; load it with FactorizedReadout\.load", encoding.GaussianReadout.load, tmp_path)


@pytest.mark.parametrize(("mode", "numbers", "matrix"), [
    ("translation", (1.0, 2.0), [[1, 0, 1], [0, 1, 2]]),
    ("rotation", (0.3,), [[math.cos(0.3), -math.sin(0.3), 0], [math.sin(0.3), math.cos(0.3), 0]]),
    ("scale", (0.5, 2.0), [[1.5, 0, 0], [0, 3, 0]]), ("shear", (0.5, 2.0), [[1, 0.5, 0], [2, 1, 0]]),
    ("affine", (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), [[2, 2, 3], [4, 6, 6]]),
])  # fmt: skip
def test_what_numbers_mean(mode: str, numbers: tuple[float, ...], matrix: list[list[float]]) -> None:
    found = networks.affine_matrix(mode, torch.tensor([numbers, numbers]))
    torch.testing.assert_close(found, torch.tensor([matrix, matrix], dtype=torch.float32))


@pytest.mark.parametrize("mode", WARPS)
def test_moved_fields_equal_torch_and_shifts_those_of_the_centre_of_mass(mode: str) -> None:
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(3, ROWS, COLS, generator=generator)
    matrices = networks.affine_matrix(mode, 0.4 * torch.randn(4, 3, WARPS[mode], generator=generator))
    points = affine_grid(matrices.flatten(0, 1), [12, 1, ROWS, COLS], align_corners=True)
    expected = grid_sample(maps.repeat(4, 1, 1)[:, None], points, padding_mode="zeros", align_corners=True)[:, 0]
    torch.testing.assert_close(warp(maps, matrices).flatten(0, 1), expected, atol=1e-5, rtol=0)
    # Against scipy's centre of mass of the warped map, for a small field inside a fine grid.
    size = 81
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    field = torch.exp(-((x - 0.2).square() + (y + 0.1).square()) / (2 * 0.08**2))[None]
    matrices = networks.affine_matrix(mode, torch.full((1, 1, WARPS[mode]), 0.15))
    row, col = ndimage.center_of_mass(warp(field, matrices)[0, 0].numpy())
    before_row, before_col = ndimage.center_of_mass(field[0].numpy())
    expected = torch.tensor([col - before_col, row - before_row]) * 2 / (size - 1)
    torch.testing.assert_close(networks.moved_centre(field, matrices)[0, 0], expected.float(), atol=2e-3, rtol=0)


CORE_GRID = (6, 8)
CORE_RNG = np.random.default_rng(0)
PIXELS = (3 + 2 * CORE_RNG.normal(size=(150, 48, 2))).astype(np.float32)
CORE_Z = CORE_RNG.normal(size=(150, 3))
# Squares of a pixel: nothing that a read-out of the pixels themselves could find.
SQUARES = 100 + 5 * (PIXELS[:, [10, 37], 0] - 3) ** 2 + CORE_RNG.normal(size=(150, 2))
SMALL = {"n_channels": (4, 6), "kernel_sizes": (3, 3), "pool": (2, 1), "epochs": 3, "batch_size": 40}


def beside(readout: str) -> dict[str, object]:
    return {"semantics": CORE_Z} if readout == "semantic" else {}


def with_core(readout: str = "factorized", **options: object) -> ResponseOptimisedEncoder:
    encoder = ResponseOptimisedEncoder(readout=readout, **(SMALL | options))
    return encoder.fit(PIXELS, SQUARES, grid=CORE_GRID, **beside(readout))


@pytest.mark.parametrize("pool", [(2, 1), (4, 1)])
def test_the_core_written_out(pool: tuple[int, int]) -> None:
    """Convolution, normalisation by the statistics of training, ELU, means of places; 6 rows in fours are 4 and 2"""
    encoder = with_core(pool=pool)
    state = {name.removeprefix("parts.0.core.layers."): value for name, value in encoder.module_.state_dict().items()}
    rows = carve_validation(len(PIXELS), encoder.validation, None, encoder.seed)[0]
    maps = torch.as_tensor((PIXELS - PIXELS[rows].mean(axis=(0, 1))) / PIXELS[rows].std(axis=(0, 1)))
    maps = maps.reshape(-1, *CORE_GRID, 2).permute(0, 3, 1, 2)
    for number, size in zip((0, 5), pool, strict=True):
        maps = functional.conv2d(maps, state[f"{number}.weight"], padding=1)
        names = "running_mean", "running_var", "weight", "bias"
        maps = functional.elu(functional.batch_norm(maps, *(state[f"{number + 1}.{name}"] for name in names)))
        bands = [band.split(size, dim=3) for band in maps.split(size, dim=2)]
        maps = torch.stack([torch.stack([part.mean(dim=(2, 3)) for part in band], dim=-1) for band in bands], dim=2)
    assert tuple(maps.shape[2:]) == encoder.core_grid_
    np.testing.assert_allclose(encoder.core(PIXELS), maps.flatten(2).mT, atol=2e-4)


@pytest.mark.parametrize("readout", ["factorized", "gaussian"])
def test_predictions_are_fields_times_weights_over_the_core(readout: str) -> None:
    encoder = with_core(readout)
    flat = encoder.fields_.reshape(2, -1)
    assert encoder.fields_.shape == (2, 3, 4)
    expected = encoder.intercept_ + np.einsum("npc,vp,vc->nv", encoder.core(PIXELS), flat, encoder.weights_)
    np.testing.assert_allclose(encoder.predict(PIXELS), expected, rtol=1e-5)


@pytest.mark.parametrize("readout", ["factorized", "gaussian", "semantic"])
def test_prediction_changes_nothing_and_rows_do_not_see_each_other(readout: str) -> None:
    """Neither statistics of the batch nor dropout nor random places"""
    encoder = with_core(readout, dropout=0.3)
    first = encoder.predict(PIXELS, **beside(readout))
    encoder.predict(7 * PIXELS, **beside(readout))
    z = {k: {"semantics": CORE_Z[k : k + 1]} if beside(readout) else {} for k in (3, 90)}
    alone = [encoder.predict(PIXELS[k : k + 1], **given) for k, given in z.items()]
    np.testing.assert_allclose(np.concatenate(alone), first[[3, 90]], rtol=1e-5)
    np.testing.assert_array_equal(encoder.predict(PIXELS, **beside(readout)), first)


def test_stops_where_validation_does_and_maps_of_a_single_place() -> None:
    encoder = with_core(epochs=60, schedule="constant", patience=3, learning_rate=0.05, loss="concordance")
    scores = [epoch.score for epoch in encoder.history_]
    assert len(scores) == int(np.argmax(scores)) + 1 + 3 < 60
    assert encoder.validation_r_.mean() == pytest.approx(max(scores))
    # 155 rows leave 129 for training: the last batch of 32 has one row, whose normalisation needs places
    rows = np.arange(155) % 150
    encoder = ResponseOptimisedEncoder((3, 3), (3, 3), (4, 2), epochs=1, batch_size=32)
    assert encoder.fit(PIXELS[rows], SQUARES[rows], grid=CORE_GRID).core_grid_ == (1, 1)
    assert np.isfinite(encoder.predict(PIXELS)).all()


def fit(X: np.ndarray = PIXELS, Y: np.ndarray = SQUARES, keywords: dict | None = None, **options: object) -> object:
    encoder = ResponseOptimisedEncoder(**(SMALL | {"epochs": 1} | options))
    return encoder.fit(X, Y, **({"grid": CORE_GRID} if keywords is None else keywords))
