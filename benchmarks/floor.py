"""How far the engine is from what any method must do that forms Z in every fold's eigenbasis and refits.

The floor is the sum of products, each timed at its very shape in float32 (the Gram matrix, targets into every fold's
basis, coefficients), and of the decompositions, by the fastest of float32 and float64. Choosing among penalties is not
in it at all.
"""

import sys
from statistics import median

import torch

from cells import cell
from rates import decomposition, kept, product
from ridge import CASES, QUICK
from ridge_cost import ridge_cost, seconds
from tables import write_table
from worlds import N_FOLDS, World, remove

BOUND = {"2000x1024x20000": 2.0}


def floor(world: World) -> tuple[float, float]:
    """Return the seconds of the products and of the decompositions of a plain ridge, on one thread."""
    n, p, t = world.n, world.p * world.delays, world.t
    n_train, rank = n - n // N_FOLDS, min(n, p)
    k = min(n_train, p)
    if n >= p:  # targets meet the rows once; folds are rotations of what came of it
        products = product(p, n, p) + product(p, n, t) + product(p, p, t)
    else:
        products = product(n, world.p, n) + product(n, n, t) + product(p, n, t)
    products += N_FOLDS * product(k, k, t)
    return products, N_FOLDS * decomposition(k, single=True) + decomposition(rank, single=True)


def main() -> None:
    """Write the table of floors."""
    quick = "--quick" in sys.argv
    torch.set_num_threads(1)
    rates = kept()
    assert rates is not None
    rows = []
    for case in QUICK[:1] if quick else CASES:
        world = case.world
        if world.bands > 1 or world.spectrum != "flat":
            continue
        products, decompositions = floor(world)
        total = products + decompositions
        own = median(cell("run", world, ["brainalign"], repeats=5)["cpu"][0])
        model = seconds(ridge_cost(world.n, world.p, world.t, N_FOLDS), rates)
        bound = BOUND.get(world.name)
        met = f"{'yes' if own <= bound * total else '**no**'}: <= {bound:g}" if bound else "shown"
        row = [world.title, f"{products:.2f}", f"{decompositions:.2f}", f"{total:.2f}", f"{own:.2f}"]
        rows.append([*row, f"{own / total:.2f}", met, f"{model:.2f}"])
        remove(world)
    header = [
        "rows x features x targets",
        "products (s)",
        "eigh (s)",
        "floor (s)",
        "brainalign (s)",
        "over floor",
        "met",
    ]
    notes = (
        f"Rates: float32 products {rates.float32 / 1e9:.0f} and float64 {rates.float64 / 1e9:.0f} GFLOP/s, "
        f"eigh {rates.eigh / 1e9:.1f}, memory {rates.memory / 1e9:.1f} GB/s. The model is `benchmarks/ridge_cost.py`."
    )
    title = "Over the floor of products and decompositions, one thread, CPU seconds"
    write_table("4-floor", title, [*header, "model (s)"], rows, notes, keep=not quick)


if __name__ == "__main__":
    main()
