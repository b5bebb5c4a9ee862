"""Objects, words, models and their relations."""

from brainalign.simulation.concepts.ball import OccludedBall, ball_features, ball_future, occluded_ball
from brainalign.simulation.concepts.judgements import ConceptWorld, concept_world
from brainalign.simulation.concepts.words import GroundedWords, grounded_words

__all__ = [
    "ConceptWorld", "GroundedWords", "OccludedBall", "ball_features", "ball_future", "concept_world", "grounded_words",
    "occluded_ball",
]  # fmt: skip
