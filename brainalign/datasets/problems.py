"""What an audit finds: where, what, and whether it stops a run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from brainalign.checks import BrainalignError, listed


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where in the descriptor, what, and what to do about it.

    Attributes
    ----------
    where, what : str
    level : {"error", "warning"}
        An error stops a run; a warning is shown in `check` and in the report.
    rows : tuple of str
        Ids of all the trials, stimuli or targets concerned; `what` names the first ones.
    """

    where: str
    what: str
    level: Literal["error", "warning"] = "error"
    rows: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def listing_faults(fold: pd.DataFrame, known: Iterable[str], lost: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what is wrong with the trials that a fold lists, and which: some twice, some not `known`, none on a side.

    `lost` says where trials that are not known are missing, and what to do; {} stands for the first of them.
    """
    if twice := sorted(set(fold["trial_id"][fold["trial_id"].duplicated()])):
        yield f"{len(twice)} trials occur more than once ({listed(twice)}); make the splits again", tuple(twice)
    if unknown := sorted(set(fold["trial_id"]) - set(known)):
        yield f"{len(unknown)} trials are not {lost.format(listed(unknown))}", tuple(unknown)
    for side in ("train", "test"):
        if side not in set(fold["split"]):
            yield f"there is no {side} trial; make the splits again", ()


def stop_on(problems: Sequence[Problem]) -> None:
    """Raise when a problem is an error, with a line per error; warnings pass."""
    if errors := [str(problem) for problem in problems if problem.level == "error"]:
        raise BrainalignError("\n".join(errors))
