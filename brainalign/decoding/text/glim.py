"""An encoder that attends over time points, told task, dataset and subject by a prompt.

time points as tokens, channels as features, sine-cosine code of time
→ blocks of attention; scale, shift and gate of their layer norms from the prompt
→ linear, layer norm
→ queries in blocks of causal self-attention and cross-attention to the time points
→ linear: the states a language model reads (tokens); one more query reads them (vector)
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainalign.checks import BrainalignError

if TYPE_CHECKING:
    from brainalign.decoding.training import EegShape

LONGEST = 10_000.0  # radians per sample of the slowest wave, inverted, as in the first transformers
FIELDS = ("task", "dataset", "subject")


def time_code(n_times: int, width: int) -> Tensor:
    """Return sines and cosines of geometrically spaced periods (n_times, width).

    References
    ----------
    Vaswani A et al. (2017). Attention is all you need. NeurIPS. arXiv:1706.03762.
    """
    rates = LONGEST ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(n_times)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


class Prompt(nn.Module):
    """A learned mix of the embeddings of task, dataset and subject; row 0 of each stands for an unknown one.

    `unknown` is the probability that each is hidden in training. One that is always hidden (1) stays so afterwards: its
    embeddings were never trained.
    """

    def __init__(self, sizes: tuple[int, int, int], width: int, unknown: tuple[float, float, float]) -> None:
        super().__init__()
        if len(unknown) != len(FIELDS) or not all(0 <= p <= 1 for p in unknown):
            raise BrainalignError(
                f"unknown is {unknown}; give the probabilities to hide {', '.join(FIELDS)}, each in [0, 1]"
            )
        self.embeddings = nn.ModuleList(nn.Embedding(size + 1, width) for size in sizes)
        self.mix = nn.Parameter(torch.zeros(len(FIELDS)))
        self.unknown = nn.Buffer(torch.tensor(unknown, dtype=torch.float32), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return prompts (n, width) of ids (n, 3)."""
        hidden = self.unknown >= 1
        if self.training:
            hidden = torch.rand(ids.shape, device=ids.device) < self.unknown
        shown = ids.masked_fill(hidden, 0)
        found = torch.stack([embed(shown[:, k]) for k, embed in enumerate(self.embeddings)], dim=1)
        return torch.einsum("f,nfw->nw", self.mix.softmax(dim=0), found)


class AdaptiveBlock(nn.Module):
    """Attention and a multilayer perceptron, each behind a layer norm that a prompt scales and shifts, and a gate.

    Gates are zero before training: the block passes on what it is given.

    References
    ----------
    Peebles W, Xie S (2023). Scalable diffusion models with transformers. ICCV. arXiv:2212.09748.
    """

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(width, n_heads, dropout, batch_first=True)
        self.think = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.normal = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.adapt = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.adapt.weight)
        nn.init.zeros_(self.adapt.bias)

    def forward(self, x: Tensor, prompt: Tensor, padded: Tensor | None = None) -> Tensor:
        """Return tokens (n, n_times, width); `padded` (n, n_times) marks those that nothing may read."""
        scale1, shift1, gate1, scale2, shift2, gate2 = self.adapt(F.silu(prompt))[:, None].chunk(6, dim=-1)
        read = self.normal[0](x) * (1 + scale1) + shift1
        x = x + gate1 * self.attend(read, read, read, key_padding_mask=padded, need_weights=False)[0]
        return x + gate2 * self.think(self.normal[1](x) * (1 + scale2) + shift2)


class _QueryPool(nn.Module):
    """One learned query reads states and becomes a vector."""

    def __init__(self, width: int, n_outputs: int, n_heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, width) / width**0.5)
        self.normal = nn.LayerNorm(width)
        self.attend = nn.MultiheadAttention(width, n_heads, batch_first=True)
        self.out = nn.Linear(width, n_outputs)

    def forward(self, states: Tensor, padded: Tensor | None = None) -> Tensor:
        """Return vectors (n, n_outputs) of states (n, n_tokens, width)."""
        read = self.normal(states)
        query = self.query.expand(len(states), -1, -1)
        found = self.attend(query, read, read, key_padding_mask=padded, need_weights=False)[0]
        return self.out(found[:, 0])


class GlimEncoder(nn.Module):
    """Blocks over time points with a prompt, then queries that write the states of a language model.

    Sizes that are not given are the published ones, for 128 channels (unused ones zero) and 1280 samples.

    Parameters
    ----------
    shape : EegShape
        Channels are filled up with zeros to `width`.
    width : int
        Of a time point: at least the number of channels.
    n_blocks, n_heads : int
        Of attention over time; heads of all attention.
    query_width, n_queries, n_query_blocks : int
        Of the queries.
    state_width : int
        Of the states: that of the language model.
    unknown : (float, float, float)
        Probabilities that task, dataset and subject are hidden from the prompt in training. As published only the task
        is ever shown; where subjects differ in how they are wired, show them (0, 1, 0.1).
    dropout : float

    References
    ----------
    Liu et al. (2025). Learning interpretable representations leads to semantically faithful EEG-to-text generation.
    arXiv:2505.17099.
    """

    def __init__(
        self,
        shape: "EegShape",
        width: int = 128,
        n_blocks: int = 6,
        n_heads: int = 8,
        query_width: int = 256,
        n_queries: int = 96,
        n_query_blocks: int = 6,
        state_width: int = 1024,
        unknown: tuple[float, float, float] = (0.0, 1.0, 1.0),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if shape.n_channels > width:
            raise BrainalignError(f"{shape.n_channels} channels do not fit into width {width}; enlarge width")
        for name, size in (("width", width), ("query_width", query_width), ("state_width", state_width)):
            if size % n_heads:
                raise BrainalignError(f"{n_heads} heads do not divide {name} {size}; change n_heads")
        self.width = state_width
        self.fill = width - shape.n_channels
        self.code = nn.Buffer(time_code(shape.n_times, width), persistent=False)
        self.prompt = Prompt((shape.n_tasks, shape.n_datasets, shape.n_subjects), width, unknown)
        self.blocks = nn.ModuleList(AdaptiveBlock(width, n_heads, dropout) for _ in range(n_blocks))
        self.between = nn.Sequential(nn.Linear(width, query_width), nn.LayerNorm(query_width))
        self.queries = nn.Parameter(torch.randn(n_queries, query_width) / query_width**0.5)
        self.align = nn.ModuleList(
            nn.TransformerDecoderLayer(
                query_width, n_heads, 4 * query_width, dropout, F.gelu, batch_first=True, norm_first=True
            )
            for _ in range(n_query_blocks)
        )
        self.causal = nn.Buffer(torch.ones(n_queries, n_queries).triu(1).bool(), persistent=False)
        self.states = nn.Linear(query_width, state_width)
        self.pool = _QueryPool(state_width, shape.n_outputs, n_heads)

    def forward(self, signals: Tensor, mask: Tensor | None, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (n, n_queries, state_width) and vectors (n, n_outputs); arguments as of all `EEG_ENCODERS`."""
        padded = None if mask is None else ~mask
        x = F.pad(signals.transpose(1, 2), (0, self.fill)) + self.code  # (n, n_times, width)
        told = self.prompt(prompt)
        for block in self.blocks:
            x = block(x, told, padded)
        times = self.between(x)
        queries = self.queries.expand(len(signals), -1, -1)
        for layer in self.align:
            queries = layer(queries, times, tgt_mask=self.causal, memory_key_padding_mask=padded, tgt_is_causal=True)
        tokens = self.states(queries)
        return tokens, self.pool(tokens)
