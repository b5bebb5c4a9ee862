"""Directions of a diffusion model that a region answers to."""

from brainalign.synthesis.directions.bottleneck import Trajectories, generators, record_trajectories
from brainalign.synthesis.directions.bottleneck import denoised_at as denoised_at
from brainalign.synthesis.directions.bottleneck import edited as edited
from brainalign.synthesis.directions.directions import Directions, cosines, random_directions, semantic_directions
from brainalign.synthesis.directions.study import DirectionStudy, StudiedDirections

__all__ = [
    "DirectionStudy", "Directions", "StudiedDirections", "Trajectories", "cosines", "generators", "random_directions",
    "record_trajectories", "semantic_directions",
]  # fmt: skip
