"""From brain signals to meaning: linear decoders, retrieval, scores of text, and the controls that go with them."""

from brainalign.decoding.caption_words import caption_words, word_attributes
from brainalign.decoding.contrastive import LogitScale, clip_loss, pair_loss
from brainalign.decoding.controls import TESTED, TRAINED, ControlMatrix, Fit, control_matrix, leave_block_out
from brainalign.decoding.feature_norms import ALL_NORMS, norm_prediction, word_clusters
from brainalign.decoding.ground_study import GroundStudy, ground_study
from brainalign.decoding.grounded import GroundedLanguage
from brainalign.decoding.grounded_inputs import same_words
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
from brainalign.decoding.scene_retrieval import scene_retrieval
from brainalign.decoding.surrogates import phase_randomised, spectrum_noise, time_reversed
from brainalign.decoding.text_measures import FUNCTION_WORDS, MEASURES, content_overlap
from brainalign.decoding.text_scores import text_scores
from brainalign.decoding.training import History, batches, train
from brainalign.decoding.trials import Trials
from brainalign.decoding.verdict import Verdict, verdict
from brainalign.decoding.word_axes import WordAxes, word_axes
from brainalign.decoding.word_regions import caption_vectors, word_regions
from brainalign.decoding.zero_shot import ZeroShot, zero_shot_labels

__all__ = [
    "ALL_NORMS",
    "FUNCTION_WORDS",
    "MEASURES",
    "TESTED",
    "TRAINED",
    "ControlMatrix",
    "Fit",
    "GroundStudy",
    "GroundedLanguage",
    "History",
    "LinearDecoder",
    "LogitScale",
    "Retrieval",
    "Trials",
    "Verdict",
    "WordAxes",
    "ZeroShot",
    "batches",
    "caption_vectors",
    "caption_words",
    "clip_loss",
    "content_hits",
    "content_overlap",
    "control_matrix",
    "distinct_gallery",
    "ground_study",
    "label_hits",
    "leave_block_out",
    "norm_prediction",
    "nuisance_baselines",
    "nuisance_features",
    "pair_loss",
    "phase_randomised",
    "repeat_curve",
    "retrieval_accuracy",
    "retrieval_hits",
    "same_words",
    "scene_retrieval",
    "signal_features",
    "similarity_ranks",
    "spectrum_noise",
    "text_scores",
    "time_reversed",
    "train",
    "verdict",
    "way_accuracy",
    "word_attributes",
    "word_axes",
    "word_clusters",
    "word_regions",
    "zero_shot_labels",
]
