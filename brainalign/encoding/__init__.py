"""Encoders: features to responses. A user adds one by adding an entry."""

from brainalign.encoding.evaluation import Evaluation, evaluate
from brainalign.encoding.held_out import HeldOut, evaluate_held_out
from brainalign.encoding.ridge import Ridge

__all__ = ["ENCODERS", "Evaluation", "HeldOut", "Ridge", "evaluate", "evaluate_held_out"]

ENCODERS = {"ridge": Ridge}
