"""Representational geometry: dissimilarities of response patterns, and how they compare with those of features."""

from brainalign.geometry.bootstrap import DualBootstrap, dual_bootstrap
from brainalign.geometry.combinations import combination, flexible_permutation_test, score_combinations
from brainalign.geometry.compare import COMPARISONS, Comparison, compare, pooled_rdm
from brainalign.geometry.families import compare_models
from brainalign.geometry.features import feature_rdms
from brainalign.geometry.flexible import FITS, FlexibleModel, fit_weights, flexible_bootstrap, flexible_score
from brainalign.geometry.inference import (
    RdmTest,
    fixed_test,
    rdm_noise_ceiling,
    rdm_permutation_test,
    replicate_rdms,
    session_average,
)
from brainalign.geometry.noise import noise_precision
from brainalign.geometry.partial import rdm_partial_test
from brainalign.geometry.places import PlacesTest, rdm_permutation_clusters, rdm_permutation_places
from brainalign.geometry.rdm import DISTANCES, rdm
from brainalign.geometry.study import ReferenceScores, score_references, subject_rdms

__all__ = [
    "COMPARISONS",
    "DISTANCES",
    "FITS",
    "Comparison",
    "DualBootstrap",
    "FlexibleModel",
    "PlacesTest",
    "RdmTest",
    "ReferenceScores",
    "combination",
    "compare",
    "compare_models",
    "dual_bootstrap",
    "feature_rdms",
    "fit_weights",
    "fixed_test",
    "flexible_bootstrap",
    "flexible_permutation_test",
    "flexible_score",
    "noise_precision",
    "pooled_rdm",
    "rdm",
    "rdm_noise_ceiling",
    "rdm_partial_test",
    "rdm_permutation_clusters",
    "rdm_permutation_places",
    "rdm_permutation_test",
    "replicate_rdms",
    "score_combinations",
    "score_references",
    "session_average",
    "subject_rdms",
]
