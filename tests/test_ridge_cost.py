import sys
from pathlib import Path

import numpy as np
import pytest
from torch.utils.flop_counter import FlopCounterMode

from brainalign.encoding import Ridge

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
from ridge_cost import ridge_cost


@pytest.mark.parametrize(("n", "p"), [(400, 100), (150, 600)])
def test_a_fit_costs_what_the_model_says(n: int, p: int, products_of_torch: None, rng: np.random.Generator) -> None:
    """All products of `Ridge.fit`; decompositions and Gram matrices are LAPACK's and BLAS's own, out of sight."""
    X = rng.normal(size=(n, p)) / np.sqrt(np.arange(1, p + 1))  # a spectrum with few eigenvalues near each other
    Y = rng.normal(size=(n, 2000))
    with FlopCounterMode(display=False) as counter:
        Ridge(tuple(np.logspace(-1, 5, 20)), device="cpu").fit(X, Y)
    cost = ridge_cost(n, p, 2000)
    assert counter.get_total_flops() == pytest.approx(
        cost.rotation + cost.projection + cost.scoring + cost.refit, rel=0.05
    )
