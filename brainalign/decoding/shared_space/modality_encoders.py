"""Networks from a recording to one vector, a recording of sensors over time or of voxels; each begins with subjects.

SignalConv       tiny, for M/EEG: one convolution over time
PatchConv        full, for M/EEG: transformer over patches of several lengths, then convolutions over its tokens
VoxelLinear      fMRI: voxels, padded where subjects have fewer, to tokens of which the mean is taken
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from brainalign.checks import BrainalignError
from brainalign.decoding.training import SubjectLayers


class _Residual(nn.Module):
    """x + MLP(x), then layer norm: the head of the full encoders."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.GELU(), nn.Linear(width, width), nn.Dropout(dropout))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.mlp(x))


class SignalConv(nn.Module):
    """Subject layer, convolution over time, linear map: small enough for a CPU.

    Parameters
    ----------
    n_subjects : int
    shape : (int, int)
        Channels and times.
    width : int
        Of the vector.
    filters, kernel, stride : int
        Of the convolution.
    dropout : float
    """

    def __init__(
        self,
        n_subjects: int,
        shape: tuple[int, ...],
        width: int = 64,
        *,
        filters: int = 32,
        kernel: int = 7,
        stride: int = 2,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        n_channels, n_times = _signal_shape(shape, kernel)
        self.subjects = SubjectLayers(n_subjects, n_channels, n_channels)
        n_left = (n_times + 2 * (kernel // 2) - kernel) // stride + 1
        self.body = nn.Sequential(
            nn.Conv1d(n_channels, filters, kernel, stride, padding=kernel // 2),
            nn.GELU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(filters * n_left, width),
            nn.LayerNorm(width),
        )

    def forward(self, x: Tensor, subjects: Tensor) -> Tensor:
        """Return vectors (n, width) of trials (n, n_channels, n_times)."""
        return self.body(self.subjects(x, subjects))


class PatchConv(nn.Module):
    """Patches of several lengths as tokens of a transformer, a temporal convolution over each token, one over tokens.

    Parameters
    ----------
    n_subjects, shape, width
        As of `SignalConv`.
    patches : tuple of int
        Lengths in samples; a patch holds all channels. Samples after the last whole patch are left out.
    token_width, heads, feedforward, layers : int
        Of the transformer.
    filters, kernel : int
        Of the convolutions.
    pool : (int, int)
        Length and stride of the average over a token.
    jitter, masked : float
        In training: standard deviation of noise added to tokens, and the share of tokens that are blanked.
    dropout, head_dropout : float
        Of the transformer, and after the convolutions.

    References
    ----------
    Li D et al. (2025). BrainFLORA: uncovering brain concept representation via multimodal neural embeddings.
    arXiv:2507.09747. Sizes are theirs.
    """

    def __init__(
        self,
        n_subjects: int,
        shape: tuple[int, ...],
        width: int = 1024,
        *,
        patches: tuple[int, ...] = (2, 4, 8),
        token_width: int = 250,
        heads: int = 4,
        feedforward: int = 256,
        layers: int = 1,
        filters: int = 40,
        kernel: int = 25,
        pool: tuple[int, int] = (51, 5),
        jitter: float = 0.1,
        masked: float = 0.1,
        dropout: float = 0.25,
        head_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        n_channels, n_times = _signal_shape(shape, max(patches))
        n_pooled = (token_width - kernel + 1 - pool[0]) // pool[1] + 1
        if n_pooled < 1:
            raise BrainalignError(
                f"tokens of width {token_width} leave nothing after a kernel of {kernel} and a pool of {pool[0]}; "
                "enlarge token_width"
            )
        # 4 heads do not divide the published width of 250: attention has the next multiple, and tokens are cut back.
        inner = -(-token_width // heads) * heads
        self.subjects = SubjectLayers(n_subjects, n_channels, n_channels)
        self.patches, self.jitter, self.masked = tuple(patches), jitter, masked
        self.embed = nn.ModuleList(nn.Linear(length * n_channels, inner) for length in patches)
        n_tokens = sum(n_times // length for length in patches)
        self.places = nn.Parameter(0.02 * torch.randn(n_tokens, inner))
        layer = nn.TransformerEncoderLayer(
            inner, heads, feedforward, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.attention = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.back = nn.Linear(inner, token_width)
        self.convolved = nn.Sequential(
            nn.Conv2d(1, filters, (1, kernel)),
            nn.AvgPool2d((1, pool[0]), (1, pool[1])),
            nn.BatchNorm2d(filters),
            nn.ELU(),
            nn.Conv2d(filters, filters, (n_tokens, 1)),
            nn.BatchNorm2d(filters),
            nn.ELU(),
            nn.Dropout(head_dropout),
            nn.Conv2d(filters, filters, 1),
            nn.Flatten(),
            nn.Linear(filters * n_pooled, width),
        )
        self.head = _Residual(width, head_dropout)

    def forward(self, x: Tensor, subjects: Tensor) -> Tensor:
        """Return vectors (n, width) of trials (n, n_channels, n_times)."""
        x, parts = self.subjects(x, subjects), []
        for length, embed in zip(self.patches, self.embed, strict=True):
            cut = x[:, :, : x.shape[2] // length * length].unflatten(2, (-1, length))
            parts.append(embed(cut.transpose(1, 2).flatten(2)))  # (n, n_patches, inner)
        tokens = torch.cat(parts, dim=1)
        if self.training:
            tokens = tokens + self.jitter * torch.randn_like(tokens)
            tokens = tokens * (torch.rand(tokens.shape[:2], device=tokens.device) >= self.masked)[..., None]
        tokens = self.back(self.attention(tokens + self.places))
        return self.head(self.convolved(tokens[:, None]))


class VoxelLinear(nn.Module):
    """Every subject's own linear map from voxels to a few tokens, of which the mean is taken.

    Voxels of two subjects are not the same places, so the map itself is the subject's layer. Voxels that pad a subject
    with fewer of them must be 0: they then take no part.

    Parameters
    ----------
    n_subjects : int
    shape : (int,)
        Voxels.
    width : int
        Of the vector.
    tokens : int
    residual : bool
        Whether a residual MLP follows.
    dropout : float
    """

    def __init__(
        self,
        n_subjects: int,
        shape: tuple[int, ...],
        width: int = 64,
        *,
        tokens: int = 1,
        residual: bool = False,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if len(shape) != 1:
            raise BrainalignError(f"voxels have shape (n_voxels,); got {shape}: choose an encoder of signals over time")
        self.tokens = tokens
        self.subjects = SubjectLayers(n_subjects, shape[0], tokens * width)
        self.dropout = nn.Dropout(dropout)
        self.head = _Residual(width, dropout) if residual else nn.LayerNorm(width)

    def forward(self, x: Tensor, subjects: Tensor) -> Tensor:
        """Return vectors (n, width) of responses (n, n_voxels)."""
        tokens = self.subjects(self.dropout(x), subjects).unflatten(1, (self.tokens, -1))
        return self.head(tokens.mean(dim=1))


def _signal_shape(shape: tuple[int, ...], least: int) -> tuple[int, int]:
    if len(shape) != 2 or shape[1] < least:
        raise BrainalignError(
            f"signals of shape {shape} must have channels and at least {least} times; shorten patches or kernel, or "
            "take the encoder of voxels"
        )
    return shape[0], shape[1]


MODALITY_ENCODERS: dict[str, dict[str, Callable[..., nn.Module]]] = {
    "tiny": {"signals": SignalConv, "voxels": VoxelLinear},
    "full": {"signals": PatchConv, "voxels": partial(VoxelLinear, tokens=8, residual=True, dropout=0.5)},
}


class SoftMixture(nn.Module):
    """The projector that all modalities share.

        output = Σ_e g_e(x) (W_e x + b_e)        g = sigmoid(router(x)) / Σ sigmoid(router(x))

    A sigmoid lets several experts be fully open before the sum is brought to 1; a softmax would make them compete.

    References
    ----------
    Li D et al. (2025). BrainFLORA: uncovering brain concept representation via multimodal neural embeddings.
    arXiv:2507.09747.
    """

    def __init__(self, width: int, n_dimensions: int, n_experts: int = 4, hidden: int = 64) -> None:
        super().__init__()
        if n_experts < 1:
            raise BrainalignError(f"a mixture of {n_experts} experts projects nothing; give n_experts of 1 or more")
        self.n_experts, self.n_dimensions = n_experts, n_dimensions
        self.experts = nn.Linear(width, n_experts * n_dimensions)
        self.router = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, n_experts))

    def gates(self, x: Tensor) -> Tensor:
        """Return the weights of the experts (n, n_experts), which sum to 1."""
        open_ = torch.sigmoid(self.router(x))
        return open_ / open_.sum(dim=-1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs (n, n_dimensions) of inputs (n, width)."""
        outputs = self.experts(x).unflatten(-1, (self.n_experts, self.n_dimensions))
        return torch.einsum("ne,ned->nd", self.gates(x), outputs)
