"""Whole results of fixed seeds as they were: ridge by every way of the engine, bands, workers, training and kernels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from seeded.recorded import Record

from brainalign import kernels, regression
from brainalign.arrays import StoredArray

RECORD = Record(Path(__file__).parent / "recorded.json")
RNG = np.random.default_rng
ALPHAS = (0.3, 5.0, 80.0)
# Rows, features: sums of folds, held-out rows, rows alone.
SHAPES = {"sums": (60, 4), "primal": (32, 12), "dual": (17, 30)}
WEIGHTS = RNG(0).random(60) * 9 + 0.1


def world(way: str, t: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, p = SHAPES[way]
    X = RNG(1).normal(size=(n, p)) * np.linspace(1, 3, p) + 2
    Y = X @ RNG(2).normal(size=(p, t)) / p**0.5 + RNG(3).normal(size=(n, t)) * np.arange(1, t + 1) + 10
    return X, Y, RNG(4).permutation(np.arange(n) % 7)


def fitted(ridge: Any, X: Any, Y: Any, **given: Any) -> list[Any]:
    """Return all that a fit leaves, and what it makes of the rows; weights are those of the scores, too."""
    ridge.set_params(device="cpu").fit(X, Y, **given)
    names = ("coef", "intercept", "alpha", "cv_scores", "alpha_at_edge", "decomposition", "deltas", "candidates")
    found = [getattr(ridge, f"{name}_", None) for name in names]
    weights = given.get("sample_weight")
    found += [ridge.predict(X), ridge.score_targets(X, Y, weights), ridge.score(X, Y, sample_weight=weights)]
    return [*found, ridge.split_scores(X, Y)] if isinstance(X, list) else found


def ridges() -> Any:
    found = []
    for way in SHAPES:
        X, Y, groups = world(way)
        weights = WEIGHTS[: len(X)]
        for options, given in (
            ({}, {}), ({"cv": 3, "metric": "r"}, {"groups": groups}), ({"cv": "groups"}, {"groups": groups}),
            ({}, {"sample_weight": weights}), ({"metric": "r", "dtype": "float64"}, {"sample_weight": weights}),
            ({"cv": 4}, {"sample_weight": np.where(np.arange(len(X)) % 5 == 3, 0, weights), "groups": groups}),
            ({"per_target_alpha": False}, {"roi": list("babcb")}), ({"per_target_alpha": False, "metric": "r"}, {}),
            ({"alphas": 2.0}, {"sample_weight": 3.0}), ({"alphas": [0.0, 1.0]}, {}), ({"solver": "primal"}, {}),
            ({"solver": "dual"}, {"sample_weight": weights}),
        ):  # fmt: skip
            found.append(fitted(regression.Ridge(**{"alphas": ALPHAS} | options), X, Y, **given))
        for of_x, of_y in ((1e-15, 1.0), (1.0, 1e-25), (1e12, 1e12)):
            scaled = regression.Ridge([a * of_x**2 for a in ALPHAS])
            found.append(fitted(scaled, X * of_x, Y * of_y, groups=groups)[3:5])
            found.append(scaled.coef_ * (of_x / of_y))
        steep = X * np.logspace(0, 9, X.shape[1])
        for weighted in (None, weights):
            found.append(fitted(regression.Ridge((1e-3, 1.0), dtype="float64"), steep, Y, sample_weight=weighted)[2:])
        single = fitted(regression.Ridge(ALPHAS), torch.as_tensor(X), torch.as_tensor(Y[:, 0]))
        found.append([part for part in single if not isinstance(part, torch.Tensor | str) or len(part)])
    return found


def few_filters() -> Any:
    found = []
    for shape in ((64, 30), (48, 70)):
        X = RNG(1).normal(size=shape) * 3 * np.arange(1.0, shape[1] + 1) ** -0.5
        Y = X[:, :4] + RNG(2).normal(size=(len(X), 4)) * [1, 2, 3, 4] + 3
        runs = RNG(3).permutation(np.r_[np.arange(16), np.arange(len(X) - 16) % 16])
        for metric, weights in (("r2", None), ("r", None), ("r2", RNG(4).random(len(X)) + 0.2), ("r", runs + 1.0)):
            ridge = regression.Ridge(np.logspace(-1, 4, 9), cv="groups", metric=metric)  # type: ignore[arg-type]
            found.append(fitted(ridge, X, Y, groups=runs, sample_weight=weights))
    d, alphas = torch.linspace(1, 50, 30, dtype=torch.float64), torch.logspace(-1, 3, 9, dtype=torch.float64)
    for most, reach in ((20, torch.ones(30)), (20, d), (3, d), (0, d)):
        few = regression.few_filters(d, alphas, most, torch.float64, reach)
        found.append(None if few is None else few.weights @ few.filters)
    return found


def several_layers() -> Any:
    (X, Y, groups), found = world("primal"), []
    for weights in (None, WEIGHTS[:32]):
        made = {name: regression.Ridge(alphas, per_target_alpha=own, device="cpu", solver=solver)
                for name, alphas, own, solver in (("a", ALPHAS, True, "auto"), ("b", (3.0,), False, "auto"),
                                                  ("c", ALPHAS, False, "dual"))}  # fmt: skip
        given = {"a": X, "b": X[:, :3], "c": regression.DelayedFeatures(X, (0, 2), np.repeat([1, 0], [20, 12]))}
        regression.fit_layers(made, given, Y, groups=groups, sample_weight=weights)
        found.append([[one.coef_, one.alpha_, one.cv_scores_, one.intercept_] for one in made.values()])
    return found


def bands() -> Any:
    found: list[Any] = [regression.band_candidates(n, size, 2) for n, size in ((1, 3), (3, 7))]
    for way in SHAPES:
        X, Y, groups = world(way)
        Xs, weights = [X[:, :1], X[:, 1:]], WEIGHTS[: len(X)]
        for options, given in (
            ({}, {"groups": groups}), ({"metric": "r", "seed": 3, "alphas": 2.0}, {"sample_weight": weights}),
            ({"candidates": [[0.3, 0.7], [1, 0]], "dtype": "float64"}, {"groups": groups}),
            ({"solver": "dual", "alphas": 2.0}, {}), ({"solver": "primal", "cv": 3}, {"sample_weight": weights}),
        ):  # fmt: skip
            made = {"alphas": ALPHAS, "n_candidates": 5} | options
            found.append(fitted(regression.BandedRidge(**made), Xs, Y, **given))
        far = [Xs[0] * 1e-14, Xs[1]]
        one = regression.BandedRidge((1e-9, 1e-3), candidates=[[1.0, 0.0], [0.5, 0.5]], device="cpu").fit(far, Y)
        found.append([one.alpha_, one.cv_scores_, one.predict(far)])
    return found


def parts() -> Any:
    X, Y, _ = world("sums", 7)
    banded, control = (
        regression.BandedRidge(ALPHAS, 5, metric=metric, device="cpu").fit([X[:40, :2], X[:40, 2:]], rows)
        for metric, rows in (("r2", Y[:40]), ("r", Y[39::-1]))
    )  # type: ignore[misc]
    groups = {"b": np.array([0, 3, 2]), "a": np.array([6]), "none": np.array([], dtype=int), "m": np.arange(7) > 4}
    held, found = [X[40:, :2], X[40:, 2:]], []
    flat = np.where(np.arange(7) == 3, 2.0, Y[40:])
    for one, other, n_draws in ((banded, None, 9), (control, banded, 0), (control, control, 8)):
        part = regression.partition(one, held, flat, list(groups.values()), control=other, n_draws=n_draws, seed=2)
        found += [part, part.table(groups, ["x", "y"], np.linspace(0.1, 0.9, 7), 0.8, together="both")]
    return found, [each.numpy() for each in banded.parts(held, Y[40:], slice(1, 4))]


def delays() -> Any:
    X, Y, _ = world("sums")
    runs = np.repeat(list("dbea"), [25, 3, 20, 12])
    found: list[Any] = []
    for given in ((0, 1, 3), (-2, 0, 4), tuple(range(-9, 12))):
        design = regression.DelayedFeatures(X, given, runs)
        found.append([design.shape, len(design), design.to_array(), design[np.isin(runs, ["b", "a"])].to_array()])
        for weights in (None, WEIGHTS):
            ridge = regression.Ridge(ALPHAS, dtype="float64")
            found.append(fitted(ridge, design, Y, groups=runs, sample_weight=weights))
        rows = design.rows()
        found.append([rows[3:9], rows[:, 2:7], rows.index_select(0, torch.tensor([4, 40, 1]))[:2]])
    return found


def folds() -> Any:
    """Return what `inner_folds` makes, fold by fold in `inner_fold`: even and steep features, weights, small folds."""
    found: list[Any] = []
    for n, p, decades in ((9, 40, 0.2), (11, 40, 3), (9, 12, 6), (40, 8, 0.2), (33, 9, 3), (25, 9, 6), (24, 25, 1)):
        left, right = (np.linalg.qr(RNG(k).normal(size=(size, min(n, p))))[0] for k, size in ((1, n), (2, p)))
        X = torch.as_tensor(left * np.logspace(1, 1 - decades, left.shape[1]) @ right.T + 3)
        Y = torch.as_tensor(left @ RNG(3).normal(size=(left.shape[1], 4)) + 0.1 * RNG(4).normal(size=(n, 4)))
        groups = RNG(5).permutation(np.arange(n) % 7)
        for cv, weights, alphas, solver, kind in (
            (4, None, (0.0, 1e-3, 1.0), "auto", torch.float64), (3, RNG(6).random(n) + 0.1, (1e-3, 0.5), "dual", None),
            ("groups", RNG(6).integers(0, 5, n) + 0.0, (0.1, 9.0), "primal", None), (5, None, (0.1, 1.0), "dual", None),
            (5, WEIGHTS[:n], (1e-2, 1.0), "auto", None), ("groups", None, (0.0, 0.5), "auto", torch.float64),
        ):  # fmt: skip
            kind = kind or torch.float32 if decades < 3 else torch.float64
            order = regression.layout(n, cv, groups if cv != 5 else None)
            order = order.weigh(None if weights is None else torch.as_tensor(weights), 1.0)
            given = order.roots if order.roots is not None else torch.ones(n, dtype=torch.float64)
            mean = (given.square() @ order.sort(Y)) / given.square().sum()
            centred = ((order.sort(Y) - mean) * given[:, None]).to(kind)
            penalties = torch.tensor(alphas, dtype=torch.float64)
            made = regression.design_of(X, order, penalties, solver=solver, metric="r2", dtype=kind)
            turned = made.rotation
            block = regression.block_of(turned.rows, centred, order.tests, order.roots)
            each = {"solver": solver, "grams": None, "roots": order.roots}
            sets = [made.folds]
            for exact in sorted({decades > 5, True}):
                each["single"] = turned.benign and not exact
                given_rows = turned.rows, turned.singular, order.tests, penalties
                sets.append(regression.inner_folds(*given_rows, **each, exact=exact))
            large = turned.singular[turned.singular > 0.01 * turned.singular.max()]  # others differ between processors
            found.append([mean, turned.method, turned.benign, large])
            for some in sets:
                found.append([[one.way, one.single, len(one.form.filters.T), one.test.start] for one in some])
                found.append([regression.scores(some, block, metric, len(alphas)) for metric in ("r2", "r")])
    return found


def workers(folder: Path) -> Any:
    """Return fits by workers: they stage the targets of a Job, total and gram its features in slices, load and fit."""

    def files(Y: np.ndarray) -> list[Any]:
        np.save(folder / "f.npy", np.asfortranarray(Y))
        np.save(folder / "c.npy", np.r_[Y[:2], Y])
        kept = np.load(folder / "c.npy", mmap_mode="r")
        stored = StoredArray(folder / "c.npy", kept.offset, kept.shape, kept.dtype, np.arange(2, len(kept)))
        return [Y, folder / "f.npy", stored]

    found: list[Any] = []
    with regression.cluster(n_workers=1, processes=False) as client:
        for way in SHAPES:
            X, Y, groups = world(way, 7)
            weights, roi = WEIGHTS[: len(X)], list("aabbbab")
            steep = X * np.logspace(0, 9, X.shape[1])
            whole = np.round(100 * Y).astype(np.int16)
            for k, (options, features, values, given) in enumerate((
                ({}, X, Y, {"groups": groups, "sample_weight": weights}),
                ({"per_target_alpha": False, "metric": "r"}, X, whole, {"roi": roi, "scale": np.linspace(0.1, 1, 7)}),
                ({"alphas": (2.0,)}, X, Y * 1e-25, {"sample_weight": weights}),
                ({"dtype": "float64", "cv": 3}, steep, Y, {"groups": groups, "sample_weight": weights}),
            )):  # fmt: skip
                ridge = regression.Ridge(**{"alphas": ALPHAS, "device": "cpu"} | options)
                more = {"coef": folder / "coef.npy", "client": client, "shard": 3, "chunk": 999} | given
                regression.fit_distributed(ridge, features, files(values)[k % 3], **more)
                size = 1e-25 if k == 2 else 1
                left = [ridge.coef_ / size, ridge.alpha_, ridge.cv_scores_, ridge.decomposition_, ridge.alpha_at_edge_]
                found.append([*(left[2:] if k == 3 else left), ridge.predict(features) / size])
    return found


def trained(folder: Path) -> Any:
    rows = regression.carve_validation(50, 0.2, np.arange(50) // 3, 2)
    found: list[Any] = [rows, *(regression.carve_validation(n, share, None, 2) for n, share in ((9, 0.01), (5, 0.99)))]
    x = torch.as_tensor(RNG(5).normal(size=(50, 3))).float()
    y = x @ torch.tensor([1.0, -2.0, 0.5]) + 0.3
    for options in (
        {}, {"schedule": "constant", "patience": 1}, {"clip": 0.1, "weight_decay": 0.5, "mixed_precision": True},
        {"learning_rate": 3.0, "schedule": "constant"},
    ):  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            network = torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Linear(3, 1))
        said: list[Any] = []

        def loss(some: torch.Tensor, network: torch.nn.Module = network) -> torch.Tensor:
            return (network(x[some])[:, 0] - y[some]).square().mean()

        how = regression.Training(**{"epochs": 5, "batch_size": 15, "learning_rate": 0.1} | options)
        score = lambda some, loss=loss: -float(loss(some))  # noqa: E731
        history = regression.train(network, loss, score, rows, how, seed=2, progress=said.append)
        found += [[epoch[:3] for epoch in history], len(said), list(network.parameters())]
    for where in (None, folder / "new"):
        part = torch.nn.BatchNorm1d(2)
        state = regression.Checkpoint({"part": part}, where, "a", np.arange(3))
        found.append(state.resume())
        state.keep(more=torch.ones(2))
        kept = [*folder.rglob("*")]
        torch.nn.init.constant_(part.weight, 7)
        found += [regression.read_state(state.path), state.resume(), part.weight, len(kept)]
        state.forget()
        found.append([int(f"0{path.stem[:7]}", 16) for path in kept[1:]] + [len([*folder.rglob("*")])])
    parts = ("a", 1, None, (2.0, "b"), np.arange(3), np.eye(2, 3), np.array(["x"]), torch.ones(2), torch.tensor(0.5))
    return found, [int(regression.digest_of(*some)[:7], 16) for some in (*zip(parts), parts)]


def pieces() -> Any:
    """Return what the engine is made of: layouts, rotations, scores of folds, spectra, and arrays as tensors."""
    X, Y, groups = world("primal")
    alphas = torch.tensor(ALPHAS, dtype=torch.float64)
    found: list[Any] = []
    for cv, labels in ((5, None), (4, groups), ("groups", groups), (99, groups)):
        order = regression.layout(32, cv, labels)  # type: ignore[arg-type]
        weighed = order.weigh(torch.as_tensor(np.where(np.arange(32) % 4, WEIGHTS[:32], 0)), 4.0)
        for one in (order, weighed):
            found.append([one.order, [(test.start, test.stop) for test in one.tests], one.roots, one.given_roots])
        for solver in ("auto", "primal", "dual"):
            made = regression.design_of(
                torch.as_tensor(X), order, alphas, solver=solver, metric="r2", dtype=torch.float64  # type: ignore[arg-type]
            )  # fmt: skip
            centred = order.sort(torch.as_tensor(Y))
            block = regression.block_of(made.rotation.rows, centred - centred.mean(dim=0), order.tests)
            found.append([regression.scores(made.folds, block, metric, 3) for metric in ("r2", "r")])
            found.append([[fold.way for fold in made.folds], block.means, [list(held) for held in block.held_out]])
            turned = regression.rotate(torch.as_tensor(X), 0.1, solver, torch.float64)  # type: ignore[arg-type]
            found.append([turned.mean, turned.singular, turned.method, turned.benign, (turned.rows @ turned.rows.T)])
    matrix = torch.as_tensor(X.T @ X)
    for one in (matrix, torch.eye(5, dtype=torch.float64) * 3, matrix * 1e30):
        for single in (True, False):
            values, vectors, taken = regression.spectrum(one.clone(), null=1, single=single)
            found.append([values, vectors.abs(), taken])
    kinds = [Y[:, ::-1], Y > 9, Y.astype(">f4"), Y.astype("u2"), np.arange(4, dtype="u8"), torch.arange(3)]
    found += [[str(one.dtype), one] for one in map(regression.as_tensor, kinds)]
    centre = torch.as_tensor(X.mean(axis=0))
    return found, regression.centred_product(torch.as_tensor(X), centre, matrix), regression.check_arrays("X", X, Y)


def kernel() -> Any:
    found: list[Any] = []
    for spectrum in (np.logspace(-2, 6, 9), np.linspace(100, 101, 9), np.full(9, 3.0), np.arange(9) // 2 + 1.0):
        d, alphas = torch.as_tensor(spectrum), torch.tensor([0.2, 3.0, 50.0, 1000.0], dtype=torch.float64)
        basis, z, w = (torch.as_tensor(RNG(k).normal(size=size)) for k, size in ((1, (7, 9)), (2, (9, 5)), (3, (9, 5))))
        for ones in (None, torch.as_tensor(RNG(4).random(7))):
            fold = kernels.held_out(basis * d.sqrt(), d, alphas, torch.float64, ones)
            sums = [kernels.prediction_moments(fold, z.clone(), w, totals=totals) for totals in (True, False)]
            found += [[getattr(fold, name) for name in ("filters", "contrasts", "far", "near", "pairs", "sums")], sums]
        filters = 1 / (d + alphas[:, None])
        found.append(kernels.reference.prediction_moments(basis, filters, z, basis @ w))
    rows = torch.as_tensor(RNG(5).normal(size=(6, 4)))
    some = torch.as_tensor(RNG(6).integers(-99, 99, size=(6, 3)).astype(np.int16))
    scale, penalties = torch.tensor([0.1, 2.0, 3.0], dtype=torch.float64), torch.tensor([1.0, 5.0, 9.0]).double()
    out = torch.empty((3, 6), dtype=torch.float64).T
    patterns = torch.as_tensor(RNG(7).normal(size=(2, 5, 6)))
    patterns[1, 2] = 0.3
    values, vectors = kernels.eigh(rows.T @ rows)
    return (
        [kernels.cross_product(rows, some, given) for given in (None, scale)],
        [kernels.apply_alpha(rows, values, penalties, vectors[:, :3].abs(), where) for where in (None, out)],
        [kernels.correlation_rdms(patterns), kernels.reference.correlation_rdms(patterns)],
        [values, kernels.lower_gram(rows).tril(), kernels.product(rows, rows.T)],
        found,
    )


CASES: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (ridges, few_filters, several_layers, bands, parts, delays, folds, workers, trained, pieces, kernel)
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_results_of_fixed_seeds_are_as_they_were(name: str, tmp_path: Path) -> None:
    RECORD.check_case(name, CASES[name], tmp_path)
