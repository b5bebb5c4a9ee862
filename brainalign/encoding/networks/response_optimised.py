"""The response-optimised encoder: features learned from the responses, by a small CNN that all targets share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal, Self

from sklearn.utils.validation import check_is_fitted
from torch import nn

from brainalign.checks import BrainalignError, check_choice
from brainalign.encoding.networks.factorized_readout import FactorizedReadout
from brainalign.encoding.networks.gaussian_readout import GaussianReadout
from brainalign.encoding.networks.readout_arrays import Shape, check_predict_arrays
from brainalign.encoding.networks.readout_fit import Readout, fit_readout, in_batches, refuse
from brainalign.encoding.networks.response_core import Block, ConvolutionalCore, ResponseNetwork, core_grid
from brainalign.encoding.networks.semantic_readout import SemanticSpatialReadout
from brainalign.regression import Array, carve_validation, check_validation, labels_of

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
    >>> from brainalign.simulation import complex_cells
    >>> world = complex_cells(60, 20, n_voxels=4)
    >>> encoder = ResponseOptimisedEncoder((8, 16), (5, 3), (2, 1), epochs=2)
    >>> encoder.fit(world.tokens[world.train], world.responses[world.train], grid=world.grid).fields_.shape
    (4, 8, 8)
    >>> encoder.core(world.tokens[world.test]).shape
    (20, 64, 16)
    """

    n_channels: Sequence[int] = (16, 32, 64)
    kernel_sizes: Sequence[int] = (5, 3, 3)
    pool: Sequence[int] = (2, 2, 2)
    readout: Literal["factorized", "gaussian", "semantic"] = "factorized"
    dropout: float = 0.0
    _: KW_ONLY
    batch_size: int = 50

    def fit(
        self,
        X: Array,
        Y: Array,
        *,
        groups: Array | None = None,
        grid: tuple[int, int] | None = None,
        roi: Array | None = None,
        semantics: Array | None = None,
    ) -> ResponseOptimisedEncoder:
        """Fit core and read-outs of all targets.

        Parameters
        ----------
        X : array (n_rows, n_tokens, n_channels)
            Tokens of a grid, row by row: the pixels of an image, or the map of a layer.
        Y : array (n_rows, n_targets)
            NaN: missing.
        groups : array (n_rows,), optional
            Rows of one group are set apart for validation together.
        grid : (rows, cols)
            Required.
        roi
            Not used; giving it raises.
        semantics : array (n_rows, n_semantic), optional
            With readout="semantic": what each image means. Otherwise giving it raises.

        Raises
        ------
        BrainalignError
            If an option or keyword cannot be used, shapes do not fit, grid is missing or too small for the pooling,
            fewer than 3 rows are left to choose the epoch by, features are not finite or a target is constant.
        """
        self._check_options()
        refuse(self, roi=roi, **({} if self.readout == "semantic" else {"semantics": semantics}))
        if self.readout == "semantic" and semantics is None:
            raise BrainalignError(
                "readout 'semantic' needs semantics=(n_rows, n_semantic); without them choose another"
            )
        held = carve_validation(len(Y), self.validation, labels_of(groups), self.seed)[1]
        check_validation(len(held), len(Y), self.validation)
        fit_readout(self, X, Y, groups=groups, grid=grid, semantics=semantics)
        self.core_grid_ = core_grid(self.module_.shape.grid, self._blocks())
        return self

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

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return an encoder that `save` wrote."""
        encoder = super().load(folder)
        encoder.core_grid_ = core_grid(encoder.module_.shape.grid, encoder._blocks())
        return encoder

    def _blocks(self) -> list[Block]:
        return [Block(*sizes) for sizes in zip(self.n_channels, self.kernel_sizes, self.pool, strict=True)]

    def _check_options(self) -> None:
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
