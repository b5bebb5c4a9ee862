"""Worlds with planted truth: what a method must find, and what it must not."""

from brainalign.simulation.abstraction import AbstractionWorld, abstraction_world
from brainalign.simulation.captioned_voxels import captioned_voxels, labelled_embeddings
from brainalign.simulation.category_epochs import CategoryEpochs, category_epochs
from brainalign.simulation.complex_cells import ComplexCells, complex_cells
from brainalign.simulation.concepts import ConceptWorld, concept_world, write_things_files
from brainalign.simulation.cortex import Cortex, CortexDrives, cortex_drives, load_cortex, plan_areas, simulate_cortex
from brainalign.simulation.curved_relations import RELATIONS, SwissRoll, dependent_pair, swiss_roll
from brainalign.simulation.drives import field_weights, layer_drives, pool_everywhere
from brainalign.simulation.eeg_text import EegText, eeg_power, eeg_text, text_sentences
from brainalign.simulation.families import FamilyWorld, family_world
from brainalign.simulation.generator import LAYERS, activations, save_generator, train_generator
from brainalign.simulation.grounded_words import GroundedWords, grounded_words
from brainalign.simulation.hierarchy import R_CEILING, Hierarchy, hierarchy, smooth_maps
from brainalign.simulation.linear import LinearWorld, linear_world
from brainalign.simulation.meeg import MeegTruth, layer_latencies, sensor_info, simulate_meeg, to_epochs
from brainalign.simulation.modality_files import write_modalities
from brainalign.simulation.objects import OBJECT_ROIS, ObjectWorld, object_world
from brainalign.simulation.occluded_ball import OccludedBall, ball_features, ball_future, occluded_ball
from brainalign.simulation.preferences import PREFERENCES, preferences, scene_variables
from brainalign.simulation.region_geometries import REGION_REGIMES, region_patterns
from brainalign.simulation.rest import rest_networks, simulate_rest
from brainalign.simulation.ring_agent import RingAgent, ring_agent
from brainalign.simulation.roi_lagged import roi_lagged
from brainalign.simulation.roi_series import RoiSeries, roi_series
from brainalign.simulation.schedule import schedule
from brainalign.simulation.selective_regions import clear_scenes, selective_voxels, train_scene_network
from brainalign.simulation.shape_neurons import SHAPE_NEURONS, Things, measure_things, true_responses
from brainalign.simulation.shapes import caption, draw_scenes, render
from brainalign.simulation.shared_space import MODALITIES, Modality, SharedWorld, shared_space
from brainalign.simulation.shifting_fields import ShiftingFields, shifting_fields
from brainalign.simulation.sparse_mixtures import SparseWorld, hierarchical_mixtures, sparse_mixtures
from brainalign.simulation.surface_files import betas_image, labels_image
from brainalign.simulation.voxel_prior import VoxelPriorWorld, linear_gaussian_reference, voxel_prior_world

__all__ = [
    "LAYERS",
    "MODALITIES",
    "OBJECT_ROIS",
    "PREFERENCES",
    "REGION_REGIMES",
    "RELATIONS",
    "R_CEILING",
    "SHAPE_NEURONS",
    "AbstractionWorld",
    "CategoryEpochs",
    "ComplexCells",
    "ConceptWorld",
    "Cortex",
    "CortexDrives",
    "EegText",
    "FamilyWorld",
    "GroundedWords",
    "Hierarchy",
    "LinearWorld",
    "MeegTruth",
    "Modality",
    "ObjectWorld",
    "OccludedBall",
    "RingAgent",
    "RoiSeries",
    "SharedWorld",
    "ShiftingFields",
    "SparseWorld",
    "SwissRoll",
    "Things",
    "VoxelPriorWorld",
    "abstraction_world",
    "activations",
    "ball_features",
    "ball_future",
    "betas_image",
    "caption",
    "captioned_voxels",
    "category_epochs",
    "clear_scenes",
    "complex_cells",
    "concept_world",
    "cortex_drives",
    "dependent_pair",
    "draw_scenes",
    "eeg_power",
    "eeg_text",
    "family_world",
    "field_weights",
    "grounded_words",
    "hierarchical_mixtures",
    "hierarchy",
    "labelled_embeddings",
    "labels_image",
    "layer_drives",
    "layer_latencies",
    "linear_gaussian_reference",
    "linear_world",
    "load_cortex",
    "measure_things",
    "object_world",
    "occluded_ball",
    "plan_areas",
    "pool_everywhere",
    "preferences",
    "region_patterns",
    "render",
    "rest_networks",
    "ring_agent",
    "roi_lagged",
    "roi_series",
    "save_generator",
    "scene_variables",
    "schedule",
    "selective_voxels",
    "sensor_info",
    "shared_space",
    "shifting_fields",
    "simulate_cortex",
    "simulate_meeg",
    "simulate_rest",
    "smooth_maps",
    "sparse_mixtures",
    "swiss_roll",
    "text_sentences",
    "to_epochs",
    "train_generator",
    "train_scene_network",
    "true_responses",
    "voxel_prior_world",
    "write_modalities",
    "write_things_files",
]
