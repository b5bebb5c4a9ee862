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
from brainalign.regression import BandedRidge, Epoch, Partition, Ridge, band_candidates, fit_layers

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
