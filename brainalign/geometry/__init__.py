"""Representational geometry: dissimilarities of response patterns, and how they compare with those of features."""

from brainalign.geometry.areas_under_curve import auc, auc_draws
from brainalign.geometry.bootstrap import DualBootstrap, dual_bootstrap
from brainalign.geometry.canonical import canonical_correlations, cca, pwcca, svcca
from brainalign.geometry.capacity import ManifoldCapacity, manifold_capacity, mmcr_bounds, mmcr_objective
from brainalign.geometry.category_manifolds import (
    LEAST_STIMULI,
    MANIFOLD_MEASURES,
    BalancedCategories,
    balanced_categories,
    category_manifolds,
)
from brainalign.geometry.collapse import NeuralCollapse, neural_collapse
from brainalign.geometry.combinations import combination, flexible_permutation_test, score_combinations
from brainalign.geometry.compare import COMPARISONS, Comparison, compare, pooled_rdm
from brainalign.geometry.correlations import cross_correlations
from brainalign.geometry.covariance import NoiseCovariance
from brainalign.geometry.dependence import DependenceTest, dependence_test
from brainalign.geometry.dimension import DIMENSIONS, TwoNN, compare_dimensions, two_nn
from brainalign.geometry.discriminant import Discriminants, fit_discriminants, membership
from brainalign.geometry.families import compare_models
from brainalign.geometry.feature_bias import (
    equal_variance,
    feature_bias,
    feature_correlations,
    feature_rdm_partition,
    whitened,
)
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
from brainalign.geometry.interchange import LabelledPatterns, LabelledRdms, from_rsatoolbox, to_rsatoolbox
from brainalign.geometry.layer_agreement import LayerAgreement, layer_agreement
from brainalign.geometry.matching import MATCHINGS, UnitMatch, match_units, rotated_copy, shuffled_units
from brainalign.geometry.neighbourhoods import (
    Neighbourhoods,
    joined_hemispheres,
    surface_neighbourhoods,
    volume_neighbourhoods,
)
from brainalign.geometry.network_pairs import PAIR_MEASURES, compare_networks
from brainalign.geometry.noise import NOISE_COVARIANCES, measurement_noise, noise_covariance, noise_precision
from brainalign.geometry.pairing import rotated_to_fewer
from brainalign.geometry.partial import rdm_partial_test
from brainalign.geometry.places import PlacesTest, rdm_permutation_clusters, rdm_permutation_places
from brainalign.geometry.prediction import SparsePrediction, linear_predictivity, sparse_prediction
from brainalign.geometry.rdm import DISTANCES, WHITENED, rdm
from brainalign.geometry.region_identification import BASELINES, RegionIdentification, identify_regions
from brainalign.geometry.searchlight import Searchlight, searchlight_rdms
from brainalign.geometry.searchlight_maps import SearchlightMap, searchlight_map
from brainalign.geometry.sensor_effects import sensor_effects
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
from brainalign.geometry.thresholds import FAMILIES, threshold_family, threshold_grid
from brainalign.geometry.time import rdm_movie, rdm_time_generalization
from brainalign.geometry.time_decoding import TimeScores, decode_generalization, decode_times, pairwise_movie
from brainalign.geometry.time_folds import Fold, contiguous_folds, leave_one_group_out
from brainalign.geometry.topology import Geodesics, geodesic, geotopological
from brainalign.geometry.transport import best_coupling
from brainalign.geometry.unit_clusters import UnitClusters, cluster_units

__all__ = [
    "BASELINES",
    "COMPARISONS",
    "DIMENSIONS",
    "DISTANCES",
    "FAMILIES",
    "FITS",
    "LEAST_STIMULI",
    "MANIFOLD_MEASURES",
    "MATCHINGS",
    "NOISE_COVARIANCES",
    "PAIR_MEASURES",
    "SIMILARITIES",
    "WHITENED",
    "BalancedCategories",
    "Comparison",
    "DependenceTest",
    "Discriminants",
    "DualBootstrap",
    "FlexibleModel",
    "Fold",
    "Geodesics",
    "LabelledPatterns",
    "LabelledRdms",
    "LayerAgreement",
    "ManifoldCapacity",
    "Neighbourhoods",
    "NeuralCollapse",
    "NoiseCovariance",
    "PlacesTest",
    "PowerLaw",
    "RdmTest",
    "ReferenceScores",
    "RegionIdentification",
    "Searchlight",
    "SearchlightMap",
    "SparsePrediction",
    "TimeScores",
    "TwoNN",
    "UnitClusters",
    "UnitMatch",
    "auc",
    "auc_draws",
    "balanced_categories",
    "best_coupling",
    "canonical_correlations",
    "category_manifolds",
    "cca",
    "cka",
    "cluster_units",
    "combination",
    "compare",
    "compare_dimensions",
    "compare_models",
    "compare_networks",
    "contiguous_folds",
    "cross_correlations",
    "cross_validated_spectrum",
    "decode_generalization",
    "decode_times",
    "dependence_test",
    "dual_bootstrap",
    "eigenspectrum",
    "equal_variance",
    "feature_bias",
    "feature_correlations",
    "feature_rdm_partition",
    "feature_rdms",
    "fit_discriminants",
    "fit_weights",
    "fixed_test",
    "flexible_bootstrap",
    "flexible_permutation_test",
    "flexible_score",
    "from_rsatoolbox",
    "geodesic",
    "geotopological",
    "identify_regions",
    "joined_hemispheres",
    "layer_agreement",
    "leave_one_group_out",
    "linear_predictivity",
    "manifold_capacity",
    "match_units",
    "measurement_noise",
    "membership",
    "mmcr_bounds",
    "mmcr_objective",
    "neural_collapse",
    "noise_covariance",
    "noise_precision",
    "pairwise_movie",
    "participation_ratio",
    "pooled_rdm",
    "power_law",
    "procrustes_angle",
    "pwcca",
    "rankme",
    "rdm",
    "rdm_movie",
    "rdm_noise_ceiling",
    "rdm_partial_test",
    "rdm_permutation_clusters",
    "rdm_permutation_places",
    "rdm_permutation_test",
    "rdm_time_generalization",
    "replicate_rdms",
    "rotated_copy",
    "rotated_to_fewer",
    "score_combinations",
    "score_references",
    "searchlight_map",
    "searchlight_rdms",
    "sensor_effects",
    "session_average",
    "shuffled_units",
    "similarity",
    "sparse_prediction",
    "subject_rdms",
    "surface_neighbourhoods",
    "svcca",
    "threshold_family",
    "threshold_grid",
    "to_rsatoolbox",
    "two_nn",
    "volume_neighbourhoods",
    "whitened",
]
