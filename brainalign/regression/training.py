"""Training: the steps that every network takes, and epochs over rows with a checkpoint to go on from.

`descend` is the loop of all wings. `train` makes of it training on responses: rows in batches, held-out rows that
choose the epoch.
"""

import hashlib
import time
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit
from torch import nn

from brainalign.arrays import StoredArray
from brainalign.checks import BrainalignError, check_choice, check_folds
from brainalign.io import load_ahead, write_atomically

LEAST_VALIDATION = 3  # rows: fewer have no correlation to speak of


@dataclass(frozen=True)
class Training:
    """How a network is trained, by AdamW.

    Attributes
    ----------
    epochs, batch_size : int
    learning_rate : float
        The highest of a one-cycle schedule, or of all epochs.
    weight_decay : float
    schedule : {"onecycle", "constant"}
    patience : int, optional
        Epochs without a better validation score after which training stops. Not with "onecycle", whose best epochs
        are its last.
    clip : float, optional
        Largest norm of a gradient.
    mixed_precision : bool
        As of `descend`.

    Raises
    ------
    BrainalignError
        If a number is not positive, the schedule is unknown, or patience is asked of one cycle.
    """

    epochs: int = 40
    batch_size: int = 50
    learning_rate: float = 1e-2
    weight_decay: float = 1e-4
    schedule: Literal["onecycle", "constant"] = "onecycle"
    patience: int | None = None
    clip: float | None = None
    mixed_precision: bool = False

    @classmethod
    def of(cls, options: object, **changes: Any) -> Self:
        """Take the options of an estimator that have these names, and some changes."""
        known = {entry.name: getattr(options, entry.name) for entry in fields(cls) if hasattr(options, entry.name)}
        return cls(**known | changes)

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, {"onecycle", "constant"})
        for name in ("epochs", "batch_size", "learning_rate"):
            if getattr(self, name) <= 0:
                raise BrainalignError(f"{name} is {getattr(self, name)}; it must be positive")
        if self.patience is not None and self.schedule == "onecycle":
            raise BrainalignError("patience is for schedule 'constant': one cycle is best at its end; leave one out")


class Epoch(NamedTuple):
    """Mean training loss, validation score and seconds of an epoch, counted from 1."""

    number: int
    loss: float
    score: float
    seconds: float


