"""Any Hugging Face image model, or the vision tower of one that also reads texts, from a local folder or the hub.

The model's own preprocessor_config.json is read here and carried out in torch: no torchvision, and gradients flow.
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from brainalign.checks import BrainalignError, listed
from brainalign.devices import seeded
from brainalign.features.images.files import Preprocessing
from brainalign.features.images.network import Network, NetworkExtractor, main_blocks
from brainalign.io import read_json
from brainalign.study import check_complete, find_weights, loading_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Resample = Literal["nearest", "bilinear", "bicubic"]
RESAMPLE: dict[int, Resample] = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
NO_SQUARE = ("CLIP", "ConvNext", "Bit", "ChineseCLIP")  # in their older files a plain size is the shortest edge
SHARED = "visual_projection"  # the layer that a CLIP-like model shares between images and texts
TOWERS = ("vision_tower", "vision_model", "visual")  # as models call what looks at images
# By type of model, poolings that its order of tokens, or of axes, makes wrong.
MISPLACED = {"hiera": ("tokens",)} | dict.fromkeys(("yolos", "sam", "sam_vision_model", "sam_hq"), ("mean", "tokens"))
NEEDS_MORE = (
    *("do_pad", "do_thumbnail", "do_align_long_axis", "do_flip_channel_order", "rescale_offset"),
    *("keep_aspect_ratio", "size_divisor"),
    # An image in several pieces, of which the tower sees one after the other.
    *("do_image_splitting", "do_pan_and_scan", "crop_to_patches", "image_grid_pinpoints"),
)


@dataclass(eq=False, repr=False)
class VisionExtractor(NetworkExtractor):
    """Layers of any Hugging Face image model, by the names of its modules.

    Parameters
    ----------
    weights : str
        Folder written by save_pretrained (with preprocessor_config.json), Python package that carries such a folder, or
        hub id. Only safetensors are read; a folder never touches the network. Of a model that also reads texts
        (CLIP, LLaVA, PaliGemma, ...) the vision tower is taken, and only its weights are read.
    layers : sequence of str, optional
        Names of modules ("encoder.layers.3", "embeddings"); all main blocks where not given. "visual_projection" of a
        CLIP-like model is the space it shares with texts (`embed_texts`).
    random_weights : bool
        The same architecture at a random initialisation made from `seed`: the control of what training adds.
    pooling, batch_size, reduce, seed, device
        As of `NetworkExtractor`.

    Examples
    --------
    >>> VisionExtractor("openai/clip-vit-base-patch32", pooling="cls").extract(stimuli, writer)
    """

    weights: str
    random_weights: bool = False

    def build(self) -> Network:
        """Return the vision tower, its preprocessing and its main blocks.

        Raises
        ------
        BrainalignError
            If the model or its preprocessing cannot be read, weights are missing, or it takes no images.
        """
        import transformers

        preprocessing = preprocessing_of(processor_config(find_weights(self.weights)), self.weights)
        model = load_vision_model(self.weights, self.seed if self.random_weights else None)
        tower = _vision_tower(model, self.weights)
        if self.pooling in MISPLACED.get(tower.config.model_type, ()):
            raise BrainalignError(
                f"pooling: tokens of {self.weights!r} ({type(tower).__name__}) are not in the order of the image, or "
                f"not alone, as {self.pooling!r} has it; take 'flatten', or a function of yours (extractor 'user')"
            )
        if SHARED in (self.layers or ()):
            _project(tower, model, self.weights)
        names = [name for name, _ in tower.named_parameters() if not name.startswith("head.")]  # there AIMv2 pools
        has_cls = any(name.endswith(("cls_token", "class_embedding", "class_token")) for name in names)
        extra = sum(name.endswith("distillation_token") for name in names)
        extra += sum(int(p.shape[-2]) for name, p in tower.named_parameters() if name.endswith("register_tokens"))
        config = tower.config.to_dict()
        for place in ("_name_or_path", "transformers_version"):  # where it lies is no part of what it computes
            config.pop(place, None)
        description = json.dumps([transformers.__version__, config], sort_keys=True, default=str)
        return Network(tower, preprocessing, main_blocks(tower), int(has_cls) + extra, has_cls, description)


def load_vision_model(weights: str, random_seed: int | None = None) -> "PreTrainedModel":
    """Load an image or video model of transformers.

    `weights` are a local folder, a Python package that carries a model, or a hub id; a `random_seed` draws them
    instead.
    """
    import transformers

    where = find_weights(weights)
    offline = Path(where).is_dir()
    given: dict[str, Any] = {"use_safetensors": True}  # other weight files are pickles
    remedy = (
        "Give a folder written by save_pretrained (safe_serialization), a package that carries a model, or a hub id"
    )
    with loading_model(f"an image model from {weights!r}", remedy):
        config = transformers.AutoConfig.from_pretrained(where, local_files_only=offline)
        with torch.device("meta"):  # shapes alone
            plan: nn.Module = transformers.AutoModel.from_config(config)  # type: ignore[no-untyped-call]
        towers = [tower for name in TOWERS if (tower := getattr(plan, name, None)) is not None]
        if towers and not hasattr(plan, SHARED):  # which takes the whole model
            plan, config = towers[0], towers[0].config
            given["key_mapping"] = {rf"^(model\.)?({'|'.join(TOWERS)})\.(vision_model\.)?": ""}
        kind: Any = type(plan)
        if random_seed is not None:
            with seeded(random_seed):
                return _seeing_all(kind(config).float())
        model, loading = kind.from_pretrained(
            where, config=config, local_files_only=offline, dtype=torch.float32, output_loading_info=True, **given
        )
    # What a file lacks would be made up at random; heads on top of the last layer are often left out on purpose.
    check_complete(loading["missing_keys"], weights)
    if any(key.startswith("pooler.") for key in loading["missing_keys"]):
        model.pooler = None
    return _seeing_all(model)


def _seeing_all(model: Any) -> "PreTrainedModel":
    """Give a masked autoencoder every patch in its place; by itself it draws a quarter of them at every pass."""

    def whole(patches: Tensor, _: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        n, length = patches.shape[:2]
        return patches, patches.new_zeros(n, length), torch.arange(length, device=patches.device).expand(n, length)

    embeddings: Any = getattr(model, "embeddings", None)
    if hasattr(embeddings, "random_masking"):
        embeddings.random_masking = whole
        model.config.mask_ratio = 0.0  # the digest holds it: features of drawn patches are not taken over
    return cast("PreTrainedModel", model)


def _vision_tower(model: nn.Module, name: str) -> "PreTrainedModel":
    tower = getattr(model, "vision_model", model)
    first = next(iter(inspect.signature(tower.forward).parameters), "")
    if first != "pixel_values":
        raise BrainalignError(
            f"the model in {name!r} ({type(model).__name__}) takes no images but {first}; give an image model, or use "
            "the extractor 'sentence' or 'language' for a text model"
        )
    return cast("PreTrainedModel", tower)


def _project(tower: nn.Module, model: nn.Module, name: str) -> None:
    """Let the tower end with the projection into the space of images and texts, as one more layer."""
    projection = getattr(model, SHARED, None)
    if projection is None:
        raise BrainalignError(f"the model in {name!r} ({type(model).__name__}) has no {SHARED}; leave that layer out")

    def project(_: nn.Module, __: object, output: Any) -> None:
        projection(output.pooler_output)

    tower.add_module(SHARED, projection)
    tower.register_forward_hook(project)


def processor_config(where: str) -> dict[str, Any]:
    """Read the settings of image preparation from a model's folder or hub id; raises where there are none."""
    from transformers.utils.hub import cached_file

    places = {"preprocessor_config.json": None, "video_preprocessor_config.json": None}
    for file, key in {**places, "processor_config.json": "image_processor"}.items():
        try:
            found = cached_file(where, file, local_files_only=Path(where).is_dir())
        except (OSError, ValueError):  # no such file or model: loading it says more
            found = None
        if found is not None:
            content: dict[str, Any] = read_json(found)
            if key is None or key in content:
                return content if key is None else cast(dict[str, Any], content[key])
    raise BrainalignError(
        f"{where!r} has no preprocessor_config.json, so how images are resized and normalised is unknown; save the "
        "model's image processor there (processor.save_pretrained), or check the name and the network"
    )


