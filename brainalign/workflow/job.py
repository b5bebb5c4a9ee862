"""A job: what a step of a run reads, writes and was asked. A step loads and saves by suffix and knows no path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from brainalign.checks import BrainalignError
from brainalign.io import Provenance, load, load_sidecar, read_json, save
from brainalign.study import Study, load_descriptor, parse
from brainalign.workflow.digests import digest_file

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


@dataclass
class Job:
    """One job of a run, as its step sees it.

    Parameters
    ----------
    step : str
        A row of the table of steps.
    settings : mapping
        Everything that changes the result, as JSON, by section.
    inputs : mapping of str to sequence of path
        Files by suffix of their artifact, or by the name the table gives a file that no step saved. Several of one
        suffix stand in the order of the run's models, fits or subjects.
    outputs : mapping of str to path
        Main files of what the step saves, by suffix.
    labels : mapping of str to str, optional
        dataset, subject, model, method: what the job is of.
    seed : int, optional
    gpu : bool, optional
        Whether the job takes a GPU, where there is one.
    cluster : mapping, optional
        Workers that share the job: where, workers and options; none where empty.
    without : sequence of str, optional
        Folders and files that the job never enters, though its program may.
    library : str, optional
        Digest of the code that takes part, known where the job runs.
    """

    step: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    outputs: Mapping[str, Path] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    gpu: bool = False
    cluster: Mapping[str, Any] = field(default_factory=dict)
    without: Sequence[str] = ()
    library: str = ""

    def __post_init__(self) -> None:
        self.inputs = {name: [Path(path) for path in paths] for name, paths in self.inputs.items()}
        self.without = tuple(self.without)
        self.outputs = {name: Path(path) for name, path in self.outputs.items()}

    @cached_property
    def provenance(self) -> Provenance:
        """What the job has read so far, with its settings: goes into the sidecars of what it saves."""
        return Provenance(self.step, self.settings, self.library, self.seed, files=self.places)

    @classmethod
    def read(cls, path: str | Path) -> Job:
        """Read a job from the file that a run wrote it to, or from the sidecar of what it saved."""
        content = read_json(path, "holds no job of a run", "run the workflow again; it writes the file")
        if "job" in content:  # a sidecar
            files = content["job"] or {}
            content = {"step": content["stage"], "settings": content["settings"], "seed": content["seed"], **files}
        try:
            return cls(**content)
        except TypeError as error:
            raise BrainalignError(f"{path}: holds no job of a run ({error}); run the workflow again") from None

    def write(self, folder: str | Path) -> Path:
        """Write the job to a file named by its digest, and return where that lies."""
        content = {"step": self.step, "settings": dict(self.settings), "seed": self.seed, **self.places}
        return digest_file(folder, content)

    @property
    def places(self) -> dict[str, object]:
        """Where the job reads and writes, and what it is of, as JSON."""
        return {
            "inputs": {name: [str(path) for path in paths] for name, paths in self.inputs.items()},
            "outputs": {name: str(path) for name, path in self.outputs.items()},
            "labels": dict(self.labels),
            "gpu": self.gpu,
            "cluster": dict(self.cluster),
            "without": list(self.without),
        }

    def options(self, section: str, model: type[M]) -> M:
        """Parse a section of the settings."""
        return parse(model, self.settings[section], section)

    def has(self, name: str) -> bool:
        """Tell whether the job was given a file of this name."""
        return bool(self.inputs.get(name))

    def paths(self, name: str) -> list[Path]:
        """List the files of one name; none where the run has none."""
        return list(self.inputs.get(name, []))

    def path(self, name: str) -> Path:
        """Locate the one file of a name."""
        paths = self.paths(name)
        if len(paths) != 1:
            raise BrainalignError(f"{self.step} wants one file {name!r} and was given {len(paths)}")
        return paths[0]

    def study(self) -> Study:
        """Load the descriptor of the job, and note that the files of its study, or of its subject, are read."""
        study = load_descriptor(self.path("descriptor"), raw=self.path("folder") if self.has("folder") else None)
        for name, path in study.found_files(self.labels.get("subject", "")).items():
            if path.is_file():
                self.provenance.read(name, path)
        return study

    def load(self, name: str, kind: type[T], *, stored: bool = False) -> T:
        """Load the one artifact of a suffix; the sidecars of what is saved name it.

        With `stored` its arrays stay on disk: rows are read where they are asked for.
        """
        return load(self.path(name), kind, self.provenance, stored=stored)

    def load_all(self, name: str, kind: type[T]) -> list[T]:
        """Load every artifact of a suffix, in the order of the run."""
        return [load(path, kind, self.provenance) for path in self.paths(name)]

    def details(self, name: str) -> dict[str, Any]:
        """Read what the step that saved an artifact noted beside it."""
        return load_sidecar(self.path(name))["details"]

    def save(self, name: str, content: Any, images: Mapping[str, Any] | None = None, /, **details: object) -> None:
        """Save an artifact by suffix, with images of the same numbers beside it and what shall stand in its sidecar."""
        save(self.outputs[name], content, self.provenance, images, **details)
