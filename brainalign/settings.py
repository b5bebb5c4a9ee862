"""The configuration of a run: every workflow default lives here and in the descriptor, nowhere else.

    Config                what to run: datasets, models, methods (methods.py), one block of options per stage
    Descriptor            one dataset (descriptor.py): files, licence, how to read it, stimuli, splits
    load_config, load_descriptors    YAML in; a misspelt key is an error that names the nearest valid one

Field names and defaults of models and methods equal the constructor arguments of the classes they configure.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, model_validator

from brainalign.checks import BrainalignError, did_you_mean, listed
from brainalign.convergence_options import ConvergeSettings
from brainalign.descriptor import (
    BlockStudy,
    DatasetName,
    Descriptor,
    ImageStudy,
    Name,
    RdmStudy,
    load_descriptor,
)
from brainalign.families import check_contest, check_contest_in, contest_of
from brainalign.methods import BandedRidgeMethod, InContextMethod, Method, RidgeMethod, TrainedMethod
from brainalign.parsing import Strict, parse, read_yaml
from brainalign.searchlight_options import SearchlightSettings

__all__ = [
    "SHARED_LAYERS",
    "BandedRidgeMethod",
    "BlockStudy",
    "Config",
    "ConvergeSettings",
    "Descriptor",
    "ImageStudy",
    "InContextMethod",
    "PixelsModel",
    "RdmStudy",
    "RidgeMethod",
    "SearchlightSettings",
    "TrainedMethod",
    "load_config",
    "load_descriptor",
    "load_descriptors",
    "parse",
]


# ---------------------------------------------------------------------------------------------------------- models


class ModelUse(Strict):
    """What every model of the configuration can say about how it is used."""

    reads_images: ClassVar[bool] = False
    reads_texts: ClassVar[bool] = False  # of images their captions

    @property
    def random(self) -> bool:
        """Whether the weights are random: a control."""
        return getattr(self, "weights", "") == "random" or getattr(self, "random_weights", False)

    permute: tuple[str, ...] | None = Field(
        None, description="splits whose scores get a permutation null: all where not given, [] for none"
    )


class SentenceModel(ModelUse):
    """Sentence embeddings of a Hugging Face text model; of images, of their captions."""

    reads_texts: ClassVar[bool] = True

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


class PixelsModel(ModelUse):
    """The images themselves, resized to a square."""

    reads_images: ClassVar[bool] = True
    pooling: ClassVar[str] = "tokens"

    extractor: Literal["pixels"]
    image_size: int = Field(64, ge=1)
    batch_size: int = Field(64, ge=1)


class ImageModel(ModelUse):
    """What every network that looks at images can say about how it is read."""

    reads_images: ClassVar[bool] = True

    layers: tuple[str, ...] | None = Field(None, min_length=1, description="all of its main layers where not given")
    pooling: Literal["cls", "mean", "flatten", "tokens"] = "mean"
    reduce: int | None = Field(None, ge=1, description="sparse random projection of wider layers to so many features")
    batch_size: int = Field(8, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "cpu"


class EfficientNetModel(ImageModel):
    """EfficientNet-Lite0, trained on ImageNet or with random weights."""

    extractor: Literal["efficientnet"]
    weights: Literal["imagenet", "random"] = "imagenet"
    n_draws: int = Field(1, ge=1, description="of random weights; their layers are called block0_draw1 ...")
    image_size: int = Field(224, ge=32)
    crop: bool = True


class VisionModel(ImageModel):
    """Any Hugging Face vision model, or the image tower of a CLIP-like one."""

    extractor: Literal["vision"]
    weights: str = Field(description="local folder or hub id")
    random_weights: bool = Field(False, description="the architecture only: the control of a trained network")


class TimmModel(ImageModel):
    """A model of timm (optional extra)."""

    extractor: Literal["timm"]
    model: str
    random_weights: bool = False
    channels_last: bool = False


class TorchvisionModel(ImageModel):
    """A model of torchvision (optional extra)."""

    extractor: Literal["torchvision"]
    model: str
    weights: str = "DEFAULT"
    channels_last: bool = False


class UserModel(ImageModel):
    """A torch module that a function of the user's makes."""

    extractor: Literal["user"]
    function: str = Field(description="module:function")
    image_size: int = Field(224, ge=8)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


