"""Scores of held-out responses, their tables, and unique and shared parts of models."""

from brainalign.encoding.scoring.areas import area_places, separations
from brainalign.encoding.scoring.crossval import encode_runs, encode_zero_shot, row_space
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
from brainalign.encoding.scoring.repeats import average_repeats
from brainalign.encoding.scoring.sensor_clusters import score_clusters
from brainalign.encoding.scoring.split_half_scores import FMRI, SplitScores, half_rows, split_scores

__all__ = [
    "FMRI",
    "METRICS",
    "SPLIT",
    "Contender",
    "DictionaryStudy",
    "Evaluation",
    "HeldOut",
    "ImageSubject",
    "RegionEncoder",
    "SplitScores",
    "area_places",
    "average_repeats",
    "band_table",
    "choose_regions",
    "encode_runs",
    "encode_zero_shot",
    "evaluate",
    "evaluate_held_out",
    "fit_regions",
    "group_table",
    "half_rows",
    "latency_table",
    "layer_draws",
    "null_table",
    "preference_table",
    "row_space",
    "score_clusters",
    "score_predictions",
    "score_table",
    "separations",
    "shuffled_regions",
    "side_by_side",
    "split_scores",
    "target_groups",
]
