"""Images a region would prefer, by diffusion that its encoder guides."""

from typing import TYPE_CHECKING, Any

from brainalign.synthesis.guidance.baselines import best_of, evolve
from brainalign.synthesis.guidance.denoiser import PREDICTIONS as PREDICTIONS
from brainalign.synthesis.guidance.denoiser import Denoiser as Denoiser
from brainalign.synthesis.guidance.denoiser import check_scheduler as check_scheduler
from brainalign.synthesis.guidance.denoiser import previous_signal as previous_signal
from brainalign.synthesis.guidance.denoiser import signal_shares as signal_shares
from brainalign.synthesis.guidance.gains import synthesis_gains
from brainalign.synthesis.guidance.natural import NaturalImages, Typicality, denoised_views, features_of_views, resized
from brainalign.synthesis.guidance.objective import RegionObjective, SavedEncoders
from brainalign.synthesis.guidance.prior import SCHEDULE, load_prior, train_prior
from brainalign.synthesis.guidance.steering import Guide, Objective, Trace, clamped_images, score_gradient
from brainalign.synthesis.guidance.study import Judges, Sampling, Synthesised, SynthesisStudy

if TYPE_CHECKING:
    from brainalign.synthesis.guidance.codec import PixelShuffleCodec as PixelShuffleCodec
    from brainalign.synthesis.guidance.pipeline import BrainGuidedPipeline as BrainGuidedPipeline
    from brainalign.synthesis.guidance.pipeline import GuidedOutput as GuidedOutput

__all__ = [
    "Judges", "NaturalImages", "RegionObjective", "Sampling", "SavedEncoders", "SynthesisStudy", "Synthesised",
    "Typicality", "best_of", "denoised_views", "evolve", "features_of_views", "load_prior", "resized",
    "synthesis_gains", "train_prior",
]  # fmt: skip

# Classes of diffusers' kind: importing it takes seconds, which captions and scores need not wait for; not listed
# above, since who takes all that is listed would wait.
_HEAVY = {"PixelShuffleCodec": "codec", "BrainGuidedPipeline": "pipeline", "GuidedOutput": "pipeline"}


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HEAVY[name]}"), name)
