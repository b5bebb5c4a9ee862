"""Extractors: stimuli to features of one or more layers. A user adds one by adding an entry.

Every entry follows `Extractor`: constructor arguments are its configuration, `digest` identifies its weights, and
`extract` streams one row per stimulus into a writer.
"""

from brainalign.features.category import OneHotExtractor, RandomExtractor
from brainalign.features.text import SentenceExtractor

__all__ = ["EXTRACTORS", "OneHotExtractor", "RandomExtractor", "SentenceExtractor"]

EXTRACTORS = {"sentence": SentenceExtractor, "onehot": OneHotExtractor, "random": RandomExtractor}
