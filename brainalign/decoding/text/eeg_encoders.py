"""Networks from EEG to tokens, which a language model can read, and to one vector, in the space of the targets.

| | finds | by |
|---|---|---|
| tiny | waves locked to the stimulus | two convolutions, one layer of attention |
| envelope | power, whatever the sign | filters, squared, averaged in windows, logarithm |
| glim | waves locked to the stimulus | attention over time points; a prompt tells task, dataset and subject |
| module:Model | what the model finds | any of n_chans, n_times, n_outputs, sfreq: braindecode's, or yours |

Called with signals (n, n_channels, n_times), a mask (n, n_times) of bool or None that is False in padding, and a prompt
(n, 3) of int, which numbers task, dataset and subject (0 is unknown), each returns tokens and vectors.

All but glim begin with a matrix over channels of each subject's own, the identity before training; someone new gets
their mean.
What lies in the padding of a recording does not change what comes out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainalign.checks import BrainalignError, check_choice, check_shape
from brainalign.decoding.text.glim import GlimEncoder
from brainalign.decoding.training import EegShape, SubjectLayers, silenced
from brainalign.features import find_function

PLUGIN_PACKAGE = "braindecode"


class PluginEncoder(nn.Module):
    """A subject layer and any model of signals; the model's output is the vector and the only token.

    Parameters
    ----------
    shape : EegShape
    model : str
        "braindecode:EEGNet" (any of its models), "module:Model" of an installed module or "path/to/file.py:Model".
        Called with n_chans, n_times, n_outputs, sfreq, it returns a module from (n, n_chans, n_times) to
        (n, n_outputs).
    **options
        Of the model.
    """

    def __init__(self, shape: EegShape, model: str, **options: Any) -> None:
        super().__init__()
        self.width = shape.n_outputs
        self.model = model
        self.subjects = SubjectLayers(shape.n_subjects, shape.n_channels, shape.n_channels)
        sizes = {"n_chans": shape.n_channels, "n_times": shape.n_times, "n_outputs": shape.n_outputs}
        network = _found(model)(**sizes, sfreq=shape.sfreq, **options)
        if not isinstance(network, nn.Module):
            raise BrainalignError(f"{model} returned {type(network).__name__}; it must be a torch nn.Module")
        self.network = network

    def forward(self, signals: Tensor, mask: Tensor | None, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (n, 1, n_outputs) and vectors (n, n_outputs)."""
        vector = self.network(self.subjects(silenced(signals, mask), prompt[:, 2] - 1))
        remedy = "give a model with one vector of n_outputs per recording"
        check_shape(f"what {self.model} returned", vector.shape, (len(signals), self.width), "vectors have", remedy)
        return vector[:, None], vector


def _found(model: str) -> Callable[..., object]:
    module, _, name = model.rpartition(":")
    if module == PLUGIN_PACKAGE:
        module = f"{PLUGIN_PACKAGE}.models"
    try:
        return find_function(f"{module}:{name}")[0]
    except BrainalignError as error:
        if module.split(".")[0] != PLUGIN_PACKAGE or not isinstance(error.__cause__, ImportError):
            raise
        raise BrainalignError(
            f"the encoder {model!r} needs braindecode, which cannot be imported here ({error.__cause__}); install it "
            "with: pip install braindecode, in an environment whose torch it fits"
        ) from error


