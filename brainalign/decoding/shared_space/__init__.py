"""One space for recordings of several modalities."""

from brainalign.decoding.shared_space.cross_modal import (
    KINDS,
    PairedChange,
    fused_embedding,
    paired_change,
    space_retrieval,
    stimulus_hits,
)
from brainalign.decoding.shared_space.linear_paths import LinearPath, held_out_stimuli, reciprocal_rank
from brainalign.decoding.shared_space.mixture import SoftMixture
from brainalign.decoding.shared_space.modality_encoders import MODALITY_ENCODERS, PatchConv, VoxelLinear
from brainalign.decoding.shared_space.space import SharedSpace, read_space
from brainalign.decoding.shared_space.space_controls import (
    SPACE_NULLS,
    embed_all,
    independent_ridges,
    null_trials,
    unimodal_spaces,
    without_own_layers,
)
from brainalign.decoding.shared_space.space_geometry import space_patterns

__all__ = [
    "KINDS",
    "MODALITY_ENCODERS",
    "SPACE_NULLS",
    "LinearPath",
    "PairedChange",
    "PatchConv",
    "SharedSpace",
    "SoftMixture",
    "VoxelLinear",
    "embed_all",
    "fused_embedding",
    "held_out_stimuli",
    "independent_ridges",
    "null_trials",
    "paired_change",
    "read_space",
    "reciprocal_rank",
    "space_patterns",
    "space_retrieval",
    "stimulus_hits",
    "unimodal_spaces",
    "without_own_layers",
]
