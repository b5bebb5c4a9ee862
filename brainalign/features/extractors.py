"""The menu of extractors: stimuli to features of one or more layers. A user adds one by adding an entry.

Every entry follows `Extractor`: constructor arguments are its configuration, `digest` identifies its weights, and
`extract` streams one row per stimulus into a writer.
"""

from brainalign.features.images import (
    EfficientNetExtractor,
    PixelsExtractor,
    TimmExtractor,
    TorchvisionExtractor,
    UserExtractor,
    VideoExtractor,
    VisionExtractor,
)
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
    "pixels": PixelsExtractor,
    "efficientnet": EfficientNetExtractor,
    "vision": VisionExtractor,
    "video": VideoExtractor,
    "timm": TimmExtractor,
    "torchvision": TorchvisionExtractor,
    "user": UserExtractor,
    "table": TableExtractor,
}
