"""What training on tokens takes from disk, beside the same in memory: seconds of an epoch and memory of the process.

python -P benchmarks/tokens.py [IMAGES ...]        2,000 and 10,000 images, where none is named

256 tokens of 768 channels, 200 targets, two queries, two epochs; the file lies in build/tokens. In memory only what
takes less than MOST_GB.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

from brainalign.arrays import StoredArray
from brainalign.encoding import RoutingEncoder
from brainalign.io import Provenance

N_TOKENS, N_CHANNELS, N_TARGETS, MOST_GB = 256, 768, 200, 4
FILE = Path("build/tokens/tokens.bin")


def main(sizes: list[int]) -> None:
    """Print a row per size and place, each measured in a process of its own."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    print(f"{'images':>8}{'tokens in':>12}{'s an epoch':>12}{'MB':>8}")
    for n in sizes:
        rng = np.random.default_rng(0)
        with FILE.open("wb") as file:
            for _ in range(0, n, 500):
                rng.standard_normal((500, N_TOKENS, N_CHANNELS), dtype=np.float32).tofile(file)
        for place in ("disk", "memory") if FILE.stat().st_size < MOST_GB * 1e9 else ("disk",):
            subprocess.run([sys.executable, "-P", __file__, "--one", str(n), place], check=True)
    FILE.unlink()


def train_one(n: int, place: str) -> None:
    """Train on a file of n images, and predict all of them."""
    rng = np.random.default_rng(0)
    stored = StoredArray(FILE, 0, (n, N_TOKENS, N_CHANNELS), np.dtype(np.float32), rng.permutation(n))
    X = stored if place == "disk" else stored[...]
    Y = rng.normal(size=(n, N_TARGETS)).astype(np.float32)
    encoder = RoutingEncoder("hemisphere", epochs=2, device="cpu")
    encoder.fit(X, Y, grid=(16, 16), roi=np.repeat(["L", "R"], N_TARGETS // 2)).predict(X)
    record = Provenance("tokens", {}, "").record([], {})
    seconds = min(epoch.seconds for epoch in encoder.history_)
    print(f"{n:8}{place:>12}{seconds:12.2f}{record['peak_memory_mb']:8}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        train_one(int(sys.argv[2]), sys.argv[3])
    else:
        main([int(size) for size in sys.argv[1:]] or [2000, 10_000])
