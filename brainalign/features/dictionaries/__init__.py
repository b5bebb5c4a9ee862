"""Sparse dictionaries of features."""

from brainalign.features.dictionaries.dictionaries import (
    DictionaryQuality,
    MatchingPursuit,
    RandomUnits,
    SparseAutoencoder,
    TopK,
    dictionary_quality,
    match_atoms,
    stability,
)

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
