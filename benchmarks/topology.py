"""Geodesic transform of a stack of RDMs: shortest paths of csgraph against rsatoolbox 0.3.2, which walks edge lists.

rsatoolbox rescales every RDM to [0, 1]; its closest pair, then at 0, it takes for no edge, and its largest it drops.
Equality is checked with these two left out.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm.transform import geodesic_transform

from brainalign.geometry import geodesic, rdm
from cells import paired
from tables import write_table

N_RDMS, N_STIMULI = 500, 92


def cpu(function: Callable[[], object]) -> float:
    """Return CPU seconds of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def same_edges(rdms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return RDMs scaled to [0, 1] as rsatoolbox does, without the pairs that it takes for no edge."""
    low, high = rdms.min(axis=1, keepdims=True), rdms.max(axis=1, keepdims=True)
    scaled = (rdms - low) / (high - low)
    return scaled, np.where((scaled == 0) | (scaled == 1), np.nan, scaled)


def main() -> None:
    """Check that both agree where they can, then time them in turn."""
    quick = "--quick" in sys.argv
    n = 20 if quick else N_RDMS
    rdms = np.sqrt(rdm(np.random.default_rng(0).normal(size=(n, N_STIMULI, 8)), "euclidean"))
    scaled, edges = same_edges(rdms)
    theirs = geodesic_transform(RDMs(rdms.copy())).get_vectors()
    error = np.abs(geodesic(edges, quantile=1.0).rdms - theirs).max()
    assert error < 1e-10, error
    rows = []
    settings = (("all pairs (what rsatoolbox does)", {"quantile": 1.0}), ("8 neighbours", {"neighbors": 8}),
                ("quantile .05", {"quantile": 0.05}), ("thresholds .2, .8", {"threshold": (0.2, 0.8)}))  # fmt: skip
    times: dict[str, list[tuple[float, float]]] = {name: [] for name, _ in settings}
    for _ in range(2 if quick else 5):
        other = cpu(lambda: geodesic_transform(RDMs(rdms.copy())))
        for name, options in settings:
            times[name].append((other, cpu(lambda options=options: geodesic(scaled, **options))))
    for name, _ in settings:
        others, mine = (list(column) for column in zip(*times[name], strict=True))
        ratio, bound = paired(others, mine)
        rows.append([name, f"{np.median(others):.2f}", f"{np.median(mine):.2f}", f"{ratio:.1f} ({bound:.1f})"])
    header = ["edges", "rsatoolbox (CPU s)", "brainalign (CPU s)", "ratio (lower 95 %)"]
    title = f"`geodesic`, {N_RDMS} RDMs of {N_STIMULI} stimuli, one thread, float64"
    notes = (
        "Equal to 1e-10 on all pairs, less those that rsatoolbox takes for no edge (its closest pair, at 0, and its "
        f"largest); largest error {error:.0e}. The target is 3."
    )
    write_table("9-geodesic", title, header, rows, notes, keep=not quick)


if __name__ == "__main__":
    main()
