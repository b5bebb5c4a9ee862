"""Embedded prompts for a network that reads them, with or without classifier-free guidance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brainalign.checks import BrainalignError

__all__ = ["Conditions", "embed"]


@dataclass(frozen=True)
class Conditions:
    """What the network reads beside the noisy sample.

    embeds (n, n_tokens, d), preceded by n negative ones where `classifier_free_scale` is above 0.
    """

    embeds: Tensor
    classifier_free_scale: float

    def take(self, rows: slice) -> Conditions:
        """Return the conditions of some of the images."""
        halves = self.embeds.chunk(2) if self.classifier_free_scale > 0 else (self.embeds,)
        return Conditions(torch.cat([half[rows] for half in halves]), self.classifier_free_scale)


def embed(
    pipe: Any,
    n_images: int,
    prompt: str | list[str] | None = None,
    prompt_embeds: Tensor | None = None,
    negative_prompt_embeds: Tensor | None = None,
    classifier_free_scale: float = 0.0,
) -> Conditions | None:
    """Return the conditions of images; None for a network that takes no prompt. Without any, the empty text is read.

    Raises
    ------
    BrainalignError
        If a prompt is given to a network that takes none, text to a pipeline without tokenizer, or embeddings of
        another number or width than the images and the network.
    """
    if "cross_attention_dim" not in pipe.unet.config:
        if prompt is not None or prompt_embeds is not None or classifier_free_scale > 0:
            raise BrainalignError(f"{type(pipe.unet).__name__} takes no prompt; leave out prompt and prompt_embeds")
        return None
    if prompt is not None and prompt_embeds is not None:
        raise BrainalignError("give a prompt or prompt_embeds, not both")
    if prompt_embeds is None:
        prompt_embeds = _of_text(pipe, "" if prompt is None else prompt)
    embeds = _for_each(pipe, prompt_embeds, n_images, "prompt_embeds")
    if classifier_free_scale > 0:
        if negative_prompt_embeds is None:
            negative_prompt_embeds = _of_text(pipe, "")
        negative = _for_each(pipe, negative_prompt_embeds, n_images, "negative_prompt_embeds")
        if negative.shape != embeds.shape:
            raise BrainalignError(
                f"prompt_embeds are {tuple(embeds.shape)} but negative_prompt_embeds {tuple(negative.shape)}; "
                "both must have as many tokens"
            )
        embeds = torch.cat([negative, embeds])
    return Conditions(embeds, classifier_free_scale)


def _of_text(pipe: Any, prompt: str | list[str]) -> Tensor:
    """Embed text as Stable Diffusion does: padded to the longest, last hidden states."""
    if pipe.tokenizer is None or pipe.text_encoder is None:
        raise BrainalignError(
            f"{type(pipe.unet).__name__} reads a prompt and this pipeline has no tokenizer and text_encoder; give "
            f"prompt_embeds (and negative_prompt_embeds) of {pipe.unet.config.cross_attention_dim} channels"
        )
    texts = [prompt] if isinstance(prompt, str) else list(prompt)
    tokens = pipe.tokenizer(
        texts, padding="max_length", max_length=pipe.tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    mask = None
    if getattr(pipe.text_encoder.config, "use_attention_mask", False):
        mask = tokens.attention_mask.to(pipe.text_encoder.device)
    embeds: Tensor = pipe.text_encoder(tokens.input_ids.to(pipe.text_encoder.device), attention_mask=mask)[0]
    return embeds


def _for_each(pipe: Any, embeds: Tensor, n_images: int, name: str) -> Tensor:
    width = pipe.unet.config.cross_attention_dim
    if embeds.ndim != 3 or embeds.shape[0] not in (1, n_images) or embeds.shape[2] != width:
        raise BrainalignError(
            f"{name} must be (1 or {n_images}, n_tokens, {width}) for {n_images} images; got {tuple(embeds.shape)}"
        )
    return embeds.to(pipe.device, pipe.unet.dtype).expand(n_images, -1, -1)
