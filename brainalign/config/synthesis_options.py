"""The section `synthesize` of the configuration: whose regions get images made for them, by which prior and encoders.

SynthesizeSettings     prior, guide, check, regions, how images are sampled, and what they are compared with
"""

import math
import re
from collections.abc import Collection, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from brainalign.checks import BrainalignError, check_among, did_you_mean
from brainalign.study import Name, Names, Strict, Strings, check_known

SchedulerName = Literal[
    "DDIMScheduler",
    "DDPMScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
]
REPEATING = ("DDIMScheduler", "DDPMScheduler")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# What encoders depend on; the rest of the section concerns only what is done with them.
OF_THE_GUIDE = (
    *("prior", "guide", "check", "regions", "min_targets", "n_nulls", "views", "alphas", "dtype", "device"),
    *("batch_size", "scheduler"),  # what fits into memory; the prior is loaded, to see that it can be guided
)


class LayerOf(Strict):
    """A layer of an image model of the configuration."""

    model: Name
    layer: str


class SynthesizeSettings(Strict):
    """Options of the stages guide and synthesize: images that a region would prefer."""

    prior: str | None = Field(
        None,
        description="diffusion model that images come from: a folder in the layout of diffusers (Stable Diffusion's "
        "too) or a hub id; none: nothing is synthesised",
    )
    guide: LayerOf | None = Field(None, description="features of the encoder that guides")
    check: LayerOf | None = Field(
        None, description="features of the encoder that judges, of another model; it is fitted to other images"
    )
    subjects: Names | None = Field(None, description="fMRI subjects: all of a dataset where not given")
    regions: Strings | None = Field(
        None, description="names, or those of one against another (`a-b`); all with enough reliable targets by default"
    )
    min_targets: int = Field(10, ge=1, description="reliable targets that a region has at least")
    views: int = Field(
        2, ge=0, description="of every training image, noised and denoised, that encoders are fitted to as well"
    )
    alphas: tuple[float, ...] = Field(
        tuple(float(10 ** (k / 2)) for k in range(-2, 13)), min_length=1, description="of the encoders' ridge"
    )
    n_natural: int = Field(
        1000, ge=20, description="training images that are held in memory: the best of them stand beside"
    )
    n_images: int = Field(16, ge=2, description="per region and condition; image k has the same seed in all")
    share_kept: float = Field(
        1.0,
        gt=0,
        le=1,
        description="of guided images, those that the guide likes best: searches keep as many, and they are compared "
        "with these and go into the archive",
    )
    scale: float = Field(10.0, gt=0, description="of guidance, per standard deviation over natural images")
    trust_radius: float = Field(0.2, gt=0, description="largest root mean square by which a step is moved")
    recurrence: int = Field(3, ge=1, description="how often every step is taken")
    steps: int = Field(25, ge=2)
    batch_size: int = Field(32, ge=1, description="images at once")
    n_nulls: int = Field(19, ge=1, description="encoders fitted to responses of exchanged images")
    n_null_images: int = Field(8, ge=2, description="of each of them")
    evolution: bool = Field(True, description="also evolve noise for each region, which costs as much as guidance")
    scales: tuple[float, ...] = Field((), description="other scales to look at, on seeds of their own")
    prompts: Literal["captions"] | dict[str, str] = Field(
        {},
        description="by region, words that the prior reads, and what they alone give; captions: each region's most "
        "frequent caption that predicts its voxels, from the stage caption",
    )
    prompt: str | None = Field(None, description="words that all images are asked for, guided or not")
    negative_prompt: str | None = Field(None, description="words that all images are led away from")
    classifier_free_scale: float = Field(7.5, gt=1, description="of these words")
    scheduler: SchedulerName | None = Field(
        None,
        description="of diffusers, with the settings of the prior's own; by default the prior's own, or DDIMScheduler "
        "where that cannot repeat steps (PNDM of Stable Diffusion 1) and recurrence is above 1",
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        "float32", description="of the prior's networks; half precision takes half the memory, and is slow on a CPU"
    )
    save_memory: bool = Field(
        False, description="checkpointed gradients of network and autoencoder, sliced decoding: slower, less memory"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _steps_can_be_repeated(self) -> Self:
        if self.recurrence > 1 and self.scheduler not in (None, *REPEATING):
            raise ValueError(
                f"recurrence: {self.recurrence} repeats steps, but {self.scheduler} remembers earlier ones; take "
                f"{' or '.join(REPEATING)}, or recurrence: 1"
            )
        return self

    @model_validator(mode="after")
    def _enough_images_are_kept(self) -> Self:
        if round(self.share_kept * self.n_images) < 2:
            raise ValueError(
                f"share_kept: {self.share_kept:g} of {self.n_images} images keeps fewer than two; take a larger share, "
                f"or n_images: {math.ceil(2 / self.share_kept)}"
            )
        return self

    @model_validator(mode="after")
    def _encoders_are_named(self) -> Self:
        if self.prior is None:
            return self
        if self.guide is None or self.check is None:
            missing = "guide" if self.guide is None else "check"
            raise ValueError(f"{missing} is missing; give a model and a layer of it, like {{model: clip, layer: ...}}")
        if self.guide.model == self.check.model:
            raise ValueError(
                f"guide and check both read {self.guide.model}; an encoder cannot judge images that its own features "
                "were asked for: name another model as check"
            )
        return self

    def check_models(self, models: Mapping[str, Any]) -> None:
        """Raise where a model is not of the configuration, gives no gradients, or does not keep the layer."""
        for role, chosen in (("guide", self.guide), ("check", self.check)):
            if self.prior is None or chosen is None:
                continue
            check_known(f"synthesize.{role}.model", chosen.model, models, "models")
            if not models[chosen.model].reads_images:
                fitting = [name for name, model in models.items() if model.reads_images]
                raise ValueError(
                    f"synthesize.{role}.model: {chosen.model} does not look at images, so no gradient of it reaches "
                    f"one; name a network that does{': ' + ', '.join(fitting) if fitting else ''}"
                )
            if (dtype := models[chosen.model].dtype) != "float32":
                raise ValueError(
                    f"synthesize.{role}.model: features of {chosen.model} are stored as {dtype}, but are compared with "
                    "what the network computes; leave its dtype out"
                )
            if layers := getattr(models[chosen.model], "layers", None):
                check_among(f"synthesize.{role}.layer", [chosen.layer], layers, f"the layers of {chosen.model}")

    def check_prior(self) -> None:
        """Raise where the prior is a folder that is not there, or holds no diffusion model."""
        assert self.prior is not None  # else nothing is synthesised
        folder = Path(self.prior)
        if folder.is_dir():
            if not (folder / "model_index.json").is_file():
                raise BrainalignError(
                    f"synthesize.prior: {self.prior} has no model_index.json; give a folder that diffusers' "
                    "save_pretrained wrote"
                )
        elif not HUB_ID.fullmatch(self.prior) or Path(folder.parts[0]).is_dir():
            raise BrainalignError(
                f"synthesize.prior: no folder {self.prior}; correct the path, or give a hub id (owner/name)"
            )

    def of_the_guide(self) -> dict[str, object]:
        """Return the options that encoders depend on."""
        return self.model_dump(mode="json", include=set(OF_THE_GUIDE))


class DirectionSettings(Strict):
    """Options of the directions stage; prior, encoders, steps and device are those of `synthesize`."""

    methods: tuple[Literal["supervised", "ridge", "pullback", "pca", "jacobian"], ...] = Field(
        (),
        description="how directions are found: from a region's response to seeds (the first three), or asking no "
        "region; none: no directions are sought",
    )
    regions: Strings | None = Field(None, description="of those that `synthesize` has encoders of; all by default")
    n_seeds: int = Field(256, ge=20, description="images that directions are found with")
    n_directions: int = Field(3, ge=1, description="of methods that ask no region")
    spatial: Literal["full", "mean"] = Field("full", description="mean: the same change at every place, for colour")
    alphas: tuple[float, ...] = Field(
        (-3.0, -1.5, 0.0, 1.5, 3.0), min_length=3, description="strengths, in standard deviations over seeds"
    )
    n_images: int = Field(16, ge=6, description="seeds that directions are tried on; others than those of n_seeds")
    n_controls: int = Field(19, ge=1, description="random directions, and as many of shuffled responses")
    n_control_images: int = Field(8, ge=2, description="of each of them, at the first and the last strength")
    batch_size: int = Field(64, ge=1, description="images at once")

    @field_validator("alphas")
    @classmethod
    def _alphas_rise_through_nothing(cls, alphas: tuple[float, ...]) -> tuple[float, ...]:
        rising = all(a < b for a, b in pairwise(alphas))
        if not rising or not alphas[0] < 0 < alphas[-1] or 0 not in alphas:
            raise ValueError(f"{alphas}: strengths must rise from below 0 to above it, with 0 among them")
        return alphas

    def check(self, prior: str | None, encoded: Collection[str] | None) -> None:
        """Raise where directions are sought without images, or for regions that no encoder is fitted for.

        `prior` is that of `synthesize`; `encoded` are the regions that it has encoders of, not known before they are
        fitted where it names none.
        """
        if self.methods and prior is None:
            raise BrainalignError("directions.methods need synthesize.prior; give both, or neither")
        for name in self.regions or ():
            if self.methods and encoded is not None and name not in encoded:
                raise BrainalignError(
                    f"directions.regions: {name!r} has no encoder; those of synthesize are {', '.join(encoded)}"
                    f"{did_you_mean(name, encoded)}"
                )
