"""Recordings of a study, a format each; those whose data are no responses to stimuli one by one are described here.

RdmFiles              matrices of dissimilarities
Kriegeskorte92Files   those of the 92 images, as published
TripletFiles          judgements which of three objects does not belong
SeriesFiles           time series of regions of many people
ZucoFiles             EEG of people who read sentences, and SentenceOptions
ArrayRecordings       one subject of a modality, as plain arrays
ThingsRecordings      THINGS-EEG2 and THINGS-MEG
NeuralFiles           neurons recorded while videos were shown
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from brainalign.checks import listed
from brainalign.study import responses
from brainalign.study.continuous import RunFiles
from brainalign.study.parsing import Name, Strict

WHAT = Field("", description="what these matrices are, in words")


class RdmFiles(Strict):
    """A set of dissimilarity matrices, of subjects and sessions."""

    gives: ClassVar[str] = "rdms"

    format: Literal["rdms"]
    file: Path = Field(
        description=".npy, .csv, .npz, .safetensors, .h5 or .mat: a row of pairs (NaN where missing) or a symmetric "
        "matrix each; axes before it are subjects, and sessions. Or a .csv or .tsv that names its stimuli: ids around "
        "a matrix, or a row per pair with both ids, the dissimilarity and, of several, subject and session. Or what "
        "RDMs.save of rsatoolbox writes as HDF5, where subject is a descriptor of RDMs and a descriptor of patterns "
        "holds the stimulus ids"
    )
    key: str | None = Field(
        None,
        description="which array, where the file holds several; of rsatoolbox, a value of a descriptor of RDMs; of a "
        "table with a row per pair, a value of a column such as region, or the column of dissimilarities",
    )
    description: str = WHAT


class Kriegeskorte92Files(Strict):
    """A set of matrices of the 92 images of Kriegeskorte et al. (2008): humanIT, monkeyIT or judgements."""

    gives: ClassVar[str] = "rdms"

    format: Literal["kriegeskorte92"]
    files: tuple[Path, ...] = Field(
        (
            Path("92_behavRDMs.mat"),
            Path("92_brainRDMs.mat"),
            Path("92_modelRDMs.mat"),
            Path("Kriegeskorte_Neuron2008_supplementalData.mat"),
        ),
        description="as published; the images and models are in them",
    )
    description: str = WHAT


class TripletFiles(Strict):
    """Odd-one-out judgements as text files, in the format of the THINGS similarity judgements."""

    gives: ClassVar[str] = "judgements"

    format: Literal["triplets"]
    triplets: tuple[Path, ...] = Field(
        min_length=1,
        description="three numbers of objects a line, the odd one last; or .csv of three ids and a column odd",
    )
    repeats: tuple[Path, ...] = Field(
        (), description="the same for triplets that several people judged: ceilings come from these, and no fit"
    )
    embedding: Path | None = Field(
        None, description="a published embedding, a line of numbers per object: it stands beside what is fitted"
    )
    dimensions: Path | None = Field(None, description="a line per dimension of that embedding: what it is, in words")
    index_base: Literal[0, 1] | None = Field(
        None, description="number of the first object; found in the data where not given, if they say it"
    )
    duplicates: Literal["error", "keep"] = Field(
        "error", description="what the same three objects twice are; keep where several people judged them"
    )


class ScanOptions(Strict):
    """How region series are made of the derivatives of fMRIPrep."""

    atlas: Path = Field(description=".nii.gz of labels for volumes, .dlabel.nii for grayordinates")
    names: Path | None = Field(None, description="table with index and name of an atlas of volumes")
    kind: Literal["volume", "cifti"] = "volume"
    task: str | None = Field(None, description="needed where there are several")
    space: str | None = Field(None, description="needed where there are several")
    confounds: tuple[str, ...] | None = Field(None, description="columns or patterns; motion where not given")
    high_pass_hz: float | None = 0.008
    low_pass_hz: float | None = None
    skip_frames: int = Field(0, ge=0)
    bad_regions: Literal["raise", "drop"] = "raise"


class SeriesFiles(Strict):
    """Time series of regions of many people: tables per run, or preprocessed scans and an atlas."""

    gives: ClassVar[str] = "series"
    patterns: ClassVar[tuple[str, ...]] = (
        "sub-*/**/*_bold.*",
        "task-*_bold.json",
        "sub-*/**/*_desc-brain_mask.*",
        "sub-*/**/*_desc-confounds_timeseries.tsv",
    )

    format: Literal["series"]
    people: Path = Field(
        description="table with a row per run: subject; path of a .npy, .csv or .tsv (frames by regions), unless "
        "derivatives are given; split (train or test), where it is fixed; columns of traits and states"
    )
    regions: Path | None = Field(None, description="table with a row per region: region_id, network of an atlas")
    derivatives: Path | None = Field(None, description="output folder of fMRIPrep")
    scans: ScanOptions | None = Field(None, description="needed with derivatives")
    labels: tuple[str, ...] = Field((), description="columns of people to predict: traits, or states of a run")
    tr_s: responses.RepetitionTime | None = Field(None, gt=0, description="repetition time, s; else that of scans")

    @model_validator(mode="after")
    def _made_or_scanned(self) -> Self:
        if (self.derivatives is None) != (self.scans is None):
            raise ValueError("derivatives and scans belong together: give both or none")
        if self.derivatives is None and self.tr_s is None:
            raise ValueError("tr_s is not given, and tables of series do not hold it; give it in seconds")
        return self


class TaskTable(Strict):
    """The sentences of a task with their labels: a CSV file of the release."""

    path: Path
    columns: tuple[str, ...] | None = Field(None, description="names, of a file without a line of names")
    text_column: str = "sentence"


class ZucoFiles(Strict):
    """MATLAB files of one release of ZuCo: results<SUBJECT>_<TASK>.mat in any folder below."""

    gives: ClassVar[str] = "sentences"
    patterns: ClassVar[tuple[str, ...]] = ("**/results*.mat",)

    format: Literal["zuco"]
    folder: Path
    subjects: tuple[Name, ...] | None = Field(None, min_length=1, description="all where not given")
    tasks: tuple[Name, ...] | None = Field(None, min_length=1, description="SR, NR, TSR; all where not given")
    tables: dict[Name, TaskTable] = Field({}, description="by task: sentences and labels")
    unmatched: Literal["drop", "keep", "raise"] = Field("drop", description="sentences that are not in their table")


class TextSplit(Strict):
    """Sentences are split by their text; those of several tasks train."""

    test: float = Field(0.1, gt=0, lt=1, description="share of the texts")
    val: float = Field(0.1, gt=0, lt=1, description="share of the texts, for choosing epochs and penalties")
    similarity: float = Field(
        0.95, gt=0, lt=1, description="Levenshtein similarity above which two texts are one, and lie on one side"
    )
    table: Path | None = Field(
        None, description="a split of your own: trial_id, split (train, val, test); checked like any other"
    )


class SentenceOptions(Strict):
    """How sentences that were read are cleaned, split and labelled, and what the channels are."""

    typos: dict[str, str] = Field({}, description="what to replace in texts, besides what is known of ZuCo")
    split: TextSplit = TextSplit()
    label: str | None = Field(None, description="column of the tables that is told from decoded vectors, such as topic")
    labels: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {}, description="by its value: sentences that say it, worded as the corpus is"
    )
    block_size: int | None = Field(
        None, ge=1, description="sentences in a row that make a block; blocks are then left out in turn, too"
    )
    channels: tuple[str, ...] | None = Field(None, description="names, in the order of the recording")
    eog: tuple[str, ...] = Field(
        (), description="those of the channels that record the eyes: what they alone give stands in the control matrix"
    )
    montage: str | None = Field(None, description="of MNE, with these names; topographies need it")

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.label is None) != (not self.labels):
            raise ValueError("label (a column) and labels (sentences that say its values) go together")
        if len(self.labels) == 1:
            raise ValueError("labels: one value leaves nothing to tell apart; give two or more")
        if unknown := [name for name in self.eog if name not in (self.channels or ())]:
            raise ValueError(f"eog: {listed(unknown)} not among channels; name all channels, with those of the eyes")
        if self.channels and len(self.eog) == len(self.channels):
            raise ValueError("eog names every channel; the control needs some that do not record the eyes")
        return self


class ArrayRecordings(Strict):
    """One subject as plain arrays; subjects of a modality have the same channels, or voxels of any number."""

    gives: ClassVar[str] = "modalities"

    format: Literal["arrays"]
    modality: Name = Field(description="eeg, meg, fmri")
    signals: Path = Field(
        description=".npy, or .safetensors with one array: (n_trials, n_channels, n_times), or (n_trials, n_voxels)"
    )
    trials: Path = Field(description="table, a row per trial in the order of the signals: stimulus_id")


class ThingsRecordings(Strict):
    """Preprocessed THINGS-EEG2 or THINGS-MEG, as released."""

    gives: ClassVar[str] = "modalities"
    patterns: ClassVar[tuple[str, ...]] = ("sub-*/preprocessed_*",)

    format: Literal["things_eeg2", "things_meg"]
    modality: Name = Field(description="eeg, meg")
    folder: Path = Field(description="holds sub-01 ...")
    images: Path = Field(description="image_metadata.npy, or the folder of images")
    participants: tuple[Name, ...] = Field(min_length=1)
    trust_pickle: bool = Field(False, description="the releases are pickles, which can run any program")


class NeuralFiles(Strict):
    """Neurons of one subject, recorded while videos were shown."""

    gives: ClassVar[str] = "videos"

    format: Literal["neural"]
    neural: Path = Field(
        description=".npz or .safetensors with the array neural (condition, time, neuron, repeat); frames after "
        "the end of a trial are NaN"
    )
    regions: dict[str, tuple[int, int]] = Field(
        {},
        description="first neuron of each region, counted from 0, and the one after its last; one region if not given",
    )

    @field_validator("regions")
    @classmethod
    def _in_order(cls, regions: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        for name, (first, stop) in regions.items():
            if not 0 <= first < stop:
                raise ValueError(f"{name}: neurons {first} to {stop} are not in order; give first and last + 1")
        return regions


Recording = Annotated[
    responses.BlockFiles
    | responses.BetaFiles
    | responses.ArrayFiles
    | responses.EpochFiles
    | responses.MuseFiles
    | responses.BidsFiles
    | responses.FmriprepFiles
    | responses.AlgonautsFiles
    | responses.NsdFiles
    | responses.NsdCortexFiles
    | responses.ThingsFmriFiles
    | responses.ThingsEpochFiles
    | RunFiles
    | RdmFiles
    | Kriegeskorte92Files
    | TripletFiles
    | SeriesFiles
    | ZucoFiles
    | ArrayRecordings
    | ThingsRecordings
    | NeuralFiles,
    Field(discriminator="format"),
]
