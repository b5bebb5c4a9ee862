"""What a descriptor says of recordings of the same images in several modalities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from brainalign.study.parsing import Strict

Name = Annotated[str, Field(pattern="^[A-Za-z0-9]+$")]


class SubjectArrays(Strict):
    """One subject: paths as everywhere in a descriptor."""

    signals: Path = Field(
        description=".npy, or .safetensors with one array: (n_trials, n_channels, n_times), or (n_trials, n_voxels)"
    )
    trials: Path = Field(description="table, a row per trial in the order of the signals: stimulus_id")


class ArrayRecordings(Strict):
    """Recordings as plain arrays; subjects of a modality have the same channels, or voxels of any number."""

    format: Literal["arrays"] = "arrays"
    subjects: dict[Name, SubjectArrays] = Field(min_length=1)


class ThingsRecordings(Strict):
    """Preprocessed THINGS-EEG2 or THINGS-MEG, as released."""

    format: Literal["things_eeg2", "things_meg"]
    folder: Path = Field(description="holds sub-01 ...")
    images: Path = Field(description="image_metadata.npy, or the folder of images")
    participants: tuple[Name, ...] = Field(min_length=1)
    trust_pickle: bool = Field(False, description="the releases are pickles, which can run any program")

    @property
    def patterns(self) -> tuple[str, ...]:
        """What the folder holds that is read."""
        return ("sub-*/preprocessed_*",)


ModalityFiles = ArrayRecordings | ThingsRecordings


class SimulateModalities(Strict):
    """EEG, MEG and fMRI with planted truth, written as files in the format of real ones."""

    n_train: int = Field(300, ge=10, description="concepts for training")
    n_images: int = Field(2, ge=1, description="of every training concept")
    n_test: int = Field(100, ge=10, description="concepts, of one image each")
    train_repeats: int = Field(4, ge=1)
    snr: float = Field(1.0, ge=0, description="times the signal to noise ratio of the world; 0: nothing to find")
    share: float = Field(0.5, ge=0, le=1, description="of the mixing's variance that subjects have in common")
    subjects: dict[Literal["eeg", "meg", "fmri"], int] = Field({"eeg": 4, "meg": 3, "fmri": 3}, min_length=1)

    @model_validator(mode="after")
    def _some_subjects(self) -> SimulateModalities:
        if min(self.subjects.values()) < 1:
            raise ValueError(f"subjects {self.subjects}: leave out a modality that nobody takes part in")
        return self

    def files(self) -> dict[str, ArrayRecordings]:
        """Return where the simulated files lie."""
        found = {}
        for name, n in self.subjects.items():
            subjects = {}
            for k in range(n):
                subject = f"{name}{k + 1:02d}"
                place = Path(name, subject)
                subjects[subject] = SubjectArrays(
                    signals=place.with_suffix(".npy"), trials=Path(name, f"{subject}_trials.csv")
                )
            found[str(name)] = ArrayRecordings(subjects=subjects)
        return found
