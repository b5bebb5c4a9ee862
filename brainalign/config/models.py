"""The models of a configuration: what features are extracted with, one class of options per extractor.

Field names and defaults equal the constructor arguments of the classes they configure.
"""

import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from brainalign.arrays import Stored
from brainalign.checks import BrainalignError, check_choice
from brainalign.io import read_json
from brainalign.study import Name, Strict

EFFICIENTNET_LAYERS = ("stem", *(f"block{k}" for k in range(16)), "head")


class ModelUse(Strict):
    """What every model of the configuration can say about how it is used."""

    reads_images: ClassVar[bool] = False
    reads_texts: ClassVar[bool] = False  # of images their captions
    reads_sounds: ClassVar[bool] = False
    reads_films: ClassVar[bool] = False
    reads_vectors: ClassVar[bool] = False  # by the ids of stimuli, whatever they are

    @property
    def random(self) -> bool:
        """Whether the weights are random: a control."""
        return getattr(self, "weights", "") == "random" or getattr(self, "random_weights", False)

    permute: tuple[str, ...] | None = Field(
        None, description="splits whose scores get a permutation null: all where not given, [] for none"
    )
    subjects: tuple[Name, ...] | None = Field(
        None, min_length=1, description="whose responses it is fitted to: all of the dataset where not given"
    )

    dtype: Stored = Field("float32", description="of features on disk; they are read as float32")

    def fitted_to(self, subject: str | None) -> bool:
        """Return whether the responses of a subject are predicted from it, where a dataset uses it."""
        return subject is None or self.subjects is None or subject in self.subjects


class SentenceModel(ModelUse):
    """Sentence embeddings of a Hugging Face text model; of images, of their captions."""

    reads_texts: ClassVar[bool] = True

    extractor: Literal["sentence"]
    weights: str = Field(description="local folder, Python package that carries a model, or hub id")
    wordings: Literal["mean", "each"] = Field("mean", description="average the wordings of a stimulus, or a layer each")
    batch_size: int = Field(32, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class NumberedModel(ModelUse):
    """What networks share whose layers are numbered."""

    weights: str = Field(description="local folder, Python package that carries a model, or hub id")
    layers: tuple[str, ...] | None = Field(None, min_length=1, description="layer0, layer1, ...; all where not given")
    random_weights: bool = Field(False, description="the architecture only: the control of a trained model")
    batch_size: int = Field(8, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class LanguageModel(NumberedModel):
    """A causal or masked language model: words of a story in their context, or texts by themselves."""

    reads_texts: ClassVar[bool] = True

    extractor: Literal["language"]
    context: int = Field(256, ge=4, description="tokens of a window; windows overlap by half")
    pooling: Literal["last", "mean"] = Field("last", description="of the tokens of a word, or of a text")
    revision: str | None = Field(None, description="of a hub id")


class SpeechModel(NumberedModel):
    """A speech model, such as wav2vec 2, HuBERT or the encoder of Whisper, on the sounds of runs."""

    reads_sounds: ClassVar[bool] = True

    extractor: Literal["speech"]
    rate_hz: float = Field(10.0, gt=0, description="rows per second, before they meet the clock of the recording")
    context_s: float = Field(8.0, ge=0, description="heard before what a window adds")
    chunk_s: float = Field(2.0, gt=0, description="that a window adds: the most that a row can hear ahead")
    revision: str | None = Field(None, description="of a hub id")

    @model_validator(mode="after")
    def _chunks_hold_whole_rows(self) -> Self:
        rows = self.chunk_s * self.rate_hz
        if rows < 1 or abs(rows - round(rows)) > 1e-6:
            raise ValueError(f"chunk_s times rate_hz is {rows:g} rows; give values that make it whole, as 2 and 10 do")
        return self

    def check_saved(self, where: Path) -> None:
        """Raise where a model's folder says that it hears less at once than a window, or has fewer frames than rows."""
        files = (where / name for name in ("preprocessor_config.json", "config.json"))
        about: dict[str, Any] = {}
        for file in files:
            about |= read_json(file) if file.is_file() else {}
        rate = about.get("sampling_rate", 16000)
        longest, frames = about.get("n_samples", math.inf) / rate, rate / math.prod(about.get("conv_stride") or [1])
        if longest < self.context_s + self.chunk_s:
            raise BrainalignError(
                f"context_s and chunk_s: {self.weights} hears {longest:g} s at once, not "
                f"{self.context_s + self.chunk_s:g} s; make them shorter"
            )
        if frames < self.rate_hz:
            raise BrainalignError(
                f"rate_hz: {self.weights} has {frames:.3g} frames per second, not {self.rate_hz:g} rows; lower it"
            )


class VideoModel(NumberedModel):
    """A video model that reads patches over time, such as VideoMAE or V-JEPA 2, on the films of runs."""

    reads_films: ClassVar[bool] = True

    extractor: Literal["video"]
    batch_size: int = Field(2, ge=1, description="windows per forward pass")


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
    batch_size: int | None = Field(None, ge=1, description="images per forward pass; as memory allows if not given")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    mixed_precision: bool = Field(False, description="forward passes in float16, on a GPU")


class EfficientNetModel(ImageModel):
    """EfficientNet-Lite0, trained on ImageNet or with random weights."""

    extractor: Literal["efficientnet"]
    weights: Literal["imagenet", "random"] = "imagenet"
    n_draws: int = Field(1, ge=1, description="of random weights; their layers are called block0_draw1 ...")
    image_size: int = Field(224, ge=32)
    crop: bool = True

    @model_validator(mode="after")
    def _layers_exist(self) -> Self:
        for layer in self.layers or ():
            check_choice("layers", layer.rpartition("_draw")[0] or layer, EFFICIENTNET_LAYERS)
        return self


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
    function: str = Field(description="module:function or path/to/file.py:function; it is run")
    image_size: int = Field(224, ge=8)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class TableModel(ModelUse):
    """Feature vectors of one's own stimuli, whatever they were made with."""

    reads_vectors: ClassVar[bool] = True

    extractor: Literal["table"]
    file: Path = Field(
        description="a row per stimulus: .csv, .tsv or .parquet with a column stimulus_id; or .npy, .npz, .h5, .hdf5, "
        ".mat, .zarr with an array per layer and, where it can be, an array stimulus_id"
    )
    ids: Path | None = Field(
        None, description="of arrays: an id per line, or a table; else rows are taken in the order of the stimuli"
    )
    layers: tuple[str, ...] | None = Field(
        None, min_length=1, description="names of arrays, or prefixes of columns; all arrays, all columns if not given"
    )


Model = Annotated[
    SentenceModel | LanguageModel | SpeechModel | VideoModel | OneHotModel | RandomModel | PixelsModel
    | EfficientNetModel | VisionModel | TimmModel | TorchvisionModel | UserModel | TableModel,
    Field(discriminator="extractor"),
]  # fmt: skip


SHARED_LAYERS = frozenset({"visual_projection", "head"})  # of CLIP and SigLIP: images as texts are embedded
