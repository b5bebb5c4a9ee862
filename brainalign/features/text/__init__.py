"""Networks that read texts."""

from brainalign.features.text.text import SentenceExtractor, embed_texts

__all__ = [
    "SentenceExtractor",
    "embed_texts",
]
