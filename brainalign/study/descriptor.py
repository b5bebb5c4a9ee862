"""The descriptor of a dataset: what a lab writes about its data, once.

Descriptor            what every dataset says of itself, and where its files are looked for
  Study               responses to stimuli: images, texts, or both; blocks in volumes, betas on surfaces or volumes,
                      M/EEG epochs, fMRIPrep derivatives, or the folders of NSD and Algonauts 2023
  VideoStudy          neurons recorded while videos were shown, frames of which may be hidden
  RdmStudy            dissimilarity matrices of subjects, with their images
  TripletStudy        judgements which of three objects does not belong
  SentenceStudy       EEG of people who read sentences
  ModalityStudy       the same images in EEG, MEG and fMRI
  SeriesStudy         time series of regions of many people, with their traits and states
load_descriptor       YAML in; `kind` says which where it is none of responses to stimuli
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from brainalign.checks import BrainalignError, check_choice, listed
from brainalign.io import read_lines, read_parquet, reading
from brainalign.study.image_files import (
    BetaOptions,
    EpochFiles,
    EpochOptions,
    FmriOptions,
    GlmOptions,
    Recording,
    RepetitionTime,
    Window,
)
from brainalign.study.modalities import ArrayRecordings, ModalityFiles, SimulateModalities, ThingsRecordings
from brainalign.study.parsing import Strict, parse, read_yaml
from brainalign.study.sentences import SimulatedSentences, TextSplit, ZucoRelease
from brainalign.study.series import SeriesFiles, SeriesWorld
from brainalign.study.triplets import TripletFiles
from brainalign.study.videos import NeuralFiles, all_within

Name = Annotated[str, Field(pattern="^[A-Za-z0-9]+$")]
DatasetName = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9-]*$")]


class Citation(Strict):
    """A reference the report prints."""

    text: str
    doi: str | None = None


class Descriptor(Strict):
    """What every dataset says of itself."""

    name: DatasetName
    title: str = Field("", description="how pages call it; its name where not given")
    citation: Citation | None = Field(
        None, description="what to cite; pages say where it is missing, as of the next two"
    )
    licence: str | None = Field(None, description="under which the data may be used")
    source: str | None = Field(None, description="where the data come from")
    urls: dict[str, str] = Field(default={}, description="where each file can be downloaded")
    sha256: dict[str, str] = Field(default={}, description="checksums by path as given here; verified where given")
    notes: tuple[str, ...] = Field((), description="sentences the report prints about these data")
    folder: Path = Field(Path(), exclude=True, description="where the descriptor lies; set by load_descriptor")
    file: Path | None = Field(None, exclude=True, description="the descriptor itself; set by load_descriptor")

    @model_validator(mode="before")
    @classmethod
    def _has_a_title(cls, content: Any) -> Any:
        return {"title": content.get("name", ""), **content} if isinstance(content, dict) else content

    @property
    def origin(self) -> str:
        """Where the data come from and how they may be used, in sentences; what is missing is said."""
        cited = None if self.citation is None else self.citation.text.strip()
        doi = f" doi:{self.citation.doi}" if self.citation is not None and self.citation.doi else ""
        given = {"Data": cited and f"{cited}{doi}", "Licence": self.licence, "Source": self.source}
        missing = [{"Data": "citation"}.get(name, name.lower()) for name, value in given.items() if not value]
        sentences = [f"{name}: {value.rstrip('.')}." for name, value in given.items() if value]
        return " ".join([*sentences, f"Not given in the descriptor: {', '.join(missing)}."] if missing else sentences)

    data_type: ClassVar[str]
    subjects_field: ClassVar[str] = "subjects"

    @property
    def is_fitted(self) -> bool:
        """Whether encoders are fitted to responses."""
        return False

    @property
    def holds_out(self) -> bool:
        """Whether encoders are scored on one set of stimuli that is held out."""
        return False

    @property
    def left_out(self) -> dict[str, Split]:
        """The splits that leave out runs or stimuli in turn, by name: a model may say which of them are permuted."""
        return {}

    @property
    def subject_names(self) -> list[str]:
        """The subjects whose responses are prepared one by one; none where the dataset is prepared as a whole."""
        return list(getattr(self, "subjects", ()))

    @property
    def scanned(self) -> list[str]:
        """The fMRI subjects who saw images: those whose patterns have regions."""
        return []

    @property
    def searched(self) -> list[str]:
        """The subjects in whose brains searchlights can be placed."""
        return self.scanned

    @property
    def is_simulated(self) -> bool:
        """Whether the run itself makes the data."""
        return getattr(self, "simulate", None) is not None

    def found_files(self, subject: str = "") -> dict[str, Path]:
        """Locate the files of a subject, or of the whole dataset, by the name of their field; raises as `locate`."""
        return {}

    def all_files(self) -> list[Path]:
        """List every file that must be there before a run; raises as `locate` does."""
        return list(
            {path: None for subject in self.subject_names or [""] for path in self.found_files(subject).values()}
        )

    def inputs(self, subject: str = "") -> list[Path]:
        """List the files that responses are read from, those inside folders one by one."""
        return list(self.found_files(subject).values())

    def stimulus_table(self) -> Path | None:
        """Locate the table of what was shown, where a file of the dataset holds it."""
        return None

    def stimulus_ids(self) -> list[str]:
        """List the ids of what was shown, where a file of the dataset holds them; raises as `locate` does."""
        return [name for path in self.image_tables() for name in _column(path, "stimulus_id")]

    def image_paths(self) -> dict[str, Path]:
        """Locate the images that the descriptor itself names, by stimulus."""
        return {}

    def image_tables(self) -> list[Path]:
        """Locate the tables that list images: those of the stimuli."""
        table = self.stimulus_table()
        return [] if table is None else [table]

    def prepare_options(self, subject: str = "") -> dict[str, object]:
        """List the options that responses depend on, besides the files themselves; defaults included."""
        return {}

    def extract_options(self) -> dict[str, object]:
        """List the options that the features of what was shown depend on, besides the files."""
        return {}

    def locate(self, path: Path, what: str) -> Path:
        """Return where a file of the dataset lies.

        Raises
        ------
        BrainalignError
            If it is in none of the places a file is looked for.
        """
        places = [self.folder / path, self.folder / self.name / path]
        if "BRAINALIGN_DATA" in os.environ:
            places.append(Path(os.environ["BRAINALIGN_DATA"]) / self.name / path)
        places.append(cache_folder() / self.name / path)
        for place in places:
            if place.exists():
                return place
        raise BrainalignError(
            f"{self.name}: {what}: no file {path} in "
            f"{', '.join(str(place.parent) for place in places)}; correct the path in the descriptor, "
            "set BRAINALIGN_DATA to the folder that holds the dataset"
            + (f", or download it: brainalign fetch {self.file or self.name}" if self.urls else "")
        )


def cache_folder() -> Path:
    """Return the folder of the user's cache to which `brainalign fetch` downloads."""
    from platformdirs import user_cache_path

    return user_cache_path("brainalign")


