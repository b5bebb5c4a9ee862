"""Sums of predictions over all alphas: the quadratic form of small_rank against the definition."""

from __future__ import annotations

import torch

from brainalign.kernels import reference, small_rank
from tables import ratio, write_table

SHAPES = [(8, 7), (16, 7), (64, 15), (64, 31)]  # rows, rank
N_ALPHAS, N_TARGETS = 13, 8192


def main() -> None:
    """Time both ways on the same tensors, in turn."""
    torch.set_num_threads(1)
    rows = []
    for n_rows, rank in SHAPES:
        generator = torch.Generator().manual_seed(0)
        sizes = [(n_rows, rank), (N_ALPHAS, rank), (rank, N_TARGETS), (n_rows, N_TARGETS)]
        tensors = [torch.randn(size, generator=generator) for size in sizes]
        for mine, theirs in zip(
            small_rank.prediction_moments(*tensors), reference.prediction_moments(*tensors), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)
        times = ratio(
            lambda tensors=tensors: reference.prediction_moments(*tensors),
            lambda tensors=tensors: small_rank.prediction_moments(*tensors),
        )
        rows.append([f"{n_rows} x {rank}", f"{times.other * 1e3:.1f}", f"{times.mine * 1e3:.1f}", f"{times.ratio:.1f}"])
    header = ["held-out rows x rank", "definition (ms)", "small_rank (ms)", "ratio"]
    title = f"`prediction_moments`, {N_ALPHAS} alphas, {N_TARGETS:,} targets, one thread, float32"
    write_table("kernels", title, header, rows)


if __name__ == "__main__":
    main()
