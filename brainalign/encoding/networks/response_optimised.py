"""The response-optimised encoder: features learned from the responses, by a small CNN that all targets share."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, NamedTuple

import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from brainalign.checks import BrainalignError, check_choice
from brainalign.encoding.networks.factorized_readout import FactorizedReadout
from brainalign.encoding.networks.gaussian_readout import GaussianReadout
from brainalign.encoding.networks.readout_fit import Readout, Standardised, in_batches
from brainalign.encoding.networks.semantic_readout import SemanticSpatialReadout
from brainalign.encoding.networks.token_inputs import Seen, Shape, check_predict_arrays
from brainalign.regression import Array

READOUTS = {"factorized": FactorizedReadout, "gaussian": GaussianReadout, "semantic": SemanticSpatialReadout}


@dataclass(eq=False, repr=False)
class ResponseOptimisedEncoder(Readout):
    """A convolutional core and a read-out of its maps, trained together from the responses of all targets.

    The core maps tokens, such as pixels, to feature maps by blocks of convolution, batch norm, ELU and average pooling.
    Each target reads them out by a field and channel weights, as in `FactorizedReadout`, `GaussianReadout` or
    `SemanticSpatialReadout`. Batch norm learns its statistics from the training rows and keeps them in prediction; the
    epoch with the best mean r on validation rows is kept.

    Parameters
    ----------
    n_channels, kernel_sizes, pool : sequence of int
        Of each block: its channels; rows and columns of its filters, odd; places that are averaged, in rows and in
        columns.
    readout : {"factorized", "gaussian", "semantic"}
        The first two with their default options; the last one with translations.
    dropout : float
        Share of a block's channels that are left out in training.
    epochs, batch_size, learning_rate, weight_decay, schedule, patience, loss, validation, seed, device, checkpoint,
    progress
        As those of `FactorizedReadout`.

    Attributes
    ----------
    core_grid_ : (rows, cols)
        Of the core's maps, which cover the same image as the grid of the tokens.
    fields_ : array (n_targets, rows, cols)
        Over the core's grid. Filters can move a map, so that places are known up to their reach.
    weights_ : array (n_targets, n_channels[-1])
        In units of the responses per unit of the core's channels.
    intercept_ : array (n_targets,)
    validation_r_ : array (n_targets,)
    history_ : list of Epoch
    n_parameters_ : int
    module_ : nn.Module
        Tokens (n, n_tokens, n_channels) to responses (n, n_targets), both in the user's units.

    References
    ----------
    Khosla M, Wehbe L (2022). High-level visual areas act like domain-general filters with strong selectivity and
    functional specialization. bioRxiv. doi:10.1101/2022.03.16.484578
    Saha S, Chadha S, Khosla M (2024). Modeling the human visual system: comparative insights from response-optimized
    and task-optimized vision models, language models, and different readout mechanisms. doi:10.48550/arXiv.2410.14031
    Lurz KK, et al. (2021). Generalization in data-driven models of primary visual cortex. ICLR.
    doi:10.1101/2020.10.05.326256

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tokens, responses = rng.normal(size=(60, 256, 1)), rng.normal(size=(60, 4))
    >>> encoder = ResponseOptimisedEncoder((8, 16), (5, 3), (2, 1), epochs=2)
    >>> encoder.fit(tokens, responses, grid=(16, 16)).fields_.shape
    (4, 8, 8)
    >>> encoder.core(tokens[:20]).shape
    (20, 64, 16)
    """

    n_channels: Sequence[int] = (16, 32, 64)
    kernel_sizes: Sequence[int] = (5, 3, 3)
    pool: Sequence[int] = (2, 2, 2)
    readout: Literal["factorized", "gaussian", "semantic"] = "factorized"
    dropout: float = 0.0
    _: KW_ONLY
    batch_size: int = 50

    def network(self, shape: Shape) -> nn.Module:
        """Return the network for standardised arrays, before training."""
        blocks = self._blocks()
        inner = shape._replace(grid=core_grid(shape.grid, blocks), n_channels=blocks[-1].n_channels)
        core = ConvolutionalCore(shape.grid, shape.n_channels, blocks, self.dropout)
        return ResponseNetwork(core, READOUTS[self.readout]().network(inner))

    def core(self, tokens: Array) -> Array:
        """Return the core's feature maps as tokens (n_rows, n_places, n_channels[-1]), row by row of `core_grid_`.

        Raises
        ------
        BrainalignError
            If tokens or channels are not those of the fit.
        """
        check_is_fitted(self, "module_")
        whole = self.module_
        check_predict_arrays(type(self).__name__, whole.shape._replace(n_semantic=0), tokens, None)
        network = whole.parts[0]
        return in_batches(whole, lambda some: network.get_submodule("core")(whole.standard("tokens", some)), tokens)

    @property
    def reads_semantics(self) -> bool:
        """Whether `fit` and `predict` need what each image means."""
        return self.readout == "semantic"

    def _describe(self, whole: Standardised, like: Callable[[torch.Tensor], Array]) -> None:
        super()._describe(whole, like)
        self.core_grid_ = core_grid(whole.shape.grid, self._blocks())

    def _blocks(self) -> "list[Block]":
        return [Block(*sizes) for sizes in zip(self.n_channels, self.kernel_sizes, self.pool, strict=True)]

    def _check_options(self) -> None:
        super()._check_options()
        check_choice("readout", self.readout, READOUTS)
        sizes = {"n_channels": self.n_channels, "kernel_sizes": self.kernel_sizes, "pool": self.pool}
        if len({len(values) for values in sizes.values()}) > 1 or not len(self.n_channels):
            raise BrainalignError(
                f"n_channels {list(self.n_channels)}, kernel_sizes {list(self.kernel_sizes)} and pool "
                f"{list(self.pool)} must have one number per block each"
            )
        for name, values in sizes.items():
            if min(values) < 1:
                raise BrainalignError(f"{name} is {list(values)}; its numbers must be positive")
        if any(size % 2 == 0 for size in self.kernel_sizes):
            raise BrainalignError(f"kernel_sizes is {list(self.kernel_sizes)}; filters need a centre: take odd numbers")
        if not 0 <= self.dropout < 1:
            raise BrainalignError(f"dropout is {self.dropout}; it must lie in [0, 1)")


class Block(NamedTuple):
    """A convolution, its output averaged over pool × pool places."""

    n_channels: int
    kernel_size: int
    pool: int


def core_grid(grid: tuple[int, int], blocks: Sequence[Block]) -> tuple[int, int]:
    """Return the grid of the last block's maps; places left over at a border are averaged among themselves."""
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
        return self.layers(tokens.mT.unflatten(2, self.grid)).flatten(2).mT


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
        return self.readout.fields()  # type: ignore[operator]

    def seen(self, tokens: torch.Tensor, semantics: torch.Tensor | None = None) -> Seen:
        """Average the core's maps over fields (n, targets of a slice, n_channels), as a function of the slice."""
        return self.readout.seen(self.core(tokens), semantics)  # type: ignore[operator]

    def forward(self, tokens: torch.Tensor, semantics: torch.Tensor | None = None) -> torch.Tensor:
        """Return responses (n, n_targets)."""
        return self.readout(self.core(tokens), semantics)