class TinyEncoder(nn.Module):
    """Two strided convolutions, positions, one layer of attention; the vector from all tokens at once.

    Parameters
    ----------
    shape : EegShape
    width : int
        Of a token, of 8 samples.
    n_heads : int
    dropout, head_dropout : float
        In the layer of attention, and before the vector.
    """

    def __init__(
        self, shape: EegShape, width: int = 96, n_heads: int = 4, dropout: float = 0.1, head_dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.width = width
        self.subjects = SubjectLayers(shape.n_subjects, shape.n_channels, shape.n_channels)
        self.first = nn.Conv1d(shape.n_channels, width, 9, stride=2, padding=4)
        self.second = nn.Conv1d(width, width, 9, stride=4, padding=4)
        n_tokens = (shape.n_times + 7) // 8
        self.positions = nn.Parameter(0.02 * torch.randn(n_tokens, width))
        self.attend = nn.TransformerEncoderLayer(
            width, n_heads, 2 * width, dropout, F.gelu, batch_first=True, norm_first=True
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(n_tokens * width, 128),
            nn.GELU(),
            nn.Dropout(head_dropout),
            nn.Linear(128, shape.n_outputs),
        )

    def forward(self, signals: Tensor, mask: Tensor | None, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (n, n_tokens, width) and vectors (n, n_outputs)."""
        x = self.subjects(silenced(signals, mask), prompt[:, 2] - 1)
        x = F.gelu(self.second(F.gelu(self.first(x)))).transpose(1, 2)  # (n, n_tokens, width)
        padded = None if mask is None else ~mask[:, ::8]  # a token is centred on every eighth sample
        tokens = self.attend(x + self.positions, src_key_padding_mask=padded)
        if padded is not None:
            tokens = tokens.masked_fill(padded[:, :, None], 0)
        return tokens, self.head(tokens)


class EnvelopeEncoder(nn.Module):
    """Log power of learned filters in overlapping windows, then one linear map.

    Parameters
    ----------
    shape : EegShape
    width : int
        Filters.
    window, stride : int
        Samples over which power is averaged, and between windows.
    floor : float
        Added to power before the logarithm; filtered signals have unit variance.
    dropout : float
        Of log power.
    """

    def __init__(
        self,
        shape: EegShape,
        width: int = 64,
        window: int = 8,
        stride: int = 4,
        floor: float = 0.05,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if shape.n_times < window:
            raise BrainalignError(f"recordings of {shape.n_times} samples are shorter than the window {window}")
        self.width, self.window, self.stride, self.floor = width, window, stride, floor
        self.subjects = SubjectLayers(shape.n_subjects, shape.n_channels, shape.n_channels)
        self.filters = nn.Conv1d(shape.n_channels, width, 9, padding=4, bias=False)
        self.unit = nn.BatchNorm1d(width, affine=False)
        n_features = width * ((shape.n_times - window) // stride + 1)
        self.scaled = nn.BatchNorm1d(n_features, affine=False)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_features, shape.n_outputs))

    def forward(self, signals: Tensor, mask: Tensor | None, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (n, n_windows, width) and vectors (n, n_outputs)."""
        x = self.filters(self.subjects(silenced(signals, mask), prompt[:, 2] - 1))
        if mask is None:
            power = F.avg_pool1d(self.unit(x).square(), self.window, self.stride)
        else:
            # Only samples of a recording set the scale of a filter and count in a window's mean.
            inside = x.transpose(1, 2)
            filled = torch.zeros_like(inside)
            filled[mask] = self.unit(inside[mask]).square()
            share = F.avg_pool1d(mask[:, None].to(x.dtype), self.window, self.stride)
            power = F.avg_pool1d(filled.transpose(1, 2), self.window, self.stride)
            power = power / share.clamp(min=1 / self.window)
        log_power = (power + self.floor).log()  # (n, width, n_windows)
        scaled = self.scaled(log_power.flatten(1))
        return scaled.view_as(log_power).transpose(1, 2), self.head(scaled)


@dataclass(frozen=True)
class Augmentation:
    """How trials vary.

    Attributes
    ----------
    shift : int
        Samples, at most, in either direction; the sample at the edge is repeated.
    channel_dropout : float
        Probability that a channel of a trial is silent.
    noise : float
        Standard deviation of white noise, for signals of about unit variance.

    Raises
    ------
    BrainalignError
        If a value is out of range.
    """

    shift: int = 1
    channel_dropout: float = 0.2
    noise: float = 0.5

    def __post_init__(self) -> None:
        if self.shift < 0 or not 0 <= self.channel_dropout < 1 or self.noise < 0:
            raise BrainalignError(f"{self} is out of range: shift and noise are >= 0, channel_dropout is in [0, 1)")

    def __call__(self, signals: Tensor, mask: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return varied trials.

        Parameters
        ----------
        signals : Tensor (n, n_channels, n_times)
        mask : Tensor (n, n_times) of bool or None
            False in padding, into and out of which nothing moves.
        generator : Generator
            Of the processor: the same draws on every device.
        """
        n, n_channels, n_times = signals.shape
        device = signals.device
        moved = torch.randint(-self.shift, self.shift + 1, (n, 1), generator=generator).to(device)
        last = torch.full((n, 1), n_times - 1, device=device) if mask is None else mask.sum(dim=1, keepdim=True) - 1
        times = torch.minimum((torch.arange(n_times, device=device) - moved).clamp(min=0), last)
        signals = signals.gather(2, times[:, None].expand(-1, n_channels, -1))
        kept = torch.rand(n, n_channels, 1, generator=generator) >= self.channel_dropout
        noise = self.noise * torch.randn(signals.shape, generator=generator)
        return signals * kept.to(device) + noise.to(device)


EEG_ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "tiny": TinyEncoder,
    "envelope": EnvelopeEncoder,
    "glim": GlimEncoder,
}


def eeg_encoder(name: str, shape: EegShape, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Return an encoder of the menu, or one around a model named "module:Model".

    Parameters
    ----------
    name : str
    shape : EegShape
    options : mapping, optional
        Keywords of the encoder.

    Examples
    --------
    >>> encoder = eeg_encoder("tiny", EegShape(n_channels=24, n_times=64, n_outputs=10, n_subjects=2))
    >>> tokens, vectors = encoder(torch.zeros(3, 24, 64), None, torch.ones(3, 3, dtype=torch.long))
    >>> tuple(tokens.shape), tuple(vectors.shape)
    ((3, 8, 96), (3, 10))
    """
    if ":" in name:
        return PluginEncoder(shape, name, **(options or {}))
    check_choice("encoder", name, EEG_ENCODERS)
    return EEG_ENCODERS[name](shape, **(options or {}))
