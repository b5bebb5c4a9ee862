"""Sentences that were read: their texts, and trials of EEG."""

from brainalign.datasets.sentences.leaking_texts import order_leak, text_leakage
from brainalign.datasets.sentences.near_texts import (
    levenshtein_similarity,
    match_texts,
    near_duplicate_texts,
    text_groups,
)
from brainalign.datasets.sentences.sentence_text import TYPOS, clean_text, read_task_table, text_hash, text_id
from brainalign.datasets.sentences.text_eeg import LEDGER as LEDGER
from brainalign.datasets.sentences.text_eeg import N_CHANNELS as N_CHANNELS
from brainalign.datasets.sentences.text_eeg import N_SAMPLES as N_SAMPLES
from brainalign.datasets.sentences.text_eeg import RATE_HZ as RATE_HZ
from brainalign.datasets.sentences.text_eeg import TextRecordings, join_recordings
from brainalign.datasets.sentences.text_splits import leave_out, make_text_split, order_blocks

__all__ = [
    "TextRecordings", "join_recordings", "leave_out", "make_text_split", "order_blocks", "read_task_table",
    "text_leakage",
]  # fmt: skip
