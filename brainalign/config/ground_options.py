"""The section `ground` of the configuration: which features and captions ground words, and what is asked of them."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, model_validator

from brainalign.study import Name, Strict, Strings


class GroundSettings(Strict):
    """Options of the ground stages: words of captions aligned with images, and what they predict."""

    model: Name | None = Field(
        None, description="whose features keep the places of images (pooling: tokens); none: nothing is grounded"
    )
    layer: str | None = Field(None, description="the last one where not given")
    text: Name | None = Field(None, description="a model of sentences, whose vectors of single words are grounded")
    subjects: Strings | None = Field(None, description="whose regions are predicted: all of fMRI where not given")
    norms: Path | None = Field(None, description="feature norms: CSV with word and a column of numbers per norm")
    attributes: tuple[str, ...] = Field(
        (), description="columns of numbers of the table of images, which name axes: their mean over a word's images"
    )
    min_images: int = Field(3, ge=1, description="training images whose captions hold a word; rarer ones are left out")
    n_dimensions: int = Field(32, ge=2)
    n_steps: int = Field(800, ge=1)
    batch_size: int = Field(64, ge=2)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float | None = Field(None, ge=0, description="not given: held-out training images choose; slower")
    device: str = Field("auto", description="auto, cpu or cuda")
    axes: int = Field(5, ge=1, description="principal axes that are named")
    alphas: tuple[float, ...] = Field((1e-2, 0.1, 1, 10, 100, 1000), min_length=1, description="of the regions")
    permutations: int = Field(1000, ge=19)
    draws: int = Field(1000, ge=100, description="bootstrap draws of test images")

    @model_validator(mode="after")
    def _text_is_given(self) -> "GroundSettings":
        if self.model is not None and self.text is None:
            raise ValueError("ground.model needs ground.text, a model of sentences that gives vectors of words")
        return self

    def check(self, models: Mapping[str, object]) -> None:
        """Raise where a model does not read what it should."""
        if self.model is not None and self.text is not None:
            if getattr(models[self.text], "extractor", "") != "sentence":
                raise ValueError(
                    f"ground.text: {self.text} is no model of sentences; take one with extractor: sentence"
                )
            if getattr(models[self.model], "pooling", "tokens") != "tokens":
                raise ValueError(f"ground.model: {self.model} does not keep places; give it pooling: tokens")
