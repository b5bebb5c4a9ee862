"""Which files of a BIDS dataset and its fMRIPrep derivatives belong to one run."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from brainalign.checks import BrainalignError, did_you_mean, listed
from brainalign.io import read_json, reading

RUN_ENTITIES = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run")


@dataclass(frozen=True)
class FmriprepRun:
    """The files of one run.

    Attributes
    ----------
    bold : dict
        One volume series under "", or a surface series under "L" and "R".
    mask : Path or None
        Brain mask of a volume.
    confounds, events : Path
    tr_s, start_s : float
        Repetition time, and when the first volume counts as acquired (fMRIPrep's slice-time reference).
    session, run : str
    """

    bold: dict[str, Path]
    mask: Path | None
    confounds: Path
    events: Path
    tr_s: float
    start_s: float
    session: str
    run: str


@dataclass(frozen=True)
class SeriesFile:
    """One run of a subject, without events: rest, or a film.

    Attributes
    ----------
    subject : str
    bold : Path
        A volume series (.nii, .nii.gz) or grayordinates (.dtseries.nii).
    mask, confounds : Path, optional
        Brain mask of a volume series; fMRIPrep's table.
    tr_s : float, optional
        Repetition time; where not given, the file's own.
    session, run, task : str
    """

    subject: str
    bold: Path
    mask: Path | None = None
    confounds: Path | None = None
    tr_s: float | None = None
    session: str = "1"
    run: str = "1"
    task: str = "rest"


def find_series(
    derivatives: Path,
    subject: str,
    *,
    task: str | None = None,
    space: str | None = None,
    kind: Literal["volume", "cifti"] = "volume",
) -> list[SeriesFile]:
    """Return the preprocessed runs of a subject in the order of sessions and runs; events are not needed.

    Raises BrainalignError if there is no such folder, bold, confounds or repetition time, or several tasks or spaces.

    Parameters
    ----------
    derivatives : Path
        Output folder of fMRIPrep.
    subject : str
        Without "sub-".
    task, space : str, optional
        Needed where there are several.
    kind : {"volume", "cifti"}
        *_desc-preproc_bold.nii.gz, or *_bold.dtseries.nii.
    """
    folder = derivatives / f"sub-{subject}"
    if not folder.is_dir():
        raise BrainalignError(f"{folder}: no such folder; correct the subject or the folder")
    volumes = ("*_desc-preproc_bold.nii.gz", "*_desc-preproc_bold.nii")
    endings = {"volume": volumes, "cifti": ("*_bold.dtseries.nii",)}[kind]
    found = [path for ending in endings for path in folder.rglob(ending)]
    if not found:
        raise BrainalignError(f"{folder}: no {endings[0]}; run fMRIPrep first, or choose the other kind")
    files = []
    for (session, run), parts in _by_run(found, folder, task, space):
        [path] = parts.values()
        mask = path.with_name(path.name.replace("_desc-preproc_bold", "_desc-brain_mask"))
        confounds = _partner(path, folder, "_desc-confounds_timeseries.tsv", "fMRIPrep writes it beside the bold")
        tr_s, of_task = _timing(path, folder, derivatives)[0], _entities(path).get("task", "rest")
        inside = mask if kind == "volume" and mask.exists() else None
        files.append(SeriesFile(subject, path, inside, confounds, tr_s, session, run, of_task))
    return files


def find_runs(
    derivatives: Path, raw: Path, subject: str, *, task: str | None = None, space: str | None = None
) -> list[FmriprepRun]:
    """Return the runs of a subject in the order of sessions and runs."""
    folder, source = derivatives / f"sub-{subject}", raw / f"sub-{subject}"
    for path in (folder, source):
        if not path.is_dir():
            raise BrainalignError(f"{path}: no such folder; correct the subject or the folder in the descriptor")
    found = [*folder.rglob("*_desc-preproc_bold.nii.gz"), *folder.rglob("*_desc-preproc_bold.nii")]
    found += folder.rglob("*_bold.func.gii")
    if not found:
        raise BrainalignError(f"{folder}: no *_desc-preproc_bold.nii.gz and no *_bold.func.gii; run fMRIPrep first")
    return [_run(files, folder, source, raw, *key) for key, files in _by_run(found, folder, task, space)]


def _by_run(
    found: list[Path], folder: Path, task: str | None, space: str | None
) -> list[tuple[tuple[str, str], dict[str, Path]]]:
    """Return session and run, and files by hemisphere ("" of volumes), in the order of sessions and runs."""
    for name, wanted in {"task": task, "space": space}.items():
        found = _only(found, name, wanted, folder)
    runs: dict[tuple[str, str], dict[str, Path]] = {}
    for path in sorted(found):
        entities = _entities(path)
        files = runs.setdefault((entities.get("ses", "1"), entities.get("run", "1")), {})
        hemi = entities.get("hemi", "")
        if hemi in files:
            remedy = "keep one of them in the folder given"
            raise BrainalignError(f"{files[hemi].name} and {path.name} are the same run; {remedy}")
        files[hemi] = path
    return sorted(runs.items(), key=lambda run: [(int(part) if part.isdigit() else 0, part) for part in run[0]])


def _entities(path: Path) -> dict[str, str]:
    return dict(re.findall(r"(?:^|_)([a-z]+)-([A-Za-z0-9]+)", path.name))


def _only(paths: list[Path], name: str, wanted: str | None, folder: Path) -> list[Path]:
    """Return the paths of one task or space, refusing to choose among several."""
    values = sorted({_entities(path).get(name, "") for path in paths})
    if wanted is None and len(values) > 1:
        shown = [value or "(none)" for value in values]
        raise BrainalignError(f"{folder}: bold of {len(values)} {name}s ({listed(shown, 8)}); give {name}: one of them")
    if wanted is not None and wanted not in values:
        remedy = f"there is {listed(values, 8)}"
        raise BrainalignError(f"{folder}: no bold with {name} {wanted!r}{did_you_mean(wanted, values)}; {remedy}")
    return [path for path in paths if wanted is None or _entities(path).get(name, "") == wanted]


def _run(files: dict[str, Path], folder: Path, source: Path, raw: Path, session: str, run: str) -> FmriprepRun:
    if set(files) not in ({""}, {"L", "R"}):
        remedy = "give a volume, or L and R"
        raise BrainalignError(f"{next(iter(files.values()))}: found hemispheres {sorted(files)} of this run; {remedy}")
    bold, mask = next(iter(files.values())), None
    if "" in files:
        mask = bold.with_name(bold.name.replace("_desc-preproc_bold", "_desc-brain_mask"))
        mask = mask if mask.exists() else None
    tr_s, start_s = _timing(bold, source, raw)
    return FmriprepRun(
        files,
        mask,
        _partner(bold, folder, "_desc-confounds_timeseries.tsv", "fMRIPrep writes it beside the bold"),
        _partner(bold, source, "_events.tsv", "write when each stimulus was shown (BIDS events)", raw),
        tr_s,
        start_s,
        session,
        run,
    )


def _partner(bold: Path, folder: Path, suffix: str, remedy: str, root: Path | None = None) -> Path:
    """Return the file of the same subject, session, task and run; a file at the root holds for all subjects."""
    wanted = {key: value for key, value in _entities(bold).items() if key in RUN_ENTITIES}
    for path in sorted(folder.rglob(f"*{suffix}")):
        if {key: value for key, value in _entities(path).items() if key in RUN_ENTITIES} == wanted:
            return path
    inherited = root / f"task-{wanted.get('task')}{suffix}" if root else None
    if inherited and inherited.exists():
        return inherited
    stem = "_".join(f"{key}-{value}" for key, value in wanted.items())
    raise BrainalignError(f"{folder}: no {stem}{suffix}; {remedy}")


def _timing(bold: Path, source: Path, raw: Path) -> tuple[float, float]:
    """Return repetition time and time of the first volume, from the nearest sidecar that says so."""
    entities = _entities(bold)
    stem = "_".join(f"{key}-{entities[key]}" for key in RUN_ENTITIES if key in entities)
    own = bold.with_name(re.sub(r"\.((dtseries\.)?nii(\.gz)?|func\.gii)$", ".json", bold.name))
    places = [own, *sorted(source.rglob(f"{stem}_bold.json")), raw / f"task-{entities.get('task')}_bold.json"]
    for path in places:
        if path.exists():
            content = read_json(path, "not readable JSON")
            if "RepetitionTime" in content:
                with reading(path, "RepetitionTime or StartTime is no number", "write seconds"):
                    return float(content["RepetitionTime"]), float(content.get("StartTime", 0))
    remedy = f"add it (in seconds) to {own.name}"
    raise BrainalignError(f"{bold}: RepetitionTime is in none of {listed([path.name for path in places])}; {remedy}")
