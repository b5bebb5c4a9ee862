"""From brain signals to meaning: linear decoders, retrieval, scores of text, and the controls that go with them."""

from brainalign.decoding.augmentation import Augmentation
from brainalign.decoding.caption_words import caption_words, word_attributes
from brainalign.decoding.components import Components
from brainalign.decoding.conditional_gaussian import ConditionalGaussian, hidden_r2
from brainalign.decoding.connectivity import (
    correlation_features,
    mean_connectivity,
    network_agreement,
    tangent_features,
    upper_triangle,
)
from brainalign.decoding.constant_sentence import constant_scores, constant_sentence
from brainalign.decoding.contrastive import LogitScale, clip_loss, pair_loss
from brainalign.decoding.controls import TESTED, TRAINED, ControlMatrix, Fit, control_matrix, leave_block_out
from brainalign.decoding.cross_modal import PairedChange, fused_embedding, paired_change, space_retrieval, stimulus_hits
from brainalign.decoding.eeg_encoders import EEG_ENCODERS, EegShape, eeg_encoder
from brainalign.decoding.embedded_runs import Embedded
from brainalign.decoding.exchange_relevance import exchange_relevance
from brainalign.decoding.feature_norms import ALL_NORMS, norm_prediction, word_clusters
from brainalign.decoding.fill_scores import HALF, fill_table, filled_sums, hidden_masks
from brainalign.decoding.fine_tuning import FineTuned
from brainalign.decoding.frozen_language import CausalLanguage, LanguageModel, Seq2SeqLanguage
from brainalign.decoding.glim import GlimEncoder
from brainalign.decoding.glim_alignment import GlimAlignment
from brainalign.decoding.ground_study import GroundStudy, ground_study
from brainalign.decoding.grounded import GroundedLanguage
from brainalign.decoding.grounded_inputs import same_words
from brainalign.decoding.language import LanguageBridge
from brainalign.decoding.language_models import LANGUAGE_MODELS, pretrained, smollm
from brainalign.decoding.linear import LinearDecoder, signal_features
from brainalign.decoding.masked import MaskedBrainModel
from brainalign.decoding.masked_study import SeriesStudyTables, masked_study, person_features
from brainalign.decoding.nuisance import (
    NuisanceScores,
    neighbours_in_time,
    nuisance_baselines,
    nuisance_features,
    nuisance_scores,
)
from brainalign.decoding.pair_scores import content_hits, label_hits, retrieval_hits
from brainalign.decoding.person_scores import check_people_apart, person_scores
from brainalign.decoding.repeat_curve import repeat_curve
from brainalign.decoding.residual import spread
from brainalign.decoding.retrieval import (
    Retrieval,
    distinct_gallery,
    retrieval_accuracy,
    similarity_ranks,
    way_accuracy,
)
from brainalign.decoding.scene_retrieval import scene_retrieval
from brainalign.decoding.series_nulls import permuted_frames, shifted_regions
from brainalign.decoding.shared_space import SharedSpace
from brainalign.decoding.space_controls import (
    SPACE_NULLS,
    embed_all,
    independent_ridges,
    null_trials,
    unimodal_spaces,
    without_own_layers,
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
from brainalign.decoding.word_axes import WordAxes, word_axes
from brainalign.decoding.word_regions import caption_vectors, word_regions
from brainalign.decoding.word_t5 import word_t5, word_tokenizer
from brainalign.decoding.zero_shot import ZeroShot, zero_shot_labels

__all__ = [
    "ALL_NORMS",
    "EEG_ENCODERS",
    "FUNCTION_WORDS",
    "HALF",
    "LANGUAGE_MODELS",
    "MEASURES",
    "SPACE_NULLS",
    "TESTED",
    "TRAINED",
    "Augmentation",
    "CausalLanguage",
    "Components",
    "ConditionalGaussian",
    "ControlMatrix",
    "Decoded",
    "EegShape",
    "Embedded",
    "FineTuned",
    "Fit",
    "GlimAlignment",
    "GlimEncoder",
    "GroundStudy",
    "GroundedLanguage",
    "History",
    "LanguageBridge",
    "LanguageModel",
    "LinearDecoder",
    "LogitScale",
    "MaskedBrainModel",
    "NuisanceScores",
    "PairedChange",
    "Retrieval",
    "Seq2SeqLanguage",
    "SeriesStudyTables",
    "SharedSpace",
    "TextDecoder",
    "TextFit",
    "TextFound",
    "TextStudy",
    "Trials",
    "Verdict",
    "WordAxes",
    "ZeroShot",
    "batches",
    "caption_vectors",
    "caption_words",
    "check_people_apart",
    "clip_loss",
    "constant_scores",
    "constant_sentence",
    "content_hits",
    "content_overlap",
    "control_matrix",
    "correlation_features",
    "decoder_of",
    "distinct_gallery",
    "eeg_encoder",
    "embed_all",
    "exchange_relevance",
    "fill_table",
    "filled_sums",
    "fused_embedding",
    "ground_study",
    "hidden_masks",
    "hidden_r2",
    "independent_ridges",
    "label_hits",
    "leave_block_out",
    "masked_study",
    "mean_connectivity",
    "nearest_sentences",
    "neighbours_in_time",
    "network_agreement",
    "norm_prediction",
    "nuisance_baselines",
    "nuisance_features",
    "nuisance_scores",
    "null_trials",
    "pair_loss",
    "paired_change",
    "permuted_frames",
    "person_features",
    "person_scores",
    "phase_randomised",
    "pretrained",
    "repeat_curve",
    "retrieval_accuracy",
    "retrieval_hits",
    "same_words",
    "scene_retrieval",
    "shifted_regions",
    "signal_features",
    "similarity_ranks",
    "smollm",
    "space_retrieval",
    "spectrum_noise",
    "spread",
    "stimulus_hits",
    "study_text",
    "subject_curve",
    "tangent_features",
    "text_scores",
    "time_reversed",
    "train",
    "unimodal_spaces",
    "upper_triangle",
    "verdict",
    "way_accuracy",
    "without_own_layers",
    "word_attributes",
    "word_axes",
    "word_clusters",
    "word_regions",
    "word_t5",
    "word_tokenizer",
    "zero_shot_labels",
]
