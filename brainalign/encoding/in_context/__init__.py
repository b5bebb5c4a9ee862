"""Encoders that learn a new region from a handful of images, and empirical-Bayes ridge beside them."""

from brainalign.encoding.in_context.checkpoint import read_checkpoint
from brainalign.encoding.in_context.empirical_bayes import (
    EmpiricalBayesRidge,
    WeightPrior,
    estimate_prior,
    left_out_errors,
    posterior_weights,
    prior_of_weights,
)
from brainalign.encoding.in_context.encoder import InContextEncoder
from brainalign.encoding.in_context.ensemble import InContextEnsemble
from brainalign.encoding.in_context.fallback import groups_of_targets, pooled_ridge, taken
from brainalign.encoding.in_context.inputs import unit_rows
from brainalign.encoding.in_context.meta_training import NOISE_WEIGHT, Episode, Voxels, real_episode
from brainalign.encoding.in_context.network import NETWORKS, InContextNetwork, NetworkSize
from brainalign.encoding.in_context.preferences import reduce_texts, text_preferences
from brainalign.encoding.in_context.pretrained_layer import PretrainedLayer, Reduction, pretrained_layers
from brainalign.encoding.in_context.pretraining import pretrain_layer, training_voxels
from brainalign.encoding.in_context.scaling import curve_baselines, scaling_curve
from brainalign.encoding.in_context.selectivity import text_selectivity
from brainalign.encoding.in_context.study import context_curve, score_context
from brainalign.encoding.in_context.subject_study import FewImages, TextQueries

__all__ = [
    "NETWORKS",
    "NOISE_WEIGHT",
    "EmpiricalBayesRidge",
    "Episode",
    "FewImages",
    "InContextEncoder",
    "InContextEnsemble",
    "InContextNetwork",
    "NetworkSize",
    "PretrainedLayer",
    "Reduction",
    "TextQueries",
    "Voxels",
    "WeightPrior",
    "context_curve",
    "curve_baselines",
    "estimate_prior",
    "groups_of_targets",
    "left_out_errors",
    "pooled_ridge",
    "posterior_weights",
    "pretrain_layer",
    "pretrained_layers",
    "prior_of_weights",
    "read_checkpoint",
    "real_episode",
    "reduce_texts",
    "scaling_curve",
    "score_context",
    "taken",
    "text_preferences",
    "text_selectivity",
    "training_voxels",
    "unit_rows",
]
