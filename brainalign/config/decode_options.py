"""The section `decode` of the configuration: decoders of text, what they are controlled by, what is shown."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brainalign.study import Name, Seeds, Strict

OF_BLOCKS = (
    "one more training per block, where the descriptor asks for blocks; without, the verdict needs a score above what "
    "the place in the session tells"
)


class LinearDecoding(Strict):
    """Ridge from signals, their log power or covariance, to the vector of the sentence."""

    decoder: Literal["linear"]
    sharing: Literal["own", "pooled", "partial"] = Field("own", description="of subjects")
    features: Literal["raw", "log_power", "covariance"] = "raw"
    penalties: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None,
        min_length=1,
        description="in units of trace(K) / n; validation trials choose; 1e-4 to 100 where not given",
    )
    rhos: tuple[Annotated[float, Field(ge=0)], ...] | None = Field(
        None, min_length=1, description="what subjects share, with sharing: partial; 0.1, 0.3, 1 where not given"
    )
    window: int = Field(8, ge=1, description="samples, of power and covariance")
    leave_out_blocks: bool = Field(True, description=OF_BLOCKS)


class NetworkDecoding(Strict):
    """A network trained to bring EEG near the vector of its sentence and away from those of others."""

    decoder: Literal["network"]
    encoder: str = Field(
        "residual",
        description="residual (ridge with a small network beside it), tiny, envelope (power), braindecode:<Model>, or "
        "module:Model of your own",
    )
    n_epochs: int = Field(24, ge=1)
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    batch_size: int = Field(96, ge=2)
    augment: bool = Field(True, description="vary training trials: shifts, silent channels, noise")
    selection: Literal["last", "best_val"] = Field(
        "best_val", description="weights: the last, or those that retrieve validation sentences best"
    )
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    leave_out_blocks: bool = Field(True, description=OF_BLOCKS)
    language: Literal["word_t5", "pretrained", "smollm"] | None = Field(
        None,
        description="a frozen language model that writes sentences: one made of the training texts, weights of yours, "
        "SmolLM2; where none is given, the nearest training sentence stands for words",
    )
    language_weights: str | None = Field(None, description="with language: pretrained, a local folder or hub id")
    encoder_options: dict[str, int | float | str | bool] = Field({}, description="arguments of the encoder")

    @model_validator(mode="after")
    def _weights_of_a_language_model(self) -> Self:
        if (self.language == "pretrained") != (self.language_weights is not None):
            raise ValueError("language: pretrained and language_weights go together; give both or neither")
        return self


Decoding = Annotated[LinearDecoding | NetworkDecoding, Field(discriminator="decoder")]


class DecodeSettings(Strict):
    """Options of the decode stage."""

    model: Name | None = Field(None, description="whose sentence vectors are decoded; the first that reads texts")
    decoders: dict[Name, Decoding] = Field(
        {"ridge": LinearDecoding(decoder="linear")}, min_length=1, description="by the name they get in the report"
    )
    n_components: int = Field(
        24, ge=2, description="principal components of the vectors of training sentences that are decoded"
    )
    seeds: Seeds = Field((0, 1, 2), description="of trainings, noise and shuffles; spread over them is reported")
    permutations: int = Field(1000, ge=99, description="of distinct test sentences")
    draws: int = Field(2000, ge=100, description="bootstrap of subjects and sentences, for intervals")
    averages: int = Field(20, ge=1, description="random choices of the subjects or repeats that are averaged")
    examples: int = Field(12, ge=1, description="sentences on the page, drawn at random")

    def of(self, decoder: str) -> dict[str, object]:
        """List the options that one decoder's scores depend on: none of the others, nor of the page."""
        shared = self.model_dump(mode="json", exclude={"decoders", "model", "examples"})
        return shared | {"decoders": {decoder: self.decoders[decoder].model_dump(mode="json")}}
