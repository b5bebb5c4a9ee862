"""Frames of a film in their context, from video models of transformers that read patches over time, as VideoMAE does.

A film is read in windows of as many frames as the model takes, which overlap by half: of every window but the first the
second half is kept, so that a frame knows at least half a window before it, and at most half a window after it; those
of the first half of a film see on to the end of the first window.

Tong Z et al. (2022). VideoMAE: masked autoencoders are data-efficient learners for self-supervised video pre-training.
NeurIPS. arXiv:2203.12602
Assran M et al. (2025). V-JEPA 2: self-supervised video models enable understanding, prediction and planning.
arXiv:2506.09985
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.devices import pick_device
from brainalign.features.extractor import Writer
from brainalign.features.images.files import Preprocessing, load_images
from brainalign.features.images.vision import load_vision_model, preprocessing_of, processor_config
from brainalign.features.text import layer_states, model_digest
from brainalign.io import load_ahead
from brainalign.study import find_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(eq=False, repr=False)
class VideoExtractor:
    """Reads films with a video model: a row per frame, the mean over its patches; options as of `LanguageExtractor`."""

    reads: ClassVar[Literal["film"]] = "film"

    weights: str
    layers: Sequence[str] | None = None
    random_weights: bool = False
    batch_size: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0

    def digest(self) -> str:
        """Return the sha256 over the model's files and the releases that run it."""
        return model_digest(self.weights) + (f" drawn {self.seed}" if self.random_weights else "")

    def describe(self) -> dict[str, object]:
        """Describe the model, and how far a row sees."""
        frames = _window(self._loaded[0])
        return {"weights_sha256": self.digest(), "frames_of_a_window": frames, "sees_ahead_frames": frames // 2}

    def extract(self, stimuli: pd.DataFrame, writer: Writer) -> None:
        """Write a row per frame for every layer, from `path`, `run` and `onset_s`."""
        wanted = set(writer.pending.tolist())
        if not wanted:
            return
        size = _window(self._loaded[0])
        paths, names = stimuli["path"].to_numpy(), stimuli["stimulus_id"].to_numpy()
        for _, part in stimuli.assign(row=range(len(stimuli))).groupby("run", sort=False):
            rows = part.sort_values("onset_s", kind="stable")["row"].to_numpy()
            starts = [0, *range(size // 2, max(len(rows) - size // 2, 0), size // 2)] if len(rows) > size else [0]
            fresh = {start: rows[start + (size // 2 if start else 0) : start + size] for start in starts}
            starts = [start for start in starts if not wanted.isdisjoint(fresh[start].tolist())]

            def load(group: list[int], rows: NDArray[np.intp] = rows) -> torch.Tensor:
                # The last frame stays on where a film ends within a window.
                frames = [rows[np.minimum(np.arange(start, start + size), len(rows) - 1)] for start in group]
                windows = [(paths[window].tolist(), names[window].tolist()) for window in frames]
                return torch.stack([load_images(*window, self._loaded[1]) for window in windows])

            groups = [starts[first : first + self.batch_size] for first in range(0, len(starts), self.batch_size)]
            for group, images in load_ahead(load, groups):
                found = self._states(images)
                for k, start in enumerate(group):
                    kept = np.array([row in wanted for row in fresh[start]])
                    inside = slice(size // 2 if start else 0, len(rows) - start)
                    writer.write(fresh[start][kept], {name: each[k][inside][kept] for name, each in found.items()})

    @cached_property
    def _loaded(self) -> "tuple[PreTrainedModel, Preprocessing]":
        where = find_weights(self.weights)
        model: Any = load_vision_model(self.weights, self.seed if self.random_weights else None).train(False)
        if not _window(model) or not isinstance(getattr(model.config, "tubelet_size", None), int):
            raise BrainalignError(
                f"the model in {self.weights!r} ({type(model).__name__}) reads no frames over time; give a video model "
                "such as VideoMAE or V-JEPA 2, or use the extractor 'vision' for one of images"
            )
        return model.to(pick_device(self.device)), preprocessing_of(processor_config(where), self.weights)

    def _states(self, images: torch.Tensor) -> dict[str, NDArray[np.float32]]:
        """Return the mean over the patches of every frame (n_windows, n_frames, n_dimensions), by layer."""
        model = self._loaded[0]
        given = images.to(model.device)
        encoder_only = {"skip_predictor": True} if hasattr(model, "predictor") else {}  # V-JEPA 2 has both
        with torch.inference_mode():
            states = model(given, output_hidden_states=True, **encoder_only).hidden_states
        steps, long = given.shape[1] // model.config.tubelet_size, model.config.tubelet_size
        if states[0].shape[1] % steps:
            raise BrainalignError(
                f"the model in {self.weights!r} ({type(model).__name__}) has {states[0].shape[1]} tokens of {steps} "
                "moments, not the same patches at each; such models are not known here"
            )
        return {
            layer: hidden.unflatten(1, (steps, -1)).mean(dim=2).repeat_interleave(long, dim=1).float().cpu().numpy()
            for layer, hidden in layer_states(self.layers, states, self.weights).items()
        }


def _window(model: "PreTrainedModel") -> int:
    """Return the frames of a window, 0 for a model that says none; V-JEPA 2 has a name of its own for them."""
    found = getattr(model.config, "num_frames", getattr(model.config, "frames_per_clip", None))
    return found if isinstance(found, int) else 0
