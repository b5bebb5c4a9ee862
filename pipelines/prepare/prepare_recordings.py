"""prepare_recordings: M/EEG recordings of one subject to epochs with a category each."""

from brainalign.datasets import Problem, changed_files, stop_on
from brainalign.datasets.formats import copied_recordings, response_copies
from brainalign.datasets.studies import read_categories
from brainalign.workflow import Job


def prepare_recordings(job: Job) -> None:
    """Check the recordings of one subject and save their epochs, with how many were rejected."""
    subject, descriptor = job.labels["subject"], job.study()
    stop_on([Problem(descriptor.name, line) for line in changed_files(descriptor)])
    responses = read_categories(descriptor, subject)
    copies = copied_recordings(descriptor, subject)
    copies += response_copies(responses, f"{descriptor.name}: recordings.{subject}")
    stop_on(copies)
    counts = responses.trials.groupby("run", sort=False)["category"].value_counts().unstack(fill_value=0)
    job.save(
        "responses",
        responses,
        n_trials=len(responses.trials),
        warnings=[str(problem) for problem in copies],
        n_rejected=responses.trials.attrs["n_rejected"],
        n_bad_sensors=responses.targets.attrs.get("n_dropped", 0),
        trials_by_recording={str(run): {str(k): int(n) for k, n in row.items()} for run, row in counts.iterrows()},
    )
