"""From brain signals to meaning: linear decoders, retrieval, scores of text, and the controls that go with them."""

from brainalign.decoding.augmentation import Augmentation
from brainalign.decoding.constant_sentence import constant_scores, constant_sentence
from brainalign.decoding.contrastive import LogitScale, clip_loss
from brainalign.decoding.controls import TESTED, TRAINED, ControlMatrix, Fit, control_matrix, leave_block_out
from brainalign.decoding.eeg_encoders import EEG_ENCODERS, EegShape, eeg_encoder
from brainalign.decoding.frozen_language import CausalLanguage, LanguageModel, Seq2SeqLanguage
from brainalign.decoding.glim import GlimEncoder
from brainalign.decoding.glim_alignment import GlimAlignment
from brainalign.decoding.image_properties import image_properties
from brainalign.decoding.language import LanguageBridge
from brainalign.decoding.language_models import LANGUAGE_MODELS, pretrained, smollm
from brainalign.decoding.linear import LinearDecoder, signal_features
from brainalign.decoding.nuisance import nuisance_baselines, nuisance_features
from brainalign.decoding.pair_scores import content_hits, label_hits, retrieval_hits
from brainalign.decoding.repeat_curve import repeat_curve
from brainalign.decoding.residual import spread
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
from brainalign.decoding.word_t5 import word_t5, word_tokenizer
from brainalign.decoding.zero_shot import ZeroShot, zero_shot_labels

__all__ = [
    "EEG_ENCODERS",
    "FUNCTION_WORDS",
    "LANGUAGE_MODELS",
    "MEASURES",
    "TESTED",
    "TRAINED",
    "Augmentation",
    "CausalLanguage",
    "ControlMatrix",
    "EegShape",
    "Fit",
    "GlimAlignment",
    "GlimEncoder",
    "History",
    "LanguageBridge",
    "LanguageModel",
    "LinearDecoder",
    "LogitScale",
    "Retrieval",
    "Seq2SeqLanguage",
    "TextDecoder",
    "Trials",
    "Verdict",
    "ZeroShot",
    "batches",
    "clip_loss",
    "constant_scores",
    "constant_sentence",
    "content_hits",
    "content_overlap",
    "control_matrix",
    "distinct_gallery",
    "eeg_encoder",
    "image_properties",
    "label_hits",
    "leave_block_out",
    "nuisance_baselines",
    "nuisance_features",
    "phase_randomised",
    "pretrained",
    "repeat_curve",
    "retrieval_accuracy",
    "retrieval_hits",
    "signal_features",
    "similarity_ranks",
    "smollm",
    "spectrum_noise",
    "spread",
    "text_scores",
    "time_reversed",
    "train",
    "verdict",
    "way_accuracy",
    "word_t5",
    "word_tokenizer",
    "zero_shot_labels",
]
