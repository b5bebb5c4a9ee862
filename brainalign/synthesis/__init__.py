"""Images a region would prefer, and words for it. The encoder is passed in, never imported."""

from typing import TYPE_CHECKING, Any

from brainalign.synthesis.captions import *
from brainalign.synthesis.directions import *
from brainalign.synthesis.guidance import *

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline as BrainGuidedPipeline
    from brainalign.synthesis.guidance import GuidedOutput as GuidedOutput
    from brainalign.synthesis.guidance import PixelShuffleCodec as PixelShuffleCodec


_HEAVY = {"PixelShuffleCodec", "BrainGuidedPipeline", "GuidedOutput"}  # see brainalign.synthesis.guidance


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from brainalign.synthesis import guidance

    return getattr(guidance, name)
