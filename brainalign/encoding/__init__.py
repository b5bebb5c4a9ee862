"""Encoders: features to responses. A user adds one by adding an entry."""

from brainalign.encoding.banded import BandedRidge, band_candidates
from brainalign.encoding.ensemble import LayerEnsemble
from brainalign.encoding.evaluation import Evaluation, evaluate
from brainalign.encoding.held_out import HeldOut, evaluate_held_out
from brainalign.encoding.partition import Partition
from brainalign.encoding.ridge import Ridge, fit_layers
from brainalign.encoding.routing import PUBLISHED_ROUTING, RoutingEncoder

__all__ = [
    "ENCODERS",
    "PUBLISHED_ROUTING",
    "BandedRidge",
    "Evaluation",
    "HeldOut",
    "LayerEnsemble",
    "Partition",
    "Ridge",
    "RoutingEncoder",
    "band_candidates",
    "evaluate",
    "evaluate_held_out",
    "fit_layers",
]

ENCODERS = {"ridge": Ridge, "banded": BandedRidge, "routing": RoutingEncoder}
