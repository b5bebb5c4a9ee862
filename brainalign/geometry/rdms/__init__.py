"""Dissimilarities of response patterns, the noise they are measured with, and how RDMs are read and written."""

from brainalign.geometry.rdms.array_kind import Kind, as_kind_of, as_numpy, float64_of
from brainalign.geometry.rdms.covariance import NoiseCovariance, Precision, WholeCovariance
from brainalign.geometry.rdms.dissimilarity import DISTANCES, WHITENED, design_of, feature_rdms, rdm, stimulus_features
from brainalign.geometry.rdms.interchange import LabelledPatterns, LabelledRdms, from_rsatoolbox, to_rsatoolbox
from brainalign.geometry.rdms.noise import NOISE_COVARIANCES, noise_covariance, noise_precision
from brainalign.geometry.rdms.ranks import are_constant as are_constant
from brainalign.geometry.rdms.ranks import dense_codes as dense_codes
from brainalign.geometry.rdms.ranks import equal_masks as equal_masks
from brainalign.geometry.rdms.ranks import mean_ranks as mean_ranks
from brainalign.geometry.rdms.ranks import rank_rdms as rank_rdms
from brainalign.geometry.rdms.ranks import sorted_ties as sorted_ties
from brainalign.geometry.rdms.ranks import tie_ends as tie_ends

__all__ = [
    "DISTANCES", "NOISE_COVARIANCES", "WHITENED", "LabelledPatterns", "LabelledRdms", "feature_rdms", "from_rsatoolbox",
    "noise_covariance", "noise_precision", "rdm", "stimulus_features", "to_rsatoolbox",
]  # fmt: skip
