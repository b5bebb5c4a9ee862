"""Voxels that answer to images."""

from brainalign.simulation.voxels.cortex import (
    PREFERENCES,
    Cortex,
    CortexDrives,
    cortex_drives,
    load_cortex,
    plan_areas,
    pool_everywhere,
    preferences,
    scene_variables,
    simulate_cortex,
)
from brainalign.simulation.voxels.generator import CONFIG, LAYERS, activations, save_generator, train_generator
from brainalign.simulation.voxels.linear import LinearWorld, VoxelPriorWorld, linear_world, voxel_prior_world
from brainalign.simulation.voxels.scenes import COLOURS, SHAPES, caption, clear_scenes, draw_scenes, render
from brainalign.simulation.voxels.shapes_of_neurons import SHAPE_NEURONS, Things, measure_things, true_responses
from brainalign.simulation.voxels.surface_files import betas_image, labels_image
from brainalign.simulation.voxels.trials import schedule

__all__ = [
    "LAYERS", "PREFERENCES", "SHAPE_NEURONS", "Cortex", "CortexDrives", "VoxelPriorWorld", "activations", "betas_image",
    "caption", "clear_scenes", "cortex_drives", "draw_scenes", "labels_image", "linear_world", "load_cortex",
    "measure_things", "plan_areas", "pool_everywhere", "preferences", "render", "save_generator", "scene_variables",
    "schedule", "simulate_cortex", "train_generator", "true_responses", "voxel_prior_world",
]  # fmt: skip
