"""How the networks of this folder are trained: AdamW, clipped gradients, the last or the best validated weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainalign.checks import BrainalignError, check_choice

__all__ = ["History", "batches", "train"]

SCHEDULES = {"one_cycle", "constant"}


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
    """

    losses: NDArray[np.float64]
    validated: NDArray[np.float64]
    chosen: int


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
    max_norm: float = 1.0,
    validate: Callable[[], float] | None = None,
    every: int = 50,
    start: float | None = None,
) -> History:
    """Train modules in place by AdamW.

    Parameters
    ----------
    modules : iterable of Module
        All that is trained; parameters that need no gradient stay as they are.
    loss : callable
        Given the number of the step, returns the loss of its batch.
    n_steps : int
    learning_rate, weight_decay : float
        The rate is the largest one of a one-cycle schedule.
    schedule : {"one_cycle", "constant"}
    max_norm : float
        Gradients are clipped to this norm.
    validate : callable, optional
        Returns a score on validation stimuli, higher is better, without gradients and in evaluation mode. It is asked
        every `every` steps and after the last, and the best weights are kept; without it, the last ones.
    every : int
    start : float, optional
        Validate before the first step, too, and keep those weights unless later ones are better by more than this: what
        chance may do among so many checks is no reason to leave what is known to work.

    Returns
    -------
    History

    Raises
    ------
    BrainalignError
        If the schedule is unknown, there is no step, or the loss is no longer finite.
    """
    check_choice("schedule", schedule, SCHEDULES)
    if n_steps < 1:
        raise BrainalignError(f"n_steps is {n_steps}; train for at least one step")
    trained = nn.ModuleList(modules)
    parameters = [p for p in trained.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    one_cycle = None
    if schedule == "one_cycle":
        one_cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=n_steps)
    losses = np.empty(n_steps)
    validated: list[tuple[float, float]] = []
    best: dict[str, Tensor] = {}
    chosen = n_steps

    def check(step: int) -> None:
        nonlocal best, chosen
        if validate is None:
            return
        trained.eval()
        with torch.no_grad():
            score = validate()
        trained.train()
        before = [v for _, v in validated]
        if start is not None and before:
            before.append(before[0] + start)
        if not before or score > max(before):
            best = {name: tensor.detach().clone() for name, tensor in trained.state_dict().items()}
            chosen = step
        validated.append((step, score))

    trained.train()
    if start is not None:
        check(0)
    for step in range(n_steps):
        value = loss(step)
        losses[step] = value.item()
        if not np.isfinite(losses[step]):
            raise BrainalignError(
                f"the loss is {losses[step]} at step {step + 1} of {n_steps}; lower learning_rate {learning_rate} or "
                "look for values that are not finite"
            )
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(parameters, max_norm)
        optimizer.step()
        if one_cycle is not None:
            one_cycle.step()
        if (step + 1) % every == 0 or step + 1 == n_steps:
            check(step + 1)
    if best:
        trained.load_state_dict(best)
    trained.eval()
    return History(losses, np.array(validated).reshape(-1, 2), chosen)
