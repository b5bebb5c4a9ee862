"""The configuration of a run and the descriptor of a dataset: every workflow default lives here, nowhere else.

    Config                what to run: datasets, models, methods, one block of options per stage
    Descriptor            one dataset: files, licence, how to read it, stimuli, splits
    load_config, load_descriptor    YAML in; a misspelt key is an error that names the nearest valid one

Field names and defaults of models and methods equal the constructor arguments of the classes they configure.
"""

from __future__ import annotations

import json
import os
import sys
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from brainalign.checks import BrainalignError, did_you_mean, listed

__all__ = ["Config", "Descriptor", "load_config", "load_descriptor", "load_descriptors", "parse"]

Name = Annotated[str, Field(pattern="^[A-Za-z0-9]+$")]
DatasetName = Annotated[str, Field(pattern="^[A-Za-z0-9-]+$")]
ALPHAS = tuple(10 ** (exponent / 2) for exponent in range(-2, 11))  # logspace(-1, 5, 13)


class Strict(BaseModel):
    """Refuses unknown keys, so that a typo fails before anything runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ---------------------------------------------------------------------------------------------- models and methods


class ModelUse(Strict):
    """What every model of the configuration can say about how it is used."""

    permute: tuple[str, ...] | None = Field(
        None, description="splits whose scores get a permutation null: all where not given, [] for none"
    )


class SentenceModel(ModelUse):
    """Sentence embeddings of a Hugging Face text model."""

    extractor: Literal["sentence"]
    weights: str = Field(description="local folder, Python package that carries a model, or hub id")
    wordings: Literal["mean", "each"] = Field("mean", description="average the wordings of a stimulus, or a layer each")
    batch_size: int = Field(32, ge=1)


class OneHotModel(ModelUse):
    """One feature per stimulus: a full-rank space that knows nothing of meaning."""

    extractor: Literal["onehot"]


class RandomModel(ModelUse):
    """Independent Gaussian features, one layer per draw."""

    extractor: Literal["random"]
    n_features: int = Field(384, ge=1)
    n_draws: int = Field(1, ge=1)


Model = Annotated[SentenceModel | OneHotModel | RandomModel, Field(discriminator="extractor")]


class RidgeMethod(Strict):
    """Ridge regression, alpha by cross-validation inside the training data."""

    encoder: Literal["ridge"]
    alphas: tuple[Annotated[float, Field(ge=0)], ...] = Field(ALPHAS, min_length=1)
    cv: Annotated[int, Field(ge=2)] | Literal["groups"] = Field(
        5, description="inner folds of whole groups; 'groups' leaves one group out"
    )
    solver: Literal["auto", "primal", "dual"] = "auto"
    metric: Literal["r2", "r"] = "r2"
    per_target_alpha: bool = True
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "float64"] = "float32"


Method = RidgeMethod  # a union once there is a second encoder


# ---------------------------------------------------------------------------------------------------------- stages


class PrepareSettings(Strict):
    """Options of the prepare stage."""

    n_halvings: int = Field(200, ge=1, description="random halvings of the repeats for split-half reliability")


class EncodeSettings(Strict):
    """Options of the encode stage."""

    run_permutations: int = Field(1000, ge=0, description="refits on stimuli permuted within runs")
    stimulus_permutations: int = Field(5000, ge=0, description="refits on stimuli permuted as wholes (zero-shot)")
    good_r: float = Field(0.3, description="the share of targets above this r is reported, and its null")


class CompareSettings(Strict):
    """Options of the compare stage."""

    distances: tuple[Literal["crossnobis", "correlation"], ...] = Field(("crossnobis", "correlation"), min_length=1)
    comparisons: tuple[Literal["spearman", "cosine"], ...] = Field(("spearman", "cosine"), min_length=1)
    feature_distance: Literal["correlation", "euclidean"] = "correlation"
    permutations: int = Field(10_000, ge=1, description="permutations of the stimuli of the feature RDM")


class SummarizeSettings(Strict):
    """Options of the summarize stage."""

    q: float = Field(0.05, gt=0, lt=1, description="false discovery rate")
    ceiling_threshold: float = Field(0.1, gt=0, description="r2/ceiling is averaged only above this ceiling")


class DatasetUse(Strict):
    """One dataset of the run; models and methods default to all of the configuration."""

    descriptor: Path
    models: tuple[Name, ...] | None = Field(None, min_length=1)
    methods: tuple[Name, ...] | None = Field(None, min_length=1)


class Config(Strict):
    """One run: everything `snakemake` needs to know."""

    results: Path = Path("results")
    seed: int = Field(0, ge=0)
    confidence: float = Field(0.95, gt=0, lt=1, description="of every interval")
    datasets: dict[DatasetName, DatasetUse] = Field(min_length=1)
    models: dict[Name, Model] = Field(min_length=1)
    methods: dict[Name, Method] = Field(min_length=1)
    prepare: PrepareSettings = PrepareSettings()
    encode: EncodeSettings = EncodeSettings()
    compare: CompareSettings = CompareSettings()
    summarize: SummarizeSettings = SummarizeSettings()

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        for dataset, use in self.datasets.items():
            for kind, chosen, known in (
                ("models", use.models, self.models),
                ("methods", use.methods, self.methods),
            ):
                for name in chosen or ():
                    if name not in known:
                        raise ValueError(
                            f"datasets.{dataset}.{kind}: {name!r} is not among the {kind} of the configuration "
                            f"({', '.join(known)}){did_you_mean(name, known)}"
                        )
        return self

    def models_of(self, dataset: str) -> list[str]:
        """Return the names of the models used on a dataset."""
        return list(self.datasets[dataset].models or self.models)

    def extractor_of(self, model: str) -> dict[str, object]:
        """Return what a model's features depend on: its extractor and the constructor arguments of it."""
        return self.models[model].model_dump(mode="json", exclude={"permute"})

    def methods_of(self, dataset: str) -> list[str]:
        """Return the names of the methods used on a dataset."""
        return list(self.datasets[dataset].methods or self.methods)


