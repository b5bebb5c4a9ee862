"""Geometry against rsatoolbox: equal results first, then CPU seconds of both in turn, one thread.

`python geometry.py` runs every case, `python geometry.py crossnobis ...` those named; `--quick` takes small sizes and
writes nothing.
"""

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from unittest.mock import patch

import numpy as np
import rsatoolbox
import torch

from brainalign.geometry import dual_bootstrap, noise_covariance, rdm
from cells import paired
from tables import write_table

TOLERANCE = 1e-10
REPEATS = 5


@dataclass(frozen=True)
class Case:
    """What is timed.

    Attributes
    ----------
    title : str
    ours, theirs : function
        Return results that must be equal.
    target : float
        The ratio that is asked for; 0 where none is.
    share : float
        Of the work that one call of `theirs` does, where all of it would take minutes: its seconds are divided by it.
    whole : function, optional
        All the work of ours, where `ours` does the share of theirs as well, for the results to be equal.
    """

    title: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    target: float = 0
    share: float = 1
    whole: Callable[[], object] | None = None


def crossnobis(quick: bool) -> Case:
    """Crossnobis without noise covariance, a row per condition and run."""
    n_runs, n_conditions, n_channels = (3, 40, 300) if quick else (4, 200, 5000)
    patterns, conditions, runs = measured(n_runs, n_conditions, n_channels)
    dataset = rsatoolbox.data.Dataset(patterns, obs_descriptors={"condition": conditions, "run": runs})
    return Case(
        f"crossnobis, {n_conditions} conditions × {n_channels:,} channels × {n_runs} runs",
        lambda: rdm(patterns, "crossnobis", conditions, runs),
        lambda: rsatoolbox.rdm.calc_rdm(dataset, "crossnobis", "condition", cv_descriptor="run").dissimilarities[0],
        target=25,
    )


def whitened(quick: bool) -> Case:
    """The same with the noise covariance estimated from residuals, shrunk to its diagonal."""
    n_runs, n_conditions, n_channels, n_residuals = (3, 40, 300, 100) if quick else (4, 200, 1000, 300)
    patterns, conditions, runs = measured(n_runs, n_conditions, n_channels)
    residuals = np.random.default_rng(1).normal(size=(n_residuals, n_channels))
    dataset = rsatoolbox.data.Dataset(patterns, obs_descriptors={"condition": conditions, "run": runs})

    def theirs() -> object:
        precision = rsatoolbox.data.noise.prec_from_residuals(residuals)
        found = rsatoolbox.rdm.calc_rdm(dataset, "crossnobis", "condition", precision, cv_descriptor="run")
        return found.dissimilarities[0]

    return Case(
        f"crossnobis, {n_conditions} × {n_channels:,} × {n_runs}, noise of {n_residuals} residuals",
        lambda: rdm(patterns, "crossnobis", conditions, runs, noise_covariance(residuals)),
        theirs,
    )


def bootstrap(quick: bool) -> Case:
    """Dual bootstrap of the whitened cosine, subjects and stimuli; the same draws for both."""
    n_stimuli, n_subjects, n_models, n_draws, few = (12, 5, 3, 40, 4) if quick else (92, 12, 5, 1000, 2)
    rng = np.random.default_rng(0)
    truth = rdm(rng.normal(size=(n_stimuli, 10)), "euclidean")
    subjects, models = (truth + rng.normal(size=(n, len(truth))) * 0.5 for n in (n_subjects, n_models))
    draws = tuple(rng.integers(n, size=(n_draws, n)) for n in (n_subjects, n_stimuli))
    first = tuple(rows[:few] for rows in draws)
    fixed = [rsatoolbox.model.ModelFixed(str(k), model) for k, model in enumerate(models)]
    stack = rsatoolbox.rdm.RDMs(subjects)

    def theirs() -> object:
        queue = [row for pair in zip(*first, strict=True) for row in pair]  # it draws subjects, then stimuli
        with patch("rsatoolbox.inference.bootstrap.np.random.randint", lambda *_, **__: queue.pop(0)):
            found = rsatoolbox.inference.eval_dual_bootstrap(fixed, stack, method="cosine_cov", N=few)
        return np.moveaxis(found.evaluations[:, :, 0, 0], 2, 0)

    def ours(rows: tuple[np.ndarray, ...] = first) -> object:
        found = dual_bootstrap(subjects, models, "whitened-cosine", draws=rows)
        return np.stack([found.draws[name][:, :n_models] for name in ("both", "subjects", "stimuli")])

    title = f"dual bootstrap, whitened cosine, {n_stimuli} stimuli, {n_subjects} subjects, {n_models} models"
    return Case(f"{title}, {n_draws:,} draws", ours, theirs, 50, few / n_draws, lambda: ours(draws))


CASES: dict[str, Callable[[bool], Case]] = {"bootstrap": bootstrap, "crossnobis": crossnobis, "whitened": whitened}


def measured(n_runs: int, n_conditions: int, n_channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return patterns of every condition in every run, and their labels."""
    patterns = np.random.default_rng(0).normal(size=(n_runs * n_conditions, n_channels))
    names = np.array([f"c{k:03d}" for k in range(n_conditions)])
    return patterns, np.tile(names, n_runs), np.repeat(np.arange(n_runs), n_conditions)


def seconds(function: Callable[[], object]) -> float:
    """Return the seconds of the processor that one call takes."""
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(case: Case) -> list[str]:
    """Check that both agree, time them in turn, and return a row of the table.

    Raises
    ------
    RuntimeError
        If they differ.
    """
    error = float(np.abs(np.asarray(case.ours()) - np.asarray(case.theirs())).max())
    if not error <= TOLERANCE:
        raise RuntimeError(f"{case.title}: results differ by {error:.1e}, so times mean nothing")
    mine = case.whole or case.ours
    times = [(seconds(case.theirs) / case.share, seconds(mine)) for _ in range(REPEATS)]
    ratio, bound = paired(*(list(column) for column in zip(*times, strict=True)))
    theirs, ours = (median(column) for column in zip(*times, strict=True))
    scaled = "" if case.share == 1 else f" (from {case.share:.1%})"
    asked = f"≥ {case.target:g}" if case.target else ""
    return [case.title, f"{theirs:.3g}{scaled}", f"{ours:.3g}", f"{ratio:.1f} ({bound:.1f})", asked, f"{error:.0e}"]


def main() -> None:
    """Run the cases that were asked for."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    quick = "--quick" in sys.argv
    asked = [name for name in sys.argv[1:] if not name.startswith("-")] or list(CASES)
    unknown = [name for name in asked if name not in CASES]
    if unknown:
        raise SystemExit(f"no case {unknown[0]!r}; there are {', '.join(CASES)}")
    header = ["work", "rsatoolbox 0.3.2 (s)", "brainalign (s)", "ratio (lower 95 %)", "asked for", "largest difference"]
    notes = (
        "CPU seconds, medians of 5 runs in turn, one thread, float64. Where the peer would take minutes it did a share "
        "of the work, and its seconds are scaled."
    )
    rows = [measure(CASES[name](quick)) for name in asked]
    whole = not quick and set(asked) == set(CASES)
    write_table("8-geometry", "Geometry against rsatoolbox", header, rows, notes, keep=whole)


if __name__ == "__main__":
    main()
