"""Encoders: features to responses. A user adds one by adding an entry."""

from brainalign.encoding.banded import BandedRidge, band_candidates
from brainalign.encoding.empirical_bayes import EmpiricalBayesRidge, WeightPrior, estimate_prior, prior_of_weights
from brainalign.encoding.evaluation import Evaluation, evaluate
from brainalign.encoding.held_out import HeldOut, evaluate_held_out
from brainalign.encoding.in_context import InContextEncoder
from brainalign.encoding.in_context_inputs import unit_rows
from brainalign.encoding.partition import Partition
from brainalign.encoding.ridge import Ridge, fit_layers
from brainalign.encoding.scaling_curve import curve_baselines, scaling_curve
from brainalign.encoding.text_selectivity import text_selectivity

__all__ = [
    "ENCODERS",
    "BandedRidge",
    "EmpiricalBayesRidge",
    "Evaluation",
    "HeldOut",
    "InContextEncoder",
    "Partition",
    "Ridge",
    "WeightPrior",
    "band_candidates",
    "curve_baselines",
    "estimate_prior",
    "evaluate",
    "evaluate_held_out",
    "fit_layers",
    "prior_of_weights",
    "scaling_curve",
    "text_selectivity",
    "unit_rows",
]

ENCODERS = {"ridge": Ridge, "banded": BandedRidge}
