"""Recordings that become responses to stimuli, a format each, and the options of how they do."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from brainalign.checks import listed
from brainalign.study.parsing import Paths, Strict
from brainalign.study.preconditions import LONGEST_TR_S

Hemisphere = Literal["L", "R"]
Window = tuple[float, float]
LONGEST_S = 100.0  # after a stimulus; times beyond are given in milliseconds


def _in_seconds(value: float) -> float:
    if value > LONGEST_TR_S:
        raise ValueError(f"a repetition time is given in seconds, {LONGEST_TR_S:g} at most, not in milliseconds")
    return value


Participant = Annotated[str, AfterValidator(lambda name: name.removeprefix("sub-"))]
RepetitionTime = Annotated[float, AfterValidator(_in_seconds)]


class BlockFiles(Strict):
    """Volumes of a block design, with a label each."""

    format: Literal["nifti"]
    bold: Paths = Field(description="4-D NIfTI, all runs one after the other; or one per run, a list")
    mask: Path = Field(description="NIfTI of the same grid, non-zero inside")
    labels: Path | None = Field(None, description="text, one line per volume: label and run")
    events: tuple[Path, ...] = Field(
        (), description="in place of labels, a table per bold file as in BIDS: onset, duration (s), trial_type"
    )
    rois: dict[str, Path] = Field({}, description="label images of the same grid, by name")

    @model_validator(mode="after")
    def _has_labels(self) -> Self:
        n = len(self.bold) if isinstance(self.bold, tuple) else 1
        if (self.labels is None) == (not self.events) or (self.events and len(self.events) != n):
            raise ValueError(
                f"there are {n} files of bold and {len(self.events)} of events; give labels (a line per volume), or "
                "events, a table for every file of bold"
            )
        return self


class BetaFiles(Strict):
    """One response per trial and vertex or voxel."""

    format: Literal["betas"]
    betas: Paths | Annotated[dict[Hemisphere, Paths], Field(min_length=1)] = Field(
        description="a map per trial: NIfTI (with `mask`), CIFTI, or {L: GIFTI, R: GIFTI}; lists are read in turn"
    )
    trials: Path = Field(description="table, a row per trial: stimulus_id [session, run, repeat, onset_s]")
    mask: Path | None = Field(None, description="NIfTI of the same grid, non-zero inside")
    rois: dict[str, Path] = Field({}, description="label files: by hemisphere on surfaces, by name in volumes")
    space: str | None = Field(
        None, description="mesh of surface maps (found by its size where not given); of volumes scanner or MNI152"
    )
    surfaces: dict[Hemisphere, Path] = Field(
        {}, description="GIFTI or FreeSurfer, of meshes other than fsaverage: maps are drawn on them"
    )
    units: str = "percent signal change"


class ArrayFiles(Strict):
    """Numbers in a file of arrays: rows x targets, or rows x targets x times."""

    patterns: ClassVar[tuple[str, ...]] = ("**/*",)  # of a folder (.zarr)

    format: Literal["array"]
    values: Path = Field(description=".npy, .npz, .h5, .hdf5, .nc, .mat or .zarr: rows x targets [x times]")
    key: str | None = Field(None, description="which array, where the file holds several")
    trials: Path = Field(description="table, a row per row of values: stimulus_id [session, run, repeat, onset_s]")
    targets: Path | None = Field(
        None,
        description="table, a row per target: target_id [kind, hemi (L, R), roi (several with ; between), x_mm, y_mm, "
        "z_mm, sensor_type]; numbered where not given",
    )
    atlas: Path | None = Field(
        None,
        description="NIfTI, a whole number per voxel, whose parcels the targets are: target_id is a name in the table "
        "beside it (same name, .tsv: index, name) or its number",
    )
    space: str | None = Field(None, description="of places in mm: scanner or MNI152; what is in MNI is drawn in a head")
    times_s: tuple[float, ...] | Path | None = Field(
        None, description="seconds from the stimulus, where values have a third axis: a list, or a .npy or text file"
    )
    trials_axis: Literal[0, 1, 2, 3] = Field(0, description="which axis the trials are, from 0: 1 of targets x trials")
    times_axis: Literal[0, 1, 2, 3] = Field(2, description="which axis times_s are: 1 of trials x times x targets")
    repeats_axis: Literal[0, 1, 2, 3] | None = Field(
        None, description="which axis repeats are, of stimuli x repeats x targets; trials then has a row per stimulus"
    )
    units: str = "arbitrary units"

    @property
    def timed(self) -> bool:
        """Whether responses have a time axis."""
        return self.times_s is not None


class EpochFiles(Strict):
    """M/EEG around each stimulus."""

    timed: ClassVar[bool] = True

    format: Literal["epochs"]
    epochs: Paths = Field(
        description="epochs of MNE (-epo.fif) or EEGLAB (.set); several are recordings, numbered as runs, whose "
        "metadata have a category"
    )
    trials: Path | None = Field(None, description="table of trials, where the epochs carry no metadata")
    picks: Literal["meg", "mag", "grad", "eeg"] | None = Field(None, description="all of M/EEG where not given")


class MuseFiles(Strict):
    """CSV files of a Muse headset, one per recording: paths as everywhere in a descriptor."""

    timed: ClassVar[bool] = True

    format: Literal["muse"]
    recordings: tuple[Path, ...] = Field(min_length=1)


class BidsFiles(Strict):
    """Raw recordings of one participant in a BIDS folder (extra: bids)."""

    timed: ClassVar[bool] = True
    patterns: ClassVar[tuple[str, ...]] = ("sub-{participant}/**/*", "*task-{task}_*")

    format: Literal["bids"]
    root: Path = Field(description="folder of the dataset")
    participant: Participant = Field(description="sub-01 and 01 are one")
    task: str
    session: str | None = Field(None, description="all of the task where not given")
    runs: tuple[str, ...] | None = Field(None, min_length=1, description="all where not given")
    datatype: Literal["eeg", "meg"] = "eeg"
    stimulus_column: str | None = Field(
        None, description="of events.tsv: what was shown; where not given, trial_type is a marker of a category"
    )
    names: Literal["as written", "file stem"] = Field(
        "as written", description="whether images/cat_01.jpg in that column is the stimulus of that id, or cat_01"
    )
    where: dict[str, tuple[str, ...]] = Field({}, description="values that other columns of events.tsv must have")

    @property
    def signals(self) -> tuple[str, ...]:
        """The recordings that are read, with their sidecars; `acq-crosstalk_meg.fif` and the like are of no task."""
        sessions = ("", "ses-*/") if self.session is None else (f"ses-{self.session}/",)
        stem = f"{self.datatype}/sub-{self.participant}_*task-{self.task}_"
        runs = ["*"] if self.runs is None else [f"*run-{run}_*" for run in self.runs]
        folders = [f"sub-{self.participant}/{session}{stem}" for session in sessions]
        return tuple(f"{folder}{run}{self.datatype}.*" for folder in folders for run in runs)


class FmriprepFiles(Strict):
    """fMRIPrep derivatives and the events of the raw dataset; single-trial responses come from a GLM."""

    # What holds for all is what `find_runs` falls back on.
    patterns: ClassVar[tuple[str, ...]] = ("sub-{participant}/**/func/*", "task-*_events.tsv", "task-*_bold.json")

    format: Literal["fmriprep"]
    derivatives: Path = Field(description="folder of fMRIPrep's derivatives")
    raw: Path = Field(description="folder of the raw BIDS dataset, whose events.tsv name the stimuli")
    participant: Participant = Field(description="sub-01 and 01 are one")
    task: str | None = None
    space: str | None = None
    mask: Path | None = Field(None, description="NIfTI; where not given, voxels inside the brain masks of all runs")


class AlgonautsFiles(Strict):
    """The layout of the Algonauts 2023 challenge: vertices, averages over repeats, z-scored already."""

    patterns: ClassVar[tuple[str, ...]] = (
        "subj{participant}/training_split/training_fmri/*",
        "subj{participant}/roi_masks/*",
    )

    format: Literal["algonauts"]
    root: Path = Field(description="folder that holds subj01, subj02 ...")
    participant: str = Field(pattern="^0[1-8]$", description="01 to 08")
    trust_pickle: bool = Field(False, description="load the names of regions, which are pickles")
    rois: tuple[str, ...] | None = Field(None, description="labellings, such as streams; all where not given")
    within: tuple[str, ...] | None = Field(None, description="read only these regions")


class NsdFiles(Strict):
    """Volumes of the Natural Scenes Dataset, as the release lays them out."""

    patterns: ClassVar[tuple[str, ...]] = (
        "nsddata/experiments/nsd/nsd_expdesign.mat",
        "nsddata/ppdata/subj{participant}/func1pt8mm/roi/*",
        "nsddata/freesurfer/subj{participant}/label/*.ctab",
        "nsddata_betas/ppdata/subj{participant}/func1pt8mm/{betas}/betas_session*.hdf5",
    )

    format: Literal["nsd"]
    root: Path = Field(description="folder that holds nsddata and nsddata_betas")
    participant: str = Field(pattern="^0[1-8]$", description="01 to 08")
    sessions: tuple[int, ...] | None = Field(None, description="all of the participant's where not given")
    mask: str = Field("nsdgeneral", description="labelling whose voxels are read")
    rois: tuple[str, ...] | None = Field(None, description="labellings; the usual ones where not given")
    within: tuple[str, ...] | None = Field(None, description="read only these regions")
    betas: str = Field("betas_fithrf_GLMdenoise_RR", description="version of the responses")


class NsdCortexFiles(Strict):
    """The Natural Scenes Dataset on fsaverage, a matrix per hemisphere, z-scored within sessions."""

    patterns: ClassVar[tuple[str, ...]] = ("*_sub-{participant}.npy",)

    format: Literal["nsd_cortex"]
    root: Path = Field(description="folder that holds lh_betas_sub-01.npy, rh_betas_sub-01.npy, metadata_sub-01.npy")
    participant: str = Field(pattern="^0[1-8]$", description="01 to 08")
    trust_pickle: bool = Field(False, description="load the metadata, which are a pickle")
    sessions: tuple[int, ...] | None = Field(None, description="all of the participant's where not given")
    within: tuple[str, ...] | None = Field(None, description="read only these regions")


class ThingsFmriFiles(Strict):
    """THINGS-fMRI in its table format (betas_csv)."""

    patterns: ClassVar[tuple[str, ...]] = ("sub-{participant}_*",)

    format: Literal["things_fmri"]
    root: Path = Field(description="folder betas_csv of the release")
    participant: str = Field(pattern="^0[1-3]$", description="01 to 03")
    sessions: tuple[int, ...] | None = Field(None, description="all of the participant's where not given")
    within: tuple[str, ...] | None = Field(None, description="read only these regions")


class ThingsEpochFiles(Strict):
    """THINGS-EEG2 or THINGS-MEG as responses to images."""

    timed: ClassVar[bool] = True
    patterns: ClassVar[tuple[str, ...]] = ("sub-{participant}/preprocessed_*", "sub-{participant}/ses-*/raw_eeg_*")

    format: Literal["things_epochs"]
    release: Literal["eeg2", "eeg2_raw", "meg"] = Field(description="preprocessed, or the raw EEG")
    root: Path = Field(description="holds sub-01 ...")
    participant: str = Field(description="01 ...")
    images: Path = Field(description="image_metadata.npy, or the folder of training_images and test_images")
    sessions: tuple[int, ...] = Field((1, 2, 3, 4), description="of raw EEG")
    trust_pickle: bool = Field(False, description="the releases are pickles, which can run any program")


class FmriOptions(Strict):
    """How blocks of volumes become responses."""

    tr_s: RepetitionTime = Field(gt=0, description="repetition time in seconds")
    hrf_lag_s: float = Field(5.0, ge=0, description="how much later than its stimulus a volume is read, in seconds")
    detrend: bool = True
    standardize: Literal["run", "none"] = "run"
    rest: str = Field("rest", description="label of volumes without a stimulus")
    bad_voxels: Literal["raise", "drop"] = Field("raise", description="what to do with NaN or constant voxels")
    space: str = Field(description="in words: what the coordinates mean and what they are drawn on")

    @property
    def lag_volumes(self) -> int:
        """The lag in whole volumes: the nearest, the later one of two equally near."""
        return int(self.hrf_lag_s / self.tr_s + 0.5)


class BetaOptions(Strict):
    """How betas become responses."""

    standardize: Literal["session", "none"] = Field("session", description="z-score each target within sessions")
    bad_targets: Literal["raise", "drop"] = Field("raise", description="what to do with NaN or constant targets")


class RawOptions(Strict):
    """What MNE does to raw recordings of M/EEG."""

    maxwell: Literal["sss", "tsss"] | None = Field(
        None,
        description="of MEG, first of all: what comes from outside of the head is removed, bad channels are made anew",
    )
    band_hz: Window | None = Field(
        None, description="FIR filter without delay; of raw recordings, as all to resample_hz"
    )
    notch_hz: float | None = Field(None, gt=0, description="of the mains, and its multiples")
    artifacts: Literal["ica", "ssp"] | None = Field(
        None, description="components, or a projection, that follow channels of the eyes (and heart) are removed"
    )
    eog: tuple[str, ...] = Field((), description="channels that show the eyes, where none is of type eog")
    reference: Literal["average"] | tuple[str, ...] | None = Field(None, description="of EEG: average, or channels")


class EpochOptions(RawOptions):
    """How recordings, or epochs, become responses."""

    resample_hz: float | None = Field(None, gt=0, description="anti-aliased, before epochs are cut")
    tmin_s: float | None = Field(None, description="first moment; of raw recordings -0.15 where not given")
    tmax_s: float | None = Field(None, description="last moment; of raw recordings 0.5 where not given")
    decimate: int = Field(1, ge=1, description="keep every so many samples; low-pass filter before")
    baseline_s: Window | None = Field(None, description="seconds whose mean is subtracted; nothing where not given")
    reject_uv: float | None = Field(
        None, gt=0, description="largest minus smallest of an EEG channel in an epoch of a raw recording"
    )
    bad_channels: Literal["raise", "drop"] = "raise"
    whiten: bool = Field(True, description="by the noise covariance of training epochs, where stimuli are held out")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.tmin_s is not None and self.tmax_s is not None and self.tmin_s >= self.tmax_s:
            raise ValueError(f"tmin_s {self.tmin_s} is not before tmax_s {self.tmax_s}; exchange them")
        return self

    @property
    def span_s(self) -> Window:
        """What is cut of raw recordings, s."""
        return (-0.15 if self.tmin_s is None else self.tmin_s, 0.5 if self.tmax_s is None else self.tmax_s)


class GlmOptions(Strict):
    """Single-trial GLM of fMRIPrep derivatives (nilearn)."""

    stimulus_column: str = Field("stimulus_id", description="of events.tsv")
    hrf_model: Literal["spm", "glover", "spm + derivative", "glover + derivative"] = "spm"
    confounds: tuple[str, ...] = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
    high_pass_hz: float = Field(0.01, ge=0)
    noise_model: Literal["ols", "ar1"] = "ols"


def check_responses(study: Any) -> None:
    """Raise where recordings that give responses are of formats, splits or windows that no step can serve together."""
    volumes = [name for name, files in study.recordings.items() if files.format == "nifti"]
    if volumes and len(volumes) < len(study.recordings):
        raise ValueError(f"recordings {listed(volumes)} are blocks in volumes and the others not; describe two studies")
    if volumes and study.fmri is None:
        raise ValueError("fmri: give tr_s and space: blocks in volumes (format: nifti) are read with them")
    if study.is_fitted and not study.stimuli:
        raise ValueError("stimuli: say what was shown, by id or as a table: predictions are made of it")
    raw = [name for name, files in study.recordings.items() if files.format in ("muse", "bids")]
    named = [name for name in raw if getattr(study.recordings[name], "stimulus_column", None) is not None]
    if named and (len(named) < len(raw) or not study.is_fitted):
        raise ValueError(
            f"recordings.{named[0]}.stimulus_column: names what encoders predict from, in all recordings and with "
            "splits; give both, or markers and no stimulus_column"
        )
    if raw and not named and len(set(study.markers.values())) < 2:
        raise ValueError("markers: give the category of two markers or more, for example {'1': house, '2': face}")
    for name, files in study.recordings.items():
        if isinstance(files, EpochFiles) and files.picks is None and isinstance(files.epochs, Path):
            raise ValueError(f"recordings.{name}.picks: say which sensors are read: meg, mag, grad or eeg")
    if not study.is_fitted and not study.over_time:
        raise ValueError("splits: say what is left out, like {leave_out: run}, or {share: 0.2} of the stimuli")
    unused = [name for name in (*RawOptions.model_fields, "resample_hz", "reject_uv") if getattr(study.epochs, name)]
    if unused and all(files.format in ("epochs", "array") for files in study.recordings.values()):
        raise ValueError(f"epochs: {listed(unused)} are of raw recordings, and these are cut already; leave them out")
    low, high = study.epochs.span_s if raw else (study.epochs.tmin_s, study.epochs.tmax_s)
    for name, (start, stop) in study.windows.items():
        before, after = low is not None and start < low, high is not None and stop > high
        if before or after or start >= stop:
            raise ValueError(f"windows.{name}: {start} to {stop} s do not lie in order within the epochs")
    timed = [name for name in study.recordings if study.modality(name) == "meeg"]
    if not study.holds_out and timed and len(timed) < len(study.recordings):
        raise ValueError(f"recordings {listed(timed)} are over time, the others not; hold stimuli out, or describe two")
    if study.decoded and study.left_out:
        raise ValueError("decoded: categories are decoded where stimuli are held out (splits: column, share)")
    for name in study.decoded:
        if name not in study.recordings or study.modality(name) != "meeg":
            raise ValueError(f"decoded: {name!r} is no subject recorded over time (epochs, arrays with times_s)")
