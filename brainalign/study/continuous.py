"""Stimuli that go on: words of a story, frames of a film, with responses of every volume or sample of a run.

RunFiles           the runs of one subject: volumes, or tables of targets over time
with_runs          the files of a pattern such as bold/*.hf5, by run
with_signals       the sounds and films of a pattern, by run
ContinuousOptions  how features and responses meet on one clock: delays, trimming, filtering
"""

import math
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from brainalign.checks import did_you_mean, listed
from brainalign.io import array_shapes, chosen_array, read_json
from brainalign.study.parsing import Name, Paths, Strict
from brainalign.study.responses import Hemisphere, RawOptions, RepetitionTime

OWN_SPACES = ("", "scanner", "of the scanner", "native", "individual", "t1w", "fsnative")  # of one brain alone
LONGEST_DELAY_S = 60.0
KINDS = {
    ".dtseries.nii": "grayordinates",
    ".nii": "volumes",
    ".nii.gz": "volumes",
    ".gii": "surfaces",
    ".mgh": "surfaces",
    **dict.fromkeys((".fif", ".fif.gz", ".vhdr", ".edf", ".bdf", ".set"), "recordings"),
}
HAEMODYNAMIC_S = 0.3  # rows at least so far apart are volumes, whose responses are slow


class RunFiles(Strict):
    """The runs of one subject while a stimulus went on: a row per volume or sample."""

    gives: ClassVar[str] = "continuous"

    format: Literal["runs"]
    files: dict[str, Paths] = Field(
        min_length=2,
        description="by run: 4-D NIfTI with mask; GIFTI or .mgh of the left hemisphere; .dtseries.nii; M/EEG that MNE "
        "reads (.vhdr, .fif, .edf, .bdf, .set); or .npy, .npz, .h5, .mat, .zarr of (rows, targets). Several where the "
        "same stimulus was shown again: their mean is fitted, ceilings come from them. Or a pattern such as bold/*.h5, "
        "whose * is the run",
    )
    right: dict[str, Paths] = Field({}, description="the right hemisphere, where files are the left")
    mask: Paths | None = Field(
        None, description="NIfTI, non-zero inside; needed for volumes. Of several what is inside all"
    )
    rois: dict[str, Path] = Field({}, description="label files: by hemisphere on surfaces, by name in volumes")
    key: str | None = Field(
        None,
        description="which array, where files hold several; its * is the run where one file holds all runs, its ? any "
        "letter",
    )
    derivatives: str | None = Field(
        None, description="of fMRIPrep, instead of files: files, mask, confounds and tr_s are found there"
    )
    participant: str | None = Field(
        None, description="of derivatives, without sub-, where it is not the name of the recording"
    )
    task: str | None = Field(None, description="of derivatives; all where not given, a story each")
    confounds: dict[str, Paths] = Field(
        {}, description="by run: table with a row per volume, whose columns continuous.confounds are regressed out"
    )
    repeats: str | None = Field(
        None, description="an array of (presentations, rows, targets), taken instead in the files that hold it"
    )
    first_row_s: float = Field(
        0.0, description="when the first row begins, s from the start of the stimulus: later where rows were cut before"
    )
    start_event: str | None = Field(
        None, description="of M/EEG recordings: the trial_type at which the stimulus begins; else the first sample"
    )
    targets: Path | None = Field(None, description="of arrays: a row per target, target_id, and roi, x_mm ... if known")
    atlas: Path | None = Field(None, description="of arrays of parcels: as for format array")
    surfaces: dict[Hemisphere, Path] = Field({}, description="of vertices: as for format betas")
    tr_s: RepetitionTime | None = Field(None, gt=0, description="seconds from row to row of volumes")
    sfreq_hz: float | None = Field(
        None, gt=0, description="rows per second of M/EEG, ECoG or spikes, instead of tr_s; recordings are resampled"
    )
    space: str = Field("", description="in words: what coordinates mean, such as MNI152")

    @model_validator(mode="after")
    def _has_a_clock(self) -> Self:
        if (self.tr_s is None) == (self.sfreq_hz is None):
            raise ValueError("give tr_s (volumes) or sfreq_hz (samples), one of them: rows have no clock without")
        sorts = {kind_of(path) for path in self.paths}
        if self.kind != "arrays" and (self.key or self.repeats):
            raise ValueError(f"key and repeats name arrays, but the files are {self.kind}; leave them out")
        if (self.kind == "recordings" and self.sfreq_hz is None) or (self.start_event and self.kind != "recordings"):
            raise ValueError("recordings of M/EEG take sfreq_hz, and are resampled to it; only they have start_event")
        if len(sorts) > 1 or (self.kind == "volumes") > (self.mask is not None):
            raise ValueError("runs are volumes with a mask, or arrays: give mask, or one sort of files for all runs")
        if (self.kind == "surfaces") != bool(self.right):
            raise ValueError("right: of surfaces files are the left hemisphere, right the other, run by run; give both")
        for run in self.files if self.right else ():
            if len(_listed(self.right.get(run, ()))) != len(self.presentations(run)):
                raise ValueError(f"right: {run} has other files than on the left; give every run on both sides")
        if lost := [run for run in self.files if self.confounds and run not in self.confounds]:
            raise ValueError(f"confounds: there are none of {listed(lost)}; give a table for every run")
        return self

    @property
    def paths(self) -> list[Path]:
        """Every file, in order."""
        return [path for run in self.files for path in self.presentations(run)]

    @property
    def kind(self) -> str:
        """What files hold: volumes, surfaces, grayordinates, recordings or arrays."""
        return kind_of(self.paths[0])

    def presentations(self, run: str) -> list[Path]:
        """List the files of a run: one for every time that it was presented."""
        return _listed(self.files[run])

    def confounds_of(self, run: str) -> tuple[Path, ...]:
        """List the tables of confounds of a run: one for every time that it was presented, or none."""
        return tuple(_listed(self.confounds.get(run, ())))

    def both_sides(self, run: str) -> list[Path | dict[str, Path]]:
        """List the files of a run as `presentations`; of surfaces by hemisphere."""
        if not self.right:
            return list(self.presentations(run))
        pairs = zip(self.presentations(run), _listed(self.right[run]), strict=True)
        return [{"L": left, "R": right} for left, right in pairs]

    def array_of(self, path: Path, run: str) -> str:
        """Return the name of the array of a file that is read for a run; raises as `chosen_array` does."""
        again = self.repeats is not None and self.repeats in array_shapes(path)
        if self.key is None or "*" not in self.key or again:
            return chosen_array(path, self.repeats if again else self.key)
        names = [name for name in array_shapes(path) if fnmatchcase(name, self.key.replace("*", run))]
        return chosen_array(path, names[0] if len(names) == 1 else self.key)

    @property
    def step_s(self) -> float:
        """Seconds from row to row."""
        return float(self.tr_s or 1 / float(self.sfreq_hz or 1))

    @property
    def slow(self) -> bool:
        """Whether responses are haemodynamic, as rows that lie so far apart say."""
        return self.step_s >= HAEMODYNAMIC_S


