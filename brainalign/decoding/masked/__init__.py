"""Models of brain activity that fill in what was masked."""

from brainalign.decoding.masked.conditional_gaussian import ConditionalGaussian, hidden_r2
from brainalign.decoding.masked.fill_scores import (
    HALF,
    fill_table,
    filled_sums,
    hidden_masks,
    permuted_frames,
    shifted_regions,
)
from brainalign.decoding.masked.model import MaskedBrainModel
from brainalign.decoding.masked.segments import hidden_regions, joined, segment_starts
from brainalign.decoding.masked.study import (
    correlation_features,
    masked_study,
    mean_connectivity,
    network_agreement,
    person_features,
    tangent_features,
)
from brainalign.decoding.masked.study import validation_runs as validation_runs
from brainalign.decoding.masked.subject_scores import FineTuned, check_labels, fine_tuned_row, person_scores

__all__ = [
    "HALF", "ConditionalGaussian", "FineTuned", "MaskedBrainModel", "correlation_features", "fill_table", "filled_sums",
    "hidden_masks", "hidden_r2", "masked_study", "mean_connectivity", "network_agreement", "permuted_frames",
    "person_features", "person_scores", "shifted_regions", "tangent_features",
]  # fmt: skip
