"""Representational geometry: dissimilarities of response patterns, and how they compare with those of features."""

from brainalign.condensed import square_rdms
from brainalign.geometry.alignment_scores import AlignmentScore, score_alignment
from brainalign.geometry.alignment_study import AlignedLayer, AlignmentStudy, align_networks
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
from brainalign.geometry.cluster_triplets import LEVELS, cluster_objects, draw_triplets, triplet_levels
from brainalign.geometry.collapse import NeuralCollapse, neural_collapse
from brainalign.geometry.combinations import combination, flexible_permutation_test, score_combinations
from brainalign.geometry.compare import COMPARISONS, Comparison, compare, pooled_rdm
from brainalign.geometry.concept_fits import DimensionFit, fit_dimensions, permuted_accuracies, unseen_similarities
from brainalign.geometry.concept_networks import network_tables, region_table
from brainalign.geometry.concept_study import (
    CONCEPT_METHODS,
    ConceptFit,
    choice_table,
    dimension_table,
    fit_concepts,
    unrepeated,
)
from brainalign.geometry.correlations import cross_correlations
from brainalign.geometry.covariance import NoiseCovariance
from brainalign.geometry.dependence import DependenceTest, dependence_test
from brainalign.geometry.dimension import DIMENSIONS, TwoNN, compare_dimensions, two_nn
from brainalign.geometry.discriminant import Discriminants, fit_discriminants, membership
from brainalign.geometry.dynamics import DynamicsScores, score_dynamics
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
from brainalign.geometry.human_alignment import HumanAlignment, affine_head
from brainalign.geometry.human_teacher import HumanTeacher
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
from brainalign.geometry.movie_agreement import movie_agreement
from brainalign.geometry.neighbourhoods import (
    Neighbourhoods,
    joined_hemispheres,
    surface_neighbourhoods,
    volume_neighbourhoods,
)
from brainalign.geometry.network_pairs import PAIR_MEASURES, compare_networks
from brainalign.geometry.noise import NOISE_COVARIANCES, measurement_noise, noise_covariance, noise_precision
from brainalign.geometry.odd_columns import odd_column_shares, spectral_similarities
from brainalign.geometry.odd_one_out import SparseConcepts
from brainalign.geometry.pairing import rotated_to_fewer
from brainalign.geometry.partial import PartialTest, rdm_partial_test
from brainalign.geometry.places import PlacesTest, rdm_permutation_clusters, rdm_permutation_places
from brainalign.geometry.prediction import SparsePrediction, linear_predictivity, sparse_prediction
from brainalign.geometry.rdm import DISTANCES, WHITENED, rdm
from brainalign.geometry.region_identification import BASELINES, RegionIdentification, identify_regions
from brainalign.geometry.reproducible_dimensions import Reproducibility, match_dimensions, reproducible_dimensions
from brainalign.geometry.rollouts import SIMPLE_FUTURES, constant_velocity, hold_last, roll_out, time_features
from brainalign.geometry.searchlight import Searchlight, searchlight_rdms
from brainalign.geometry.searchlight_maps import SearchlightMap, searchlight_map
from brainalign.geometry.sensor_effects import sensor_effects
from brainalign.geometry.similarity import SIMILARITIES, cka, procrustes_angle, similarity
from brainalign.geometry.soft_choices import DIVERGENCES, choice_entropy, choice_temperature, judged_shares
from brainalign.geometry.spectra import (
    PowerLaw,
    cross_validated_spectrum,
    eigenspectrum,
    participation_ratio,
    power_law,
    rankme,
)
from brainalign.geometry.study import ReferenceScores, score_references, subject_rdms
from brainalign.geometry.successor import (
    at_equal_return,
    compare_checkpoints,
    place_error,
    successor_rdm,
    successor_representation,
)
from brainalign.geometry.thresholds import FAMILIES, threshold_family, threshold_grid
from brainalign.geometry.time import rdm_movie, rdm_time_generalization
from brainalign.geometry.time_decoding import TimeScores, decode_generalization, decode_times, pairwise_movie
from brainalign.geometry.time_folds import Fold, contiguous_folds, leave_one_group_out
from brainalign.geometry.topology import Geodesics, geodesic, geotopological
from brainalign.geometry.transport import best_coupling
from brainalign.geometry.triplet_ceilings import TripletCeilings, repeated_ceilings, triplet_ceilings
from brainalign.geometry.triplet_splits import TripletSplit, split_objects, split_objects_in_turn, split_triplets
from brainalign.geometry.triplets import (
    CHANCE,
    check_triplets,
    choice_probabilities,
    object_similarities,
    odd_one_out_accuracy,
    shuffled_triplets,
    triplet_keys,
)
from brainalign.geometry.unit_clusters import UnitClusters, cluster_units
from brainalign.geometry.variational_concepts import VariationalConcepts