def _listed(files: Path | tuple[Path, ...]) -> list[Path]:
    return [files] if isinstance(files, Path) else list(files)


def kind_of(path: Path) -> str:
    """Name the kind of a file of a run: volumes, surfaces, grayordinates, recordings of M/EEG or arrays."""
    return next((kind for ending, kind in KINDS.items() if path.name.endswith(ending)), "arrays")


def with_runs(name: str, files: Any, places: Iterable[Path], downloads: Iterable[str]) -> Any:
    """Fill in the files of a recording by run where its descriptor gives a pattern of them.

    `files` is what YAML says of the recording, `places` the folders that are looked into, in order, and `downloads` the
    paths that can be fetched where no place has such files.
    """
    if not isinstance(files, dict) or files.get("format") != "runs":
        return files
    if files.get("derivatives") is not None:
        files = _of_fmriprep(name, files, list(places))
    for field in ("files", "right", "confounds"):
        if isinstance(pattern := files.get(field), str):
            files = files | {field: _fitting(f"recordings.{name}.{field}", pattern, files, list(places), downloads)}
    return files


def _of_fmriprep(name: str, files: dict[str, Any], places: list[Path]) -> dict[str, Any]:
    """Fill in the files of a recording: those of a participant that fMRIPrep has preprocessed."""
    given, participant = str(files["derivatives"]), str(files.get("participant") or name)
    place = next((place for place in places if (place / given / f"sub-{participant}").is_dir()), None)
    if place is None:
        raise ValueError(f"recordings.{name}: no folder sub-{participant} in {given}; correct derivatives, participant")
    paths = sorted((place / given / f"sub-{participant}").rglob("*_bold.*"))
    paths = [at for at in paths if re.search(r"(_desc-preproc_bold\.nii(\.gz)?|\.func\.gii|\.dtseries\.nii)$", at.name)]
    for entity in ("task", "space"):
        there = sorted({_entities(path).get(entity, "") for path in paths})
        if (wanted := files.get(entity)) is not None:
            paths = [path for path in paths if _entities(path).get(entity) == wanted]
        if not paths or (entity == "space" and wanted is None and len(there) > 1):
            raise ValueError(
                f"recordings.{name}.{entity}: {wanted or 'not given'}, and there is {listed(there, 9) or 'no bold'}; "
                "give one of them"
            )
    found: dict[str, Any] = {"files": {}, "right": {}, "confounds": {}}
    masks = []
    for path in paths:
        named = _entities(path)
        run = "_".join(f"{key}-{named[key]}" for key in ("task", "acq", "dir", "run") if key in named)
        side = "right" if named.get("hemi") == "R" else "files"
        if run in found[side]:
            raise ValueError(
                f"recordings.{name}: {found[side][run].name} and {path.name} are one run; give task, or list files"
            )
        found[side][run] = path.relative_to(place)
        stem = "_".join(
            f"{key}-{named[key]}" for key in ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run") if key in named
        )
        found["confounds"][run] = path.relative_to(place).with_name(f"{stem}_desc-confounds_timeseries.tsv")
        masks.append(path.relative_to(place).with_name(path.name.replace("_desc-preproc_bold", "_desc-brain_mask")))
    if kind_of(paths[0]) == "volumes":
        found["mask"] = masks
    sidecar = paths[0].with_name(re.sub(r"\.((dtseries\.)?nii(\.gz)?|func\.gii)$", ".json", paths[0].name))
    if sidecar.exists() and "sfreq_hz" not in files:
        found["tr_s"] = read_json(sidecar).get("RepetitionTime")
    return found | {"space": there[0]} | files


