"""One space for recordings of several modalities."""

from brainalign.decoding.shared_space.cross_modal import KINDS as KINDS
from brainalign.decoding.shared_space.cross_modal import fused_embedding, paired_change, space_retrieval, stimulus_hits
from brainalign.decoding.shared_space.cross_modal import space_patterns as space_patterns
from brainalign.decoding.shared_space.linear_paths import LinearPath, held_out_stimuli
from brainalign.decoding.shared_space.modality_encoders import MODALITY_ENCODERS, PatchConv, SoftMixture, VoxelLinear
from brainalign.decoding.shared_space.space import SharedSpace
from brainalign.decoding.shared_space.space_controls import (
    SPACE_NULLS,
    embed_all,
    independent_ridges,
    null_trials,
    unimodal_spaces,
    without_own_layers,
)

__all__ = [
    "SPACE_NULLS", "SharedSpace", "embed_all", "fused_embedding", "independent_ridges", "null_trials", "paired_change",
    "space_retrieval", "stimulus_hits", "unimodal_spaces", "without_own_layers",
]  # fmt: skip
