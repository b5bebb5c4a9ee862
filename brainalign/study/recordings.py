"""What a descriptor says of M/EEG recordings in which categories were shown, image by image unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from brainalign.study.parsing import Strict

Window = tuple[float, float]


class MuseFiles(Strict):
    """CSV files of a Muse headset, one per recording: paths as everywhere in a descriptor."""

    format: Literal["muse"]
    recordings: tuple[Path, ...] = Field(min_length=1)


class EpochsFiles(Strict):
    """MNE epochs, a file per recording, whose metadata have the column category, and onset_s or their own events."""

    format: Literal["epochs"]
    recordings: tuple[Path, ...] = Field(min_length=1)


class BidsFiles(Strict):
    """Raw recordings of one participant in a BIDS folder (extra: bids)."""

    format: Literal["bids"]
    root: Path = Field(description="folder of the dataset")
    participant: str = Field(description="without sub-")
    task: str
    session: str | None = None
    runs: tuple[str, ...] | None = Field(None, min_length=1, description="the only file where not given")
    datatype: Literal["eeg", "meg"] = "eeg"

    @property
    def patterns(self) -> tuple[str, ...]:
        """What a folder holds of this participant."""
        return (f"sub-{self.participant}/**/*",)

    @property
    def signals(self) -> tuple[str, ...]:
        """The recordings that are read, with their sidecars; `acq-crosstalk_meg.fif` and the like are of no task."""
        names = [f"sub-{self.participant}", *([] if self.session is None else [f"ses-{self.session}"])]
        stem = "/".join([*names, self.datatype, f"{'_'.join(names)}_task-{self.task}_"])
        runs = ["*"] if self.runs is None else [f"*run-{run}_*" for run in self.runs]
        return tuple(f"{stem}{run}{self.datatype}.*" for run in runs)


RecordingFiles = Annotated[MuseFiles | EpochsFiles | BidsFiles, Field(discriminator="format")]


class CutOptions(Strict):
    """How recordings become epochs."""

    band_hz: Window | None = Field(None, description="FIR filter without delay; of epochs saved by MNE not applied")
    tmin_s: float = -0.15
    tmax_s: float = 0.5
    baseline_s: Window | None = Field(None, description="seconds whose mean is subtracted; nothing where not given")
    reject_uv: float | None = Field(None, gt=0, description="largest minus smallest of an EEG channel in an epoch")
    decimate: int = Field(1, ge=1, description="keep every so many samples")

    @model_validator(mode="after")
    def _in_order(self) -> CutOptions:
        if self.tmin_s >= self.tmax_s:
            raise ValueError(f"tmin_s {self.tmin_s} is not before tmax_s {self.tmax_s}; exchange them")
        return self
