"""What a diffusion network says, read as a clean image and a noise, whatever it was trained to predict.

A noisy sample is u = √ā x0 + √(1 − ā) e. Networks predict e, x0, or v = √ā e − √(1 − ā) x0: two of them give the third.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from torch import Tensor

from brainalign.checks import BrainalignError

__all__ = ["ONE_STEP", "SCHEDULERS", "alpha_bar", "check_scheduler", "clean_and_noise", "renoise", "with_clean"]

_ALL, _NO_SAMPLE = ("epsilon", "v_prediction", "sample"), ("epsilon", "v_prediction")
# The schedulers that guidance is right for, and the predictions that each of them can step with.
SCHEDULERS: dict[str, tuple[str, ...]] = {
    "DDIMScheduler": _ALL,
    "DDPMScheduler": _ALL,
    "PNDMScheduler": _NO_SAMPLE,
    "DPMSolverMultistepScheduler": _ALL,
    "EulerDiscreteScheduler": _ALL,
    "HeunDiscreteScheduler": _NO_SAMPLE,
    "LMSDiscreteScheduler": _NO_SAMPLE,
}
# Those that keep nothing of past steps, so that a step can be taken again.
ONE_STEP = ("DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler")
# Stable Diffusion's schedule ends near 14.6; a cosine one without "leading" spacing near 20 000.
LARGEST_SIGMA = 1000.0


def check_scheduler(scheduler: Any, recurrence: int = 1) -> None:
    """Raise unless guidance knows how to step with a scheduler whose timesteps are set.

    Raises
    ------
    BrainalignError
        If its kind or what it predicts is not supported, if its first noise level is too large to divide by, or if it
        remembers past steps where a step is to be repeated.
    """
    names = {base.__name__ for base in type(scheduler).__mro__}
    known = [name for name in SCHEDULERS if name in names]
    if not known:
        raise BrainalignError(
            f"guidance supports the schedulers {', '.join(SCHEDULERS)}; got {type(scheduler).__name__}; "
            "pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config) replaces it"
        )
    predicted = scheduler.config.prediction_type
    if predicted not in SCHEDULERS[known[0]]:
        raise BrainalignError(
            f"{known[0]} steps with predictions of {', '.join(SCHEDULERS[known[0]])}; this one has {predicted!r}; "
            "take DDIMScheduler, which steps with epsilon, v_prediction and sample"
        )
    if recurrence > 1 and known[0] not in ONE_STEP:
        raise BrainalignError(
            f"recurrence repeats steps, and {known[0]} remembers past ones; take {', '.join(ONE_STEP)}, or recurrence=1"
        )
    if on_sigmas(scheduler) and float(scheduler.sigmas[0]) > LARGEST_SIGMA:
        raise BrainalignError(
            f"{known[0]} starts at sigma {float(scheduler.sigmas[0]):.0f}, where rounding is all that is left of the "
            'image; give it timestep_spacing="leading"'
        )


def on_sigmas(scheduler: Any) -> bool:
    """Whether a scheduler's noise levels are in `sigmas` (Euler, Heun, LMS, DPM++) and not in `alphas_cumprod`."""
    return hasattr(scheduler, "sigmas")


def alpha_bar(scheduler: Any, index: int) -> float:
    """Return ā, the share of signal in the variance, of the step at a position among the timesteps.

    Those with sigmas convert predictions by them, which differ from `alphas_cumprod` where a timestep is between two.
    """
    if on_sigmas(scheduler):
        return 1.0 / (1.0 + float(scheduler.sigmas[index]) ** 2)
    return float(scheduler.alphas_cumprod[int(scheduler.timesteps[index])])


def clean_and_noise(output: Tensor, noisy: Tensor, alpha: float | Tensor, predicted: str) -> tuple[Tensor, Tensor]:
    """Return x0 and e of a network's output, both of the shape of the noisy sample; ā for all, or broadcast."""
    signal, noise = alpha**0.5, (1 - alpha) ** 0.5
    if predicted == "epsilon":
        return (noisy - noise * output) / signal, output
    if predicted == "v_prediction":
        return signal * noisy - noise * output, signal * output + noise * noisy
    return output, (noisy - signal * output) / noise


def with_clean(clean: Tensor, noisy: Tensor, alpha: float, predicted: str) -> Tensor:
    """Return the output of a network that had found this clean image in the noisy sample."""
    signal, noise = sqrt(alpha), sqrt(1 - alpha)
    if predicted == "sample":
        return clean
    error = (noisy - signal * clean) / noise
    return error if predicted == "epsilon" else signal * error - noise * clean


def renoise(latents: Tensor, noise: Tensor, scheduler: Any, index: int) -> Tensor:
    """Take latents of the step after `index` back to its noise level: z_t = √(ā_t/ā_s) z_s + √(1 − ā_t/ā_s) n.

    Where latents grow with sigma (Euler), z_t = z_s + √(σ_t² − σ_s²) n, which is the same in other units.
    """
    if on_sigmas(scheduler):  # of those that can repeat a step, only Euler
        larger, smaller = float(scheduler.sigmas[index]), float(scheduler.sigmas[index + 1])
        return latents + sqrt(larger**2 - smaller**2) * noise
    ratio = alpha_bar(scheduler, index) / alpha_bar(scheduler, index + 1)
    return sqrt(ratio) * latents + sqrt(1 - ratio) * noise
