"""Images and texts of a CLIP-like model in the space they share, as the model itself puts them there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.features import VisionExtractor, embed_texts

SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
WORDS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "a", "face", "house", "hand"]
PROCESSOR = {"do_resize": True, "size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.2] * 3}


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """A tiny model with a tokenizer, as save_pretrained leaves them."""
    torch.manual_seed(0)
    text = SIZES | {"vocab_size": len(WORDS), "bos_token_id": 2, "eos_token_id": 3, "num_hidden_layers": 1}
    vision = SIZES | {"num_hidden_layers": 2, "image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    folder = tmp_path / "clip"
    transformers.CLIPModel(config).save_pretrained(folder)
    words = tmp_path / "words.txt"
    words.write_text("\n".join(WORDS))
    transformers.BertTokenizerFast(vocab=str(words)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return str(folder)


def test_images_and_texts_lie_where_the_model_puts_them(clip: str) -> None:
    model = transformers.AutoModel.from_pretrained(clip).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(clip)
    images = torch.rand(3, 3, 32, 32)
    texts = ["a face", "house", "a hand a face"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        output = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], pixel_values=(images - 0.5) / 0.2
        )
    found = embed_texts(clip, texts)
    np.testing.assert_allclose(found, output.text_embeds, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    extractor = VisionExtractor(clip, layers=("encoder.layers.1", "visual_projection"))
    values, _ = extractor.features(images, extractor.layer_names)
    ours = torch.nn.functional.normalize(values["visual_projection"], dim=1)
    np.testing.assert_allclose(ours, output.image_embeds, atol=1e-5)
    assert values["encoder.layers.1"].shape == (3, 16)


def test_other_layers_do_not_know_of_the_projection(clip: str) -> None:
    """Features that were extracted before stay what they are."""
    plain = VisionExtractor(clip)
    assert plain.layer_names == ("encoder.layers.0", "encoder.layers.1")
    assert not [name for name in plain.network.module.state_dict() if "projection" in name]
    assert plain.digest() != VisionExtractor(clip, layers=("visual_projection",)).digest()


def test_models_without_texts(clip: str, tmp_path: Path) -> None:
    folder = tmp_path / "vit"
    vision = transformers.ViTConfig(**SIZES, num_hidden_layers=1, image_size=32, patch_size=8)
    transformers.ViTModel(vision).save_pretrained(folder)
    with pytest.raises(BrainalignError, match=r"cannot load a model of images and texts from .* holds the tokenizer"):
        embed_texts(str(folder), ["a", "b"])
    transformers.AutoTokenizer.from_pretrained(clip).save_pretrained(folder)
    refused(r"\(ViTModel\) has no text tower", embed_texts, str(folder), ["a", "b"])
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    with pytest.raises(BrainalignError, match=r"\(ViTModel\) has no visual_projection; leave that layer out"):
        VisionExtractor(str(folder), layers=("visual_projection",)).digest()
