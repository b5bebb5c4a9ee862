"""Diffusion guided by a brain: at every step the clean image that the network sees moves where a region answers more.

One path for every scheduler. With u the noisy sample at unit variance, ā the share of signal, x0 and e what the network
makes of it, and s the objective (higher is better):

    w = √(1 − ā) x0 + (1 − √(1 − ā)) u        the image that is scored
    d = scale (1 − ā)/√ā ∇_u s(decode(w))     no longer than trust_radius (root mean square)
    x0 ← x0 + d                               and the scheduler steps with the prediction that says so

Without trust radius and clamp this is BrainDiVE, e ← e − √(1 − ā) scale ∇s.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DiffusionPipeline, UNet2DConditionModel, UNet2DModel
from diffusers.schedulers import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor, nn

from brainalign.checks import BrainalignError, check_choice
from brainalign.synthesis.codec import PixelShuffleCodec
from brainalign.synthesis.guidance_checks import check_call, check_folder, check_objective
from brainalign.synthesis.guided_output import GuidedOutput, converted
from brainalign.synthesis.noise import image_generators, initial_latents
from brainalign.synthesis.prediction import alpha_bar, check_scheduler, renoise
from brainalign.synthesis.prompts import Conditions, embed
from brainalign.synthesis.steering import Steering, score_images, steer, to_unit

__all__ = ["BrainGuidedPipeline", "GuidedOutput"]

Objective = Callable[[Tensor], Tensor]


class BrainGuidedPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Sample images of a diffusion model that raise an objective, such as the predicted response of a region.

    Parameters
    ----------
    unet : UNet2DModel or UNet2DConditionModel
    scheduler : SchedulerMixin
        DDIM, DDPM, PNDM, DPM++ (DPMSolverMultistep), Euler, Heun or LMS.
    vae : AutoencoderKL, AutoencoderTiny or PixelShuffleCodec, optional
        None where the network works on pixels in [-1, 1].
    text_encoder, tokenizer : optional
        Of a network that reads prompts; `prompt_embeds` replace them.

    References
    ----------
    Luo AF, Henderson MM, Wehbe L, Tarr MJ (2023). Brain diffusion for visual exploration: cortical discovery using
    large scale generative models. NeurIPS. arXiv:2306.03089
    Ye H, Lin H, Han J, et al. (2024). TFG: unified training-free guidance for diffusion models. NeurIPS.
    arXiv:2409.15761

    Examples
    --------
    >>> pipe = BrainGuidedPipeline.from_pretrained("data/prior")
    >>> output = pipe(objective, num_images=4, generator=torch.Generator().manual_seed(0))
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    _optional_components: ClassVar[list[str]] = ["vae", "text_encoder", "tokenizer"]

    def __init__(
        self,
        unet: UNet2DModel | UNet2DConditionModel,
        scheduler: SchedulerMixin,
        vae: AutoencoderKL | AutoencoderTiny | PixelShuffleCodec | None = None,
        text_encoder: nn.Module | None = None,
        tokenizer: object | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer)

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        *,
        dtype: torch.dtype = torch.float32,
        local_files_only: bool = False,
        trust_pickle: bool = False,
        **options: Any,
    ) -> BrainGuidedPipeline:
        """Load a folder or a model of the hub in the layout of diffusers: this pipeline's, DDIM's, Stable Diffusion's.

        Safety checkers and feature extractors are left out. Half-precision files become float32 unless `dtype` says
        otherwise. A folder is read without the network.

        Parameters
        ----------
        path_or_id : str or Path
        dtype : torch.dtype
        local_files_only : bool
            Take a model of the hub from the cache only.
        trust_pickle : bool
            Also load weights stored as pickle, which can run any code.
        **options
            Of `DiffusionPipeline.from_pretrained`, such as `variant="fp16"` or a component to be used instead.

        Raises
        ------
        BrainalignError
            If a path is not there, or the folder holds no pipeline.
        """
        check_folder(path_or_id)
        safely = None if trust_pickle else True
        try:
            return super().from_pretrained(  # type: ignore[no-any-return]
                str(path_or_id), dtype=dtype, local_files_only=local_files_only, use_safetensors=safely, **options
            )
        except OSError as error:
            hint = "" if trust_pickle else "; only safetensors are read unless trust_pickle=True"
            raise BrainalignError(f"no pipeline could be loaded from {path_or_id}: {error}{hint}") from error

    @torch.no_grad()
    def __call__(
        self,
        objective: Objective | None = None,
        num_images: int = 1,
        guidance_scale: float = 10.0,
        trust_radius: float = 0.2,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        num_inference_steps: int = 25,
        prompt: str | list[str] | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        classifier_free_scale: float = 0.0,
        recurrence: int = 1,
        n_smooth: int = 1,
        start: float = 0.0,
        stop: float = 1.0,
        grad_through_unet: bool = True,
        latents: Tensor | None = None,
        output_type: Literal["pt", "np", "pil"] = "pt",
        return_trace: bool = False,
    ) -> GuidedOutput:
        """Sample images; without an objective, or at scale 0, exactly those of diffusers' own pipelines.

        Parameters
        ----------
        objective : callable, optional
            float32 images (n, 3, H, W) in [0, 1] to scores (n,), differentiable.
        num_images : int
        guidance_scale : float
            Of the objective. It is not the scale of classifier-free guidance.
        trust_radius : float
            Largest root mean square by which a step moves the clean image, in its units (pixels within ±1); inf = none.
        generator : Generator or list of Generator, optional
            One for each image, so that an image does not depend on the batch it is in. From a single one (or
            torch's own) the seeds of the images are drawn first.
        num_inference_steps : int
        prompt : str or list of str, optional
            Needs a tokenizer. A network that reads prompts is given the empty text where there is none.
        prompt_embeds, negative_prompt_embeds : tensor (1 or n, n_tokens, d), optional
        classifier_free_scale : float
            The usual guidance by the prompt, 0 = off.
        recurrence : int
            How often a step is taken from renewed noise, at all but the last step. It costs as many times as much, and
            gives coherent images where single steps give fragments.
        n_smooth : int
            Over how many shifted, noisy copies of the image the gradient is averaged; 1 = the image itself.
        start, stop : float
            Share of the steps from which on, and up to which, there is guidance (and recurrence).
        grad_through_unet : bool
            False holds the network's output constant: half the cost, a poorer direction.
        latents : tensor (n, channels, h, w), optional
            Initial noise of unit variance.
        output_type : {"pt", "np", "pil"}
            Tensor (n, 3, H, W), array (n, H, W, 3) or images.
        return_trace : bool

        Returns
        -------
        GuidedOutput

        Raises
        ------
        BrainalignError
            Before sampling, if an argument, the scheduler or the objective does not fit; later, if scores are not
            finite.
        """
        check_choice("output_type", output_type, ("pt", "np", "pil"))
        steering = None
        if objective is not None and guidance_scale != 0:
            steering = Steering(objective, guidance_scale, trust_radius, n_smooth, grad_through_unet)
        check_call(self, num_images, num_inference_steps, recurrence, start, stop, steering is not None)
        self.scheduler.set_timesteps(num_inference_steps, device=self.device)
        check_scheduler(self.scheduler, recurrence)
        generators = image_generators(generator, num_images)
        conditions = embed(self, num_images, prompt, prompt_embeds, negative_prompt_embeds, classifier_free_scale)
        z = initial_latents(self, generators, latents)
        if steering is not None:
            check_objective(self, steering.objective, num_images)
        takes = inspect.signature(self.scheduler.step).parameters
        options = {"generator": generators} if "generator" in takes else {}
        n_steps = len(self.scheduler.timesteps)
        rows: list[pd.DataFrame] = []
        for index in self.progress_bar(range(n_steps)):
            inside = start * n_steps <= index < stop * n_steps
            repeats = recurrence if inside and index < n_steps - 1 else 1
            for repeat in range(repeats):
                last = repeat == repeats - 1
                output, row = self._prediction(z, index, conditions, steering if inside else None, generators)
                # A copy keeps the scheduler's place among the steps while the step is not the last of its kind.
                scheduler = self.scheduler if last else copy.copy(self.scheduler)
                t = self.scheduler.timesteps[index]
                z = scheduler.step(output, t, z, **options).prev_sample
                if not last:
                    noise = randn_tensor(z.shape, generator=generators, device=z.device, dtype=z.dtype)
                    z = renoise(z, noise, self.scheduler, index)
            if row is not None:
                rows.append(row)
        images = to_unit(self.decode(z)).clamp(0, 1).float()
        scores = torch.full((num_images,), torch.nan) if objective is None else score_images(objective, images).cpu()
        self.maybe_free_model_hooks()
        trace = pd.concat(rows, ignore_index=True) if return_trace and rows else None
        return GuidedOutput(converted(images, output_type), scores, trace)

    def decode(self, latents: Tensor) -> Tensor:
        """Return images in [-1, 1] of latents as the network has them; they may exceed the range."""
        if self.vae is None:
            return latents
        images: Tensor = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return images

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents of images in [-1, 1], in the network's units; the mode of an SD encoder."""
        if self.vae is None:
            return images
        encoded = self.vae.encode(images)
        mode: Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        latents: Tensor = mode * self.vae.config.scaling_factor
        return latents

    def predict(self, noisy: Tensor, timestep: Tensor, conditions: Conditions | None = None) -> Tensor:
        """Return the network's output for noisy samples of unit variance, after classifier-free guidance."""
        if conditions is None:
            output: Tensor = self.unet(noisy, timestep).sample
            return output
        if conditions.classifier_free_scale <= 0:
            output = self.unet(noisy, timestep, encoder_hidden_states=conditions.embeds).sample
            return output
        twice = timestep if timestep.ndim == 0 else torch.cat([timestep] * 2)
        output = self.unet(torch.cat([noisy] * 2), twice, encoder_hidden_states=conditions.embeds).sample
        negative, positive = output.chunk(2)
        return negative + conditions.classifier_free_scale * (positive - negative)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents."""
        size = self.unet.config.sample_size
        rows, columns = (size, size) if isinstance(size, int) else tuple(size)
        return int(self.unet.config.in_channels), int(rows), int(columns)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""
        _, rows, columns = self.latent_shape
        if isinstance(self.vae, PixelShuffleCodec):
            block = int(self.vae.config.block)
        else:
            block = 1 if self.vae is None else 2 ** (len(self.vae.config.block_out_channels) - 1)
        return rows * block, columns * block

    def _prediction(
        self,
        z: Tensor,
        index: int,
        conditions: Conditions | None,
        steering: Steering | None,
        generators: list[torch.Generator],
    ) -> tuple[Tensor, pd.DataFrame | None]:
        """Return the network's output at a step, steered where there is guidance, and the row of the trace."""
        t = self.scheduler.timesteps[index]
        noisy = self.scheduler.scale_model_input(z, t)
        if steering is None:
            return self.predict(noisy, t, conditions), None
        alpha = alpha_bar(self.scheduler, index)
        output, row = steer(self, steering, noisy, t, alpha, conditions, generators)
        row.insert(0, "step", index)
        row.insert(1, "timestep", float(t))
        row.insert(0, "image", np.arange(len(row)))
        return output, row
