"""Tests of cortical maps against maps as smooth as they are."""

from brainalign.statistics.maps.preference import DepthRecovery, layer_preference, recovered_depth
from brainalign.statistics.maps.smooth_maps import MAX_AREAS, SmoothMapTest, smooth_map_test
from brainalign.statistics.maps.spin import area_map_test, spin_orders, spin_test

__all__ = [
    "MAX_AREAS",
    "DepthRecovery",
    "SmoothMapTest",
    "area_map_test",
    "layer_preference",
    "recovered_depth",
    "smooth_map_test",
    "spin_orders",
    "spin_test",
]
