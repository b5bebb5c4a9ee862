"""Decoding and RDMs over time."""

from brainalign.geometry.time.areas_under_curve import auc, auc_draws, sensor_effects
from brainalign.geometry.time.decoding import (
    Fold,
    TimeScores,
    contiguous_folds,
    decode_generalization,
    decode_times,
    leave_one_group_out,
    pairwise_movie,
)
from brainalign.geometry.time.discriminant import membership, shrinkage_ridge
from brainalign.geometry.time.movies import rdm_movie, rdm_time_generalization

__all__ = [
    "Fold", "TimeScores", "auc", "auc_draws", "contiguous_folds", "decode_generalization", "decode_times",
    "leave_one_group_out", "pairwise_movie", "rdm_movie", "rdm_time_generalization", "sensor_effects",
]  # fmt: skip