def _entities(path: Path) -> dict[str, str]:
    return dict(part.split("-", 1) for part in path.name.split("_") if "-" in part)


def with_signals(options: Any, places: Iterable[Path], downloads: Iterable[str]) -> Any:
    """Fill in sounds and films by run where a descriptor gives patterns of them under continuous; see `with_runs`."""
    given = options if isinstance(options, dict) else {}
    patterns = {kind: given[kind] for kind in ("sounds", "films") if isinstance(given.get(kind), str)}
    at = list(places)
    fitting = {kind: _fitting(f"continuous.{kind}", each, {}, at, downloads) for kind, each in patterns.items()}
    return {**given, **fitting} if fitting else options


def _fitting(
    name: str, pattern: str, files: dict[str, Any], places: list[Path], downloads: Iterable[str]
) -> dict[str, Path]:
    """Return the files of a pattern by run; see `with_runs`."""
    given, key = Path(pattern), str(files.get("key"))
    whole = next((place / given for place in places if (place / given).is_file()), None)
    if whole is not None and "*" in key:
        shape = re.escape(key).replace(r"\*", "(.+)").replace(r"\?", ".")
        runs = [match[1] for array in array_shapes(whole) if (match := re.fullmatch(shape, array))]
        if not runs or len(set(runs)) < len(runs) or key.count("*") != 1:
            raise ValueError(
                f"{name.removesuffix('.files')}.key: {key} gives {listed(runs) or 'no runs'} of the arrays "
                f"{listed(list(array_shapes(whole)))}; write one * for the run, which names one array each"
            )
        return dict.fromkeys(runs, given)
    if pattern.count("*") != 1 or "*" not in given.name:
        raise ValueError(
            f"{name}: {pattern} has not one * in the name of the file, which stands for the run; "
            "write bold/*.h5, or list the files: {run1: bold/run1.h5, ...}"
        )
    before, after = map(len, given.name.split("*"))
    for fits in (
        *([path.name for path in (place / given.parent).glob(given.name)] for place in places),
        [Path(path).name for path in downloads if fnmatchcase(path, pattern)],
    ):
        if names := sorted(file for file in fits if not file.startswith(".")):
            return {file[before : len(file) - after]: given.with_name(file) for file in names}
    raise ValueError(f"{name}: no file fits {pattern} in {listed([str(place) for place in places])}; correct it")


