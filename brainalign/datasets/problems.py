"""What an audit finds: where, what, and whether it stops a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from brainalign.checks import BrainalignError


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


def stop_on(problems: Sequence[Problem]) -> None:
    """Raise when a problem is an error, with a line per error; warnings pass."""
    errors = [str(problem) for problem in problems if problem.level == "error"]
    if errors:
        raise BrainalignError("\n".join(errors))
