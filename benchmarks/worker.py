"""One measurement in a process of its own: contenders run in turn, and everything comes out as JSON.

python worker.py '{"what": "run", "contenders": [...], "world": {...}, "n_alphas": [...], "threads": 1, "repeats": 5}'
"""

import dataclasses
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from peers import CONTENDERS
from worlds import N_FOLDS, World, load, make, penalties, save, saved


def settle(threads: int, contenders: list[str]) -> None:
    """Fix the number of threads; those of BLAS came with the environment. himalaya's numpy never loads torch."""
    if not all("numpy" in name for name in contenders):
        import torch

        torch.set_num_threads(threads)


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Warm up on a small world, then time all contenders in turn; memory is the peak of the whole process."""
    settle(spec["threads"], spec["contenders"])
    world = World(**spec["world"])
    small = World(120, 16 * world.bands, 20, bands=world.bands, n_candidates=min(world.n_candidates, 2))
    small = dataclasses.replace(small, delays=world.delays)
    if world.n < world.p * world.delays:
        small = dataclasses.replace(small, p=200)
    for name, n_alphas in zip(spec["contenders"], spec["n_alphas"], strict=True):
        CONTENDERS[name](make(small, n_alphas))()
    data = load(world)
    if spec.get("targets"):
        data = dataclasses.replace(data, Y=data.Y[:, : spec["targets"]].copy())
    runs = []
    for name, n_alphas in zip(spec["contenders"], spec["n_alphas"], strict=True):
        own = dataclasses.replace(data, alphas=penalties(n_alphas), n_folds=spec.get("n_folds", N_FOLDS))
        runs.append(CONTENDERS[name](own))
    baseline = psutil.Process().memory_info().rss
    cpu: list[list[float]] = [[] for _ in runs]
    wall: list[list[float]] = [[] for _ in runs]
    alphas: list[Any] = [None] * len(runs)
    for _ in range(spec["repeats"]):
        for i, function in enumerate(runs):
            start, start_wall = time.process_time(), time.perf_counter()
            fit = function()
            cpu[i].append(time.process_time() - start)
            wall[i].append(time.perf_counter() - start_wall)
            alphas[i] = fit.alpha
            del fit
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if spec.get("keep"):
        np.save(spec["keep"], np.stack([np.asarray(alpha, dtype=np.float64) for alpha in alphas]))
    return {"cpu": cpu, "wall": wall, "peak": peak, "baseline": baseline}


def equal(spec: dict[str, Any]) -> dict[str, Any]:
    """Compare a contender's fit of all targets with float64 scikit-learn."""
    from exact import distance

    settle(spec["threads"], ["all"])
    data = load(World(**spec["world"]))
    found = distance(data, CONTENDERS[spec["contenders"][0]](data)())
    return dataclasses.asdict(found) | {"good": found.good}


def main() -> None:
    """Do what the argument says."""
    spec = json.loads(sys.argv[1])
    world = World(**spec["world"])
    if spec["what"] == "data":
        if not saved(world):
            save(world)
        result: dict[str, Any] = {}
    else:
        result = {"run": run, "equal": equal}[spec["what"]](spec)
    Path(spec["output"]).write_text(json.dumps({"spec": spec, "result": result}))


if __name__ == "__main__":
    main()
