"""The Gaussian read-out: a target looks at one place, known up to a Gaussian."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import torch
from torch import nn

from brainalign.checks import check_choice
from brainalign.encoding.networks.factorized_readout import FactorizedNetwork
from brainalign.encoding.networks.readout_fit import Readout, Standardised
from brainalign.encoding.networks.token_inputs import Shape, chunked
from brainalign.regression import Array

START_SD = 0.5  # of a field, where the grid runs from -1 to 1


@dataclass(eq=False, repr=False)
class GaussianReadout(Readout):
    """A Gaussian receptive field and one set of channel weights per target.

    y_v = b_v + Σ_c f_vc x_c(place of v). With field="point" the place is drawn anew from N(mean_v, covariance_v) for
    every row and target in training, and is mean_v in prediction; features are interpolated between cells and zero (the
    channel's mean) outside the grid. With field="integrated" x_c is summed over the density of the Gaussian, brought to
    L2 norm 1: the factorized read-out with fields of that shape. Weights start at zero, as the factorized one's do, and
    with field="point" stay as trained: all around a point, they know more than that point tells.

    Parameters
    ----------
    field : {"point", "integrated"}
    epochs, batch_size, learning_rate, weight_decay, schedule, patience, loss, validation, restarts, seed, device,
    checkpoint, progress
        As those of `FactorizedReadout`.

    Attributes
    ----------
    means_ : array (n_targets, 2)
        Centres as (x, y), where the centres of the corner cells are at -1 and 1.
    covariances_ : array (n_targets, 2, 2)
    fields_ : array (n_targets, rows, cols)
        With field="point", the weights of the cells around the mean.
    weights_, intercept_, validation_r_, restart_, history_, n_parameters_, module_
        As those of `FactorizedReadout`.

    References
    ----------
    Lurz KK, et al. (2021). Generalization in data-driven models of primary visual cortex. ICLR.
    doi:10.1101/2020.10.05.326256

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(300, 15, 2))
    >>> readout = GaussianReadout().fit(X, X[:, 7, :1], grid=(3, 5))
    >>> bool(np.abs(readout.means_).max() < 0.1)
    True
    """

    field: Literal["point", "integrated"] = "integrated"
    _: KW_ONLY
    restarts: int = 1

    def network(self, shape: Shape) -> nn.Module:
        """Return the network for standardised arrays, before training."""
        return _Gaussian(shape, self.field)

    @property
    def solves(self) -> bool:
        """Whether channel weights are solved for: never those trained around a point."""
        return super().solves and self.field == "integrated"

    def _check_options(self) -> None:
        super()._check_options()
        check_choice("field", self.field, {"point", "integrated"})

    def _describe(self, whole: Standardised, like: Callable[[torch.Tensor], Array]) -> None:
        super()._describe(whole, like)
        with torch.no_grad():
            roots = whole.gather(lambda part: part.roots())
            self.means_, self.covariances_ = like(whole.gather(lambda part: part.places())), like(roots @ roots.mT)


class _Gaussian(FactorizedNetwork):
    per_target = ("mean", "root", "weight", "bias")

    def __init__(self, shape: Shape, kind: str) -> None:
        nn.Module.__init__(self)  # with fields of its own
        self.grid, self.kind = shape.grid, kind
        self.mean = nn.Parameter(0.01 * torch.randn(shape.n_targets, 2))
        # Logarithms of the diagonal of a lower triangular root of the covariance, and what is below the diagonal.
        self.root = nn.Parameter(torch.tensor([START_SD, START_SD, 1.0]).log().repeat(shape.n_targets, 1))
        self.weight = nn.Parameter(torch.zeros(shape.n_targets, shape.n_channels))
        self.bias = nn.Parameter(torch.zeros(shape.n_targets))

    def places(self) -> torch.Tensor:
        """Return means (n_targets, 2), inside the grid."""
        with torch.no_grad():
            self.mean.clamp_(-1, 1)
        return self.mean

    def roots(self) -> torch.Tensor:
        """Return lower triangular roots (n_targets, 2, 2) of the covariances."""
        below = torch.stack([torch.zeros_like(self.root[:, 2]), self.root[:, 2]], dim=1)
        return torch.diag_embed(self.root[:, :2].exp()) + below[:, :, None] * below.new_tensor([1.0, 0.0])

    def fields(self) -> torch.Tensor:
        rows, cols = self.grid
        y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols), indexing="ij")
        cells = torch.stack([x, y], dim=-1).flatten(0, 1).to(self.mean)
        apart = cells - self.places()[:, None]  # (n_targets, cells, 2)
        if self.kind == "point":  # what bilinear interpolation takes of each cell
            steps = apart.new_tensor([cols - 1, rows - 1]) / 2
            return (1 - apart.abs() * steps).clamp(min=0).prod(dim=2).reshape(-1, rows, cols)
        scaled = torch.linalg.solve_triangular(self.roots(), apart.mT, upper=False)
        return nn.functional.normalize((-0.5 * scaled.square().sum(dim=1)).exp(), dim=1).reshape(-1, rows, cols)

    def forward(self, tokens: torch.Tensor, semantics: torch.Tensor | None = None) -> torch.Tensor:
        if self.kind == "integrated" or not self.training:
            return super().forward(tokens)
        maps, means, roots = tokens.mT.unflatten(2, self.grid), self.places(), self.roots()

        def some(where: slice) -> torch.Tensor:
            noise = torch.randn(len(tokens), *means[where].shape, device=tokens.device)
            places = means[where] + torch.einsum("vij,nvj->nvi", roots[where], noise)
            seen = nn.functional.grid_sample(maps, places[:, :, None], align_corners=True)[..., 0]
            return torch.einsum("ncv,vc->nv", seen, self.weight[where])

        return chunked(some, len(means), tokens.shape[0] * tokens.shape[2]) + self.bias
