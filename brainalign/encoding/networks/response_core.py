"""The network of response-optimised encoders: a convolutional core that all targets share, its maps read out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from brainalign.checks import BrainalignError


class Block(NamedTuple):
    """A convolution, its output averaged over pool × pool places."""

    n_channels: int
    kernel_size: int
    pool: int


def core_grid(grid: tuple[int, int], blocks: Sequence[Block]) -> tuple[int, int]:
    """Return the grid of the last block's maps; places left over at a border are averaged among themselves.

    Raises
    ------
    BrainalignError
        If a block's input is smaller than what it pools over, or a single place.
    """
    rows, cols = int(grid[0]), int(grid[1])
    for number, block in enumerate(blocks, start=1):
        if min(rows, cols) < block.pool or rows * cols < 2:
            raise BrainalignError(
                f"grid {tuple(grid)} leaves {rows} × {cols} places to block {number}, which pools over {block.pool} × "
                f"{block.pool}; take fewer blocks, smaller numbers in pool, or larger maps"
            )
        rows, cols = -(-rows // block.pool), -(-cols // block.pool)
    return rows, cols


class ConvolutionalCore(nn.Module):
    """Tokens (n, n_tokens, n_inputs) of a grid to tokens (n, n_places, n_channels) of the core's grid.

    Each block is a convolution with zeros around the map, batch norm, ELU, average pooling and dropout of channels.
    """

    def __init__(self, grid: tuple[int, int], n_inputs: int, blocks: Sequence[Block], dropout: float) -> None:
        super().__init__()
        self.grid = grid
        layers: list[nn.Module] = []
        for block in blocks:
            layers += [
                nn.Conv2d(n_inputs, block.n_channels, block.kernel_size, padding=block.kernel_size // 2, bias=False),
                nn.BatchNorm2d(block.n_channels),
                nn.ELU(),
                nn.AvgPool2d(block.pool, ceil_mode=True),
                nn.Dropout2d(dropout),
            ]
            n_inputs = block.n_channels
        self.layers = nn.Sequential(*layers)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the maps of the last block, places row by row."""
        maps: torch.Tensor = self.layers(tokens.mT.unflatten(2, self.grid))
        return maps.flatten(2).mT


class ResponseNetwork(nn.Module):
    """A core, and a read-out of its tokens."""

    per_target: tuple[str, ...] = ()  # targets share the core: nothing is left out for some of them

    def __init__(self, core: ConvolutionalCore, readout: nn.Module) -> None:
        super().__init__()
        self.core, self.readout = core, readout

    @property
    def weight(self) -> nn.Parameter:
        """Weights (n_targets, n_channels) of the core's channels."""
        return self.readout.get_parameter("weight")

    @property
    def bias(self) -> nn.Parameter:
        """Offsets (n_targets,)."""
        return self.readout.get_parameter("bias")

    def fields(self) -> torch.Tensor:
        """Return fields (n_targets, rows, cols) over the core's grid."""
        fields: torch.Tensor = self.readout.fields()  # type: ignore[operator]
        return fields

    def forward(self, tokens: torch.Tensor, semantics: torch.Tensor | None = None) -> torch.Tensor:
        """Return responses (n, n_targets)."""
        y: torch.Tensor = self.readout(self.core(tokens), semantics)
        return y