# ------------------------------------------------------------------------------------------------------- responses


class Stimulus(Strict):
    """One stimulus or category: an image of it, wordings, both, or only its id, by which vectors are looked up."""

    path: Path | None = Field(None, description="the image; absolute, beside the descriptor, or in $BRAINALIGN_DATA")
    texts: tuple[str, ...] = Field((), description="wordings")
    label: str | None = Field(None, description="how figures name it; its id where not given")


class Split(Strict):
    """Test sets: runs, sessions, stimuli or others left out in turn; or one set of stimuli held out.

    Left out are every `size` of them, or they are drawn into so many `folds`. Those held out have a `value` in a
    `column` of the table of stimuli, or are a `share` drawn at random.
    """

    leave_out: str | None = Field(
        None, min_length=1, description="run, session, stimulus, or a column of the table of trials, such as story"
    )
    size: int = Field(1, ge=1, description="how many are left out at a time")
    folds: int | None = Field(None, ge=2, description="test sets that all are drawn into, instead of size")
    column: str | None = None
    value: str | None = None
    share: float | None = Field(None, gt=0, lt=1)
    near_duplicates: Literal["error", "warning"] = Field(
        "error", description="what nearly the same picture in training and test is"
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Split:
        by_column = self.column is not None and self.value is not None
        rules = [self.leave_out is not None, by_column, self.share is not None]
        if sum(rules) != 1 or (self.column is None) != (self.value is None):
            raise ValueError("give leave_out, or column and value, or share: what the test stimuli are")
        if self.of_stimuli and self.size < 2 and self.folds is None:
            raise ValueError("leaving out one stimulus leaves nothing to tell it from; use size: 2 or more, or folds")
        if self.leave_out is None and (self.size > 1 or self.folds is not None):
            raise ValueError("size and folds are of what is left out in turn; give leave_out, or leave them out")
        if self.size > 1 and self.folds is not None:
            raise ValueError("give size or folds, one of them")
        return self

    @property
    def plural(self) -> str:
        """The name of several of what is left out."""
        return {"stimulus": "stimuli", "story": "stories"}.get(str(self.leave_out), f"{self.leave_out}s")

    @property
    def of_stimuli(self) -> bool:
        """Whether stimuli are left out, so that those tested were never trained on."""
        return self.leave_out == "stimulus"


class Shape(Strict):
    """Size of the largest subject's data, for `brainalign plan` before anything is downloaded; prepare checks it."""

    runs: int
    trials: int
    targets: int


class SimulateOptions(Strict):
    """A study with planted truth, written as files in the formats of real ones; as many of each kind of subject."""

    n_shared: int = Field(100, ge=7, description="images every subject sees: the test set")
    n_unique: int = Field(200, ge=2, description="images for training")
    n_repeats: int = Field(3, ge=2, description="of every image, for fMRI")
    meeg_repeats: int = Field(2, ge=2, description="of every image, for MEG and EEG")
    n_sessions: int = Field(3, ge=1, description="of each fMRI subject")
    fmri_subjects: int = Field(2, ge=0)
    meg_subjects: int = Field(1, ge=0)
    eeg_subjects: int = Field(1, ge=0)
    meg_sensors: Literal["all", "mag"] = Field("all", description="306, or the 102 magnetometers")
    image_size: int = Field(128, ge=128, multiple_of=128, description="pixels")
    n_training_scenes: int = Field(800, ge=16, description="scenes that the generating network learns from")
    n_epochs: int = Field(3, ge=1, description="of that training")
    n_rest_volumes: int = Field(320, ge=50)


class Study(Descriptor):
    """Responses to stimuli: images, texts, or both, in blocks or one by one, recorded in any format."""

    data_type: ClassVar[str] = "responses"
    subjects_field: ClassVar[str] = "recordings"

    stimuli: dict[str, Stimulus] | Path = Field(
        {},
        description="by id, with path, texts or both; or a table, a row per stimulus: stimulus_id [path, category, "
        "caption, ...]; models that look at no image need no path, and decoded categories no table",
    )
    captions: Path | None = Field(
        None,
        description="table, a row per caption: stimulus_id, caption; as many per stimulus as there are. Where not "
        "given, the column caption of the stimuli",
    )
    recordings: dict[Name, Recording] = Field(min_length=1, description="by subject")
    splits: dict[Name, Split] = Field(
        {},
        description="runs or stimuli left out in turn; or one set of stimuli held out. Without any, categories of "
        "M/EEG trials are decoded over time, and no encoder is fitted",
    )
    markers: dict[str, Name] = Field({}, description="category by marker, or by trial_type, of raw M/EEG recordings")
    sensors: dict[Name, tuple[str, ...]] = Field({}, description="groups that are also decoded for themselves")
    windows: dict[Name, Window] = Field(
        {}, description="decoded as a whole, in seconds; those that end at or before 0 s are controls"
    )
    fmri: FmriOptions | None = Field(None, description="how blocks in volumes (format: nifti) become responses")
    betas: BetaOptions = BetaOptions()
    epochs: EpochOptions = EpochOptions()
    glm: GlmOptions = GlmOptions()
    simulate: SimulateOptions | None = Field(None, description="make the files first, with known truth")
    decoded: tuple[Name, ...] = Field((), description="M/EEG subjects whose image categories are decoded over time")
    shape: Shape | None = None

    @field_validator("stimuli")
    @classmethod
    def _are_described_alike(cls, stimuli: dict[str, Stimulus] | Path) -> dict[str, Stimulus] | Path:
        if isinstance(stimuli, Path):
            return stimuli
        if stimuli and len(stimuli) < 3:
            raise ValueError("a correlation over two says nothing; give three stimuli or more")
        counts = {name: len(stimulus.texts) for name, stimulus in stimuli.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"every stimulus needs as many texts as the others, wording by wording; got {counts}")
        without = [name for name, stimulus in stimuli.items() if stimulus.path is None]
        if without and len(without) < len(stimuli):
            raise ValueError(
                f"{len(stimuli) - len(without)} of {len(stimuli)} stimuli have a path, and {listed(without)} none; "
                "give every stimulus an image, or none"
            )
        return stimuli

    @field_validator("splits")
    @classmethod
    def _one_sort(cls, splits: dict[str, Split]) -> dict[str, Split]:
        held = [name for name, split in splits.items() if split.leave_out is None]
        if held and len(splits) > 1:
            raise ValueError(
                f"{held[0]} holds stimuli out once, and {listed([name for name in splits if name != held[0]])} stands "
                "beside it; describe a second study of the same files for another split"
            )
        if splits and not held and all(split.of_stimuli for split in splits.values()):
            raise ValueError("scores per target come from held-out runs; add a split like runs: {leave_out: run}")
        return splits

    @model_validator(mode="after")
    def _formats_fit(self) -> Study:
        volumes = [name for name, files in self.recordings.items() if files.format == "nifti"]
        if volumes and len(volumes) < len(self.recordings):
            raise ValueError(
                f"recordings {listed(volumes)} are blocks in volumes (format: nifti) and the others are not; describe "
                "two studies"
            )
        if volumes and self.fmri is None:
            raise ValueError("fmri: give tr_s and space: blocks in volumes (format: nifti) are read with them")
        if self.is_fitted and not self.stimuli:
            raise ValueError("stimuli: say what was shown, by id or as a table: predictions are made of it")
        raw = [name for name, files in self.recordings.items() if files.format in ("muse", "bids")]
        if raw and len(set(self.markers.values())) < 2:
            raise ValueError("markers: give the category of two markers or more, for example {'1': house, '2': face}")
        for name, files in self.recordings.items():
            if isinstance(files, EpochFiles) and files.picks is None and isinstance(files.epochs, Path):
                raise ValueError(f"recordings.{name}.picks: say which sensors are read: meg, mag, grad or eeg")
        if not self.is_fitted and not self.over_time:
            raise ValueError("splits: say what is left out, like {leave_out: run}, or {share: 0.2} of the stimuli")
        low, high = self.epochs.span_s if raw else (self.epochs.tmin_s, self.epochs.tmax_s)
        for name, (start, stop) in self.windows.items():
            before, after = low is not None and start < low, high is not None and stop > high
            if before or after or start >= stop:
                raise ValueError(f"windows.{name}: {start} to {stop} s do not lie in order within the epochs")
        timed = [name for name in self.recordings if self.modality(name) == "meeg"]
        if not self.holds_out and timed and len(timed) < len(self.recordings):
            raise ValueError(
                f"recordings {listed(timed)} are over time and the others are not; where runs or stimuli are left out "
                "in turn, describe two studies"
            )
        if self.decoded and self.left_out:
            raise ValueError("decoded: categories are decoded where stimuli are held out (splits: column, share)")
        for name in self.decoded:
            if name not in self.recordings or self.modality(name) != "meeg":
                raise ValueError(f"decoded: {name!r} is no subject recorded over time (epochs, arrays with times_s)")
        return self

    @property
    def subjects(self) -> dict[str, Recording]:
        """The recordings, by subject."""
        return self.recordings

    @property
    def is_fitted(self) -> bool:
        """Whether encoders are fitted: where something is left or held out to score them."""
        return bool(self.splits)

    @property
    def decoded_subjects(self) -> list[str]:
        """The subjects whose categories are decoded over time: all where no encoder is fitted."""
        return list(self.decoded if self.is_fitted else self.recordings)

    @property
    def holds_out(self) -> bool:
        """Whether one set of stimuli is held out; else runs or stimuli are left out in turn."""
        return self.held_out is not None

    @property
    def held_out(self) -> tuple[str, Split] | None:
        """The name and the rule of the one set of stimuli that is held out."""
        return next(((name, rule) for name, rule in self.splits.items() if rule.leave_out is None), None)

    @property
    def left_out(self) -> dict[str, Split]:
        """The splits that leave out runs or stimuli in turn, by name."""
        return {name: rule for name, rule in self.splits.items() if rule.leave_out is not None}

    @property
    def over_time(self) -> bool:
        """Whether all recordings have times."""
        return all(self.modality(subject) == "meeg" for subject in self.recordings)

    @property
    def in_blocks(self) -> bool:
        """Whether the recordings are volumes of a block design, which have a mask and noise around blocks."""
        return any(files.format == "nifti" for files in self.recordings.values())

    @property
    def scanned(self) -> list[str]:
        """The fMRI subjects with a set of stimuli held out: those whose patterns have regions that are compared."""
        return self.searched if self.holds_out else []

    @property
    def searched(self) -> list[str]:
        """The fMRI subjects."""
        return [subject for subject in self.recordings if self.modality(subject) == "fmri"]

    def modality(self, subject: str) -> Literal["fmri", "meeg"]:
        """Name the modality of a subject's recordings."""
        return "meeg" if getattr(self.recordings[subject], "timed", False) else "fmri"

    # What was shown

    def stimulus_table(self) -> Path | None:
        """Locate the table of the stimuli; None where the descriptor itself lists them."""
        return self.locate(self.stimuli, "stimuli") if isinstance(self.stimuli, Path) else None

    @property
    def listed_stimuli(self) -> dict[str, Stimulus]:
        """The stimuli that the descriptor itself lists, by id; of a table none."""
        return {} if isinstance(self.stimuli, Path) else self.stimuli

    def stimulus_ids(self) -> list[str]:
        """List the ids of the stimuli; raises as `locate` does where they stand in a table."""
        table = self.stimulus_table()
        return list(self.listed_stimuli) if table is None else _column(table, "stimulus_id")

    def stimulus_columns(self) -> list[str] | None:
        """Return the columns that a table of the stimuli has, or would have; None where it is not there yet."""
        if not isinstance(self.stimuli, Path):
            texts = ["caption"] if self.n_texts else []
            return ["stimulus_id", *(["path"] if self.has_images else []), *texts]
        try:
            path = self.locate(self.stimuli, "stimuli")
        except BrainalignError:
            return None
        if path.suffix == ".parquet":
            return list(map(str, read_parquet(path)))
        with reading(path, "not a readable table"), path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file, delimiter="," if path.suffix == ".csv" else "\t"), [])

    @property
    def has_images(self) -> bool:
        """Whether the stimuli are images: all of them, or none."""
        if not isinstance(self.stimuli, Path):
            return all(stimulus.path is not None for stimulus in self.stimuli.values())
        columns = self.stimulus_columns()
        return columns is None or "path" in columns

    @property
    def n_texts(self) -> int:
        """How many wordings every stimulus has in the descriptor."""
        return max((len(stimulus.texts) for stimulus in self.listed_stimuli.values()), default=0)

    def image_paths(self) -> dict[str, Path]:
        """Locate the images that the descriptor lists; raises as `locate` does."""
        return {
            name: self.locate(stimulus.path, f"stimuli.{name}.path")
            for name, stimulus in self.listed_stimuli.items()
            if stimulus.path is not None
        }

    def labels_of(self, names: Iterable[str]) -> list[str]:
        """List the names of stimuli in figures: their labels, or their ids."""
        given = self.listed_stimuli
        return [given[name].label or name if name in given else name for name in names]

    # Files

    def found_files(self, subject: str = "") -> dict[str, Path]:
        """Return every file of a subject by field name ("betas.L" for a hemisphere); raises as `locate` does."""
        return dict(self._located(subject))

    def _located(self, subject: str) -> Iterator[tuple[str, Path]]:
        for field, value in self.recordings[subject]:
            for label, path in _paths(field, value):
                yield label, self.locate(path, f"recordings.{subject}.{label}")

    def find(self, subject: str, field: str) -> Path:
        """Return where a file of a subject lies; raises as `locate` does."""
        return self.locate(getattr(self.recordings[subject], field), f"recordings.{subject}.{field}")

    def all_files(self) -> list[Path]:
        """List the tables of stimuli and captions, images and the files of every subject; of a simulated study none."""
        if self.simulate:
            return []
        named = {"stimuli": self.stimuli, "captions": self.captions}
        tables = [self.locate(path, name) for name, path in named.items() if isinstance(path, Path)]
        return list(dict.fromkeys([*tables, *super().all_files(), *self.image_paths().values()]))

    def inputs(self, subject: str = "") -> list[Path]:
        """Return every file a subject's responses are read from; of a folder, those of the participant."""
        return _expanded(self.found_files(subject).values(), getattr(self.recordings[subject], "patterns", ()))

    def placed(self, value: Any) -> Any:
        """Return a field of a subject, paths in lists and mappings included, with every path where it lies."""
        if isinstance(value, dict):
            return {key: self.placed(inner) for key, inner in value.items()}
        if isinstance(value, tuple):
            return [self.placed(inner) for inner in value]
        return self.locate(value, "recordings") if isinstance(value, Path) else value

    # What results depend on

    def prepare_options(self, subject: str = "") -> dict[str, object]:
        """List the options that a subject's responses depend on, besides the files themselves; defaults included."""
        files = self.recordings[subject]
        options = self.model_dump(mode="json", include={"sha256", "splits", "simulate", "shape", "betas", "markers"})
        of_maps = {"fmriprep": self.glm, "nifti": self.fmri}.get(files.format, self.betas)
        own = self.epochs if self.modality(subject) == "meeg" else of_maps
        options |= {"subject": files.model_dump(mode="json"), "stimuli": list(self.listed_stimuli)}
        return options | {"options": own.model_dump(mode="json")}  # type: ignore[union-attr]

    def extract_options(self) -> dict[str, object]:
        """List the options that the features of the stimuli depend on."""
        return self.model_dump(mode="json", include={"stimuli"})


