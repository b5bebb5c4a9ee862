"""What a row of the table of steps is made of: whose jobs there are, what each reads, and what changes its result.

Never imports torch: Snakemake reads this file while it builds the DAG.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainalign.io import artifact_path
from brainalign.workflow.run import Labels, Run, files_of_folder

Reader = Callable[[Run, Labels], Iterable[str | Path]]
Settings = Callable[[Run, Labels], Mapping[str, Any]]
Whose = Callable[[Run], Iterable[Labels]]
SUBJECT, FIT = ("subject",), ("subject", "model", "method")


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Parameters
    ----------
    name : str
        What it is called wherever a user meets it, and of the function of a job and its module in `folder`. Several
        rows may have one name.
    folder : str
        Of the programs.
    about : str
        What it does, in a line.
    of : callable (run)
        Yields the labels of every job that the configuration asks for.
    labels : tuple of str
        Besides the dataset: what stands in the names of its files.
    reads : mapping of str to callable (run, labels)
        Files by suffix, or by the name that the step knows them by; a change of one reruns the job.
    writes : tuple of str
        Suffixes of what it saves, the main one first.
    settings : callable (run, labels)
        Everything that changes the result, by section.
    beside : mapping of str to callable (run, labels)
        Files that it is told of and whose change reruns nothing: what matters in them stands in the settings.
    makes : mapping of str to callable (run, labels)
        Files it writes that are no artifacts, given labels or wildcards.
    watches : callable (run, labels)
        What else reruns it, as text.
    device : callable (run, labels)
        Whether it takes turns at a GPU.
    spreads : bool
        Whether workers of a cluster share the jobs of linear methods, where the configuration names some.
    without : callable (run, labels)
        Folders and files that this job never enters, though its program may: an edit there does not rerun it.
    priority : int
        Of its jobs: what everything follows, and the longest, start as soon as they can.
    data : str
        What the row is of, where another does the same with other data.
    """

    name: str
    folder: str
    about: str
    of: Whose
    labels: tuple[str, ...]
    reads: Mapping[str, Reader]
    writes: tuple[str, ...]
    settings: Settings
    beside: Mapping[str, Reader] = field(default_factory=dict)
    makes: Mapping[str, Callable[[Run, Labels], Path]] = field(default_factory=dict)
    watches: Callable[[Run, Labels], str] = lambda run, of: ""
    device: Callable[[Run, Labels], bool] = lambda run, of: False
    spreads: bool = False
    without: Callable[[Run, Labels], tuple[str, ...]] = lambda run, of: ()
    priority: int = 0
    data: str = ""

    @property
    def rule(self) -> str:
        """The name of its rule, and of no other row."""
        return f"{self.name}_{self.data}" if self.data else self.name

    def outputs(self, run: Run, of: Labels) -> dict[str, Path]:
        """Locate the main files of a job's artifacts, and what else it makes; wildcards give the pattern of a rule."""
        labels = {name: of[name] for name in self.labels}
        artifacts = {
            suffix: artifact_path(run.config.results, of["dataset"], suffix, **labels) for suffix in self.writes
        }
        return artifacts | {name: place(run, of) for name, place in self.makes.items()}


# Whose jobs there are ------------------------------------------------------------------------------------------------


def each_dataset(*data_types: str, where: Callable[[Run, str], Any] = lambda run, dataset: True) -> Whose:
    """Make a job of every dataset of these types of data."""

    def of(run: Run) -> Iterator[Labels]:
        return ({"dataset": dataset} for dataset in run.datasets_of(*data_types) if where(run, dataset))

    return of


def each_subject_of(
    *data_types: str, where: Callable[[Run, str, str], Any] = lambda run, dataset, subject: True
) -> Whose:
    """Make a job of every subject."""

    def of(run: Run) -> Iterator[Labels]:
        for dataset in run.datasets_of(*data_types):
            for subject in run.subjects(dataset):
                if where(run, dataset, subject):
                    yield {"dataset": dataset, "subject": subject}

    return of


