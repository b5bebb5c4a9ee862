"""Embedded prompts for a network that reads them, with or without classifier-free guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from brainalign.checks import BrainalignError

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline

__all__ = ["prompt_embeddings"]


def prompt_embeddings(
    pipe: BrainGuidedPipeline,
    num_images: int,
    prompt: str | list[str] | None = None,
    embeds: Tensor | None = None,
    negative: Tensor | None = None,
    classifier_free_scale: float = 0.0,
    negative_prompt: str | list[str] | None = None,
) -> Tensor | None:
    """Return what the network is told, (n or 2n, n_tokens, width); None where it reads no prompt.

    Raises
    ------
    BrainalignError
        If a prompt is missing or not wanted, given twice, or of another number or width than images and network.
    """
    if "cross_attention_dim" not in pipe.unet.config:
        if prompt is not None or embeds is not None or negative_prompt is not None or classifier_free_scale > 0:
            raise BrainalignError(
                "this diffusion model reads no prompt; leave out prompt, prompt_embeds and classifier_free_scale"
            )
        return None
    if prompt is not None and embeds is not None:
        raise BrainalignError("give a prompt or prompt_embeds, not both")
    if negative_prompt is not None and (negative is not None or classifier_free_scale <= 1):
        raise BrainalignError(
            "a negative prompt is for classifier-free guidance: give classifier_free_scale above 1, and no "
            f"negative_prompt_embeds; got {classifier_free_scale:g}"
        )
    told = _for_each(pipe, _encoded(pipe, prompt or "") if embeds is None else embeds, num_images)
    if classifier_free_scale <= 1:
        return told
    empty = _for_each(pipe, _encoded(pipe, negative_prompt or "") if negative is None else negative, num_images)
    if empty.shape != told.shape:
        raise BrainalignError(
            f"prompts are {tuple(told.shape)} but negative ones {tuple(empty.shape)}; both must have as many tokens"
        )
    return torch.cat([empty, told])


def _for_each(pipe: BrainGuidedPipeline, embeds: Tensor, num_images: int) -> Tensor:
    width = pipe.unet.config.cross_attention_dim
    if embeds.ndim != 3 or embeds.shape[0] not in (1, num_images) or embeds.shape[2] != width:
        raise BrainalignError(
            f"prompts of {num_images} images are (1 or {num_images}, n_tokens, {width}); got {tuple(embeds.shape)}"
        )
    return embeds.to(pipe.device, pipe.unet.dtype).expand(num_images, -1, -1)


@torch.no_grad()
def _encoded(pipe: BrainGuidedPipeline, text: str | list[str]) -> Tensor:
    """Embed text as Stable Diffusion does: padded to the longest, last hidden states."""
    if pipe.tokenizer is None or pipe.text_encoder is None:
        raise BrainalignError(
            "this diffusion model reads prompts but came without a text encoder; give prompt_embeds (and "
            "negative_prompt_embeds for classifier-free guidance)"
        )
    tokens = pipe.tokenizer(
        text, padding="max_length", max_length=pipe.tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    encoded: Tensor = pipe.text_encoder(tokens.input_ids.to(pipe.device))[0]
    return encoded
