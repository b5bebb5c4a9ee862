"""Extractors: stimuli to features of one or more layers. A user adds one by adding an entry.

Every entry follows `Extractor`: constructor arguments are its configuration, `digest` identifies its weights, and
`extract` streams one row per stimulus into a writer.
"""

from brainalign.features.category import OneHotExtractor, RandomExtractor
from brainalign.features.dictionaries import SparseAutoencoder
from brainalign.features.dictionary_quality import DictionaryQuality, dictionary_quality, match_atoms, stability
from brainalign.features.efficientnet import EfficientNetExtractor
from brainalign.features.extractor import Extractor, Writer
from brainalign.features.image_modules import ImageFeatures, check_stored_features, image_features
from brainalign.features.image_properties import image_properties, low_level_vectors
from brainalign.features.images import Preprocessing, check_images, load_image
from brainalign.features.latent_dynamics import HEADS, LatentDynamics
from brainalign.features.layer_inputs import layer_inputs
from brainalign.features.network import NetworkExtractor
from brainalign.features.pixels import PixelsExtractor
from brainalign.features.random_units import RandomUnits
from brainalign.features.reduction import PCA, SparseProjection
from brainalign.features.shared_text import embed_texts
from brainalign.features.text import SentenceExtractor
from brainalign.features.timm_models import TimmExtractor, TorchvisionExtractor
from brainalign.features.user import UserExtractor
from brainalign.features.user_functions import find_function
from brainalign.features.videos import SimulatingModel, VideoModel, load_video_model, video_features
from brainalign.features.vision import VisionExtractor
from brainalign.image_words import captions_of

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
}
