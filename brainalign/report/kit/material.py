"""Everything a report draws from. What a failed stage did not leave is None, and its section is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays, Responses
from brainalign.config import Config
from brainalign.statistics.summary import Encoding
from brainalign.study import Study

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image


@dataclass(frozen=True)
class First:
    """What maps and single figures show: the first model and method, their first split and layer."""

    model: str
    method: str
    encoding: Encoding
    split: str
    layer: str

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of this split and layer."""
        return table[(table["split"] == self.split) & (table["layer"] == self.layer)]


@dataclass(frozen=True)
class Failure:
    """A job that left no result: what its log ends with, or why it never ran."""

    stage: str
    job: str
    message: str


@dataclass
class Material:
    """One subject of one dataset.

    Attributes
    ----------
    encodings : dict
        By (model, method), in the order of the configuration; the first is the one maps are drawn of.
    sidecars : dict
        Sidecar of every artifact by file name.
    """

    config: Config
    dataset: str
    descriptor: Study
    subject: str
    responses: Responses | None = None
    splits: pd.DataFrame | None = None
    ceiling: pd.DataFrame | None = None
    mask: Nifti1Image | None = None
    bold: Nifti1Image | None = None
    encodings: dict[tuple[str, str], Encoding] = field(default_factory=dict)
    rdms: Arrays | None = None
    conditions: list[str] = field(default_factory=list)
    comparison: pd.DataFrame | None = None
    searchlights: dict[str, pd.DataFrame] = field(default_factory=dict)  # by model
    decoding: pd.DataFrame | None = None
    summary: pd.DataFrame | None = None
    sidecars: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def first(self) -> First:
        """What maps and single figures show; there must be an encoding."""
        (model, method), encoding = next(iter(self.encodings.items()))
        split, layer = encoding.scores[["split", "layer"]].iloc[0]
        return First(model, method, encoding, split, layer)

    @property
    def labels(self) -> list[str]:
        """Names of the conditions as figures show them."""
        return self.descriptor.labels_of(self.conditions)

    @property
    def n_stimuli(self) -> int:
        """How many stimuli there are."""
        return len(self.descriptor.listed_stimuli) or len(self.conditions)

    def splits_that_leave(self, what: str) -> list[str]:
        """Return the names of the splits that leave out runs or stimuli."""
        return [name for name, split in self.descriptor.left_out.items() if split.of_stimuli == (what == "stimulus")]

    def summary_rows(self, quantity: str, **labels: str) -> pd.DataFrame:
        """Return the headline rows of a quantity, restricted to the given labels."""
        assert self.summary is not None
        rows = self.summary[self.summary["quantity"] == quantity]
        for name, label in labels.items():
            rows = rows[rows[name] == label]
        return rows

    def pooled_rows(self, quantity: str, **labels: str) -> pd.DataFrame:
        """Return headline rows, for models of several layers only the row over all of them."""
        rows = self.summary_rows(quantity, **labels)
        several = rows.loc[rows["layer"] == "all", "model"]
        return rows[(rows["layer"] == "all") | ~rows["model"].isin(several)]

    def models_of(self, extractor: str) -> list[str]:
        """Return the names of the models an extractor makes."""
        return [name for name, model in self.config.models.items() if model.extractor == extractor]

    @property
    def full_rank_models(self) -> list[str]:
        """Names of the models all of whose layers tell n stimuli apart in n − 1 dimensions."""
        full = self.n_stimuli - 1
        found = []
        for model, method in self.encodings:
            record = self.sidecars[f"sub-{self.subject}_model-{model}_method-{method}_scores.parquet"]
            if model not in found and min(record["details"]["rank"].values()) == full:
                found.append(model)
        return found

    @property
    def several_blocks(self) -> bool:
        """Whether a category was shown in more than one block of a run."""
        if self.responses is None:
            return False
        return bool(self.responses.trials.duplicated(["session", "run", "stimulus_id"]).any())

    @property
    def layered_models(self) -> list[str]:
        """Names of the models of images with several layers, in the order of the configuration."""
        several = {model for (model, _), encoding in self.encodings.items() if encoding.scores["layer"].nunique() > 1}
        return [
            name
            for name, model in self.config.models.items()
            if name in several and (model.reads_images or model.reads_vectors)
        ]

    def name_of(self, model: str, layer: str) -> str:
        """Name a space: the model, with the layer where it has several."""
        return f"{model} ({layer})" if model in self.layered_models else model

    @property
    def wording_models(self) -> list[str]:
        """Names of the models that embed every wording on its own."""
        return [name for name, model in self.config.models.items() if getattr(model, "wordings", "") == "each"]

    def volume(self, values: np.ndarray) -> Nifti1Image:
        """Return a value per target as an image, NaN outside the mask."""
        assert self.mask is not None
        assert self.responses is not None
        return self.responses.to_image(values, self.mask)
