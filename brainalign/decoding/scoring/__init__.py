"""Retrieval, controls and verdicts: what a decoder tells, and what could tell as much without a brain."""

from brainalign.decoding.scoring.averaging import repeat_curve, subject_curve
from brainalign.decoding.scoring.controls import TESTED, TRAINED, ControlMatrix, Fit, control_matrix, leave_block_out
from brainalign.decoding.scoring.controls import Decode as Decode
from brainalign.decoding.scoring.controls import altered as altered
from brainalign.decoding.scoring.linear import LinearDecoder, best_penalty, cross_fitted, mean_cosine, signal_features
from brainalign.decoding.scoring.nuisance import NuisanceScores, neighbours_in_time, nuisance_features, nuisance_scores
from brainalign.decoding.scoring.pair_scores import MEASURES, content_hits, content_overlaps, label_hits, retrieval_hits
from brainalign.decoding.scoring.retrieval import (
    Retrieval,
    distinct_gallery,
    reciprocal_rank,
    retrieval_accuracy,
    shown_ranks,
    similarity_ranks,
    stimulus_interval,
    unit_rows,
    way_accuracy,
)
from brainalign.decoding.scoring.surrogates import phase_randomised, spectrum_noise, time_reversed
from brainalign.decoding.scoring.verdicts import Verdict, verdict
from brainalign.decoding.scoring.zero_shot import ZeroShot, zero_shot_labels
from brainalign.study import FUNCTION_WORDS, words

__all__ = [
    "TESTED", "ControlMatrix", "Fit", "LinearDecoder", "NuisanceScores", "Retrieval", "Verdict", "content_hits",
    "control_matrix", "label_hits", "leave_block_out", "neighbours_in_time", "nuisance_features", "nuisance_scores",
    "phase_randomised", "repeat_curve", "retrieval_accuracy", "retrieval_hits", "signal_features", "similarity_ranks",
    "spectrum_noise", "subject_curve", "time_reversed", "verdict", "way_accuracy", "zero_shot_labels",
]  # fmt: skip
