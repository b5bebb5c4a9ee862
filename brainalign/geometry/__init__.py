"""Representational geometry: dissimilarities of response patterns, and how they compare with those of features."""

from brainalign.geometry.compare import COMPARISONS, compare
from brainalign.geometry.inference import (
    RdmTest,
    pooled_rdm,
    rdm_noise_ceiling,
    rdm_permutation_test,
    replicate_rdms,
)
from brainalign.geometry.noise import noise_precision
from brainalign.geometry.places import PlacesTest, rdm_permutation_places
from brainalign.geometry.rdm import DISTANCES, rdm

__all__ = [
    "COMPARISONS",
    "DISTANCES",
    "PlacesTest",
    "RdmTest",
    "compare",
    "noise_precision",
    "pooled_rdm",
    "rdm",
    "rdm_noise_ceiling",
    "rdm_permutation_places",
    "rdm_permutation_test",
    "replicate_rdms",
]
