"""How many operations a network takes, by the configuration that lies beside its weights.

A transformer block of width h multiplies each of n tokens by 4 h² weights of attention and by two matrices of h x m,
three where they are gated, and goes twice over all pairs of tokens; a multiplication and an addition a weight:

    operations(n) = layers (2 n (4 h² + g h m) + 4 n² h)
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from brainalign.io import read_json

NAMES = {
    "width": ("hidden_size", "d_model", "n_embd", "embed_dim"),
    "layers": ("num_hidden_layers", "encoder_layers", "n_layer"),
    "inner": ("intermediate_size", "encoder_ffn_dim", "n_inner"),
}
TOWERS = {"vision": "vision_config", "language": "text_config"}
RATE_HZ = 16_000  # of sounds that speech models hear
GEMM = 768  # rows of the product by which a machine is measured


@dataclass(frozen=True)
class Transformer:
    """Sizes of a transformer; `about` is the rest of its configuration."""

    width: int
    layers: int
    inner: int
    about: Mapping[str, Any]

    @property
    def weights(self) -> int:
        """Number of the weights of all blocks."""
        heads = self.about.get("num_attention_heads") or 1
        shared = (self.about.get("num_key_value_heads") or heads) / heads  # keys and values of several heads in common
        gates = 3 if "num_key_value_heads" in self.about or self.about.get("use_swiglu_ffn") else 2
        return round(self.layers * ((2 + 2 * shared) * self.width**2 + gates * self.width * self.inner))

    def operations(self, n_tokens: float) -> float:
        """Count the operations of one window of tokens."""
        return 2 * n_tokens * self.weights + 4 * self.layers * n_tokens**2 * self.width

    def of_image(self) -> float:
        """Count the operations of one image; NaN where it is not cut into patches."""
        n_patches, embedding = self._patches()
        return self.operations(n_patches + 1) + embedding

    def of_frame(self) -> float:
        """Count the operations of a frame of a film, which two windows that overlap by half see."""
        frames = self.about.get("num_frames") or self.about.get("frames_per_clip") or math.nan
        n_patches, embedding = self._patches()
        return 2 * (self.operations(frames / self.about.get("tubelet_size", 1) * n_patches) / frames + embedding)

    def of_token(self, context: int) -> float:
        """Count the operations of a token, which two windows that overlap by half see."""
        window = min(context, self.about.get("max_position_embeddings") or self.about.get("n_positions") or context)
        return 2 * self.operations(window) / window

    def of_second(self, context_s: float, chunk_s: float) -> float:
        """Count the operations of a second of sound: a window for every chunk, its convolutions among them."""
        if "max_source_positions" in self.about:  # Whisper hears 30 s, whatever is given
            return self.operations(self.about["max_source_positions"]) / chunk_s
        rate, before, convolutions = float(RATE_HZ), 1, 0.0
        layers = [self.about.get(f"conv_{name}") or () for name in ("stride", "kernel", "dim")]
        for stride, size, after in zip(*layers, strict=True):
            rate /= stride
            convolutions += 2 * rate * size * before * after
            before = after
        seconds = context_s + chunk_s
        return (self.operations(rate * seconds) + convolutions * seconds) / chunk_s

    def _patches(self) -> tuple[float, float]:
        """Return the number of patches of an image, or of a frame, and the operations that embed them."""
        sides = [self.about.get(name) or math.nan for name in ("image_size", "crop_size", "patch_size")]
        image, crop, patch = (side[0] if isinstance(side, list | tuple) else side for side in sides)
        n_patches = float((crop if math.isnan(image) else image) // patch) ** 2
        return n_patches, 2 * n_patches * self.about.get("num_channels", 3) * patch**2 * self.width


def read_transformer(folder: Path, kind: str) -> Transformer | None:
    """Read the sizes of a transformer from its configuration; None where there is none, or it names no sizes.

    `folder` has the weights, `kind` is that of extractor: of a model of images and texts one half is read.
    """
    path = folder / "config.json"
    if not path.is_file():
        return None
    about = read_json(path)  # not by transformers, whose import takes longer than the DAG
    about = about.get(TOWERS.get(kind, ""), about)
    found = {key: next((about[name] for name in names if about.get(name)), None) for key, names in NAMES.items()}
    if found["width"] is None or found["layers"] is None:
        return None
    inner = found["inner"] or round(about.get("mlp_ratio", 4) * found["width"])
    return Transformer(int(found["width"]), int(found["layers"]), int(inner), about)


@cache
def operations_per_s() -> float:
    """Measure how many operations a second one core of this machine does in a product of matrices."""
    matrix = np.ones((GEMM, GEMM), dtype=np.float32)
    times = []
    with threadpool_limits(1):
        for _ in range(4):
            start = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - start)
    return 2 * GEMM**3 / min(times)
