"""The section `decode_series` of the configuration: a masked model of regions, and what stands beside it.

MaskedModelOptions      the model: its arguments by the same names
SeriesSettings          what is hidden, nulls, ablations, and the prediction of traits and states
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from brainalign.study import Strict


class MaskedModelOptions(Strict):
    """Arguments of MaskedBrainModel."""

    design: Literal["tiny", "full"] = "tiny"
    attention: Literal["static", "adaptive"] = "static"
    n_blocks: int = Field(2, ge=1)
    segment_s: float = Field(15.0, gt=0, description="length of a segment, s")
    width: int = Field(48, ge=1)
    n_heads: int = Field(1, ge=1)
    hidden_width: int = Field(96, ge=1)
    region_vectors: bool = Field(True, description="without them no region can lag behind another")
    ratio: tuple[float, float] = Field((0.05, 0.95), description="shares of regions that are hidden in training")
    n_segments: int = Field(4, ge=1, description="full: segments read together")
    n_tokens: int = Field(8, ge=1, description="full: tokens that a segment is pooled into")
    n_layers: int = Field(2, ge=1, description="full: layers over segments, and of the decoder")
    n_steps: int = Field(6000, ge=1, description="the most; plateau ends where validation runs are filled in no better")
    batch_size: int = Field(48, ge=1)
    learning_rate: float = Field(6e-3, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    schedule: Literal["constant", "one_cycle", "plateau"] = "plateau"
    patience: int = Field(300, ge=1, description="steps without improvement before plateau lowers the rate, then ends")
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not 0 <= self.ratio[0] <= self.ratio[1] < 1:
            raise ValueError(f"ratio {self.ratio} must rise within 0 and 1: shares of regions that are hidden")
        if self.width % self.n_heads:
            raise ValueError(f"width {self.width} is no multiple of n_heads {self.n_heads}; change one of them")
        return self


class SeriesSettings(Strict):
    """Options of the decode_series stage."""

    model: MaskedModelOptions = MaskedModelOptions()
    lags: tuple[int, ...] = Field((0, 1, 2, 3, 4, 5), min_length=1, description="frames, of the lagged Gaussian")
    halves: int = Field(3, ge=1, description="random halves of the regions that are hidden from every test run")
    nulls: tuple[Literal["regions shifted", "frames permuted"], ...] = Field(
        ("regions shifted", "frames permuted"), description="each trains the model anew"
    )
    ablations: tuple[Literal["no masking", "fixed embeddings", "self loops", "no region vectors"], ...] = Field(
        (), description="each trains the model anew"
    )
    fine_tuning: bool = Field(False, description="train the model on for every label, once per fold")
    folds: int = Field(5, ge=2, description="over subjects")
    repeats: int = Field(5, ge=1, description="of the folds")
    permutations: int = Field(100, ge=19, description="of labels")
    network_permutations: int = Field(200, ge=19, description="of the networks over regions")
    draws: int = Field(1000, ge=100, description="bootstrap draws of subjects")
    traces: int = Field(6, ge=1, description="hidden regions that are drawn at random and shown over time")
