"""From brain signals to meaning: linear decoders, retrieval, scores of text, and the controls that go with them."""

from brainalign.decoding.contrastive import LogitScale, clip_loss
from brainalign.decoding.controls import TESTED, TRAINED, ControlMatrix, Fit, control_matrix, leave_block_out
from brainalign.decoding.linear import LinearDecoder, signal_features
from brainalign.decoding.nuisance import nuisance_baselines, nuisance_features
from brainalign.decoding.pair_scores import content_hits, label_hits, retrieval_hits
from brainalign.decoding.repeat_curve import repeat_curve
from brainalign.decoding.retrieval import (
    Retrieval,
    distinct_gallery,
    retrieval_accuracy,
    similarity_ranks,
    way_accuracy,
)
from brainalign.decoding.surrogates import phase_randomised, spectrum_noise, time_reversed
from brainalign.decoding.text import TextDecoder
from brainalign.decoding.text_measures import FUNCTION_WORDS, MEASURES, content_overlap
from brainalign.decoding.text_scores import text_scores
from brainalign.decoding.training import History, batches, train
from brainalign.decoding.trials import Trials
from brainalign.decoding.verdict import Verdict, verdict
from brainalign.decoding.zero_shot import ZeroShot, zero_shot_labels

__all__ = [
    "FUNCTION_WORDS",
    "MEASURES",
    "TESTED",
    "TRAINED",
    "ControlMatrix",
    "Fit",
    "History",
    "LinearDecoder",
    "LogitScale",
    "Retrieval",
    "TextDecoder",
    "Trials",
    "Verdict",
    "ZeroShot",
    "batches",
    "clip_loss",
    "content_hits",
    "content_overlap",
    "control_matrix",
    "distinct_gallery",
    "label_hits",
    "leave_block_out",
    "nuisance_baselines",
    "nuisance_features",
    "phase_randomised",
    "repeat_curve",
    "retrieval_accuracy",
    "retrieval_hits",
    "signal_features",
    "similarity_ranks",
    "spectrum_noise",
    "text_scores",
    "time_reversed",
    "train",
    "verdict",
    "way_accuracy",
    "zero_shot_labels",
]
