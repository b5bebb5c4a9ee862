"""What a denoiser says of the image it will end at, and how a changed image is told back to its scheduler.

With u the network's input and ā the share of signal in it, u = √ā x₀ + √(1 − ā) ε, whatever the network predicts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from brainalign.checks import BrainalignError


def _from_epsilon(o: Tensor, u: Tensor, a: Tensor) -> Tensor:
    return (u - (1 - a).sqrt() * o) / a.sqrt()


def _from_velocity(o: Tensor, u: Tensor, a: Tensor) -> Tensor:
    return a.sqrt() * u - (1 - a).sqrt() * o


def _from_sample(o: Tensor, u: Tensor, a: Tensor) -> Tensor:
    return o


def _noise(x0: Tensor, u: Tensor, a: Tensor) -> Tensor:
    return (u - a.sqrt() * x0) / (1 - a).sqrt()


def _to_velocity(x0: Tensor, u: Tensor, a: Tensor) -> Tensor:
    return a.sqrt() * _noise(x0, u, a) - (1 - a).sqrt() * x0


def _to_sample(x0: Tensor, u: Tensor, a: Tensor) -> Tensor:
    return x0


Algebra = Callable[[Tensor, Tensor, Tensor], Tensor]

# By what the network predicts: its output to x₀, and x₀ to that output; arguments (output or x₀, u, ā).
PREDICTIONS: dict[str, tuple[Algebra, Algebra]] = {
    "epsilon": (_from_epsilon, _noise),
    "v_prediction": (_from_velocity, _to_velocity),
    "sample": (_from_sample, _to_sample),
}

# Schedulers by the table that says how much signal a step's input holds.
SCHEDULERS = {
    "DDIMScheduler": "alphas_cumprod",
    "DDPMScheduler": "alphas_cumprod",
    "PNDMScheduler": "alphas_cumprod",
    "DPMSolverMultistepScheduler": "sigmas",
    "DPMSolverSinglestepScheduler": "sigmas",
    "EulerDiscreteScheduler": "sigmas",
    "EulerAncestralDiscreteScheduler": "sigmas",
    "HeunDiscreteScheduler": "sigmas",
    "LMSDiscreteScheduler": "sigmas",
}
WITHOUT_SAMPLE = ("PNDMScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler")
RECURRENT = ("DDIMScheduler", "DDPMScheduler")  # remember nothing of earlier steps, so that one can be repeated


def check_scheduler(scheduler: Any, recurrence: int) -> None:
    """Raise where guidance does not know what a scheduler's steps mean.

    Raises
    ------
    BrainalignError
        If the scheduler is not in `SCHEDULERS`, predicts something unknown, lets the first step begin in pure noise
        of a size that leaves no signal, or is to repeat steps and cannot.
    """
    name = type(scheduler).__name__
    if name not in SCHEDULERS:
        raise BrainalignError(
            f"guidance reads the image out of a variance-preserving or sigma scheduler; {name} is neither (flow "
            f"matching and consistency models are not supported); use one of {', '.join(SCHEDULERS)}"
        )
    prediction = scheduler.config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise BrainalignError(f"the scheduler predicts {prediction!r}; guidance knows {', '.join(PREDICTIONS)}")
    if prediction == "sample" and name in WITHOUT_SAMPLE:
        raise BrainalignError(f"{name} cannot step with predictions of the sample; take DDIMScheduler")
    cosine = scheduler.config.get("beta_schedule") == "squaredcos_cap_v2"
    if cosine and scheduler.init_noise_sigma != 1 and scheduler.config.get("timestep_spacing") != "leading":
        raise BrainalignError(
            f"{name} with cosine betas starts at a noise of {float(scheduler.init_noise_sigma):.0f} unless its "
            'timestep_spacing is "leading"; set that'
        )
    if recurrence > 1 and name not in RECURRENT:
        raise BrainalignError(
            f"recurrence = {recurrence} repeats steps, but {name} remembers earlier ones; use "
            f"{' or '.join(RECURRENT)}, or recurrence = 1"
        )


def signal_shares(scheduler: Any) -> Tensor:
    """Return ā of every step that the scheduler has planned, (n_steps,)."""
    if SCHEDULERS[type(scheduler).__name__] == "alphas_cumprod":
        return torch.as_tensor(scheduler.alphas_cumprod)[scheduler.timesteps.long().cpu()]
    return 1 / (1 + torch.as_tensor(scheduler.sigmas).cpu()[: len(scheduler.timesteps)] ** 2)


def previous_signal(scheduler: Any, timestep: int) -> Tensor | None:
    """Return ā after the step from `timestep`; None where that is the last one."""
    if type(scheduler).__name__ == "DDPMScheduler":
        before = int(scheduler.previous_timestep(timestep))
    else:
        before = timestep - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    return None if before < 0 else torch.as_tensor(scheduler.alphas_cumprod)[before]
