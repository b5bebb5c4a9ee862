import numpy as np
import pytest
import torch
from pages import made_up
from scipy.spatial.distance import pdist

from brainalign.kernels import apply_alpha, correlation_rdms, cross_product, held_out, prediction_moments, reference

# rows, rank, penalties, targets
SPECTRA = made_up("kernels/triton_cases").SPECTRA | {
    "neighbours": lambda k: (
        1.01 ** torch.arange(k).div(2, rounding_mode="floor").double() * (1 + 8e-4 * (torch.arange(k) % 2))
    )
}


@pytest.mark.parametrize("shape", [(8, 7, 13, 48), (65, 31, 3, 7), (1, 1, 1, 1), (3, 5, 2, 300), (40, 257, 4, 65)])
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 2e-5)])
def test_equals_the_definition(shape: tuple[int, ...], spectrum: str, dtype: torch.dtype, tolerance: float) -> None:
    n_rows, rank, n_penalties, n_targets = shape
    generator = torch.Generator().manual_seed(0)
    normal = [torch.randn(s, generator=generator).double() for s in [(n_rows, rank), (rank, n_targets)]]
    eigenvalues = SPECTRA[spectrum](rank)
    basis, coefficients = (part * eigenvalues.sqrt()[:, None] for part in (normal[0].T, normal[1]))
    observed = torch.randn((n_rows, n_targets), generator=generator).double()
    alphas = torch.logspace(-1, 7, n_penalties, dtype=torch.float64)
    fold = held_out(basis.T, eigenvalues, alphas, dtype)
    found = prediction_moments(fold, coefficients.to(dtype), (basis @ observed).to(dtype))
    filters = 1 / (eigenvalues + alphas[:, None])
    expected = reference.prediction_moments(basis.T, filters, coefficients, observed)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == theirs.shape
        # Per penalty: predictions at large ones are tiny and must keep their digits.
        assert float(((mine.double() - theirs).abs() / theirs.abs().amax(dim=1, keepdim=True)).max()) < tolerance


# The definitions themselves, against scipy and by hand: the kernels are only as right as these are.


def test_distances_are_those_of_scipy_and_products_those_of_numpy(rng: np.random.Generator) -> None:
    patterns = torch.randn((3, 9, 20), generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 5
    patterns[1, 4] = 0.1  # a constant row has no correlation
    expected = np.stack([pdist(each.numpy(), "correlation") for each in patterns])
    expected[1, np.array([4 in pair for pair in zip(*np.triu_indices(9, 1), strict=True)])] = np.nan
    for found in (correlation_rdms(patterns), reference.correlation_rdms(patterns)):
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    X, Y, scale = rng.normal(size=(30, 4)), rng.integers(-3000, 3000, size=(30, 6)), rng.uniform(0.1, 1, size=6)
    whole = torch.as_tensor(Y.astype(np.int16))
    for way in (cross_product, reference.cross_product):
        found = way(torch.as_tensor(X), whole, torch.as_tensor(scale))
        np.testing.assert_allclose(found.numpy(), X.T @ (Y * scale), rtol=1e-12)
    rng = np.random.default_rng(1)
    to_coef, z, d, a = rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.uniform(1, 9, 3), rng.uniform(1, 9, 4)
    expected = np.stack([to_coef @ (z[:, t] / (d + a[t])) for t in range(4)], axis=1)
    given = [torch.as_tensor(part) for part in (to_coef, d, a, z)]
    out = torch.empty((4, 5), dtype=torch.float64)
    apply_alpha(*given, out=out.T)
    for found in (out.T, apply_alpha(*given), reference.apply_alpha(*given)):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
