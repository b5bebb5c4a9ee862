"""Models of brain activity that fill in what was masked."""

from brainalign.decoding.masked.conditional_gaussian import ConditionalGaussian, hidden_r2
from brainalign.decoding.masked.connectivity import (
    correlation_features,
    mean_connectivity,
    network_agreement,
    tangent_features,
    upper_triangle,
)
from brainalign.decoding.masked.embedded_runs import Embedded
from brainalign.decoding.masked.embedding_attention import EmbeddingAttention
from brainalign.decoding.masked.fill_scores import HALF, fill_table, filled_sums, hidden_masks
from brainalign.decoding.masked.fine_tuning import FineTuned
from brainalign.decoding.masked.model import MaskedBrainModel
from brainalign.decoding.masked.nulls import permuted_frames, shifted_regions
from brainalign.decoding.masked.segments import hidden_regions, joined, segment_starts
from brainalign.decoding.masked.study import SeriesStudyTables, filling, masked_study, person_features, validation_runs
from brainalign.decoding.masked.subject_scores import check_people_apart, fine_tuned_row, fold_people, person_scores

__all__ = [
    "HALF",
    "ConditionalGaussian",
    "Embedded",
    "EmbeddingAttention",
    "FineTuned",
    "MaskedBrainModel",
    "SeriesStudyTables",
    "check_people_apart",
    "correlation_features",
    "fill_table",
    "filled_sums",
    "filling",
    "fine_tuned_row",
    "fold_people",
    "hidden_masks",
    "hidden_r2",
    "hidden_regions",
    "joined",
    "masked_study",
    "mean_connectivity",
    "network_agreement",
    "permuted_frames",
    "person_features",
    "person_scores",
    "segment_starts",
    "shifted_regions",
    "tangent_features",
    "upper_triangle",
    "validation_runs",
]