# ---------------------------------------------------------------------------------------------------------- videos


class VideoStudy(Descriptor):
    """Neurons recorded while videos were shown, frames of which may be hidden from the viewer."""

    data_type: ClassVar[str] = "videos"
    kind: Literal["videos"]
    videos: Path = Field(
        description=".npz or .safetensors with frames (condition, time, ...) and visible (condition, time), all where "
        "not given; or a folder with a folder of images per condition, and visible.csv"
    )
    training: Path | None = Field(
        None, description="other videos, nothing hidden, that dynamics are learned from; else the shown frames are used"
    )
    subjects: dict[Name, NeuralFiles] = Field(min_length=1)
    frame_s: float | None = Field(None, gt=0, description="seconds from one frame to the next, for the axes of figures")

    def found_files(self, subject: str = "") -> dict[str, Path]:
        """Return every file or folder that a subject needs, by field name; raises as `locate` does."""
        found = {"videos": self.locate(self.videos, "videos")}
        if self.training is not None:
            found["training"] = self.locate(self.training, "training")
        return found | {"neural": self.locate(self.subjects[subject].neural, f"subjects.{subject}.neural")}

    def shown(self) -> list[Path]:
        """Return every file of the videos; of folders all that is in them."""
        return [
            file for path in (self.videos, self.training) if path for file in all_within(self.locate(path, "videos"))
        ]

    def extract_options(self) -> dict[str, object]:
        """List the options that features over time depend on besides the files."""
        return self.model_dump(mode="json", include={"sha256", "videos", "training"})

    def prepare_options(self, subject: str = "") -> dict[str, object]:
        """List the options that a subject's scores depend on, besides the files themselves."""
        return {"subject": self.subjects[subject].model_dump(mode="json")}


