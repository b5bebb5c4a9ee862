import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from brainalign.encoding import Ridge
from brainalign.kernels import held_out, prediction_moments

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
from ridge_cost import ridge_cost


def counted(function) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def test_scoring_costs_what_the_kernel_does(products_of_torch: None) -> None:
    """Products that torch counts, against the model; projections of what was observed are an argument of the kernel."""
    n, p, t, n_alphas = 400, 60, 300, 7
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn((n // 5, p), generator=generator)
    spread = torch.logspace(0, 4, p, dtype=torch.float64)  # no two eigenvalues near each other
    fold = held_out(basis, spread, torch.logspace(-1, 2, n_alphas, dtype=torch.float64), torch.float32)
    z, w = (torch.randn((p, t), generator=generator) for _ in range(2))
    own = counted(lambda: prediction_moments(fold, z, w))
    model = ridge_cost(n, p, t, n_folds=5, n_alphas=n_alphas).scoring / 5
    # Sums of predictions, for r, cost what the product with contrasts does, which is added in place: torch counts the
    # first, which is not in the model, and not the second, which is.
    assert own + 2 * p * min(n // 5, p) * t == pytest.approx(model)


@pytest.mark.parametrize(("n", "p"), [(400, 100), (150, 600)])
def test_a_fit_costs_what_the_model_says(n: int, p: int, products_of_torch: None, rng: np.random.Generator) -> None:
    """All products of `Ridge.fit`; decompositions and Gram matrices are LAPACK's and BLAS's own, out of sight."""
    X = rng.normal(size=(n, p)) / np.sqrt(np.arange(1, p + 1))  # a spectrum with few eigenvalues near each other
    Y = rng.normal(size=(n, 2000))
    own = counted(lambda: Ridge(tuple(np.logspace(-1, 5, 20)), device="cpu").fit(X, Y))
    cost = ridge_cost(n, p, 2000)
    assert own == pytest.approx(cost.rotation + cost.projection + cost.scoring + cost.refit, rel=0.05)