# ------------------------------------------------------------------------------------------------------ descriptor


class FmriFiles(Strict):
    """Where the data of one subject lie: absolute, beside the descriptor, or in $BRAINALIGN_DATA/<dataset>."""

    bold: Path = Field(description="4-D NIfTI, all runs one after the other")
    mask: Path = Field(description="NIfTI of the same grid, non-zero inside")
    labels: Path = Field(description="text, one line per volume: label and run")


class FmriOptions(Strict):
    """How blocks of volumes become responses."""

    tr_s: float = Field(gt=0, description="repetition time in seconds")
    hrf_lag_s: float = Field(5.0, ge=0, description="how much later than its stimulus a volume is read, in seconds")
    detrend: bool = True
    standardize: Literal["run", "none"] = "run"
    rest: str = Field("rest", description="label of volumes without a stimulus")
    bad_voxels: Literal["raise", "drop"] = Field("raise", description="what to do with NaN or constant voxels")
    space: str = Field(description="in words: what the coordinates mean and what they are drawn on")

    @property
    def lag_volumes(self) -> int:
        """The lag in whole volumes: the nearest, the later one of two equally near."""
        return int(self.hrf_lag_s / self.tr_s + 0.5)


class Stimulus(Strict):
    """One stimulus or category, described in several wordings."""

    texts: tuple[str, ...] = Field(min_length=1)
    label: str | None = Field(None, description="how figures name it; its id where not given")


class Split(Strict):
    """Test sets: every `size` groups left out in turn."""

    leave_out: Literal["run", "stimulus"]
    size: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _enough_to_tell_apart(self) -> Split:
        if self.leave_out == "stimulus" and self.size < 2:
            raise ValueError("leaving out one stimulus leaves nothing to tell it from; use size: 2 or more")
        return self


class Citation(Strict):
    """A reference the report prints."""

    text: str
    doi: str | None = None


