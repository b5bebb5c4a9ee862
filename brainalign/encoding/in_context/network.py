"""The network of in-context encoding: a set of (image, response) pairs of one voxel in, its linear weights out.

Every pair is a token; there are no positions, so the order of pairs does not matter. Blocks are pre-norm self-attention
and a gated hidden layer (SwiGLU); learned registers join the tokens, and the first of them is read out.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional

from brainalign.checks import BrainalignError
from brainalign.encoding.in_context.empirical_bayes import WeightPrior
from brainalign.io import read_json, read_safetensors


@dataclass(frozen=True)
class NetworkSize:
    """Everything that fixes the network but the number of features.

    Attributes
    ----------
    width : int
        Of a token.
    n_blocks, n_heads, n_registers : int
    hidden : int
        Units of the gated layer.
    token : {"product", "mlp"}
        A linear map of [x, y, x·y], or a residual layer on [x, y] (published).
    attention_base : float
        Queries are multiplied by ln(length) / ln(attention_base), so that attention stays as sharp in long contexts.
    dropout : float
    prior_axes : bool
        Show the network features, and take its weights, along the principal axes of the prior: a linear map that it
        would otherwise have to learn.
    """

    width: int
    n_blocks: int
    n_heads: int
    n_registers: int
    hidden: int
    token: Literal["product", "mlp"]
    attention_base: float
    dropout: float
    prior_axes: bool


def _published(width: int) -> NetworkSize:
    return NetworkSize(width, 20, 10, 4, 2048, "mlp", math.e, 0.5, False)


# The last three are the published sizes, for features of 512 (CLIP), 768 (DINO) and 1152 values (SigLIP).
NETWORKS = {
    "small": NetworkSize(48, 3, 4, 1, 96, "product", 60.0, 0.0, True),
    "clip": _published(560),
    "dino": _published(800),
    "siglip": _published(1200),
}


class InContextNetwork(nn.Module):
    """From contexts to weights; see the module.

    Parameters
    ----------
    n_features : int
    size : NetworkSize
    knows_units : bool
        Tell it, of each context, its length and the mean and standard deviation of its responses in units of the prior:
        from these alone it sees how clear a voxel is. Otherwise responses may come in any unit.
    """

    def __init__(self, n_features: int, size: NetworkSize, *, knows_units: bool) -> None:
        super().__init__()
        self.n_features, self.size = n_features, size
        d = size.width
        self.axes = nn.Buffer(torch.eye(n_features))  # (n_features, n_axes)
        self.units = nn.Buffer(torch.tensor([0.0, 1.0]))  # mean and standard deviation of signals under the prior
        self.facts = nn.Linear(3, d) if knows_units else None
        product = size.token == "product"
        self.token = (
            nn.Linear(2 * n_features + 1, d) if product else ResidualLayer(n_features + 1, d, 2 * d, size.dropout)
        )
        self.registers = nn.Parameter(torch.randn(size.n_registers, d) / math.sqrt(d + 1))
        self.blocks = nn.ModuleList(ContextBlock(size) for _ in range(size.n_blocks))
        self.norm = nn.LayerNorm(d)
        self.head = ResidualLayer(d, n_features + 1, 2 * d, size.dropout)

    def look_along(self, covariance: torch.Tensor, images: torch.Tensor) -> None:
        """Take the axes of the prior's weights, each as long as weights vary along it.

        Of the covariance of weights (n_features, n_features). The axes are scaled together so that features of the
        images (n_images, n_features) along the first have unit variance.
        """
        values, vectors = torch.linalg.eigh(covariance.double())
        axes = (vectors * values.clamp(min=0).sqrt()).flip(1)
        largest = (images.double() @ axes).std(dim=0).max() * math.sqrt(self.n_features)
        self.axes.copy_(axes / largest)

    def count_in(self, mean: torch.Tensor, covariance: torch.Tensor, images: torch.Tensor) -> None:
        """Take the units of responses: mean and standard deviation over voxels of the prior and images.

        Parameters
        ----------
        mean : tensor (n_features + 1,)
            Of weights and, last, bias.
        covariance : tensor (n_features + 1, n_features + 1)
        images : tensor (n_images, n_features)
        """
        mean, covariance, images = mean.double(), covariance.double(), images.double()
        expected = images.mean(dim=0) @ mean[:-1] + mean[-1]
        moment = covariance[:-1, :-1] + mean[:-1, None] * mean[:-1]
        variance = (torch.cov(images.T) * moment).sum()
        self.units.copy_(torch.stack([expected, variance.sqrt()]))

    def forward(self, X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        """Return weights and, last, bias (n_voxels, n_features + 1) in the units of the responses.

        X (n_voxels, n_images, n_features) has unit rows, multiplied by √n_features here, as weights are, so that the
        network sees and gives values of about 1. Y (n_voxels, n_images) is read z-scored over each context.
        """
        mean, spread = Y.mean(dim=1, keepdim=True), Y.std(dim=1, keepdim=True)
        sd = torch.where(spread > 0, spread, self.units[1])  # a voxel may be silent but for the image left out
        scale = math.sqrt(self.n_features)
        X, y = scale * (X @ self.axes), ((Y - mean) / sd)[..., None]
        parts = [X, y, X * y] if self.size.token == "product" else [X, y]
        registers = self.registers.expand(len(mean), -1, -1)
        if self.facts is not None:
            length = torch.full_like(mean, math.log(Y.shape[1]))
            facts = torch.cat([length, (sd / self.units[1]).log(), (mean - self.units[0]) / sd], dim=1)
            registers = registers + self.facts(facts)[:, None]
        tokens = torch.cat([registers, self.token(torch.cat(parts, dim=-1))], dim=1)
        sharpness = math.log(tokens.shape[1]) / math.log(self.size.attention_base)
        for number, block in enumerate(self.blocks, start=1):
            # Of the last block only the first register is read.
            tokens = block(tokens, sharpness, 1 if number == len(self.blocks) else tokens.shape[1])
        found = self.head(self.norm(tokens[:, 0])) * spread
        return torch.cat([scale * found[:, :-1] @ self.axes.T, found[:, -1:] + mean], dim=1)

    def bytes_per_voxel(self, n_images: int) -> int:
        """Return about how much memory one voxel's context takes on its way through a block, without gradients."""
        size = self.size
        return 4 * (n_images + size.n_registers) * (6 * size.width + 3 * size.hidden + 3 * self.n_features)


