"""The network whose layers drive the simulated brains: a small ResNet trained on the scenes themselves.

It is written as a Hugging Face folder, so that any vision extractor loads it like a published network. It is not one
of the networks a study compares by default: what those recover of it is not circular.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.devices import seeded
from brainalign.simulation.voxels.scenes import CENTRE, COLOURS, RADIUS, SHAPES, TEXTURES

if TYPE_CHECKING:
    import torch

# Names of modules in the saved network, in order of depth: what an extractor calls its layers.
LAYERS = ("embedder", *(f"encoder.stages.{k}" for k in range(4)))

CHOICES = {"shape": tuple(SHAPES), "colour": tuple(COLOURS), "texture": TEXTURES}
RANGES = {"size": RADIUS, "x": CENTRE, "y": CENTRE}
CONFIG: dict[str, Any] = {
    "embedding_size": 20,
    "hidden_sizes": [24, 32, 48, 64],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
}


def _inputs(images: NDArray[np.uint8]) -> torch.Tensor:
    """Apply the saved preprocessing to images: (n, 3, rows, columns) in [-1, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float().div_(127.5).sub_(1)


def train_generator(
    scenes: pd.DataFrame, images: NDArray[np.uint8], *, n_epochs: int = 4, batch_size: int = 32, seed: int = 0
) -> torch.nn.Module:
    """Train the network to name shape, colour and texture and to measure size and place.

    Parameters
    ----------
    scenes : DataFrame (n_scenes)
        Others than the study's, so that no layer has learned a study image by heart.
    images : array (n_scenes, size, size, 3), uint8

    Returns
    -------
    transformers.ResNetModel
        In evaluation mode, without the heads that training used.
    """
    import torch
    from transformers import ResNetConfig, ResNetModel

    from brainalign.regression import descend

    with seeded(seed):
        model = ResNetModel(ResNetConfig(**CONFIG))
        n_outputs = sum(len(options) for options in CHOICES.values()) + len(RANGES)
        # Heads read the map on a coarse grid: place must survive pooling.
        head = torch.nn.Linear(CONFIG["hidden_sizes"][-1] * 4, n_outputs)
    parameters = [*model.parameters(), *head.parameters()]
    n_steps = n_epochs * -(-len(scenes) // batch_size)
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=n_steps)
    classes = [torch.tensor([menu.index(value) for value in scenes[name]]) for name, menu in CHOICES.items()]
    scaled = [2 * (scenes[name] - low) / (high - low) - 1 for name, (low, high) in RANGES.items()]  # [-1, 1]
    measures = torch.tensor(np.stack(scaled, axis=1), dtype=torch.float32)
    rng = np.random.default_rng([seed, 0x6E])
    model.train()

    def losses() -> Iterator[torch.Tensor]:
        for _ in range(n_epochs):
            order = rng.permutation(len(scenes))
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                map_ = model(_inputs(images[rows])).last_hidden_state
                outputs = head(torch.nn.functional.adaptive_avg_pool2d(map_, 2).flatten(1))
                parts = outputs.split([*(len(options) for options in CHOICES.values()), len(RANGES)], dim=1)
                loss = torch.nn.functional.mse_loss(parts[-1], measures[rows])
                for part, answer in zip(parts, classes, strict=False):
                    loss = loss + torch.nn.functional.cross_entropy(part, answer[rows])
                yield loss

    descend(losses(), optimizer, schedule)
    model.eval()  # type: ignore[no-untyped-call]
    return cast("torch.nn.Module", model)


def activations(
    model: torch.nn.Module, images: NDArray[np.uint8], batch_size: int = 50
) -> dict[str, NDArray[np.float32]]:
    """Run images (n, size, size, 3) through the network: by layer in order of depth, (n, rows, columns, n_channels)."""
    import torch

    parts: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in LAYERS}
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            states = model(_inputs(images[start : start + batch_size]), output_hidden_states=True).hidden_states
            for layer, state in zip(LAYERS, states, strict=True):
                parts[layer].append(state.permute(0, 2, 3, 1).numpy().copy())
    return {layer: np.concatenate(values) for layer, values in parts.items()}


def save_generator(model: torch.nn.Module, folder: Path, image_size: int) -> list[Path]:
    """Write the network as a Hugging Face folder: config.json, model.safetensors, preprocessor_config.json.

    The folder is created where it does not exist; `image_size` are the pixels that the network was trained at.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)  # type: ignore[operator]
    preprocessing = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": image_size, "width": image_size},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=1) + "\n")
    return [folder / name for name in ("config.json", "model.safetensors", "preprocessor_config.json")]