# ------------------------------------------------------------------------------------------------------------ RDMs


class RdmStudy(Descriptor):
    """Dissimilarity matrices of subjects and the images they are of."""

    data_type: ClassVar[str] = "rdms"
    kind: Literal["rdms"]
    reader: Literal["kriegeskorte92", "files"] = Field("files", description="files: a table of stimuli and RDMs")
    files: tuple[str, ...] = Field(min_length=1)
    references: dict[str, str] = Field({}, description="what each set of matrices is, in words; its name if not given")

    def found_files(self, subject: str = "") -> dict[str, Path]:
        """Return where every file lies, by its name; raises as `locate` does."""
        return {name: self.locate(Path(name), "files") for name in self.files}

    def extract_options(self) -> dict[str, object]:
        """List the options that the features depend on besides the images."""
        return {"reader": self.reader}

    def image_tables(self) -> list[Path]:
        """Locate the table of the stimuli, which lists their images."""
        return [path for path in self.found_files().values() if path.stem == "stimuli"]


# -------------------------------------------------------------------------------------------------------- triplets


class TripletStudy(Descriptor):
    """Judgements which of three objects does not belong."""

    data_type: ClassVar[str] = "judgements"
    kind: Literal["triplets"]
    files: TripletFiles

    def found_files(self, subject: str = "") -> dict[str, Path]:
        """Return where every file lies, by the name of its field ("triplets.1"); raises as `locate` does."""
        named = [pair for field, value in self.files for pair in _paths(field, value)]
        return {label: self.locate(path, f"files.{label}") for label, path in named}

    def found(self, field: str) -> list[Path]:
        """Return where the files of one field lie; raises as `locate` does."""
        return [self.locate(path, f"files.{label}") for label, path in _paths(field, getattr(self.files, field))]

    def image_tables(self) -> list[Path]:
        """Locate the table of the images."""
        return self.found("images")

    def stimulus_ids(self) -> list[str]:
        """List the names of the objects; raises as `locate` does."""
        path, column = self.found("objects")[0], self.files.id_column
        names = read_lines(path) if column is None else _column(path, column)
        return [name.strip() for name in names if name.strip()]

    def prepare_options(self, subject: str = "") -> dict[str, object]:
        """List the options that the judgements depend on, besides the files themselves; defaults included."""
        return self.model_dump(mode="json", include={"sha256", "files"})

    def extract_options(self) -> dict[str, object]:
        """List the options that the features depend on besides the images."""
        images = self.files.images
        return {"images": None if images is None else images.as_posix()}


