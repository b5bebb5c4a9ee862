"""Diffusion guided by an encoder of a brain region: every denoising step goes where the predicted response rises.

The gradient is taken through the network's estimate of the final image, and its effect on that estimate is bounded by a
trust region: without it the first steps, where almost no image is there yet, saturate.
"""

import inspect
from collections.abc import Callable
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
from torch import Tensor, float32, promote_types
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from brainalign.checks import BrainalignError, check_choice
from brainalign.study import loading_model
from brainalign.synthesis.guidance.codec import PixelShuffleCodec
from brainalign.synthesis.guidance.denoiser import (
    Denoiser,
    check_scheduler,
    previous_signal,
    prompt_embeddings,
    signal_shares,
)
from brainalign.synthesis.guidance.steering import Generators, Guide, Objective, Trace, check_scores


def _initial_noise(
    pipe: DiffusionPipeline, num_images: int, generator: Generators, latents: Tensor | None = None
) -> Tensor:
    """Return noise of unit variance (num_images, channels, rows, columns): `latents`, if given, or drawn."""
    if isinstance(generator, list) and len(generator) != num_images:
        raise BrainalignError(f"{num_images} images need a generator each; got {len(generator)}")
    sides = np.broadcast_to(pipe.unet.config.sample_size, 2).tolist()  # rows and columns, or one number for both
    shape = (num_images, pipe.unet.config.in_channels, *sides)
    dtype = promote_types(pipe.unet.dtype, float32)
    if latents is None:
        return randn_tensor(shape, generator=generator, device=pipe.device, dtype=dtype)
    if tuple(latents.shape) != shape:
        raise BrainalignError(f"initial noise must have the shape {shape}; got {tuple(latents.shape)}")
    return latents.to(pipe.device, dtype)


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
    text_encoder_2, tokenizer_2 : CLIPTextModelWithProjection, CLIPTokenizer, optional
        The second ones of Stable Diffusion XL.
    force_zeros_for_empty_prompt : bool
        With two encoders: where there is no prompt the network is told zeros, not the empty text.

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

    model_cpu_offload_seq = "text_encoder->text_encoder_2->unet->vae"
    _optional_components = ["vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"]  # noqa: RUF012 (diffusers' own)

    def __init__(
        self,
        unet: UNet2DModel | UNet2DConditionModel,
        scheduler: Any,
        vae: AutoencoderKL | PixelShuffleCodec | None = None,
        text_encoder: CLIPTextModel | None = None,
        tokenizer: CLIPTokenizer | None = None,
        text_encoder_2: CLIPTextModelWithProjection | None = None,
        tokenizer_2: CLIPTokenizer | None = None,
        force_zeros_for_empty_prompt: bool = True,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer)
        self.register_modules(text_encoder_2=text_encoder_2, tokenizer_2=tokenizer_2)
        self.register_to_config(force_zeros_for_empty_prompt=force_zeros_for_empty_prompt)
        self.own_scheduler = type(scheduler).__name__  # whatever samples later

    @classmethod
    def from_pretrained(
        cls,
        folder: str | PathLike[str],
        *,
        trust_pickle: bool = False,
        dtype: torch.dtype = torch.float32,
        **options: Any,
    ) -> "BrainGuidedPipeline":
        """Load a folder written by save_pretrained, any Stable Diffusion folder, or a hub id.

        Parameters
        ----------
        folder : str or path
            A folder never touches the network.
        trust_pickle : bool
            Also read weights that are pickles, which can run anything.
        **options
            Of `DiffusionPipeline.from_pretrained`.

        Raises
        ------
        BrainalignError
            If there is no such folder, or its weights cannot be read.
        """
        name, local = str(folder), Path(folder).is_dir()
        if not local and (Path(folder).is_absolute() or name.startswith(".") or name.count("/") != 1):
            raise BrainalignError(f"there is no folder {name!r} with a diffusion model; check the path")
        usual = {"use_safetensors": None if trust_pickle else True, "low_cpu_mem_usage": False}
        options = usual | {"local_files_only": local} | options
        layout = "in the layout of diffusers (model_index.json, unet/, scheduler/ ...)"
        remedy = f"Give a folder {layout} with safetensors; trust_pickle reads other weight files"
        with loading_model(f"a diffusion model from {name!r}", remedy):
            return super().from_pretrained(name, dtype=dtype, **options)

    def save_memory(self) -> None:
        """Compute activations twice instead of keeping them, and decode image by image: the same images, slower."""
        for part in (self.unet, self.vae):
            if getattr(part, "_supports_gradient_checkpointing", False):
                part.enable_gradient_checkpointing()
        if hasattr(self.vae, "enable_slicing"):
            self.vae.enable_slicing()

    @property
    def image_size(self) -> int:
        """Rows and columns of the images in pixels."""
        side = np.ravel(self.unet.config.sample_size)[0]
        if self.vae is None:
            return int(side)
        if isinstance(self.vae, PixelShuffleCodec):
            return int(side * self.vae.config.block)
        return int(side * 2 ** (len(self.vae.config.block_out_channels) - 1))

    def __call__(
        self,
        objective: Objective | None = None,
        num_images: int = 1,
        guidance_scale: float = 10.0,
        trust_radius: float = 0.2,
        generator: Generators = None,
        num_inference_steps: int = 25,
        prompt: str | list[str] | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        negative_prompt: str | list[str] | None = None,
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
        guidance_scale : float
            Of the objective, in standard deviations over natural images. Not that of classifier-free guidance.
        trust_radius : float
            Largest root mean square by which one step moves the estimate (pixels span 2); inf for none.
        generator : torch.Generator or list of them
            One per image makes an image independent of the others in its batch; a single one draws for all, as in
            diffusers.
        prompt : str or list of str, optional
            One for all images, or one for each.
        prompt_embeds, negative_prompt_embeds : tensor (1 or n, n_tokens, width), optional
            Instead of a prompt; a network that reads prompts is given the empty one without either.
        negative_prompt : str or list of str, optional
            What classifier-free guidance leads away from; the empty prompt where not given.
        classifier_free_scale : float
            Above 1: classifier-free guidance towards the prompt.
        recurrence : int
            How often a step is taken, from `start` to `stop` and but for the last one: noise is added again in between.
            It gives the estimate time to become an image.
        n_smooth : int
            Copies, shifted and noisy, that the gradient is averaged over.
        start, stop : float
            Share of the steps between which the objective guides, and steps are repeated.
        grad_through_unet : bool
            False holds the network's output constant: about half the time, weaker.
        latents : tensor, optional
            Initial noise of unit variance, instead of the generator's first draw.
        output_type : {"pt", "np", "pil"}

        Raises
        ------
        BrainalignError
            Before sampling: if a number is out of range, the scheduler is not supported, gradients are switched off for
            good (inference mode), the objective is not differentiable, has another shape or is NaN, or a prompt is
            missing or not wanted.
        """
        check_choice("output_type", output_type, ("pt", "np", "pil"))
        counts = {"num_images": num_images, "num_inference_steps": num_inference_steps, "recurrence": recurrence}
        for name, count in (counts | {"n_smooth": n_smooth}).items():
            if count < 1:
                raise BrainalignError(f"{name} must be at least 1; got {count}")
        if not 0 <= start <= stop <= 1:
            raise BrainalignError(
                f"start and stop are shares of the steps, 0 <= start <= stop <= 1; got {start}, {stop}"
            )
        if not trust_radius > 0:
            raise BrainalignError(f"trust_radius must be positive, inf for none; got {trust_radius}")
        check_scheduler(self.scheduler, recurrence)
        guided = objective is not None and guidance_scale != 0
        _check_components(self, guided)
        denoiser = self.denoiser(
            num_images, prompt, prompt_embeds, negative_prompt_embeds, classifier_free_scale, negative_prompt
        )
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(0)  # where two steps have one time it would begin with the second
        shares = signal_shares(self.scheduler).to(self.device, torch.promote_types(self.unet.dtype, torch.float32))
        z = _initial_noise(self, num_images, generator, latents) * self.scheduler.init_noise_sigma
        guide, trace = None, Trace(return_trace)
        steps = range(*(round(share * len(self.scheduler.timesteps)) for share in (start, stop)))
        if objective is not None and guided:
            _check_objective(objective, num_images, self.image_size, self.device)
            how = (guidance_scale, trust_radius, steps, n_smooth, grad_through_unet)
            guide = Guide(objective, *how, generator, trace)
        with torch.no_grad():
            for i, t in enumerate(self.progress_bar(self.scheduler.timesteps)):
                z = self._step(denoiser, guide, z, t, i, shares[i], recurrence if i in steps else 1, generator)
            images = denoiser.images(z)
            scores = None if objective is None else check_scores(objective(images.float()), num_images)
        found: Any = images
        if output_type != "pt":
            arrays = images.cpu().permute(0, 2, 3, 1).float().numpy()
            found = arrays if output_type == "np" else DiffusionPipeline.numpy_to_pil(np.asarray(arrays))
        return GuidedOutput(images=found, scores=scores, trace=trace.table())

    def denoiser(
        self,
        num_images: int,
        prompt: str | list[str] | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        classifier_free_scale: float = 0.0,
        negative_prompt: str | list[str] | None = None,
    ) -> Denoiser:
        """Return the network with what it is told of so many images; parameters as of a call."""
        embeds, added = prompt_embeddings(
            self, num_images, prompt, prompt_embeds, negative_prompt_embeds, classifier_free_scale, negative_prompt
        )
        return Denoiser(self.unet, self.vae, embeds, classifier_free_scale, added)

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


def _check_components(pipe: DiffusionPipeline, guided: bool) -> None:
    """Raise where the models cannot be sampled from, or not be differentiated."""
    pixels = pipe.vae is None or isinstance(pipe.vae, PixelShuffleCodec)
    if not pixels and pipe.scheduler.config.get("clip_sample", False):
        raise BrainalignError(
            "the scheduler clips samples to a range of pixels, but these are latents of an autoencoder; "
            "pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)"
        )
    if not guided:
        return
    if torch.is_inference_mode_enabled() or any(weight.is_inference() for weight in pipe.unet.parameters()):
        raise BrainalignError(
            "guidance needs gradients, which inference_mode switches off for good; load and call the pipeline outside "
            "of it (torch.no_grad does no harm)"
        )
    if any(hasattr(part, "_hf_hook") for part in (pipe.unet, pipe.vae)):
        raise BrainalignError(
            "the models are offloaded between calls, which loses gradients; use pipe.to(device) with "
            "pipe.save_memory() instead"
        )


def _check_objective(objective: Callable[[Tensor], Tensor], n_images: int, size: int, device: torch.device) -> None:
    """Score noise once: an objective that cannot be used fails before the sampling."""
    # Its own noise: the images' generators are left as they are.
    noise = torch.rand(n_images, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.enable_grad():
        try:
            scores = objective(noise.requires_grad_())
        except RuntimeError as error:
            raise BrainalignError(
                f"the objective fails on images of shape {tuple(noise.shape)}, which is what this diffusion model "
                f"makes: {error}"
            ) from error
    check_scores(scores, n_images)
    if not scores.requires_grad:
        raise BrainalignError(
            "the objective is not differentiable: its score does not depend on the image through torch; leave out "
            "no_grad, detach and numpy, and use an encoder whose features are a torch module"
        )