class ContextBlock(nn.Module):
    """Pre-norm self-attention over the context, then a gated layer for each token."""

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.n_heads, self.dropout = size.n_heads, size.dropout
        self.attention_norm, self.gated_norm = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
        self.query = nn.Linear(size.width, size.width)
        self.key_value = nn.Linear(size.width, 2 * size.width)
        self.join = nn.Linear(size.width, size.width)
        self.gate = nn.Linear(size.width, 2 * size.hidden)
        self.out = nn.Linear(size.hidden, size.width)
        self.drop = nn.Dropout(size.dropout)

    def forward(self, tokens: torch.Tensor, sharpness: float, n_out: int) -> torch.Tensor:
        """Return the first `n_out` tokens, which attend to all."""
        n, _, width = tokens.shape
        shape = n, -1, self.n_heads, width // self.n_heads
        normed = self.attention_norm(tokens)
        query = self.query(normed[:, :n_out]).view(shape).transpose(1, 2)  # (n_voxels, n_heads, n_out, width of a head)
        key, value = (part.reshape(shape).transpose(1, 2) for part in self.key_value(normed).chunk(2, dim=-1))
        attended = functional.scaled_dot_product_attention(query * sharpness, key, value)
        tokens = tokens[:, :n_out] + self.drop(self.join(attended.transpose(1, 2).reshape(n, n_out, width)))
        gate, hidden = self.gate(self.gated_norm(tokens)).chunk(2, dim=-1)
        return tokens + self.drop(self.out(functional.silu(gate) * hidden))


class ResidualLayer(nn.Module):
    """A linear map plus a hidden layer: LayerNorm, `hidden` units, LeakyReLU."""

    def __init__(self, n_in: int, n_out: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.hidden = nn.Sequential(
            nn.LayerNorm(n_in),
            nn.Linear(n_in, hidden),
            nn.LeakyReLU(0.1),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_out),
        )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return (..., n_out) of values (..., n_in)."""
        return self.linear(values) + self.hidden(values)


PRIOR = "prior/"  # before the names of its two arrays
NetworkState = tuple[dict[str, NDArray[Any]], dict[str, Any]]


def parameter_hash(network: InContextNetwork) -> str:
    """Return a digest of all weights and their names."""
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def state_of(
    network: InContextNetwork, prior: WeightPrior, parameters: dict[str, Any], losses: list[float]
) -> NetworkState:
    """Return weights and prior as arrays, and a description for JSON: constructor arguments, losses, digest."""
    arrays = {name: values.cpu().numpy().copy() for name, values in network.state_dict().items()}
    arrays |= {f"{PRIOR}mean": np.array(prior.mean), f"{PRIOR}covariance": np.array(prior.covariance)}
    description = {
        "n_features": network.n_features,
        "parameters": parameters,
        "losses": losses,
        "hash": parameter_hash(network),
    }
    return arrays, description


def network_of(
    arrays: Mapping[str, NDArray[Any]], description: Mapping[str, Any], *, source: str
) -> tuple[InContextNetwork, WeightPrior, dict[str, Any], list[float]]:
    """Return network, prior, the constructor arguments of the encoder and the losses: the way back from `state_of`.

    The description may have gone through JSON; `source` says where both come from, for errors.
    """
    parameters: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in description["parameters"].items()
    }
    size, knows_units = NETWORKS[parameters["network"]], parameters["units"] == "prior"
    with torch.random.fork_rng(devices=[]):  # what it begins with is overwritten
        network = InContextNetwork(description["n_features"], size, knows_units=knows_units)
    weights = {name: torch.from_numpy(np.array(a)) for name, a in arrays.items() if not name.startswith(PRIOR)}
    try:
        network.load_state_dict(weights)
        prior = WeightPrior(*(np.array(arrays[f"{PRIOR}{part}"]) for part in ("mean", "covariance")))
    except (RuntimeError, KeyError) as error:
        raise BrainalignError(f"{source} does not hold the network of its description; save both again") from error
    if parameter_hash(network) != description["hash"]:
        raise BrainalignError(f"{source} has another digest than its description says; save both again")
    return network.eval(), prior, parameters, description["losses"]


def write_checkpoint(path: Path, state: NetworkState) -> None:
    """Write arrays into a safetensors file, and the description into a .json beside it."""
    arrays, description = state
    save_file(arrays, path)
    path.with_suffix(".json").write_text(json.dumps(description, indent=1) + "\n")


def read_checkpoint(path: Path) -> NetworkState:
    """Read the checkpoint that `write_checkpoint` wrote."""
    for file in (path, path.with_suffix(".json")):
        if not file.exists():
            raise BrainalignError(f"{file} is missing; a checkpoint is a safetensors file and its .json beside it")
    return read_safetensors(path)[0], read_json(path.with_suffix(".json"))