# ------------------------------------------------------------------------------------------------------- sentences


class SentenceStudy(Descriptor):
    """EEG of people who read sentences."""

    data_type: ClassVar[str] = "sentences"
    kind: Literal["sentences"]
    releases: dict[DatasetName, ZucoRelease] = Field({}, description="folders of ZuCo, by the name of the release")
    simulate: SimulatedSentences | None = Field(None, description="make the EEG, with known truth, instead")
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
    def _one_source(self) -> SentenceStudy:
        if bool(self.releases) == (self.simulate is not None):
            raise ValueError("give releases (folders of ZuCo) or simulate, one of them")
        if (self.label is None) != (not self.labels):
            raise ValueError("label (a column) and labels (sentences that say its values) go together")
        if len(self.labels) == 1:
            raise ValueError("labels: one value leaves nothing to tell apart; give two or more")
        unknown = [name for name in self.eog if name not in (self.channels or ())]
        if unknown:
            raise ValueError(f"eog: {listed(unknown)} not among channels; name all channels, with those of the eyes")
        if self.channels and len(self.eog) == len(self.channels):
            raise ValueError("eog names every channel; the control needs some that do not record the eyes")
        return self

    def found_files(self, subject: str = "") -> dict[str, Path]:
        """Return where every file lies, by its field or its place in the release; raises as `locate` does."""
        found = {} if self.split.table is None else {"split": self.locate(self.split.table, "split.table")}
        for name, release in self.releases.items():
            folder = self.locate(release.folder, f"releases.{name}.folder")
            found |= {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("results*.mat"))}
            for task, table in release.tables.items():
                found[f"{name}.{task}"] = self.locate(table.path, f"releases.{name}.tables.{task}.path")
        return found

    def prepare_options(self, subject: str = "") -> dict[str, object]:
        """List the options that trials and splits depend on, besides the files themselves; defaults included."""
        fields = ("sha256", "releases", "simulate", "typos", "split", "label", "labels", "block_size", "channels")
        return self.model_dump(mode="json", include={*fields, "eog", "montage"})


