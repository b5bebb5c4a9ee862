"""The section `decode_modalities` of the configuration: a space that modalities share, and what stands beside it.

DecodeModalitiesSettings     networks, training, nulls, and the model whose features are the image vectors
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from brainalign.study import Name, Strict


class DecodeModalitiesSettings(Strict):
    """Options of the decode_modalities stage."""

    size: Literal["tiny", "full"] = Field("tiny", description="of the networks: for a CPU, or as published")
    width: int = Field(64, ge=4, description="of vectors before the projector; published 1024")
    n_experts: int = Field(4, ge=1, description="of the projector; published 5")
    router: int = Field(64, ge=1, description="hidden units that weigh the experts; published 2048")
    phases: Literal["joint", "two"] = Field("joint", description="two: encoders singly, frozen, then the projector")
    steps: int = Field(1500, ge=1, description="batches of every modality: the most, where plateau does not end before")
    schedule: Literal["one_cycle", "plateau"] = Field(
        "plateau", description="plateau: until validation images are found no better"
    )
    patience: int = Field(
        300, ge=1, description="batches without improvement before the rate falls, then training ends"
    )
    blend: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of each subject's ridge in embeddings; by validation images where not given",
    )
    batch_size: int = Field(96, ge=2, description="published 250")
    learning_rate: float = Field(2e-3, gt=0, description="published 3e-4")
    weight_decay: float = Field(0.05, ge=0)
    regression: float = Field(1.0, ge=0, description="weight of the squared distance beside the contrastive loss")
    penalty: float | None = Field(
        None, gt=0, description="of ridge, in units of the mean eigenvalue; by folds of training images where not given"
    )
    whiten: bool = Field(False, description="sensors by the noise of repeated training trials (MVNN)")
    beside: tuple[Literal["unimodal", "shuffled", "noise", "one layer"], ...] = Field(
        ("unimodal", "shuffled", "noise", "one layer"), description="further trainings that stand beside"
    )
    permutations: int = Field(1000, ge=19, description="exchanges of the test images")
    draws: int = Field(5, ge=1, description="random choices of repeats")
    model: Name | None = Field(None, description="whose features are the image vectors, where no file gives them")
    layer: str | None = Field(None, description="of that model; the last one where not given")
    device: Literal["auto", "cpu", "cuda"] = "cpu"

    @model_validator(mode="after")
    def _layer_of_a_model(self) -> Self:
        if self.layer is not None and self.model is None:
            raise ValueError(f"layer {self.layer!r} needs the model it belongs to; give model")
        return self
