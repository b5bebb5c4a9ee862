"""Operations of networks, by their configuration, beside those that torch counts in a forward pass."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from jobs import config_of
from torch.utils.flop_counter import FlopCounterMode

from brainalign.study import load_descriptor
from brainalign.workflow.estimates import estimate
from brainalign.workflow.networks import Transformer, operations_per_s, read_transformer

SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
PATCHES = SIZES | {"image_size": 64, "patch_size": 8, "attn_implementation": "eager"}
WORDS = {"vocab_size": 50, "attn_implementation": "eager"}
CONVOLUTIONS = {"conv_dim": (32, 32), "conv_stride": (20, 16), "conv_kernel": (20, 16), "num_feat_extract_layers": 2}
SOUND = SIZES | CONVOLUTIONS | {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 4}
SOUND |= {"attn_implementation": "eager"}
WHISPER = {"d_model": 64, "encoder_layers": 2, "encoder_ffn_dim": 128, "encoder_attention_heads": 4}
WHISPER |= {"decoder_attention_heads": 4, "num_mel_bins": 8, "decoder_layers": 1, "attn_implementation": "eager"}
LLAMA = SIZES | WORDS | {"num_key_value_heads": 2, "max_position_embeddings": 512}
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}
VIDEO = PATCHES | {"num_frames": 8, "tubelet_size": 2}
IMAGES, TOKENS = {"pixel_values": torch.randn(3, 3, 64, 64)}, {"input_ids": torch.arange(80).reshape(2, 40) % 50}
WAVE, FRAMES = {"input_values": torch.randn(1, 160_000)}, {"pixel_values": torch.randn(1, 8, 3, 64, 64)}
BANDS = {"input_features": torch.randn(1, 8, 3000), "decoder_input_ids": torch.tensor([[1]])}
# Kind, model, what it is given, and its operations as a plan counts them: two windows of 40 tokens, 10 s of sound ...
CASES: dict[str, tuple[str, Callable[[], Any], dict[str, torch.Tensor], Callable[[Transformer], float]]] = {
    "vit": ("vision", lambda: hf.ViTModel(hf.ViTConfig(**PATCHES)), IMAGES, lambda t: 3 * t.of_image()),
    "gpt2": ("language", lambda: hf.GPT2Model(hf.GPT2Config(**GPT2, **WORDS)), TOKENS, lambda t: 40 * t.of_token(40)),
    "llama": ("language", lambda: hf.LlamaModel(hf.LlamaConfig(**LLAMA)), TOKENS, lambda t: 40 * t.of_token(40)),
    "bert": ("language", lambda: hf.BertModel(hf.BertConfig(**SIZES, **WORDS)), TOKENS, lambda t: 40 * t.of_token(40)),
    "wav2vec2": ("speech", lambda: hf.Wav2Vec2Model(hf.Wav2Vec2Config(**SOUND)), WAVE, lambda t: 2 * t.of_second(8, 2)),
    "whisper": ("speech", lambda: hf.WhisperModel(hf.WhisperConfig(**WHISPER)), BANDS, lambda t: 2 * t.of_second(8, 2)),
    "videomae": ("video", lambda: hf.VideoMAEModel(hf.VideoMAEConfig(**VIDEO)), FRAMES, lambda t: 4 * t.of_frame()),
}


@pytest.mark.parametrize("name", CASES)
def test_operations_are_those_of_a_forward_pass(name: str, tmp_path: Path) -> None:
    kind, make, given, told = CASES[name]
    model = make().eval()
    model.save_pretrained(tmp_path)
    seen = model.encoder if name == "whisper" else model
    given = {key: value for key, value in given.items() if name != "whisper" or key == "input_features"}
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        seen(**given)
    network = read_transformer(tmp_path, kind)
    assert network is not None
    # Poolers and positions are left out; they weigh more in networks as small as these.
    assert told(network) == pytest.approx(counted.get_total_flops(), rel=0.12)


STUDY = """
name: story
stimuli: words.tsv
recordings: {"01": {format: runs, files: "*.npy", tr_s: 2.0}}
continuous: {films: {run1: one.mp4, run2: two.mp4, run3: three.mp4, run4: four.mp4}, fps: 4}
splits: {runs: {leave_out: run}}
"""
# Four runs of 50 rows are 400 s and 1,600 frames; there are 50 words, of 1.3 tokens each.
PLANNED: dict[str, tuple[str, dict[str, object], Callable[[Transformer], float]]] = {
    "vit": ("vision", {}, lambda t: 1600 * t.of_image()),
    "gpt2": ("language", {"context": 32}, lambda t: 65 * t.of_token(32)),
    "wav2vec2": ("speech", {"context_s": 3.0}, lambda t: 400 * t.of_second(3, 2)),
    "videomae": ("video", {}, lambda t: 1600 * t.of_frame()),
}


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_counts_what_a_network_is_shown(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor, options, operations = PLANNED[name]
    CASES[name][1]().save_pretrained(tmp_path / "model")
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "words.tsv").write_text("run\tonset_s\ttext\n" + "run1\t1\tword\n" * 50)
    for run in ("run1", "run2", "run3", "run4"):
        np.save(tmp_path / f"{run}.npy", np.zeros((50, 3)))
    model = {"extractor": extractor, "weights": str(tmp_path / "model")} | options
    config, study = config_of(tmp_path / "study.yaml", models={"net": model}), load_descriptor(tmp_path / "study.yaml")
    monkeypatch.setattr("brainalign.workflow.estimates.operations_per_s", lambda: 1e4)
    cost, network = estimate("extract", config, study, "net"), read_transformer(tmp_path / "model", extractor)
    assert network is not None
    assert cost.seconds == round(1 + 2 + operations(network) / 7e3)
    assert cost.memory_mb == 600 + round(8 * network.weights / 2**20)
    (tmp_path / "model" / "config.json").unlink()
    assert estimate("extract", config, study, "net").seconds == 3


def test_a_configuration_is_read_without_torch_and_a_machine_measured(tmp_path: Path) -> None:
    """Snakemake asks for estimates while it builds the DAG."""
    CASES["vit"][1]().save_pretrained(tmp_path)
    code = "import sys; from pathlib import Path; from brainalign.workflow.networks import read_transformer as read; "
    code += f"assert read(Path({str(tmp_path)!r}), 'vision').width == 64; "
    code += "print({'torch', 'transformers'} & {*sys.modules})"
    told = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
    assert 1e8 < operations_per_s() < 1e13
