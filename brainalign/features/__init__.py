"""Extractors: stimuli to features of one or more layers. A user adds one by adding an entry.

Every entry follows `Extractor`: constructor arguments are its configuration, `digest` identifies its weights, and
`extract` streams one row per stimulus into a writer.
"""

from brainalign.features.category import OneHotExtractor, RandomExtractor
from brainalign.features.efficientnet import EfficientNetExtractor
from brainalign.features.extractor import Extractor, Writer
from brainalign.features.images import Preprocessing, check_images, load_image
from brainalign.features.network import NetworkExtractor
from brainalign.features.reduction import PCA, SparseProjection
from brainalign.features.text import SentenceExtractor

__all__ = [
    "EXTRACTORS",
    "PCA",
    "EfficientNetExtractor",
    "Extractor",
    "NetworkExtractor",
    "OneHotExtractor",
    "Preprocessing",
    "RandomExtractor",
    "SentenceExtractor",
    "SparseProjection",
    "Writer",
    "check_images",
    "load_image",
]

EXTRACTORS = {
    "sentence": SentenceExtractor,
    "onehot": OneHotExtractor,
    "random": RandomExtractor,
    "efficientnet": EfficientNetExtractor,
}
