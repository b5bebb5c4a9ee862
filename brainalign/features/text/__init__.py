"""Networks that read texts."""

from brainalign.features.text.shared_text import embed_texts
from brainalign.features.text.text import SentenceExtractor

__all__ = [
    "SentenceExtractor",
    "embed_texts",
]
