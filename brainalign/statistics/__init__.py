"""Scores, ceilings, resampling and identification: numpy arrays in, numpy arrays out."""

from brainalign.statistics.ceilings import (
    SubjectCeiling,
    leave_one_subject_out_ceiling,
    noise_ceiling,
    spearman_brown,
    split_half_reliability,
)
from brainalign.statistics.classification import linear_classification, logistic_auc
from brainalign.statistics.correlations import (
    CorrelationNull,
    bootstrap_correlations,
    group_means,
    permuted_correlations,
)
from brainalign.statistics.crossed import crossed_bootstrap
from brainalign.statistics.drawn_regions import RELIABLE, RegionDraws, region_draws
from brainalign.statistics.held_out import Regressor, held_out_prediction, held_out_r2
from brainalign.statistics.maps import (
    DepthRecovery,
    SmoothMapTest,
    area_map_test,
    layer_preference,
    recovered_depth,
    smooth_map_test,
    spin_orders,
    spin_test,
)
from brainalign.statistics.model_comparison import Candidate, family_contest, interval_widening, target_winners
from brainalign.statistics.paired_differences import largest_difference_p, paired_differences_p
from brainalign.statistics.pairing import PairingTest, exchanged, pairing_test, sums_by_stimulus
from brainalign.statistics.pattern_identification import identification, pair_matching
from brainalign.statistics.permutation_blocks import Exchange
from brainalign.statistics.reconstruction import (
    PUBLISHED,
    beside_published,
    effective_dimension,
    n_way_identification,
    reconstruction_scores,
)
from brainalign.statistics.repeat_ceilings import (
    ncsnr,
    noise_ceiling_from_ncsnr,
    noise_ceiling_from_share,
    noise_ceiling_interval,
    signal_share,
)
from brainalign.statistics.resampling import (
    MIN_UNITS,
    Interval,
    bootstrap,
    cross_validated_interval,
    exchange_features,
    fdr,
    permutation_test,
    permute_stimuli,
    permute_within,
)
from brainalign.statistics.scores import explained_variance, normalized_r2, pearson, r2, signed_r2, without_rounding
from brainalign.statistics.time import (
    Cluster,
    ClusterTest,
    HumpLatency,
    Latency,
    cluster_permutation,
    first_hump,
    hump_latency,
    score_latency,
    sensor_adjacency,
)

__all__ = [
    "MIN_UNITS",
    "PUBLISHED",
    "RELIABLE",
    "Candidate",
    "Cluster",
    "ClusterTest",
    "CorrelationNull",
    "DepthRecovery",
    "Exchange",
    "HumpLatency",
    "Interval",
    "Latency",
    "PairingTest",
    "RegionDraws",
    "Regressor",
    "SmoothMapTest",
    "SubjectCeiling",
    "area_map_test",
    "beside_published",
    "bootstrap",
    "bootstrap_correlations",
    "cluster_permutation",
    "cross_validated_interval",
    "crossed_bootstrap",
    "effective_dimension",
    "exchange_features",
    "exchanged",
    "explained_variance",
    "family_contest",
    "fdr",
    "first_hump",
    "group_means",
    "held_out_prediction",
    "held_out_r2",
    "hump_latency",
    "identification",
    "interval_widening",
    "largest_difference_p",
    "layer_preference",
    "leave_one_subject_out_ceiling",
    "linear_classification",
    "logistic_auc",
    "n_way_identification",
    "ncsnr",
    "noise_ceiling",
    "noise_ceiling_from_ncsnr",
    "noise_ceiling_from_share",
    "noise_ceiling_interval",
    "normalized_r2",
    "pair_matching",
    "paired_differences_p",
    "pairing_test",
    "pearson",
    "permutation_test",
    "permute_stimuli",
    "permute_within",
    "permuted_correlations",
    "r2",
    "reconstruction_scores",
    "recovered_depth",
    "region_draws",
    "score_latency",
    "sensor_adjacency",
    "signal_share",
    "signed_r2",
    "smooth_map_test",
    "spearman_brown",
    "spin_orders",
    "spin_test",
    "split_half_reliability",
    "sums_by_stimulus",
    "target_winners",
    "without_rounding",
]
