"""The jobs of a run: what they need, cost and depend on."""

from brainalign.workflow.estimates import Cost, estimate
from brainalign.workflow.locks import forget, note, running
from brainalign.workflow.plan import (
    LEAST_SUBJECTS,
    Job,
    group_report_path,
    image_state,
    jobs,
    log_path,
    report_path,
    subjects_of,
    wants_device,
    wants_gpu,
)
from brainalign.workflow.stages import BASE_FILES, STAGES, library_digest, read_settings, settings_file

__all__ = [
    "BASE_FILES",
    "LEAST_SUBJECTS",
    "STAGES",
    "Cost",
    "Job",
    "estimate",
    "forget",
    "group_report_path",
    "image_state",
    "jobs",
    "library_digest",
    "log_path",
    "note",
    "read_settings",
    "report_path",
    "running",
    "settings_file",
    "subjects_of",
    "wants_device",
    "wants_gpu",
]