def preprocessing_of(config: Mapping[str, Any], name: str) -> Preprocessing:
    """Return the preprocessing a Hugging Face preprocessor_config.json describes.

    `config` is the content of the file; `name` that of the model, for messages.
    """
    if unknown := [key for key in NEEDS_MORE if config.get(key)]:
        raise BrainalignError(
            f"the preprocessing of {name!r} asks for {listed(unknown)}, which is not known here; wrap the model and "
            "its preprocessing in a function of yours (extractor 'user')"
        )
    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    if config.get("do_resize", True) and config.get("size") is not None:
        resize, crop = _size(config, name)
    if config.get("do_center_crop", False):
        crop = _pair(config.get("crop_size", config.get("size")), name)
    resample = config.get("resample", 2)
    if resample not in RESAMPLE:
        raise BrainalignError(f"the preprocessing of {name!r} resamples by {resample!r}; known are {RESAMPLE}")
    scale = 255 * float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 255.0
    normalise = config.get("do_normalize", True) and "image_mean" in config
    mean, std = (config["image_mean"], config["image_std"]) if normalise else ((0.0,) * 3, (1.0,) * 3)
    if _kind(config).startswith("EfficientNet") and config.get("include_top", True):
        std = [value**2 for value in std]  # normalises again, by the spread alone
    return Preprocessing(resize, crop, tuple(mean), tuple(std), RESAMPLE[resample], scale)


def _kind(config: Mapping[str, Any]) -> str:
    return str(config.get("image_processor_type", config.get("feature_extractor_type", "")))


def _size(config: Mapping[str, Any], name: str) -> tuple[int | tuple[int, int], tuple[int, int] | None]:
    """Choose the size to resize to, and the crop that belongs to it (ConvNext)."""
    size = config["size"]
    if isinstance(size, int):
        size = {"shortest_edge": size} if _kind(config).startswith(NO_SQUARE) else {"height": size, "width": size}
    if not isinstance(size, Mapping) or set(size) != {"shortest_edge"}:
        return _pair(size, name), None
    edge = int(size["shortest_edge"])
    if config.get("crop_pct") is not None:  # ConvNext: small sizes are cropped, larger ones squeezed
        return (int(edge / config["crop_pct"]), (edge, edge)) if edge < 384 else ((edge, edge), None)
    return (int(256 / 224 * edge) if _kind(config).startswith("Levit") else edge), None


def _pair(size: object, name: str) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and {"height", "width"} == set(size):
        return int(size["height"]), int(size["width"])
    if isinstance(size, Mapping) and {"shortest_edge"} == set(size):
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    raise BrainalignError(
        f"the preprocessing of {name!r} gives the size {size!r}; known are a number, height and width, or shortest_edge"
    )
