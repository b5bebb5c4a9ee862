"""Scores, ceilings, resampling and identification: numpy arrays in, numpy arrays out."""

from brainalign.statistics.ceilings import noise_ceiling, spearman_brown, split_half_reliability
from brainalign.statistics.classification import linear_classification
from brainalign.statistics.identification import identification, pair_matching
from brainalign.statistics.resampling import (
    MIN_UNITS,
    Interval,
    bootstrap,
    cross_validated_interval,
    fdr,
    permutation_test,
    permute_stimuli,
    permute_within,
)
from brainalign.statistics.scores import explained_variance, normalized_r2, pearson, r2, signed_r2

__all__ = [
    "MIN_UNITS",
    "Interval",
    "bootstrap",
    "cross_validated_interval",
    "explained_variance",
    "fdr",
    "identification",
    "linear_classification",
    "noise_ceiling",
    "normalized_r2",
    "pair_matching",
    "pearson",
    "permutation_test",
    "permute_stimuli",
    "permute_within",
    "r2",
    "signed_r2",
    "spearman_brown",
    "split_half_reliability",
]
