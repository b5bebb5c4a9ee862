"""Images a region would prefer, and words for it. The encoder is passed in, never imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from brainalign.synthesis.captions import (
    ANY,
    AttributeCaptioner,
    Captioner,
    Captions,
    CaptionScores,
    CaptionStudy,
    PrefixCaptioner,
    TextCaptioner,
    VocabularyCaptioner,
    VoxelCaptions,
    attribute_evidence,
    bank_shares,
    caption_scores,
    caption_targets,
    noun_shares,
    project_to_bank,
    shuffled_weights,
    silence_attributes,
    temperature_curve,
    train_prefix_captioner,
)
from brainalign.synthesis.directions import (
    Directions,
    DirectionStudy,
    StudiedDirections,
    Trajectories,
    cosines,
    generators,
    random_directions,
    record_trajectories,
    semantic_directions,
)
from brainalign.synthesis.guidance import (
    ImageArchive,
    Judges,
    NaturalImages,
    RegionObjective,
    Sampling,
    SavedEncoders,
    Searched,
    Synthesised,
    SynthesisStudy,
    Typicality,
    best_of,
    denoised_views,
    evolve,
    features_of_views,
    load_prior,
    load_resized,
    natural_top,
    resized,
    synthesis_gains,
    train_prior,
)

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline, GuidedOutput, PixelShuffleCodec

__all__ = [
    "ANY",
    "AttributeCaptioner",
    "BrainGuidedPipeline",
    "CaptionScores",
    "CaptionStudy",
    "Captioner",
    "Captions",
    "DirectionStudy",
    "Directions",
    "GuidedOutput",
    "ImageArchive",
    "Judges",
    "NaturalImages",
    "PixelShuffleCodec",
    "PrefixCaptioner",
    "RegionObjective",
    "Sampling",
    "SavedEncoders",
    "Searched",
    "StudiedDirections",
    "SynthesisStudy",
    "Synthesised",
    "TextCaptioner",
    "Trajectories",
    "Typicality",
    "VocabularyCaptioner",
    "VoxelCaptions",
    "attribute_evidence",
    "bank_shares",
    "best_of",
    "caption_scores",
    "caption_targets",
    "cosines",
    "denoised_views",
    "evolve",
    "features_of_views",
    "generators",
    "load_prior",
    "load_resized",
    "natural_top",
    "noun_shares",
    "project_to_bank",
    "random_directions",
    "record_trajectories",
    "resized",
    "semantic_directions",
    "shuffled_weights",
    "silence_attributes",
    "synthesis_gains",
    "temperature_curve",
    "train_prefix_captioner",
    "train_prior",
]

_HEAVY = {"PixelShuffleCodec", "BrainGuidedPipeline", "GuidedOutput"}  # see brainalign.synthesis.guidance


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from brainalign.synthesis import guidance

    return getattr(guidance, name)
