"""Scores of held-out responses, their tables, and unique and shared parts of models."""

from brainalign.encoding.scoring.areas import area_places as area_places
from brainalign.encoding.scoring.areas import separations as separations
from brainalign.encoding.scoring.crossval import encode_runs as encode_runs
from brainalign.encoding.scoring.crossval import encode_zero_shot as encode_zero_shot
from brainalign.encoding.scoring.crossval import row_space as row_space
from brainalign.encoding.scoring.dictionary_study import DictionaryStudy
from brainalign.encoding.scoring.encoder_table import Contender, side_by_side
from brainalign.encoding.scoring.evaluation import Evaluation, evaluate
from brainalign.encoding.scoring.groups import target_groups
from brainalign.encoding.scoring.held_out import evaluate_held_out
from brainalign.encoding.scoring.held_out_scores import HeldOut, score_predictions
from brainalign.encoding.scoring.held_out_tables import METRICS, SPLIT, band_table, group_table, null_table, score_table
from brainalign.encoding.scoring.image_subject import ImageSubject
from brainalign.encoding.scoring.layer_tables import latency_table, layer_draws, preference_table
from brainalign.encoding.scoring.region_encoders import RegionEncoder, choose_regions, fit_regions, shuffled_regions
from brainalign.encoding.scoring.repeats import average_repeats as average_repeats
from brainalign.encoding.scoring.sensor_clusters import score_clusters
from brainalign.encoding.scoring.split_half_scores import FMRI as FMRI
from brainalign.encoding.scoring.split_half_scores import SplitScores, split_scores
from brainalign.encoding.scoring.split_half_scores import half_rows as half_rows

__all__ = [
    "METRICS",
    "SPLIT",
    "Contender",
    "DictionaryStudy",
    "Evaluation",
    "HeldOut",
    "ImageSubject",
    "RegionEncoder",
    "SplitScores",
    "band_table",
    "choose_regions",
    "evaluate",
    "evaluate_held_out",
    "fit_regions",
    "group_table",
    "latency_table",
    "layer_draws",
    "null_table",
    "preference_table",
    "score_clusters",
    "score_predictions",
    "score_table",
    "shuffled_regions",
    "side_by_side",
    "split_scores",
    "target_groups",
]
