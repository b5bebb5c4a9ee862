"""RDMs of neighbourhoods on the surface and in the volume, and maps of them."""

from brainalign.geometry.searchlights.neighbourhoods import (
    Neighbourhoods,
    joined_hemispheres,
    surface_neighbourhoods,
    volume_neighbourhoods,
)
from brainalign.geometry.searchlights.searchlight import Searchlight, searchlight_rdms
from brainalign.geometry.searchlights.searchlight_maps import searchlight_map

__all__ = [
    "Neighbourhoods", "Searchlight", "joined_hemispheres", "searchlight_map", "searchlight_rdms",
    "surface_neighbourhoods", "volume_neighbourhoods",
]  # fmt: skip