def descend(
    losses: Iterable[torch.Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    *,
    clip: float | None = None,
    mixed_precision: bool = False,
) -> NDArray[np.float64]:
    """Take a step down every loss, and return the losses as numbers (n_steps,).

    Parameters
    ----------
    losses : iterable of scalar tensors
        A generator: what follows its `yield` runs after the step, be it a constraint of weights or their validation.
    optimizer, schedule
        The rate changes after every step.
    clip : float, optional
        Largest norm of a gradient.
    mixed_precision : bool
        Compute losses in bfloat16 where that keeps their digits, on a GPU; elsewhere this changes nothing.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    device, iterator = parameters[0].device.type, iter(losses)
    found: list[float] = []
    while True:
        with torch.autocast(device, torch.bfloat16, enabled=mixed_precision and device == "cuda"):
            loss = next(iterator, None)
        if loss is None:
            return np.array(found)
        found.append(loss.item())
        if not np.isfinite(found[-1]):
            raise BrainalignError(
                f"the loss is {found[-1]} at step {len(found)}; lower learning_rate "
                f"({optimizer.defaults['lr']:g}), and look for extreme values in what is learned from"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        if schedule is not None:
            schedule.step()


def carve_validation(
    n_rows: int, share: float, groups: NDArray[Any] | None, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Set a share of the rows apart, in whole groups, 3 at least; return training rows and validation rows."""
    labels = np.arange(n_rows) if groups is None else np.asarray(groups)
    n_groups = len(np.unique(labels))
    if n_groups < 2 or not 0 < share < 1:
        raise BrainalignError(
            f"cannot set {share:g} of {n_groups} group(s) of rows apart for validation; it takes 2 groups and a share "
            "between 0 and 1"
        )
    splitter = GroupShuffleSplit(n_splits=1, test_size=_n_apart(n_groups, share), random_state=seed)
    fitted, held = next(splitter.split(np.zeros((n_rows, 1)), groups=labels))
    check_validation(n_rows, share, n_apart=len(held))
    return fitted, held


def _n_apart(n: int, share: float) -> int:
    """Count the groups, of `n`, that a share of them is: 3 at least, where these are not more than half of all."""
    return min(n - 1, max(1, round(share * n), min(LEAST_VALIDATION, n // 2)))


def check_validation(n: int, share: float, what: str = "rows", n_apart: int | None = None) -> None:
    """Raise where so few of `n` rows, or of what they are, are set apart that no correlation could choose the epoch."""
    n_apart = _n_apart(n, share) if n_apart is None else n_apart
    if n_apart < LEAST_VALIDATION:
        raise BrainalignError(
            f"validation {share:g} of {n} {what} leaves {n_apart} to choose the epoch by; "
            f"{LEAST_VALIDATION} are needed: give {2 * LEAST_VALIDATION} or more"
        )


def train(
    network: nn.Module,
    loss: Callable[[Any], torch.Tensor],
    score: Callable[[torch.Tensor], float],
    rows: tuple[NDArray[np.intp], NDArray[np.intp]],
    how: Training,
    *,
    seed: int,
    read: Callable[[torch.Tensor], Any] | None = None,
    checkpoint: Path | None = None,
    data: Sequence[Any] = (),
    progress: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train in place, keep the parameters of the epoch with the best validation score, and return all epochs.

    The same seed gives the same network, whether or not training was killed and resumed in between.

    Parameters
    ----------
    network : nn.Module
    loss : function of rows (n,) to a scalar tensor
        Mean loss of some training rows.
    score : function of rows (n,) to float
        Of all validation rows, the higher the better; called in evaluation mode without gradients.
    rows : pair of array
        Training rows and validation rows.
    how : Training
    seed : int
    read : function of rows (n,), optional
        Returns what the loss takes instead of rows; threads read the next batches while one is learned from.
    checkpoint : Path, optional
        Folder for the state after each epoch; it is found again by what is trained, on what and how, and deleted at
        the end.
    data : sequence of arrays and options
        What the loss depends on: a checkpoint of a training on others is not gone on from.
    progress : function of Epoch, optional
        Called after each epoch.

    Raises
    ------
    BrainalignError
        If a row trains and validates, or the loss is not finite: features or responses are, or the learning rate is
        too high.
    """
    check_folds([rows], 1 + max(int(np.max(part, initial=0)) for part in rows), ("training", "validation"))
    fitted, held = (torch.as_tensor(part, dtype=torch.long) for part in rows)
    optimizer = torch.optim.AdamW(network.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay, fused=True)
    per_epoch = -(-len(fitted) // how.batch_size)
    schedule = (
        torch.optim.lr_scheduler.OneCycleLR(optimizer, how.learning_rate, total_steps=how.epochs * per_epoch)
        if how.schedule == "onecycle"
        else torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    )
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    options = (sorted(asdict(how).items()), seed)
    state = Checkpoint(parts, checkpoint, *options, *rows, *network.state_dict().values(), *data)
    kept = state.resume() or {"best": _copied(network), "history": []}
    best, history = kept["best"], [Epoch(*values) for values in kept["history"]]
    patience = how.epochs if how.patience is None else how.patience
    while len(history) < how.epochs and not (history and len(history) - 1 - _best(history) >= patience):
        number, start = len(history) + 1, time.monotonic()
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(seed * 1_000_003 + number)  # of its own, so that a resumed run draws the same
            batches = fitted[torch.randperm(len(fitted))].split(how.batch_size)
            network.train()
            given = batches if read is None else (found for _, found in load_ahead(read, batches, 2))
            found = descend(map(loss, given), optimizer, schedule, clip=how.clip, mixed_precision=how.mixed_precision)
        mean = sum(value * len(batch) for value, batch in zip(found.tolist(), batches, strict=True)) / len(fitted)
        network.eval()
        with torch.no_grad():
            history.append(Epoch(number, mean, float(score(held)), time.monotonic() - start))
        if _best(history) == len(history) - 1:
            best = _copied(network)
        state.keep(best=best, history=[tuple(epoch) for epoch in history])
        if progress is not None:
            progress(history[-1])
    network.load_state_dict(best)
    network.eval()
    state.forget()
    return history


def read_state(path: Path | None) -> Any:
    """Return the state that a killed training wrote; None where there is none, or it is damaged, with a warning.

    Nothing but tensors and numbers is read. torch compares no checksums, so they are compared here.
    """
    if path is None or not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is None:
                return torch.load(path, weights_only=True)
    except Exception:  # whatever a damaged file makes zipfile or torch raise
        pass
    warnings.warn(f"{path} is damaged; the training begins afresh", RuntimeWarning, stacklevel=2)
    return None


class Checkpoint:
    """The state of a training on disk, found again by everything that is trained, on what and how.

    Parameters
    ----------
    parts : mapping of objects with state_dict and load_state_dict
        Networks, optimisers and schedules, by name.
    folder : Path or None
        None keeps nothing.
    *identity
        What `digest_of` names the file by.
    """

    def __init__(self, parts: Mapping[str, Any], folder: Path | None, *identity: Any) -> None:
        self.parts = parts
        self.path = None if folder is None else folder / f"{digest_of(*identity)}.pt"

    def resume(self) -> dict[str, Any] | None:
        """Take up where a killed training was; return what it kept besides the parts, or None where there is none."""
        found: dict[str, Any] | None = read_state(self.path)
        if found is not None:
            for name, part in self.parts.items():
                part.load_state_dict(found[name])
        return found

    def keep(self, **more: Any) -> None:
        """Write the parts, and more tensors and numbers, so that a kill leaves no half of a file."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            content = {name: part.state_dict() for name, part in self.parts.items()} | more
            write_atomically(self.path, lambda temporary: torch.save(content, temporary))

    def forget(self) -> None:
        """Delete the file: there is nothing more to resume."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _best(history: Sequence[Epoch]) -> int:
    """Return the place of the epoch with the highest score, the earlier of equal ones."""
    return int(np.argmax([-np.inf if np.isnan(epoch.score) else epoch.score for epoch in history]))


def _copied(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def digest_of(*parts: Any) -> str:
    """Name a fit by everything it is given: arrays or tensors, and options by what they print as."""
    digest = hashlib.sha256()
    for part in parts:
        values = part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else part
        if isinstance(values, np.ndarray | StoredArray) and values.dtype.kind not in "OU":
            digest.update(f"{values.dtype} {values.shape}".encode())
            # One row at a time: they may lie in a file larger than memory.
            for row in values if values.ndim else values[None]:
                digest.update(np.ascontiguousarray(row).data)
        else:
            digest.update(repr(values.tolist() if isinstance(values, np.ndarray) else values).encode())
    return digest.hexdigest()[:16]
