"""How features go on: small networks trained to predict the features of coming frames from those of past ones.

The encoder is frozen: they see its features alone. All predict a change of the last frame, standardised over the
training videos; networks are trained on their own predictions, many steps ahead, linear regression on one step.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite
from brainalign.devices import seeded
from brainalign.regression import Ridge, carve_validation, descend

LEAK = 0.5  # share of its state that the continuous-time network renews per frame
UNTRAINED = ("identity", "linear")  # without a loop of training
PENALTIES = np.logspace(-9, 0, 19)  # in shares of the features' variance; smaller ones are lost to rounding
MOST_WINDOWS = 20_000  # that regression reads: of wide features a quarter of a gigabyte
JITTERS = (0.0, 0.3)  # without noise few noisy videos are learned by heart, with it the course of clean ones is blurred


class Identity(nn.Module):
    """Nothing changes; nothing is trained."""

    def __init__(self, n_units: int, n_context: int, width: int) -> None:
        super().__init__()

    def forward(self, context: torch.Tensor, n_steps: int) -> torch.Tensor:
        """Return (n_conditions, n_steps, n_units): what follows context (n_conditions, n_context, n_units)."""
        return context[:, -1:].expand(-1, n_steps, -1)


class Mlp(nn.Module):
    """Two hidden layers look at the last frames, those it made itself included."""

    def __init__(self, n_units: int, n_context: int, width: int) -> None:
        super().__init__()
        self.change: nn.Module = nn.Sequential(
            nn.Linear(n_context * n_units, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, n_units),
        )  # fmt: skip

    def forward(self, context: torch.Tensor, n_steps: int) -> torch.Tensor:
        """Return (n_conditions, n_steps, n_units): what follows context (n_conditions, n_context, n_units)."""
        past, future = context, []
        for _ in range(n_steps):
            future.append(past[:, -1] + self.change(past.flatten(1)))
            past = torch.cat([past[:, 1:], future[-1][:, None]], dim=1)
        return torch.stack(future, dim=1)


class Linear(Mlp):
    """Every change is a weighted sum of the last frames, those it made itself included."""

    def __init__(self, n_units: int, n_context: int, width: int) -> None:
        super().__init__(n_units, n_context, width)
        self.change = nn.Linear(n_context * n_units, n_units, dtype=torch.float64)


class Lstm(nn.Module):
    """Reads the context frame by frame, then its own predictions."""

    def __init__(self, n_units: int, n_context: int, width: int) -> None:
        super().__init__()
        self.cell = self._cell(n_units, width)
        self.change = nn.Linear(width, n_units)

    def _cell(self, n_units: int, width: int) -> nn.Module:
        """Return what makes the next state, its hidden units first, of a frame and the state before, None at first."""
        return nn.LSTMCell(n_units, width)

    def forward(self, context: torch.Tensor, n_steps: int) -> torch.Tensor:
        """Return (n_conditions, n_steps, n_units): what follows context (n_conditions, n_context, n_units)."""
        state: Any = None
        for frame in context.unbind(1):
            state = self.cell(frame, state)
        last, future = context[:, -1], []
        for step in range(n_steps):
            state = self.cell(last, state) if step else state
            last = last + self.change(state[0])
            future.append(last)
        return torch.stack(future, dim=1)


class _LeakyCell(nn.Module):
    def __init__(self, n_units: int, width: int) -> None:
        super().__init__()
        self.input = nn.Linear(n_units, width)
        self.recurrent = nn.Linear(width, width, bias=False)

    def forward(self, frame: torch.Tensor, state: tuple[torch.Tensor] | None) -> tuple[torch.Tensor]:
        h = frame.new_zeros(len(frame), self.recurrent.in_features) if state is None else state[0]
        return ((1 - LEAK) * h + LEAK * torch.relu(self.recurrent(h) + self.input(frame)),)


class Ctrnn(Lstm):
    """A continuous-time network, h' = (1 − a)·h + a·ReLU(W h + U z + b), one Euler step per frame."""

    def _cell(self, n_units: int, width: int) -> nn.Module:
        return _LeakyCell(n_units, width)


# Each rolls standardised features out: context (n, n_context, n_units) to (n, n_steps, n_units).
HEADS: dict[str, Any] = {"identity": Identity, "linear": Linear, "mlp": Mlp, "lstm": Lstm, "ctrnn": Ctrnn}


