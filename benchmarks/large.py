"""What a study larger than memory takes, from files to page: seconds of a core and memory of every step, by size.

python -P benchmarks/large.py [IMAGES ...]        2,500 and 10,000 images, where none is named

Images shown three times, 20,000 vertices in two regions, four layers of 2,048 features, unless options say otherwise.
The first features of the first layer drive the first region. Files and results lie in build/large. Planned figures are
those of `brainalign plan`. With --workers N, as many processes of 1 GB each share the fits.
"""

import argparse
import re
import subprocess
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from brainalign.config import load_config
from brainalign.io import load_sidecar
from brainalign.workflow import jobs

N_DRIVING = 64
FOLDER = Path("build/large")
TOOK = re.compile(r"^took ([0-9.]+) seconds of a core$", re.MULTILINE)


def write_study(folder: Path, n_images: int, size: argparse.Namespace) -> Path:
    """Write responses, vectors, tables and the configuration of a study, and return the path of the last."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    layers = {f"layer{k}": rng.normal(size=(n_images, size.features)).astype(np.float32) for k in range(size.layers)}
    ids = np.array([f"image{k:05d}" for k in range(n_images)])
    np.savez(folder / "vectors.npz", **layers, stimulus_id=ids)
    weights = rng.normal(size=(N_DRIVING, size.vertices // 2)).astype(np.float32) / np.float32(np.sqrt(N_DRIVING))
    shown = np.concatenate([rng.permutation(n_images) for _ in range(size.repeats)])
    shape = (len(shown), size.vertices)
    betas = np.lib.format.open_memmap(folder / "betas.npy", mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, len(shown), 500):
        rows = shown[start : start + 500]
        noise = rng.standard_normal((len(rows), size.vertices), dtype=np.float32)
        noise[:, : size.vertices // 2] += layers["layer0"][rows, :N_DRIVING] @ weights
        betas[start : start + len(rows)] = noise
    del betas
    sessions = np.repeat([str(k) for k in range(1, 41)], -(-len(shown) // 40))[: len(shown)]
    trials = pd.DataFrame({"stimulus_id": ids[shown], "session": sessions})
    trials.to_csv(folder / "trials.tsv", sep="\t", index=False)
    regions = np.repeat(["driven", "silent"], size.vertices // 2)
    pd.DataFrame({"target_id": np.arange(size.vertices), "roi": regions}).to_csv(
        folder / "targets.tsv", sep="\t", index=False
    )
    tested = np.arange(n_images) < max(100, n_images // 10)
    pd.DataFrame({"stimulus_id": ids, "set": np.where(tested, "shared", "own")}).to_csv(
        folder / "stimuli.tsv", sep="\t", index=False
    )
    content: dict[str, Any] = {
        "name": "large",
        "stimuli": "stimuli.tsv",
        "recordings": {
            "01": {"format": "array", "values": "betas.npy", "trials": "trials.tsv", "targets": "targets.tsv"}
        },
        "splits": {"shared": {"column": "set", "value": "shared"}},
        "models": {"mine": {"extractor": "table", "file": "vectors.npz"}},
    }
    if size.workers:
        content["cluster"] = {"workers": size.workers, "options": {"memory_limit": "1GB"}}
    path = folder / "large.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def main() -> None:
    """Run every size from files to page, and print a row per step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=int, default=[2500, 10_000])
    for name, default in (("vertices", 20_000), ("layers", 4), ("features", 2048), ("repeats", 3), ("workers", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    for n_images in options.images:
        folder = FOLDER / str(n_images)
        path = write_study(folder, n_images, options)
        with chdir(folder):
            planned = jobs(load_config(path.name))
            subprocess.run(["brainalign", "run", path.name, "--cores", str(options.workers or 1)], check=True)
            measured = [_measured(job.log, job.output) for job in planned]
        print(f"{f'{n_images} images':34}{'seconds':>9}{'planned':>9}{'MB':>9}{'planned':>9}")
        for job, (seconds, peak) in zip(planned, measured, strict=True):
            print(f"{job.stage:34}{seconds:9.1f}{job.cost.seconds:9}{peak:9.0f}{job.cost.memory_mb:9}", flush=True)


def _measured(log: Path, output: Path) -> tuple[float, float]:
    """Return the seconds of a core and the most memory in MB of a job that ran; of pages no memory is kept."""
    took = TOOK.search(log.read_text())
    assert took is not None
    return float(took[1]), float("nan") if output.suffix == ".html" else load_sidecar(output)["peak_memory_mb"]


if __name__ == "__main__":
    main()
