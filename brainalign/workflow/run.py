"""A run: its configuration, its studies, and where everything lies that its jobs read and write.

Never imports torch: Snakemake reads this file while it builds the DAG.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from brainalign.config import Config, TableModel, load_descriptors
from brainalign.devices import visible_gpus
from brainalign.io import artifact_path, file_digest, read_parquet, read_text_table
from brainalign.study import Study, files_of

# What a job is of: dataset, and subject, model and method where it has them. In the pattern of a rule they are
# wildcards.
Labels = Mapping[str, str]
LONG = 10**6  # bytes: Snakemake looks at the content of shorter files


class Run:
    """A configuration with the descriptors of its datasets.

    Parameters
    ----------
    config : Config
    check : bool, optional
        Whether configuration and descriptors are checked against each other: not again where the run has begun.

    Raises
    ------
    BrainalignError
        If a descriptor cannot be read, or contradicts the configuration.
    """

    def __init__(self, config: Config, *, check: bool = True) -> None:
        self.config = config
        self.descriptors: dict[str, Study] = load_descriptors(config, check=check)

    def datasets_of(self, *data_types: str) -> list[str]:
        """List the datasets whose recordings give one of these types of data."""
        return [name for name, descriptor in self.descriptors.items() if descriptor.data_type in data_types]

    @property
    def simulated(self) -> list[str]:
        """List the studies of images and of stories whose files the run itself makes."""
        return [name for name in self.datasets_of("responses", "continuous") if self.descriptors[name].is_simulated]

    def subjects(self, dataset: str) -> list[str]:
        """List the subjects of a dataset whose responses are prepared one by one."""
        return self.descriptors[dataset].subject_names

    def artifact(self, suffix: str, dataset: str, **labels: str) -> Path:
        """Locate the main file of an artifact."""
        return artifact_path(self.config.results, dataset, suffix, **labels)

    def raw_file(self, name: str, dataset: str) -> Path:
        """Locate a file that the run itself makes of a dataset."""
        return self.config.raw_folder(dataset) / name

    def log(self, step: str, of: Labels) -> Path:
        """Locate the log of a job."""
        labels = {name: label for name, label in of.items() if name != "dataset"}
        return log_path(self.config.results, of["dataset"], step, **labels)

    def page(self, of: Labels, *, incomplete: bool = False) -> Path:
        """Locate the page of a subject, or of all of them; one made after a failure has a name of its own."""
        return report_path(self.config.results, of["dataset"], of.get("subject", ""), incomplete=incomplete)

    def raw_inputs(self, of: Labels) -> list[str]:
        """List the files that responses are read from; of a simulated study the list of all its files."""
        dataset = of["dataset"]
        if dataset in self.simulated:
            return [str(self.raw_file("simulated.json", dataset))]
        return [str(path) for path in self.descriptors[dataset].inputs(of.get("subject", ""))]

    def event_files(self, dataset: str) -> list[Path]:
        """List the table of events of a stimulus that goes on, or the files of a folder of them; sounds and films."""
        if dataset in self.simulated:
            return [self.raw_file("simulated.json", dataset)]
        return files_of(self.descriptors[dataset].stimulus_table()) + self.signals(dataset)

    def signals(self, dataset: str) -> list[Path]:
        """List the sounds of stimuli that go on, and the folders of their films."""
        study = self.descriptors[dataset]
        return [study.locate(path, name) for name, path in study.continuous.signals.items()]

    def stimuli(self, of: Labels) -> list[str]:
        """List the table of the stimuli of a dataset; nothing where the descriptor holds them."""
        dataset = of["dataset"]
        if dataset in self.simulated or dataset in self.datasets_of("rdms", "judgements", "sentences", "continuous"):
            return [str(self.raw_file("stimuli/stimuli.tsv", dataset))]
        table = self.descriptors[dataset].stimulus_table()
        return [] if table is None else [str(table)]

    def listed_images(self, of: Labels) -> list[Path]:
        """List the images that a descriptor names itself; tables of stimuli name those of others."""
        return list(dict.fromkeys(self.descriptors[of["dataset"]].image_paths().values()))

    def image_state(self, of: Labels) -> str:
        """Digest what changes when an image does; of images that the run makes itself their table says it."""
        descriptor = self.descriptors[of["dataset"]]
        return "" if descriptor.is_simulated else "".join(map(image_state, descriptor.image_tables()))

    def states(self, read: Iterable[str | Path]) -> list[str]:
        """Tell files of a lab by their content; long ones, and those in folders, by size and age."""
        made = tuple(f"{self.config.results / name}{os.sep}" for name in self.config.datasets)
        given = dict.fromkeys(Path(path) for path in read if not str(path).startswith(made))
        found = [(file, file.stat(), file in given) for file in files_of(*given) if file.is_file()]
        return [file_digest(at) if of and s.st_size < LONG else f"{s.st_size} {s.st_mtime}" for at, s, of in found]

    def caption_table(self, of: Labels) -> list[str]:
        """List the table of captions of a study; nothing where the table of images holds them."""
        descriptor = self.descriptors[of["dataset"]]
        return [str(descriptor.locate(descriptor.captions, "captions"))] if descriptor.captions else []

    def weights(self, model: str) -> list[str]:
        """List the files a model lies in: retrained weights, or an edited function of the user's, are another input."""
        options = self.config.models[model]
        function = Path(getattr(options, "function", "").rpartition(":")[0])
        if function.suffix == ".py":
            return [str(function)]
        # Weights of these two are no folder, though one beside may be called so: imagenet, random, DEFAULT.
        named = "" if options.extractor in ("efficientnet", "torchvision") else getattr(options, "weights", "")
        folder = options.file if isinstance(options, TableModel) else Path(named)
        for dataset in self.simulated:
            # The run makes this one: its files are not there yet when the first run is planned.
            if folder.name and folder.is_relative_to(self.config.raw_folder(dataset)):
                return [str(self.raw_file("simulated.json", dataset))]
        if isinstance(options, TableModel):
            return [str(path) for path in files_of(options.file, options.ids)]
        return files_of_folder(folder) if folder.is_dir() else []

    def encoders_of_images(self) -> list[str]:
        """List the models whose features guide and judge what is synthesised."""
        options = self.config.synthesize
        return [chosen.model for chosen in (options.guide, options.check) if options.prior and chosen]

    def regions_beside_concepts(self) -> list[Path]:
        """List the RDMs of the fMRI subjects of another dataset, where the configuration names one that is there."""
        other = self.config.concepts.regions_of
        subjects = self.descriptors[other].scanned if other in self.descriptors else []
        return [self.artifact("rdm", str(other), subject=subject) for subject in subjects]

    def matched_models(self, dataset: str) -> list[str]:
        """List the models that are compared with each other, and the checkpoints of those that have some."""
        steps = [model for by_step in self.config.checkpoints_of(dataset).values() for model in by_step.values()]
        return list(dict.fromkeys([*self.config.matching_of(dataset).models, *steps]))

    def halves(self, dataset: str) -> list[Path]:
        """List the split scores of every network of convergence, its twin and its checkpoints, in every subject."""
        options = self.config.convergence_of(dataset)
        found = [
            self.artifact("halves", dataset, subject=subject, model=model, method=pair.method)
            for network, pair in options.networks.items()
            for model in options.models_of(network)
            for subject in self.config.converging(dataset, network, self.subjects(dataset))
        ]
        return list(dict.fromkeys(found))

    def other_scanned(self, suffix: str, of: Labels) -> list[Path]:
        """List an artifact of every other fMRI subject of the dataset."""
        return [
            self.artifact(suffix, of["dataset"], subject=subject)
            for subject in self.descriptors[of["dataset"]].scanned
            if subject != of["subject"]
        ]


