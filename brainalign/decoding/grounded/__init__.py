"""Words grounded in images and in brain responses."""

from brainalign.decoding.grounded.axes import (
    ALL_NORMS,
    WordAxes,
    norm_prediction,
    word_attributes,
    word_axes,
    word_clusters,
)
from brainalign.decoding.grounded.model import GroundedLanguage, same_words
from brainalign.decoding.grounded.study import GroundStudy, caption_vectors, ground_study, scene_retrieval, word_regions
from brainalign.study import caption_words

__all__ = [
    "ALL_NORMS", "GroundedLanguage", "caption_vectors", "caption_words", "ground_study", "norm_prediction",
    "same_words", "scene_retrieval", "word_attributes", "word_axes", "word_clusters", "word_regions",
]  # fmt: skip
