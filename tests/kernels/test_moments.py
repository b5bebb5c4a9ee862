from __future__ import annotations

import pytest
import torch

from brainalign.kernels import held_out, prediction_moments, reference

# rows, rank, penalties, targets
SHAPES = [(8, 7, 13, 48), (65, 31, 3, 7), (1, 1, 1, 1), (3, 5, 2, 300), (40, 257, 4, 65)]
SPECTRA = {
    "spread": lambda k: torch.logspace(-2, 6, k, dtype=torch.float64),
    "narrow": lambda k: torch.linspace(100, 101, k, dtype=torch.float64),
    "equal": lambda k: torch.full((k,), 3.0, dtype=torch.float64),
    "neighbours": lambda k: (
        1.01 ** torch.arange(k).div(2, rounding_mode="floor").double() * (1 + 8e-4 * (torch.arange(k) % 2))
    ),
    "pairs": lambda k: torch.arange(k, dtype=torch.float64).div(2, rounding_mode="floor") + 1,
}


def both(shape: tuple[int, ...], spectrum: str, dtype: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
    n_rows, rank, n_penalties, n_targets = shape
    generator = torch.Generator().manual_seed(0)
    normal = [torch.randn(s, generator=generator).double() for s in [(n_rows, rank), (rank, n_targets)]]
    eigenvalues = SPECTRA[spectrum](rank)
    basis, coefficients = (part * eigenvalues.sqrt()[:, None] for part in (normal[0].T, normal[1]))
    observed = torch.randn((n_rows, n_targets), generator=generator).double()
    alphas = torch.logspace(-1, 7, n_penalties, dtype=torch.float64)
    fold = held_out(basis.T, eigenvalues, alphas, dtype)
    mine = prediction_moments(fold, coefficients.to(dtype), (basis @ observed).to(dtype))
    filters = 1 / (eigenvalues + alphas[:, None])
    return list(zip(mine, reference.prediction_moments(basis.T, filters, coefficients, observed), strict=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 2e-5)])
def test_equals_the_definition(shape: tuple[int, ...], spectrum: str, dtype: torch.dtype, tolerance: float) -> None:
    for mine, theirs in both(shape, spectrum, dtype):
        assert mine.shape == theirs.shape
        # Per penalty: predictions at large ones are tiny and must keep their digits.
        scale = theirs.abs().amax(dim=1, keepdim=True)
        assert float(((mine.double() - theirs).abs() / scale).max()) < tolerance


def test_the_definition_by_hand() -> None:
    basis, filters = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.5]])
    coefficients, observed = torch.tensor([[3.0], [4.0]]), torch.tensor([[1.0], [-1.0]])
    # Predictions: 1·1·3 + 2·.5·4 = 7 and 1·.5·4 = 2.
    total, square, cross = reference.prediction_moments(basis, filters, coefficients, observed)
    assert (total.item(), square.item(), cross.item()) == (9.0, 53.0, 5.0)