def files_of_folder(folder: str | Path | None) -> list[str]:
    """List the files of a model that lies in a folder: a retrained one is another input."""
    folder = Path(folder or "")
    found = [file for file in folder.rglob("*.*") if file.is_file()] if folder.name else []
    # What programs keep there (.git, .cache) is no part of it.
    return sorted(str(file) for file in found if not any(part[0] == "." for part in file.relative_to(folder).parts))


def log_path(results: str | Path, dataset: str, step: str, **labels: str) -> Path:
    """Locate the log of a job."""
    name = "_".join(f"{'sub' if key == 'subject' else key}-{value}" for key, value in labels.items())
    return Path(results, dataset, "logs", step, f"{name or step}.log")


def report_path(results: str | Path, dataset: str, subject: str = "", *, incomplete: bool = False) -> Path:
    """Locate the page of a subject, or over all of a dataset; one made after a failure has a name of its own."""
    whose = f"sub-{subject}" if subject else "group"
    return Path(results, dataset, f"{whose}{'_incomplete' if incomplete else ''}.html")


def image_state(table: str | Path) -> str:
    """Digest where the images of a table (column path, relative to it) lie, how large they are and when written.

    A parameter of the rules that read them, rather than thousands of inputs: a touched image reruns them, and extract
    recomputes the rows whose bytes changed. Nothing is checked: a missing image is left to the audit.
    """
    table, listed = Path(table), ""
    read: Callable[[Path], Any] = read_parquet if table.suffix == ".parquet" else read_text_table
    for name in read(table).get("path", []):
        path = table.parent / str(name)
        stat = path.stat() if path.is_file() else None
        listed += f"{name} {stat.st_size} {stat.st_mtime_ns}\n" if stat else f"{name} missing\n"
    return hashlib.sha256(listed.encode()).hexdigest()


def wants_device(device: str) -> bool:
    """Tell whether a job with this option takes turns at a GPU: asked for, or left open where there is one."""
    return device == "cuda" or (device == "auto" and bool(visible_gpus()))


def wants_gpu(config: Config, method: str) -> bool:
    """Tell whether jobs of a method take turns at a GPU."""
    return wants_device(config.methods[method].device)
