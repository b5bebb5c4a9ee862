"""Measured cells, each kept as JSON under build/bench/cells, so that a killed benchmark goes on where it was.

A cell is measured again when what it asks for changes or, where this engine takes part, when the engine's code does.
"""

import dataclasses
import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from brainalign.workflow import code_digest
from worlds import World, saved

HERE = Path(__file__).parent
CELLS = HERE.parent / "build" / "bench" / "cells"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def cell(what: str, world: World, contenders: list[str], threads: int = 1, **options: Any) -> dict[str, Any]:
    """Return a measurement, made now in a process of its own unless it is kept.

    Raises
    ------
    RuntimeError
        If the process failed; its error has been printed.
    """
    spec = {"what": what, "world": dataclasses.asdict(world), "contenders": contenders, "threads": threads} | options
    if what == "run":
        spec = {"n_alphas": [20] * len(contenders), "repeats": 1} | spec
    ours = any(name.startswith("brainalign") for name in contenders)
    code = code_digest("encode/encode") if ours else ""
    key = hashlib.sha256((json.dumps(spec, sort_keys=True) + code).encode()).hexdigest()[:16]
    file = CELLS / f"{world.name}-{key}.json"
    if not file.exists():
        CELLS.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        if what != "data" and not saved(world):
            cell("data", world, [])
        print(f"  {world.title}: {what} {', '.join(contenders)}, {threads} thread(s)", file=sys.stderr, flush=True)
        request = json.dumps(spec | {"output": str(part), "keep": str(file.with_suffix(".npy"))})
        environment = os.environ | {name: str(threads) for name in THREADS}
        subprocess.run([sys.executable, "-P", HERE / "worker.py", request], env=environment, check=True)
        if what == "data":
            part.unlink()
            return {}
        part.rename(file)
    return dict(json.loads(file.read_text())["result"]) | {"alphas": file.with_suffix(".npy")}


def lower_bound(values: list[float]) -> float:
    """Return the order statistic that lies below the median with 95 % confidence (the smallest of few)."""
    n, below, rank = len(values), 0.0, 0
    while rank < n and below + math.comb(n, rank) / 2**n <= 0.05:
        below += math.comb(n, rank) / 2**n
        rank += 1
    return sorted(values)[max(rank - 1, 0)]


def paired(other: list[float], mine: list[float]) -> tuple[float, float]:
    """Return the median of the ratios and its lower bound; one run of the other stands beside every run of mine."""
    others = other * len(mine) if len(other) == 1 else other
    ratios = [a / b for a, b in zip(others, mine, strict=True)]
    return median(ratios), lower_bound(ratios)
