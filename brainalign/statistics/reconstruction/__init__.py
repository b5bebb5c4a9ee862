"""Scores of reconstructed images."""

from brainalign.statistics.reconstruction.image_similarity import structural_similarity
from brainalign.statistics.reconstruction.published import PUBLISHED, beside_published
from brainalign.statistics.reconstruction.scores import effective_dimension, n_way_identification, reconstruction_scores

__all__ = [
    "PUBLISHED",
    "beside_published",
    "effective_dimension",
    "n_way_identification",
    "reconstruction_scores",
    "structural_similarity",
]
