"""What a descriptor says of time series of regions: tables per run, or preprocessed scans and an atlas; or a world.

SeriesFiles         where runs, people and regions are described
ScanOptions         how series are made of what fMRIPrep left
SeriesWorld         options of the simulated worlds
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from brainalign.study.parsing import Strict


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
    """Files of region series: paths as everywhere in a descriptor."""

    people: Path = Field(
        description="table with a row per run: subject; path of a .npy, .csv or .tsv (frames by regions), unless "
        "derivatives are given; split (train or test), where it is fixed; columns of traits and states"
    )
    regions: Path | None = Field(None, description="table with a row per region: region_id, network of an atlas")
    derivatives: Path | None = Field(None, description="output folder of fMRIPrep")
    scans: ScanOptions | None = Field(None, description="needed with derivatives")

    @property
    def patterns(self) -> tuple[str, ...]:
        """What derivatives hold that is read: series with their sidecars, masks and confounds."""
        kinds = ("_bold.*", "_desc-brain_mask.*", "_desc-confounds_timeseries.tsv")
        return (*(f"sub-*/**/*{kind}" for kind in kinds), "task-*_bold.json")


class SeriesWorld(Strict):
    """A simulated study."""

    world: Literal["roi_series", "roi_lagged"] = "roi_series"
    n_subjects: int = Field(48, ge=8)
    n_frames: int = Field(320, ge=40)
    regions_per_network: int = Field(10, ge=2)
    state_strength: float = Field(
        0.0, ge=0, le=0.9, description="roi_series: correlation by which two states differ; 0: no states"
    )
    state_frames: int = Field(80, ge=20, description="frames of a run in one state")
    seed: int = 0

    @model_validator(mode="after")
    def _states_are_runs(self) -> SeriesWorld:
        if "state" in self.labels and self.state_frames >= self.n_frames:
            raise ValueError(
                f"state_frames: {self.state_frames} of {self.n_frames} frames leave one state only; give fewer"
            )
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """What is known of the people and runs of this world."""
        if self.world == "roi_lagged":
            return ()
        return ("trait", "state") if self.state_strength else ("trait",)
