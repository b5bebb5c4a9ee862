"""Topological RSA: geodesic distances, thresholds, and regions told apart by them."""

from brainalign.geometry.topology.dependence import dependence_test
from brainalign.geometry.topology.geotopology import (
    FAMILIES,
    Geodesics,
    geodesic,
    geotopological,
    layer_agreement,
    threshold_family,
    threshold_grid,
)
from brainalign.geometry.topology.region_identification import BASELINES, RegionIdentification, identify_regions
from brainalign.geometry.topology.region_identification import RankedRdms as RankedRdms

__all__ = [
    "BASELINES", "FAMILIES", "RegionIdentification", "dependence_test", "geodesic", "geotopological",
    "identify_regions", "layer_agreement", "threshold_family", "threshold_grid",
]  # fmt: skip
