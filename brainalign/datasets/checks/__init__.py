"""What is wrong with a data set: `brainalign check`."""

from brainalign.datasets.checks.blocks import audit
from brainalign.datasets.checks.fetch import fetch_files
from brainalign.datasets.checks.inspection import inspect_responses, inspect_trials, roi_sizes, space_problems
from brainalign.datasets.checks.study_audit import audit_study

__all__ = ["audit", "audit_study"]