Model = Annotated[
    SentenceModel
    | OneHotModel
    | RandomModel
    | PixelsModel
    | EfficientNetModel
    | VisionModel
    | TimmModel
    | TorchvisionModel
    | UserModel,
    Field(discriminator="extractor"),
]


SHARED_LAYERS = frozenset({"visual_projection", "head"})  # of CLIP and SigLIP: images as texts are embedded


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


class EncodeImagesSettings(Strict):
    """Options of the encode stage of studies of images."""

    permutations: int = Field(1000, ge=1, description="permutations of the test stimuli of the predictions")
    draws: int = Field(1000, ge=100, description="bootstrap draws of the test stimuli")
    standardize: bool = Field(True, description="scale every layer to the same total variance over training images")
    n_components: int | None = Field(
        None, ge=1, description="principal components of the training images that wider layers are reduced to"
    )
    ceiling_threshold: float = Field(0.2, gt=0, description="targets above it are called reliable")
    cluster_quantile: float = Field(0.95, gt=0.5, lt=1, description="of the null at each point; clusters lie above it")


class CompareImagesSettings(Strict):
    """Options of the compare stage of studies of images."""

    distance: Literal["correlation", "euclidean"] = "correlation"
    feature_distance: Literal["correlation", "euclidean"] = "correlation"
    comparison: Literal["spearman", "cosine"] = "spearman"
    permutations: int = Field(1000, ge=1, description="permutations of the stimuli of the feature RDM")
    draws: int = Field(200, ge=100, description="bootstrap draws of the test images")


class CompareRdmsSettings(Strict):
    """Options of the compare stage of studies of dissimilarity matrices."""

    feature_distance: Literal["correlation", "euclidean"] = "correlation"
    comparison: Literal["spearman", "cosine"] = "spearman"
    draws: int = Field(1000, ge=100, description="dual bootstrap over stimuli and subjects")


class SummarizeSettings(Strict):
    """Options of the summarize stage."""

    q: float = Field(0.05, gt=0, lt=1, description="false discovery rate")
    ceiling_threshold: float = Field(0.1, gt=0, description="r2/ceiling is averaged only above this ceiling")


