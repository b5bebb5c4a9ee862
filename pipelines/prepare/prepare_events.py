"""prepare_events: events of stimuli that go on, an id for each: what models are shown."""

from __future__ import annotations

from brainalign.datasets import Problem, changed_files, continuous_problems, read_events, stop_on
from brainalign.io import write_atomically
from brainalign.study import load_descriptor
from brainalign.workflow import Job


def prepare_events(job: Job) -> None:
    """Check the events of a study and write them as a table of stimuli, by run and onset."""
    study = load_descriptor(job.path("descriptor"))
    stop_on([Problem(study.name, line) for line in changed_files(study)])
    events = read_events(study)
    problems = continuous_problems(study, events)
    stop_on(problems)
    if "path" in events:
        folder = study.locate(study.stimuli, "stimuli").parent  # type: ignore[arg-type]
        events["path"] = [str((folder / path).resolve()) for path in events["path"]]
    place = job.outputs["stimuli"]
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, lambda file: events.to_csv(file, sep="\t", index=False))
