"""`Ridge` and `BandedRidge` against the best of himalaya for each shape, and against plain torch.

Exactness is checked before anything is timed. Every measurement is a process of its own (cells.py), so a killed run
goes on where it was. python ridge.py [--quick] [--threads 1 2] [--shapes 1000x512x5000 ...]
"""

import argparse
import importlib
import sys
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from cells import cell, paired
from peers import rivals
from tables import ROOT, between, table, write_table
from worlds import World, remove

SLOW_S = 60  # a peer slower than this runs once
MB = 2**20


@dataclass(frozen=True)
class Case:
    """A world, and what must be reached: ratio of CPU seconds (at least), ratio of peak memory (at most)."""

    world: World
    ratio: float | None = None
    memory: float | None = None


CASES = (
    Case(World(1000, 512, 5000), 4.5, 0.6),
    Case(World(2000, 1024, 20_000), 6, 0.4),
    Case(World(5000, 2048, 2500), 10, 0.4),
    Case(World(8000, 512, 20_000), 15, 0.4),
    Case(World(800, 8192, 10_000), 2.5, 0.6),
    Case(World(1000, 512, 5000, bands=2, n_candidates=20), 8, 0.7),
    Case(World(1000, 512, 5000, "power")),
    Case(World(2000, 1024, 20_000, "power")),
)
QUICK = (
    Case(World(1000, 256, 1500)),
    Case(World(300, 1024, 2000)),
    Case(World(300, 128, 500, bands=2, n_candidates=5)),
)
MORE_ALPHAS, MORE_RATIO = 50, 1.25


@dataclass(frozen=True)
class Pair:
    """CPU and wall seconds (medians) of the other and of mine, their ratio with its bound, and peak memory."""

    other: float
    mine: float
    other_wall: float
    mine_wall: float
    ratio: float
    bound: float
    same: float
    once: bool