# ------------------------------------------------------------------------------------------------------ modalities


class ModalityStudy(Descriptor):
    """Recordings of the same images in several modalities, to be embedded in one space."""

    data_type: ClassVar[str] = "modalities"
    kind: Literal["modalities"]
    stimuli: Path = Field(
        Path("stimuli.csv"), description="table, a row per image: stimulus_id, split (train, val, test) [concept, path]"
    )
    vectors: Path | None = Field(
        None, description=".npy or .safetensors with one array, a row per row of stimuli; else decode_modalities.model"
    )
    modalities: dict[Name, ModalityFiles] = Field({}, description="at least one, unless simulated")
    simulate: SimulateModalities | None = Field(None, description="make the files first, with known truth")

    @model_validator(mode="after")
    def _recorded_or_simulated(self) -> ModalityStudy:
        if bool(self.modalities) == (self.simulate is not None):
            raise ValueError("give modalities, or simulate: where recordings come from")
        return self

    @property
    def recorded(self) -> dict[str, ModalityFiles]:
        """Files by modality, of a simulated study those that it writes."""
        return dict(self.simulate.files()) if self.simulate else dict(self.modalities)

    @property
    def vectors_file(self) -> Path | None:
        """The file of image vectors; None where a model's features stand for them."""
        return Path("vectors.npy") if self.simulate else self.vectors

    def all_files(self) -> list[Path]:
        """Return every file and folder; of a simulated study none. Raises as `locate` does."""
        return [] if self.simulate else super().all_files()

    def stimulus_table(self) -> Path:
        """Locate the table of the images."""
        return self.locate(self.stimuli, "stimuli")

    def inputs(self, subject: str = "") -> list[Path]:
        """Return every file that recordings are read from, of a release those of its subjects; if simulated none.

        Of a folder of images, of which only names are read, the folder.
        """
        found: list[Path] = []
        for label, path in ({} if self.simulate else self.found_files()).items():
            recorded = self.modalities[label.split(".")[1]] if label.endswith(".folder") else None
            found += _expanded([path], recorded.patterns) if isinstance(recorded, ThingsRecordings) else [path]
        return found

    def found_files(self, subject: str = "") -> dict[str, Path]:
        """Return where every file lies, by the name of its field; raises as `locate` does."""
        found = {"stimuli": self.locate(self.stimuli, "stimuli")}
        if self.vectors_file is not None:
            found["vectors"] = self.locate(self.vectors_file, "vectors")
        for name, modality in self.recorded.items():
            if isinstance(modality, ArrayRecordings):
                for subject, arrays in modality.subjects.items():
                    for field, path in arrays:
                        label = f"modalities.{name}.{subject}.{field}"
                        found[label] = self.locate(path, label)
            else:
                for field in ("folder", "images"):
                    label = f"modalities.{name}.{field}"
                    found[label] = self.locate(getattr(modality, field), label)
        return found

    def prepare_options(self, subject: str = "") -> dict[str, object]:
        """List the options that prepared recordings depend on, besides the files themselves; defaults included."""
        return self.model_dump(mode="json", include={"sha256", "stimuli", "vectors", "modalities", "simulate"})

    def extract_options(self) -> dict[str, object]:
        """List the options that the features depend on besides the images."""
        return {"images": self.stimuli.as_posix()}


