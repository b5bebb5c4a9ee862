"""Trials, and how networks are trained on them."""

from brainalign.decoding.training.contrastive import LogitScale, clip_loss, pair_loss
from brainalign.decoding.training.loop import History, batches, train
from brainalign.decoding.training.subjects import EegShape, SubjectLayers, SubjectScale, silenced
from brainalign.decoding.training.trials import ChannelScale as ChannelScale
from brainalign.decoding.training.trials import Known as Known
from brainalign.decoding.training.trials import Trials
from brainalign.decoding.training.trials import check_signals as check_signals
from brainalign.decoding.training.trials import check_training as check_training
from brainalign.decoding.training.trials import check_unseen as check_unseen
from brainalign.decoding.training.trials import inside as inside
from brainalign.decoding.training.trials import signal_scale as signal_scale

__all__ = ["EegShape", "History", "LogitScale", "Trials", "batches", "clip_loss", "pair_loss", "train"]
