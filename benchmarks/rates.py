"""What this machine does per second: matrix products, decompositions, memory. `python rates.py cuda` measures a GPU."""

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from brainalign.kernels import eigh
from ridge_cost import EIGH, Rates

FOLDER = Path(__file__).parent.parent / "build" / "bench"


def timed(function: Callable[[], object], repeats: int = 5) -> float:
    """Return the median seconds of a function: of the processor without a GPU, of the clock with one."""
    cuda = torch.cuda.is_available()
    clock = time.perf_counter if cuda else time.process_time
    function()
    seconds = []
    for _ in range(repeats):
        if cuda:
            torch.cuda.synchronize()
        start = clock()
        function()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(clock() - start)
    return median(seconds)


def product(rows: int, inner: int, columns: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> float:
    """Return the seconds of a product (rows, inner) @ (inner, columns), of the faster library."""
    a = torch.randn((rows, inner), dtype=dtype, device=device)
    b = torch.randn((inner, columns), dtype=dtype, device=device)
    out = torch.empty((rows, columns), dtype=dtype, device=device)
    ways: list[Callable[[], object]] = [lambda: torch.mm(a, b, out=out)]
    if device == "cpu":
        ways.append(lambda: np.matmul(a.numpy(), b.numpy(), out=out.numpy()))
    return min(timed(way, 3) for way in ways)


def decomposition(k: int, device: str = "cpu", *, single: bool = False) -> float:
    """Return the seconds of an eigendecomposition in float64, of the faster library; or of the faster precision too."""
    rows = torch.randn((2 * k, k), dtype=torch.float64, device=device)
    gram = rows.T @ rows
    ways: list[Callable[[], object]] = [lambda: torch.linalg.eigh(gram)]
    if device == "cpu":
        ways.append(lambda: eigh(gram.clone()))
    if single:
        ways.append(lambda: torch.linalg.eigh(gram.float()))
        ways.append(lambda: eigh(gram.float()))
    return min(timed(way, 3) for way in ways)


def measure(device: str = "cpu") -> Rates:
    """Return the rates of a device; a larger one gets larger arrays."""
    k = 1024 if device == "cpu" else 8192
    x = torch.randn(k**2 * 16 // (1 if device == "cpu" else 4), device=device)
    y = torch.randn_like(x)
    return Rates(
        float32=2 * k * k * 4 * k / product(k, k, 4 * k, device=device),
        float64=2 * k**3 / product(k, k, k, torch.float64, device),
        eigh=EIGH * (k / 2) ** 3 / decomposition(k // 2, device),
        memory=3 * 4 * len(x) / timed(lambda: x.mul_(y)),
    )


def kept(device: str = "cpu") -> Rates | None:
    """Return the rates measured before, or now for the CPU; None for a GPU that nobody measured."""
    file = FOLDER / f"rates-{device}.json"
    if not file.exists():
        if device != "cpu":
            return None
        torch.set_num_threads(1)
        write(file, measure())
    return Rates(**json.loads(file.read_text()))


def write(file: Path, rates: Rates) -> None:
    """Keep rates."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(dataclasses.asdict(rates)))


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    torch.set_num_threads(1 if where == "cpu" else torch.get_num_threads())
    torch.backends.cuda.matmul.allow_tf32 = False
    write(FOLDER / f"rates-{where}.json", found := measure(where))
    print(found)
