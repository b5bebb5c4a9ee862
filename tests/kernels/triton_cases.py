"""Triton kernels against their definitions; run on a GPU, or in the interpreter with TRITON_INTERPRET=1 set before."""

import importlib
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import torch

try:
    import brainalign.kernels as kernels
except ImportError:  # a checkout where nothing is installed
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import kernels  # type: ignore[no-redef]

SPECTRA = {
    "spread": lambda k: torch.logspace(-2, 6, k, dtype=torch.float64),
    "narrow": lambda k: torch.linspace(100, 101, k, dtype=torch.float64),
    "equal": lambda k: torch.full((k,), 3.0, dtype=torch.float64),
    "pairs": lambda k: torch.arange(k, dtype=torch.float64).div(2, rounding_mode="floor") + 1,
    "steep": lambda k: torch.logspace(-8, 8, k, dtype=torch.float64),
}
SCORES = [(1, 1, 1, 1), (8, 31, 20, 65), (65, 65, 1, 31), (31, 129, 70, 1)]  # rows, rank, penalties, targets
LARGEST = (40, 257, 50, 129)  # takes the interpreter seconds: near pairs at the diagonal alone, and everywhere
PRODUCTS = [(1, 1, 1), (65, 31, 7), (31, 257, 65), (257, 65, 257)]  # rows, features, targets
PATTERNS = [(1, 2, 1), (3, 31, 65), (2, 65, 31), (1, 257, 65), (4, 16, 257), (2, 1, 5)]  # matrices, rows, channels
# Times the error of plain float32 on the same numbers; in the interpreter errors are at most 1.9 times that, wherever
# they exceed the floor. Products on the GPU add the truncation of the matrix units.
TIMES = 2.0
FLOOR = 2.0**-22  # where plain float32 happens to be exact: the precision of a number in two parts


