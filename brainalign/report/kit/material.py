"""Everything a page draws from. What a failed step did not leave is missing, and its section is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from brainalign.arrays import Arrays, Responses, Values
from brainalign.config import Config
from brainalign.report.kit.tables import rows_where
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


@dataclass(frozen=True)
class Nouns:
    """What to call, in sentences and captions, what was recorded and what was shown."""

    target: str
    targets: str
    trial: str
    trials: str
    stimulus: str
    stimuli: str

    @property
    def a_stimulus(self) -> str:
        """One of the stimuli, with its article."""
        return f"{'an' if self.stimulus[0] in 'aeiou' else 'a'} {self.stimulus}"


DECODED_TABLES = ("timescores", "timesensors", "timewindows", "timeclusters", "timepeaks")
PLURALS = {name: f"{name}s" for name in ("target", "voxel", "sensor", "parcel")} | {"vertex": "vertices"}


@dataclass
class StudyMaterial:
    """What a page, or a chapter of it, is drawn from.

    Attributes
    ----------
    descriptor : Study
    subject : str
        Empty: the page is of a dataset.
    tables, arrays : dict
        By suffix of their artifact.
    sidecars : dict
        Sidecar of every artifact by file name.
    neighbours : sequence of (name, address)
        Other pages of the run, for the reader to go on to.
    """

    config: Config
    dataset: str
    descriptor: Any
    subject: str = ""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    arrays: dict[str, Arrays] = field(default_factory=dict)
    sidecars: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    neighbours: Sequence[tuple[str, str]] = ()

    @property
    def uninformed(self) -> list[str]:
        """Models that know nothing of the stimuli: controls."""
        models = {name: self.config.models[name] for name in self.config.models_of(self.dataset)}
        return [name for name, model in models.items() if model.random or model.extractor == "random"]

    def fit_label(self, model: str, method: str) -> str:
        """Name a fit in figures and tables: by its model, and by its method where the model has several."""
        n_fits = [name for name, _ in self.config.fits_of(self.dataset)].count(model)
        return model if n_fits == 1 else f"{model} ({method})"

    def fit_labels(self, models: Sequence[str]) -> list[str]:
        """List the names of all fits of some models."""
        return [self.fit_label(*fit) for fit in self.config.fits_of(self.dataset) if fit[0] in models]

    def details(self, suffix: str, subject: str = "") -> Mapping[str, Any]:
        """Return the details in the sidecar of the one artifact of a suffix, or of a subject's; empty without one."""
        suffix = f"sub-{subject}_{suffix}" if subject else suffix
        stems = {name: f"_{name.split('.')[0]}" for name in self.sidecars}
        return next((self.sidecars[name]["details"] for name, stem in stems.items() if stem.endswith(f"_{suffix}")), {})


@dataclass(frozen=True)
class DecodedTimes:
    """What the decode_times step left for one subject: its tables by suffix, its arrays, and what it noted."""

    tables: Mapping[str, pd.DataFrame]
    squares: Arrays
    facts: Mapping[str, Any]


@dataclass
class SubjectMaterial(StudyMaterial):
    """One subject of one study of responses, however its predictions are scored."""

    descriptor: Study
    responses: Responses | None = None
    splits: pd.DataFrame | None = None
    ceiling: pd.DataFrame | None = None
    encodings: dict[tuple[str, str], Any] = field(default_factory=dict)
    mask: "Nifti1Image | None" = None
    bold: "Nifti1Image | None" = None
    rdms: Arrays | None = None
    comparison: pd.DataFrame | None = None
    searchlights: dict[str, pd.DataFrame] = field(default_factory=dict)  # by model
    summary: pd.DataFrame | None = None
    decoded: DecodedTimes | None = None  # of M/EEG subjects whose categories are decoded

    @property
    def timed(self) -> bool:
        """Whether responses have a time axis."""
        return self.descriptor.modality(self.subject) == "meeg"

    @property
    def nouns(self) -> Nouns:
        """What to call targets, trials and stimuli."""
        study = self.descriptor
        kinds = ["voxel" if study.in_blocks else ""]
        if self.responses is not None:
            kinds = list(self.responses.targets["kind"].unique())
        kind = kinds[0] if len(kinds) == 1 and kinds[0] in PLURALS else "target"
        trials = ("block", "blocks") if study.in_blocks else ("trial", "trials")
        if study.in_blocks and not study.holds_out:
            return Nouns(kind, PLURALS[kind], *trials, "category", "categories")
        return Nouns(
            kind, PLURALS[kind], *trials, *(("image", "images") if study.has_images else ("stimulus", "stimuli"))
        )

    def categories_of(self, conditions: Sequence[str]) -> list[str]:
        """List the categories of stimuli; the noun for a stimulus where there are none."""
        if self.responses is None or "category" not in self.responses.trials:
            return [self.nouns.stimulus] * len(conditions)
        known = self.responses.trials.drop_duplicates("stimulus_id").set_index("stimulus_id")["category"]
        return [str(known.get(name, self.nouns.stimulus)) for name in conditions]

    @property
    def models(self) -> list[str]:
        """Models that know the stimuli, one for each of their fits: places give colours, others are grey."""
        fitted = (model for model, _ in self.config.fits_of(self.dataset))
        return [name for name in (*fitted, *self.config.models_of(self.dataset)) if name not in self.uninformed]

    @property
    def controls(self) -> list[str]:
        """Models with random weights."""
        return [name for name in self.config.models_of(self.dataset) if self.config.models[name].random]


