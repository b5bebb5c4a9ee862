"""A subject who saw images: responses, the split, the targets that are averaged, and how any encoder is evaluated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses, Rows, Values
from brainalign.encoding.scoring.held_out import evaluate_held_out
from brainalign.encoding.scoring.held_out_scores import HeldOut, score_predictions
from brainalign.encoding.scoring.held_out_tables import group_table
from brainalign.features import layer_inputs

N_MAPS = 200  # permuted maps that cluster tests see


@dataclass(frozen=True, kw_only=True)
class ImageSubject:
    """What one subject was shown and answered, and the sizes of every evaluation on it.

    Attributes
    ----------
    responses : Responses
    ceiling : array (n_targets,), share of variance
        Of flat targets; NaN where not known.
    train, test : array of trial numbers
    groups : mapping of arrays of target numbers
        From `target_groups`.
    n_components, standardize
        Of `layer_inputs`.
    n_permutations, n_draws : int
    confidence : float
        Of intervals.
    seed : int
    """

    responses: Responses
    ceiling: Values
    train: Rows
    test: Rows
    groups: Mapping[str, Rows]
    n_components: int | None = None
    standardize: bool = True
    n_permutations: int = 1000
    n_draws: int = 1000
    confidence: float = 0.95
    seed: int = 0

    @property
    def stimulus_ids(self) -> NDArray[Any]:
        """The stimulus of every trial."""
        return self.responses.trials["stimulus_id"].to_numpy()

    @property
    def inputs(self) -> Callable[..., Values]:
        """Function of a layer's values (n_trials, ...) and whether they are maps to the input of linear encoders."""
        return partial(layer_inputs, train=self.train, n_components=self.n_components, standardize=self.standardize)

    @property
    def evaluate(self) -> Callable[..., HeldOut]:
        """`evaluate_held_out` of an encoder and X on this subject."""
        return partial(
            evaluate_held_out,
            Y=self.responses.values,
            train=self.train,
            test=self.test,
            stimulus_ids=self.stimulus_ids,
            n_boot=self.n_draws,
            target_groups=self.groups,
            seed=self.seed,
        )

    @property
    def evaluate_in_full(self) -> Callable[..., HeldOut]:
        """The same with nulls and the refit control."""
        n = self.n_permutations
        n_maps = min(N_MAPS, n) if self.responses.times is not None else 0
        return partial(self.evaluate, n_permutations=n, n_maps=n_maps, control="refit")

    @property
    def score(self) -> Callable[..., HeldOut]:
        """`score_predictions` with nulls of the same sizes."""
        return partial(score_predictions, n_permutations=self.n_permutations, n_boot=self.n_draws, seed=self.seed)

    def table(self, results: Mapping[str, HeldOut]) -> pd.DataFrame:
        """Return means by group (`group_table`) of evaluations by layer."""
        tables = [
            group_table(found, self.groups, self.ceiling, self.confidence).assign(layer=layer)
            for layer, found in results.items()
        ]
        return pd.concat(tables, ignore_index=True)
