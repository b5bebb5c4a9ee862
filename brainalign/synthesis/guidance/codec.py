"""Images as latents of a pixel-space diffusion model: every 2 × 2 block of pixels becomes channels of one.

It has the interface of a variational autoencoder, so that pixels and the latents of Stable Diffusion take one path.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTinyOutput
from diffusers.models.autoencoders.vae import DecoderOutput
from torch import Tensor
from torch.nn import functional


class PixelShuffleCodec(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Lossless codec: (n, 3, H, W) in [-1, 1] to latents (n, 3 block², H / block, W / block) and back.

    A network on a grid of half the size costs a quarter, and loses nothing. `block` is the pixels per side that become
    channels; `scaling_factor` as of an AutoencoderKL: latents here need none.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, block: int = 2, scaling_factor: float = 1.0) -> None:
        super().__init__()
        # A model without a tensor writes no weight file, and what has none cannot be loaded again.
        self.register_buffer("version", torch.ones(1))

    def encode(self, images: Tensor) -> AutoencoderTinyOutput:
        """Return the latents of images in [-1, 1]."""
        return AutoencoderTinyOutput(latents=functional.pixel_unshuffle(images, self.config.block))

    def decode(self, latents: Tensor) -> DecoderOutput:
        """Return the images of latents."""
        return DecoderOutput(sample=functional.pixel_shuffle(latents, self.config.block))
