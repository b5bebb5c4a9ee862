"""How time grows with targets, penalties, features and folds (and workers), beside what the model of costs expects."""

import re
import sys
from dataclasses import dataclass
from statistics import median

import matplotlib.pyplot as plt

from cells import cell
from peers import CONTENDERS
from rates import kept
from ridge_cost import ridge_cost, seconds
from tables import ROOT, write_table
from worlds import World, remove


@dataclass(frozen=True)
class Point:
    """Sizes of one fit."""

    n: int = 1000
    p: int = 256
    t: int = 4000
    n_alphas: int = 20
    n_folds: int = 5


CURVES = {
    "targets": [Point(t=t) for t in (500, 1000, 2000, 4000, 8000, 16_000, 32_000)],
    "alphas": [Point(n_alphas=a) for a in (5, 10, 20, 50, 100, 200)],
    "features": [Point(p=p) for p in (32, 64, 128, 256, 512, 1024, 2048, 4096)],
    "folds": [Point(n_folds=f) for f in (2, 3, 5, 10, 20)],
}
SIZES = {"targets": "t", "alphas": "n_alphas", "features": "p", "folds": "n_folds"}
WORKERS = World(2000, 512, 20_000)


def measured(point: Point) -> float:
    """Return the median CPU seconds of a fit on one thread."""
    world = World(point.n, point.p, point.t)
    options = {"n_alphas": [point.n_alphas], "n_folds": point.n_folds, "repeats": 3}
    return median(cell("run", world, ["brainalign"], **options)["cpu"][0])


def workers() -> dict[int, float]:
    """Return wall seconds by number of workers, of the contenders that have any."""
    names = {int(match[1]): name for name in CONTENDERS if (match := re.match(r"brainalign, (\d+) worker", name))}
    return {n: median(cell("run", WORKERS, [name], repeats=3)["wall"][0]) for n, name in sorted(names.items())}


def main() -> None:
    """Measure every curve, write the table and the plot."""
    quick = "--quick" in sys.argv
    rates = kept()
    assert rates is not None
    plt.switch_backend("svg")
    plt.rcParams |= {"svg.hashsalt": "brainalign", "svg.fonttype": "none"}  # ids that repeat, and letters as text
    figure, axes = plt.subplots(1, len(CURVES) + 1, figsize=(15, 3), layout="constrained")
    rows = []
    for ax, (name, points) in zip(axes, CURVES.items(), strict=False):
        points = points[:2] if quick else points
        sizes = [getattr(point, SIZES[name]) for point in points]
        found = [measured(point) for point in points]
        costs = [ridge_cost(point.n, point.p, point.t, point.n_folds, point.n_alphas) for point in points]
        expected = [seconds(cost, rates) for cost in costs]
        ax.loglog(sizes, found, "o", color="#1b6ca8", label="measured")
        ax.loglog(sizes, expected, "-", color="#999999", label="model")
        ax.set(xlabel=name, xticks=sizes, xticklabels=[f"{size:g}" for size in sizes])
        ax.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        ax.tick_params(axis="x", labelrotation=45)
        rows += [
            [name, f"{size:,}", f"{own:.3f}", f"{model:.3f}", f"{own / model:.2f}"]
            for size, own, model in zip(sizes, found, expected, strict=True)
        ]
    curve = {} if quick else workers()
    axes[-1].loglog(list(curve), list(curve.values()), "o-", color="#1b6ca8")
    axes[-1].set(xlabel="workers", ylabel="wall seconds", visible=bool(curve))
    rows += [["workers", f"{n}", f"{wall:.2f} wall", "-", "-"] for n, wall in curve.items()]
    axes[0].set_ylabel("CPU seconds")
    axes[0].legend(frameon=False)
    if not quick:
        figure.savefig(ROOT / "benchmarks" / "scaling.svg", metadata={"Date": None})
    for world in {World(point.n, point.p, point.t) for points in CURVES.values() for point in points} | {WORKERS}:
        remove(world)
    header = ["curve", "size", "measured (s)", "model (s)", "measured / model"]
    base = "1,000 rows x 256 features x 4,000 targets, 20 alphas, 5 folds, one size varied, one thread"
    notes = "![time over targets, alphas, features and folds](scaling.svg)"
    write_table("5-scaling", f"Scaling and the model of costs: {base}", header, rows, notes, keep=not quick)


if __name__ == "__main__":
    main()
