"""How alike two networks represent the same stimuli: CKA, canonical correlation, matched units."""

from brainalign.geometry.network_similarity.matching import (
    MATCHINGS,
    best_coupling,
    match_units,
    rotated_copy,
    shuffled_units,
)
from brainalign.geometry.network_similarity.measures import (
    SIMILARITIES,
    canonical_correlations,
    cca,
    cka,
    linear_predictivity,
    pwcca,
    similarity,
    svcca,
)
from brainalign.geometry.network_similarity.network_pairs import compare_networks
from brainalign.geometry.network_similarity.unit_pairing import ROUNDING as ROUNDING
from brainalign.geometry.network_similarity.unit_pairing import centred as centred
from brainalign.geometry.network_similarity.unit_pairing import centred_pair as centred_pair
from brainalign.geometry.network_similarity.unit_pairing import cross_correlations, rotated_to_fewer
from brainalign.geometry.network_similarity.unit_pairing import representation as representation

__all__ = [
    "MATCHINGS", "SIMILARITIES", "best_coupling", "canonical_correlations", "cca", "cka", "compare_networks",
    "cross_correlations", "linear_predictivity", "match_units", "pwcca", "rotated_copy", "rotated_to_fewer",
    "shuffled_units", "similarity", "svcca",
]  # fmt: skip
