"""Methods of the configuration: how an encoder is fitted, and which models and subjects it is used on.

Field names and defaults equal the constructor arguments of the encoders they configure.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from brainalign.study import Name, Names, Seeds, Strict

ALPHAS = tuple(10 ** (exponent / 2) for exponent in range(-2, 11))  # logspace(-1, 5, 13)


class MethodUse(Strict):
    """What every method of the configuration says about how it is used."""

    joint: ClassVar[bool] = False  # all layers of a model in one fit, else a fit per layer
    trained: ClassVar[bool] = False  # a network on tokens

    models: Names | None = Field(None, description="that it is used on: all of the dataset where not given")
    subjects: Names | None = Field(None, description="that it is used on: all of the dataset where not given")

    def used_on(self, model: str, subject: str | None = None) -> bool:
        """Return whether a model is fitted by this method (for a subject), where a dataset uses both."""
        on_subject = subject is None or self.subjects is None or subject in self.subjects
        return on_subject and (self.models is None or model in self.models)


class PenaltyMethod(MethodUse):
    """What ridge regressions share: penalties, and how they are chosen."""

    alphas: tuple[Annotated[float, Field(ge=0)], ...] = Field(ALPHAS, min_length=1)
    cv: Annotated[int, Field(ge=2)] | Literal["groups"] = Field(
        5, description="inner folds of whole groups; 'groups' leaves one group out"
    )
    metric: Literal["r2", "r"] = "r2"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "float64"] = "float32"


class RidgeMethod(PenaltyMethod):
    """Ridge regression, alpha by cross-validation inside the training data."""

    encoder: Literal["ridge"]
    solver: Literal["auto", "primal", "dual"] = "auto"
    per_target_alpha: bool = True


class EstimatorMethod(MethodUse):
    """Any regressor with scikit-learn's interface, by name."""

    encoder: Literal["estimator"]
    estimator: str = Field(
        pattern=r"^.+:\w+$",
        description="module:name or path/to/file.py:name of a regressor's class, or of a function that returns one: it "
        "is run",
    )
    options: dict[str, Any] = Field({}, description="keyword arguments of the class or function")
    cv: int = Field(5, ge=2, description="inner folds of whole images, for the score that layers are chosen by")
    device: Literal["cpu"] = "cpu"


class BandedRidgeMethod(PenaltyMethod):
    """Ridge regression on all layers of a model at once, each with its own share of the penalty: what each adds."""

    joint: ClassVar[bool] = True

    encoder: Literal["banded"]
    n_candidates: int = Field(
        20, ge=1, description="shares of the layers to try: even, each layer alone, then random ones"
    )
    solver: Literal["auto", "primal", "dual"] = "auto"
    metric: Literal["r2", "r"] = Field("r2", description="the score that is maximised and split over the layers")


class DictionaryMethod(PenaltyMethod):
    """Ridge regression on sparse codes of each layer, beside simpler spaces of the same width."""

    encoder: Literal["dictionary"]
    coding: Literal["topk", "matching_pursuit"] = Field(
        "topk", description="the strongest atoms at one look, or one after the other"
    )
    width: int = Field(256, ge=2, description="atoms")
    n_active: int = Field(8, ge=1, description="atoms that may explain an image")
    epochs: int | None = Field(None, ge=1, description="100, or what makes 1,200 steps where images are few")
    seeds: Seeds = Field(
        (0, 1, 2), description="starts: scores are of the first, the others show whether atoms are stable"
    )
    per_target_alpha: bool = True
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="of the regression")

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
        if self.n_active > self.width:
            raise ValueError(f"n_active ({self.n_active}) is above width ({self.width}); explain images by fewer atoms")
        return self


