"""Programs of the steps of a run: each is a function of a job, which it loads from and saves to by suffix.

python -P -m brainalign.pipelines JOB.json

Nothing is imported before it is known that the job runs here; see forks.py.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

from brainalign.pipelines.forks import ask, start_forks

if TYPE_CHECKING:
    from pathlib import Path

    from brainalign.workflow import Job

__all__ = ["ask", "run_file", "run_job", "start_forks"]


def run_file(path: str | Path) -> int:
    """Run the job that a file holds; see `run_job`."""
    from brainalign.checks import BrainalignError
    from brainalign.workflow import Job

    try:
        job = Job.read(path)
    except BrainalignError as error:
        print(error, file=sys.stderr)
        return 2
    return run_job(job)


def run_job(job: Job) -> int:
    """Run a job; what a user can mend ends it with one short message instead of a traceback.

    Returns
    -------
    int
        Exit status: 0, or 2 after a BrainalignError.
    """
    from brainalign.checks import BrainalignError
    from brainalign.devices import claim_gpu, visible_gpus
    from brainalign.workflow import STEPS, code_digest

    step = STEPS[job.step]
    job.library = code_digest(f"{step.folder}/{step.name}", tuple(job.without))
    token = claim_gpu(visible_gpus()) if job.gpu else None  # before torch looks for one
    try:
        getattr(importlib.import_module(f"brainalign.pipelines.{step.folder}.{step.name}"), step.name)(job)
    except BrainalignError as error:
        print(f"{step.name} stopped:\n{error}", file=sys.stderr)
        return 2
    finally:
        if token is not None:
            token.close()
    used = os.times()
    print(f"took {used.user + used.system + used.children_user + used.children_system:.1f} seconds of a core")
    return 0
