"""The jobs of a run: what they need, cost and depend on."""

from brainalign.workflow.digests import code_digest, reached
from brainalign.workflow.estimates import estimate as estimate
from brainalign.workflow.job import Job as Job
from brainalign.workflow.locks import forget, note, running
from brainalign.workflow.plan import PlannedJob, jobs
from brainalign.workflow.run import Run, image_state, log_path, report_path, wants_gpu
from brainalign.workflow.steps import Step as Step
from brainalign.workflow.table import STEPS as STEPS
from brainalign.workflow.table import changes_of as changes_of
from brainalign.workflow.table import incomplete_pages as incomplete_pages
from brainalign.workflow.table import job_of as job_of
from brainalign.workflow.table import page_jobs as page_jobs
from brainalign.workflow.table import page_paths as page_paths
from brainalign.workflow.table import planned as planned
from brainalign.workflow.table import settings_of as settings_of
from brainalign.workflow.table import step_digest as step_digest
