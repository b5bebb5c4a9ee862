"""Encoders: features to responses. A user adds one by adding an entry."""

from brainalign.encoding.banded import BandedRidge, band_candidates
from brainalign.encoding.convergence import Convergence, LayerScores, convergence_scores
from brainalign.encoding.evaluation import Evaluation, evaluate
from brainalign.encoding.halftimes import half_times
from brainalign.encoding.held_out import HeldOut, evaluate_held_out
from brainalign.encoding.partition import Partition
from brainalign.encoding.ridge import Ridge, fit_layers

__all__ = [
    "ENCODERS",
    "BandedRidge",
    "Convergence",
    "Evaluation",
    "HeldOut",
    "LayerScores",
    "Partition",
    "Ridge",
    "band_candidates",
    "convergence_scores",
    "evaluate",
    "evaluate_held_out",
    "fit_layers",
    "half_times",
]

ENCODERS = {"ridge": Ridge, "banded": BandedRidge}
