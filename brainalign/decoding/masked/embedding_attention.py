"""Attention between regions that their embeddings decide, not the signal: a graph that is learned and the same for all.

a_ij = softmax_j(q(e_i) · k(e_j) / √D),  j ≠ i
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

NEVER = -1e4  # a logit that takes no part in a softmax, also in half precision


class EmbeddingAttention(nn.Module):
    """A block: regions gather from others what their embeddings ask for, then a small network per region.

    Parameters
    ----------
    width : int
        D, of tokens and embeddings.
    n_heads : int
    hidden_width : int
        Of the network per region.
    self_loops : bool
        Let regions gather from themselves too: then a hidden one learns nothing of the others from what it sees.

    References
    ----------
    Yang Y et al. (2024). BrainMAE: A region-aware self-supervised learning framework for brain signals.
    arXiv:2406.17086.
    """

    def __init__(self, width: int, n_heads: int, hidden_width: int, self_loops: bool = False) -> None:
        super().__init__()
        self.n_heads, self.self_loops = n_heads, self_loops
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden_width), nn.GELU(), nn.Linear(hidden_width, width))

    def weights(self, embeddings: Tensor, silent: Tensor | None = None) -> Tensor:
        """Return a (n or 1, n_heads, n_regions, n_regions): from which regions (columns) a region gathers.

        Parameters
        ----------
        embeddings : Tensor (n_regions, width)
        silent : Tensor (n, n_regions) of bool, optional
            Regions that send nothing.
        """
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
        after: Tensor = tokens + self.mlp(self.after(tokens))
        return after


class SelfAttention(nn.Module):
    """A block of ordinary attention, decided by the tokens; hidden regions send nothing where they are silent.

    Parameters
    ----------
    width, n_heads, hidden_width : int
    """

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
        after: Tensor = tokens + self.mlp(self.after(tokens))
        return after
