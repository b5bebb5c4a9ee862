"""Representational geometry: dissimilarities of response patterns, and how they compare with those of features."""

from brainalign.geometry.bootstrap import DualBootstrap, dual_bootstrap
from brainalign.geometry.canonical import canonical_correlations, cca, pwcca, svcca
from brainalign.geometry.capacity import ManifoldCapacity, manifold_capacity, mmcr_bounds, mmcr_objective
from brainalign.geometry.collapse import NeuralCollapse, neural_collapse
from brainalign.geometry.compare import COMPARISONS, Comparison, compare, pooled_rdm
from brainalign.geometry.correlations import cross_correlations
from brainalign.geometry.dimension import DIMENSIONS, TwoNN, compare_dimensions, two_nn
from brainalign.geometry.families import compare_models
from brainalign.geometry.feature_bias import (
    equal_variance,
    feature_bias,
    feature_correlations,
    feature_rdm_partition,
    whitened,
)
from brainalign.geometry.features import feature_rdms
from brainalign.geometry.inference import (
    RdmTest,
    rdm_noise_ceiling,
    rdm_permutation_test,
    replicate_rdms,
    session_average,
)
from brainalign.geometry.matching import MATCHINGS, UnitMatch, match_units, rotated_copy, shuffled_units
from brainalign.geometry.network_pairs import PAIR_MEASURES, compare_networks
from brainalign.geometry.noise import noise_precision
from brainalign.geometry.places import PlacesTest, rdm_permutation_places
from brainalign.geometry.prediction import SparsePrediction, linear_predictivity, sparse_prediction
from brainalign.geometry.rdm import DISTANCES, rdm
from brainalign.geometry.similarity import SIMILARITIES, cka, procrustes_angle, similarity
from brainalign.geometry.spectra import (
    PowerLaw,
    cross_validated_spectrum,
    eigenspectrum,
    participation_ratio,
    power_law,
    rankme,
)
from brainalign.geometry.study import ReferenceScores, score_references, subject_rdms
from brainalign.geometry.transport import best_coupling
from brainalign.geometry.unit_clusters import UnitClusters, cluster_units

__all__ = [
    "COMPARISONS",
    "DIMENSIONS",
    "DISTANCES",
    "MATCHINGS",
    "PAIR_MEASURES",
    "SIMILARITIES",
    "Comparison",
    "DualBootstrap",
    "ManifoldCapacity",
    "NeuralCollapse",
    "PlacesTest",
    "PowerLaw",
    "RdmTest",
    "ReferenceScores",
    "SparsePrediction",
    "TwoNN",
    "UnitClusters",
    "UnitMatch",
    "best_coupling",
    "canonical_correlations",
    "cca",
    "cka",
    "cluster_units",
    "compare",
    "compare_dimensions",
    "compare_models",
    "compare_networks",
    "cross_correlations",
    "cross_validated_spectrum",
    "dual_bootstrap",
    "eigenspectrum",
    "equal_variance",
    "feature_bias",
    "feature_correlations",
    "feature_rdm_partition",
    "feature_rdms",
    "linear_predictivity",
    "manifold_capacity",
    "match_units",
    "mmcr_bounds",
    "mmcr_objective",
    "neural_collapse",
    "noise_precision",
    "participation_ratio",
    "pooled_rdm",
    "power_law",
    "procrustes_angle",
    "pwcca",
    "rankme",
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
    "two_nn",
    "whitened",
]
