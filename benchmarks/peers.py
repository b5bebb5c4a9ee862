"""Who is compared: this engine, himalaya, and plain torch, on the same folds, penalties and score (R²).

Each contender takes the data, turns it into its own kind of array, and returns the function that is timed. Libraries
are imported where they are used, so that the memory of a process counts those of its own contender only.
"""

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from worlds import Data

BLOCK = 4096  # targets at once, of the plain baseline


@dataclass(frozen=True)
class Fit:
    """What a contender found, as numpy arrays; scores where it keeps those of every penalty (or candidate)."""

    alpha: NDArray[Any]
    coef: NDArray[Any]
    scores: NDArray[Any] | None = None
    deltas: NDArray[Any] | None = None


Contender = Callable[[Data], Callable[[], Fit]]


def mine(data: Data) -> Callable[[], Fit]:
    """`brainalign.encoding.Ridge`."""
    from brainalign.encoding import Ridge
    from brainalign.regression import DelayedFeatures

    def run() -> Fit:
        X = data.X if data.delays == (0,) else DelayedFeatures(data.X, data.delays, data.runs)
        model = Ridge(tuple(data.alphas.tolist()), cv=data.n_folds, device="cpu").fit(X, data.Y)
        return Fit(model.alpha_, model.coef_, model.cv_scores_)

    return run


def mine_banded(data: Data) -> Callable[[], Fit]:
    """`brainalign.encoding.BandedRidge` on the given candidates."""
    from brainalign.encoding import BandedRidge

    Xs = data.bands

    def run() -> Fit:
        options = {"candidates": data.candidates, "cv": data.n_folds, "device": "cpu"}
        model = BandedRidge(tuple(data.alphas.tolist()), **options).fit(Xs, data.Y)
        return Fit(model.alpha_, np.concatenate(model.coef_), model.cv_scores_, model.deltas_)

    return run


def on_workers(n_workers: int) -> Contender:
    """Return `fit_distributed` from files, on processes of this machine that were started before the clock."""

    def prepare(data: Data) -> Callable[[], Fit]:
        from brainalign.encoding import Ridge
        from brainalign.regression import cluster, fit_distributed

        stack = ExitStack()
        folder = Path(stack.enter_context(TemporaryDirectory()))
        client = stack.enter_context(cluster(n_workers=n_workers, threads_per_worker=1))
        atexit.register(stack.close)
        files = [folder / "X.npy", folder / "Y.npy"]
        for file, array in zip(files, (data.X, data.Y), strict=True):
            np.save(file, array)

        def run() -> Fit:
            model = Ridge(tuple(data.alphas.tolist()), cv=data.n_folds, device="cpu")
            fit_distributed(model, *files, coef=folder / "coef.npy", client=client)
            return Fit(model.alpha_, model.coef_, model.cv_scores_)

        return run

    return prepare


def himalaya(backend: str, batch: int | None = None) -> Contender:
    """Return himalaya's RidgeCV, or KernelRidgeCV with coefficients of features where rows are fewer."""

    def prepare(data: Data) -> Callable[[], Fit]:
        from himalaya.backend import set_backend
        from himalaya.kernel_ridge import KernelRidgeCV
        from himalaya.ridge import RidgeCV
        from himalaya.scoring import r2_score

        backend_ = set_backend(backend)
        Y = backend_.asarray(data.Y)
        params = {"score_func": r2_score, "n_targets_batch": batch}
        dual = len(data.X) < data.X.shape[1] * len(data.delays)

        def run() -> Fit:
            set_backend(backend)
            X = backend_.asarray(data.design())
            solver = KernelRidgeCV if dual else RidgeCV
            model = solver(alphas=data.alphas, fit_intercept=True, cv=data.n_folds, solver_params=params).fit(X, Y)
            coef = model.get_primal_coef() if dual else model.coef_
            return Fit(backend_.to_numpy(model.best_alphas_), backend_.to_numpy(coef))

        return run

    return prepare


