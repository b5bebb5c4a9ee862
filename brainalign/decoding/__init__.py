"""From brain signals to meaning: linear decoders, retrieval, scores of text, and the controls that go with them."""

from brainalign.decoding.conditional_gaussian import ConditionalGaussian, hidden_r2
from brainalign.decoding.connectivity import (
    correlation_features,
    mean_connectivity,
    network_agreement,
    tangent_features,
    upper_triangle,
)
from brainalign.decoding.contrastive import LogitScale, clip_loss
from brainalign.decoding.controls import TESTED, TRAINED, ControlMatrix, Fit, control_matrix, leave_block_out
from brainalign.decoding.embedded_runs import Embedded
from brainalign.decoding.fill_scores import HALF, Fill, fill_table, filled_sums, hidden_masks
from brainalign.decoding.fine_tuning import FineTuned
from brainalign.decoding.linear import LinearDecoder, signal_features
from brainalign.decoding.masked import MaskedBrainModel
from brainalign.decoding.masked_study import SeriesStudyTables, masked_study, person_features
from brainalign.decoding.nuisance import nuisance_baselines, nuisance_features
from brainalign.decoding.pair_scores import content_hits, label_hits, retrieval_hits
from brainalign.decoding.person_scores import check_people_apart, person_scores
from brainalign.decoding.repeat_curve import repeat_curve
from brainalign.decoding.retrieval import (
    Retrieval,
    distinct_gallery,
    retrieval_accuracy,
    similarity_ranks,
    way_accuracy,
)
from brainalign.decoding.series_nulls import permuted_frames, shifted_regions
from brainalign.decoding.surrogates import phase_randomised, spectrum_noise, time_reversed
from brainalign.decoding.text_measures import FUNCTION_WORDS, MEASURES, content_overlap
from brainalign.decoding.text_scores import text_scores
from brainalign.decoding.training import History, batches, train
from brainalign.decoding.trials import Trials
from brainalign.decoding.verdict import Verdict, verdict
from brainalign.decoding.zero_shot import ZeroShot, zero_shot_labels

__all__ = [
    "FUNCTION_WORDS",
    "HALF",
    "MEASURES",
    "TESTED",
    "TRAINED",
    "ConditionalGaussian",
    "ControlMatrix",
    "Embedded",
    "Fill",
    "FineTuned",
    "Fit",
    "History",
    "LinearDecoder",
    "LogitScale",
    "MaskedBrainModel",
    "Retrieval",
    "SeriesStudyTables",
    "Trials",
    "Verdict",
    "ZeroShot",
    "batches",
    "check_people_apart",
    "clip_loss",
    "content_hits",
    "content_overlap",
    "control_matrix",
    "correlation_features",
    "distinct_gallery",
    "fill_table",
    "filled_sums",
    "hidden_masks",
    "hidden_r2",
    "label_hits",
    "leave_block_out",
    "masked_study",
    "mean_connectivity",
    "network_agreement",
    "nuisance_baselines",
    "nuisance_features",
    "permuted_frames",
    "person_features",
    "person_scores",
    "phase_randomised",
    "repeat_curve",
    "retrieval_accuracy",
    "retrieval_hits",
    "shifted_regions",
    "signal_features",
    "similarity_ranks",
    "spectrum_noise",
    "tangent_features",
    "text_scores",
    "time_reversed",
    "train",
    "upper_triangle",
    "verdict",
    "way_accuracy",
    "zero_shot_labels",
]
