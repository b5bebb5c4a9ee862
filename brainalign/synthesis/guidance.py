"""Diffusion guided by an encoder of a brain region: every denoising step goes where the predicted response rises.

The gradient is taken through the network's estimate of the final image, and its effect on that estimate is bounded by a
trust region: without it the first steps, where almost no image is there yet, saturate.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel, UNet2DModel
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from brainalign.checks import BrainalignError, check_choice
from brainalign.synthesis.codec import PixelShuffleCodec
from brainalign.synthesis.denoiser import Denoiser
from brainalign.synthesis.prediction import check_scheduler, previous_signal, signal_shares
from brainalign.synthesis.steering import Generators, Guide, Objective, Trace

__all__ = ["BrainGuidedPipeline", "GuidedOutput"]


@dataclass
class GuidedOutput(BaseOutput):  # type: ignore[misc]
    """Images, their scores, and what every step did.

    Attributes
    ----------
    images : tensor (n, 3, H, W) in [0, 1], array (n, H, W, 3), or list of PIL images
    scores : tensor (n,), or None without an objective
    trace : DataFrame or None
        image, step, timestep, score, grad_rms, d_rms, clipped (whether the trust radius held it), nonfinite.
    """

    images: Any
    scores: Tensor | None
    trace: pd.DataFrame | None


class BrainGuidedPipeline(DiffusionPipeline):  # type: ignore[misc]
    """A diffusion model whose samples an objective guides; without one it samples as diffusers does, bit for bit.

    Per step, with o the network's output at u, ā the share of signal, x₀ the estimate of the end:

        w = √(1 − ā) x₀ + (1 − √(1 − ā)) u ;  g = ∂ Σ s(decode(w)) / ∂u ;  d = scale (1 − ā)/√ā g
        x₀' = x₀ + d min(1, τ / rms(d))

    and the scheduler is given the output that means x₀'. With τ infinite this is the update of BrainDiVE.

    Parameters
    ----------
    unet : UNet2DModel or UNet2DConditionModel
    scheduler : scheduler
        DDIM, DDPM, PNDM, DPM++, Euler, Heun or LMS, predicting epsilon, v or the sample.
    vae : AutoencoderKL or PixelShuffleCodec, optional
        None where the network works on pixels.
    text_encoder, tokenizer : CLIPTextModel, CLIPTokenizer, optional
        For networks that read a prompt.

    References
    ----------
    Luo A, Henderson MM, Wehbe L, Tarr MJ (2023). Brain diffusion for visual exploration: cortical discovery using large
    scale generative models. NeurIPS. arXiv:2306.03089
    Ye H, et al. (2024). TFG: unified training-free guidance for diffusion models. NeurIPS. arXiv:2409.15761: recurrence

    Examples
    --------
    >>> pipe = BrainGuidedPipeline.from_pretrained("data/prior")
    >>> seeds = [torch.Generator().manual_seed(seed) for seed in range(8)]
    >>> pipe(objective, num_images=8, generator=seeds, recurrence=3).images.shape
    torch.Size([8, 3, 32, 32])
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    _optional_components = ["vae", "text_encoder", "tokenizer"]  # noqa: RUF012 (diffusers' own)

    def __init__(
        self,
        unet: UNet2DModel | UNet2DConditionModel,
        scheduler: Any,
        vae: AutoencoderKL | PixelShuffleCodec | None = None,
        text_encoder: CLIPTextModel | None = None,
        tokenizer: CLIPTokenizer | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | PathLike[str],
        *,
        trust_pickle: bool = False,
        dtype: torch.dtype = torch.float32,
        **options: Any,
    ) -> BrainGuidedPipeline:
        """Load a folder written by save_pretrained, any Stable Diffusion folder, or a hub id.

        Parameters
        ----------
        folder : str or path
            A folder never touches the network.
        trust_pickle : bool
            Also read weights that are pickles, which can run anything.
        dtype : torch.dtype
        **options
            Of `DiffusionPipeline.from_pretrained`.

        Raises
        ------
        BrainalignError
            If there is no such folder, or its weights cannot be read.
        """
        name = str(folder)
        local = Path(folder).is_dir()
        if not local and (Path(folder).is_absolute() or name.startswith(".") or name.count("/") != 1):
            raise BrainalignError(f"there is no folder {name!r} with a diffusion model; check the path")
        options = {
            "use_safetensors": None if trust_pickle else True,
            "local_files_only": local,
            "low_cpu_mem_usage": False,
        } | options
        try:
            return super().from_pretrained(name, dtype=dtype, **options)  # type: ignore[no-any-return]
        except (OSError, ValueError, RuntimeError) as error:
            raise BrainalignError(
                f"cannot load a diffusion model from {name!r}: {str(error).splitlines()[0]}. Give a folder in the "
                "layout of diffusers (model_index.json, unet/, scheduler/ ...) with safetensors; trust_pickle reads "
                "other weight files"
            ) from error

    @property
    def image_size(self) -> int:
        """Rows and columns of the images in pixels."""
        size = self.unet.config.sample_size
        side = size if isinstance(size, int) else size[0]
        return int(side * self._decoded_per_latent)

    @property
    def _decoded_per_latent(self) -> int:
        if self.vae is None:
            return 1
        if isinstance(self.vae, PixelShuffleCodec):
            return int(self.vae.config.block)
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def __call__(
        self,
        objective: Objective | None = None,
        num_images: int = 1,
        guidance_scale: float = 10.0,
        trust_radius: float = 0.2,
        generator: Generators = None,
        num_inference_steps: int = 25,
        prompt: str | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        classifier_free_scale: float = 0.0,
        recurrence: int = 1,
        n_smooth: int = 1,
        start: float = 0.0,
        stop: float = 1.0,
        grad_through_unet: bool = True,
        latents: Tensor | None = None,
        output_type: str = "pt",
        return_trace: bool = False,
    ) -> GuidedOutput:
        """Sample images.

        Parameters
        ----------
        objective : callable, optional
            Images (n, 3, H, W) in [0, 1] to a score each, differentiable; `RegionObjective`. None or a scale of 0: no
            guidance.
        num_images : int
        guidance_scale : float
            Of the objective, which is in standard deviations over natural images. Not classifier-free guidance.
        trust_radius : float
            Largest root mean square by which one step moves the estimate (pixels span 2); inf for none.
        generator : torch.Generator or list of them
            One per image makes an image independent of the others in its batch; a single one draws for all, as in
            diffusers.
        num_inference_steps : int
        prompt : str, optional
        prompt_embeds, negative_prompt_embeds : tensor (1 or n, n_tokens, width), optional
            Instead of a prompt; a network that reads prompts is given the empty one without either.
        classifier_free_scale : float
            Above 1: classifier-free guidance towards the prompt.
        recurrence : int
            How often a step is taken: noise is added again in between. It gives the estimate time to become an image.
        n_smooth : int
            Copies, shifted and noisy, that the gradient is averaged over.
        start, stop : float
            Share of the steps between which the objective guides.
        grad_through_unet : bool
            False holds the network's output constant: about half the time, weaker.
        latents : tensor, optional
            Initial noise of unit variance, instead of the generator's first draw.
        output_type : {"pt", "np", "pil"}
        return_trace : bool

        Raises
        ------
        BrainalignError
            If the scheduler is not supported, gradients are switched off for good (inference mode), the objective is
            not differentiable, has another shape or is NaN, or a prompt is missing or not wanted.
        """
        check_choice("output_type", output_type, ("pt", "np", "pil"))
        check_scheduler(self.scheduler, recurrence)
        guided = objective is not None and guidance_scale != 0
        self._check_call(num_images, generator, guided)
        denoiser = self.denoiser(num_images, prompt, prompt_embeds, negative_prompt_embeds, classifier_free_scale)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)
        shares = signal_shares(self.scheduler).to(self.device, torch.float32)
        z = self._initial(num_images, generator, latents) * self.scheduler.init_noise_sigma
        guide, trace = None, Trace(return_trace)
        if objective is not None and guided:
            last = len(self.scheduler.timesteps)
            steps = range(round(start * last), round(stop * last))
            how = (guidance_scale, trust_radius, steps, n_smooth, grad_through_unet)
            guide = Guide(objective, *how, generator, trace)
        with torch.no_grad():
            for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
                z = self._step(denoiser, guide, z, t, i, shares[i], recurrence, generator)
            images = denoiser.images(z)
            scores = None if objective is None else objective(images.float())
        return GuidedOutput(images=_as_type(images, output_type), scores=scores, trace=trace.table())

    def denoiser(
        self,
        num_images: int,
        prompt: str | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        classifier_free_scale: float = 0.0,
    ) -> Denoiser:
        """Return the network with what it is told of so many images; parameters as of a call.

        Raises
        ------
        BrainalignError
            If a prompt is missing or not wanted.
        """
        embeds = self._embeddings(prompt, prompt_embeds, negative_prompt_embeds, classifier_free_scale, num_images)
        return Denoiser(self.unet, self.vae, embeds, classifier_free_scale)

    def _step(
        self,
        denoiser: Denoiser,
        guide: Guide | None,
        z: Tensor,
        t: Tensor,
        i: int,
        share: Tensor,
        recurrence: int,
        generator: Generators,
    ) -> Tensor:
        """Return the latents after a step, which is taken `recurrence` times where another one follows."""
        takes = inspect.signature(self.scheduler.step).parameters
        extra = {"generator": generator} if "generator" in takes else {}
        after = previous_signal(self.scheduler, int(t)) if recurrence > 1 else None
        for repeat in range(1 if after is None else recurrence):
            if repeat and after is not None:
                kept = share / after.to(share)
                fresh = randn_tensor(z.shape, generator=generator, device=self.device, dtype=z.dtype)
                z = kept.sqrt() * z + (1 - kept).sqrt() * fresh
            u = self.scheduler.scale_model_input(z, t)
            if guide is not None and i in guide.steps:
                o = guide.output(denoiser, u, t, share, i, self.scheduler.config)
            else:
                o = denoiser(u, t)
            z = self.scheduler.step(o, t, z, **extra).prev_sample
        return z

    def _check_call(self, num_images: int, generator: Generators, guided: bool) -> None:
        if isinstance(generator, list) and len(generator) != num_images:
            raise BrainalignError(f"{num_images} images need a generator each; got {len(generator)}")
        if guided and torch.is_inference_mode_enabled():
            raise BrainalignError(
                "guidance needs gradients, which inference_mode switches off for good; use torch.no_grad or nothing"
            )
        if isinstance(self.vae, AutoencoderKL) and self.scheduler.config.get("clip_sample", False):
            raise BrainalignError(
                "the scheduler clips samples to a range of pixels, but these are latents of an autoencoder; set "
                "clip_sample=False in the scheduler's configuration"
            )

    def _initial(self, num_images: int, generator: Generators, latents: Tensor | None) -> Tensor:
        size = self.unet.config.sample_size
        rows, columns = (size, size) if isinstance(size, int) else size
        shape = (num_images, self.unet.config.in_channels, rows, columns)
        if latents is None:
            noise: Tensor = randn_tensor(shape, generator=generator, device=self.device, dtype=self.unet.dtype)
            return noise
        if tuple(latents.shape) != shape:
            raise BrainalignError(f"initial noise must have the shape {shape}; got {tuple(latents.shape)}")
        return latents.to(self.device, self.unet.dtype)

    def _embeddings(
        self,
        prompt: str | None,
        embeds: Tensor | None,
        negative: Tensor | None,
        classifier_free_scale: float,
        num_images: int,
    ) -> Tensor | None:
        """Return what the network is told, (n or 2n, n_tokens, width); None where it reads no prompt."""
        if not isinstance(self.unet, UNet2DConditionModel):
            if prompt is not None or embeds is not None:
                raise BrainalignError("this diffusion model reads no prompt; leave it out")
            return None
        embeds = self._encoded(prompt or "") if embeds is None else embeds
        embeds = embeds.to(self.device, self.unet.dtype).expand(num_images, -1, -1)
        if classifier_free_scale <= 1:
            return embeds
        negative = self._encoded("") if negative is None else negative
        return torch.cat([negative.to(embeds).expand(num_images, -1, -1), embeds])

    def _encoded(self, text: str) -> Tensor:
        if self.tokenizer is None or self.text_encoder is None:
            raise BrainalignError(
                "this diffusion model reads prompts but came without a text encoder; give prompt_embeds (and "
                "negative_prompt_embeds for classifier-free guidance)"
            )
        tokens = self.tokenizer(
            text, padding="max_length", max_length=self.tokenizer.model_max_length, truncation=True, return_tensors="pt"
        )
        with torch.no_grad():
            encoded: Tensor = self.text_encoder(tokens.input_ids.to(self.device))[0]
        return encoded


def _as_type(images: Tensor, output_type: str) -> Any:
    if output_type == "pt":
        return images
    arrays = images.cpu().permute(0, 2, 3, 1).float().numpy()
    return arrays if output_type == "np" else DiffusionPipeline.numpy_to_pil(np.asarray(arrays))
