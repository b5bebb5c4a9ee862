"""Networks that predict coming frames beside neurons that may do the same."""

from brainalign.geometry.dynamics.future_prediction import (
    SIMPLE_FUTURES,
    constant_velocity,
    movie_agreement,
    roll_out,
    score_dynamics,
    time_features,
)
from brainalign.geometry.dynamics.successor import (
    at_equal_return,
    compare_checkpoints,
    successor_rdm,
    successor_representation,
)

__all__ = [
    "SIMPLE_FUTURES", "at_equal_return", "compare_checkpoints", "constant_velocity", "movie_agreement", "roll_out",
    "score_dynamics", "successor_rdm", "successor_representation", "time_features",
]  # fmt: skip