# ---------------------------------------------------------------------------------------------------------- series


class SeriesStudy(Descriptor):
    """Time series of regions of many people; or a simulated study of them."""

    data_type: ClassVar[str] = "series"
    kind: Literal["series"]
    files: SeriesFiles | None = None
    simulate: SeriesWorld | None = None
    labels: tuple[str, ...] = Field((), description="columns of people to predict: traits, or states of a run")
    tr_s: RepetitionTime | None = Field(None, gt=0, description="repetition time, s; else that of scans")

    @model_validator(mode="after")
    def _files_or_world(self) -> SeriesStudy:
        if (self.files is None) == (self.simulate is None):
            raise ValueError("series come from files or from simulate: give exactly one of them")
        if self.files is not None and (self.files.derivatives is None) != (self.files.scans is None):
            raise ValueError("files.derivatives and files.scans belong together: give both or none")
        if self.files is not None and self.files.derivatives is None and self.tr_s is None:
            raise ValueError("tr_s is not given, and tables of series do not hold it; give it in seconds")
        if self.simulate is not None:
            missing = [name for name in self.labels if name not in self.simulate.labels]
            if missing:
                known = listed(self.simulate.labels) or "none"
                raise ValueError(f"labels: the simulated study has no {missing[0]!r}; it has {known}")
        return self

    def all_files(self) -> list[Path]:
        """Return every file and folder that the descriptor names itself; raises as `locate` does."""
        folder = None if self.files is None else self.files.derivatives
        own = [] if folder is None else [self.locate(folder, "files.derivatives")]
        return [*self.found_files().values(), *own]

    def inputs(self, subject: str = "") -> list[Path]:
        """Return every file that series are read from, those included that a table or a folder of others holds.

        A run that is not there is left to the reader, which names it.
        """
        if self.files is None:
            return []
        if self.files.derivatives is not None:
            return _expanded(self.all_files(), self.files.patterns)
        found = self.all_files()
        for run in _column(self.locate(self.files.people, "files.people"), "path"):
            with suppress(BrainalignError):
                found.append(self.locate(Path(run), "files.people: path"))
        return found

    def found_files(self, subject: str = "") -> dict[str, Path]:
        """Return where every file lies, by the name of its field; raises as `locate` does."""
        if self.files is None:
            return {}
        scans = self.files.scans
        named = {"people": self.files.people, "regions": self.files.regions}
        named |= {"scans.atlas": scans.atlas if scans else None, "scans.names": scans.names if scans else None}
        return {name: self.locate(path, f"files.{name}") for name, path in named.items() if path is not None}

    def prepare_options(self, subject: str = "") -> dict[str, object]:
        """List the options that the series depend on, besides the files themselves; defaults included."""
        return self.model_dump(mode="json", include={"sha256", "files", "simulate", "labels", "tr_s"})


