"""Representational geometry: dissimilarities of response patterns, and how they compare with those of features."""

from brainalign.geometry.bootstrap import DualBootstrap, dual_bootstrap
from brainalign.geometry.canonical import canonical_correlations, cca, pwcca, svcca
from brainalign.geometry.compare import COMPARISONS, Comparison, compare, pooled_rdm
from brainalign.geometry.correlations import cross_correlations
from brainalign.geometry.families import compare_models
from brainalign.geometry.features import feature_rdms
from brainalign.geometry.inference import (
    RdmTest,
    rdm_noise_ceiling,
    rdm_permutation_test,
    replicate_rdms,
    session_average,
)
from brainalign.geometry.matching import MATCHINGS, UnitMatch, match_units, rotated_copy, shuffled_units
from brainalign.geometry.noise import noise_precision
from brainalign.geometry.places import PlacesTest, rdm_permutation_places
from brainalign.geometry.prediction import SparsePrediction, linear_predictivity, sparse_prediction
from brainalign.geometry.rdm import DISTANCES, rdm
from brainalign.geometry.similarity import SIMILARITIES, cka, procrustes_angle, similarity
from brainalign.geometry.study import ReferenceScores, score_references, subject_rdms
from brainalign.geometry.transport import best_coupling
from brainalign.geometry.unit_clusters import UnitClusters, cluster_units

__all__ = [
    "COMPARISONS",
    "DISTANCES",
    "MATCHINGS",
    "SIMILARITIES",
    "Comparison",
    "DualBootstrap",
    "PlacesTest",
    "RdmTest",
    "ReferenceScores",
    "SparsePrediction",
    "UnitClusters",
    "UnitMatch",
    "best_coupling",
    "canonical_correlations",
    "cca",
    "cka",
    "cluster_units",
    "compare",
    "compare_models",
    "cross_correlations",
    "dual_bootstrap",
    "feature_rdms",
    "linear_predictivity",
    "match_units",
    "noise_precision",
    "pooled_rdm",
    "procrustes_angle",
    "pwcca",
    "rdm",
    "rdm_noise_ceiling",
    "rdm_permutation_places",
    "rdm_permutation_test",
    "replicate_rdms",
    "rotated_copy",
    "score_references",
    "session_average",
    "shuffled_units",
    "similarity",
    "sparse_prediction",
    "subject_rdms",
    "svcca",
]
