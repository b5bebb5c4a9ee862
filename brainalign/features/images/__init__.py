"""Networks that look at images."""

from brainalign.features.images.efficientnet import EfficientNetExtractor
from brainalign.features.images.files import Preprocessing, check_images, load_image, load_images, load_in_processes
from brainalign.features.images.films import VideoExtractor
from brainalign.features.images.image_modules import ImageFeatures, check_stored_features, image_features
from brainalign.features.images.network import NetworkExtractor, PixelsExtractor
from brainalign.features.images.properties import image_properties, low_level_vectors
from brainalign.features.images.timm_models import TimmExtractor, TorchvisionExtractor, UserExtractor
from brainalign.features.images.vision import VisionExtractor, preprocessing_of

__all__ = [
    "EfficientNetExtractor", "ImageFeatures", "NetworkExtractor", "PixelsExtractor", "Preprocessing", "TimmExtractor",
    "TorchvisionExtractor", "UserExtractor", "VideoExtractor", "VisionExtractor", "check_images",
    "check_stored_features", "image_features", "image_properties", "load_image", "load_images",
    "load_in_processes", "low_level_vectors", "preprocessing_of",
]  # fmt: skip
