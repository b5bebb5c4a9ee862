"""Trials, and how networks are trained on them."""

from brainalign.decoding.training.augmentation import Augmentation
from brainalign.decoding.training.components import Components
from brainalign.decoding.training.contrastive import LogitScale, clip_loss, pair_loss
from brainalign.decoding.training.loop import History, batches, train
from brainalign.decoding.training.subject_layer import EegShape, SubjectLayers, silenced
from brainalign.decoding.training.subject_scale import SubjectScale
from brainalign.decoding.training.trial_tensors import (
    ChannelScale,
    Known,
    check_signals,
    check_training,
    inside,
    signal_scale,
)
from brainalign.decoding.training.trials import Trials, check_unseen

__all__ = [
    "Augmentation",
    "ChannelScale",
    "Components",
    "EegShape",
    "History",
    "Known",
    "LogitScale",
    "SubjectLayers",
    "SubjectScale",
    "Trials",
    "batches",
    "check_signals",
    "check_training",
    "check_unseen",
    "clip_loss",
    "inside",
    "pair_loss",
    "signal_scale",
    "silenced",
    "train",
]
