from __future__ import annotations

import pytest
import torch

from brainalign.kernels import prediction_moments, reference, small_rank

SHAPES = [(8, 7, 13, 48), (65, 31, 3, 7), (1, 1, 1, 1), (3, 5, 2, 300), (6, 0, 4, 5)]


def inputs(n_rows: int, rank: int, n_alphas: int, n_targets: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    sizes = [(n_rows, rank), (n_alphas, rank), (rank, n_targets), (n_rows, n_targets)]
    basis, filters, coefficients, observed = (torch.randn(size, generator=generator).to(dtype) for size in sizes)
    return basis, filters.abs(), coefficients, observed


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("way", [small_rank.prediction_moments, prediction_moments])
def test_equals_the_definition(way, shape: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    exact = reference.prediction_moments(*inputs(*shape, torch.float64))
    for mine, theirs in zip(way(*inputs(*shape, dtype)), exact, strict=True):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine.double(), theirs, atol=tolerance * (1 + float(theirs.abs().max())), rtol=0)


def test_the_definition_by_hand() -> None:
    basis, filters = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.5]])
    coefficients, observed = torch.tensor([[3.0], [4.0]]), torch.tensor([[1.0], [-1.0]])
    # Predictions: 1·1·3 + 2·.5·4 = 7 and 1·.5·4 = 2.
    total, square, cross = reference.prediction_moments(basis, filters, coefficients, observed)
    assert (total.item(), square.item(), cross.item()) == (9.0, 53.0, 5.0)
