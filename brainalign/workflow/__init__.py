"""The jobs of a run: what they need, cost and depend on."""

from brainalign.workflow.digests import code_digest as code_digest
from brainalign.workflow.digests import reached as reached
from brainalign.workflow.estimates import estimate as estimate
from brainalign.workflow.job import Job as Job
from brainalign.workflow.locks import forget as forget
from brainalign.workflow.locks import note as note
from brainalign.workflow.locks import running as running
from brainalign.workflow.plan import PlannedJob as PlannedJob
from brainalign.workflow.plan import jobs as jobs
from brainalign.workflow.run import Run as Run
from brainalign.workflow.run import group_report_path as group_report_path
from brainalign.workflow.run import image_state as image_state
from brainalign.workflow.run import log_path as log_path
from brainalign.workflow.run import report_path as report_path
from brainalign.workflow.run import wants_gpu as wants_gpu
from brainalign.workflow.steps import Step as Step
from brainalign.workflow.table import STEPS as STEPS
from brainalign.workflow.table import incomplete_pages as incomplete_pages
from brainalign.workflow.table import job_of as job_of
from brainalign.workflow.table import page_jobs as page_jobs
from brainalign.workflow.table import page_paths as page_paths
from brainalign.workflow.table import planned as planned
from brainalign.workflow.table import settings_of as settings_of
from brainalign.workflow.table import step_digest as step_digest
