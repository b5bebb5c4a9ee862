"""From brain signals to meaning: linear decoders, retrieval, scores of text, and the controls that go with them."""

from brainalign.decoding.contrastive import LogitScale, clip_loss
from brainalign.decoding.controls import TESTED, TRAINED, ControlMatrix, Fit, control_matrix, leave_block_out
from brainalign.decoding.cross_modal import PairedChange, fused_embedding, paired_change, space_retrieval, stimulus_hits
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
from brainalign.decoding.shared_space import SharedSpace
from brainalign.decoding.space_controls import (
    SPACE_NULLS,
    embed_all,
    independent_ridges,
    null_trials,
    unimodal_spaces,
    without_own_layers,
)
from brainalign.decoding.surrogates import phase_randomised, spectrum_noise, time_reversed
from brainalign.decoding.text_measures import FUNCTION_WORDS, MEASURES, content_overlap
from brainalign.decoding.text_scores import text_scores
from brainalign.decoding.training import History, batches, train
from brainalign.decoding.trials import Trials
from brainalign.decoding.verdict import Verdict, verdict
from brainalign.decoding.zero_shot import ZeroShot, zero_shot_labels

__all__ = [
    "FUNCTION_WORDS",
    "MEASURES",
    "SPACE_NULLS",
    "TESTED",
    "TRAINED",
    "ControlMatrix",
    "Fit",
    "History",
    "LinearDecoder",
    "LogitScale",
    "PairedChange",
    "Retrieval",
    "SharedSpace",
    "Trials",
    "Verdict",
    "ZeroShot",
    "batches",
    "clip_loss",
    "content_hits",
    "content_overlap",
    "control_matrix",
    "distinct_gallery",
    "embed_all",
    "fused_embedding",
    "independent_ridges",
    "label_hits",
    "leave_block_out",
    "nuisance_baselines",
    "nuisance_features",
    "null_trials",
    "paired_change",
    "phase_randomised",
    "repeat_curve",
    "retrieval_accuracy",
    "retrieval_hits",
    "signal_features",
    "similarity_ranks",
    "space_retrieval",
    "spectrum_noise",
    "stimulus_hits",
    "text_scores",
    "time_reversed",
    "train",
    "unimodal_spaces",
    "verdict",
    "way_accuracy",
    "without_own_layers",
    "zero_shot_labels",
]
