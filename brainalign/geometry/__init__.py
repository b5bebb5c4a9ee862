"""Representational geometry: dissimilarities of response patterns, and how they compare with those of features."""

from brainalign.geometry.bootstrap import DualBootstrap, dual_bootstrap
from brainalign.geometry.compare import COMPARISONS, Comparison, compare, pooled_rdm
from brainalign.geometry.families import compare_models
from brainalign.geometry.features import feature_rdms
from brainalign.geometry.inference import (
    RdmTest,
    rdm_noise_ceiling,
    rdm_permutation_test,
    replicate_rdms,
    session_average,
)
from brainalign.geometry.neighbourhoods import (
    Neighbourhoods,
    joined_hemispheres,
    surface_neighbourhoods,
    volume_neighbourhoods,
)
from brainalign.geometry.noise import noise_precision
from brainalign.geometry.places import PlacesTest, rdm_permutation_places
from brainalign.geometry.rdm import DISTANCES, rdm
from brainalign.geometry.searchlight import Searchlight, searchlight_rdms
from brainalign.geometry.searchlight_maps import SearchlightMap, searchlight_map
from brainalign.geometry.study import ReferenceScores, score_references, subject_rdms

__all__ = [
    "COMPARISONS",
    "DISTANCES",
    "Comparison",
    "DualBootstrap",
    "Neighbourhoods",
    "PlacesTest",
    "RdmTest",
    "ReferenceScores",
    "Searchlight",
    "SearchlightMap",
    "compare",
    "compare_models",
    "dual_bootstrap",
    "feature_rdms",
    "joined_hemispheres",
    "noise_precision",
    "pooled_rdm",
    "rdm",
    "rdm_noise_ceiling",
    "rdm_permutation_places",
    "rdm_permutation_test",
    "replicate_rdms",
    "score_references",
    "searchlight_map",
    "searchlight_rdms",
    "session_average",
    "subject_rdms",
    "surface_neighbourhoods",
    "volume_neighbourhoods",
]
