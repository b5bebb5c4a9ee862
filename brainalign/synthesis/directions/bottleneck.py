"""The innermost layer of a denoiser (h-space): recorded while images form, edited while they form again.

record_trajectories   h_t of many seeds, with what the network was given and the images that came of it
edited                a context in which h_t <- h_t + shift_t; outside of it the network is as it was
denoised_at           what the network takes the image to be, as a function of h_t
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, float32, nn, promote_types

from brainalign.checks import BrainalignError
from brainalign.synthesis.guidance import PREDICTIONS, check_scheduler, signal_shares

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline


@dataclass(frozen=True)
class Trajectories:
    """What happened in a denoiser while images formed.

    Attributes
    ----------
    bottleneck : Tensor (n_steps, n_seeds, channels, rows, columns)
        Output of the middle block, in single precision or better; of classifier-free guidance the conditional half.
    latents : Tensor (n_steps, n_seeds, ...)
        What the network was given at each step.
    timesteps : tuple of float (n_steps,)
    alphas : tuple of float (n_steps,)
        Share of signal in the variance of the latents.
    images : Tensor (n_seeds, 3, H, W), in [0, 1]
    seeds : tuple of int (n_seeds,)
    options : mapping
        Arguments that the pipeline was called with.
    inputs : mapping
        Other arguments of the network, such as text: of one image. A mapping of tensors where an argument is one.
    """

    bottleneck: Tensor
    latents: Tensor
    timesteps: tuple[float, ...]
    alphas: tuple[float, ...]
    images: Tensor
    seeds: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Tensor | Mapping[str, Tensor]] = field(default_factory=dict)


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return a generator per image: the same seed gives the same image, edited or not."""
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]


@contextmanager
def watched(
    pipe: BrainGuidedPipeline, change: Callable[[float, Tensor], Tensor | None], seen: dict[str, Any] | None = None
) -> Iterator[None]:
    """Call `change` with the time and the output of the middle block, and put in its place what it returns, if any.

    `seen` receives the arguments of every call of the network: sample, timestep, others.
    """
    given = {} if seen is None else seen

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given.clear()
        given.update(dict(zip(("sample", "timestep", "encoder_hidden_states"), args, strict=False)) | kwargs)

    def after(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor | None:
        return change(float(torch.as_tensor(given["timestep"]).flatten()[0]), output)

    block = getattr(pipe.unet, "mid_block", None)
    if not isinstance(block, nn.Module):
        raise BrainalignError(
            f"directions live in the middle block of a UNet; {type(pipe.unet).__name__} has none; use a UNet2DModel or "
            "a UNet2DConditionModel that was built with one"
        )
    handles = [pipe.unet.register_forward_pre_hook(before, with_kwargs=True), block.register_forward_hook(after)]
    try:
        yield
    finally:  # also after an exception or an interrupt: a hook left behind would edit every later image
        for handle in handles:
            handle.remove()


def record_trajectories(
    pipe: BrainGuidedPipeline, seeds: Sequence[int], *, batch_size: int = 64, **options: Any
) -> Trajectories:
    """Let images form without guidance, and keep what passed through the middle block.

    Parameters
    ----------
    seeds : sequence of int
        One image each.
    **options
        Of the pipeline: num_inference_steps, prompt_embeds ...; directions are applied under the same.

    Raises
    ------
    BrainalignError
        If there is no middle block, no seed, or the scheduler is not supported.
    """
    check_scheduler(pipe.scheduler, 1)
    if not len(seeds):
        raise BrainalignError("directions are found from seeds; got none")
    parts: list[tuple[Tensor, ...]] = []
    inputs: dict[str, Tensor | Mapping[str, Tensor]] = {}
    for start in range(0, len(seeds), batch_size):
        mine = list(seeds[start : start + batch_size])
        kept: dict[float, tuple[Tensor, ...]] = {}
        seen: dict[str, Any] = {}

        def keep(time: float, output: Tensor, n: int = len(mine), kept: Any = kept, seen: Any = seen) -> None:
            both = (every[-n:].detach() for every in (output, seen["sample"]))  # the conditional half is the last
            kept[time] = tuple(some.to(promote_types(some.dtype, float32)) for some in both)
            for name, value in seen.items():
                if name not in ("sample", "timestep") and isinstance(value, Tensor | Mapping):
                    inputs[name] = _each(value, lambda tensor: tensor[-1:].detach())

        with watched(pipe, keep, seen):
            images: Tensor = pipe(None, num_images=len(mine), generator=generators(mine), **options).images
        parts.append((*map(torch.stack, zip(*kept.values(), strict=True)), images))
    share = dict(zip(pipe.scheduler.timesteps.tolist(), signal_shares(pipe.scheduler).tolist(), strict=True))
    bottleneck, latents = (torch.cat([part[k] for part in parts], dim=1) for k in (0, 1))
    images, alphas = torch.cat([part[2] for part in parts]), tuple(share[time] for time in kept)
    return Trajectories(bottleneck, latents, tuple(kept), alphas, images, tuple(map(int, seeds)), dict(options), inputs)


def _each(value: Tensor | Mapping[str, Tensor], change: Callable[[Tensor], Tensor]) -> Tensor | dict[str, Tensor]:
    """Return a changed argument of the network; Stable Diffusion XL's `added_cond_kwargs` is a mapping of tensors."""
    if isinstance(value, Tensor):
        return change(value)
    return {name: change(tensor) for name, tensor in value.items()}


@contextmanager
def edited(pipe: BrainGuidedPipeline, shift: Tensor, timesteps: Sequence[float], n_images: int) -> Iterator[None]:
    """Add a shift to the output of the middle block while the context lasts.

    Parameters
    ----------
    shift : Tensor (n_steps, n_images or 1, channels, rows, columns)
    timesteps : sequence of float (n_steps,)
    n_images : int
        Of a batch twice as large (classifier-free guidance) the second half, which is the conditional one, is edited.
    """
    step_of = {float(time): k for k, time in enumerate(timesteps)}

    def change(time: float, output: Tensor) -> Tensor:
        if time not in step_of:
            raise BrainalignError(
                f"the direction was found at {len(step_of)} steps, none of them {time:g}; call the pipeline with the "
                "scheduler and the num_inference_steps that it was found with"
            )
        mine = shift[step_of[time]].to(output)
        if len(output) not in (n_images, 2 * n_images):
            raise BrainalignError(f"an edit of {n_images} images cannot be made in a batch of {len(output)}")
        return torch.cat([output[:-n_images], output[-n_images:] + mine])

    with watched(pipe, change):
        yield


def denoised_at(pipe: BrainGuidedPipeline, recorded: Trajectories, step: int, rows: Sequence[int], h: Tensor) -> Tensor:
    """Return the denoised estimate (n, ...) of the latents as a function of the middle block's output.

    `h` (n, channels, rows, columns) takes the place, differentiably, of what the middle block put out for the images
    `rows` of `recorded`, which may occur more than once.
    """
    u, time = recorded.latents[step][list(rows)], recorded.timesteps[step]
    inputs = {
        name: _each(value, lambda tensor: tensor.to(pipe.unet.dtype).expand(len(u), *tensor.shape[1:]))
        for name, value in recorded.inputs.items()
    }
    with watched(pipe, lambda _, output: h.to(output)):
        output = pipe.unet(u.to(pipe.unet.dtype), torch.tensor(time, device=u.device), **inputs).sample
    to_x0, _ = PREDICTIONS[pipe.scheduler.config.get("prediction_type", "epsilon")]
    return to_x0(output.to(u), u, torch.tensor(recorded.alphas[step]).to(u))
