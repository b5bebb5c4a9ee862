"""The section `match` of the configuration: which networks are compared with each other, by what, on how many stimuli.

MatchSettings     models, measures, stimuli, units, nulls, and the known features of the stimuli
"""

from typing import Literal

import pandas as pd
from pydantic import Field

from brainalign.checks import BrainalignError, check_columns, listed
from brainalign.study import DistinctNames, Strict

Measure = Literal[
    "cka",
    "plain_cka",
    "cca",
    "svcca",
    "pwcca",
    "procrustes",
    "one_to_one",
    "forward",
    "backward",
    "soft",
    "predicts",
    "predicted",
]


class MatchSettings(Strict):
    """Options of the match stage: networks beside networks, without any brain."""

    models: DistinctNames = Field((), description="networks whose layers are compared; none: no such comparison")
    measures: tuple[Measure, ...] = Field(
        ("cka", "procrustes", "one_to_one", "soft"), min_length=1, description="the first one is drawn"
    )
    stimuli: int = Field(500, ge=20, description="drawn at random where there are more, the same for all layers")
    units: int = Field(200, ge=2, description="drawn at random where a layer has more, for matches of units")
    draws: int = Field(10, ge=1, description="of every null")
    features: tuple[str, ...] = Field((), description="columns of the table of stimuli: what is known of them")
    per_category: int = Field(
        20,
        ge=8,
        description="stimuli of each category of a feature at most, for capacity and collapse; all get as many",
    )

    def limited_to(self, models: list[str]) -> "MatchSettings":
        """Return the options of some models only."""
        return self.model_copy(update={"models": tuple(name for name in self.models if name in models)})

    def check_features(self, name: str, stimuli: pd.DataFrame) -> None:
        """Raise where a feature is no column of the table of stimuli, or is not known of one of them.

        `name` is that of the table: stimulus_id, and columns in which NaN is unknown.
        """
        check_columns(f"match.features: {name}", stimuli, self.features, "name some of these")
        if unknown := stimuli["stimulus_id"][stimuli[list(self.features)].isna().any(axis=1)].tolist():
            raise BrainalignError(
                f"match.features: {name} says nothing of {len(unknown)} stimuli ({listed(unknown)}); fill in what is "
                "missing, or leave the feature out"
            )
