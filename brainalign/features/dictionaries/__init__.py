"""Sparse dictionaries of features."""

from brainalign.features.dictionaries.dictionaries import SparseAutoencoder
from brainalign.features.dictionaries.quality import DictionaryQuality, dictionary_quality, match_atoms, stability
from brainalign.features.dictionaries.random_units import RandomUnits
from brainalign.features.dictionaries.sparse_coding import MatchingPursuit, TopK

__all__ = [
    "DictionaryQuality",
    "MatchingPursuit",
    "RandomUnits",
    "SparseAutoencoder",
    "TopK",
    "dictionary_quality",
    "match_atoms",
    "stability",
]