@dataclass(eq=False, repr=False)
class LatentDynamics(BaseEstimator):  # type: ignore[misc]
    """Learn how the features of videos go on, and roll them out.

    Parameters
    ----------
    head : {"identity", "linear", "mlp", "lstm", "ctrnn"}
        "linear": ridge regression of one step on the frames of the context, the penalty chosen in folds of whole
        videos; what follows `n_context` plays no part.
    n_context : int
        Frames that are seen before a prediction.
    width : int
        Hidden units per layer.
    n_steps : int
        Steps of Adam; 0 leaves the network as it was initialised, which is the control of a trained one.
    batch_size : int
    learning_rate : float
        Highest of a one-cycle schedule.
    seed : int
        Of the initial weights and the batches.
    jitter : float, optional
        Noise on training contexts, in standard deviations of the features, so that a network continues what videos
        share and not the accidents of frames. Not given: none or .3, whichever foretells a quarter of the videos, left
        out, better (three fits for one); of fewer than six videos .3.

    Attributes
    ----------
    jitter_ : float
    losses_ : array (n_steps,)
        Mean squared error in standard deviations of the features.

    References
    ----------
    Nayebi A, Rajalingham R, Jazayeri M, Yang GR (2023). Neural foundations of mental simulation: future prediction of
    latent representations on dynamic scenes. NeurIPS. arXiv:2305.11772

    Examples
    --------
    >>> t = np.arange(20)
    >>> waves = np.stack([np.stack([np.sin(t / 3 + k), np.cos(t / 3 + k)], 1) for k in range(30)])
    >>> model = LatentDynamics("mlp", n_context=3, n_steps=5).fit(waves)
    >>> model.simulate(waves[:2, :3], 10).shape
    (2, 10, 2)
    """

    head: Literal["identity", "linear", "mlp", "lstm", "ctrnn"] = "mlp"
    n_context: int = 7
    width: int = 64
    n_steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0
    jitter: float | None = None

    def fit(self, videos: Values, y: None = None) -> Self:
        """Train on features of videos (n_videos, n_times, n_units), every frame seen.

        Raises
        ------
        BrainalignError
            If the head is unknown, or videos are not finite or not longer than the context.
        """
        check_choice("head", self.head, HEADS)
        exact = np.asarray(videos, dtype=np.float64)
        if exact.ndim != 3 or exact.shape[1] <= self.n_context:
            raise BrainalignError(
                f"videos have shape {exact.shape}; give features (n_videos, n_times, n_units) of more than the "
                f"{self.n_context} frames of the context"
            )
        check_finite("features of the training videos", exact, "leave those videos out")
        self._mean = exact.mean(axis=(0, 1))
        varies = np.ptp(exact, axis=(0, 1)) > 0  # the spread of a constant is rounding, seldom 0
        self._scale = np.where(varies, exact.std(axis=(0, 1)), 1.0)
        data = self._standard(exact)
        self.jitter_ = self._chosen(data) if self.jitter is None else self.jitter
        self._network, self.losses_ = self._train(data, self.jitter_)
        return self

    def _chosen(self, data: torch.Tensor) -> float:
        """Return the noise with which networks of three quarters of the videos foretell the others best."""
        if not self.n_steps or self.head in UNTRAINED:
            return JITTERS[0]
        if len(data) < 6:  # the fewest that validation is carved from
            return JITTERS[-1]
        kept, held = (data[rows] for rows in carve_validation(len(data), 0.25, None, self.seed))
        context, future, errors = held[:, : self.n_context], held[:, self.n_context :], []
        for jitter in JITTERS:
            network, _ = self._train(kept, jitter)
            with torch.no_grad():
                errors.append(float(torch.mean((network(context, future.shape[1]) - future) ** 2)))
        return JITTERS[int(np.argmin(errors))]

    def _train(self, data: torch.Tensor, jitter: float) -> tuple[nn.Module, NDArray[np.float64]]:
        rng = np.random.default_rng(self.seed)
        with seeded(self.seed):
            network = HEADS[self.head](data.shape[2], self.n_context, self.width)
        if self.head == "linear":
            self._regress(network.change, data)
        if not self.n_steps or self.head in UNTRAINED:
            return network, np.zeros(0)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=self.n_steps)
        longest = data.shape[1] - self.n_context

        def losses() -> Iterator[torch.Tensor]:
            for step in range(self.n_steps):
                rows = torch.from_numpy(rng.integers(len(data), size=min(self.batch_size, len(data))))
                # Short futures first: gradients through many steps of an untrained network teach nothing.
                horizon = max(1, min(longest, round(longest * 2 * step / self.n_steps)))
                start = int(rng.integers(longest - horizon + 1))
                seen = data[rows, start : start + self.n_context + horizon]
                context = seen[:, : self.n_context]
                noise = torch.from_numpy(rng.normal(size=context.shape)).float() if jitter else 0.0
                yield torch.mean((network(context + jitter * noise, horizon) - seen[:, self.n_context :]) ** 2)

        return network, descend(losses(), optimizer, schedule, clip=1.0)

    def _regress(self, change: nn.Linear, data: torch.Tensor) -> None:
        """Give a layer the weights that predict every change from the frames before."""
        n_windows = data.shape[1] - self.n_context
        every = -(-len(data) * n_windows // MOST_WINDOWS)
        video, start = np.divmod(np.arange(0, len(data) * n_windows, every), n_windows)
        seen = data[video[:, None], start[:, None] + np.arange(self.n_context + 1)]
        groups = video if len(data) > 1 else 5 * start // n_windows  # of a single video stretches
        before, cv = seen[:, :-1].flatten(1), min(5, len(np.unique(groups)))
        ridge = Ridge(PENALTIES * before.numel(), cv=cv, per_target_alpha=False, device="cpu", dtype="float64")
        ridge.fit(before, seen[:, -1] - seen[:, -2], groups=groups)
        with torch.no_grad():
            change.weight.copy_(ridge.coef_.T)
            change.bias.copy_(ridge.intercept_)

    def _standard(self, exact: Values) -> torch.Tensor:
        standard = torch.from_numpy((exact - self._mean) / self._scale)
        return standard if self.head == "linear" else standard.float()

    def simulate(self, context: Values, n_steps: int) -> NDArray[np.float64]:
        """Return the features of the next frames (n, n_steps, n_units) after a context (n, n_context, n_units)."""
        check_is_fitted(self)
        exact, frame = np.asarray(context, dtype=np.float64), (self.n_context, *self._mean.shape)
        if exact.ndim != 3 or exact.shape[1:] != frame or n_steps < 1:
            raise BrainalignError(
                f"context has shape {exact.shape}, n_steps is {n_steps}; give (n, {frame[0]}, {frame[1]}) and 1 or more"
            )
        with torch.no_grad():
            found = self._network(self._standard(exact), n_steps).double().numpy()
        return np.asarray(found * self._scale + self._mean)
