"""The network of a diffusion model with what it is told, and the way between its latents and pixels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from brainalign.checks import BrainalignError, check_shape

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

Added = dict[str, Tensor]
KINDS = (None, "text", "text_time")  # what a network may be told besides its text (`addition_embed_type`)


@dataclass(frozen=True)
class Denoiser:
    """A network, its autoencoder and the prompt of one call.

    Parameters
    ----------
    unet : UNet2DModel or UNet2DConditionModel
    vae : AutoencoderKL, PixelShuffleCodec or None
        None where the network works on pixels.
    embeds : tensor (n or 2n, n_tokens, width) or None
        Of the prompt; with classifier-free guidance those of the empty prompt come first.
    classifier_free_scale : float
        Above 1: o = o_empty + scale (o_prompt − o_empty).
    added : mapping of tensors, optional
        What the network is told besides (`added_cond_kwargs`): in Stable Diffusion XL the pooled text and sizes.
    """

    unet: Any
    vae: Any
    embeds: Tensor | None = None
    classifier_free_scale: float = 0.0
    added: Mapping[str, Tensor] | None = None

    @property
    def overflows(self) -> bool:
        """Whether a part works in float16, in which gradients vanish or overflow unless they are scaled."""
        return torch.float16 in (self.unet.dtype, None if self.vae is None else self.vae.dtype)

    def __call__(self, u: Tensor, t: Tensor) -> Tensor:
        """Apply the network to its input at a time or times, in the precision of the input."""
        if self.embeds is None:
            return self._network(u, t)
        told: dict[str, Any] = {"encoder_hidden_states": self.embeds}
        if self.added:
            told["added_cond_kwargs"] = self.added
        if self.classifier_free_scale <= 1:
            return self._network(u, t, **told)
        empty, prompted = self._network(torch.cat([u, u]), t, **told).chunk(2)
        return empty + self.classifier_free_scale * (prompted - empty)

    def _network(self, u: Tensor, t: Tensor, **told: Any) -> Tensor:
        # Latents stay in single precision whatever the network works in: steps of a scheduler are small differences.
        return self.unet(u.to(self.unet.dtype), t, **told).sample.to(u.dtype)

    def pixels(self, latents: Tensor) -> Tensor:
        """Return images, about in [-1, 1]."""
        if self.vae is None:
            return latents
        decoded: Tensor = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.vae.dtype)).sample
        return decoded.to(latents.dtype)

    def images(self, latents: Tensor) -> Tensor:
        """Return images in [0, 1]."""
        return (self.pixels(latents) / 2 + 0.5).clamp(0, 1)

    def latents(self, images: Tensor) -> Tensor:
        """Return the latents of images in [0, 1]."""
        pixels = 2 * images - 1
        if self.vae is None:
            return pixels
        encoded = self.vae.encode(pixels.to(self.vae.dtype))
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        return latents.to(images.dtype) * self.vae.config.scaling_factor


def prompt_embeddings(
    pipe: "DiffusionPipeline",
    num_images: int,
    prompt: str | list[str] | None = None,
    embeds: Tensor | None = None,
    negative: Tensor | None = None,
    classifier_free_scale: float = 0.0,
    negative_prompt: str | list[str] | None = None,
) -> tuple[Tensor | None, Added | None]:
    """Compute prompt embeddings (n or 2n, n_tokens, width) and added conditions; None where no prompt is read.

    Stable Diffusion XL is told the states of both encoders side by side, the pooled text of the second one, and the
    sizes of images (`text_embeds`, `time_ids`); no prompt at all is zeros where it was trained so
    (`force_zeros_for_empty_prompt`).
    """
    if "cross_attention_dim" not in pipe.unet.config:
        if prompt is not None or embeds is not None or negative_prompt is not None or classifier_free_scale > 0:
            raise BrainalignError(
                "this diffusion model reads no prompt; leave out prompt, prompt_embeds and classifier_free_scale"
            )
        return None, None
    kind = pipe.unet.config.get("addition_embed_type")
    if kind not in KINDS:
        raise BrainalignError(
            f"this diffusion model is told {kind!r} besides text, which guidance cannot give it; take a Stable "
            "Diffusion, or a Stable Diffusion XL base"
        )
    if kind == "text_time" and (embeds is not None or negative is not None):
        raise BrainalignError(
            "this diffusion model (Stable Diffusion XL) is told pooled texts too, which prompt_embeds are not; give a "
            "prompt and negative_prompt"
        )
    if prompt is not None and embeds is not None:
        raise BrainalignError("give a prompt or prompt_embeds, not both")
    if negative_prompt is not None and (negative is not None or classifier_free_scale <= 1):
        raise BrainalignError(
            "a negative prompt is for classifier-free guidance: give classifier_free_scale above 1, and no "
            f"negative_prompt_embeds; got {classifier_free_scale:g}"
        )
    given, pooled = _encoded(pipe, prompt) if embeds is None else (embeds, None)
    told, texts = _for_each(pipe, given, num_images), [pooled]
    if classifier_free_scale <= 1:
        return told, _added(pipe, texts, num_images)
    given, pooled = _encoded(pipe, negative_prompt) if negative is None else (negative, None)
    empty, texts = _for_each(pipe, given, num_images), [pooled, *texts]
    check_shape("what is not wanted", empty.shape, told.shape, "prompts have", "both must have as many tokens")
    return torch.cat([empty, told]), _added(pipe, texts, num_images)


def _for_each(pipe: "DiffusionPipeline", embeds: Tensor, num_images: int) -> Tensor:
    width = pipe.unet.config.cross_attention_dim
    if embeds.ndim != 3 or embeds.shape[0] not in (1, num_images) or embeds.shape[2] != width:
        raise BrainalignError(
            f"prompts of {num_images} images are (1 or {num_images}, n_tokens, {width}); got {tuple(embeds.shape)}"
        )
    return embeds.to(pipe.device, pipe.unet.dtype).expand(num_images, -1, -1)


def _added(pipe: "DiffusionPipeline", pooled: list[Tensor | None], num_images: int) -> Added | None:
    """Return pooled texts, and sizes of images that were neither scaled nor cropped; None where they are not read."""
    if pipe.unet.config.get("addition_embed_type") != "text_time":
        return None
    texts = torch.cat([text.expand(num_images, -1) for text in pooled if text is not None])
    size = pipe.image_size
    sizes = torch.tensor([size, size, 0, 0, size, size])  # original, corner of the crop, target
    reads = pipe.unet.add_embedding.linear_1.in_features
    if reads != texts.shape[1] + len(sizes) * pipe.unet.config.addition_time_embed_dim:
        raise BrainalignError(
            f"this diffusion model reads {reads} numbers besides the prompt, which are not {texts.shape[1]} of a "
            f"pooled text and {pipe.unet.config.addition_time_embed_dim} for each of {len(sizes)} sizes; take a Stable "
            "Diffusion XL base, not a refiner"
        )
    of_each = {"text_embeds": texts, "time_ids": sizes.expand(len(texts), -1)}
    return {name: values.to(pipe.device, pipe.unet.dtype) for name, values in of_each.items()}


@torch.no_grad()
def _encoded(pipe: "DiffusionPipeline", text: str | list[str] | None) -> tuple[Tensor, Tensor | None]:
    """Embed text as Stable Diffusion does, padded to the longest, and pool it where there are two encoders."""
    two = pipe.unet.config.get("addition_embed_type") == "text_time"
    pairs = [(pipe.tokenizer, pipe.text_encoder), *[(pipe.tokenizer_2, pipe.text_encoder_2)] * two]
    if any(part is None for pair in pairs for part in pair):
        raise BrainalignError(
            "this diffusion model (Stable Diffusion XL) reads prompts by two text encoders, and came without one of "
            "them; load text_encoder, tokenizer, text_encoder_2 and tokenizer_2 too"
            if two
            else "this diffusion model reads prompts but came without a text encoder; give prompt_embeds (and "
            "negative_prompt_embeds for classifier-free guidance)"
        )
    said = []
    for tokenizer, encoder in pairs:
        length = {"padding": "max_length", "max_length": tokenizer.model_max_length, "truncation": True}
        tokens = tokenizer("" if text is None else text, return_tensors="pt", **length).input_ids
        said.append(encoder(tokens.to(pipe.device), output_hidden_states=two))
    if not two:
        return said[0][0], None
    # The last layer of these encoders was not trained against; the pooled text is the second one's projection.
    states, pooled = torch.cat([each.hidden_states[-2] for each in said], dim=-1), said[1].text_embeds
    if text is None and pipe.config.get("force_zeros_for_empty_prompt", True):
        return torch.zeros_like(states), torch.zeros_like(pooled)
    return states, pooled


def _noise(x0: Tensor, u: Tensor, a: Tensor) -> Tensor:
    return (u - a.sqrt() * x0) / (1 - a).sqrt()


Algebra = Callable[[Tensor, Tensor, Tensor], Tensor]

# By what the network predicts: its output to x₀, and x₀ to that output; arguments (output or x₀, u, ā).
PREDICTIONS: dict[str, tuple[Algebra, Algebra]] = {
    "epsilon": (lambda o, u, a: (u - (1 - a).sqrt() * o) / a.sqrt(), _noise),
    "v_prediction": (
        lambda o, u, a: a.sqrt() * u - (1 - a).sqrt() * o,
        lambda x0, u, a: a.sqrt() * _noise(x0, u, a) - (1 - a).sqrt() * x0,
    ),
    "sample": (lambda o, u, a: o, lambda x0, u, a: x0),
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
WITHOUT_SAMPLE = ("PNDMScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler")
RECURRENT = ("DDIMScheduler", "DDPMScheduler")  # remember nothing of earlier steps, so that one can be repeated


def check_scheduler(scheduler: Any, recurrence: int) -> None:
    """Raise where guidance does not know what a scheduler's steps mean."""
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
        # A zero of "zero-terminal SNR" divides the noise; diffusers' own steps with sigmas take this in its place.
        return torch.as_tensor(scheduler.alphas_cumprod)[scheduler.timesteps.long().cpu()].clamp_min(2**-24)
    return 1 / (1 + torch.as_tensor(scheduler.sigmas).cpu()[: len(scheduler.timesteps)] ** 2)


def previous_signal(scheduler: Any, timestep: int) -> Tensor | None:
    """Return ā after the step from `timestep`; None where that is the last one."""
    if type(scheduler).__name__ == "DDPMScheduler":
        before = int(scheduler.previous_timestep(timestep))
    else:
        before = timestep - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    return None if before < 0 else torch.as_tensor(scheduler.alphas_cumprod)[before]