def best_rival(world: World) -> tuple[str, float]:
    """Return the fastest variant of himalaya on a tenth of the targets, and the seconds expected on all."""
    some = max(world.t // 10, 500)
    seconds = {name: cell("run", world, [name], targets=some)["cpu"][0][0] for name in rivals(world.bands > 1)}
    name = min(seconds, key=lambda key: seconds[key])
    return name, seconds[name] * world.t / some


def compare(world: World, other: str, mine: str, threads: int, expected_s: float) -> Pair:
    """Time two contenders in turn in one process, or each in its own.

    A slow one runs once. With several threads the pools of numpy and torch in one process fight for the cores.
    """
    if expected_s > SLOW_S or threads > 1:
        theirs = cell("run", world, [other], threads, repeats=1 if expected_s > SLOW_S else 5)
        own = cell("run", world, [mine], threads, repeats=5)
        alphas = [np.load(result["alphas"])[0] for result in (theirs, own)]
        cpu, wall = ([theirs[key][0], own[key][0]] for key in ("cpu", "wall"))
    else:
        both = cell("run", world, [other, mine], threads, repeats=5 if expected_s > SLOW_S / 10 else 9)
        cpu, wall, alphas = both["cpu"], both["wall"], list(np.load(both["alphas"]))
    same = float(np.isclose(*alphas, rtol=1e-3).mean())
    medians = [median(values) for values in (*cpu, *wall)]
    return Pair(*medians, *paired(*cpu), same, len(cpu[0]) == 1)


def memory(world: World, name: str, **options: Any) -> tuple[float, float]:
    """Return the peak of a process that fits once, in MB, and how much of it came after imports and data."""
    result = cell("run", world, [name], **options)
    return result["peak"] / MB, (result["peak"] - result["baseline"]) / MB


def missing(world: World) -> bool:
    """Return whether the encoder a case needs is not there, and say so."""
    if world.bands > 1 and not hasattr(importlib.import_module("brainalign.encoding"), "BandedRidge"):
        print(f"skipped {world.title}: brainalign.encoding has no BandedRidge yet", file=sys.stderr)
        return True
    return False


def verdict(met: bool, bound: str) -> str:
    """Return whether a criterion is met, and which."""
    return f"{'yes' if met else '**no**'}: {bound}"


def verdicts(case: Case, pair: Pair, memory: float) -> list[str]:
    """Return whether the criteria of a case are met, of time and of memory."""
    if case.ratio is None or case.memory is None:
        return ["shown", "shown"]
    fast = pair.bound >= 0.9 * case.ratio  # of the lower 95 % bound
    return [verdict(fast, f"bound >= .9 x {case.ratio:g}"), verdict(memory <= case.memory, f"<= {case.memory:g}")]


def measure(case: Case, threads: list[int]) -> tuple[list[list[str]], list[str]]:
    """Return the rows of a case for the table of times, and its row for that of exactness."""
    world, banded = case.world, case.world.bands > 1
    mine = "brainalign banded" if banded else "brainalign"
    exact = cell("equal", world, [mine])
    other, expected_s = best_rival(world)
    (other_peak, other_own), (mine_peak, mine_own) = memory(world, other), memory(world, mine)
    rows = []
    for n in threads[:1] if world.spectrum == "power" else threads:
        pair = compare(world, other, mine, n, expected_s)
        plain = "-"
        if not banded and n == threads[0]:
            torch_pair = compare(world, "plain torch", mine, n, 4 * pair.mine)
            plain = f"{torch_pair.ratio:.2f} ({torch_pair.bound:.2f})"
        row = [world.title, f"{n}", other.removeprefix("himalaya ").removeprefix("banded ")]
        row += [f"{pair.other:.2f} ({pair.other_wall:.2f})", f"{pair.mine:.2f} ({pair.mine_wall:.2f})"]
        row += [f"{pair.ratio:.2f} ({pair.bound:.2f}){', once' if pair.once else ''}", plain]
        row += [f"{other_peak:.0f} -> {mine_peak:.0f}", f"{mine_peak / other_peak:.2f}"]
        rows.append([*row, f"{mine_own / other_own:.2f}", *verdicts(case, pair, mine_peak / other_peak)])
    state = "yes" if exact["good"] else "**no**"
    figures = [f"{exact[key]:.1e}" for key in ("score", "lost", "coefficients")]
    return rows, [world.title, *figures, f"{exact['same']:.1%}", f"{pair.same:.1%}", state]


def finer_grid(world: World, threads: list[int]) -> list[list[str]]:
    """Return what a grid of 50 penalties costs over one of 20."""
    rows = []
    for n in threads:
        both = cell("run", world, ["brainalign"] * 2, n, n_alphas=[MORE_ALPHAS, 20], repeats=9)
        ratio, bound = paired(*both["cpu"])
        upper = 1 / paired(both["cpu"][1], both["cpu"][0])[1]
        more = memory(world, "brainalign", n_alphas=[MORE_ALPHAS])[0] / memory(world, "brainalign")[0]
        seconds = [f"{median(values):.2f}" for values in reversed(both["cpu"])]
        state = "yes" if ratio <= MORE_RATIO else "**no**"
        rows.append([world.title, f"{n}", *seconds, f"{ratio:.2f} ({bound:.2f} to {upper:.2f})", f"{more:.2f}", state])
    return rows


TIMES = [
    "rows x features x targets",
    "threads",
    "himalaya's best",
    "himalaya, CPU s (wall)",
    "brainalign, CPU s (wall)",
]
TIMES += [
    "ratio (lower 95 %)",
    "plain torch / brainalign",
    "peak MB",
    "of himalaya's",
    "of its fit",
    "time met",
    "memory met",
]
EXACT = ["rows x features x targets", "scores", "lost by choice", "coefficients", "same as scikit-learn"]
EXACT += ["same as himalaya", "within bounds"]
FINER = [
    "rows x features x targets",
    "threads",
    "20 alphas, CPU s",
    "50 alphas, CPU s",
    "ratio (95 %)",
    "memory",
    "<= 1.25",
]


def main() -> None:
    """Measure all cases that are asked for; each table is written as it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shapes", nargs="+", help="names such as 1000x512x5000 or 1000x512x5000-2bands")
    parser.add_argument("--quick", action="store_true", help="small shapes, one thread, nothing written")
    options = parser.parse_args()
    cases = QUICK if options.quick else CASES
    threads = [1] if options.quick else options.threads
    if options.shapes:
        cases = tuple(case for case in CASES if case.world.name in options.shapes)
    keep = not options.quick
    times, exact, finer = [], [], []
    for i, case in enumerate(cases):
        if not missing(case.world):
            rows, row = measure(case, threads)
            times += rows
            exact.append(row)
            if i == 0 and case.world.bands == 1:
                finer += finer_grid(case.world, threads)
        if not any(other.world.name == case.world.name for other in cases[i + 1 :]):
            remove(case.world)
    write_table(
        "1-ridge",
        "`Ridge` and `BandedRidge` against himalaya: 20 alphas, 5 folds, a penalty per target",
        TIMES,
        times,
        "himalaya's best of backends numpy and torch and batches of 2,000 targets, chosen on a tenth of the targets; "
        "RidgeCV, or KernelRidgeCV with coefficients of features where rows are fewer, GroupRidgeCV for bands; "
        "score R². Medians; a peer slower than 60 s runs once. Plain torch: eigh per fold, one product per alpha. "
        "Memory: peak of a process that fits once, which the criterion is about (torch takes 200 MB; himalaya on "
        "numpy loads none), and the part above imports and data.",
        keep=keep,
    )
    write_table(
        "2-exact",
        "Against float64 scikit-learn per fold and alpha, on 64 targets, before timing",
        EXACT,
        exact,
        "Scores relative to 1 + |R²|, and the reference score lost where another alpha was chosen, both < 1e-5; "
        "coefficients relative, < 1e-4. himalaya works in float32 and can choose otherwise between near ties.",
        keep=keep,
    )
    if finer:
        write_table("3-alphas", "50 alphas instead of 20", FINER, finer, keep=keep)
    if keep:
        short = [
            [row[0], row[3].split()[0], row[4].split()[0], row[5].split()[0], row[9]] for row in times if row[1] == "1"
        ]
        header = ["rows x features x targets", "himalaya's best, CPU s", "brainalign", "ratio", "memory of the fit"]
        between(ROOT / "README.md", "\n".join(table(header, short)))


if __name__ == "__main__":
    main()
