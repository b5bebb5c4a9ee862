"""What a run will do and what it will cost, before anything runs; the workflow rules use the same numbers."""

from dataclasses import dataclass
from pathlib import Path

from brainalign.config import Config
from brainalign.workflow.estimates import Cost, estimate
from brainalign.workflow.run import Run
from brainalign.workflow.table import planned


@dataclass(frozen=True)
class PlannedJob:
    """One job of the workflow: its step and rule, its main file, its log and what it will cost."""

    stage: str
    rule: str
    dataset: str
    labels: tuple[tuple[str, str], ...]
    output: Path
    log: Path
    cost: Cost


def jobs(config: Config) -> list[PlannedJob]:
    """List every job of a run, in order of their dependence: it follows from the configuration alone."""
    run, found = Run(config), []
    for step, of in planned(run):
        labels = {name: label for name, label in of.items() if name != "dataset"}
        cost = estimate(
            step.rule, config, run.descriptors[of["dataset"]], labels.get("model", ""), labels.get("method", "")
        )
        output = next(iter(step.outputs(run, of).values()))
        found.append(
            PlannedJob(step.name, step.rule, of["dataset"], tuple(labels.items()), output, run.log(step.name, of), cost)
        )
    return found