@dataclass
class Material(SubjectMaterial):
    """One subject of whom runs or stimuli were left out in turn.

    Attributes
    ----------
    encodings : dict
        By (model, method), in the order of the configuration; the first is the one maps are drawn of.
    """

    encodings: dict[tuple[str, str], Encoding] = field(default_factory=dict)
    conditions: list[str] = field(default_factory=list)
    decoding: pd.DataFrame | None = None
    region_fits: pd.DataFrame | None = None

    @property
    def first(self) -> First:
        """What maps and single figures show; there must be an encoding."""
        (model, method), encoding = next(iter(self.encodings.items()))
        split = encoding.scores["split"].iloc[0]
        return First(model, method, encoding, split, self.told_best(split))

    def told_best(self, split: str) -> str:
        """Name the layer by which the first model, a network, tells stimuli of a split apart best; else its first."""
        (model, _), encoding = next(iter(self.encodings.items()))
        items = encoding.identification[encoding.identification["split"] == split]
        if items.empty or model not in self.layered_models:
            return str(encoding.scores["layer"].iloc[0])
        return str(items.groupby("layer", sort=False)["correct"].mean().idxmax())

    def first_null(self, split: str, column: str) -> Values:
        """Read the null of the first model and method; of a network, in each permutation, the largest of its layers."""
        rows = self.first.encoding.null[self.first.encoding.null["split"] == split]
        if self.first.model not in self.layered_models:
            rows = rows[rows["layer"] == self.told_best(split)]
        return rows.groupby("permutation")[column].max().to_numpy()

    @property
    def labels(self) -> list[str]:
        """Names of the conditions as figures show them."""
        return self.descriptor.labels_of(self.conditions)

    @property
    def n_stimuli(self) -> int:
        """How many stimuli there are."""
        return len(self.descriptor.listed_stimuli) or len(self.conditions)

    @property
    def tested(self) -> str:
        """What scores of targets are of: held-out runs, sessions or others."""
        rules = list(self.descriptor.left_out.values())
        return f"held-out {next((rule for rule in rules if not rule.of_stimuli or rule.folds), rules[0]).plural}"

    def splits_that_leave(self, what: str) -> list[str]:
        """Return the names of the splits that leave out runs or stimuli."""
        return [name for name, split in self.descriptor.left_out.items() if split.of_stimuli == (what == "stimulus")]

    def summary_rows(self, quantity: str, **labels: str) -> pd.DataFrame:
        """Return the headline rows of a quantity, restricted to the given labels."""
        assert self.summary is not None
        return rows_where(self.summary, quantity=quantity, **labels)

    def pooled_rows(self, quantity: str, **labels: str) -> pd.DataFrame:
        """Return headline rows, for models of several layers only the row over all of them."""
        rows = self.summary_rows(quantity, **labels)
        return rows[(rows["layer"] == "all") | ~rows["model"].isin(rows.loc[rows["layer"] == "all", "model"])]

    def models_of(self, extractor: str) -> list[str]:
        """Return the names of the models an extractor makes."""
        return [name for name, model in self.config.models.items() if model.extractor == extractor]

    @property
    def full_rank_models(self) -> list[str]:
        """Names of the models all of whose layers tell n stimuli apart in n − 1 dimensions."""
        full, found = self.n_stimuli - 1, []
        for model, method in self.encodings:
            record = self.sidecars[f"sub-{self.subject}_model-{model}_method-{method}_scores.parquet"]
            if model not in found and min(record["details"]["rank"].values()) == full:
                found.append(model)
        return found

    def trained_on_all(self, split: str) -> bool:
        """Whether a split trains on every stimulus that it tests: then no space of full rank has an advantage."""
        if self.splits is None or self.responses is None:
            return True
        rows = self.splits[self.splits["name"] == split].merge(self.responses.trials[["trial_id", "stimulus_id"]])
        sides = rows.groupby(["fold", "stimulus_id"])["split"].agg(
            lambda side: "test" not in set(side) or len(set(side)) > 1
        )
        return bool(sides.all())

    @property
    def several_blocks(self) -> bool:
        """Whether a stimulus was shown more than once in a run."""
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
