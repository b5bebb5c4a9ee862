"""Ridge on delayed features against the best of himalaya, which gets the design written out as its tutorials do.

Writing it is timed with the fit. python delays.py [--quick]
"""

from __future__ import annotations

import sys

from ridge import Case, best_rival, compare, memory, verdicts
from tables import write_table
from worlds import World, remove

CASES = (Case(World(3000, 1000, 20_000, delays=4), 2.4, 1), Case(World(8000, 256, 20_000, delays=4), 6, 1))
QUICK = (Case(World(600, 200, 2000, delays=4)), Case(World(1600, 64, 2000, delays=4)))
HEADER = ["rows x delays x features x targets", "himalaya's best", "himalaya, CPU s (wall)", "brainalign, CPU s (wall)"]
HEADER += ["ratio (lower 95 %)", "same penalty", "peak MB", "of himalaya's", "of its fit", "time met", "memory met"]


def main() -> None:
    """Write the table."""
    quick = "--quick" in sys.argv
    rows = []
    for case in QUICK if quick else CASES:
        world = case.world
        other, expected_s = best_rival(world)
        (other_peak, other_own), (mine_peak, mine_own) = memory(world, other), memory(world, "brainalign")
        pair = compare(world, other, "brainalign", 1, expected_s)
        row = [world.title, other.removeprefix("himalaya "), f"{pair.other:.2f} ({pair.other_wall:.2f})"]
        row += [f"{pair.mine:.2f} ({pair.mine_wall:.2f})", f"{pair.ratio:.2f} ({pair.bound:.2f})", f"{pair.same:.1%}"]
        row += [f"{other_peak:.0f} -> {mine_peak:.0f}", f"{mine_peak / other_peak:.2f}", f"{mine_own / other_own:.2f}"]
        rows.append([*row, *verdicts(case, pair, mine_peak / other_peak)])
        remove(world)
    write_table(
        "91-delays",
        "Ridge with delays against himalaya: 20 alphas, 5 folds of two whole runs, a penalty per target, one thread",
        HEADER,
        rows,
        "himalaya gets the delayed design written out, run by run, within the time; RidgeCV, or KernelRidgeCV with "
        "coefficients of features where rows are fewer than columns; the fastest of its backends and batches on a "
        "tenth of the targets. brainalign's memory has no copy of the features per delay.",
        keep=not quick,
    )


if __name__ == "__main__":
    main()
