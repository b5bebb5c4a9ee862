"""The section `caption` of the configuration: whose voxels are put into words, by which embedding and captioner."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from brainalign.checks import BrainalignError, did_you_mean
from brainalign.study import Name, Strict, Strings, text_column

Positive = Annotated[float, Field(gt=0)]
CAPTIONERS = ("attributes", "vocabulary", "nearest", "prefix")


class CaptionSettings(Strict):
    """Options of the caption stage: words for the reliable voxels of fMRI subjects who saw images."""

    model: Name | None = Field(None, description="whose features embed images; none: nothing is captioned")
    layer: str | None = Field(None, description="the last one where not given")
    subjects: Strings | None = Field(None, description="fMRI subjects: all of a dataset where not given")
    captioner: str = Field(
        "attributes",
        description="attributes: of each the best value, from columns of the table of images; vocabulary: of "
        "`phrases` or else of captions of training images the one that responses follow best; nearest: the caption of "
        "the training image that they follow best; "
        "prefix: a language model in the folder `prefix`; module:function: yours, embeddings to texts; it is run",
    )
    attributes: tuple[str, ...] = Field(
        (), description="columns of the table of images; all with 2 to 12 different words where not given"
    )
    words: dict[str, tuple[str, ...]] = Field(
        {}, description="for columns of numbers, from small to large: as many equal parts; low, middle and high else"
    )
    phrases: tuple[str, ...] = Field((), description="of the vocabulary; the model must embed texts too")
    prefix: Path | None = Field(None, description="folder written by PrefixCaptioner.save")
    nouns: tuple[str, ...] = Field((), description="counted in captions; the values of attributes where not given")
    bank: Path | None = Field(
        None, description="embeddings of other images: an artifact of features, or a .npy; training images else"
    )
    temperature: Literal["auto"] | Positive = Field(
        "auto",
        description="of the softmax over the bank that prefix and functions read; of attributes' shares alone, and not "
        "of vocabulary and nearest; auto: best on validation images",
    )
    temperatures: tuple[Positive, ...] = Field((1, 3, 5, 10, 20, 30, 60, 100, 150, 300), min_length=1)
    alphas: tuple[float, ...] = Field((1e-3, 1e-2, 0.1, 1, 10, 100), min_length=1)
    nulls: int = Field(19, ge=2, description="exchanges of images, for every voxel anew")
    q: float = Field(0.05, gt=0, lt=1, description="false discovery rate of attributes and of captions that predict")
    permutations: int = Field(1000, ge=19, description="of the test images")
    draws: int = Field(1000, ge=100, description="bootstrap draws of the test images")

    @field_validator("captioner")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in CAPTIONERS and ":" not in value:
            raise ValueError(
                f"captioner must be one of {', '.join(CAPTIONERS)}, or module:function; got {value!r}"
                f"{did_you_mean(value, CAPTIONERS)}"
            )
        return value

    @model_validator(mode="after")
    def _parts_are_given(self) -> Self:
        if (self.captioner == "prefix") != (self.prefix is not None):
            raise ValueError("captioner: prefix and the folder `prefix` go together; give both or neither")
        if self.phrases and self.captioner != "vocabulary":
            raise ValueError(f"phrases are for captioner: vocabulary, not {self.captioner}")
        if self.captioner in ("vocabulary", "nearest") and self.temperature != "auto":
            raise ValueError(f"captioner: {self.captioner} has no temperature, got {self.temperature:g}; remove it")
        return self

    def check_columns(self, columns: Collection[str]) -> None:
        """Raise where captions of images are to be the phrases, and the table of images has none."""
        if self.captioner in ("vocabulary", "nearest") and not self.phrases and not text_column(columns):
            raise BrainalignError(
                f"captioner: {self.captioner} needs a column caption{did_you_mean('caption', columns)} in the table of "
                "images; there is none"
            )

    def check_space(self, layer: str, embeds_texts: bool) -> None:
        """Raise where phrases are given, and no model embeds them beside images."""
        if self.phrases and not embeds_texts:
            raise BrainalignError(
                f"caption.phrases need a model that embeds texts beside images, and layer {layer!r} has none; "
                "take a model such as CLIP with layer visual_projection, or captioner: attributes"
            )