class DatasetUse(Strict):
    """One dataset of the run; models and methods default to all of the configuration."""

    descriptor: Path
    optional: bool = Field(False, description="leave it out, with a message, where its files cannot be found")
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
    encode_images: EncodeImagesSettings = EncodeImagesSettings()
    compare_images: CompareImagesSettings = CompareImagesSettings()
    compare_rdms: CompareRdmsSettings = CompareRdmsSettings()
    converge: ConvergeSettings = ConvergeSettings()
    searchlight: SearchlightSettings = SearchlightSettings()
    summarize: SummarizeSettings = SummarizeSettings()
    contest: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {},
        description="families that meet in every region of fMRI studies of images, by name: models, each with all its "
        "methods or as model/method",
    )

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
        for method, options in self.methods.items():
            for name in options.models or ():
                if name not in self.models:
                    raise ValueError(
                        f"methods.{method}.models: {name!r} is not among the models of the configuration "
                        f"({', '.join(self.models)}){did_you_mean(name, self.models)}"
                    )
        check_contest(self.contest, self.models, self.methods)
        self.converge.check(self.models, self.methods)
        self.searchlight.check(self.models)
        return self

    def raw_folder(self, dataset: str) -> Path:
        """Return where files that the workflow itself makes of a dataset lie: simulated data, unpacked images."""
        return self.results / dataset / "raw"

    def models_of(self, dataset: str) -> list[str]:
        """Return the names of the models used on a dataset."""
        return list(self.datasets[dataset].models or self.models)

    def extractor_of(self, model: str) -> dict[str, object]:
        """Return what a model's features depend on: its extractor and the constructor arguments of it."""
        return self.models[model].model_dump(mode="json", exclude={"permute"})

    def methods_of(self, dataset: str) -> list[str]:
        """Return the names of the methods used on a dataset."""
        return list(self.datasets[dataset].methods or self.methods)

    def encoder_of(self, method: str) -> dict[str, object]:
        """Return what a method's fits depend on: its encoder and the constructor arguments of it."""
        return self.methods[method].model_dump(mode="json", exclude={"models", "subjects"})

    def pretraining_of(self, method: str) -> dict[str, object]:
        """Return what the networks of an in-context method depend on."""
        options = self.methods[method]
        return options.pretraining() if isinstance(options, InContextMethod) else {}

    def texts_of(self, model: str, method: str) -> dict[str, object]:
        """Return the texts that a method asks about, and the weights of the model that reads them."""
        queries = getattr(self.methods[method], "text_queries", ())
        weights = getattr(self.models[model], "weights", "")
        return {"texts": {"weights": weights, "queries": list(queries)}} if queries else {}

    def fits_of(self, dataset: str, subject: str | None = None) -> list[tuple[str, str]]:
        """Return every (model, method) that is fitted to a dataset, or to one subject of it."""
        pairs = itertools.product(self.models_of(dataset), self.methods_of(dataset))
        return [(model, method) for model, method in pairs if self.methods[method].used_on(model, subject)]

    def contest_of(self, dataset: str, descriptor: Descriptor, subject: str) -> dict[str, list[tuple[str, str]]]:
        """Return the (model, method) of every family that meets in the regions of a subject; empty for no contest."""
        return contest_of(self, dataset, descriptor, subject)

    def convergence_of(self, dataset: str) -> ConvergeSettings:
        """Return the options of the converge stage for the networks that a dataset uses."""
        return self.converge.limited_to([name for name in self.converge.networks if name in self.models_of(dataset)])

    def converging(self, dataset: str, network: str, subjects: Iterable[str]) -> list[str]:
        """Return the subjects to which a network is fitted with the method of its convergence scores."""
        method = self.converge.networks[network].method
        return [subject for subject in subjects if (network, method) in self.fits_of(dataset, subject)]

    def searchlights_of(self, dataset: str, descriptor: Descriptor, subject: str) -> list[str]:
        """Return the models that searchlights are made of in a subject; none in sensors."""
        of_images = isinstance(descriptor, ImageStudy) and descriptor.modality(subject) == "fmri"
        chosen = self.searchlight.subjects is None or subject in self.searchlight.subjects
        if not chosen or not (of_images or isinstance(descriptor, BlockStudy)):
            return []
        return [model for model in self.searchlight.models if model in self.models_of(dataset)]


# --------------------------------------------------------------------------------------------------------- reading


def load_config(path: str | Path) -> Config:
    """Read and validate the configuration of a run."""
    return parse(Config, read_yaml(Path(path)), str(path))


def load_descriptors(config: Config) -> dict[str, Descriptor]:
    """Read the descriptor of every dataset of a run, and check what configuration and descriptors say of each other.

    Raises
    ------
    BrainalignError
        If a model cannot read the stimuli of its dataset, or permutes a split that no dataset it is used on has; if a
        method fits layers jointly where layers are fitted one by one, tries too few shares for them, reads tokens that
        a model does not keep, or names a subject that no dataset has; if a subject is left without a method.
    """
    descriptors: dict[str, Descriptor] = {
        name: load_descriptor(use.descriptor, raw=config.raw_folder(name)) for name, use in config.datasets.items()
    }
    check_contest_in(config, descriptors)
    for dataset in [name for name in descriptors if config.datasets[name].optional]:
        if not _found(descriptors[dataset]):
            del descriptors[dataset]
    for dataset, descriptor in descriptors.items():
        _models_fit(config, dataset, descriptor)
        _methods_fit(config, dataset, descriptor)
    for method, options in config.methods.items():
        used = [d for name, d in descriptors.items() if method in config.methods_of(name)]
        subjects = {subject for d in used if isinstance(d, BlockStudy | ImageStudy) for subject in d.subjects}
        for subject in options.subjects or ():
            if subjects and subject not in subjects:
                raise BrainalignError(
                    f"methods.{method}.subjects: {subject!r} is not among the subjects of its datasets "
                    f"({', '.join(sorted(subjects))}){did_you_mean(subject, subjects)}"
                )
    _searchlights_fit(config, descriptors)
    for model, use in config.models.items():
        known = {
            split
            for dataset, descriptor in descriptors.items()
            if model in config.models_of(dataset) and isinstance(descriptor, BlockStudy)
            for split in descriptor.splits
        }
        for split in use.permute or ():
            if known and split not in known:
                raise BrainalignError(
                    f"models.{model}.permute: {split!r} is not among the splits of its datasets "
                    f"({', '.join(sorted(known))}){did_you_mean(split, known)}"
                )
    return descriptors


