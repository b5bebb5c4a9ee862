"""Ridge on delayed features against the best of himalaya, which gets the design written out as its tutorials do.

Writing it is timed with the fit. python delays.py [--quick]
"""

import sys
from statistics import median

import numpy as np

from cells import cell, paired
from floor import floor
from ridge import MB, best_rival, verdict
from tables import write_table
from worlds import World, remove

ASKED = {World(3000, 1000, 20_000, delays=4): 2.4, World(8000, 256, 20_000, delays=4): 6.0}
QUICK = {World(600, 200, 2000, delays=4): 1.0, World(1600, 64, 2000, delays=4): 1.0}
HEADER = ["rows x delays x features x targets", "himalaya's best", "himalaya, CPU s", "brainalign, CPU s"]
HEADER += ["ratio (lower 95 %)", "same penalty", "peak MB", "of himalaya's", "of its fit", "of the floor", "time met"]


def main() -> None:
    """Write the table."""
    quick = "--quick" in sys.argv
    rows = []
    for world, asked in (QUICK if quick else ASKED).items():
        other, _ = best_rival(world)
        theirs, mine = cell("run", world, [other]), cell("run", world, ["brainalign"], repeats=3)
        ratio, bound = paired(theirs["cpu"][0], mine["cpu"][0])
        same = np.isclose(*(np.load(found["alphas"])[0] for found in (theirs, mine)), rtol=1e-3).mean()
        peaks = [found["peak"] / MB for found in (theirs, mine)]
        fits = [peak - found["baseline"] / MB for peak, found in zip(peaks, (theirs, mine), strict=True)]
        seconds = [f"{median(found['cpu'][0]):.2f}" for found in (theirs, mine)]
        row = [world.title, other.removeprefix("himalaya "), *seconds, f"{ratio:.2f} ({bound:.2f})", f"{same:.1%}"]
        row += [f"{peaks[0]:.0f} -> {peaks[1]:.0f}", f"{peaks[1] / peaks[0]:.2f}", f"{fits[1] / fits[0]:.2f}"]
        row.append(f"{median(mine['cpu'][0]) / sum(floor(world)):.2f}")
        rows.append([*row, verdict(ratio >= asked, f">= {asked:g}")])
        write_table(
            "91-delays",
            "Ridge with delays against himalaya: 20 alphas, 5 folds of two whole runs, a penalty per target, a thread",
            HEADER,
            rows,
            "himalaya gets the delayed design written out, run by run, within the time; RidgeCV, or KernelRidgeCV with "
            "coefficients of features where rows are fewer than columns; the fastest of its backends and batches on a "
            "tenth of the targets. It runs once, brainalign three times. brainalign never writes the design out; "
            "targets and coefficients are in both peaks. "
            "The floor is that of floor.py: products and decompositions in float32, no choice among penalties.",
            keep=not quick,
        )
        remove(world)


if __name__ == "__main__":
    main()
