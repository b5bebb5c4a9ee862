"""What encoders of tokens share; of read-outs, a network trained from several starts, each target's best kept."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from brainalign import regression
from brainalign.checks import BrainalignError, check_choice, check_shape
from brainalign.devices import pick_device, seeded
from brainalign.encoding.networks import token_inputs
from brainalign.encoding.networks.closed_form import solve
from brainalign.encoding.networks.token_inputs import Shape
from brainalign.io import read_json, reading, write_atomically, write_json

NOT_KEPT = {"checkpoint", "progress"}  # of the options on disk: where it was trained and who watched


class Standardised(nn.Module):
    """Trained networks, each for the targets that chose it, between arrays in the user's units.

    Attributes
    ----------
    parts : nn.ModuleList
        Networks for standardised arrays.
    chosen : tensor (n_targets,)
        Which of them is a target's.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.parts = nn.ModuleList()
        for name, size in {"tokens": shape.n_channels, "semantics": shape.n_semantic, "Y": shape.n_targets}.items():
            self.register_buffer(f"mean_{name}", torch.zeros(size))
            self.register_buffer(f"sd_{name}", torch.ones(size))
        self.register_buffer("chosen", torch.zeros(shape.n_targets, dtype=torch.long))

    def set_moments(self, name: str, moments: token_inputs.Scales) -> None:
        """Keep mean and standard deviation of "tokens", "semantics" or "Y"; a standard deviation of 0 counts as 1."""
        mean, sd = moments
        self.get_buffer(f"mean_{name}").copy_(mean)
        self.get_buffer(f"sd_{name}").copy_(torch.where(sd > 0, sd, torch.ones_like(sd)))

    def standard(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """Return values about the mean of the fit, in its standard deviations, on the device of the module."""
        mean, sd = self.get_buffer(f"mean_{name}"), self.get_buffer(f"sd_{name}")
        return (values.to(mean) - mean) / sd

    def keep(self, networks: list[nn.Module], chosen: torch.Tensor) -> None:
        """Keep of each network what the targets that chose it need."""
        numbers, part_of = torch.unique(chosen, return_inverse=True)
        self.get_buffer("chosen").copy_(part_of)
        for number in numbers.tolist():
            kept = deepcopy(networks[number])
            for name in cast("tuple[str, ...]", kept.per_target):
                values = kept.get_parameter(name).detach()
                setattr(kept, name, nn.Parameter(values[(chosen == number).to(values.device)]))
            self.parts.append(kept)

    def gather(self, of_part: Callable[[Any], torch.Tensor], axis: int = 0) -> torch.Tensor:
        """Return something of every target, asked of its network, with the targets along `axis`."""
        order = self.get_buffer("chosen").argsort(stable=True)
        return torch.cat([of_part(part) for part in self.parts], dim=axis).index_select(axis, order.argsort())

    def forward(self, tokens: torch.Tensor, semantics: torch.Tensor | None = None) -> torch.Tensor:
        """Return responses (n, n_targets) to tokens (n, n_tokens, n_channels) and semantics (n, n_semantic)."""
        x = self.standard("tokens", tokens)
        z = None if semantics is None else self.standard("semantics", semantics)
        return self.gather(lambda part: part(x, z), axis=1) * self.get_buffer("sd_Y") + self.get_buffer("mean_Y")


@dataclass(kw_only=True, eq=False, repr=False)
class TokenEncoder(regression.MeanScore, BaseEstimator):  # type: ignore[misc]
    """A network between tokens and responses: how it is trained, scored and kept.

    Parameters
    ----------
    epochs, batch_size, learning_rate, weight_decay, patience, mixed_precision, validation, seed, device, checkpoint,
    progress
        As those of `FactorizedReadout`.
    """

    epochs: int = 40
    batch_size: int = 50
    learning_rate: float = 1e-2
    weight_decay: float = 1e-4
    patience: int | None = None
    mixed_precision: bool = False
    validation: float = 1 / 6
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint: str | Path | None = None
    progress: Callable[[regression.Epoch], None] | None = None

    module_: Any = field(init=False)  # what a fit leaves: a network of its own kind
    history_: list[regression.Epoch] = field(init=False)
    validation_r_: regression.Array = field(init=False)

    @property
    def n_parameters_(self) -> int:
        """Number of parameters that are trained."""
        return sum(parameter.numel() for parameter in self.module_.parameters() if parameter.requires_grad)

    @property
    def _options(self) -> dict[str, Any]:
        return {name: value for name, value in self.get_params().items() if name not in NOT_KEPT}

    def predict(self, X: regression.Array, semantics: regression.Array | None = None) -> regression.Array:
        """Return predictions (n_rows, n_targets) for tokens (n_rows, n_tokens, n_channels)."""
        raise NotImplementedError(f"{type(self).__name__} predicts nothing")

    def score_targets(
        self, X: regression.Array, Y: regression.Array, semantics: regression.Array | None = None
    ) -> regression.Array:
        """Return Pearson's r of each target over its measured rows; NaN where either side is constant."""
        predicted = self.predict(X, semantics)
        check_shape("Y", Y.shape, predicted.shape, "predictions have", "give what was measured in these rows")
        measured = regression.as_tensor(Y)
        return regression.same_kind_as(Y)(
            token_inputs.correlations(regression.as_tensor(predicted).to(measured.device), measured)
        )

    def save(self, folder: str | Path) -> None:
        """Write parameters (safetensors) and everything else of the fit (JSON) into a folder."""
        check_is_fitted(self, "module_")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        more, content = self._state()
        tensors = self.module_.state_dict() | {"validation_r": torch.as_tensor(self.validation_r_)} | more
        tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
        write_atomically(folder / "encoder.safetensors", lambda path: save_file(tensors, path))
        history = [tuple(epoch) for epoch in self.history_]
        write_json(
            folder / "encoder.json",
            {"encoder": type(self).__name__, "options": self._options, "history": history, "fitted": content},
        )

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load the encoder that `save` wrote, or raise; it predicts the same, to the bit."""
        folder, remedy = Path(folder), f"give the folder that {cls.__name__}.save wrote"
        if not (folder / "encoder.json").exists():
            raise BrainalignError(f"{folder} holds no encoder.json; {remedy}")
        with reading(folder, "holds no whole encoder", remedy):
            content = read_json(folder / "encoder.json")
            if content["encoder"] != cls.__name__:
                raise BrainalignError(f"{folder} holds a {content['encoder']}; load it with {content['encoder']}.load")
            options: dict[str, Any] = {
                name: tuple(one) if isinstance(one, list) else one for name, one in content["options"].items()
            }
            encoder, tensors = cls(**options), load_file(folder / "encoder.safetensors")
            encoder.history_ = [regression.Epoch(*values) for values in content["history"]]
            encoder.validation_r_ = tensors.pop("validation_r").numpy()
            encoder._restore(tensors, content["fitted"])
            return encoder

    def _state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """List the fitted values besides the network's parameters: tensors, and what JSON can hold."""
        raise NotImplementedError(f"{type(self).__name__} keeps nothing")

    def _restore(self, tensors: dict[str, torch.Tensor], content: dict[str, Any]) -> None:
        """Leave in the encoder what its state holds."""
        raise NotImplementedError(f"{type(self).__name__} restores nothing")


class _FittedReadout:
    """What a fit leaves in a read-out; of a core that targets share, another start would be another core."""

    restarts: int = 1
    module_: Standardised
    fields_: regression.Array
    weights_: regression.Array
    intercept_: regression.Array
    restart_: regression.Array


@dataclass(kw_only=True, eq=False, repr=False)
class Readout(_FittedReadout, TokenEncoder):
    """A network between tokens of a grid and responses, read out by a field and channel weights per target.

    Parameters
    ----------
    epochs, batch_size, learning_rate, weight_decay, schedule, patience, loss, validation, seed, device, checkpoint,
    progress
        As those of `FactorizedReadout`.
    """

    batch_size: int = 100
    schedule: Literal["onecycle", "constant"] = "onecycle"
    loss: Literal["mse", "concordance"] = "mse"

    def network(self, shape: Shape) -> nn.Module:
        """Return a network to start from, its random numbers drawn from torch's generator.

        It maps standardised tokens (n, n_tokens, n_channels) and semantics (n, n_semantic) or None to standardised
        responses (n, n_targets), and has `fields()` (n_targets, rows, cols), `weight` (n_targets, n_channels), `bias`
        (n_targets,) and `per_target`: names of the parameters whose first axis is the targets. One with a `core` has
        fields and weights over the core's maps.
        """
        raise NotImplementedError(f"{type(self).__name__} has no network")

    def starts(self, shape: Shape) -> list[tuple[int, nn.Module]]:
        """Return the seeds of trainings with the networks that they start with."""
        others = np.random.default_rng(self.seed).integers(2**31, size=self.restarts - 1).tolist()
        return [(seed, start(self, shape, seed)) for seed in (self.seed, *others)]

    @property
    def solves(self) -> bool:
        """Whether channel weights are solved for once fields are trained."""
        return self.loss == "mse"

    @property
    def reads_semantics(self) -> bool:
        """Whether `fit` and `predict` need what each image means."""
        return False

    def fit(
        self,
        X: regression.Array,
        Y: regression.Array,
        *,
        groups: regression.Array | None = None,
        grid: tuple[int, int] | None = None,
        roi: regression.Array | None = None,
        semantics: regression.Array | None = None,
    ) -> Self:
        """Fit all targets of Y (n_rows, n_targets; NaN: missing) to X (n_rows, n_tokens, n_channels).

        Rows of one of `groups` are set apart for validation together. `grid` (rows, cols) is required, and `semantics`
        (n_rows, n_semantic: what each image means) by read-outs that read it; what a read-out cannot use raises.
        """
        self._check_options()
        name = type(self).__name__
        regression.refuse(name, roi=roi, semantics=None if self.reads_semantics else semantics)
        if self.reads_semantics and semantics is None:
            raise BrainalignError(f"{name} needs semantics=(n_rows, n_semantic); without them choose another read-out")
        shape = token_inputs.check_fit_arrays(X, Y, grid, semantics)
        rows = regression.carve_validation(len(Y), self.validation, regression.labels_of(groups), self.seed)
        whole = Standardised(shape)  # by training rows; its networks follow
        whole.set_moments("Y", token_inputs.target_scales(Y, rows[0]))
        whole.set_moments("tokens", token_inputs.token_scales(X, rows[0], token_inputs.finite))
        if semantics is not None:
            whole.set_moments("semantics", token_inputs.semantic_moments(semantics, rows[0]))
        whole.to(pick_device(self.device))
        arrays = _Arrays(whole, X, Y, semantics)
        networks: list[nn.Module] = []
        scores: list[torch.Tensor] = []
        self.history_ = []
        for seed, network in self.starts(shape):
            networks.append(network.to(arrays.Y.device))
            self.history_ += regression.train(
                networks[-1],
                arrays.loss_of(networks[-1], LOSSES[self.loss]),
                arrays.score_of(networks[-1]),
                rows,
                regression.Training.of(self),
                seed=seed,
                read=lambda some: (some, arrays.tokens_of(some)),
                checkpoint=None if self.checkpoint is None else Path(self.checkpoint),
                data=(X, Y, semantics, shape, self._options),
                progress=self.progress,
            )
            with torch.no_grad():
                parts = [torch.as_tensor(part) for part in rows]
                r = arrays.solved(network, parts) if self.solves else arrays.correlations_of(network, parts[1])
                scores.append(r.cpu())
        chosen = torch.stack(scores).nan_to_num(-torch.inf).argmax(dim=0)  # the earlier of equal ones
        whole.keep(networks, chosen)
        self.restart_ = regression.same_kind_as(Y)(chosen)
        self.validation_r_ = regression.same_kind_as(Y)(torch.stack(scores).gather(0, chosen[None])[0])
        self._describe(whole, regression.same_kind_as(Y))
        return self

    def predict(self, X: regression.Array, semantics: regression.Array | None = None) -> regression.Array:
        """Return predictions (n_rows, n_targets) for tokens (n_rows, n_tokens, n_channels) and their semantics."""
        check_is_fitted(self, "module_")
        token_inputs.check_predict_arrays(type(self).__name__, self.module_.shape, X, semantics)
        return in_batches(self.module_, self.module_, X, *([] if semantics is None else [semantics]))

    def _check_options(self) -> None:
        check_choice("loss", self.loss, LOSSES)
        if self.restarts < 1:
            raise BrainalignError(f"restarts is {self.restarts}; it must be 1 or more")
        regression.Training.of(self)

    def _describe(self, whole: Standardised, like: Callable[[torch.Tensor], regression.Array]) -> None:
        """Leave the networks in the read-out, and fields, weights and intercepts in the user's units."""
        with torch.no_grad():
            fields = whole.gather(lambda part: part.fields())
            weight, bias = whole.gather(lambda part: part.weight), whole.gather(lambda part: part.bias)
            weights = weight * whole.get_buffer("sd_Y")[:, None]
            intercept = whole.get_buffer("mean_Y") + bias * whole.get_buffer("sd_Y")
            if not hasattr(whole.parts[0], "core"):  # the channels of a core have no unit but their own
                weights = weights / whole.get_buffer("sd_tokens")
                intercept = intercept - fields.sum(dim=(1, 2)) * (weights @ whole.get_buffer("mean_tokens"))
        self.fields_, self.weights_, self.intercept_ = like(fields), like(weights), like(intercept)
        self.module_ = whole.eval()

    def _state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return {"restart": torch.as_tensor(self.restart_)}, self.module_.shape._asdict()

    def _restore(self, tensors: dict[str, torch.Tensor], content: dict[str, Any]) -> None:
        shape = Shape(**content | {"grid": tuple(content["grid"])})
        whole, chosen = Standardised(shape), tensors.pop("restart")
        self.restart_ = chosen.numpy()
        whole.keep([network for _, network in self.starts(shape)], chosen)
        whole.load_state_dict(tensors)
        self._describe(whole.to(pick_device(self.device)), lambda tensor: np.asarray(tensor.cpu()))


def start(readout: Readout, shape: Shape, seed: int) -> nn.Module:
    """Return the network of a read-out as training from a seed starts with it."""
    with seeded(seed):
        return readout.network(shape)


def in_batches(
    whole: Standardised, function: Callable[..., torch.Tensor], first: regression.Array, *others: regression.Array
) -> regression.Array:
    """Return a function of rows of arrays, without gradients, a bounded number of rows at a time."""
    device = whole.get_buffer("chosen").device
    found = token_inputs.in_parts(
        lambda some: function(*(token_inputs.rows_of(array, some, device) for array in (first, *others))),
        torch.arange(len(first)),
        token_inputs.rows_at_once(whole.shape),
    )
    return regression.same_kind_as(first)(found)


class _Arrays:
    """The arrays of a fit as training reads them: responses and semantics standardised once, tokens by batch."""

    def __init__(
        self, whole: Standardised, X: regression.Array, Y: regression.Array, semantics: regression.Array | None
    ) -> None:
        self.whole, self.tokens = whole, X
        self.Y = whole.standard("Y", regression.as_tensor(Y))
        self.semantics = None if semantics is None else whole.standard("semantics", regression.as_tensor(semantics))

    def tokens_of(self, rows: torch.Tensor) -> torch.Tensor:
        return self.whole.standard("tokens", token_inputs.rows_of(self.tokens, rows, self.Y.device))

    def predicted(self, network: Callable[..., Any], rows: torch.Tensor, tokens: torch.Tensor) -> Any:
        return network(tokens, None if self.semantics is None else self.semantics[rows])

    def loss_of(
        self, network: nn.Module, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> Callable[[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
        return lambda batch: loss(self.predicted(network, *batch), self.Y[batch[0]])

    def correlations_of(self, network: nn.Module, rows: torch.Tensor) -> torch.Tensor:
        predicted = lambda some: self.predicted(network, some, self.tokens_of(some))  # noqa: E731
        return token_inputs.correlations(
            token_inputs.in_parts(predicted, rows, token_inputs.rows_at_once(self.whole.shape)), self.Y[rows]
        )

    def solved(self, network: Any, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """Solve for the channel weights of a network, and return r on validation rows before they taught them."""
        seen = lambda some: self.predicted(network.seen, some, self.tokens_of(some))  # noqa: E731
        sizes = *network.weight.shape, max(network.weight.shape[1], network.fields()[0].numel())
        r: Any = None
        for weight, bias in solve(seen, self.Y.__getitem__, rows, token_inputs.rows_at_once(self.whole.shape), sizes):
            network.weight.copy_(weight)
            network.bias.copy_(bias)
            r = self.correlations_of(network, rows[1]) if r is None else r
        return r

    def score_of(self, network: nn.Module) -> Callable[[torch.Tensor], float]:
        """Return the mean validation r over targets, as a function of rows."""
        return lambda rows: float(self.correlations_of(network, rows).nanmean())


def _squared(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error over what was measured."""
    known = ~measured.isnan()
    return torch.where(known, predicted - measured, 0.0).square().sum() / known.sum().clamp(min=1)


def _squared_and_concordance(predicted: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error plus 1 − Lin's concordance over rows and targets."""
    known = ~measured.isnan()
    if not bool(known.any()):
        return _squared(predicted, measured)
    a, b = predicted[known], measured[known]
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    apart = a.var(correction=0) + b.var(correction=0) + (a.mean() - b.mean()).square()
    return _squared(predicted, measured) + 1 - 2 * covariance / apart.clamp(min=1e-12)


LOSSES = {"mse": _squared, "concordance": _squared_and_concordance}
