"""From brain signals to meaning: linear decoders, retrieval, scores of text, and the controls that go with them."""

from brainalign.decoding.components import Components
from brainalign.decoding.contrastive import LogitScale, clip_loss
from brainalign.decoding.controls import TESTED, TRAINED, ControlMatrix, Fit, control_matrix, leave_block_out
from brainalign.decoding.linear import LinearDecoder, signal_features
from brainalign.decoding.nuisance import nuisance_baselines, nuisance_features
from brainalign.decoding.pair_scores import content_hits, label_hits, retrieval_hits
from brainalign.decoding.relevance import relevance
from brainalign.decoding.repeat_curve import repeat_curve
from brainalign.decoding.retrieval import (
    Retrieval,
    distinct_gallery,
    retrieval_accuracy,
    similarity_ranks,
    way_accuracy,
)
from brainalign.decoding.subject_curve import subject_curve
from brainalign.decoding.surrogates import phase_randomised, spectrum_noise, time_reversed
from brainalign.decoding.text import TextDecoder
from brainalign.decoding.text_decoders import Decoded, TextFit, decoder_of, nearest_sentences
from brainalign.decoding.text_measures import FUNCTION_WORDS, MEASURES, content_overlap
from brainalign.decoding.text_scores import text_scores
from brainalign.decoding.text_study import TextFound, TextStudy, study_text
from brainalign.decoding.training import History, batches, train
from brainalign.decoding.trials import Trials
from brainalign.decoding.verdict import Verdict, verdict
from brainalign.decoding.zero_shot import ZeroShot, zero_shot_labels

__all__ = [
    "FUNCTION_WORDS",
    "MEASURES",
    "TESTED",
    "TRAINED",
    "Components",
    "ControlMatrix",
    "Decoded",
    "Fit",
    "History",
    "LinearDecoder",
    "LogitScale",
    "Retrieval",
    "TextDecoder",
    "TextFit",
    "TextFound",
    "TextStudy",
    "Trials",
    "Verdict",
    "ZeroShot",
    "batches",
    "clip_loss",
    "content_hits",
    "content_overlap",
    "control_matrix",
    "decoder_of",
    "distinct_gallery",
    "label_hits",
    "leave_block_out",
    "nearest_sentences",
    "nuisance_baselines",
    "nuisance_features",
    "phase_randomised",
    "relevance",
    "repeat_curve",
    "retrieval_accuracy",
    "retrieval_hits",
    "signal_features",
    "similarity_ranks",
    "spectrum_noise",
    "study_text",
    "subject_curve",
    "text_scores",
    "time_reversed",
    "train",
    "verdict",
    "way_accuracy",
    "zero_shot_labels",
]
