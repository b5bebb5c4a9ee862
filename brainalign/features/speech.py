"""Sounds in their context, from any speech model of transformers: wav2vec 2, HuBERT, the encoder of Whisper and others.

A sound is read in windows that end where the next begins to be new: of each only the last `chunk_s` are kept, so that a
row knows at least `context_s` before it and at most `chunk_s` after it. Before its start and after its end is silence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainalign.checks import BrainalignError
from brainalign.devices import pick_device
from brainalign.features.extractor import Writer
from brainalign.features.text import layer_states, load_text_model, model_digest
from brainalign.io import read_sound

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(eq=False, repr=False)
class SpeechExtractor:
    """Reads sounds with a speech model: rows at a rate, each in the context of what was heard before.

    Parameters
    ----------
    weights : str
        Local folder, Python package that carries a model, or hub id.
    layers : sequence of str, optional
        "layer0" (what enters the transformer), "layer1", ...; all where not given.
    rate_hz : float
        Rows per second: means over the frames of the model.
    context_s : float
        Seconds that are heard before the first row of a window.
    chunk_s : float
        Seconds that a window adds, and the most that a row can hear ahead: 1 / rate_hz for a causal reading, which
        takes as many windows as rows.
    random_weights, revision, batch_size, device, seed
        As of `LanguageExtractor`.
    """

    reads: ClassVar[Literal["sound"]] = "sound"

    weights: str
    layers: Sequence[str] | None = None
    rate_hz: float = 10.0
    context_s: float = 8.0
    chunk_s: float = 2.0
    random_weights: bool = False
    revision: str | None = None
    batch_size: int = 8
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = 0

    def digest(self) -> str:
        """Return the sha256 over the model's files, its revision, and the releases that run it."""
        drawn = f" drawn {self.seed}" if self.random_weights else ""
        return f"{model_digest(self.weights)}{drawn}{self.revision or ''}"

    def describe(self) -> dict[str, object]:
        """Describe the model and how far a row hears."""
        return {"weights_sha256": self.digest(), "context_s": self.context_s, "hears_ahead_s": self.chunk_s}

    def extract(self, stimuli: pd.DataFrame, writer: Writer) -> None:
        """Write a row per stimulus for every layer: of the sound in `path`, from `onset_s` on for 1 / rate_hz."""
        wanted = set(writer.pending.tolist())
        if not wanted:
            return
        drawn = self.seed if self.random_weights else None
        model, reader = load_text_model(self.weights, self.revision, drawn, reads="sound")
        if hasattr(model.config, "frequency_stride"):
            raise BrainalignError(
                f"{self.weights} sees patches of frequency and time, no frames; give a model such as wav2vec 2.0"
            )
        model.to(pick_device(self.device))  # type: ignore[arg-type]
        size = round(self.chunk_s * self.rate_hz)
        for path, part in stimuli.assign(row=range(len(stimuli))).groupby("path", sort=False):
            rows = part.sort_values("onset_s", kind="stable")["row"].to_numpy()
            windows = list(self._windows(str(path), len(rows), reader.sampling_rate, _frames(model)[1]))
            chunks = [k for k in range(len(windows)) if not wanted.isdisjoint(rows[k * size : (k + 1) * size].tolist())]
            for start in range(0, len(chunks), self.batch_size):
                group = chunks[start : start + self.batch_size]
                found = self._states([windows[k] for k in group], model, reader)
                of = np.concatenate([rows[k * size : (k + 1) * size] for k in group])
                # The last chunk of a sound has rows beyond its end.
                there = np.concatenate([np.arange(k * size, (k + 1) * size) < len(rows) for k in group])
                kept = np.array([row in wanted for row in of])
                writer.write(of[kept], {name: values[there][kept] for name, values in found.items()})

    def _windows(self, path: str, n_rows: int, rate: int, edge: int) -> Iterator[NDArray[np.float32]]:
        """Yield every window of a sound, at the rate of the model, with `edge` samples more on either side."""
        from scipy.signal import resample_poly

        values, own = read_sound(Path(path))
        divisor = gcd(own, rate)
        values = resample_poly(values, rate // divisor, own // divisor) if own != rate else values
        before, new = round(self.context_s * rate), round(self.chunk_s * rate)
        n = -(-n_rows // round(self.chunk_s * self.rate_hz))
        heard = np.zeros(before + n * new + 2 * edge, dtype=np.float32)
        heard[before + edge : before + edge + len(values)] = values[: n * new + edge]
        yield from (heard[k * new : before + (k + 1) * new + 2 * edge] for k in range(n))

    def _states(self, windows: list[Any], model: "PreTrainedModel", reader: Any) -> dict[str, NDArray[np.float32]]:
        """Return the hidden states of what is new in each window (n_windows x n_rows, n_dimensions), by layer."""
        seconds = self.context_s + self.chunk_s
        longest = getattr(reader, "n_samples", None)  # Whisper hears half a minute, whatever there is
        if longest and longest < len(windows[0]):
            raise BrainalignError(
                f"context_s and chunk_s: {self.weights} hears {longest / reader.sampling_rate:g} s at once, not "
                f"{seconds:g} s; make them shorter"
            )
        name = reader.model_input_names[0]
        given = reader(windows, sampling_rate=reader.sampling_rate, return_tensors="pt")[name].to(model.device)
        with torch.inference_mode():
            states = model(given, output_hidden_states=True).hidden_states
        n_frames = states[0].shape[1]
        hop, edge = _frames(model)
        apart = (longest or len(windows[0]) - 2 * edge) / n_frames
        apart = hop * round(apart / hop) if hop > 1 else apart  # SEW joins frames
        middles = (np.arange(n_frames) + 0.5) * apart / reader.sampling_rate
        rows = np.floor(np.round((middles - self.context_s) * self.rate_hz, 6)).astype(int)
        of_row = torch.zeros(round(self.chunk_s * self.rate_hz), n_frames)
        inside = (rows >= 0) & (rows < len(of_row))
        of_row[rows[inside], np.flatnonzero(inside)] = 1
        if not (of_row.sum(dim=1) > 0).all():
            raise BrainalignError(
                f"rate_hz: {self.weights} has {n_frames / middles[-1]:.3g} frames per second, fewer than "
                f"{self.rate_hz:g} rows; lower it"
            )
        mean: Tensor = (of_row / of_row.sum(dim=1, keepdim=True)).to(states[0])
        kept = layer_states(self.layers, states, self.weights)
        return {layer: (mean @ hidden).flatten(0, 1).float().cpu().numpy() for layer, hidden in kept.items()}


def _frames(model: "PreTrainedModel") -> tuple[int, int]:
    """Count the samples that frames of convolutions are apart, and see beyond that on either side; 1, 0 of others."""
    of: Any = model.config
    apart = seen = 1
    for kernel, stride in zip(of.conv_kernel, of.conv_stride, strict=True) if hasattr(of, "conv_stride") else ():
        apart, seen = apart * stride, seen + (kernel - 1) * apart
    return apart, (seen - apart) // 2
