"""The jobs of a run: what they need, cost and depend on."""

from brainalign.workflow.digests import code_digest, reached
from brainalign.workflow.estimates import Cost, estimate
from brainalign.workflow.job import Job
from brainalign.workflow.locks import forget, note, running
from brainalign.workflow.plan import PlannedJob, jobs
from brainalign.workflow.run import Run, group_report_path, image_state, log_path, report_path, wants_gpu
from brainalign.workflow.steps import Step
from brainalign.workflow.table import (
    STEPS,
    incomplete_pages,
    job_of,
    page_jobs,
    page_paths,
    planned,
    settings_of,
    step_digest,
)

__all__ = [
    "STEPS",
    "Cost",
    "Job",
    "PlannedJob",
    "Run",
    "Step",
    "code_digest",
    "estimate",
    "forget",
    "group_report_path",
    "image_state",
    "incomplete_pages",
    "job_of",
    "jobs",
    "log_path",
    "note",
    "page_jobs",
    "page_paths",
    "planned",
    "reached",
    "report_path",
    "running",
    "settings_of",
    "step_digest",
    "wants_gpu",
]
