"""Representational geometry: dissimilarities of response patterns, and how they compare with those of features."""

from brainalign.geometry.areas_under_curve import auc, auc_draws
from brainalign.geometry.bootstrap import DualBootstrap, dual_bootstrap
from brainalign.geometry.compare import COMPARISONS, Comparison, compare, pooled_rdm
from brainalign.geometry.discriminant import Discriminants, fit_discriminants, membership
from brainalign.geometry.families import compare_models
from brainalign.geometry.features import feature_rdms
from brainalign.geometry.inference import (
    RdmTest,
    rdm_noise_ceiling,
    rdm_permutation_test,
    replicate_rdms,
    session_average,
)
from brainalign.geometry.noise import noise_precision
from brainalign.geometry.places import PlacesTest, rdm_permutation_places
from brainalign.geometry.rdm import DISTANCES, rdm
from brainalign.geometry.sensor_effects import sensor_effects
from brainalign.geometry.study import ReferenceScores, score_references, subject_rdms
from brainalign.geometry.time import rdm_movie, rdm_time_generalization
from brainalign.geometry.time_decoding import TimeScores, decode_generalization, decode_times, pairwise_movie
from brainalign.geometry.time_folds import Fold, contiguous_folds, leave_one_group_out

__all__ = [
    "COMPARISONS",
    "DISTANCES",
    "Comparison",
    "Discriminants",
    "DualBootstrap",
    "Fold",
    "PlacesTest",
    "RdmTest",
    "ReferenceScores",
    "TimeScores",
    "auc",
    "auc_draws",
    "compare",
    "compare_models",
    "contiguous_folds",
    "decode_generalization",
    "decode_times",
    "dual_bootstrap",
    "feature_rdms",
    "fit_discriminants",
    "leave_one_group_out",
    "membership",
    "noise_precision",
    "pairwise_movie",
    "pooled_rdm",
    "rdm",
    "rdm_movie",
    "rdm_noise_ceiling",
    "rdm_permutation_places",
    "rdm_permutation_test",
    "rdm_time_generalization",
    "replicate_rdms",
    "score_references",
    "sensor_effects",
    "session_average",
    "subject_rdms",
]