def himalaya_banded(backend: str, batch: int | None = None) -> Contender:
    """Return himalaya's GroupRidgeCV on the given candidates."""

    def prepare(data: Data) -> Callable[[], Fit]:
        from himalaya.backend import set_backend
        from himalaya.ridge import GroupRidgeCV
        from himalaya.scoring import r2_score

        backend_ = set_backend(backend)
        Xs, Y = [backend_.asarray(X) for X in data.bands], backend_.asarray(data.Y)
        params = {"n_iter": data.candidates, "alphas": data.alphas, "n_targets_batch": batch}
        params |= {"score_func": r2_score, "progress_bar": False, "warn": False}

        def run() -> Fit:
            set_backend(backend)
            model = GroupRidgeCV(groups="input", fit_intercept=True, cv=data.n_folds, solver_params=params).fit(Xs, Y)
            alpha, coef, scores = (
                backend_.to_numpy(array) for array in (model.best_alphas_, model.coef_, model.cv_scores_)
            )
            return Fit(alpha, coef, scores, np.exp(backend_.to_numpy(model.deltas_)) * alpha)

        return run

    return prepare


def plain_torch(data: Data) -> Callable[[], Fit]:
    """Direct ridge in torch: eigh per fold in float64, one float32 product per penalty, blocks of targets."""
    import torch

    X, Y = torch.from_numpy(data.X), torch.from_numpy(data.Y)
    alphas = torch.from_numpy(data.alphas)
    blocks = [slice(start, start + BLOCK) for start in range(0, Y.shape[1], BLOCK)]

    def basis(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return eigenvalues (k,), rows in the eigenbasis (n, k), and the way back to features (p, k)."""
        primal = rows.shape[0] >= rows.shape[1]
        values, vectors = torch.linalg.eigh(rows.T @ rows if primal else rows @ rows.T)
        keep = values > values[-1] * max(rows.shape) * torch.finfo(torch.float64).eps
        values, vectors = values[keep], vectors[:, keep]
        return (values, rows @ vectors, vectors) if primal else (values, vectors, rows.T @ vectors)

    def run() -> Fit:
        scores = torch.zeros((len(alphas), Y.shape[1]))
        for train, test in KFold(data.n_folds).split(data.X):
            mean = X[train].double().mean(dim=0)
            values, project, back = basis(X[train].double() - mean)
            held_out = (X[test].double() - mean) @ back
            for block in blocks:
                observed = Y[:, block]
                target_mean = observed[train].mean(dim=0)
                z = project.float().T @ (observed[train] - target_mean)
                observed = observed[test] - target_mean
                variation = (observed - observed.mean(dim=0)).square().sum(dim=0)
                for i, alpha in enumerate(alphas):
                    residual = observed - (held_out / (values + alpha)).float() @ z
                    scores[i, block] += 1 - residual.square().sum(dim=0) / variation
        alpha = alphas[scores.argmax(dim=0)]
        values, project, back = basis(X.double() - X.double().mean(dim=0))
        coef = torch.empty((X.shape[1], Y.shape[1]))
        for block in blocks:
            z = project.float().T @ (Y[:, block] - Y[:, block].mean(dim=0))
            coef[:, block] = back.float() @ (z / (values[:, None] + alpha[block]).float())
        return Fit(alpha.numpy(), coef.numpy(), (scores / data.n_folds).numpy())

    return run


CONTENDERS: dict[str, Contender] = {
    "brainalign": mine,
    "brainalign banded": mine_banded,
    "brainalign, 1 worker": on_workers(1),
    "brainalign, 2 workers": on_workers(2),
    "himalaya numpy": himalaya("numpy"),
    "himalaya torch": himalaya("torch"),
    "himalaya torch, batches": himalaya("torch", 2000),
    "himalaya banded numpy": himalaya_banded("numpy"),
    "himalaya banded torch": himalaya_banded("torch"),
    "himalaya banded torch, batches": himalaya_banded("torch", 2000),
    "plain torch": plain_torch,
}


def rivals(banded: bool) -> list[str]:
    """Return the names of himalaya's variants, the best of which is the peer."""
    return [name for name in CONTENDERS if name.startswith("himalaya") and ("banded" in name) == banded]
