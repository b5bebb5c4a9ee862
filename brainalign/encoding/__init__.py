"""Encoders: features to responses. A user adds one by adding an entry."""

from brainalign.encoding.evaluation import Evaluation, evaluate
from brainalign.encoding.ridge import Ridge

__all__ = ["ENCODERS", "Evaluation", "Ridge", "evaluate"]

ENCODERS = {"ridge": Ridge}
