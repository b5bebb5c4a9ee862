"""encode: fit encoders to one subject, score them on what they were not fitted to, and draw the null."""

from brainalign.pipelines.encode.continuous import encode_continuous
from brainalign.pipelines.encode.held_out import encode_held_out
from brainalign.pipelines.encode.left_out import encode_left_out
from brainalign.workflow import Job


def encode(job: Job) -> None:
    """Fit one method on one model's features to responses; of stimuli that go on every model, alone and jointly."""
    if job.has("runcontrols"):
        encode_continuous(job)
    elif "preference" in job.outputs:
        encode_held_out(job)
    else:
        encode_left_out(job)
