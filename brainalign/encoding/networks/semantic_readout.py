"""The semantic spatial read-out: where a target looks moves with what the image means."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn.functional import grid_sample

from brainalign.checks import check_choice
from brainalign.encoding.networks.factorized_readout import FactorizedNetwork
from brainalign.encoding.networks.readout_fit import Readout, in_batches, start
from brainalign.encoding.networks.token_inputs import Seen, Shape, check_predict_arrays
from brainalign.regression import Array


@dataclass(eq=False, repr=False)
class SemanticSpatialReadout(Readout):
    """A receptive field per target, warped anew for every image by a network that reads the semantics of the image.

    y_v = b_v + Σ_c f_vc Σ_hw s_v(A_v(z)(h, w)) x_c(h, w), with the affine map A_v(z) from z → n_hidden → ReLU → numbers
    of the warp. The last layer starts at zero, so that training starts from the factorized read-out of the same seed.
    After the restarts comes that read-out itself, whose fields stay still: warps of fields that do not move cost a
    target .04 to .06 of r where rows are few. Each target keeps what predicts its validation rows best.

    Parameters
    ----------
    warp : {"translation", "rotation", "scale", "shear", "affine"}
    warp_features : bool
        Warp the map of each channel as well, all targets alike.
    n_hidden : int
        Units between semantics and warps.
    restarts : int
        As in `FactorizedReadout`, but two.
    epochs, batch_size, learning_rate, weight_decay, schedule, patience, loss, validation, seed, device, checkpoint,
    progress
        As those of `FactorizedReadout`.

    Attributes
    ----------
    fields_ : array (n_targets, rows, cols)
        Before they are warped.
    weights_, intercept_, validation_r_, restart_, history_, n_parameters_
        As those of `FactorizedReadout`.
    module_ : nn.Module
        Tokens (n, n_tokens, n_channels) and semantics (n, n_semantic) to responses (n, n_targets).

    References
    ----------
    Saha S, Chadha S, Khosla M (2024). Modeling the human visual system: comparative insights from response-optimized
    and task-optimized vision models, language models, and different readout mechanisms. doi:10.48550/arXiv.2410.14031

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, Z = rng.normal(size=(300, 12, 2)), rng.normal(size=(300, 4))
    >>> readout = SemanticSpatialReadout(epochs=30).fit(X, X[:, 5, :1], grid=(3, 4), semantics=Z)
    >>> readout.shifts(Z).shape
    (300, 1, 2)
    """

    warp: Literal["translation", "rotation", "scale", "shear", "affine"] = "translation"
    warp_features: bool = False
    n_hidden: int = 32
    _: KW_ONLY
    restarts: int = 2

    def network(self, shape: Shape) -> nn.Module:
        """Return the network for standardised arrays, before training."""
        return _Semantic(shape, self.warp, self.warp_features, self.n_hidden)

    @property
    def reads_semantics(self) -> bool:
        """Whether `fit` and `predict` need what each image means: always."""
        return True

    def starts(self, shape: Shape) -> list[tuple[int, nn.Module]]:
        """Return the seeds of trainings with the networks that they start with; the fields of the last stay still."""
        seed = int(np.random.default_rng([self.seed, 1]).integers(2**31))
        still = cast(_Semantic, start(self, shape, seed))
        still.still = True
        return [*super().starts(shape), (seed, still)]

    def _check_options(self) -> None:
        super()._check_options()
        check_choice("warp", self.warp, WARPS)

    def shifts(self, semantics: Array) -> Array:
        """Compute the shift of the centre of each field (n_rows, n_targets, 2), as (x, y).

        The unit is half the distance between the centres of the corner cells; x grows with columns, y with rows.
        Warps of feature maps are not included.
        """
        check_is_fitted(self, "module_")
        check_predict_arrays(type(self).__name__, self.module_.shape, None, semantics)
        whole = self.module_

        def moved(z: torch.Tensor) -> torch.Tensor:
            return whole.gather(lambda part: part.shifts(whole.standard("semantics", z)), axis=1)

        return in_batches(whole, moved, semantics)


class _Semantic(FactorizedNetwork):
    per_target = (*FactorizedNetwork.per_target, "warp_weight", "warp_bias")

    def __init__(self, shape: Shape, mode: str, warp_features: bool, n_hidden: int) -> None:
        super().__init__(shape)  # takes the first random numbers: the same fields as of the factorized read-out
        self.mode, n_numbers = mode, WARPS[mode]
        self.hidden = nn.Sequential(nn.Linear(shape.n_semantic, n_hidden), nn.ReLU())
        self.warp_weight = nn.Parameter(torch.zeros(shape.n_targets, n_numbers, n_hidden))
        self.warp_bias = nn.Parameter(torch.zeros(shape.n_targets, n_numbers))
        self.still = False
        self.of_features = nn.Linear(n_hidden, shape.n_channels * n_numbers) if warp_features else None
        if self.of_features is not None:
            nn.init.zeros_(self.of_features.weight)
            nn.init.zeros_(self.of_features.bias)

    def matrices(self, hidden: torch.Tensor, where: slice) -> torch.Tensor:
        """Return the warps (n, targets of the slice, 2, 3)."""
        numbers = torch.einsum("nh,vkh->nvk", hidden, self.warp_weight[where]) + self.warp_bias[where]
        return affine_matrix(self.mode, numbers)

    def shifts(self, semantics: torch.Tensor) -> torch.Tensor:
        return moved_centre(self.fields(), self.matrices(self.hidden(semantics), slice(None)))

    def seen(self, tokens: torch.Tensor, semantics: torch.Tensor | None = None) -> Seen:
        if self.still:
            return super().seen(tokens)
        fields, hidden, n = self.fields(), self.hidden(semantics), len(tokens)
        if self.of_features is not None:
            numbers = self.of_features(hidden).view(1, n * tokens.shape[2], -1)
            maps = tokens.mT.unflatten(2, self.grid).flatten(0, 1)  # of every row and channel
            tokens = warp(maps, affine_matrix(self.mode, numbers)).view(n, -1, tokens.shape[1]).mT
        return lambda where: warp(fields[where], self.matrices(hidden, where)).flatten(2) @ tokens


WARPS = {"translation": 2, "rotation": 1, "scale": 2, "shear": 2, "affine": 6}
"""Modes and how many numbers each takes; zeros leave the map where it is."""


def affine_matrix(mode: str, numbers: torch.Tensor) -> torch.Tensor:
    """Return the matrices [A | t] (..., 2, 3) that take a point of the warped map to its point of the original map.

    Parameters
    ----------
    mode : str
        Key of `WARPS`.
    numbers : tensor (..., WARPS[mode])
        translation: t, the *opposite* of the way the map moves. rotation: radians about the centre of the map. scale:
        what is added to the factors of x and y. shear: of x with y, of y with x. affine: what is added to [A | t].
    """
    zero, one = torch.zeros_like(numbers[..., 0]), torch.ones_like(numbers[..., 0])
    first, last = numbers[..., 0], numbers[..., -1]
    if mode == "translation":
        values = [one, zero, first, zero, one, last]
    elif mode == "rotation":
        values = [first.cos(), -first.sin(), zero, first.sin(), first.cos(), zero]
    elif mode == "scale":
        values = [one + first, zero, zero, zero, one + last, zero]
    elif mode == "shear":
        values = [one, first, zero, last, one, zero]
    else:
        values = [
            same + part for same, part in zip([one, zero, zero, zero, one, zero], numbers.unbind(-1), strict=True)
        ]
    return torch.stack(values, dim=-1).reshape(*numbers.shape[:-1], 2, 3)


def warp(maps: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Return maps (n_maps, rows, cols) seen through matrices (n, n_maps, 2, 3), as (n, n_maps, rows, cols).

    As `torch.nn.functional.affine_grid` and `grid_sample` with align_corners=True, but without a copy of each map for
    each matrix.
    """
    rows, cols = maps.shape[1:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols), indexing="ij")
    cells = torch.stack([x.flatten(), y.flatten(), torch.ones(rows * cols)]).to(maps)  # (3, n_cells)
    # One product instead of many small ones.
    points = (matrices.transpose(0, 1).reshape(-1, 3) @ cells).view(len(maps), -1, 2, rows * cols)
    seen = grid_sample(maps[:, None], points.mT, padding_mode="zeros", align_corners=True)
    return seen[:, 0].transpose(0, 1).reshape(-1, len(maps), rows, cols)


def moved_centre(fields: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Compute the shift of the centres of mass of fields by warps, as (x, y).

    Parameters
    ----------
    fields : tensor (n_maps, rows, cols), non-negative
    matrices : tensor (n, n_maps, 2, 3)

    Returns
    -------
    tensor (n, n_maps, 2)
        NaN for an empty field.
    """
    rows, cols = fields.shape[1:]
    share = fields / fields.sum(dim=(1, 2), keepdim=True)
    x = share.sum(dim=1) @ torch.linspace(-1, 1, cols).to(share)
    y = share.sum(dim=2) @ torch.linspace(-1, 1, rows).to(share)
    centres = torch.stack([x, y], dim=-1).expand(*matrices.shape[:-2], 2)
    # Matrices take points of the result to the original; what was at a centre is seen where they take a point to it.
    seen: torch.Tensor = torch.linalg.solve(matrices[..., :2], centres - matrices[..., 2])
    return seen - centres
