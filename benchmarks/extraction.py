"""What extraction takes beside a bare loop over the same images and network: processor seconds, and waiting for both.

python -P benchmarks/extraction.py [IMAGES]        400 photographs of 500 x 375 pixels, unless said otherwise

A vision transformer with random weights, all layers, means over places. Both ways read the files with Pillow, resize
them in torch and look at eight at a time; the bare loop keeps features in memory, extraction writes them to disk and
vouches for them. A second pair has, in place of the network, one that waits as long as reading a batch takes, as the
processor does for a GPU. One thread of torch; ways alternate.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers
from PIL import Image
from torch import Tensor, nn

from brainalign.features import VisionExtractor
from brainalign.features.images import load_images
from brainalign.io import Provenance, artifact_path, open_writer

BATCH, ROUNDS = 8, 3
SIZES = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 12, "num_attention_heads": 3}


class Waiting(nn.Module):
    """A network of a device that is busy for some seconds with every batch."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.layer = seconds, nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Wait, and return a mean of every channel."""
        time.sleep(self.seconds)
        return self.layer(images.mean(dim=(2, 3)))


def main(n: int) -> None:
    """Draw images, and print a row per network and way."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        stimuli = draw(Path(folder), n)
        transformers.set_seed(0)
        transformers.ViTModel(transformers.ViTConfig(**SIZES)).save_pretrained(folder)
        about = {"size": {"height": 224, "width": 224}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3}
        (Path(folder) / "preprocessor_config.json").write_text(json.dumps(about))
        started = time.perf_counter()
        paths, prepare = stimuli["path"].tolist(), VisionExtractor(folder).network.preprocessing
        for start in range(0, n, BATCH):
            load_images(paths[start : start + BATCH], paths[start : start + BATCH], prepare)
        reading = (time.perf_counter() - started) / (n / BATCH)
        print(f"{'network':10}{'way':12}{'processor s':>13}{'s':>8}", flush=True)
        for name in ("ViT", "waiting"):
            extractor = VisionExtractor(folder, layers=None if name == "ViT" else ["layer"], batch_size=BATCH)
            if name == "waiting":
                extractor.network.module = Waiting(reading)
            extractor.digest()  # which reads all weights, once
            found: dict[str, list[tuple[float, float]]] = {"bare loop": [], "extraction": []}
            for turn in range(ROUNDS):
                found["bare loop"].append(timed(bare, extractor, paths))
                found["extraction"].append(timed(extract, extractor, stimuli, Path(folder) / f"{name}{turn}"))
            for way, times in found.items():
                processor, wall = np.median(times, axis=0)
                print(f"{name:10}{way:12}{processor:13.1f}{wall:8.1f}", flush=True)


def draw(folder: Path, n: int) -> pd.DataFrame:
    """Write photographs of smooth noise, and return their table."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{k}.jpg" for k in range(n)]
    for path in paths:
        small = Image.fromarray(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        small.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
    return pd.DataFrame({"stimulus_id": [path.stem for path in paths], "path": [str(path) for path in paths]})


def bare(extractor: VisionExtractor, paths: list[str]) -> dict[str, Tensor]:
    """Compute features as ten lines of torch would."""
    module = extractor.network.module
    found: dict[str, list[Tensor]] = {name: [] for name in extractor.layer_names}

    def keep(name: str, output: Tensor) -> None:
        found[name].append(output[:, 1:].mean(dim=1) if output.ndim == 3 else output)

    hooks = [
        extractor.network.module_of(name).register_forward_hook(lambda *of, name=name: keep(name, of[-1]))
        for name in found
    ]
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            some = paths[start : start + BATCH]
            module(load_images(some, some, extractor.network.preprocessing))
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}


def extract(extractor: VisionExtractor, stimuli: pd.DataFrame, folder: Path) -> None:
    """Compute them as the step does."""
    writer = open_writer(artifact_path(folder, "d", "features", model="m"), stimuli, Provenance("extract", {}, ""))
    extractor.extract(stimuli, writer)
    writer.close()


def timed(run: Callable[..., object], *given: object) -> tuple[float, float]:
    """Return seconds of the processor, and of the clock."""
    processor, wall = time.process_time(), time.perf_counter()
    run(*given)
    return time.process_time() - processor, time.perf_counter() - wall


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
