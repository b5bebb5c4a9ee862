"""The menu of extractors: stimuli to features of one or more layers. A user adds one by adding an entry.

Every entry follows `Extractor`: constructor arguments are its configuration, `digest` identifies its weights, and
`extract` streams one row per stimulus into a writer.
"""

from brainalign.features import images
from brainalign.features.language import LanguageExtractor
from brainalign.features.speech import SpeechExtractor
from brainalign.features.tables import OneHotExtractor, RandomExtractor, TableExtractor
from brainalign.features.text import SentenceExtractor

EXTRACTORS = {
    "sentence": SentenceExtractor,
    "language": LanguageExtractor,
    "speech": SpeechExtractor,
    "onehot": OneHotExtractor,
    "random": RandomExtractor,
    "pixels": images.PixelsExtractor,
    "efficientnet": images.EfficientNetExtractor,
    "vision": images.VisionExtractor,
    "video": images.VideoExtractor,
    "timm": images.TimmExtractor,
    "torchvision": images.TorchvisionExtractor,
    "user": images.UserExtractor,
    "table": TableExtractor,
}
