"""A soft mixture of experts: every input goes through all linear experts, weighted by a router."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brainalign.checks import BrainalignError


class SoftMixture(nn.Module):
    """The projector that all modalities share.

        output = Σ_e g_e(x) (W_e x + b_e)        g = sigmoid(router(x)) / Σ sigmoid(router(x))

    A sigmoid lets several experts be fully open before the sum is brought to 1; a softmax would make them compete.

    Parameters
    ----------
    width : int
        Of the input.
    n_dimensions : int
        Of the output.
    n_experts : int
    hidden : int
        Of the router, which has one hidden layer.

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
