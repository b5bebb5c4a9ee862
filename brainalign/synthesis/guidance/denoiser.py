"""The network of a diffusion model with what it is told, and the way between its latents and pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, cat, float16


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
        return float16 in (self.unet.dtype, None if self.vae is None else self.vae.dtype)

    def __call__(self, u: Tensor, t: Tensor) -> Tensor:
        """Apply the network to its input at a time or times, in the precision of the input."""
        if self.embeds is None:
            return self._network(u, t)
        told: dict[str, Any] = {"encoder_hidden_states": self.embeds}
        if self.added:
            told["added_cond_kwargs"] = self.added
        if self.classifier_free_scale <= 1:
            return self._network(u, t, **told)
        empty, prompted = self._network(cat([u, u]), t, **told).chunk(2)
        mixed: Tensor = empty + self.classifier_free_scale * (prompted - empty)
        return mixed

    def _network(self, u: Tensor, t: Tensor, **told: Any) -> Tensor:
        # Latents stay in single precision whatever the network works in: steps of a scheduler are small differences.
        output: Tensor = self.unet(u.to(self.unet.dtype), t, **told).sample
        return output.to(u.dtype)

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
        scaled: Tensor = latents.to(images.dtype) * self.vae.config.scaling_factor
        return scaled