__all__ = [
    "BASELINES",
    "CHANCE",
    "COMPARISONS",
    "CONCEPT_METHODS",
    "DIMENSIONS",
    "DISTANCES",
    "DIVERGENCES",
    "FAMILIES",
    "FITS",
    "LEAST_STIMULI",
    "LEVELS",
    "MANIFOLD_MEASURES",
    "MATCHINGS",
    "NOISE_COVARIANCES",
    "PAIR_MEASURES",
    "SIMILARITIES",
    "SIMPLE_FUTURES",
    "WHITENED",
    "AlignedLayer",
    "AlignmentScore",
    "AlignmentStudy",
    "BalancedCategories",
    "Comparison",
    "ConceptFit",
    "DependenceTest",
    "DimensionFit",
    "Discriminants",
    "DualBootstrap",
    "DynamicsScores",
    "FlexibleModel",
    "Fold",
    "Geodesics",
    "HumanAlignment",
    "HumanTeacher",
    "LabelledPatterns",
    "LabelledRdms",
    "LayerAgreement",
    "ManifoldCapacity",
    "Neighbourhoods",
    "NeuralCollapse",
    "NoiseCovariance",
    "PartialTest",
    "PlacesTest",
    "PowerLaw",
    "RdmTest",
    "ReferenceScores",
    "RegionIdentification",
    "Reproducibility",
    "Searchlight",
    "SearchlightMap",
    "SparseConcepts",
    "SparsePrediction",
    "TimeScores",
    "TripletCeilings",
    "TripletSplit",
    "TwoNN",
    "UnitClusters",
    "UnitMatch",
    "VariationalConcepts",
    "affine_head",
    "align_networks",
    "at_equal_return",
    "auc",
    "auc_draws",
    "balanced_categories",
    "best_coupling",
    "canonical_correlations",
    "category_manifolds",
    "cca",
    "check_triplets",
    "choice_entropy",
    "choice_probabilities",
    "choice_table",
    "choice_temperature",
    "cka",
    "cluster_objects",
    "cluster_units",
    "combination",
    "compare",
    "compare_checkpoints",
    "compare_dimensions",
    "compare_models",
    "compare_networks",
    "constant_velocity",
    "contiguous_folds",
    "cross_correlations",
    "cross_validated_spectrum",
    "decode_generalization",
    "decode_times",
    "dependence_test",
    "dimension_table",
    "draw_triplets",
    "dual_bootstrap",
    "eigenspectrum",
    "equal_variance",
    "feature_bias",
    "feature_correlations",
    "feature_rdm_partition",
    "feature_rdms",
    "fit_concepts",
    "fit_dimensions",
    "fit_discriminants",
    "fit_weights",
    "fixed_test",
    "flexible_bootstrap",
    "flexible_permutation_test",
    "flexible_score",
    "from_rsatoolbox",
    "geodesic",
    "geotopological",
    "hold_last",
    "identify_regions",
    "joined_hemispheres",
    "judged_shares",
    "layer_agreement",
    "leave_one_group_out",
    "linear_predictivity",
    "manifold_capacity",
    "match_dimensions",
    "match_units",
    "measurement_noise",
    "membership",
    "mmcr_bounds",
    "mmcr_objective",
    "movie_agreement",
    "network_tables",
    "neural_collapse",
    "noise_covariance",
    "noise_precision",
    "object_similarities",
    "odd_column_shares",
    "odd_one_out_accuracy",
    "pairwise_movie",
    "participation_ratio",
    "permuted_accuracies",
    "place_error",
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
    "region_table",
    "repeated_ceilings",
    "replicate_rdms",
    "reproducible_dimensions",
    "roll_out",
    "rotated_copy",
    "rotated_to_fewer",
    "score_alignment",
    "score_combinations",
    "score_dynamics",
    "score_references",
    "searchlight_map",
    "searchlight_rdms",
    "sensor_effects",
    "session_average",
    "shuffled_triplets",
    "shuffled_units",
    "similarity",
    "sparse_prediction",
    "spectral_similarities",
    "split_objects",
    "split_objects_in_turn",
    "split_triplets",
    "square_rdms",
    "subject_rdms",
    "successor_rdm",
    "successor_representation",
    "surface_neighbourhoods",
    "svcca",
    "threshold_family",
    "threshold_grid",
    "time_features",
    "to_rsatoolbox",
    "triplet_ceilings",
    "triplet_keys",
    "triplet_levels",
    "two_nn",
    "unrepeated",
    "unseen_similarities",
    "volume_neighbourhoods",
    "whitened",
]
