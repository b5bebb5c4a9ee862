"""Images a region would prefer, and words for it. The encoder is passed in, never imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from brainalign.synthesis.archive import ImageArchive
from brainalign.synthesis.baselines import Searched, best_of, evolve, natural_top
from brainalign.synthesis.bottleneck import Trajectories, generators, record_trajectories
from brainalign.synthesis.caption_scores import (
    CaptionScores,
    attribute_evidence,
    caption_scores,
    silence_attributes,
    temperature_curve,
)
from brainalign.synthesis.caption_study import CaptionStudy, VoxelCaptions
from brainalign.synthesis.captioners import (
    ANY,
    AttributeCaptioner,
    Captioner,
    Captions,
    TextCaptioner,
    VocabularyCaptioner,
    caption_targets,
    noun_shares,
)
from brainalign.synthesis.captions import bank_shares, project_to_bank
from brainalign.synthesis.direction_study import DirectionStudy, StudiedDirections
from brainalign.synthesis.directions import Directions, cosines, random_directions, semantic_directions
from brainalign.synthesis.gains import synthesis_gains
from brainalign.synthesis.judged_images import Judges, Synthesised
from brainalign.synthesis.load import load_prior
from brainalign.synthesis.natural import NaturalImages, Typicality, features_of_views, load_resized
from brainalign.synthesis.objective import RegionObjective
from brainalign.synthesis.prefix_captioner import PrefixCaptioner, train_prefix_captioner
from brainalign.synthesis.prior import train_prior
from brainalign.synthesis.region_judges import SavedEncoders
from brainalign.synthesis.shuffled_weights import shuffled_weights
from brainalign.synthesis.study import Sampling, SynthesisStudy
from brainalign.synthesis.views import denoised_views, resized

if TYPE_CHECKING:
    from brainalign.synthesis.codec import PixelShuffleCodec
    from brainalign.synthesis.guidance import BrainGuidedPipeline, GuidedOutput

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

# Classes of diffusers' kind: importing it takes seconds, which captions and scores need not wait for.
_HEAVY = {"PixelShuffleCodec": "codec", "BrainGuidedPipeline": "guidance", "GuidedOutput": "guidance"}


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HEAVY[name]}"), name)
