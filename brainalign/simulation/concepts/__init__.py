"""Objects, words, models and their relations."""

from brainalign.simulation.concepts.abstraction import AbstractionWorld, ConceptWorld, abstraction_world, concept_world
from brainalign.simulation.concepts.ball import OccludedBall, ball_features, ball_future, occluded_ball
from brainalign.simulation.concepts.model_groups import FamilyWorld, SparseWorld, family_world, sparse_mixtures
from brainalign.simulation.concepts.region_geometries import RELATIONS, dependent_pair, region_patterns
from brainalign.simulation.concepts.words import GroundedWords, grounded_words

__all__ = [
    "RELATIONS",
    "AbstractionWorld",
    "ConceptWorld",
    "FamilyWorld",
    "GroundedWords",
    "OccludedBall",
    "SparseWorld",
    "abstraction_world",
    "ball_features",
    "ball_future",
    "concept_world",
    "dependent_pair",
    "family_world",
    "grounded_words",
    "occluded_ball",
    "region_patterns",
    "sparse_mixtures",
]
