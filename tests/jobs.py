"""Jobs run in the process of a test: one step on given files, or every job of a run."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from brainalign.config import Config
from brainalign.pipelines import run_job
from brainalign.workflow import STEPS, Job, Run, incomplete_pages, job_of, planned

Files = str | Path | Iterable[str | Path]


def run_step(
    step: str,
    settings: Mapping[str, Any] | None = None,
    *,
    inputs: Mapping[str, Files] | None = None,
    outputs: Mapping[str, str | Path] | None = None,
    labels: Mapping[str, str] | None = None,
    seed: int = 0,
) -> int:
    """Run a step on files by suffix, one or several of each; settings travel as JSON, as in a run."""
    whole = {
        name: [Path(files)] if isinstance(files, str | Path) else [Path(file) for file in files]
        for name, files in (inputs or {}).items()
    }
    places = {name: Path(place) for name, place in (outputs or {}).items()}
    chosen = json.loads(json.dumps(settings or {}))
    return run_job(Job(step, chosen, whole, places, labels=labels or {}, seed=seed))


def run_all(config: Config, *steps: str, subjects: Collection[str] = ()) -> None:
    """Run every job of a run in this process, or those of some steps or subjects, in the order of dependence."""
    run = Run(config)
    for step, of in planned(run):
        left_out = subjects and of.get("subject", "") not in ("", *subjects)
        if (not steps or step.name in steps) and not left_out:
            assert run_job(job_of(run, STEPS[step.name], of)) == 0, f"{step.name} {dict(of)}"


def draw_page(config: Config, dataset: str, subject: str | None = None) -> int:
    """Draw the page of a subject, or of a dataset."""
    labels = {"dataset": dataset} if subject is None else {"dataset": dataset, "subject": subject}
    return run_step("report" if subject else "report_group", _whole(config), labels=labels)


def draw_incomplete(config: Config) -> int:
    """Draw pages of whatever there is wherever something failed, as after a failed run."""
    return run_job(incomplete_pages(Run(config, check=False)))


def _whole(config: Config) -> dict[str, Any]:
    return {"configuration": config.model_dump(mode="json")}
