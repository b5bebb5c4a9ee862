"""Retrieval, controls and verdicts: what a decoder tells, and what could tell as much without a brain."""

from brainalign.decoding.scoring.controls import (
    TESTED,
    TRAINED,
    ControlMatrix,
    Decode,
    Fit,
    altered,
    control_matrix,
    leave_block_out,
)
from brainalign.decoding.scoring.linear import PENALTIES, LinearDecoder, mean_cosine, signal_features, warn_of_edge
from brainalign.decoding.scoring.nuisance import (
    NuisanceScores,
    neighbours_in_time,
    nuisance_baselines,
    nuisance_features,
    nuisance_scores,
)
from brainalign.decoding.scoring.pair_scores import PairScore, content_hits, label_hits, retrieval_hits
from brainalign.decoding.scoring.repeats import repeat_curve
from brainalign.decoding.scoring.retrieval import (
    Retrieval,
    distinct_gallery,
    retrieval_accuracy,
    similarity_ranks,
    way_accuracy,
)
from brainalign.decoding.scoring.subjects import subject_curve
from brainalign.decoding.scoring.surrogates import phase_randomised, spectrum_noise, time_reversed
from brainalign.decoding.scoring.text_measures import MEASURES, content_overlap
from brainalign.decoding.scoring.verdicts import Verdict, verdict
from brainalign.decoding.scoring.zero_shot import ZeroShot, zero_shot_labels
from brainalign.study import FUNCTION_WORDS, words

__all__ = [
    "FUNCTION_WORDS",
    "MEASURES",
    "PENALTIES",
    "TESTED",
    "TRAINED",
    "ControlMatrix",
    "Decode",
    "Fit",
    "LinearDecoder",
    "NuisanceScores",
    "PairScore",
    "Retrieval",
    "Verdict",
    "ZeroShot",
    "altered",
    "content_hits",
    "content_overlap",
    "control_matrix",
    "distinct_gallery",
    "label_hits",
    "leave_block_out",
    "mean_cosine",
    "neighbours_in_time",
    "nuisance_baselines",
    "nuisance_features",
    "nuisance_scores",
    "phase_randomised",
    "repeat_curve",
    "retrieval_accuracy",
    "retrieval_hits",
    "signal_features",
    "similarity_ranks",
    "spectrum_noise",
    "subject_curve",
    "time_reversed",
    "verdict",
    "warn_of_edge",
    "way_accuracy",
    "words",
    "zero_shot_labels",
]
