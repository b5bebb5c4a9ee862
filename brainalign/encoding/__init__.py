"""Encoders: features to responses. A user adds one by adding an entry."""

from brainalign.encoding.convergence import *
from brainalign.encoding.estimator import EstimatorEncoder as EstimatorEncoder
from brainalign.encoding.in_context import *
from brainalign.encoding.in_context import InContextEncoder
from brainalign.encoding.networks import *
from brainalign.encoding.networks import (
    FactorizedReadout,
    GaussianReadout,
    ResponseOptimisedEncoder,
    RoutingEncoder,
    SemanticSpatialReadout,
)
from brainalign.encoding.scoring import *
from brainalign.encoding.trained import *
from brainalign.regression import BandedRidge as BandedRidge
from brainalign.regression import Epoch as Epoch
from brainalign.regression import Partition as Partition
from brainalign.regression import Ridge as Ridge
from brainalign.regression import band_candidates as band_candidates
from brainalign.regression import fit_layers as fit_layers

ENCODERS = {
    "ridge": Ridge,
    "banded": BandedRidge,
    "factorized": FactorizedReadout,
    "gaussian": GaussianReadout,
    "semantic": SemanticSpatialReadout,
    "routing": RoutingEncoder,
    "response_optimised": ResponseOptimisedEncoder,
    "in_context": InContextEncoder,
    "estimator": EstimatorEncoder,
}
