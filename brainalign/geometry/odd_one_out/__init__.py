"""Embeddings of odd-one-out judgements, and networks aligned with people."""

from brainalign.geometry.odd_one_out.alignment_study import (
    AlignmentScore,
    AlignmentStudy,
    align_networks,
    score_alignment,
)
from brainalign.geometry.odd_one_out.embedding import SparseConcepts, VariationalConcepts
from brainalign.geometry.odd_one_out.human_alignment import HumanAlignment, HumanTeacher, affine_head
from brainalign.geometry.odd_one_out.networks import (
    fit_dimensions,
    network_tables,
    permuted_accuracies,
    region_table,
    unseen_similarities,
)
from brainalign.geometry.odd_one_out.study import (
    CONCEPT_METHODS,
    ConceptFit,
    Reproducibility,
    check_odd_last,
    choice_table,
    dimension_table,
    fit_concepts,
    match_dimensions,
    odd_column_shares,
    reproducible_dimensions,
    spectral_similarities,
    unrepeated,
)
from brainalign.geometry.odd_one_out.triplet_splits import (
    LEVELS,
    cluster_objects,
    draw_triplets,
    split_objects,
    split_objects_in_turn,
    split_triplets,
    triplet_levels,
)
from brainalign.geometry.odd_one_out.triplets import (
    CHANCE,
    DIVERGENCES,
    check_triplets,
    choice_entropy,
    choice_probabilities,
    choice_temperature,
    judged_shares,
    object_similarities,
    odd_one_out_accuracy,
    repeated_ceilings,
    shuffled_triplets,
    triplet_keys,
)
from brainalign.geometry.odd_one_out.triplets import log_choices as log_choices

__all__ = [
    "CHANCE", "CONCEPT_METHODS", "DIVERGENCES", "LEVELS", "AlignmentScore", "AlignmentStudy", "ConceptFit",
    "HumanAlignment", "HumanTeacher", "Reproducibility", "SparseConcepts", "VariationalConcepts", "affine_head",
    "align_networks", "check_odd_last", "check_triplets", "choice_entropy", "choice_probabilities", "choice_table",
    "choice_temperature", "cluster_objects", "dimension_table", "draw_triplets", "fit_concepts", "fit_dimensions",
    "judged_shares", "match_dimensions", "network_tables", "object_similarities", "odd_column_shares",
    "odd_one_out_accuracy", "permuted_accuracies", "region_table", "repeated_ceilings", "reproducible_dimensions",
    "score_alignment", "shuffled_triplets", "spectral_similarities", "split_objects", "split_objects_in_turn",
    "split_triplets", "triplet_keys", "triplet_levels", "unrepeated", "unseen_similarities",
]  # fmt: skip
