"""Scores of held-out responses, their tables, and unique and shared parts of models."""

from brainalign.encoding.scoring.continuous_runs import (
    Band,
    Fold,
    RunFit,
    best_layers,
    common_r2,
    corrected_r2,
    fit_runs,
    fits_without,
    mean_over_runs,
    run_folds,
    run_null,
    turned_in_time,
    unique_null,
)
from brainalign.encoding.scoring.crossval import (
    Evaluation,
    Folds,
    LeftOut,
    encode_folds,
    evaluate,
    fold_interval,
    row_space,
    split_folds,
)
from brainalign.encoding.scoring.dictionary_study import DictionaryStudy
from brainalign.encoding.scoring.held_out import average_repeats, average_split, evaluate_held_out
from brainalign.encoding.scoring.held_out_scores import HeldOut, score_predictions
from brainalign.encoding.scoring.held_out_tables import (
    METRICS,
    SPLIT,
    Contender,
    band_table,
    group_table,
    latency_table,
    layer_draws,
    null_table,
    preference_table,
    score_clusters,
    score_table,
    side_by_side,
    target_groups,
)
from brainalign.encoding.scoring.image_subject import ImageSubject
from brainalign.encoding.scoring.region_encoders import RegionEncoder, choose_regions, fit_regions, shuffled_regions
from brainalign.encoding.scoring.split_half_scores import FMRI as FMRI
from brainalign.encoding.scoring.split_half_scores import SplitScores, split_scores
from brainalign.encoding.scoring.split_half_scores import area_places as area_places
from brainalign.encoding.scoring.split_half_scores import half_rows as half_rows
from brainalign.encoding.scoring.split_half_scores import separations as separations

__all__ = [
    "Contender", "Evaluation", "Folds", "HeldOut", "ImageSubject", "SplitScores", "evaluate", "evaluate_held_out",
    "fit_regions", "fit_runs", "fits_without", "layer_draws", "score_predictions", "shuffled_regions", "side_by_side",
    "split_scores", "target_groups", "turned_in_time",
]  # fmt: skip
