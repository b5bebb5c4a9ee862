"""Untrained diffusion models of a few thousand weights: what guidance does to them can be computed by other means."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel, UNet2DModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from brainalign.synthesis import BrainGuidedPipeline, PixelShuffleCodec
from brainalign.synthesis.guidance import SCHEDULE

SIZES: dict[str, Any] = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
SIZES["attention_head_dim"] = 8
PLAIN: dict[str, Any] = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
TINY: dict[str, Any] = {"block_out_channels": (4, 8), "norm_num_groups": 2}
SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.fixture(scope="session")
def plain_pipe() -> Callable[[int], BrainGuidedPipeline]:
    """Make a model of so many pixels that works on them and predicts v, without attention or gradients."""

    def make(size: int) -> BrainGuidedPipeline:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            unet = UNet2DModel(sample_size=size, **SIZES, **PLAIN)
        return BrainGuidedPipeline(unet.eval().requires_grad_(False), DDIMScheduler(prediction_type="v_prediction"))

    return make


@pytest.fixture
def pipe() -> BrainGuidedPipeline:
    torch.manual_seed(0)
    sides = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    unet = UNet2DModel(sample_size=8, in_channels=12, out_channels=12, **SIZES, **sides)
    return BrainGuidedPipeline(unet.eval(), DDIMScheduler(**SCHEDULE), PixelShuffleCodec())


@pytest.fixture(scope="session")
def stable_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Stable Diffusion as its authors lay it out, safety checker and feature extractor named."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(0)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    words = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=8)
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1}
    text = CLIPTextModel(CLIPTextConfig(vocab_size=len(words), max_position_embeddings=8, **sizes, **ends))
    sides = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")}
    sides["up_block_types"] = ("CrossAttnUpBlock2D", "UpBlock2D")
    heads = {"cross_attention_dim": 8, "attention_head_dim": 2}
    unet = UNet2DConditionModel(sample_size=8, layers_per_block=1, **TINY, **sides, **heads)
    sides = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae = AutoencoderKL(sample_size=16, **TINY, **sides)
    scheduler = DDIMScheduler(**SCALED, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    parts = {"unet": unet, "vae": vae, "text_encoder": text, "tokenizer": tokenizer, "scheduler": scheduler}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1"}
    libraries = {"text_encoder": "transformers", "tokenizer": "transformers"}
    index |= {name: [libraries.get(name, "diffusers"), type(part).__name__] for name, part in parts.items()}
    index |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"], "requires_safety_checker": True}
    index |= {"feature_extractor": ["transformers", "CLIPImageProcessor"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def latent_pipe(stable_diffusion: Path) -> BrainGuidedPipeline:
    """A fresh copy of the tiny Stable Diffusion, loaded as guidance loads it."""
    return BrainGuidedPipeline.from_pretrained(stable_diffusion)


@pytest.fixture
def large(latent_pipe: BrainGuidedPipeline) -> diffusers.StableDiffusionXLPipeline:
    torch.manual_seed(1)
    text = latent_pipe.text_encoder.config.to_dict() | {"num_hidden_layers": 3}
    told = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4, "cross_attention_dim": 8 + 12}
    told["projection_class_embeddings_input_dim"] = 6 + 6 * 4
    unet = diffusers.UNet2DConditionModel.from_config(dict(latent_pipe.unet.config) | told)
    first = CLIPTextModel(CLIPTextConfig(**text)).eval()
    other = CLIPTextModelWithProjection(CLIPTextConfig(**text | {"hidden_size": 12, "projection_dim": 6})).eval()
    words, parts = [latent_pipe.tokenizer] * 2, (unet.eval(), latent_pipe.scheduler)
    return diffusers.StableDiffusionXLPipeline(latent_pipe.vae, first, other, *words, *parts, add_watermarker=False)
