"""Methods of the configuration: how an encoder is fitted, and which models and subjects it is used on.

Field names and defaults equal the constructor arguments of the encoders they configure.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from brainalign.descriptor import Name
from brainalign.parsing import Strict

__all__ = ["BandedRidgeMethod", "Method", "MethodUse", "RidgeMethod"]

ALPHAS = tuple(10 ** (exponent / 2) for exponent in range(-2, 11))  # logspace(-1, 5, 13)


class MethodUse(Strict):
    """What every method of the configuration says about how it is used."""

    joint: ClassVar[bool] = False  # all layers of a model in one fit, else a fit per layer

    models: tuple[Name, ...] | None = Field(
        None, min_length=1, description="that it is used on: all of the dataset where not given"
    )
    subjects: tuple[Name, ...] | None = Field(
        None, min_length=1, description="that it is used on: all of the dataset where not given"
    )

    def used_on(self, model: str, subject: str | None = None) -> bool:
        """Return whether a model is fitted by this method (for a subject), where a dataset uses both."""
        on_subject = subject is None or self.subjects is None or subject in self.subjects
        return on_subject and (self.models is None or model in self.models)


class RidgeMethod(MethodUse):
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


class BandedRidgeMethod(MethodUse):
    """Ridge regression on all layers of a model at once, each with its own share of the penalty: what each adds."""

    joint: ClassVar[bool] = True

    encoder: Literal["banded"]
    alphas: tuple[Annotated[float, Field(ge=0)], ...] = Field(ALPHAS, min_length=1)
    n_candidates: int = Field(
        20, ge=1, description="shares of the layers to try: even, each layer alone, then random ones"
    )
    cv: Annotated[int, Field(ge=2)] | Literal["groups"] = Field(
        5, description="inner folds of whole groups; 'groups' leaves one group out"
    )
    solver: Literal["auto", "primal", "dual"] = "auto"
    metric: Literal["r2", "r"] = Field("r2", description="the score that is maximised and split over the layers")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "float64"] = "float32"


Method = Annotated[RidgeMethod | BandedRidgeMethod, Field(discriminator="encoder")]
