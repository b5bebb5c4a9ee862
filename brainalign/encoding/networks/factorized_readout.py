"""The factorized read-out: where a target looks, times what it looks for."""

from dataclasses import dataclass

import torch
from torch import nn

from brainalign.encoding.networks.readout_fit import Readout
from brainalign.encoding.networks.token_inputs import Seen, Shape, chunked


@dataclass(eq=False, repr=False, kw_only=True)
class FactorizedReadout(Readout):
    """One receptive field and one set of channel weights per target.

    y_v = b_v + Σ_c f_vc Σ_hw s_v(h, w) x_c(h, w), fields s_v non-negative and of L2 norm 1. Fields start flat and
    weights at zero, so every target starts at its mean: weights of random sign drive many fields to zero before they
    turn. Trained by AdamW on standardised channels and targets, missing responses left out. With loss="mse" the weights
    are then those of ridge regression on what the fields see: one penalty for all targets, chosen on validation rows,
    and weights of all rows. Weights as trained lose .05 to .1 of r to ridge on the mean token where images are few.

    Parameters
    ----------
    epochs, batch_size, learning_rate, weight_decay, schedule, patience, mixed_precision
        As of `Training`.
    loss : {"mse", "concordance"}
        Mean squared error, or that plus 1 − the concordance over rows and targets, which keeps weights as trained.
    validation : float
        Share of the rows (or groups) set apart to choose the epoch, the penalty and the restart.
    restarts : int
        Trainings from other seeds; each target keeps its best by validation r.
    seed : int
    device : {"auto", "cpu", "cuda"}
    checkpoint : str or Path, optional
        Folder in which a killed fit finds the state after its last epoch; restarts that it had finished are trained
        again. Not for several fits at once.
    progress : function of Epoch, optional
        Called after each epoch.

    Attributes
    ----------
    fields_ : array (n_targets, rows, cols)
    weights_ : array (n_targets, n_channels)
        In units of the responses per unit of the features.
    intercept_ : array (n_targets,)
    validation_r_ : array (n_targets,)
        Of weights that validation rows did not teach.
    restart_ : array (n_targets,)
        Which restart a target kept.
    history_ : list of Epoch
        Of all restarts, one after the other.
    n_parameters_ : int
    module_ : nn.Module
        Tokens (n, n_tokens, n_channels) to responses (n, n_targets), both in the user's units.

    References
    ----------
    Klindt D, Ecker AS, Euler T, Bethge M (2017). Neural system identification for large populations separating "what"
    and "where". NeurIPS 30. doi:10.48550/arXiv.1711.02653

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 12, 2))
    >>> readout = FactorizedReadout(epochs=30).fit(X, X[:, 5, :1], grid=(3, 4))
    >>> np.unravel_index(readout.fields_[0].argmax(), (3, 4))
    (np.int64(1), np.int64(1))
    """

    restarts: int = 1

    def network(self, shape: Shape) -> nn.Module:
        """Return the network for standardised arrays, before training."""
        return FactorizedNetwork(shape)


class FactorizedNetwork(nn.Module):
    """Fields that start nearly flat, times channel weights that start at zero."""

    per_target: tuple[str, ...] = ("field", "weight", "bias")

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.grid = shape.grid
        self.field = nn.Parameter(0.1 + 0.01 * torch.randn(shape.n_targets, shape.grid[0] * shape.grid[1]))
        self.weight = nn.Parameter(torch.zeros(shape.n_targets, shape.n_channels))
        self.bias = nn.Parameter(torch.zeros(shape.n_targets))

    def fields(self) -> torch.Tensor:
        """Return fields (n_targets, rows, cols) of norm 1, once the parameter is projected to values >= 0.

        Projected, a cell that went to zero can come back; the gradient of relu would leave it there.
        """
        with torch.no_grad():
            self.field.clamp_(min=0)
        return nn.functional.normalize(self.field, dim=1).reshape(-1, *self.grid)

    def seen(self, tokens: torch.Tensor, semantics: torch.Tensor | None = None) -> Seen:
        """Average channels over fields (n, targets of a slice, n_channels), as a function of the slice."""
        fields = self.fields().flatten(1)
        return lambda where: fields[where] @ tokens

    def forward(self, tokens: torch.Tensor, semantics: torch.Tensor | None = None) -> torch.Tensor:
        """Return responses (n, n_targets)."""
        seen, (n, n_cells, n_channels) = self.seen(tokens, semantics), tokens.shape
        size = n * (n_channels if semantics is None else max(n_cells, n_channels))  # what moves has a map per row
        return chunked(lambda some: (seen(some) * self.weight[some]).sum(dim=2), len(self.weight), size) + self.bias
