"""What was heard and seen while runs went on: sounds and films, cut into rows with an onset, and how long they last."""

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError
from brainalign.datasets.problems import Problem
from brainalign.datasets.studies.continuous import MOST_CUT, ContinuousRuns
from brainalign.io import counting_order, film_length, name_frame, read_sound
from brainalign.study import RunFiles, Study

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
SLACK_S = 60.0  # by which a sound or a film may outlast its run


def film_frames(study: Study) -> pd.DataFrame:
    """List the frames of all films: stimulus_id, run, onset_s, duration_s, path, sampled."""
    parts, fps = [], study.continuous.fps or 1.0
    for run, given in study.continuous.films.items():
        place = study.locate(given, f"continuous.films.{run}")
        if place.is_file():
            paths = [name_frame(place, k / fps) for k in range(int(film_length(place) * fps))]
        else:
            files = [file for file in place.iterdir() if file.suffix.lower() in IMAGES]
            paths = [str(file) for file in sorted(files, key=counting_order)]
        if not paths:
            raise BrainalignError(
                f"continuous.films.{run}: {place} holds no image ({', '.join(IMAGES)}) or no frame at {fps:g} per "
                "second; give a film, or a folder with its frames: ffmpeg -i film.mp4 -vf fps=4 run1/%05d.png"
            )
        parts.append(_rows(run, len(paths), fps, "film").assign(path=paths))
    return pd.concat(parts, ignore_index=True)


def sound_pieces(study: Study, rate_hz: float) -> pd.DataFrame:
    """List what is heard in pieces of 1 / rate_hz: stimulus_id, run, onset_s, duration_s, path, sampled."""
    parts = []
    for run, path in study.continuous.sounds.items():
        place = study.locate(path, f"continuous.sounds.{run}")
        values, rate = read_sound(place)
        parts.append(_rows(run, int(len(values) / rate * rate_hz), rate_hz, "sound").assign(path=str(place)))
    return pd.concat(parts, ignore_index=True)


def sampled_stimuli(study: Study, reads: str, rate_hz: float) -> pd.DataFrame | None:
    """Return the pieces of sounds or the frames of films that a model is given; None where events are its stimuli.

    Parameters
    ----------
    study : Study
    reads : str
        Of its extractor. What reads nothing takes frames, or pieces of sounds, where there are no events.
    rate_hz : float
        Pieces per second.
    """
    signals, events = study.continuous, bool(study.stimuli)
    if reads == "sound" or (signals.sounds and not signals.films and not events):
        return sound_pieces(study, rate_hz)
    return film_frames(study) if signals.films and (reads in ("path", "film") or not events) else None


def signal_lengths(study: Study) -> pd.DataFrame:
    """Measure how long every sound and film lasts: where it stands in the descriptor, run, seconds."""
    rows: list[tuple[str, str, float]] = []
    for run, path in study.continuous.sounds.items():
        values, rate = read_sound(study.locate(path, f"continuous.sounds.{run}"))
        rows.append((f"continuous.sounds.{run}", run, len(values) / rate))
    if study.continuous.films:
        frames = film_frames(study).groupby("run", sort=False).size() / (study.continuous.fps or 1.0)
        rows += [(f"continuous.films.{run}", str(run), float(seconds)) for run, seconds in frames.items()]
    return pd.DataFrame(rows, columns=["where", "run", "seconds"])


def signal_problems(study: Study, subject: str, runs: ContinuousRuns, lengths: pd.DataFrame) -> list[Problem]:
    """Say which sounds and films are shorter than the rows of a run that are kept, or outlast it by far.

    Parameters
    ----------
    study : Study
    subject : str
    runs : ContinuousRuns
    lengths : DataFrame
        As `signal_lengths` gives them.
    """
    files, last = study.recordings[subject], runs.responses.trials.groupby("run")["onset_s"].max()
    assert isinstance(files, RunFiles)
    problems = []
    for where, run, seconds in lengths.itertuples(index=False):
        if run not in last or last[run] - files.step_s <= seconds <= last[run] + SLACK_S:
            continue
        cut = last[run] < seconds < last[run] / (1 - MOST_CUT)
        remedy = (
            "give the whole of it, or trim the end of runs (continuous.trim_s)"
            if seconds < last[run]
            else "right where the recording was cut short, else give that of the run"
            if cut
            else "one run each is wanted, from its start"
        )
        films = f"; or correct fps, which is {study.continuous.fps:g}" if ".films." in where else ""
        what = f"lasts {seconds:.4g} s, but rows of subject {subject} go on to {last[run]:.4g} s: {remedy}{films}"
        problems.append(Problem(where, what, "warning" if cut else "error"))
    return problems


def _rows(run: str, n: int, rate_hz: float, signal: str) -> pd.DataFrame:
    ids = [f"{run}_{signal}{k + 1:06d}" for k in range(n)]
    onsets = np.arange(n) / rate_hz
    return pd.DataFrame(
        {"stimulus_id": ids, "run": run, "onset_s": onsets, "duration_s": 1 / rate_hz, "sampled": signal}
    )
