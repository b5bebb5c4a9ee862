"""One guided step: the gradient of an objective through the estimate of the final image, within a trust region."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from brainalign.checks import BrainalignError
from brainalign.synthesis.guidance.denoiser import PREDICTIONS, Denoiser

Objective = Callable[[Tensor], Tensor]
Generators = torch.Generator | list[torch.Generator] | None

SMALLEST_RMS = 1e-8
ENTRIES = (0, -6, -12)  # powers of 2 with which gradients enter networks in float16, until they do not overflow
JITTER = 0.05  # noise of the copies that a smoothed gradient is averaged over; they are also shifted by up to a pixel


@dataclass
class Trace:
    """What every guided step did to every image."""

    wanted: bool
    rows: list[pd.DataFrame] = field(default_factory=list)

    def add(self, step: int, t: Tensor, **values: Tensor) -> None:
        """Note one step; values are one per image."""
        if self.wanted:
            found = {name: value.cpu().numpy() for name, value in values.items()}
            rows = pd.DataFrame({"step": step, "timestep": float(t)} | found)
            self.rows.append(rows.rename_axis("image").reset_index())

    def table(self) -> pd.DataFrame | None:
        """Return image, step, timestep and what was noted; None where nothing was."""
        return pd.concat(self.rows, ignore_index=True) if self.rows else None


@dataclass(frozen=True)
class Guide:
    """What guides one call of a pipeline; see `BrainGuidedPipeline`."""

    objective: Objective
    scale: float
    radius: float
    steps: range
    n_smooth: int
    through_network: bool
    generator: Generators
    trace: Trace

    def output(
        self, denoiser: Denoiser, u: Tensor, t: Tensor, a: Tensor, step: int, config: Mapping[str, Any]
    ) -> Tensor:
        """Return the network's output that means the guided estimate x₀'.

        `u` (n, channels, rows, columns) is the network's input, `t` the timestep and `a` the share of signal, ā. The
        config of the scheduler says what the network predicts, and whether x₀ is clipped.
        """
        to_x0, to_output = PREDICTIONS[config.get("prediction_type", "epsilon")]
        with torch.enable_grad(), torch.autocast(u.device.type, enabled=False):
            u = u.detach().requires_grad_()
            with torch.set_grad_enabled(self.through_network):
                o = denoiser(u, t)
            x0 = to_x0(o, u, a)
            w = (1 - a).sqrt() * x0 + (1 - (1 - a).sqrt()) * u
            images = clamped_images(denoiser, w)
            copies = [images] if self.n_smooth == 1 else [_shaken(images, self.generator) for _ in range(self.n_smooth)]
            scores = torch.stack([check_scores(self.objective(copy), len(images)) for copy in copies]).mean(dim=0)
            g = score_gradient(denoiser, scores, images, u)
        nonfinite = (~g.isfinite()).flatten(1).sum(dim=1)
        g = g.nan_to_num(0.0, 0.0, 0.0)
        d = self.scale * (1 - a) / a.sqrt() * g
        size = _rms(d).clamp_min(SMALLEST_RMS)
        d = d * (self.radius / size).clamp_max(1.0)[:, None, None, None]
        moved = x0.detach() + d
        if config.get("clip_sample", False):
            moved = moved.clamp(-config["clip_sample_range"], config["clip_sample_range"])
        measures = {"score": scores.detach(), "grad_rms": _rms(g), "d_rms": _rms(d), "clipped": size > self.radius}
        self.trace.add(step, t, **measures, nonfinite=nonfinite)
        return to_output(moved, u.detach(), a)


def clamped_images(denoiser: Denoiser, latents: Tensor) -> Tensor:
    """Return images in [0, 1], through which the gradient passes also where they are saturated."""
    pixels = denoiser.pixels(latents)
    if pixels.dtype != torch.float64:
        pixels = pixels.float()  # half precision becomes single
    images = pixels / 2 + 0.5
    # Saturated pixels must be able to come back. The difference is 0, or nothing for infinite ones.
    return images.detach().clamp(0, 1) + (images - images.detach()).nan_to_num()


def check_scores(scores: Tensor, n_images: int) -> Tensor:
    """Return scores if there is a finite one for each image."""
    if not isinstance(scores, Tensor) or scores.shape != (n_images,):
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise BrainalignError(
            f"an objective gives a tensor with one score per image; for {n_images} images it gave {got}"
        )
    if bad := (~scores.detach().isfinite()).nonzero()[:, 0].tolist():
        kind = "NaN" if scores.detach().isnan().any() else "infinite"
        raise BrainalignError(
            f"the objective is {kind} for image(s) {bad[:8]}; look for NaN in the encoder's weights, or a logarithm or "
            "division of its features"
        )
    return scores


def score_gradient(denoiser: Denoiser, scores: Tensor, images: Tensor, u: Tensor) -> Tensor:
    """Return ∂ Σ s / ∂u, also where a network works in float16, of which all numbers are between 6e-8 and 65,504.

    A backward pass is linear, and images are independent: each one's gradient enters the networks with a largest entry
    of 1 and is brought back to its size afterwards, in single precision. Where it overflows, it enters smaller.
    """
    if not denoiser.overflows:
        return torch.autograd.grad(scores.sum(), u)[0]
    (of_images,) = torch.autograd.grad(scores.sum(), images, retain_graph=True)
    size = of_images.flatten(1).abs().amax(dim=1).clamp_min(torch.finfo(of_images.dtype).tiny)[:, None, None, None]
    for power in ENTRIES:
        (g,) = torch.autograd.grad(images, u, of_images / size * 2.0**power, retain_graph=True)
        if g.isfinite().all():
            break
    return g * size / 2.0**power


def _rms(values: Tensor) -> Tensor:
    return values.flatten(1).square().mean(dim=1).sqrt()


def _shaken(images: Tensor, generator: Generators) -> Tensor:
    """Return images shifted by up to a pixel, with noise; drawn image by image."""
    from diffusers.utils.torch_utils import randn_tensor

    noise = randn_tensor(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    # Two values of the noise say where to: no draw of another kind is needed.
    shifts = noise[:, 0, 0, :2].clamp(-1.49, 1.49).round().long().tolist()
    moved = torch.stack([image.roll(shift, dims=(1, 2)) for image, shift in zip(images, shifts, strict=True)])
    return moved + JITTER * noise
