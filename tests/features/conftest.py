"""Writers, image folders and tiny networks that the tests of extractors share."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from jobs import Rows
from PIL import Image

SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
WORDS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "a", "face", "house", "hand"]
PROCESSOR = {"do_resize": True, "size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.2] * 3}


class Half(torch.autocast):
    """As on a GPU: enabled wherever it stands."""

    def __init__(self, device: str, dtype: torch.dtype, enabled: bool) -> None:
        super().__init__(device, dtype)


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    folder = tmp_path / "images"
    folder.mkdir()
    paths = [folder / f"s{k}.png" for k in range(7)]
    for k, path in enumerate(paths):
        small = np.random.default_rng(k).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(small).resize((40 + 3 * k, 32 + k), Image.Resampling.BICUBIC).save(path)
    return pd.DataFrame({"stimulus_id": [path.stem for path in paths], "path": [str(path) for path in paths]})


@pytest.fixture
def new_rows() -> type[Rows]:
    return Rows


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """A tiny model of images and texts in a folder: what it says means nothing."""
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
