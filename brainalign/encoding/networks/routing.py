"""Routing: each ROI, parcel or target learns which tokens to read, by what they hold and where they lie.

A query per ROI attends over the tokens of any backbone and layer; a linear read-out predicts the ROI's targets from
what the query gathered.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from brainalign.checks import BrainalignError, check_choice
from brainalign.devices import pick_device, seeded
from brainalign.encoding.networks.closed_form import solve, solve_shared
from brainalign.encoding.networks.readout_fit import LOSSES, TokenEncoder
from brainalign.encoding.networks.routing_network import RoutingNetwork, members_of, parcels_of, position_code
from brainalign.encoding.networks.token_inputs import (
    CHUNK,
    Scales,
    Seen,
    check_fitted_tokens,
    check_tokens,
    checked,
    correlations,
    in_parts,
    rows_of,
    target_scales,
    token_scales,
)
from brainalign.regression import Array, Training, carve_validation, labels_of, refuse, same_kind_as, train

PUBLISHED_ROUTING = {
    "d_model": 768,
    "n_heads": 16,
    "feedforward": 1024,
    "dropout": 0.1,
    "epochs": 15,
    "batch_size": 16,
    "learning_rate": 5e-4,
    "weight_decay": 1e-4,
    "clip": 0.1,
    "patience": 15,
}
"""Size and training of the publication: `RoutingEncoder(**PUBLISHED_ROUTING)`."""


@dataclass(eq=False, repr=False)
class RoutingEncoder(TokenEncoder):
    """Cross-attention of learned queries over tokens, with a linear read-out per target.

    Of tokens x_p with position codes e_p, query u_q gathers t_q = Σ_p a_qp W_V x_p, where
    a_qp = softmax_p(u_q · (W_K x_p + W_E e_p) / √d); a target predicts b_v + Σ_q w_qv · t_q over the queries it is a
    member of. Queries do not attend to each other. Trained on the mean squared error of targets scaled to unit
    variance; the epoch with the best mean r on validation rows is kept.

    The defaults suit some thousand images and tens of channels. `RoutingEncoder(**PUBLISHED_ROUTING)` has the size, the
    feed-forward network and the training of the publication; it takes a GPU.

    Parameters
    ----------
    queries : {"roi", "parcel", "target", "hemisphere"}
        What has a query of its own: each label (or row of membership) in `roi`; clusters of targets by k-means on their
        responses in the training rows; every target; each hemisphere, named "L" or "R" in `roi`.
    keys : {"both", "content", "position"}
        What a query may choose tokens by. The last two are controls.
    frozen_queries : bool
        Leave the queries at their random start: a control. Keys are still learned.
    n_parcels : int
        With queries="parcel".
    rest : bool
        With queries="roi": give the targets in no ROI a query of their own. Otherwise such targets raise.
    d_model, n_heads : int
        Width of queries, keys and values, over all heads.
    feedforward : int, optional
        Hidden units of a feed-forward network after attention, with the layer norms of a decoder layer.
    dropout : float
        Of attention weights, and within the feed-forward network.
    clip : float, optional
        Largest norm of a gradient.
    patience : int, optional
        Epochs without a better validation score after which training stops; the learning rate is then constant, and
        follows one cycle otherwise.
    epochs, batch_size, learning_rate, weight_decay, validation, seed, device, checkpoint, progress
        As those of `FactorizedReadout`; the seed also draws the parcels.

    Attributes
    ----------
    queries_ : list of str
        Names of the queries.
    members_ : array of bool (n_queries, n_targets)
    module_ : RoutingNetwork
    history_ : list of Epoch
    validation_r_ : array (n_targets,)
        Pearson's r on the validation rows.
    n_parameters_ : int
        That are trained.

    References
    ----------
    Adeli H, Minni S, Kriegeskorte N (2025). Transformer brain encoders explain human high-level visual responses.
    arXiv:2505.17329

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tokens, responses = rng.normal(size=(80, 64, 12)), rng.normal(size=(80, 4))
    >>> encoder = RoutingEncoder(epochs=2).fit(tokens, responses, grid=(8, 8), roi=np.array(["V1", "V1", "V4", "V4"]))
    >>> encoder.attention(tokens).shape  # images × ROIs × tokens
    (80, 2, 64)
    """

    queries: Literal["roi", "parcel", "target", "hemisphere"] = "roi"
    keys: Literal["both", "content", "position"] = "both"
    frozen_queries: bool = False
    n_parcels: int = 100
    rest: bool = False
    d_model: int = 32
    n_heads: int = 1
    feedforward: int | None = None
    dropout: float = 0.0
    clip: float | None = None
    _: KW_ONLY
    validation: float = 0.1

    module_: RoutingNetwork = field(init=False)

    def fit(
        self,
        X: Array,
        Y: Array,
        *,
        groups: Array | None = None,
        grid: tuple[int, int] | None = None,
        roi: Array | None = None,
        semantics: Array | None = None,
    ) -> Self:
        """Fit all targets.

        Parameters
        ----------
        X : array (n_rows, n_tokens, n_channels)
            Row-major over the grid. A token that is NaN in all channels is padding, which nothing attends to.
        Y : array (n_rows, n_targets)
            NaN where a response is missing.
        groups : array (n_rows,), optional
            Rows of one group (stimulus, session) stay on one side of the validation split.
        grid : (rows, cols)
            Of the tokens; only keys="content" goes without.
        roi : array (n_targets,) or array of bool (n_rois, n_targets), optional
            Label of each target, "" for none, or membership, where ROIs may overlap: their contributions add up.
        semantics
            Not used by routing; giving them raises.

        Raises
        ------
        BrainalignError
            If an option or keyword cannot be used, shapes do not fit, a ROI has no targets, a target has no ROI, values
            are not finite or a target is constant.
        """
        how = self._check_options(semantics)
        check_tokens(X, Y, grid, needs_grid=self.keys != "content")
        rows = carve_validation(len(Y), self.validation, labels_of(groups), self.seed)
        code = None if self.keys == "content" or grid is None else position_code(grid)
        y_scales = target_scales(Y, rows[0])
        self.queries_, self.members_ = self._queries(Y, roi, rows[0])
        x_scales = token_scales(X, rows[0])  # last: it reads all tokens
        device = pick_device(self.device)
        with seeded(self.seed, device):
            module = self._network(X.shape[2], code)
        scales = module.x_mean, module.x_scale, module.y_mean, module.y_scale  # travel with the parameters
        for scale, found in zip(scales, (*x_scales, *y_scales), strict=True):
            scale.copy_(found)
        self.module_ = module.to(device)
        self.grid_ = None if grid is None else (int(grid[0]), int(grid[1]))
        self.n_tokens_ = X.shape[1]
        self.history_ = train(
            module,
            lambda batch: LOSSES["mse"](module(batch[0]), module.scaled(batch[1])),
            lambda some: float(self._r(X, Y, some).nanmean()),
            rows,
            how,
            seed=self.seed,
            read=lambda some: (rows_of(X, some, device), rows_of(Y, some, device)),
            checkpoint=None if self.checkpoint is None else Path(self.checkpoint),
            data=(X, Y, self.members_, self._options),
            progress=self.progress,
        )
        with torch.no_grad():
            self.validation_r_ = same_kind_as(Y)(self._solve(X, Y, [torch.from_numpy(part) for part in rows]))
        return self

    def predict(self, X: Array, semantics: Array | None = None) -> Array:
        """Return predictions (n_rows, n_targets) for tokens (n_rows, n_tokens, n_channels).

        Raises
        ------
        BrainalignError
            If tokens or channels are not those of the fit, or semantics are given.
        """
        refuse(type(self).__name__, semantics=semantics)
        self._check_fitted(X)
        return same_kind_as(X)(self._apply(X, lambda tokens: self.module_.unscaled(self.module_(tokens))))

    def attention(self, tokens: Array) -> Array:
        """Compute the attention of each query to each token: (n_rows, n_queries, n_tokens), averaged over heads.

        Each row sums to 1 over the tokens that are not padding, which get 0.

        Raises
        ------
        BrainalignError
            If tokens or channels are not those of the fit.
        """
        self._check_fitted(tokens)
        return same_kind_as(tokens)(self._apply(tokens, self.module_.attention))

    def _state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        content = {"queries": self.queries_, "grid": self.grid_, "n_tokens": self.n_tokens_}
        return {"members": torch.from_numpy(self.members_)}, content | {"n_channels": len(self.module_.x_mean)}

    def _restore(self, tensors: dict[str, torch.Tensor], content: dict[str, Any]) -> None:
        self.queries_, self.members_ = content["queries"], tensors.pop("members").numpy()
        self.grid_ = None if content["grid"] is None else (content["grid"][0], content["grid"][1])
        self.n_tokens_ = content["n_tokens"]
        with torch.random.fork_rng(devices=[]):  # what it begins with is overwritten
            self.module_ = self._network(content["n_channels"], tensors.get("code"))
        if "value.weight" not in tensors:
            self.module_.read_channels()
        self.module_.load_state_dict(tensors)
        self.module_.eval().to(pick_device(self.device))

    def _check_options(self, semantics: object) -> Training:
        check_choice("queries", self.queries, {"roi", "parcel", "target", "hemisphere"})
        check_choice("keys", self.keys, {"both", "content", "position"})
        refuse(type(self).__name__, semantics=semantics)
        if self.rest and self.queries != "roi":
            raise BrainalignError(f"rest is for queries 'roi'; with {self.queries!r} no target is left over")
        for name in ("d_model", "n_heads", "feedforward"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise BrainalignError(f"{name} is {value}; it must be at least 1")
        if self.d_model % self.n_heads:
            raise BrainalignError(f"d_model {self.d_model} is no multiple of n_heads {self.n_heads}; make it one")
        if not 0 <= self.dropout < 1:
            raise BrainalignError(f"dropout is {self.dropout}; it must lie in [0, 1)")
        return Training.of(self, schedule="onecycle" if self.patience is None else "constant")

    def _queries(self, Y: Array, roi: Array | None, rows: NDArray[np.intp]) -> tuple[list[str], NDArray[np.bool_]]:
        """Return names and members; parcels are found in the training rows alone."""
        if self.queries != "parcel":
            return members_of(self.queries, roi, Y.shape[1], rest=self.rest)
        if roi is not None:
            raise BrainalignError("queries 'parcel' finds its own groups of targets; leave roi out")
        return parcels_of(rows_of(Y, torch.from_numpy(rows), torch.device("cpu")).numpy(), self.n_parcels, self.seed)

    def _network(self, n_channels: int, code: torch.Tensor | None) -> RoutingNetwork:
        network = RoutingNetwork(
            self.members_,
            n_channels,
            code,
            content=self.keys != "position",
            d_model=self.d_model,
            n_heads=self.n_heads,
            feedforward=self.feedforward,
            dropout=self.dropout,
        )
        network.queries.requires_grad_(not self.frozen_queries)
        return network

    def _solve(self, X: Array, Y: Array, rows: list[torch.Tensor]) -> torch.Tensor:
        """Solve for the weights of targets; where validation rows say so, for those of queries that attend evenly.

        Returned is r on validation rows before these taught weights.
        """
        if self.feedforward is not None:  # what it shows hardly varies: trained weights stay
            return self._r(X, Y, rows[1])
        if self.n_heads == 1:  # trained values are noise where images are few, and too few where channels are many
            self.module_.read_channels()
        even = deepcopy(self.module_)
        even.attend_evenly()
        held, found = even.scaled(rows_of(Y, rows[1], even.bias.device)).cpu(), []
        for module in (self.module_, even):
            of_training, of_all = self._weights(X, Y, rows, module)
            module.keep(*of_training)
            predicted = self._apply(X, module, rows[1])
            found.append((float(LOSSES["mse"](predicted, held)), correlations(predicted, held), module))
            module.keep(*of_all)
        _, r, self.module_ = min(found, key=lambda each: each[0])
        return r

    def _weights(self, X: Array, Y: Array, rows: list[torch.Tensor], module: RoutingNetwork) -> list[Scales]:
        """Return packed weights and biases by ridge regression on what queries gather: of training rows, and of all."""
        device = module.bias.device

        def seen(some: torch.Tensor) -> Seen:
            return module.seen(rows_of(X, some, device))

        def responses(some: torch.Tensor) -> torch.Tensor:
            return module.scaled(rows_of(Y, some, device))

        n_channels = X.shape[2] if self.n_heads == 1 else self.d_model
        if module.one_each:
            sizes = Y.shape[1], n_channels, max(n_channels, X.shape[1])
            return solve(seen, responses, rows, CHUNK // (X.shape[1] * X.shape[2]), sizes)
        kinds, kind = np.unique(self.members_, axis=1, return_inverse=True)  # targets of one read the same queries
        queries = [np.flatnonzero(members).tolist() for members in kinds.T]
        targets = [torch.from_numpy(np.flatnonzero(kind == number)).to(device) for number in range(len(queries))]

        def read(some: torch.Tensor) -> list[torch.Tensor]:
            gathered = seen(some)(slice(None))
            return [gathered[:, which].flatten(1) for which in queries]

        packed, fits = torch.from_numpy(self.members_.cumsum().reshape(self.members_.shape) - 1).to(device), []
        for found in solve_shared(read, responses, rows, self._at_once(X), targets):
            weight, bias = torch.empty(len(module.weight), n_channels, device=device), torch.empty_like(module.bias)
            for which, mine, solved in zip(queries, targets, found, strict=True):
                weight[packed[which][:, mine]] = solved[:, :-1].unflatten(1, (len(which), -1)).transpose(0, 1)
                bias[mine] = solved[:, -1]
            fits.append((weight, bias))
        return fits

    def _check_fitted(self, X: Array) -> None:
        check_is_fitted(self)
        check_fitted_tokens("the encoder", X, self.n_tokens_, len(self.module_.x_mean))

    def _apply(
        self, X: Array, function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Apply a function to all or some rows of tokens, a few at a time and without gradients."""
        device = self.module_.bias.device
        chosen = torch.arange(len(X)) if rows is None else rows
        return in_parts(lambda some: function(checked(rows_of(X, some, device))).cpu(), chosen, self._at_once(X))

    def _at_once(self, X: Array) -> int:
        """Count the rows whose tokens, or attention to them, are held together."""
        return CHUNK // (self.n_tokens_ * max(self.n_heads * len(self.queries_), X.shape[2]))

    def _r(self, X: Array, Y: Array, rows: torch.Tensor) -> torch.Tensor:
        """Return Pearson's r of each target on some rows."""
        return correlations(self._apply(X, self.module_, rows), rows_of(Y, rows, torch.device("cpu")))
