"""Everything a report draws from. What a failed stage did not leave is None, and its section is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from brainalign.arrays import Arrays, Responses
from brainalign.settings import Config, Descriptor

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

__all__ = ["Encoding", "Failure", "Material"]


@dataclass(frozen=True)
class Encoding:
    """Tables of one model and method, as the encode stage wrote them."""

    scores: pd.DataFrame
    identification: pd.DataFrame
    null: pd.DataFrame


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
    descriptor: Descriptor
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
    decoding: pd.DataFrame | None = None
    summary: pd.DataFrame | None = None
    sidecars: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """Names of the conditions as figures show them."""
        stimuli = self.descriptor.stimuli
        return [stimuli[name].label or name for name in self.conditions]

    def splits_that_leave(self, what: str) -> list[str]:
        """Return the names of the splits that leave out runs or stimuli."""
        return [name for name, split in self.descriptor.splits.items() if split.leave_out == what]

    def summary_rows(self, quantity: str, **labels: str) -> pd.DataFrame:
        """Return the headline rows of a quantity, restricted to the given labels."""
        assert self.summary is not None
        rows = self.summary[self.summary["quantity"] == quantity]
        for name, label in labels.items():
            rows = rows[rows[name] == label]
        return rows

    def volume(self, values: np.ndarray) -> Nifti1Image:
        """Return a value per target as an image, NaN outside the mask."""
        import nibabel

        assert self.mask is not None
        assert self.responses is not None
        image = np.full(self.mask.shape, np.nan, dtype=np.float32)
        image[tuple(self.responses.targets[["i", "j", "k"]].to_numpy().T)] = values
        return nibabel.Nifti1Image(image, self.mask.affine)
