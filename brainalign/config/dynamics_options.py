"""The section `dynamics` of the configuration: models of videos, how they go on, and how they are scored.

DynamicsModel     a function of the user's, and the dynamics that are trained on its features
DynamicsSettings  all of them, with context, training, folds, least reliability and nulls
"""

from typing import Literal

from pydantic import Field

from brainalign.study import Name, Strict


class DynamicsModel(Strict):
    """Features over time that a function of the user's makes."""

    function: str = Field(
        description="module:function or path/to/file.py:function; it is run; returns an object with features(frames) "
        "and, where it can, simulate(context, n_steps)"
    )
    heads: tuple[Literal["mlp", "lstm", "ctrnn"], ...] = Field(
        ("mlp",), description="dynamics trained on its features where frames are hidden, each beside an untrained twin"
    )


class DynamicsSettings(Strict):
    """Options of the stages rollout and dynamics: models of videos beside neurons."""

    models: dict[Name, DynamicsModel] = Field({}, description="by the name they get in the report")
    context: int = Field(7, ge=2, description="frames that dynamics see before a prediction")
    components: int = Field(
        200, ge=2, description="principal components, of the frames that dynamics learn from, of wider features"
    )
    width: int = Field(64, ge=2, description="hidden units of dynamics")
    training_steps: int = Field(1000, ge=1, description="of the dynamics")
    folds: int = Field(6, ge=2, description="of conditions; six or more give intervals")
    min_reliability: float = Field(0.1, gt=0, lt=1, description="neurons below it are dropped, and counted")
    fit_on: Literal["epoch", "visible"] = Field(
        "epoch", description="maps of hidden and of shown frames each, or one map of shown frames for both"
    )
    permutations: int = Field(200, ge=19, description="of the conditions of the neurons; every one is fitted anew")

    def of_rollout(self, model: str) -> dict[str, object]:
        """List the options that the features over time of one model depend on."""
        own = self.model_dump(mode="json", include={"context", "components", "width", "training_steps"})
        return own | {"models": {model: self.models[model].model_dump(mode="json")}}

    def of_scores(self) -> dict[str, object]:
        """List the options that scores depend on besides the features."""
        return self.model_dump(mode="json", include={"folds", "min_reliability", "fit_on", "permutations"})
