"""Networks on a GPU: what extraction and routing take beside bare loops of torch, in images per second.

python benchmarks/gpu_networks.py [--images N] [--tokens N] [--device cpu]

Extraction: a vision transformer (ViT-B/16, random weights), all layers, means over places, of photographs of 500 x 375
pixels; the least a card takes is that of images that already lie on it, by batch and precision. Routing: 256 tokens of
768 channels, 2,000 targets, a query per hemisphere, from a file and from memory.
"""

# ruff: noqa: B023 (what is timed runs within its turn of the loop)

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from brainalign.arrays import StoredArray
from brainalign.encoding import RoutingEncoder
from brainalign.features import VisionExtractor
from brainalign.features.images import load_images, load_in_processes
from extraction import draw, extract

LARGE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
SMALL = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3}
N_TARGETS, EPOCHS = 2000, 3
LEAST_OF_FULL_SIZE = 1000  # images whose tokens are 256 of 768 channels


def seconds(run: Callable[[], object], repeats: int = 3) -> float:
    """Return the least time of several calls, the first of which is not counted."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def of_networks(n: int, device: str, size: dict[str, int]) -> None:
    """Print images per second of the forward pass alone, of reading, of a bare loop and of extraction."""
    with tempfile.TemporaryDirectory() as folder:
        stimuli = draw(Path(folder), min(n, 500))
        stimuli = stimuli.iloc[np.arange(n) % len(stimuli)].reset_index(drop=True)
        stimuli["stimulus_id"] = [f"image{k}" for k in range(n)]
        transformers.set_seed(0)
        transformers.ViTModel(transformers.ViTConfig(**size)).save_pretrained(folder)
        about = {"size": {"height": 224, "width": 224}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3}
        (Path(folder) / "preprocessor_config.json").write_text(json.dumps(about))
        paths = stimuli["path"].tolist()
        runs = iter(range(100))
        for mixed in (False, True):
            extractor = VisionExtractor(folder, device=device, mixed_precision=mixed)
            network, of = extractor.network, "float16" if mixed else "float32"
            for batch in (8, 256) if device == "cuda" else (2,):
                images = torch.randn((batch, 3, 224, 224), device=device)
                with torch.inference_mode(), torch.autocast(device, torch.float16, enabled=mixed):
                    rate = batch / seconds(lambda: network.module(images))
                report(f"forward pass, images on the card, {of}, batch {batch}", rate)

            def load(rows: np.ndarray) -> Tensor:
                some = [paths[row] for row in rows]
                return load_images(some, some, network.preprocessing)

            parts = [np.arange(start, min(start + 8, n)) for start in range(0, n, 8)]
            if not mixed:
                report(
                    "reading alone",
                    n / seconds(lambda: [0 for _ in load_in_processes(load, parts, torch.get_num_threads())], 1),
                )
            report(f"bare loop, {of}", n / seconds(lambda: bare(extractor, load, parts, mixed), 1))
            report(
                f"extraction, {of}", n / seconds(lambda: extract(extractor, stimuli, Path(folder) / f"{next(runs)}"), 1)
            )


def bare(
    extractor: VisionExtractor, load: Callable[[np.ndarray], Tensor], parts: list[np.ndarray], mixed: bool
) -> None:
    """Look at images as ten lines of torch would, 256 at a time, and keep features in memory."""
    device = extractor.device
    found: list[Tensor] = []
    hooks = [
        extractor.network.module_of(name).register_forward_hook(
            lambda *of: found.append((of[-1][0] if isinstance(of[-1], tuple) else of[-1])[:, 1:].float().mean(dim=1))
        )
        for name in extractor.layer_names
    ]
    kept, waiting = [], load_in_processes(load, parts, torch.get_num_threads())
    with torch.inference_mode(), torch.autocast(device, torch.float16, enabled=mixed):
        for start in range(0, len(parts), 32):
            found.clear()
            extractor.network.module(torch.cat([next(waiting) for _ in parts[start : start + 32]]).to(device))
            kept.append([values.cpu() for values in found])
    for hook in hooks:
        hook.remove()


def of_tokens(n: int, device: str) -> None:
    """Print seconds of an epoch of routing, as written here and as the encoder does it."""
    side, width = (16, 768) if n >= LEAST_OF_FULL_SIZE else (4, 32)
    shape = (n, side**2, width)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokens.bin"
        with file.open("wb") as out:
            for start in range(0, n, 500):
                rng.standard_normal((min(500, n - start), *shape[1:]), dtype=np.float32).tofile(out)
        stored = StoredArray(file, 0, shape, np.dtype(np.float32), rng.permutation(n))
        tokens = stored[...]
        responses = rng.normal(size=(n, N_TARGETS)).astype(np.float32)
        sides = np.repeat(["L", "R"], N_TARGETS // 2)
        for mixed in (False, True) if device == "cuda" else (False,):
            of = "bfloat16" if mixed else "float32"
            report(f"epoch of a bare loop in memory, {of}", bare_epoch(tokens, responses, device, mixed), "s")
            for where, X in (("memory", tokens), ("file", stored)):
                encoder = RoutingEncoder("hemisphere", epochs=EPOCHS, device=device, mixed_precision=mixed)
                started = time.perf_counter()
                encoder.fit(X, responses, grid=(side, side), roi=sides)
                report(f"epoch of RoutingEncoder, {where}, {of}", min(e.seconds for e in encoder.history_), "s")
                report(f"  its whole fit of {EPOCHS} epochs", time.perf_counter() - started, "s")


def bare_epoch(tokens: np.ndarray, responses: np.ndarray, device: str, mixed: bool) -> float:
    """Return the seconds of one pass of attention from two queries over the training rows, in batches of 50."""
    X, Y = torch.from_numpy(tokens), torch.from_numpy(responses).to(device)
    width, d = X.shape[2], 32
    key, value = nn.Linear(width, d).to(device), nn.Linear(width, d).to(device)
    query = nn.Parameter(0.1 * torch.randn((2, d), device=device))
    heads = nn.ModuleList([nn.Linear(d, N_TARGETS // 2).to(device) for _ in range(2)])
    parameters = [*key.parameters(), *value.parameters(), query, *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)

    def epoch() -> None:
        for rows in torch.randperm(len(X))[: int(0.9 * len(X))].split(50):
            with torch.autocast(device, torch.bfloat16, enabled=mixed):
                some = X[rows].to(device)
                read = functional.scaled_dot_product_attention(query.expand(len(rows), -1, -1), key(some), value(some))
                found = torch.cat([head(read[:, k]) for k, head in enumerate(heads)], dim=1)
                loss = (found - Y[rows.to(device)]).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return seconds(epoch, 2)


def report(what: str, figure: float, unit: str = "images/s") -> None:
    """Print a row."""
    print(f"{what:60}{figure:12.2f} {unit}", flush=True)


def main() -> None:
    """Print all rows; 0 images or tokens leave a half out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    options = parser.parse_args()
    if options.images:
        of_networks(options.images, options.device, LARGE if options.device == "cuda" else SMALL)
    if options.tokens:
        of_tokens(options.tokens, options.device)


if __name__ == "__main__":
    main()
