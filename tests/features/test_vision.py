import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from PIL import Image
from refusals import refused
from safetensors.torch import load_file, save_file

from brainalign.features import VisionExtractor, load_image
from brainalign.features.images import preprocessing_of
from brainalign.study import check_saved_layers

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


def make(kind: str) -> transformers.PreTrainedModel:
    if kind in TOWERS:
        name, options = TOWERS[kind]
    else:
        name, vision, text, more = READERS[kind]
        options = {"vision_config": vision, "text_config": text} | more
    model = getattr(transformers, f"{name}{'Model' if kind in TOWERS else 'ForConditionalGeneration'}")
    return model(getattr(transformers, f"{name}Config")(**copy.deepcopy(options)))


@pytest.fixture
def saved(tmp_path: Path):
    def save(kind: str, seed: int = 0) -> str:
        torch.manual_seed(seed)
        folder = tmp_path / kind
        make(kind).save_pretrained(folder)
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
