"""Correlation searchlights: RDMs of all neighbourhoods at once against rsatoolbox, one centre after the other."""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from rsatoolbox.util.searchlight import get_searchlight_RDMs
from scipy.sparse import csr_array

from brainalign.geometry import Neighbourhoods, searchlight_rdms
from cells import paired
from tables import write_table

SHAPES = [(20, 50, 500), (92, 100, 2000)]  # conditions, voxels of a neighbourhood, centres
N_VOXELS = 4000
N_PAIRED = 5


def seconds_of(function: Callable[[], object]) -> float:
    """Return the processor's seconds of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def main() -> None:
    """Check that both agree to 1e-10, then time them in turn."""
    torch.set_num_threads(1)
    quick = "--quick" in sys.argv
    rows = []
    for n_conditions, size, n_centres in SHAPES[:1] if quick else SHAPES:
        rng = np.random.default_rng(0)
        patterns = rng.normal(size=(n_conditions, N_VOXELS))
        lists = np.sort(np.stack([rng.choice(N_VOXELS, size, replace=False) for _ in range(n_centres)]), axis=1)
        ends = np.arange(0, lists.size + 1, size)
        members = csr_array((np.ones(lists.size), lists.ravel(), ends), shape=(n_centres, N_VOXELS))
        around = Neighbourhoods(np.arange(n_centres), members)

        def theirs(patterns=patterns, lists=lists, n_centres=n_centres, n_conditions=n_conditions) -> np.ndarray:
            events = np.arange(n_conditions)
            return get_searchlight_RDMs(
                patterns, np.arange(n_centres), list(lists), events, "correlation", verbose=False
            ).dissimilarities

        def ours(patterns=patterns, around=around) -> np.ndarray:
            return searchlight_rdms(patterns, around, "correlation", device="cpu")

        error = float(np.abs(ours() - theirs()).max())
        if error > 1e-10:
            raise SystemExit(f"results differ by {error:.1e}: there is nothing to time")
        times = [(seconds_of(theirs), seconds_of(ours)) for _ in range(N_PAIRED)]
        ratio, bound = paired(*(list(column) for column in zip(*times, strict=True)))
        seconds = [f"{np.median(column):.3f}" for column in zip(*times, strict=True)]
        shape = f"{n_conditions} x {size} x {n_centres:,}"
        rows.append([shape, *seconds, f"{ratio:.1f} ({bound:.1f})", f"{error:.0e}"])
    header = ["conditions x voxels x centres", "rsatoolbox (s)", "brainalign (s)", "ratio (lower 95 %)", "difference"]
    notes = f"CPU seconds, one thread, float64, {N_PAIRED} paired runs; the same lists of neighbours."
    write_table(
        "8-searchlight", "Correlation searchlight against rsatoolbox 0.3.2", header, rows, notes, keep=not quick
    )


if __name__ == "__main__":
    main()
