"""The networks behind `MaskedBrainModel`: regions of a segment gather from each other, hidden ones are filled in.

_RegionBlocks        a token per region and segment, then blocks of attention: what both designs share
_TinyMasked          reads every hidden region's course off its own token
_FullMasked          pools a segment into a few tokens, relates segments, and decodes all regions from these
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

# At the start embeddings are nearly the same: from embeddings of unit variance any graph can be reached by changing the
# attention alone, and they never come to hold the networks.
SMALL = 0.02
VECTORS = 0.2  # of the vectors of regions on tokens


class _RegionBlocks(nn.Module):
    """Tokens of regions, and the blocks in which they gather from each other."""

    def __init__(
        self,
        n_regions: int,
        length: int,
        width: int,
        n_heads: int,
        hidden_width: int,
        attention: str,
        n_blocks: int,
        region_vectors: bool,
        fixed_embeddings: bool,
        self_loops: bool,
    ) -> None:
        super().__init__()
        scale = 1.0 if fixed_embeddings else SMALL
        self.embeddings = nn.Parameter(scale * torch.randn(n_regions, width), requires_grad=not fixed_embeddings)
        self.embed = nn.Linear(length, width)
        self.hidden = nn.Parameter(SMALL * torch.randn(width))
        self.vectors = nn.Parameter(VECTORS * torch.randn(n_regions, width)) if region_vectors else None
        last = _EmbeddingAttention(width, n_heads, hidden_width, self_loops)
        before: list[_EmbeddingAttention | _SelfAttention] = [
            _EmbeddingAttention(width, n_heads, hidden_width, self_loops)
            if attention == "static"
            else _SelfAttention(width, n_heads, hidden_width)
            for _ in range(n_blocks - 1)
        ]
        self.blocks = nn.ModuleList([*before, last])

    def forward(self, segments: Tensor, hidden: Tensor) -> Tensor:
        """Return tokens (n, n_regions, width) of segments (n, length, n_regions), of which `hidden` are not seen."""
        tokens = torch.where(hidden[..., None], self.hidden, self.embed(segments.transpose(1, 2)))
        if self.vectors is not None:
            tokens = tokens + self.vectors
        for k, block in enumerate(self.blocks):
            # What is hidden has nothing to say before it has heard from others.
            tokens = block(tokens, self.embeddings, hidden if k == 0 else None)
        return tokens


class _TinyMasked(nn.Module):
    """Read every region's course off its token."""

    def __init__(self, regions: _RegionBlocks) -> None:
        super().__init__()
        self.regions = regions
        self.read = nn.Linear(regions.embed.out_features, regions.embed.in_features)

    def forward(self, segments: Tensor, hidden: Tensor) -> Tensor:
        """Return segments (n, n_segments, length, n_regions) filled in; hidden is (n, n_segments, n_regions)."""
        n, k = segments.shape[:2]
        tokens = self.regions(segments.flatten(0, 1), hidden.flatten(0, 1))
        return self.read(tokens).transpose(1, 2).unflatten(0, (n, k))


class _FullMasked(nn.Module):
    """Pool segments, relate them, and decode every region from what is left."""

    def __init__(
        self, regions: _RegionBlocks, n_segments: int, n_tokens: int, n_layers: int, n_heads: int, hidden_width: int
    ) -> None:
        super().__init__()
        width, length = regions.embed.out_features, regions.embed.in_features
        self.regions = regions
        self.queries = nn.Parameter(torch.randn(n_tokens, width))
        self.pool = nn.MultiheadAttention(width, n_heads, batch_first=True)
        self.places = nn.Parameter(SMALL * torch.randn(n_segments, 1, width))
        shared = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        layer = nn.TransformerEncoderLayer(width, n_heads, hidden_width, **shared)  # type: ignore[arg-type]
        self.over_segments = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
        decoder = nn.TransformerDecoderLayer(width, n_heads, hidden_width, **shared)  # type: ignore[arg-type]
        self.decoder = nn.TransformerDecoder(decoder, n_layers)
        self.asked = nn.Linear(width, width)
        self.norm, self.read = nn.LayerNorm(width), nn.Linear(width, length)

    def forward(self, segments: Tensor, hidden: Tensor) -> Tensor:
        """Return segments (n, n_segments, length, n_regions) as decoded; hidden is (n, n_segments, n_regions)."""
        n, k = segments.shape[:2]
        tokens = self.regions(segments.flatten(0, 1), hidden.flatten(0, 1))
        placed = tokens + self.regions.embeddings
        pooled = self.pool(self.queries.expand(n * k, -1, -1), placed, tokens, need_weights=False)[0]
        pooled = pooled.unflatten(0, (n, k)) + self.places[:k]  # (n, n_segments, n_tokens, width)
        pooled = self.over_segments(pooled.flatten(1, 2)).view_as(pooled).flatten(0, 1)
        asked = self.asked(self.regions.embeddings).expand(n * k, -1, -1)
        decoded = self.read(self.norm(self.decoder(asked, pooled)))  # (n · n_segments, n_regions, length)
        return decoded.transpose(1, 2).unflatten(0, (n, k))


