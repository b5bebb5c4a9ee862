"""What pages are drawn from: artifacts of one subject or dataset, with the sidecars of what was read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from brainalign.arrays import Arrays
from brainalign.checks import BrainalignError
from brainalign.io import Provenance, load, load_sidecar
from brainalign.report.kit.material import DECODED_TABLES, DecodedTimes, StudyMaterial

T = TypeVar("T")
M = TypeVar("M", bound=StudyMaterial)


@dataclass
class Shelf:
    """Artifacts that the jobs of one subject, or of a dataset, leave.

    Parameters
    ----------
    page : StudyMaterial
        Whose page is drawn, and what failed: where something has, what is missing or out of date is None; otherwise
        it is an error.
    jobs : sequence of (step, suffixes, labels)
        What the run has for this page: the name of each step, what it saves, and the labels of its files.
    locate : callable (suffix, dataset, **labels)
        Returns the main file of an artifact.
    provenance : Provenance
        Notes what is read.
    whole : sequence of str
        Of the page of a dataset: the subjects of whom nothing failed.
    """

    page: StudyMaterial
    jobs: Sequence[tuple[str, Sequence[str], Mapping[str, str]]]
    locate: Callable[..., Path]
    provenance: Provenance
    whole: Sequence[str] = ()

    def each(self, suffix: str) -> list[Mapping[str, str]]:
        """List the labels of every artifact of a suffix, in the order of the run; none where nothing saves it."""
        return [labels for _, suffixes, labels in self.jobs if suffix in suffixes]

    def fetch(self, suffix: str, kind: type[T], **labels: str) -> T | None:
        """Load an artifact, or with the kind `object` only look at its sidecar.

        Parameters
        ----------
        suffix : str
        kind : type
        labels : str
            Of one artifact of several; without them the only one of its suffix, None where the run has none.
        """
        if not labels:
            if not (every := self.each(suffix)):
                return None
            labels = dict(every[0])
        path = self.locate(suffix, self.page.dataset, **labels)
        whose = ", ".join(f"{key} {value}" for key, value in labels.items())
        try:
            record = load_sidecar(path)
            stages = {step for step, suffixes, _ in self.jobs if suffix in suffixes}
            failed = any((record["stage"], whose) == (failure.stage, failure.job) for failure in self.page.failures)
            if failed or (self.page.failures and stages and record["stage"] not in stages):
                return None
            content = load(path, kind, self.provenance) if kind is not object else None
        except BrainalignError:
            if self.page.failures:
                return None
            raise
        self.page.sidecars[path.name] = record
        return content

    def note(self, *suffixes: str) -> None:
        """Look at the sidecars of every artifact of some suffixes."""
        for suffix in suffixes:
            for labels in self.each(suffix):
                self.fetch(suffix, object, **labels)

    def tables(self, suffixes: Sequence[str], **labels: str) -> dict[str, pd.DataFrame]:
        """Load tables that belong together: all of them, or none where the run has not all."""
        every = {suffix: self.fetch(suffix, pd.DataFrame, **labels) for suffix in suffixes}
        whole = {suffix: table for suffix, table in every.items() if table is not None}
        return whole if len(whole) == len(every) else {}

    def material(self, kind: type[M], **content: Any) -> M:
        """Begin what a chapter is drawn from: it shares the sidecars and the failures of the page."""
        page = self.page
        shared: dict[str, Any] = {"sidecars": page.sidecars, "failures": page.failures}
        return kind(page.config, page.dataset, page.descriptor, page.subject, **shared, **content)

    def study(self, tables: Sequence[str], arrays: Sequence[str] = (), noted: Sequence[str] = ()) -> StudyMaterial:
        """Gather tables, arrays, and the sidecars of what is not drawn; nothing of a study in which something failed.

        Each is named by its suffix.
        """
        if self.page.failures:
            return self.material(StudyMaterial)
        self.note(*noted)
        content = {suffix: self.fetch(suffix, Arrays) or Arrays() for suffix in arrays}
        return self.material(StudyMaterial, tables=self.tables(tables), arrays=content)


def decoded_times_of(shelf: Shelf, **labels: str) -> DecodedTimes | None:
    """Gather the decoding over time of a subject, where all of it is there."""
    tables, squares = shelf.tables(DECODED_TABLES, **labels), shelf.fetch("timesquares", Arrays, **labels)
    if squares is None or not tables:
        return None
    return DecodedTimes(tables, squares, shelf.page.details("timesquares", **labels))