class ContinuousOptions(Strict):
    """How features and responses of a stimulus that goes on meet: None is what suits the clock of the recording."""

    delays_s: tuple[float, ...] | None = Field(
        None, min_length=1, description="of volumes about 2 s apart, alike, to 8 s or more; of samples -0.1 to 0.6 s"
    )
    hrf: Literal["spm"] | None = Field(
        None, description="of volumes, in place of delays: SPM's response function with both derivatives"
    )
    trim_s: tuple[float, float] | None = Field(
        None, description="left out at the start and the end of every run: 20 and 10 s of volumes, nothing of samples"
    )
    tier: str | None = Field(
        None, description="of TextGrids in a folder of stimuli: which holds the events; words, or the only one"
    )
    sounds: dict[str, Path] = Field(
        {}, description="by run: what was heard, .wav or a film, from the start of the run; or a pattern: sounds/*.wav"
    )
    films: dict[str, Path] = Field(
        {}, description="by run: what was seen, a film or a folder with an image per frame, from its start; with fps"
    )
    fps: float | None = Field(
        None, gt=0, description="frames per second in folders of films, or to be read from a film"
    )
    test_sets: dict[Name, tuple[str, ...]] = Field(
        {}, description="runs by name of a set that is never trained on, such as other stories: scored beside the rest"
    )
    raw: RawOptions = Field(RawOptions(), description="what MNE does to recordings of M/EEG, before they are resampled")
    resample: Literal["lanczos", "mean"] = Field(
        "lanczos", description="of sounds and films: low-passed by that kernel, or the mean of what lies in each row"
    )
    detrend: Literal["linear", "none"] = Field("linear", description="of every target, within runs")
    confounds: tuple[str, ...] = Field(
        ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"),
        description="columns, or patterns such as a_comp_cor_0*, regressed out where recordings have confounds",
    )
    high_pass_hz: float | None = Field(
        None, ge=0, description="slower cosines are removed within runs: below 0.01 of volumes, none (0) of samples"
    )

    @model_validator(mode="after")
    def _has_frames_per_second(self) -> Self:
        if bool(self.films) != (self.fps is not None):
            raise ValueError("films and fps go together: give a film or its frames for each run, and how many a second")
        return self

    @property
    def signals(self) -> dict[str, Path]:
        """Sounds and films, by place in the descriptor."""
        return {
            f"continuous.{kind}.{run}": path
            for kind in ("sounds", "films")
            for run, path in getattr(self, kind).items()
        }

    def tested_apart(self, files: RunFiles) -> dict[str, list[str]]:
        """List the runs that a recording has of every test set; sets of which it has none are left out."""
        sets = {name: [run for run in runs if run in files.files] for name, runs in self.test_sets.items()}
        return {name: runs for name, runs in sets.items() if runs}

    def delays(self, files: RunFiles) -> list[int]:
        """List delays in rows."""
        step = files.step_s
        if any(abs(delay) > LONGEST_DELAY_S for delay in self.delays_s or ()):
            raise ValueError(
                f"continuous.delays_s: {max(self.delays_s or (), key=abs):g} s is no delay of responses; give seconds, "
                f"{LONGEST_DELAY_S:g} at most, not milliseconds"
            )
        if self.hrf and (self.delays_s is not None or not files.slow):
            other = "delays_s is given, too" if self.delays_s is not None else f"rows are {step:g} s apart"
            raise ValueError(
                f"continuous.hrf: {self.hrf} is of volumes, in place of delays, and {other}; leave one of them out"
            )
        if self.delays_s is None:
            if not files.slow:
                return list(range(-int(0.1 / step + 1e-6), int(0.6 / step + 1e-6) + 1))  # 0.6 / 0.1 is below 6
            apart = max(round(2 / step), 1)  # rows, alike: where delays are uneven, what lies between them is missed
            return list(range(apart, apart * math.ceil(8 / (apart * step) - 1e-6) + 1, apart))
        rows = [delay / step for delay in self.delays_s]
        odd = [f"{delay:g}" for delay, row in zip(self.delays_s, rows, strict=True) if abs(row - round(row)) > 1e-3]
        if odd:
            raise ValueError(
                f"continuous.delays_s: {listed(odd)} are no multiples of the {step:g} s between rows; give multiples"
            )
        return [round(row) for row in rows]

    def high_pass(self, files: RunFiles) -> float:
        """Return the frequency below which responses are filtered, in Hz; 0 where they are not."""
        return (0.01 if files.slow else 0.0) if self.high_pass_hz is None else self.high_pass_hz

    def trim(self, files: RunFiles) -> tuple[int, int]:
        """Count the rows left out at the start and at the end of every run."""
        start, stop = self.trim_s if self.trim_s is not None else ((20.0, 10.0) if files.slow else (0.0, 0.0))
        return round(start / files.step_s), round(stop / files.step_s)