KINDS: dict[str, type[Descriptor]] = {
    "responses": Study,
    "rdms": RdmStudy,
    "videos": VideoStudy,
    "triplets": TripletStudy,
    "sentences": SentenceStudy,
    "modalities": ModalityStudy,
    "series": SeriesStudy,
}


def _paths(field: str, value: object) -> Iterator[tuple[str, Path]]:
    """Yield (field name, path) of every path in a field of a subject."""
    if isinstance(value, Path):
        yield field, value
    elif isinstance(value, dict):
        for part, inner in value.items():
            yield from _paths(f"{field}.{part}", inner)
    elif isinstance(value, tuple):
        for number, inner in enumerate(value):
            yield from _paths(f"{field}.{number + 1}", inner)


def _expanded(paths: Iterable[Path], patterns: Iterable[str]) -> list[Path]:
    """Return the files among paths, and of folders the files that fit one of the patterns."""
    found: list[Path] = []
    for path in paths:
        inside = {file for pattern in patterns for file in path.glob(pattern)} if path.is_dir() else {path}
        found += sorted(file for file in inside if file.is_file())
    return found


def _column(table: Path, name: str) -> list[str]:
    """Return a column of a table, nothing where there is none: what is wrong with a table is said when it is read."""
    if table.suffix == ".parquet":
        return [str(value) for value in read_parquet(table).get(name, [])]
    with reading(table, "not a readable table"), table.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter="," if table.suffix == ".csv" else "\t")
        return [row[name] for row in rows if row.get(name)]


D = TypeVar("D", bound=Descriptor)


def load_descriptor(path: str | Path, kind: type[D] = Descriptor, raw: str | Path | None = None) -> D:  # type: ignore[assignment]
    """Read and validate the descriptor of a dataset; relative files are looked for beside it.

    Parameters
    ----------
    path : path
    kind : type, optional
        The kind of study that is expected; any where not given.
    raw : path, optional
        Where the files of a simulated study are written to and read from.

    Raises
    ------
    BrainalignError
        If it is no valid descriptor, or one of another kind.
    """
    path = Path(path)
    content = read_yaml(path)
    name = "responses"
    if isinstance(content, dict):
        name = content.get("kind", name)
        if name == "responses":
            content.pop("kind", None)
        simulated = content.get("simulate") is not None and raw is not None
        content["folder"] = raw if simulated else path.parent
        content["file"] = path
    check_choice(f"{path}: kind", name, KINDS)
    found = parse(KINDS[name], content, str(path))
    if not isinstance(found, kind):
        raise BrainalignError(f"{path} describes a {type(found).__name__} (kind: {name}), not a {kind.__name__}")
    return found
