"""Dual bootstrap of RDMs against rsatoolbox: the same draws, equal results, CPU seconds per draw."""

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import rsatoolbox

from brainalign.geometry import dual_bootstrap, rdm
from cells import paired
from tables import write_table

METHODS = {"cosine": "cosine", "pearson": "corr", "whitened-cosine": "cosine_cov", "whitened-pearson": "corr_cov"}
SIZES = ((40, 20), (92, 4))  # stimuli; draws of rsatoolbox, which does one after the other
N_SUBJECTS, N_MODELS, N_BOOT = 12, 5, 1000


def main() -> None:
    """Check that both agree on the same draws, then time them in turn."""
    quick, rows = "--quick" in sys.argv, []
    for n_stimuli, n_few in SIZES[:1] if quick else SIZES:
        rng = np.random.default_rng(0)
        truth = rdm(rng.normal(size=(n_stimuli, 6)), "euclidean")
        subjects, models = (truth + rng.normal(size=(n, truth.size)) / 2 for n in (N_SUBJECTS, N_MODELS))
        draws = tuple(rng.integers(n, size=(N_BOOT, n)) for n in (N_SUBJECTS, n_stimuli))
        few = tuple(d[:n_few] for d in draws)
        for method, name in METHODS.items():
            theirs = toolbox(subjects, models, name, few)
            ours = dual_bootstrap(subjects, models, method, draws=few)
            error = np.abs(ours.draws["both"][:, :N_MODELS] - theirs.evaluations[:, :, 0, 0, 0]).max()
            others, mine = [], []
            for _ in range(5):
                others.append(seconds(toolbox, subjects, models, name, few) / n_few)
                mine.append(seconds(dual_bootstrap, subjects, models, method, draws=draws) / N_BOOT)
            ratio, bound = paired(others, mine)
            times = [f"{1e3 * float(np.median(values)):.2f}" for values in (others, mine)]
            rows.append([str(n_stimuli), method, *times, f"{ratio:.0f} ({bound:.0f})", f"{error:.0e}"])
    header = ["stimuli", "comparison", "rsatoolbox (ms)", "brainalign (ms)", "ratio (lower 95 %)", "error"]
    title = f"Dual bootstrap, {N_SUBJECTS} subjects, {N_MODELS} models, {N_BOOT:,} draws, one thread: CPU time per draw"
    write_table(
        "8-dual-bootstrap", title, header, rows, "Ceilings and all three kinds of draws included.", keep=not quick
    )


def toolbox(
    subjects: np.ndarray, models: np.ndarray, method: str, draws: tuple[np.ndarray, ...]
) -> rsatoolbox.inference.Result:
    """Run rsatoolbox on given draws: it asks for subjects, then stimuli."""
    queue, original = [row for pair in zip(*draws, strict=True) for row in pair], np.random.randint
    fixed = [rsatoolbox.model.ModelFixed(str(k), model) for k, model in enumerate(models)]
    rsatoolbox.inference.bootstrap.np.random.randint = lambda *_, **__: queue.pop(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rdms = rsatoolbox.rdm.RDMs(subjects)
            return rsatoolbox.inference.eval_dual_bootstrap(fixed, rdms, method=method, N=len(draws[0]))
    finally:
        np.random.randint = original


def seconds(function: Callable[..., object], *arguments: object, **options: object) -> float:
    """Return the CPU seconds of one call."""
    start = time.process_time()
    function(*arguments, **options)
    return time.process_time() - start


if __name__ == "__main__":
    main()
