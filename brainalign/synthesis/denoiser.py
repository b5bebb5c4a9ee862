"""The network of a diffusion model with what it is told, and the way between its latents and pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, cat

__all__ = ["Denoiser"]


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
    """

    unet: Any
    vae: Any
    embeds: Tensor | None = None
    classifier_free_scale: float = 0.0

    def __call__(self, u: Tensor, t: Tensor) -> Tensor:
        """Return what the network says of its input at a time or times."""
        if self.embeds is None:
            output: Tensor = self.unet(u, t).sample
            return output
        if self.classifier_free_scale <= 1:
            conditioned: Tensor = self.unet(u, t, encoder_hidden_states=self.embeds).sample
            return conditioned
        empty, prompted = self.unet(cat([u, u]), t, encoder_hidden_states=self.embeds).sample.chunk(2)
        mixed: Tensor = empty + self.classifier_free_scale * (prompted - empty)
        return mixed

    def pixels(self, latents: Tensor) -> Tensor:
        """Return images, about in [-1, 1]."""
        if self.vae is None:
            return latents
        decoded: Tensor = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return decoded

    def images(self, latents: Tensor) -> Tensor:
        """Return images in [0, 1]."""
        return (self.pixels(latents) / 2 + 0.5).clamp(0, 1)

    def latents(self, images: Tensor) -> Tensor:
        """Return the latents of images in [0, 1]."""
        pixels = 2 * images - 1
        if self.vae is None:
            return pixels
        encoded = self.vae.encode(pixels)
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        scaled: Tensor = latents * self.vae.config.scaling_factor
        return scaled
