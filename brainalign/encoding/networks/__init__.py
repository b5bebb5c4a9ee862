"""Read-outs, routing and response-optimised networks over the tokens of a layer."""

from brainalign.encoding.networks.factorized_readout import FactorizedReadout
from brainalign.encoding.networks.gaussian_readout import GaussianReadout
from brainalign.encoding.networks.readout_fit import LOSSES, start
from brainalign.encoding.networks.response_optimised import Block, ResponseOptimisedEncoder, core_grid
from brainalign.encoding.networks.routing import PUBLISHED_ROUTING, RoutingEncoder
from brainalign.encoding.networks.routing_network import RoutingNetwork, parcels_of, position_code
from brainalign.encoding.networks.seeds import SeedEnsemble
from brainalign.encoding.networks.semantic_readout import WARPS as WARPS
from brainalign.encoding.networks.semantic_readout import SemanticSpatialReadout
from brainalign.encoding.networks.semantic_readout import affine_matrix as affine_matrix
from brainalign.encoding.networks.semantic_readout import moved_centre as moved_centre
from brainalign.encoding.networks.semantic_readout import warp as warp
from brainalign.encoding.networks.token_inputs import Shape, correlations

__all__ = [
    "FactorizedReadout", "GaussianReadout", "ResponseOptimisedEncoder", "RoutingEncoder", "SeedEnsemble",
    "SemanticSpatialReadout",
]  # fmt: skip