class Shape(Strict):
    """Size of the largest subject's data, for `brainalign plan` before anything is downloaded; prepare checks it."""

    runs: int
    trials: int
    targets: int


class Descriptor(Strict):
    """One dataset."""

    name: DatasetName
    title: str
    modality: Literal["fmri"]
    citation: Citation
    licence: str
    source: str
    sha256: dict[str, str] = Field(default={}, description="checksums by path as in `subjects`; verified where given")
    subjects: dict[Name, FmriFiles] = Field(min_length=1)
    fmri: FmriOptions
    stimuli: dict[str, Stimulus] = Field(min_length=3, description="a correlation over two says nothing")
    splits: dict[Name, Split] = Field(min_length=1)
    shape: Shape | None = None
    notes: tuple[str, ...] = Field((), description="sentences the report prints about these data")
    folder: Path = Field(Path(), exclude=True, description="where the descriptor lies; set by load_descriptor")

    @field_validator("stimuli")
    @classmethod
    def _as_many_wordings(cls, stimuli: dict[str, Stimulus]) -> dict[str, Stimulus]:
        counts = {name: len(stimulus.texts) for name, stimulus in stimuli.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"every stimulus needs as many texts as the others, wording by wording; got {counts}")
        return stimuli

    @field_validator("splits")
    @classmethod
    def _some_runs_left_out(cls, splits: dict[str, Split]) -> dict[str, Split]:
        if not any(split.leave_out == "run" for split in splits.values()):
            raise ValueError("scores per target come from held-out runs; add a split like runs: {leave_out: run}")
        return splits

    def find(self, subject: str, field: str) -> Path:
        """Return where a file of a subject lies.

        Raises
        ------
        BrainalignError
            If it is in none of the places a file is looked for.
        """
        path: Path = getattr(self.subjects[subject], field)
        places = [self.folder / path, self.folder / self.name / path]
        if "BRAINALIGN_DATA" in os.environ:
            places.append(Path(os.environ["BRAINALIGN_DATA"]) / self.name / path)
        for place in places:
            if place.exists():
                return place
        raise BrainalignError(
            f"{self.name}: subjects.{subject}.{field}: no file {path} in "
            f"{', '.join(str(place.parent) for place in places)}; correct the path in the descriptor "
            "or set BRAINALIGN_DATA to the folder that holds the dataset"
        )

    def prepare_options(self, subject: str) -> dict[str, object]:
        """Return what a subject's responses depend on, besides the files themselves; defaults included."""
        options = self.model_dump(mode="json", include={"modality", "sha256", "fmri", "splits", "shape"})
        files = self.subjects[subject].model_dump(mode="json")
        return options | {"subject": files, "stimuli": list(self.stimuli)}

    def extract_options(self) -> dict[str, object]:
        """Return what the features of the stimuli depend on."""
        return self.model_dump(mode="json", include={"stimuli"})

    def files(self, subject: str) -> dict[str, Path]:
        """Return every file of a subject by field name; raises as `find` does."""
        return {field: self.find(subject, field) for field in type(self.subjects[subject]).model_fields}


# --------------------------------------------------------------------------------------------------------- reading

M = TypeVar("M", bound=BaseModel)


