"""How the networks of this folder are trained: AdamW, clipped gradients, the last or the best validated weights."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainalign.checks import BrainalignError, check_choice
from brainalign.regression import descend

SCHEDULES = {"one_cycle", "constant", "plateau"}
WARM_UP = 100  # steps to the full rate of a plateau schedule
DROPS = 2  # of the rate, before training ends
FACTOR = 0.2  # of the rate at each
LEAST_GAIN = 1e-3  # of a validated value's size; what is less is no improvement


@dataclass(frozen=True)
class History:
    """What training went through.

    Attributes
    ----------
    losses : array (n_steps,)
    validated : array (n_checks, 2)
        Step and validated value; empty where nothing was validated.
    chosen : int
        The step after which the weights that were kept were reached.
    converged : bool or None
        Whether the validated value stopped improving before the steps were used up; None where nobody asked.
    """

    losses: NDArray[np.float64]
    validated: NDArray[np.float64]
    chosen: int
    converged: bool | None = None


def batches(n: int, size: int, n_steps: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Yield rows for `n_steps` steps: every row once, in new order, before any comes again; what is left over waits.

    Parameters
    ----------
    n : int
        How many rows there are.
    size : int
        Rows of a batch; `n` where there are fewer.
    n_steps : int
    rng : Generator
    """
    size = min(size, n)
    order, at = rng.permutation(n), 0
    for _ in range(n_steps):
        if at + size > n:
            order, at = rng.permutation(n), 0
        yield order[at : at + size]
        at += size


def train(
    modules: Iterable[nn.Module],
    loss: Callable[[int], Tensor],
    n_steps: int,
    *,
    learning_rate: float,
    weight_decay: float,
    schedule: str = "one_cycle",
    validate: Callable[[], float] | None = None,
    every: int = 50,
    start: float | None = None,
    patience: int = 300,
) -> History:
    """Train modules in place by AdamW; gradients are clipped to norm 1.

    Parameters
    ----------
    modules : iterable of Module
        All that is trained; parameters that need no gradient stay as they are.
    loss : callable
        Given the number of the step, returns the loss of its batch.
    n_steps : int
        The most there are with "plateau".
    learning_rate, weight_decay : float
        The rate is the largest one of a schedule.
    schedule : {"one_cycle", "constant", "plateau"}
        "plateau": the rate falls where the validated value has not improved for `patience` steps, and training goes on
        from the best weights; where the value does not improve at the smallest rate either, training ends.
    validate : callable, optional
        Returns a score on validation stimuli, higher is better, without gradients and in evaluation mode. It is asked
        every `every` steps and after the last, and the best weights are kept; without it, the last ones.
    every : int
    start : float, optional
        Validate before the first step, too, and keep those weights unless later ones are better by more than this: what
        chance may do among so many checks is no reason to leave what is known to work.
    patience : int
        Steps, of "plateau".

    Raises
    ------
    BrainalignError
        If the schedule is unknown or lacks validation, there is no step, or the loss is no longer finite.
    """
    check_choice("schedule", schedule, SCHEDULES)
    if schedule == "plateau" and validate is None:
        raise BrainalignError("schedule 'plateau' needs validation to see when training may end; give validate")
    if n_steps < 1:
        raise BrainalignError(f"n_steps is {n_steps}; train for at least one step")
    trained = nn.ModuleList(modules)
    parameters = [p for p in trained.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    rates: torch.optim.lr_scheduler.OneCycleLR | torch.optim.lr_scheduler.LambdaLR | None = None
    if schedule == "one_cycle":
        rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=n_steps)
    elif schedule == "plateau":
        warm = min(WARM_UP, max(1, n_steps // 10))
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm))
    kept, drops = _Best(trained, patience, start), 0
    converged = False if schedule == "plateau" else None

    def check(step: int) -> None:
        if validate is None:
            return
        trained.eval()
        with torch.no_grad():
            kept.see(step, validate())
        trained.train()

    def steps() -> Iterator[Tensor]:
        nonlocal converged, drops
        for step in range(n_steps):
            yield loss(step)
            if (step + 1) % every and step + 1 < n_steps:
                continue
            check(step + 1)
            if schedule == "plateau" and rates is not None and kept.stands_still():
                if drops == DROPS:
                    converged = True
                    return
                drops += 1
                kept.take_back()
                rates.base_lrs = [FACTOR * rate for rate in rates.base_lrs]
                for group in optimizer.param_groups:
                    group["lr"] *= FACTOR

    trained.train()
    if start is not None:
        check(0)
    losses = descend(steps(), optimizer, rates, clip=1.0)
    kept.take_back()
    trained.eval()
    return History(losses, np.array(kept.values).reshape(-1, 2), kept.chosen if kept.values else len(losses), converged)


class _Best:
    """The best weights so far, and since when nothing was better (than the first by `start`)."""

    def __init__(self, module: nn.Module, patience: int, start: float | None = None) -> None:
        self.module, self.patience, self.start = module, patience, start
        self.values: list[tuple[int, float]] = []
        self.weights: dict[str, Tensor] = {}
        self.chosen = self.since = 0
        self.best = self.reference = -np.inf

    def see(self, step: int, value: float) -> None:
        """Take note of a value, higher is better, and keep the weights where it is the best."""
        least = self.best
        if self.start is not None and self.values:
            least = max(least, self.values[0][1] + self.start)
        self.values.append((step, value))
        if not self.weights or value > least:
            self.best, self.chosen = value, step
            self.weights = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
        if not np.isfinite(self.reference) or value > self.reference + LEAST_GAIN * abs(self.reference):
            self.reference, self.since = value, step

    def stands_still(self) -> bool:
        """Return whether the score did not improve for `patience` steps; if so, start the count anew."""
        step = self.values[-1][0]
        if step - self.since < self.patience:
            return False
        self.since = step
        return True

    def take_back(self) -> None:
        """Give the module the best weights, where there are any."""
        if self.weights:
            self.module.load_state_dict(self.weights)
