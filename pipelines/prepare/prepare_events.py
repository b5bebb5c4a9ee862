"""prepare_events: events of stimuli that go on, an id for each: what models are shown; and what stands beside them."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from brainalign.arrays import Values
from brainalign.checks import BrainalignError
from brainalign.datasets import Problem, changed_files, stop_on
from brainalign.datasets.studies import continuous_problems, film_frames, read_events
from brainalign.features import loudness, picture_changes
from brainalign.io import open_pictures, read_sound, write_table
from brainalign.study import Study, load_descriptor
from brainalign.workflow import Job


def prepare_events(job: Job) -> None:
    """Check the events of a study and write them as a table of stimuli, by run and onset; and controls."""
    study = load_descriptor(job.path("descriptor"), raw=job.path("folder"))
    stop_on([Problem(study.name, line) for line in changed_files(study)])
    events = read_events(study)
    stop_on(continuous_problems(study, events))
    job.save("runcontrols", run_controls(study, events), value="of each control, at the middle of its row")
    if "path" in events:
        folder = study.locate(study.stimuli, "stimuli").parent  # type: ignore[arg-type]
        events["path"] = [str((folder / path).resolve()) for path in events["path"]]
    write_table(job.outputs["stimuli"], events)


def run_controls(study: Study, events: pd.DataFrame) -> pd.DataFrame:
    """List what stands beside every model: the rate of events, loudness of sounds, luminance and motion of films."""
    times = ["run", "onset_s", "duration_s"]
    parts = [events[times].assign(control="event rate", sampled="", value=1.0)]
    for run, path in study.continuous.sounds.items():
        middles, values = loudness(*read_sound(study.locate(path, f"continuous.sounds.{run}")))
        rows = {"run": run, "onset_s": middles, "duration_s": 0.0, "control": "sound loudness", "sampled": "sound"}
        parts.append(pd.DataFrame(rows | {"value": values}))
    for _, frames in film_frames(study).groupby("run", sort=False) if study.continuous.films else ():
        shown = frames[[*times, "sampled"]]
        changes = picture_changes(_grey(frames["path"]))
        for control, values in zip(("film luminance", "film motion"), changes, strict=True):
            parts.append(shown.assign(control=control, value=values))
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _grey(paths: pd.Series) -> Iterator[Values]:
    size = None
    for path, picture in zip(paths, open_pictures(paths.tolist()), strict=True):
        frame = np.asarray(picture.convert("L"), dtype=np.float32) / 255
        if size not in (None, frame.shape):
            raise BrainalignError(f"{path}: {frame.shape} pixels, but frames before it {size}; give frames of one size")
        size = frame.shape
        yield frame
