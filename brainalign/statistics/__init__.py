"""Scores, ceilings, resampling and identification: numpy arrays in, numpy arrays out."""

from brainalign.statistics.ceilings import independent_share as independent_share
from brainalign.statistics.ceilings import leave_one_subject_out_ceiling as leave_one_subject_out_ceiling
from brainalign.statistics.ceilings import ncsnr as ncsnr
from brainalign.statistics.ceilings import noise_ceiling as noise_ceiling
from brainalign.statistics.ceilings import noise_ceiling_from_ncsnr as noise_ceiling_from_ncsnr
from brainalign.statistics.ceilings import noise_ceiling_from_share as noise_ceiling_from_share
from brainalign.statistics.ceilings import reliable_rule as reliable_rule
from brainalign.statistics.ceilings import reliable_targets as reliable_targets
from brainalign.statistics.ceilings import repeats_q as repeats_q
from brainalign.statistics.ceilings import share_and_q as share_and_q
from brainalign.statistics.ceilings import signal_share as signal_share
from brainalign.statistics.ceilings import spearman_brown as spearman_brown
from brainalign.statistics.ceilings import split_half_reliability as split_half_reliability
from brainalign.statistics.classification import Encoder as Encoder
from brainalign.statistics.classification import Regressor as Regressor
from brainalign.statistics.classification import held_out_prediction as held_out_prediction
from brainalign.statistics.classification import held_out_r2 as held_out_r2
from brainalign.statistics.classification import identification as identification
from brainalign.statistics.classification import linear_classification as linear_classification
from brainalign.statistics.classification import logistic_auc as logistic_auc
from brainalign.statistics.classification import pair_matching as pair_matching
from brainalign.statistics.clusters import Cluster, ClusterTest, cluster_permutation, sensor_adjacency
from brainalign.statistics.correlations import RELIABLE as RELIABLE
from brainalign.statistics.correlations import SHARING as SHARING
from brainalign.statistics.correlations import CorrelationNull as CorrelationNull
from brainalign.statistics.correlations import RegionDraws as RegionDraws
from brainalign.statistics.correlations import bootstrap_correlations as bootstrap_correlations
from brainalign.statistics.correlations import group_means as group_means
from brainalign.statistics.correlations import permuted_correlations as permuted_correlations
from brainalign.statistics.correlations import region_draws as region_draws
from brainalign.statistics.latency import HumpLatency, Latency, first_hump, hump_latency, score_latency
from brainalign.statistics.model_comparison import Candidate, family_contest, interval_widening, target_winners
from brainalign.statistics.pairing import Exchange as Exchange
from brainalign.statistics.pairing import PairingTest as PairingTest
from brainalign.statistics.pairing import crossed_bootstrap as crossed_bootstrap
from brainalign.statistics.pairing import exchanged as exchanged
from brainalign.statistics.pairing import largest_difference_p as largest_difference_p
from brainalign.statistics.pairing import paired_differences_p as paired_differences_p
from brainalign.statistics.pairing import pairing_test as pairing_test
from brainalign.statistics.pairing import sums_by_stimulus as sums_by_stimulus
from brainalign.statistics.preference import layer_preference as layer_preference
from brainalign.statistics.reconstruction import PUBLISHED as PUBLISHED
from brainalign.statistics.reconstruction import beside_published as beside_published
from brainalign.statistics.reconstruction import effective_dimension as effective_dimension
from brainalign.statistics.reconstruction import n_way_identification as n_way_identification
from brainalign.statistics.reconstruction import reconstruction_scores as reconstruction_scores
from brainalign.statistics.reconstruction import structural_similarity as structural_similarity
from brainalign.statistics.resampling import FEW as FEW
from brainalign.statistics.resampling import LONGER as LONGER
from brainalign.statistics.resampling import MIN_UNITS as MIN_UNITS
from brainalign.statistics.resampling import Interval as Interval
from brainalign.statistics.resampling import bootstrap as bootstrap
from brainalign.statistics.resampling import cross_validated_interval as cross_validated_interval
from brainalign.statistics.resampling import exchange_features as exchange_features
from brainalign.statistics.resampling import expanded_tail as expanded_tail
from brainalign.statistics.resampling import fdr as fdr
from brainalign.statistics.resampling import permutation_test as permutation_test
from brainalign.statistics.resampling import permute_stimuli as permute_stimuli
from brainalign.statistics.resampling import permute_within as permute_within
from brainalign.statistics.scores import explained_variance, normalized_r2, pearson, r2, signed_r2, without_rounding
from brainalign.statistics.sign_flips import sign_flip_test as sign_flip_test
from brainalign.statistics.smooth_maps import MAX_AREAS, SmoothMapTest, smooth_map_test
from brainalign.statistics.spin import area_map_test, spin_orders, spin_test
