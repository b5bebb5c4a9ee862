"""Images a region would prefer, by diffusion that its encoder guides."""

from typing import TYPE_CHECKING, Any

from brainalign.synthesis.guidance.archive import ImageArchive
from brainalign.synthesis.guidance.baselines import Searched, best_of, evolve, natural_top
from brainalign.synthesis.guidance.denoiser import Denoiser
from brainalign.synthesis.guidance.gains import synthesis_gains
from brainalign.synthesis.guidance.judged_images import Judges, Synthesised
from brainalign.synthesis.guidance.load import load_prior
from brainalign.synthesis.guidance.natural import NaturalImages, Typicality, features_of_views, load_resized
from brainalign.synthesis.guidance.objective import RegionObjective
from brainalign.synthesis.guidance.prediction import PREDICTIONS, check_scheduler, previous_signal, signal_shares
from brainalign.synthesis.guidance.prior import SCHEDULE, train_prior
from brainalign.synthesis.guidance.region_judges import SavedEncoders
from brainalign.synthesis.guidance.steering import Guide, Objective, Trace, clamped_images
from brainalign.synthesis.guidance.study import Sampling, SynthesisStudy
from brainalign.synthesis.guidance.views import denoised_views, resized

if TYPE_CHECKING:
    from brainalign.synthesis.guidance.codec import PixelShuffleCodec
    from brainalign.synthesis.guidance.pipeline import BrainGuidedPipeline, GuidedOutput

__all__ = [
    "PREDICTIONS",
    "SCHEDULE",
    "BrainGuidedPipeline",
    "Denoiser",
    "Guide",
    "GuidedOutput",
    "ImageArchive",
    "Judges",
    "NaturalImages",
    "Objective",
    "PixelShuffleCodec",
    "RegionObjective",
    "Sampling",
    "SavedEncoders",
    "Searched",
    "SynthesisStudy",
    "Synthesised",
    "Trace",
    "Typicality",
    "best_of",
    "check_scheduler",
    "clamped_images",
    "denoised_views",
    "evolve",
    "features_of_views",
    "load_prior",
    "load_resized",
    "natural_top",
    "previous_signal",
    "resized",
    "signal_shares",
    "synthesis_gains",
    "train_prior",
]

# Classes of diffusers' kind: importing it takes seconds, which captions and scores need not wait for.
_HEAVY = {"PixelShuffleCodec": "codec", "BrainGuidedPipeline": "pipeline", "GuidedOutput": "pipeline"}


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HEAVY[name]}"), name)
