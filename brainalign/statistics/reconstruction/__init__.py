"""Scores of reconstructed images."""

from brainalign.statistics.reconstruction.scores import (
    PUBLISHED,
    beside_published,
    effective_dimension,
    n_way_identification,
    reconstruction_scores,
    structural_similarity,
)

__all__ = [
    "PUBLISHED",
    "beside_published",
    "effective_dimension",
    "n_way_identification",
    "reconstruction_scores",
    "structural_similarity",
]
