"""Encoders that learn a new region from a handful of images, and empirical-Bayes ridge beside them."""

from brainalign.encoding.in_context.empirical_bayes import EmpiricalBayesRidge, WeightPrior, estimate_prior
from brainalign.encoding.in_context.empirical_bayes import left_out_errors as left_out_errors
from brainalign.encoding.in_context.empirical_bayes import posterior_weights as posterior_weights
from brainalign.encoding.in_context.encoder import InContextEncoder
from brainalign.encoding.in_context.fallback import groups_of_targets, pooled_ridge, taken
from brainalign.encoding.in_context.inputs import unit_rows
from brainalign.encoding.in_context.meta_training import NOISE_WEIGHT, Episode, Voxels, real_episode
from brainalign.encoding.in_context.network import NETWORKS, InContextNetwork, NetworkSize, read_checkpoint
from brainalign.encoding.in_context.pretraining import (
    PretrainedLayer,
    Reduction,
    pretrain_layer,
    pretrained_layers,
    training_voxels,
)
from brainalign.encoding.in_context.study import (
    InContextEnsemble,
    context_curve,
    curve_baselines,
    scaling_curve,
    score_context,
)
from brainalign.encoding.in_context.subject_study import FewImages, TextQueries, text_preferences, text_selectivity
from brainalign.encoding.in_context.subject_study import reduce_texts as reduce_texts

__all__ = [
    "EmpiricalBayesRidge", "InContextEncoder", "Reduction", "WeightPrior", "context_curve", "estimate_prior",
    "pretrain_layer", "scaling_curve", "score_context", "text_preferences", "text_selectivity", "unit_rows",
]  # fmt: skip