def _found(descriptor: Descriptor) -> bool:
    try:
        descriptor.all_files()
    except BrainalignError:
        return False
    return True


def _models_fit(config: Config, dataset: str, descriptor: Descriptor) -> None:
    if not isinstance(descriptor, BlockStudy):
        _captions_exist(config, dataset, descriptor)
        return
    wrong = [model for model in config.models_of(dataset) if config.models[model].reads_images]
    if wrong:
        fitting = [name for name, model in config.models.items() if not model.reads_images]
        raise BrainalignError(
            f"datasets.{dataset}.models: {', '.join(wrong)} look at images, but its stimuli are texts; list those that "
            f"read texts{': ' + ', '.join(fitting) if fitting else ''}"
        )


def _captions_exist(config: Config, dataset: str, descriptor: Descriptor) -> None:
    """Raise where a text model meets images without captions."""
    wrong = [model for model in config.models_of(dataset) if config.models[model].reads_texts]
    if not wrong:
        return
    remedy = ""
    if isinstance(descriptor, ImageStudy):
        columns = descriptor.image_columns()
        if descriptor.captions is not None or columns is None or "caption" in columns:
            return
        remedy = (
            f"give {descriptor.images} a column caption{did_you_mean('caption', columns)}, or the descriptor a table "
            "of `captions` (stimulus_id, caption), or "
        )
    raise BrainalignError(
        f"datasets.{dataset}.models: {', '.join(wrong)} read texts, but its images have no captions; {remedy}list the "
        "models that look at images"
    )


def _methods_fit(config: Config, dataset: str, descriptor: Descriptor) -> None:
    if not isinstance(descriptor, BlockStudy | ImageStudy):
        return  # there are no responses to fit
    methods = {name: config.methods[name] for name in config.methods_of(dataset)}
    for wrong, what in (
        ([name for name, method in methods.items() if method.joint], "fits all layers of a model at once"),
        ([name for name, method in methods.items() if method.trained], "is trained on the tokens of images"),
        ([n for n, method in methods.items() if isinstance(method, InContextMethod)], "learns from other subjects"),
    ):
        if wrong and isinstance(descriptor, BlockStudy):
            fitting = [
                name
                for name, method in config.methods.items()
                if not (method.joint or method.trained or isinstance(method, InContextMethod))
            ]
            raise BrainalignError(
                f"datasets.{dataset}.methods: {', '.join(wrong)} {what}, which is for studies "
                f"of images; list those that fit one layer{': ' + ', '.join(fitting) if fitting else ''}"
            )
    _everyone_is_fitted(config, dataset, list(descriptor.subjects))
    for model, name in config.fits_of(dataset):
        method, n_layers = methods[name], len(getattr(config.models[model], "layers", None) or ())
        # The even mixture and each layer alone; of layers that are not listed the encoder itself says it.
        least = n_layers + 1 if n_layers > 1 else 1
        if isinstance(method, BandedRidgeMethod) and method.n_candidates < least:
            raise BrainalignError(
                f"methods.{name}.n_candidates is {method.n_candidates}, but the {n_layers} layers of {model} need at "
                f"least {least}: the even mixture and each layer alone"
            )
        if isinstance(method, InContextMethod):
            _others_are_there(config, dataset, descriptor, name, model)
        if isinstance(method, TrainedMethod):
            _tokens_are_kept(config, dataset, name, model)
            _semantics_exist(config, dataset, name)
            _cls_tokens_exist(config, dataset, name, model)
    if isinstance(descriptor, ImageStudy):
        for subject in descriptor.subjects:
            for _, name in config.fits_of(dataset, subject):
                _queries_have_targets(config, descriptor, subject, name)
        _twins_are_fitted(config, dataset, descriptor)


