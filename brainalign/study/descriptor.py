"""The descriptor of a study: what a lab writes about what was shown and recorded, once.

Study                 stimuli, recordings by subject in any format, splits, and words about them; what it can be asked
                      follows from the data that its recordings give, and from what its stimuli have
load_descriptor       YAML in; relative files are looked for beside it
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from brainalign.checks import BrainalignError, listed
from brainalign.study.continuous import ContinuousOptions, check_continuous, with_runs, with_signals
from brainalign.study.parsing import Name, Strict, parse, places_of, read_yaml, without_run_keys
from brainalign.study.recordings import Recording, SentenceOptions, SeriesFiles
from brainalign.study.responses import BetaOptions, EpochOptions, FmriOptions, GlmOptions, Window, check_responses
from brainalign.study.splits import Split, Splits
from brainalign.study.stimuli import Stimuli, Stimulus, table_column, table_columns
from brainalign.study.vectors import files_of
from brainalign.study.worlds import SimulateModalities, StoryWorld, World

DatasetName = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9-]*$")]


PLACED = ("nifti", "betas", "fmriprep", "algonauts", "nsd", "nsd_cortex", "things_fmri")  # formats of voxels, vertices
# What only studies of one type of data have.
OPTIONS = {
    "responses": (
        *("captions", "splits", "markers", "sensors", "windows", "fmri", "betas", "epochs", "glm", "decoded", "shape"),
    ),
    "rdms": ("model_rdms",),
    "judgements": (),
    "series": (),
    "sentences": ("sentences",),
    "modalities": ("vectors",),
    "videos": ("training", "frame_s"),
    "continuous": ("splits", "continuous"),
}
# What descriptors said before there was one form.
FORMER = {
    "responses": "leave it out",
    "rdms": "give stimuli: stimuli.tsv and recordings like V1: {format: rdms, file: V1.npy}",
    "videos": "give stimuli: videos.npz and recordings like '1': {format: neural, neural: neurons.npz}",
    "triplets": "give stimuli: objects.txt and recordings: {people: {format: triplets, triplets: [choices.txt]}}",
    "sentences": "give recordings like zuco1: {format: zuco, folder: zuco1}, and options under sentences",
    "modalities": "give recordings like '01': {format: arrays, modality: eeg, signals: 01.npy, trials: 01.csv}",
    "series": "give recordings: {people: {format: series, people: people.tsv, tr_s: 2}}",
}


class Citation(Strict):
    """A reference the report prints."""

    text: str
    doi: str | None = None


class Shape(Strict):
    """Size of the largest subject's data, for `brainalign plan` before anything is downloaded; prepare checks it."""

    runs: int
    trials: int
    targets: int