def each_fit_of(*data_types: str, where: Callable[[Run, str, str], Any] = lambda run, dataset, subject: True) -> Whose:
    """Make a job of every subject, model and method that is fitted."""

    def of(run: Run) -> Iterator[Labels]:
        for one in each_subject_of(*data_types, where=where)(run):
            for model, method in run.config.fits_of(one["dataset"], one["subject"]):
                yield {**one, "model": model, "method": method}

    return of


# What a job reads ----------------------------------------------------------------------------------------------------


def _artifacts(suffixes: Iterable[str], whose: Callable[[Run, Labels], Iterable[Labels]]) -> dict[str, Reader]:
    """Read artifacts of a dataset that have these labels besides."""

    def of_one(suffix: str) -> Reader:
        return lambda run, of: [run.artifact(suffix, of["dataset"], **labels) for labels in whose(run, of)]

    return {suffix: of_one(suffix) for suffix in suffixes}


def own(*suffixes: str) -> dict[str, Reader]:
    """Read artifacts of the job's subject, or of its dataset where it has none."""
    return own_of(lambda run, dataset: True, *suffixes)


def own_of(where: Callable[[Run, str], bool], *suffixes: str) -> dict[str, Reader]:
    """Read artifacts that some studies alone have."""

    def whose(run: Run, of: Labels) -> list[Labels]:
        return [{name: of[name] for name in SUBJECT if name in of}] if where(run, of["dataset"]) else []

    return _artifacts(suffixes, whose)


def each_fit(*suffixes: str) -> dict[str, Reader]:
    """Read artifacts of every model and method of the subject."""

    def whose(run: Run, of: Labels) -> Iterator[Labels]:
        for model, method in run.config.fits_of(of["dataset"], of["subject"]):
            yield {"subject": of["subject"], "model": model, "method": method}

    return _artifacts(suffixes, whose)


def each_subject(*suffixes: str) -> dict[str, Reader]:
    """Read artifacts of every subject of the dataset."""
    return _artifacts(suffixes, lambda run, of: [{"subject": name} for name in run.subjects(of["dataset"])])


def features(models: Callable[[Run, Labels], Iterable[str | None]]) -> Reader:
    """Read the features of some models; None stands for none."""
    return lambda run, of: [run.artifact("features", of["dataset"], model=model) for model in models(run, of) if model]


OF_ITS_MODEL = {"features": features(lambda run, of: [of["model"]])}
OF_EVERY_MODEL = {"features": features(lambda run, of: run.config.models_of(of["dataset"]))}
DESCRIPTOR: dict[str, Reader] = {"descriptor": lambda run, of: [run.config.datasets[of["dataset"]].descriptor]}
RAW_FOLDER: dict[str, Reader] = {"folder": lambda run, of: [run.config.raw_folder(of["dataset"])]}
RAW: dict[str, Reader] = {"raw": lambda run, of: run.raw_inputs(of)}
STIMULI: dict[str, Reader] = {"stimuli": lambda run, of: run.stimuli(of)}
PRIOR: dict[str, Reader] = {
    "weights": lambda run, of: [path for model in run.encoders_of_images() for path in run.weights(model)],
    "prior": lambda run, of: files_of_folder(run.config.synthesize.prior),
}


# What changes a result -----------------------------------------------------------------------------------------------


def chosen(*sections: str) -> Settings:
    """Take sections of the configuration as they are."""
    return lambda run, of: {name: getattr(run.config, name) for name in sections}


def prepared(*sections: str) -> Settings:
    """Take what responses depend on in the descriptor, and sections of the configuration."""

    def settings(run: Run, of: Labels) -> dict[str, Any]:
        options = run.descriptors[of["dataset"]].prepare_options(of.get("subject", ""))
        return {"descriptor": options, **chosen(*sections)(run, of)}

    return settings
