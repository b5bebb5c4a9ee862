"""Files of raw M/EEG recordings, whose markers say what was shown."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from brainalign.study.parsing import Strict


class MuseFiles(Strict):
    """CSV files of a Muse headset, one per recording: paths as everywhere in a descriptor."""

    timed: ClassVar[bool] = True

    format: Literal["muse"]
    recordings: tuple[Path, ...] = Field(min_length=1)


class BidsFiles(Strict):
    """Raw recordings of one participant in a BIDS folder (extra: bids)."""

    timed: ClassVar[bool] = True

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