def parse(kind: type[M], content: object, source: str) -> M:
    """Build a settings model, turning every complaint into one short line.

    Parameters
    ----------
    kind : type
        A model of this file.
    content : object
        What YAML or JSON gave.
    source : str
        Names the file in the message.

    Raises
    ------
    BrainalignError
        With a line per problem; an unknown key comes with the nearest valid one.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = [_complaint(kind, problem) for problem in error.errors()]
        raise BrainalignError("\n".join(f"{source}: {line}" for line in lines)) from None


def _complaint(kind: type[BaseModel], problem: Any) -> str:
    # pydantic puts the tag of a union into the path (models.<name>.sentence.weights); the file has no such level.
    loc = problem["loc"]
    path = ".".join(str(part) for i, part in enumerate(loc) if not (loc[0] == "models" and i == 2))
    if problem["type"] == "extra_forbidden":
        *parents, key = problem["loc"]
        keys = _keys_at(kind, parents)
        near = did_you_mean(str(key), keys)
        return f"unknown key {path!r}{near or '; valid here: ' + ', '.join(sorted(keys))}"
    if "[key]" in loc:
        return f"{path.removesuffix('.[key]')}: this key must be text of letters and digits; write it in quotes"
    if problem["type"] == "missing":
        return f"{path}: this key is required"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] in {"literal_error", "union_tag_invalid"}:
        given = problem["input"] if problem["type"] == "literal_error" else problem["ctx"]["tag"]
        options = problem["ctx"].get("expected", problem["ctx"].get("expected_tags", ""))
        words = options.replace(" or ", ", ").replace("'", "").split(", ")
        return f"{path}: must be one of {options}; got {given!r}{did_you_mean(str(given), words)}"
    given = "" if isinstance(problem["input"], dict) or not path else f"; got {problem['input']!r}"
    return f"{path}: {message}{given}" if path else message


def _keys_at(annotation: Any, path: list[Any]) -> set[str]:
    """Return the keys a settings model allows at a path of an error, looking through dicts and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        if not path:
            return set(fields)
        return _keys_at(fields[path[0]].annotation, path[1:]) if path[0] in fields else set()
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is dict:
        return _keys_at(arguments[1], path[1:])
    if origin is Annotated:
        return _keys_at(arguments[0], path)
    if origin in (typing.Union, types.UnionType):
        tagged = [a for a in arguments if path and _tag(a) == path[0]]
        if tagged:
            return _keys_at(tagged[0], path[1:])
        return set().union(*(_keys_at(a, path) for a in arguments))
    return set()


def _tag(annotation: Any) -> str | None:
    """Return the value of the extractor field that tells members of a union apart."""
    fields = getattr(annotation, "model_fields", {})
    return typing.get_args(fields["extractor"].annotation)[0] if "extractor" in fields else None


def _read_yaml(path: Path) -> Any:
    if not path.exists():
        folder = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.exists() else []
        raise BrainalignError(
            f"{path}: no such file{did_you_mean(path.name, folder)}"
            + (f"; in {path.parent}: {listed(folder, 6)}" if folder else "")
        )
    try:
        return yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise BrainalignError(f"{path}: not valid YAML: {str(error).splitlines()[-1].strip()}") from None


def load_config(path: str | Path) -> Config:
    """Read and validate the configuration of a run."""
    return parse(Config, _read_yaml(Path(path)), str(path))


def load_descriptors(config: Config) -> dict[str, Descriptor]:
    """Read the descriptor of every dataset of a run, and check what configuration and descriptors say of each other.

    Raises
    ------
    BrainalignError
        If a model permutes a split that no dataset it is used on has.
    """
    descriptors = {name: load_descriptor(use.descriptor) for name, use in config.datasets.items()}
    for model, use in config.models.items():
        known = {s for d, descriptor in descriptors.items() if model in config.models_of(d) for s in descriptor.splits}
        for split in use.permute or ():
            if split not in known:
                raise BrainalignError(
                    f"models.{model}.permute: {split!r} is not among the splits of its datasets "
                    f"({', '.join(sorted(known))}){did_you_mean(split, known)}"
                )
    return descriptors


def load_descriptor(path: str | Path) -> Descriptor:
    """Read and validate the descriptor of a dataset; relative files are looked for beside it."""
    path = Path(path)
    content = _read_yaml(path)
    if isinstance(content, dict):
        content["folder"] = path.parent
    return parse(Descriptor, content, str(path))


def write_schemas(folder: Path) -> None:
    """Write JSON schemas of configuration and descriptor, which editors use to complete and check the files."""
    kinds: dict[str, type[BaseModel]] = {"config": Config, "descriptor": Descriptor}
    for name, kind in kinds.items():
        text = json.dumps(kind.model_json_schema(), indent=1) + "\n"
        (folder / f"{name}.schema.json").write_text(text)


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
