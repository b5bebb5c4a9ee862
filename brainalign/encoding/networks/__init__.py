"""Read-outs, routing and response-optimised networks over the tokens of a layer."""

from brainalign.encoding.networks.factorized_readout import FactorizedReadout
from brainalign.encoding.networks.gaussian_readout import GaussianReadout
from brainalign.encoding.networks.readout_arrays import Shape
from brainalign.encoding.networks.readout_fit import LOSSES, start
from brainalign.encoding.networks.response_core import Block, core_grid
from brainalign.encoding.networks.response_optimised import ResponseOptimisedEncoder
from brainalign.encoding.networks.routing import PUBLISHED_ROUTING, RoutingEncoder
from brainalign.encoding.networks.routing_network import RoutingNetwork, position_code
from brainalign.encoding.networks.routing_queries import parcels_of
from brainalign.encoding.networks.seeds import SeedEnsemble
from brainalign.encoding.networks.semantic_readout import SemanticSpatialReadout
from brainalign.encoding.networks.token_inputs import correlations
from brainalign.encoding.networks.warps import WARPS, affine_matrix, moved_centre, warp

__all__ = [
    "LOSSES",
    "PUBLISHED_ROUTING",
    "WARPS",
    "Block",
    "FactorizedReadout",
    "GaussianReadout",
    "ResponseOptimisedEncoder",
    "RoutingEncoder",
    "RoutingNetwork",
    "SeedEnsemble",
    "SemanticSpatialReadout",
    "Shape",
    "affine_matrix",
    "core_grid",
    "correlations",
    "moved_centre",
    "parcels_of",
    "position_code",
    "start",
    "warp",
]