def _searchlights_fit(config: Config, descriptors: Mapping[str, Descriptor]) -> None:
    """Raise where searchlights name a subject that no dataset has, or a surface that is not there."""
    options = config.searchlight
    known = {subject for d in descriptors.values() if isinstance(d, BlockStudy | ImageStudy) for subject in d.subjects}
    for subject in options.subjects or ():
        if options.models and known and subject not in known:
            raise BrainalignError(
                f"searchlight.subjects: {subject!r} is not among the subjects of the datasets "
                f"({', '.join(sorted(known))}){did_you_mean(subject, known)}"
            )
    for hemi, path in options.meshes.items():
        if not path.exists():
            raise BrainalignError(f"searchlight.meshes.{hemi}: no file {path}; correct the path, or leave it out")


def _twins_are_fitted(config: Config, dataset: str, descriptor: ImageStudy) -> None:
    """Raise where a network is to be compared with a model, or a checkpoint, that its subjects have no fit of."""
    options = config.convergence_of(dataset)
    for network, pair in options.networks.items():
        subjects = config.converging(dataset, network, descriptor.subjects)
        if not subjects:
            raise BrainalignError(
                f"converge.networks.{network}.method: {pair.method} is not used on {network} in {dataset}; add both to "
                f"the models and methods of datasets.{dataset}, and {network} to methods.{pair.method}.models"
            )
        for model in options.models_of(network):
            without = [name for name in subjects if (model, pair.method) not in config.fits_of(dataset, name)]
            if without:
                raise BrainalignError(
                    f"converge: {network} is compared with {model}, but {pair.method} is not used on {model} in "
                    f"subject {listed(without)} of {dataset}; add {model} to datasets.{dataset}.models and to "
                    f"methods.{pair.method}.models"
                )
    if options.networks and options.maps is not None and not options.maps.exists():
        raise BrainalignError(f"converge.maps: no file {options.maps}; correct the path, or leave it out")


def _queries_have_targets(config: Config, descriptor: ImageStudy, subject: str, method: str) -> None:
    """Raise where queries of regions or hemispheres meet sensors, which have none."""
    queries = getattr(config.methods[method], "queries", "target")
    if queries in ("roi", "hemisphere") and descriptor.modality(subject) == "meeg":
        fitting = [name for name in descriptor.subjects if descriptor.modality(name) == "fmri"]
        named = f", or name the subjects with regions in methods.{method}.subjects: {', '.join(fitting)}"
        raise BrainalignError(
            f"methods.{method}.queries is {queries!r}, but the targets of subject {subject} are sensors, which lie in "
            f"none; take 'target' or 'parcel'{named if fitting else ''}"
        )


def _tokens_are_kept(config: Config, dataset: str, method: str, model: str) -> None:
    """Raise where an encoder of tokens meets features that no longer know their places."""
    pooling = getattr(config.models[model], "pooling", None)
    if pooling == "tokens":
        return
    fitting = [name for name in config.models_of(dataset) if getattr(config.models[name], "pooling", None) == "tokens"]
    wanted = f"name those with tokens in methods.{method}.models: {', '.join(fitting)}"
    if not fitting:
        wanted = "add an image model with `pooling: tokens` and name it there"
    have = f"has pooling {pooling!r}" if pooling else "is no image model"
    raise BrainalignError(
        f"methods.{method} reads the tokens of a layer, in their places, but models.{model} {have}, which keeps none; "
        f"{wanted}"
    )


def _semantics_exist(config: Config, dataset: str, method: str) -> None:
    """Raise where what images show is to come from a model that the dataset does not use."""
    options = config.methods[method]
    source = options.needs_semantics if isinstance(options, TrainedMethod) else None
    known = ["classes", *config.models_of(dataset)]
    if source is not None and source not in known:
        raise BrainalignError(
            f"methods.{method}.semantics: {source!r} is not among the models of {dataset}, nor 'classes' "
            f"({', '.join(known)}){did_you_mean(source, known)}"
        )