def normal(shape: tuple[int, ...], device: str, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(device)


def import_triton(name: str) -> ModuleType:
    return importlib.import_module(f"{kernels.__name__}.{name}")


def check(mine: torch.Tensor, plain: torch.Tensor, truth: torch.Tensor, scale: torch.Tensor, what: object) -> None:
    """Hold mine to the error of plain float32, both relative to scale."""
    assert mine.shape == truth.shape, (what, mine.shape, truth.shape)
    error = float(((mine.double() - truth).abs() / scale).max())
    bound = TIMES * float(((plain.double() - truth).abs() / scale).max()) + FLOOR
    print(f"{what}: {error:.1e}, bound {bound:.1e}")
    assert error <= bound, f"{what}: error {error:.2e} above {bound:.2e}"  # NaN is not below


def score(shape: tuple[int, ...], spectrum: str, device: str, amplitude: float = 1.0) -> None:
    """Check one shape of the score kernel, targets of many amplitudes."""
    triton_way = import_triton("score_triton")
    n_rows, rank, n_penalties, n_targets = shape
    eigenvalues = SPECTRA[spectrum](rank).to(device).float().double()  # what a float32 fold takes them for
    basis = normal((n_rows, rank), device) * eigenvalues.sqrt()
    units = torch.logspace(-6, 6, n_targets, dtype=torch.float64, device=device) * amplitude
    coefficients = normal((rank, n_targets), device, 1) * eigenvalues.sqrt()[:, None] * units
    observed = normal((n_rows, n_targets), device, 2) * units
    projections, alphas = basis.T @ observed, torch.logspace(-1, 7, n_penalties, dtype=torch.float64, device=device)
    exact = kernels.held_out(basis, eigenvalues, alphas, torch.float64)
    fold = kernels.held_out(basis, eigenvalues, alphas, torch.float32)
    near = import_triton("held_out").symmetric(fold.pairs, fold.near / 2, rank) if fold.near.ndim == 1 else fold.near
    sides = fold.far.double(), fold.diagonal.double(), near.double()
    forms = triton_way.forms(*sides, exact.filters, exact.contrasts, exact.sums)
    narrow = coefficients.float(), projections.float()
    mine = triton_way.prediction_moments(forms, n_penalties, *narrow)
    from_torch = import_triton("held_out").prediction_moments(fold, *narrow)
    truth = kernels.reference.prediction_moments(basis, exact.filters, coefficients, observed)
    # Totals and crosses may cancel: their error is relative to the sum of the magnitudes of their terms.
    sizes = (
        (exact.filters * exact.sums.abs()) @ coefficients.abs() / units,
        truth[1] / units**2,
        exact.filters @ (coefficients * projections).abs() / units**2,
    )
    for name, a, b, c, size in zip(("totals", "squares", "crosses"), mine, from_torch, truth, sizes, strict=True):
        # Per penalty: predictions at large ones are tiny and must keep their digits. Per target: units differ.
        scale = size.amax(dim=1, keepdim=True) * (units if name == "totals" else units**2)
        check(a, b, c, scale, (name, shape, spectrum))
    without = triton_way.prediction_moments(forms, n_penalties, *narrow, totals=False)
    assert without[0] is None
    if device == "cpu":  # compiled apart, the two may round differently
        assert all(torch.equal(a, b) for a, b in zip(mine[1:], without[1:], strict=True))


def cross_product(shape: tuple[int, int, int], device: str, *, integers: bool = False) -> None:
    """Check X'Y relative to the norms of the columns, whose units differ."""
    triton_way = import_triton("gram_triton")
    n_rows, n_features, n_targets = shape
    left = (normal((n_rows, n_features), device) + 0.5).float()
    right = normal((n_rows, n_targets), device, 1)
    scale = torch.logspace(-6, 6, n_targets, dtype=torch.float32, device=device)
    if integers:
        right = (right * 1e4).clamp(-32768, 32767).to(torch.int16)
        mine, values = triton_way.cross_product(left, right, scale), right.double() * scale
    else:
        right = (right * scale).float()
        mine, values = triton_way.cross_product(left, right), right.double()
    norms = left.double().norm(dim=0)[:, None] * values.norm(dim=0)
    check(mine, left.T @ values.float(), left.double().T @ values, norms.clamp(min=1e-30), ("X'Y", shape, integers))


def apply_alpha(shape: tuple[int, int, int], device: str) -> None:
    triton_way = import_triton("gram_triton")
    rank, n_features, n_targets = shape
    to_coef, coefficients = normal((n_features, rank), device).float(), normal((rank, n_targets), device, 1).float()
    eigenvalues = torch.logspace(-3, 5, rank, dtype=torch.float64, device=device)
    alpha = torch.logspace(-1, 7, n_targets, dtype=torch.float64, device=device)
    mine = triton_way.apply_alpha(to_coef, eigenvalues, alpha, coefficients)
    plain = kernels.reference.apply_alpha(to_coef, eigenvalues.float(), alpha.float(), coefficients)
    truth = kernels.reference.apply_alpha(to_coef.double(), eigenvalues, alpha, coefficients.double())
    quotient = coefficients.double() / (eigenvalues[:, None] + alpha)
    check(mine, plain, truth, to_coef.double().norm(dim=1)[:, None] * quotient.norm(dim=0), ("apply_alpha", shape))


def correlation_rdms(shape: tuple[int, int, int], device: str) -> None:
    """Check distances, with an offset, a constant row and equal rows."""
    patterns = (normal(shape, device) + 10).float()
    if shape[1] > 8:
        patterns[0, 3], patterns[0, 5] = 0.1, patterns[0, 4]
    mine = import_triton("rdm_triton").correlation_rdms(patterns)
    truth, plain = kernels.reference.correlation_rdms(patterns.double()), kernels.reference.correlation_rdms(patterns)
    assert torch.equal(mine.isnan(), truth.isnan()), shape
    if shape[1] > 8:
        assert int(mine.isnan().sum()) == shape[1] - 1
    if mine.numel() and not truth.isnan().all():
        check(*(part.nan_to_num() for part in (mine, plain, truth)), torch.ones(1, device=device), ("rdm", shape))


def small(device: str) -> None:
    every(
        *(partial(score, shape, spectrum, device) for shape in SCORES for spectrum in SPECTRA),
        *(partial(score, LARGEST, spectrum, device) for spectrum in ("spread", "equal")),
        partial(score, (8, 31, 20, 65), "spread", device, amplitude=1e-8),
        *(partial(cross_product, shape, device, integers=i) for shape in PRODUCTS for i in (False, True)),
        *(partial(apply_alpha, shape, device) for shape in PRODUCTS),
        partial(segments, 257, device),
        *(partial(correlation_rdms, shape, device) for shape in PATTERNS),
    )


def large() -> None:
    every(
        partial(score, (500, 1024, 50, 4099), "spread", "cuda"),
        partial(score, (500, 1024, 20, 1000), "narrow", "cuda"), partial(cross_product, (20001, 1030, 2051), "cuda"),
        partial(cross_product, (20001, 300, 2051), "cuda", integers=True),
        partial(apply_alpha, (1024, 2050, 4099), "cuda"), partial(correlation_rdms, (257, 150, 300), "cuda"),
    )  # fmt: skip


def every(*calls: partial[None]) -> None:
    """Run all, then fail with every message: on a lent machine one run must tell all."""
    failures = []
    for call in calls:
        try:
            call()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


def dispatch() -> None:
    eigenvalues, alphas = torch.logspace(0, 4, 65).double().cuda(), torch.logspace(0, 4, 5).double().cuda()
    basis, z = normal((40, 65), "cuda"), normal((65, 129), "cuda", 1)
    assert kernels.held_out(basis, eigenvalues, alphas, torch.float64).forms is None
    fold = kernels.held_out(basis, eigenvalues, alphas, torch.float32)
    assert fold.forms is not None
    first, second = (kernels.prediction_moments(fold, z.float(), z.float()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert kernels.cross_product(basis, z[:40]).dtype == torch.float64
    assert kernels.correlation_rdms(basis[None]).dtype == torch.float64


def huge() -> None:
    """Run arrays whose offsets do not fit in 32 bits; only their ends are compared."""
    rank, n_targets = 1024, 2_200_000
    eigenvalues, alphas = torch.logspace(0, 4, rank).double().cuda(), torch.logspace(0, 4, 5).double().cuda()
    size = eigenvalues.sqrt()
    z = torch.randn((rank, n_targets), device="cuda").mul_(size[:, None].float())
    basis = normal((100, rank), "cuda") * size
    fold = kernels.held_out(basis, eigenvalues, alphas, torch.float32)
    mine, end = kernels.prediction_moments(fold, z, z, totals=False), z[:, -100:].contiguous()
    for a, b in zip(mine[1:], kernels.prediction_moments(fold, end, end)[1:], strict=True):
        torch.testing.assert_close(a[:, -100:], b, rtol=1e-5, atol=1e-5)
    plain = import_triton("held_out").prediction_moments(fold, end, end)[1]
    filters = 1 / (eigenvalues + alphas[:, None])
    truth = kernels.reference.prediction_moments(basis, filters, end.double(), basis @ end.double())[1]
    check(mine[1][:, -100:], plain, truth, truth.amax(dim=1, keepdim=True), "huge")
    del mine, z
    left, right = torch.randn((64, 66_000), device="cuda"), torch.randn((64, 66_000), device="cuda")
    product = kernels.cross_product(left, right)
    torch.testing.assert_close(product[-70:], (left[:, -70:].double().T @ right.double()).float(), rtol=0, atol=2e-5)
    del product
    patterns = torch.randn((70_000, 80, 400), device="cuda")
    last = kernels.reference.correlation_rdms(patterns[-3:].double()).float()
    torch.testing.assert_close(kernels.correlation_rdms(patterns)[-3:], last, rtol=0, atol=1e-6)


def segments(n_rows: int, device: str) -> None:
    """Cut the rows of a product into segments, as is done where there are few tiles."""
    gram, parts = import_triton("gram_triton"), import_triton("split_triton")
    left, right = normal((n_rows, 31), device).float(), normal((n_rows, 65), device, 1).float()
    mine = torch.full((31, 70), torch.nan, device=device)
    gram.multiply(parts.split(right), parts.split(left, whole=True), mine[:, :65], segments=3)
    assert bool(mine[:, 65:].isnan().all())
    norms = left.double().norm(dim=0)[:, None] * right.double().norm(dim=0)
    check(mine[:, :65], left.T @ right, left.double().T @ right.double(), norms, ("segments", n_rows))


if __name__ == "__main__":
    small("cpu")