def masked_network(n_regions: int, config: Mapping[str, Any]) -> _TinyMasked | _FullMasked:
    """Return a new network by the arguments of `MaskedBrainModel`."""
    shared = ("width", "n_heads", "hidden_width", "attention", "n_blocks", "region_vectors", "fixed_embeddings")
    chosen = {name: config[name] for name in (*shared, "self_loops")}
    regions = _RegionBlocks(n_regions, config["segment_frames"], **chosen)
    if config["design"] == "tiny":
        return _TinyMasked(regions)
    about = ("n_segments", "n_tokens", "n_layers", "n_heads", "hidden_width")
    return _FullMasked(regions, **{name: config[name] for name in about})


def masked_loss(filled: Tensor, true: Tensor, hidden: Tensor, share: float) -> Tensor:
    """Return share · MSE(hidden) + (1 − share) · MSE(visible); the plain MSE where nothing is hidden."""
    squared: Tensor = (filled - true).square().mean(dim=2)
    if not hidden.any():
        return squared.mean()
    own: Tensor = (squared * hidden).sum() / hidden.sum()
    seen: Tensor = (squared * ~hidden).sum() / (~hidden).sum().clamp(min=1)
    return share * own + (1 - share) * seen


def token_correlations(tokens: Tensor) -> Tensor:
    """Return (n, n_regions, n_regions): correlations of tokens (n, n_segments, n_regions, width) between regions.

    Every dimension of a region is centred over segments first, so that it is what varies together.
    """
    centred = (tokens - tokens.mean(dim=1, keepdim=True)).transpose(1, 2).flatten(2)
    unit = nn.functional.normalize(centred, dim=-1)
    return unit @ unit.transpose(1, 2)


NEVER = -1e4  # a logit that takes no part in a softmax, also in half precision


class _EmbeddingAttention(nn.Module):
    """A block: regions gather from others what their embeddings ask for, then a small network per region."""

    def __init__(self, width: int, n_heads: int, hidden_width: int, self_loops: bool = False) -> None:
        super().__init__()
        self.n_heads, self.self_loops = n_heads, self_loops
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden_width), nn.GELU(), nn.Linear(hidden_width, width))

    def weights(self, embeddings: Tensor, silent: Tensor | None = None) -> Tensor:
        """Return a (n or 1, n_heads, n_regions, n_regions): from which regions (columns) a region gathers."""
        shape = (len(embeddings), self.n_heads, -1)
        q, k = self.query(embeddings).view(shape), self.key(embeddings).view(shape)
        logits = torch.einsum("ihd,jhd->hij", q, k)[None] / math.sqrt(q.shape[-1])
        if not self.self_loops:
            itself = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
            logits = logits.masked_fill(itself, NEVER)
        if silent is not None:
            logits = logits.masked_fill(silent[:, None, None, :], NEVER)
        return logits.softmax(dim=-1)

    def forward(self, tokens: Tensor, embeddings: Tensor, silent: Tensor | None = None) -> Tensor:
        """Return the tokens (n, n_regions, width) after the block."""
        n, n_regions, width = tokens.shape
        values = self.value(self.before(tokens)).view(n, n_regions, self.n_heads, -1)
        gathered = torch.einsum("nhij,njhd->nihd", self.weights(embeddings, silent).expand(n, -1, -1, -1), values)
        tokens = tokens + self.out(gathered.reshape(n, n_regions, width))
        return tokens + self.mlp(self.after(tokens))


class _SelfAttention(nn.Module):
    """A block of ordinary attention, decided by the tokens; hidden regions send nothing where they are silent."""

    def __init__(self, width: int, n_heads: int, hidden_width: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, n_heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, hidden_width), nn.GELU(), nn.Linear(hidden_width, width))

    def forward(self, tokens: Tensor, embeddings: Tensor, silent: Tensor | None = None) -> Tensor:
        """Return the tokens (n, n_regions, width) after the block."""
        normed = self.before(tokens)
        placed = normed + embeddings
        tokens = tokens + self.attention(placed, placed, normed, key_padding_mask=silent, need_weights=False)[0]
        return tokens + self.mlp(self.after(tokens))