class InContextMethod(MethodUse):
    """A network that was meta-trained on the other subjects of a study reads a voxel's weights off a few images."""

    # What is done with the networks: a change leaves them as they are.
    evaluation: ClassVar[frozenset[str]] = frozenset(
        {"sizes", "n_repeats", "fallback", "min_group", "n_checks", "text_queries"}
    )

    encoder: Literal["in_context"]
    network: Literal["small", "clip", "dino", "siglip"] = "small"
    prior: Literal["normal", "independent"] = "normal"
    units: Literal["prior", "any"] = Field("prior", description="whether responses of all subjects share a scale")
    n_steps: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = Field(
        (50, 850, 600), description="synthetic voxels, contexts of one size; of all sizes; voxels of other subjects"
    )
    context_sizes: tuple[Annotated[int, Field(ge=3)], Annotated[int, Field(ge=3)]] = Field(
        (8, 100), description="smallest and largest context in training; scores are of the largest"
    )
    noise_ratio: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = Field(
        (0.5, 4.0), description="of synthetic voxels, relative to their signal"
    )
    n_voxels: int = Field(48, ge=1, description="in a step")
    n_queries: int = Field(32, ge=1, description="images to predict in a step")
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    optimizer: Literal["muon", "adamw"] = Field(
        "muon", description="adamw: alone, its rate falling by 10 with the loss, as published (rate 1e-4, decay .1)"
    )
    fallback: bool = Field(
        True, description="ridge in regions where others do not predict images of the context better, left out by one"
    )
    min_group: int = Field(100, ge=1, description="targets of a region that decides by itself")
    n_checks: int = Field(5000, ge=1, description="(image, target) pairs that a region leaves out")
    n_components: int = Field(32, ge=2, description="principal components that the features of a layer are reduced to")
    seeds: Seeds = Field((0,), description="a network each; scores are of their mean prediction")
    sizes: tuple[Annotated[int, Field(ge=3)], ...] = Field(
        (10, 20, 50, 100), min_length=1, description="of the contexts of the curve"
    )
    n_repeats: int = Field(5, ge=1, description="contexts of each size, which share no image")
    text_queries: tuple[str, ...] = Field(
        (), description="what regions are asked about, in the space that a CLIP-like model shares with images"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name in ("context_sizes", "noise_ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the smallest ({low}) comes first, then the largest ({high})")
        if sum(self.n_steps[:2]) < 1:
            raise ValueError("n_steps: one of the first two must be above 0")
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes: {list(self.sizes)} must rise")
        if len(self.text_queries) == 1 or len(set(self.text_queries)) < len(self.text_queries):
            raise ValueError("text_queries: give two or more different texts, which are compared with each other")
        return self

    def pretraining(self) -> dict[str, object]:
        """List the options that the networks depend on."""
        return self.model_dump(mode="json", exclude={"models", "subjects", *self.evaluation})


class TrainedMethod(MethodUse):
    """What every network has that is trained on responses, from the tokens of each layer of a model."""

    trained: ClassVar[bool] = True

    encoder: str
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (0,), min_length=1, description="a network each; scores are of their mean prediction, their spread is reported"
    )
    baselines: tuple[Literal["tokens", "mean", "factorized", "second_order", "gaussian", "interactions"], ...] = Field(
        ("tokens", "mean", "factorized"),
        description="in the same table: ridge on all tokens, the mean token, products of channels, tokens times "
        "semantics; a factorized and a Gaussian read-out",
    )
    cls: Name | None = Field(
        None, description="the same network as a model with `pooling: cls`: ridge on that token, in the same table"
    )
    ensemble: bool = Field(
        False, description="one more row: all layers and seeds, weighted per target by softmax(40 · validation r)"
    )
    targets: Literal["reliable", "all"] = Field(
        "reliable",
        description="that are trained and scored: those above the ceiling threshold, or all; over time always all",
    )
    epochs: int = Field(40, ge=1)
    batch_size: int = Field(100, ge=1)
    learning_rate: float = Field(1e-2, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    validation: float = Field(1 / 6, gt=0, lt=1, description="share of the training images that choose the epoch")
    mixed_precision: bool = Field(False, description="losses in bfloat16, on a GPU")
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @property
    def needs_semantics(self) -> str | None:
        """The model whose features say what an image shows, or "classes" for its category; None where unused."""
        return getattr(self, "semantics", None)


class ReadoutMethod(TrainedMethod):
    """What spatial read-outs share: a field over the feature map and channel weights for every target."""

    schedule: Literal["onecycle", "constant"] = "onecycle"
    patience: int | None = Field(None, ge=1, description="epochs without a better validation score; not with onecycle")
    loss: Literal["mse", "concordance"] = "mse"
    restarts: int = Field(1, ge=1, description="trainings, of which each target keeps its best by validation r")


class FactorizedMethod(ReadoutMethod):
    """A free field and channel weights per target."""

    encoder: Literal["factorized"]


class GaussianMethod(ReadoutMethod):
    """A Gaussian field and channel weights per target."""

    encoder: Literal["gaussian"]
    field: Literal["point", "integrated"] = "integrated"


class SemanticMethod(ReadoutMethod):
    """A field per target that moves with what the image shows."""

    encoder: Literal["semantic"]
    semantics: Name = Field(description="what an image shows: a model's last layer, or 'classes' for its category")
    warp: Literal["translation", "rotation", "scale", "shear", "affine"] = "translation"
    warp_features: bool = False
    n_hidden: int = Field(32, ge=1)
    restarts: int = Field(2, ge=1, description="trainings, beside one whose fields stay still; a target keeps its best")


class RoutingMethod(TrainedMethod):
    """A query per region, parcel or target that attends to tokens by what they hold and where they lie."""

    encoder: Literal["routing"]
    queries: Literal["roi", "parcel", "target", "hemisphere"] = "roi"
    keys: Literal["both", "content", "position"] = Field("both", description="the last two are controls")
    frozen_queries: bool = Field(False, description="queries stay at their random start: a control")
    controls: tuple[Literal["frozen_queries", "content", "position"], ...] = Field(
        (), description="in the same table: the same encoder with queries not learned, keys of content or place alone"
    )
    n_parcels: int = Field(100, ge=1, description="with queries: parcel")
    rest: bool = Field(False, description="with queries: roi, one more query for the targets in no region")
    d_model: int = Field(32, ge=1)
    n_heads: int = Field(1, ge=1)
    feedforward: int | None = Field(None, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    batch_size: int = Field(50, ge=1)
    clip: float | None = Field(None, gt=0)
    validation: float = Field(0.1, gt=0, lt=1, description="share of the training images that choose the epoch")
    patience: int | None = Field(None, ge=1, description="epochs without a better validation score; rate then constant")


class ResponseOptimisedMethod(TrainedMethod):
    """A convolutional core that all targets share, trained with a read-out of its maps."""

    encoder: Literal["response_optimised"]
    n_channels: tuple[Annotated[int, Field(ge=1)], ...] = Field((16, 32, 64), min_length=1, description="of each block")
    kernel_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field((5, 3, 3), description="of each block, odd")
    pool: tuple[Annotated[int, Field(ge=1)], ...] = Field((2, 2, 2), description="of each block: places averaged")
    readout: Literal["factorized", "gaussian", "semantic"] = "factorized"
    semantics: Name | None = Field(
        None, description="with readout: semantic, what an image shows: a model's last layer, or 'classes'"
    )
    dropout: float = Field(0.0, ge=0, lt=1)
    batch_size: int = Field(50, ge=1)
    schedule: Literal["onecycle", "constant"] = "onecycle"
    patience: int | None = Field(None, ge=1, description="epochs without a better validation score; not with onecycle")
    loss: Literal["mse", "concordance"] = "mse"

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
        sizes = [len(values) for values in (self.n_channels, self.kernel_sizes, self.pool)]
        if len(set(sizes)) > 1:
            raise ValueError(f"n_channels, kernel_sizes and pool have {sizes} numbers; give one per block each")
        if (self.readout == "semantic") != (self.semantics is not None):
            raise ValueError(f"readout: semantic and semantics go together; got {self.readout}, {self.semantics}")
        return self


Method = Annotated[
    RidgeMethod | EstimatorMethod | BandedRidgeMethod | DictionaryMethod | InContextMethod | FactorizedMethod
    | GaussianMethod | SemanticMethod | RoutingMethod | ResponseOptimisedMethod,
    Field(discriminator="encoder"),
]  # fmt: skip
