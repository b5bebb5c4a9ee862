"""Images a region would prefer, and words for it. The encoder is passed in, never imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from brainalign.synthesis.gains import synthesis_gains
from brainalign.synthesis.guided_output import GuidedOutput
from brainalign.synthesis.objective import RegionObjective
from brainalign.synthesis.prior import train_prior
from brainalign.synthesis.views import denoised_views

if TYPE_CHECKING:
    from brainalign.synthesis.codec import PixelShuffleCodec
    from brainalign.synthesis.guidance import BrainGuidedPipeline

__all__ = [
    "BrainGuidedPipeline",
    "GuidedOutput",
    "PixelShuffleCodec",
    "RegionObjective",
    "denoised_views",
    "synthesis_gains",
    "train_prior",
]

# Classes of diffusers' kind: importing it takes seconds, which captions and scores need not wait for.
_HEAVY = {"BrainGuidedPipeline": "guidance", "PixelShuffleCodec": "codec"}


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HEAVY[name]}"), name)
