"""`Ridge` against himalaya's RidgeCV, its best backend and solver, on the same folds and alphas.

The engine of this version is the simple one; the figures are where the fast one will start from.
"""

from __future__ import annotations

import numpy as np
import torch
from himalaya.backend import set_backend
from himalaya.kernel_ridge import KernelRidgeCV
from himalaya.ridge import RidgeCV
from himalaya.scoring import r2_score

from brainalign.encoding import Ridge
from tables import ratio, write_table

SHAPES = [(1000, 512, 5000), (400, 1024, 2000), (96, 384, 53_000)]  # rows, features, targets
ALPHAS = tuple(np.logspace(-1, 5, 20).tolist())
N_FOLDS = 5


def peer(backend: str, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Fit himalaya (its kernel solver where rows are fewer) with R² as its score, and return the chosen alphas."""
    backend_ = set_backend(backend)
    solver = KernelRidgeCV if X.shape[0] < X.shape[1] else RidgeCV
    options = {"fit_intercept": True, "cv": N_FOLDS, "solver_params": {"score_func": r2_score}}
    model = solver(alphas=np.array(ALPHAS), **options).fit(X, Y)
    return backend_.to_numpy(model.best_alphas_)


def main() -> None:
    """Check that both choose the same alphas, then time them in turn."""
    torch.set_num_threads(1)
    rows = []
    for n, p, t in SHAPES:
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, p)).astype(np.float32)
        Y = (X @ rng.normal(size=(p, t)) / np.sqrt(p) + 2 * rng.normal(size=(n, t))).astype(np.float32)
        mine = Ridge(ALPHAS, cv=N_FOLDS).fit(X, Y)
        same = float((np.isclose(mine.alpha_, peer("numpy", X, Y))).mean())
        best = None
        for backend in ("numpy", "torch"):
            times = ratio(
                lambda b=backend, X=X, Y=Y: peer(b, X, Y), lambda X=X, Y=Y: Ridge(ALPHAS, cv=N_FOLDS).fit(X, Y), 3
            )
            best = times if best is None or times.other < best.other else best
        rows.append(
            [f"{n:,} x {p:,} x {t:,}", f"{best.other:.2f}", f"{best.mine:.2f}", f"{best.ratio:.2f}", f"{same:.1%}"]
        )
    header = ["rows x features x targets", "himalaya (s)", "brainalign (s)", "ratio", "same alphas"]
    write_table("ridge", f"`Ridge`, {len(ALPHAS)} alphas, {N_FOLDS} folds, one thread, CPU seconds", header, rows)


if __name__ == "__main__":
    main()