class Study(Strict):
    """What was shown and what was recorded, in any format."""

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
    stimuli: Stimuli = Field(
        {},
        description="by id, with path, texts or both; or a table, a row per stimulus: stimulus_id [path, category, "
        "caption or text, ...], or a .txt with an id per line; models that look at no image need no path, and "
        "decoded categories no table. Of videos: .npz or .safetensors with frames (condition, time, ...) and visible "
        "(condition, time), all where not given; or a folder with a folder of images per condition, and visible.csv",
    )
    captions: Path | None = Field(
        None,
        description="table, a row per caption: stimulus_id, caption; as many per stimulus as there are. Where not "
        "given, the column caption (or text) of the stimuli",
    )
    vectors: Path | None = Field(
        None,
        description="of images in several modalities: .npy or .safetensors with one array, a row per row of stimuli; "
        "else decode_modalities.model",
    )
    training: Path | None = Field(
        None, description="other videos, nothing hidden, that dynamics are learned from; else the shown frames are used"
    )
    frame_s: float | None = Field(None, gt=0, description="of videos: seconds from one frame to the next, for figures")
    model_rdms: Path | None = Field(None, description="RDMs of models, beside those of subjects: arrays by their names")
    recordings: dict[Name, Recording] = Field(
        {}, description="by subject; of matrices by set, of sentences by release. At least one, unless simulated"
    )
    splits: Splits = Field(
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
    sentences: SentenceOptions = SentenceOptions()
    continuous: ContinuousOptions = ContinuousOptions()
    simulate: World | None = Field(
        None, description="make the data first: a world with known truth; scenes if none is named"
    )
    decoded: tuple[Name, ...] = Field((), description="M/EEG subjects whose image categories are decoded over time")
    shape: Shape | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_a_title_and_a_world(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        content = {"title": content.get("name", ""), **content}
        if isinstance(recordings := content.get("recordings"), dict):
            named = {str(name).removeprefix("sub-"): files for name, files in recordings.items()}
            named, places = named if len(named) == len(recordings) else recordings, places_of(content)
            urls = content.get("urls") or ()
            content["recordings"] = {name: with_runs(name, files, places, urls) for name, files in named.items()}
        if "continuous" in content:
            urls = content.get("urls") or ()
            content["continuous"] = with_signals(content["continuous"], places_of(content), urls)
        if isinstance(content.get("simulate"), dict):
            content["simulate"] = {"world": "scenes", **content["simulate"]}
        return content

    @model_validator(mode="after")
    def _has_files_of_its_world(self) -> "Study":
        world = self.simulate
        if world is not None and self.recordings and world.gives != "responses":
            raise ValueError(f"give recordings or simulate, one of them: {world.world} is a world with its own")
        return self.model_copy(update=world.files()) if isinstance(world, SimulateModalities | StoryWorld) else self

    @model_validator(mode="after")
    def _gives_one_type_of_data(self) -> Self:
        formats = {name: files.format for name, files in self.recordings.items()}
        given = {str(getattr(files, "gives", "responses")) for files in self.recordings.values()}
        if not formats and (self.simulate is None or self.simulate.gives == "responses"):
            raise ValueError("recordings: say who was recorded, and in which format; or simulate a world without files")
        if len(given) > 1 or ("kriegeskorte92" in formats.values() and len(set(formats.values())) > 1):
            raise ValueError(
                f"recordings: {listed(sorted(set(formats.values())))} give {listed(sorted(given))}, which no step "
                "takes together; describe a study for each"
            )
        data = self.data_type
        if data in ("judgements", "series") and len(formats) > 1:
            raise ValueError(f"recordings: {listed(list(formats))} are analysed one by one; describe a study for each")
        for name in sorted(self.model_fields_set):
            of = [other for other, names in OPTIONS.items() if name in names]
            if of and data not in of:
                raise ValueError(f"{name}: goes with {of[0]}, but these recordings give {data}; leave it out")
        shown = data not in ("series", "sentences") and "kriegeskorte92" not in formats.values()
        if self.stimuli and not shown:
            raise ValueError(f"stimuli: {listed(sorted(set(formats.values())))} holds what was shown; leave them out")
        if data != "responses" and shown and not isinstance(self.stimuli, Path) and not self.continuous.signals:
            raise ValueError("stimuli: give the file of what was shown, in the order of the recordings")
        return self

    @model_validator(mode="after")
    def _formats_fit(self) -> Self:
        checks = {"responses": check_responses, "continuous": check_continuous}
        if self.data_type in checks:
            checks[self.data_type](self)
        return self

    @property
    def origin(self) -> str:
        """Where the data come from and how they may be used, in sentences; what is missing is said."""
        cited = None if self.citation is None else self.citation.text.strip()
        doi = f" doi:{self.citation.doi}" if self.citation is not None and self.citation.doi else ""
        given = {"Data": cited and f"{cited}{doi}", "Licence": self.licence, "Source": self.source}
        missing = [{"Data": "citation"}.get(name, name.lower()) for name, value in given.items() if not value]
        sentences = [f"{name}: {value.rstrip('.')}." for name, value in given.items() if value]
        return " ".join([*sentences, f"Not given in the descriptor: {', '.join(missing)}."] if missing else sentences)

    @property
    def data_type(self) -> str:
        """What recordings give: responses, continuous, rdms, judgements, series, sentences, modalities or videos."""
        return str(getattr(next(iter(self.recordings.values()), self.simulate), "gives", "responses"))

    def space_of(self, subject: str) -> str:
        """Name the space that a subject's targets lie in; empty where the descriptor does not say."""
        return str(getattr(self.recordings.get(subject), "space", None) or (self.fmri.space if self.fmri else ""))

    @property
    def subject_names(self) -> list[str]:
        """The subjects whose data are prepared one by one; none where the study is prepared as a whole."""
        return list(self.recordings) if self.data_type in ("responses", "videos", "continuous") else []

    @property
    def is_simulated(self) -> bool:
        """Whether the run itself makes the data."""
        return self.simulate is not None

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
        fmri = self.holds_out and self.data_type == "responses"
        return [subject for subject in self.recordings if fmri and self.modality(subject) == "fmri"]

    @property
    def searched(self) -> list[str]:
        """The fMRI subjects, in whose brains searchlights can be placed: not arrays without voxels or vertices."""
        if self.data_type != "responses":
            return []
        return [one for one, files in self.recordings.items() if self.modality(one) == "fmri" and self._indexes(files)]

    def _indexes(self, files: Any) -> bool:
        """Whether targets are voxels or vertices; those of an array are where their table has the indices."""
        if files.format == "array" and files.targets and not files.atlas:
            with suppress(BrainalignError):  # what is wrong with a table is said when it is read
                return bool({"vertex", "k"} & set(table_columns(self.locate(files.targets, "targets"))))
        return files.format in PLACED

    def modality(self, subject: str) -> Literal["fmri", "meeg"]:
        """Name the modality of a subject's recordings."""
        return "meeg" if getattr(self.recordings[subject], "timed", False) else "fmri"

    def locate(self, path: Path, what: str) -> Path:
        """Return where a file of the dataset lies."""
        places = [place / path for place in places_of({"folder": self.folder, "name": self.name})]
        for place in places:
            if place.exists():
                return place
        raise BrainalignError(
            f"{self.name}: {what}: no file {path} in "
            f"{', '.join(str(place.parent) for place in places)}; correct the path in the descriptor, "
            "set BRAINALIGN_DATA to the folder that holds the dataset"
            + (f", or download it: brainalign fetch {self.file or self.name}" if self.urls else "")
        )

    # What was shown

    def stimulus_table(self) -> Path | None:
        """Locate the table of the stimuli; None where the descriptor itself lists them, and of videos."""
        there = isinstance(self.stimuli, Path) and self.data_type != "videos"
        return self.locate(Path(str(self.stimuli)), "stimuli") if there else None

    def image_tables(self) -> list[Path]:
        """Locate the table that lists images, where there is one."""
        table = self.stimulus_table()
        return [] if table is None or table.suffix == ".txt" or table.is_dir() else [table]

    def videos(self) -> list[Path]:
        """Locate every file of the videos; of folders all that is in them."""
        return files_of(*(path for name, path in self._tables().items() if name in ("stimuli", "training")))

    @property
    def listed_stimuli(self) -> dict[str, Stimulus]:
        """The stimuli that the descriptor itself lists, by id; of a table none."""
        return {} if isinstance(self.stimuli, Path) else self.stimuli

    def stimulus_ids(self) -> list[str]:
        """List the ids of the stimuli; raises as `locate` does where they stand in a table."""
        table = self.stimulus_table()
        return list(self.listed_stimuli) if table is None else table_column(table, "stimulus_id")

    def stimulus_columns(self) -> list[str] | None:
        """Return the columns that a table of the stimuli has, or would have; None where it is not there yet."""
        frames = ["path"] if self.continuous.films else []
        if not isinstance(self.stimuli, Path):
            texts = ["caption"] if self.n_texts else []
            pictured = frames if self.continuous.signals else ["path"] if self.has_images else []
            return ["stimulus_id", *pictured, *texts]
        if self.data_type == "videos":
            return []
        if self.data_type == "continuous" and (self.folder / self.stimuli).is_dir():
            return ["run", "onset_s", "duration_s", "text", *frames]
        try:
            return [*table_columns(self.locate(self.stimuli, "stimuli")), *frames]
        except BrainalignError:
            return None

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
        """Locate what a subject's recording names, by field ("betas.L" for a hemisphere).

        Without a subject what all of them name, by place in the descriptor, and tables. Raises as `locate`.
        """
        if subject:
            return dict(self._located(subject))
        named = [
            (f"recordings.{name}.{label}", path) for name in self.recordings for label, path in self._located(name)
        ]
        return dict(named) | self._tables()

    def _tables(self) -> dict[str, Path]:
        named = {name: getattr(self, name) for name in ("stimuli", "captions", "vectors", "training", "model_rdms")}
        named["sentences.split.table"] = self.sentences.split.table
        named |= self.continuous.signals
        return {name: self.locate(path, name) for name, path in named.items() if isinstance(path, Path)}

    def _located(self, subject: str) -> Iterator[tuple[str, Path]]:
        for label, path in _paths("", self.recordings[subject]):
            yield label, self.locate(path, f"recordings.{subject}.{label}")

    @property
    def _is_written(self) -> bool:
        """Whether the run writes the files first: they are not there when it is planned."""
        return self.is_simulated and self.data_type in ("responses", "modalities", "continuous")

    def find(self, subject: str, field: str) -> Path:
        """Return where a file of a subject lies; raises as `locate` does."""
        return self.locate(getattr(self.recordings[subject], field), f"recordings.{subject}.{field}")

    def all_files(self) -> list[Path]:
        """List every file and folder that must be there before a run; raises as `locate` does."""
        if self._is_written:
            return []
        return list(dict.fromkeys([*self.found_files().values(), *self.image_paths().values()]))

    def input_files(self, subject: str = "") -> dict[str, Path]:
        """Locate every file that data are read from, by name; raises as `locate` does.

        Of a folder those that belong to the recording; where none does, only names are read, and it stands for itself.
        A run of a table of series that is not there is left to the reader, which names it.
        """
        found: dict[str, Path] = {}
        if self._is_written and not subject:
            return found
        for owner in [subject] if subject else self.recordings:
            files, before = self.recordings[owner], "" if subject else f"recordings.{owner}."
            for label, path in self._located(owner):
                patterns = [pattern.format_map(vars(files)) for pattern in getattr(files, "patterns", ())]
                inside = {file for pattern in patterns for file in path.glob(pattern)}
                read = sorted(file for file in inside if file.is_file())
                named = {f"{before}{label}: {file.relative_to(path)}": file for file in read}
                found |= named or {f"{before}{label}": path}
            if isinstance(files, SeriesFiles) and files.derivatives is None:
                for run in table_column(self.locate(files.people, f"{before}people"), "path"):
                    with suppress(BrainalignError):
                        found[f"{before}people: {run}"] = self.locate(Path(run), f"{before}people: path")
        return found if subject else found | self._tables()

    def inputs(self, subject: str = "") -> list[Path]:
        """List the files that data are read from; raises as `locate` does."""
        return list(self.input_files(subject).values())

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
        if self.data_type != "responses":
            named = {"sha256", "stimuli", "simulate", *OPTIONS[self.data_type]} - {"frame_s"}
            recorded = {subject: self.recordings[subject]} if subject else self.recordings
            dumped = {name: files.model_dump(mode="json", exclude={"description"}) for name, files in recorded.items()}
            return self.model_dump(mode="json", include=named) | {"recordings": dumped}
        files = self.recordings[subject]
        options = self.model_dump(mode="json", include={"sha256", "splits", "simulate", "shape", "betas", "markers"})
        of_maps = {"fmriprep": self.glm, "nifti": self.fmri}.get(files.format, self.betas)
        own = self.epochs if self.modality(subject) == "meeg" else of_maps
        # Where stimuli are held out, their images and wordings are looked at for copies.
        seen = {name: [str(one.path or ""), *one.texts] for name, one in self.listed_stimuli.items()}
        shown = list(seen) if self.held_out is None else seen
        options |= {"subject": files.model_dump(mode="json"), "stimuli": shown}
        return options | {"options": own.model_dump(mode="json")}  # type: ignore[union-attr]

    def extract_options(self) -> dict[str, object]:
        """List the options that the features of the stimuli depend on, besides the files; of videos checksums, too."""
        events = {"stimuli": True, "continuous": {"tier", "sounds", "films", "fps"}}
        named: Any = {"videos": {"stimuli", "training", "sha256"}, "continuous": events}
        return self.model_dump(mode="json", include=named.get(self.data_type, {"stimuli"}))


def _paths(field: str, value: object) -> Iterator[tuple[str, Path]]:
    """Yield (name, path) of every path in a field of a recording."""
    if isinstance(value, Path):
        yield field.strip("."), value
        return
    parts: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, BaseModel):
        parts = value
    elif isinstance(value, tuple):
        parts = enumerate(value, start=1)
    for part, inner in parts:
        yield from _paths(f"{field}.{part}", inner)


def load_descriptor(path: str | Path, raw: str | Path | None = None) -> Study:
    """Read and validate the descriptor of a study; relative files are looked for beside it.

    `raw` is where the files of a simulated study are written to and read from.
    """
    path = Path(path)
    content = read_yaml(path)
    if isinstance(content, dict):
        if "kind" in content:
            kind = str(content["kind"])
            what = FORMER.get(kind, "the formats of its recordings say what it is")
            raise BrainalignError(f"{path}: kind: {kind} is no key of descriptors any more: {what}")
        simulated = content.get("simulate") is not None and raw is not None
        content = without_run_keys(content, Study.model_fields, path)
        content["folder"] = raw if simulated else path.parent
        content["file"] = path
    return parse(Study, content, str(path))
