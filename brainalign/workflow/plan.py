"""What a run will do and what it will cost, before anything runs; the workflow rules use the same numbers."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from brainalign.checks import BrainalignError
from brainalign.config import Config
from brainalign.workflow.estimates import Cost, estimate
from brainalign.workflow.run import Labels, Run
from brainalign.workflow.steps import Step
from brainalign.workflow.table import planned


@dataclass(frozen=True)
class PlannedJob:
    """One job of the workflow: step and rule, main file, log, cost, and when it ends where none waits for a core."""

    stage: str
    rule: str
    dataset: str
    labels: tuple[tuple[str, str], ...]
    output: Path
    log: Path
    cost: Cost
    end_s: int


def jobs(config: Config) -> list[PlannedJob]:
    """List every job of a run, in order of their dependence: it follows from the configuration alone."""
    run, found = Run(config), []
    ends: dict[Path, int] = {}
    for step, of in planned(run):
        labels = {name: label for name, label in of.items() if name != "dataset"}
        cost = estimate(
            step.rule, config, run.descriptors[of["dataset"]], labels.get("model", ""), labels.get("method", "")
        )
        end = cost.seconds + max((ends.get(file, 0) for file in _read(run, step, of)), default=0)
        outputs = list(step.outputs(run, of).values())
        ends |= dict.fromkeys(outputs, end)
        of_job = tuple(labels.items()), outputs[0], run.log(step.name, of), cost, end
        found.append(PlannedJob(step.name, step.rule, of["dataset"], *of_job))
    return found


def _read(run: Run, step: Step, of: Labels) -> Iterator[Path]:
    """Yield the files that a job reads; files of a lab that are not there are none of another job."""
    for read in step.reads.values():
        with suppress(BrainalignError):
            yield from map(Path, read(run, of))
