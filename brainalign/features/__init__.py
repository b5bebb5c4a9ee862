"""Extractors: stimuli to features of one or more layers. A user adds one by adding an entry.

Every entry follows `Extractor`: constructor arguments are its configuration, `digest` identifies its weights, and
`extract` streams one row per stimulus into a writer.
"""

from brainalign.features.dictionaries import (
    DictionaryQuality,
    RandomUnits,
    SparseAutoencoder,
    dictionary_quality,
    match_atoms,
    stability,
)
from brainalign.features.extractor import Extractor, Writer
from brainalign.features.images import (
    EfficientNetExtractor,
    ImageFeatures,
    NetworkExtractor,
    PixelsExtractor,
    Preprocessing,
    TimmExtractor,
    TorchvisionExtractor,
    UserExtractor,
    VisionExtractor,
    check_images,
    check_stored_features,
    image_features,
    image_properties,
    load_image,
    low_level_vectors,
)
from brainalign.features.latent_dynamics import HEADS, LatentDynamics
from brainalign.features.reduction import PCA, SparseProjection, layer_inputs
from brainalign.features.tables import OneHotExtractor, RandomExtractor, TableExtractor
from brainalign.features.text import SentenceExtractor, embed_texts
from brainalign.features.videos import SimulatingModel, VideoModel, find_function, load_video_model, video_features
from brainalign.study import captions_of

__all__ = [
    "EXTRACTORS",
    "HEADS",
    "PCA",
    "DictionaryQuality",
    "EfficientNetExtractor",
    "Extractor",
    "ImageFeatures",
    "LatentDynamics",
    "NetworkExtractor",
    "OneHotExtractor",
    "PixelsExtractor",
    "Preprocessing",
    "RandomExtractor",
    "RandomUnits",
    "SentenceExtractor",
    "SimulatingModel",
    "SparseAutoencoder",
    "SparseProjection",
    "TableExtractor",
    "TimmExtractor",
    "TorchvisionExtractor",
    "UserExtractor",
    "VideoModel",
    "VisionExtractor",
    "Writer",
    "captions_of",
    "check_images",
    "check_stored_features",
    "dictionary_quality",
    "embed_texts",
    "find_function",
    "image_features",
    "image_properties",
    "layer_inputs",
    "load_image",
    "load_video_model",
    "low_level_vectors",
    "match_atoms",
    "stability",
    "video_features",
]

EXTRACTORS = {
    "sentence": SentenceExtractor,
    "onehot": OneHotExtractor,
    "random": RandomExtractor,
    "pixels": PixelsExtractor,
    "efficientnet": EfficientNetExtractor,
    "vision": VisionExtractor,
    "timm": TimmExtractor,
    "torchvision": TorchvisionExtractor,
    "user": UserExtractor,
    "table": TableExtractor,
}