def _cls_tokens_exist(config: Config, dataset: str, method: str, model: str) -> None:
    """Raise where CLS tokens are to come from a model that keeps none, has other layers or is not of the dataset."""
    options = config.methods[method]
    source = options.cls if isinstance(options, TrainedMethod) else None
    if source is None:
        return
    known = config.models_of(dataset)
    if source not in known:
        raise BrainalignError(
            f"methods.{method}.cls: {source!r} is not among the models of {dataset} ({', '.join(known)})"
            f"{did_you_mean(source, known)}"
        )
    pooling, own = (getattr(config.models[source], name, None) for name in ("pooling", "layers"))
    layers = getattr(config.models[model], "layers", None)
    if pooling != "cls" or not set(layers or ()) <= set(own or layers or ()):
        raise BrainalignError(
            f"methods.{method}.cls: models.{source} has pooling {pooling!r} and layers {list(own or ())}; give it "
            f"`pooling: cls` and the layers of {model}: {list(layers or ())}"
        )


def _others_are_there(
    config: Config, dataset: str, descriptor: BlockStudy | ImageStudy, method: str, model: str
) -> None:
    """Raise where in-context encoding has nobody to learn from, meets sensors, or features of many places."""
    if not isinstance(descriptor, ImageStudy):
        return
    if getattr(config.models[model], "pooling", None) == "tokens":
        raise BrainalignError(
            f"methods.{method} reads one vector per image, but models.{model} keeps tokens; take pooling: mean or cls, "
            f"or name other models in methods.{method}.models"
        )
    options, layers = config.methods[method], getattr(config.models[model], "layers", None) or ()
    shared = config.models[model].extractor == "vision" and SHARED_LAYERS.intersection(layers)
    if getattr(options, "text_queries", ()) and not shared:
        raise BrainalignError(
            f"methods.{method}.text_queries need a space that images and texts share, but models.{model} has none; use "
            "extractor: vision with the weights of a CLIP-like model and layers: [visual_projection], or name such "
            f"models in methods.{method}.models"
        )
    scanned = [name for name in descriptor.subjects if descriptor.modality(name) == "fmri"]
    if len(scanned) < 2:
        raise BrainalignError(
            f"methods.{method} is trained on the voxels of other subjects, but {dataset} has {len(scanned)} fMRI "
            "subject(s); it needs two or more"
        )
    for subject in descriptor.subjects:
        if config.methods[method].used_on(model, subject) and subject not in scanned:
            raise BrainalignError(
                f"methods.{method} reads the weights of voxels, but subject {subject} has sensors; name the fMRI "
                f"subjects in methods.{method}.subjects: {', '.join(scanned)}"
            )


def _everyone_is_fitted(config: Config, dataset: str, subjects: list[str]) -> None:
    """Raise where a dataset or a subject is left without a fit."""
    methods, models = config.methods_of(dataset), config.models_of(dataset)
    if not config.fits_of(dataset):
        limited = next(name for name in methods if config.methods[name].models)
        raise BrainalignError(
            f"datasets.{dataset}: none of its methods ({', '.join(methods)}) is used on any of its models; name one of "
            f"them in methods.{limited}.models: {', '.join(models)}"
        )
    without = [subject for subject in subjects if not config.fits_of(dataset, subject)]
    if without:
        raise BrainalignError(
            f"datasets.{dataset}: no method is used on subject {', '.join(without)}; add a method without `subjects`"
        )


def write_schemas(folder: Path) -> None:
    """Write JSON schemas of configuration and descriptor, which editors use to complete and check the files."""
    schemas: dict[str, Any] = {
        "config": Config.model_json_schema(),
        "descriptor": TypeAdapter(BlockStudy | ImageStudy | RdmStudy).json_schema(),
    }
    for name, schema in schemas.items():
        (folder / f"{name}.schema.json").write_text(json.dumps(schema, indent=1) + "\n")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