def check_continuous(study: Any) -> None:
    """Raise where the runs of a study cannot be left out in turn, or delays do not lie on its clock."""
    rules = list(study.splits.values())
    if len(rules) != 1 or rules[0].leave_out not in ("run", "story") or rules[0].size > 1:
        raise ValueError("splits: of stimuli that go on whole runs are left out; give runs: {leave_out: run}, or folds")
    apart = [run for runs in study.continuous.test_sets.values() for run in runs]
    recorded = {run for files in study.recordings.values() for run in files.files}
    if odd := [run for run in apart if run not in recorded or apart.count(run) > 1]:
        raise ValueError(
            f"continuous.test_sets: {odd[0]} is in two sets, or no run of a recording{did_you_mean(odd[0], recorded)}; "
            "name every run once"
        )
    for name, files in study.recordings.items():
        study.continuous.delays(files)
        for kind in ("sounds", "films"):
            named = getattr(study.continuous, kind)
            missing = [run for run in files.files if run not in named]
            if named and missing:
                there = listed(list(named))
                raise ValueError(
                    f"continuous.{kind}: none for {listed(missing)} of recordings.{name}, but for {there}; name one a "
                    "run, and runs alike"
                )
        if study.continuous.high_pass(files) * files.step_s > 0.1:
            raise ValueError(
                f"continuous.high_pass_hz: {study.continuous.high_pass(files):g} Hz leaves little of rows "
                f"{files.step_s:g} s apart; give {0.1 / files.step_s:.2g} or less"
            )
        n = sum(run not in apart for run in files.files)
        if n - math.ceil(n / (rules[0].folds or max(n, 1))) < 2:
            raise ValueError(
                f"recordings.{name}.files: {n} runs to train on; some are left out and penalties are chosen between "
                "others, which takes three or more: cut runs at pauses, record more, or give more folds"
            )


def apart_s(step_s: float, delays: Sequence[int]) -> float:
    """Compute how many seconds lie between delays, in rows of `step_s`, on average, or between rows where it is less.

    Features of volumes are averaged so far: of what lies between delays, ridge would otherwise know nothing.
    """
    return step_s * max((max(delays) - min(delays)) / max(len(delays) - 1, 1), 1)


def in_one_space(study: Any, subject: str) -> list[str]:
    """List the other subjects of a study whose targets lie in the same space as those of a subject.

    Recordings name the space; where they do not, or it is of one brain alone, nobody shares it.
    """
    space = study.space_of(subject)
    if space.lower() in OWN_SPACES:
        return []
    return [other for other in study.recordings if other != subject and study.space_of(other) == space]
