"""What a page is drawn from: artifacts of one dataset, with the sidecars of what was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from brainalign.checks import BrainalignError
from brainalign.io import Provenance, load, load_sidecar
from brainalign.report import Failure
from brainalign.study import Descriptor
from brainalign.workflow import Run

T = TypeVar("T")
M = TypeVar("M")


@dataclass
class Shelf:
    """Artifacts of a dataset by suffix.

    Parameters
    ----------
    run : Run
    dataset : str
    provenance : Provenance
        Notes what is read.
    failures : list of Failure
        Where there are some, what is missing or out of date is None; otherwise it is an error.
    """

    run: Run
    dataset: str
    provenance: Provenance
    failures: list[Failure] = field(default_factory=list)
    sidecars: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def fetch(self, suffix: str, kind: type[T], **labels: str) -> T | None:
        """Load an artifact, or with the kind `object` only look at its sidecar.

        Raises
        ------
        BrainalignError
            If it is missing or damaged, and nothing has failed.
        """
        path = self.run.artifact(suffix, self.dataset, **labels)
        whose = ", ".join(f"{key} {value}" for key, value in labels.items())
        try:
            record = load_sidecar(path)
            if any((record["stage"], whose) == (failure.stage, failure.job) for failure in self.failures):
                return None
            content = load(path, kind, self.provenance) if kind is not object else None
        except BrainalignError:
            if self.failures:
                return None
            raise
        self.sidecars[path.name] = record
        return content

    def material(self, kind: Callable[..., M], descriptor: Descriptor, *subject: str) -> M:
        """Begin what a page is drawn of: it shares the sidecars and the failures of the shelf."""
        return kind(self.run.config, self.dataset, descriptor, *subject, sidecars=self.sidecars, failures=self.failures)

    def table(self, suffix: str, **labels: str) -> pd.DataFrame:
        """Load a table of something that has not failed.

        Raises
        ------
        BrainalignError
            If it is missing or damaged.
        """
        path = self.run.artifact(suffix, self.dataset, **labels)
        self.sidecars[path.name] = load_sidecar(path)
        return load(path, pd.DataFrame, self.provenance)

    def tables(self, suffixes: Sequence[str], **labels: str) -> dict[str, pd.DataFrame]:
        """Load tables that belong together: all of them, or none where one is missing after a failure."""
        found = {suffix: self.fetch(suffix, pd.DataFrame, **labels) for suffix in suffixes}
        whole = {suffix: table for suffix, table in found.items() if table is not None}
        return whole if len(whole) == len(found) else {}

    def details(self, suffix: str, **labels: str) -> Mapping[str, Any]:
        """Look up what the step that saved an artifact noted beside it; nothing where it was not read."""
        record = self.sidecars.get(self.run.artifact(suffix, self.dataset, **labels).name, {})
        noted: Mapping[str, Any] = record.get("details", {})
        return noted
