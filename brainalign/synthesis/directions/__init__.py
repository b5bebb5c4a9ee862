"""Directions of a diffusion model that a region answers to."""

from brainalign.synthesis.directions.bottleneck import (
    Trajectories,
    denoised_at,
    edited,
    generators,
    record_trajectories,
)
from brainalign.synthesis.directions.directions import Directions, cosines, random_directions, semantic_directions
from brainalign.synthesis.directions.jacobian import singular_vectors
from brainalign.synthesis.directions.study import DirectionStudy, StudiedDirections

__all__ = [
    "DirectionStudy",
    "Directions",
    "StudiedDirections",
    "Trajectories",
    "cosines",
    "denoised_at",
    "edited",
    "generators",
    "random_directions",
    "record_trajectories",
    "semantic_directions",
    "singular_vectors",
]
