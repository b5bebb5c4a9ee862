"""Sums of predictions over all alphas: partial fractions (kernels) against the definition, one pass per alpha."""

import sys

import torch

from brainalign.kernels import held_out, prediction_moments, reference
from cells import paired
from rates import timed
from tables import write_table

SHAPES = [(8, 7), (64, 31), (200, 512), (400, 1024), (1600, 512)]  # held-out rows, rank
N_TARGETS = 2048
ALPHAS = torch.logspace(-1, 5, 20, dtype=torch.float64)


def main() -> None:
    """Check that both agree, then time them in turn."""
    torch.set_num_threads(1)
    quick = "--quick" in sys.argv
    rows = []
    for n_rows, rank in SHAPES[:3] if quick else SHAPES:
        generator = torch.Generator().manual_seed(0)
        basis = torch.randn((n_rows, rank), generator=generator)
        eigenvalues = torch.randn((5 * n_rows, rank), generator=generator, dtype=torch.float64).svd().S.square()
        eigenvalues = torch.nn.functional.pad(eigenvalues.flip(0), (rank - len(eigenvalues), 0), value=1e-3)
        z, observed = (torch.randn((n, N_TARGETS), generator=generator) for n in (rank, n_rows))
        filters = (1 / (eigenvalues + ALPHAS[:, None])).float()
        fold = held_out(basis.double(), eigenvalues, ALPHAS, torch.float32)

        def direct(arguments=(basis, filters, z, observed)) -> object:
            return reference.prediction_moments(*arguments)

        def fractions(fold=fold, basis=basis, z=z, observed=observed) -> object:
            return prediction_moments(fold, z, basis.T @ observed)

        exact = reference.prediction_moments(basis.double(), filters.double(), z.double(), observed.double())
        errors = [
            float(((a - b).abs().amax(dim=1) / b.abs().amax(dim=1)).max())
            for a, b in zip(fractions(), exact, strict=True)
        ]
        times = [(timed(direct, 1), timed(fractions, 1)) for _ in range(5)]
        ratio, bound = paired(*(list(column) for column in zip(*times, strict=True)))
        ms = [f"{sorted(column)[2] * 1e3:.1f}" for column in zip(*times, strict=True)]
        rows.append([f"{n_rows} x {rank}", *ms, f"{ratio:.1f} ({bound:.1f})", f"{max(errors):.0e}"])
    header = ["held-out rows x rank", "definition (ms)", "partial fractions (ms)", "ratio (lower 95 %)", "error"]
    title = f"`prediction_moments`, {len(ALPHAS)} alphas, {N_TARGETS:,} targets, one thread, float32"
    notes = "Products with what was observed included. Error: largest of each alpha's sums, relative to its largest."
    write_table("7-moments", title, header, rows, notes, keep=not quick)


if __name__ == "__main__":
    main()
