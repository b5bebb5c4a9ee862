"""Dissimilarities of response patterns, the noise they are measured with, and how RDMs are read and written."""

from brainalign.geometry.rdms.array_kind import Kind, as_kind_of, as_numpy
from brainalign.geometry.rdms.covariance import LowRankCovariance, NoiseCovariance, WholeCovariance, mean_covariance
from brainalign.geometry.rdms.design import design_of
from brainalign.geometry.rdms.dissimilarity import DISTANCES, WHITENED, rdm
from brainalign.geometry.rdms.interchange import LabelledPatterns, LabelledRdms, from_rsatoolbox, to_rsatoolbox
from brainalign.geometry.rdms.noise import NOISE_COVARIANCES, measurement_noise, noise_covariance, noise_precision
from brainalign.geometry.rdms.ranks import are_constant, dense_codes, equal_masks, mean_ranks, rank_rdms, sorted_ties
from brainalign.geometry.rdms.stimulus_features import feature_rdms
from brainalign.geometry.rdms.whitening import Precision

__all__ = [
    "DISTANCES",
    "NOISE_COVARIANCES",
    "WHITENED",
    "Kind",
    "LabelledPatterns",
    "LabelledRdms",
    "LowRankCovariance",
    "NoiseCovariance",
    "Precision",
    "WholeCovariance",
    "are_constant",
    "as_kind_of",
    "as_numpy",
    "dense_codes",
    "design_of",
    "equal_masks",
    "feature_rdms",
    "from_rsatoolbox",
    "mean_covariance",
    "mean_ranks",
    "measurement_noise",
    "noise_covariance",
    "noise_precision",
    "rank_rdms",
    "rdm",
    "sorted_ties",
    "to_rsatoolbox",
]
