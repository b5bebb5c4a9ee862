"""Any torch network that looks at images: every layer from one forward pass, streamed to disk."""

import hashlib
import zlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brainalign.checks import BrainalignError, check_choice, listed
from brainalign.devices import pick_device, target_block
from brainalign.features.extractor import Writer, batches
from brainalign.features.images.files import Preprocessing, check_images, load_images, load_in_processes
from brainalign.features.reduction import SparseProjection
from brainalign.io import load_ahead

READ_AT_ONCE = 8  # images that a thread reads together: a batch of a processor, where more are no faster
MOST_AT_ONCE = 256  # images of a batch on a GPU: of more, ViT-B gains nothing
MOST_BYTES = 2**28  # of a batch's features, on their way to disk


@dataclass
class Network:
    """A network ready to be read.

    Parameters
    ----------
    module : Module
        Takes preprocessed images (n, 3, rows, columns).
    preprocessing : Preprocessing
    layers : dict
        Dotted names of the modules whose outputs are read by default, by the names users see.
    n_prefix : int
        Tokens in front of the spatial ones: class token, registers.
    has_cls : bool
        Whether the first of them is a class token.
    description : str
        Whatever else determines the features: the architecture's configuration.
    channels_last : bool
        Whether maps come as (n, rows, columns, channels).
    """

    module: nn.Module
    preprocessing: Preprocessing
    layers: Mapping[str, str]
    n_prefix: int = 0
    has_cls: bool = False
    description: str = ""
    channels_last: bool = False

    def weights_digest(self) -> str:
        """Return the sha256 over names, types, shapes and values of all weights, and the description."""
        digest = hashlib.sha256(self.description.encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def module_of(self, layer: str) -> nn.Module:
        """Return the module of a layer: one of `layers`, or any dotted module name."""
        modules: dict[str, nn.Module] = dict(self.module.named_modules())
        name = self.layers.get(layer, layer)
        if name in modules and name:
            return modules[name]
        import difflib

        names = [*self.layers, *(name for name in modules if name and name not in self.layers)]
        near = difflib.get_close_matches(layer, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise BrainalignError(
            f"the network has no layer {layer!r}; {hint}its main layers are {listed(list(self.layers), 20)}, "
            f"and any of its {len(names)} module names can be given"
        )


class LayerModule(nn.Module):
    """Images (n, 3, rows, columns) in [0, 1] to the features of one layer; gradients reach the images."""

    def __init__(self, extractor: "NetworkExtractor", layer: str) -> None:
        super().__init__()
        self.network = extractor.network.module
        self.layer = layer
        self._extractor = extractor

    def forward(self, images: Tensor) -> Tensor:
        """Return (n, n_features), or (n, n_tokens, n_channels) for pooling "tokens"."""
        return self._extractor.features(images, [self.layer])[0][self.layer]


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkExtractor(ABC):
    """Base of all extractors of image networks; a subclass says in `build` which network.

    Parameters
    ----------
    layers : sequence of str, optional
        Names in the network's menu of layers, or dotted names of any of its modules. All of the menu where not given.
    pooling : {"cls", "mean", "flatten", "tokens"}
        cls: the class token. mean: over space, class and register tokens left out. flatten: everything. tokens: the
        spatial tokens (n, n_tokens, n_channels), their grid noted in the artifact.
    batch_size : int, optional
        Images per forward pass; by default 8, on a GPU as many as a quarter of its free memory holds, up to 256.
    reduce : int, optional
        A layer with more features (for "tokens": channels) is projected onto so many, by a sparse random projection.
    seed : int
        Of random weights and of the projections.
    device : {"cpu", "cuda", "auto"}
    mixed_precision : bool
        Forward passes in float16 where torch deems that safe, on a GPU: several times as fast. bfloat16, which has an
        eighth of its digits, lost .01 of r.

    Raises
    ------
    BrainalignError
        If an argument is not allowed.
    """

    reads: ClassVar[Literal["path"]] = "path"

    layers: Sequence[str] | None = None
    pooling: "Pooling" = "mean"
    batch_size: int | None = None
    reduce: int | None = None
    seed: int = 0
    device: str = "auto"
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        check_choice("pooling", self.pooling, POOLINGS)
        layers = self.layers
        if layers is not None and (isinstance(layers, str) or not layers or len(set(layers)) < len(layers)):
            raise BrainalignError(f"layers must be a list of different names; got {layers!r}")
        if min(1 if size is None else size for size in (self.batch_size, self.reduce)) < 1:
            raise BrainalignError(f"batch_size and reduce must be positive; got {self.batch_size} and {self.reduce}")
        self._projections: dict[str, SparseProjection] = {}

    @abstractmethod
    def build(self) -> Network:
        """Return the network; called once."""

    @cached_property
    def network(self) -> Network:
        """The network, in evaluation mode, its weights frozen."""
        network = self.build()
        network.module.eval().requires_grad_(False).to(pick_device(self.device))
        return network

    @cached_property
    def layer_names(self) -> tuple[str, ...]:
        """The layers that are extracted, checked."""
        names = tuple(self.layers or self.network.layers)
        for name in names:
            self.network.module_of(name)
        return names

    def digest(self) -> str:
        """Return the sha256 over weights, architecture, preprocessing and what computes them."""
        parts = [self.network.weights_digest(), self.network.preprocessing.digest(), torch.__version__]
        parts.append(pick_device(self.device).type)  # a GPU's sums differ in the last digits
        if self.mixed_precision and parts[-1] == "cuda":
            parts.append("float16")
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def describe(self) -> dict[str, object]:
        """Return digests of weights and preprocessing, the preprocessing itself and the list of layers."""
        preprocessing = self.network.preprocessing
        return {
            "weights_sha256": self.network.weights_digest(),
            "preprocessing_sha256": preprocessing.digest(),
            "preprocessing": asdict(preprocessing),
            "layers": list(self.layer_names),
            "pooling": self.pooling,
            "software": {"torch": torch.__version__},
        }

    def module(self, layer: str) -> LayerModule:
        """Return the network up to one layer as a module, images in [0, 1] in, the same features out."""
        self.network.module_of(layer)
        return LayerModule(self, layer)

    def extract(self, stimuli: pd.DataFrame, writer: Writer) -> None:
        """Write the features of every pending image; all files are looked for before the first is read.

        Raises
        ------
        BrainalignError
            If an image is missing or cannot be read, or a layer does not exist; what was written stays.
        """
        check_images(stimuli)
        paths, names = stimuli["path"].astype(str).tolist(), stimuli["stimulus_id"].astype(str).tolist()
        prepare, device = self.network.preprocessing, pick_device(self.device)

        def load(rows: NDArray[np.intp]) -> Tensor:
            # Preprocessed one by one, because images may differ in size; module() does the same to tensors.
            return load_images([paths[row] for row in rows], [names[row] for row in rows], prepare)

        groups = list(batches(writer, self.batch_size or self._affordable(load, writer.pending)))
        parts = [rows[k : k + READ_AT_ONCE] for rows in groups for k in range(0, len(rows), READ_AT_ONCE)]
        on_gpu, n = device.type == "cuda", torch.get_num_threads()
        loaded = load_in_processes(load, parts, n) if on_gpu else (images for _, images in load_ahead(load, parts))

        def look(images: Tensor) -> tuple[dict[str, NDArray[np.float32]], dict[str, tuple[int, int]]]:
            values, grids = self._looked_at(images.to(device))
            return {name: value.cpu().numpy() for name, value in values.items()}, grids

        # A GPU looks at images while the next are read and features are written. Processes are begun by this thread:
        # begun by one that ends before them, they would end with an error.
        read = (torch.cat([next(loaded) for _ in range(0, len(rows), READ_AT_ONCE)]) for rows in groups)
        looked = load_ahead(look, read, 1) if on_gpu else ((None, look(images)) for images in read)
        for rows, (_, (values, grids)) in zip(groups, looked, strict=True):
            writer.write(rows, values, grids)

    def _looked_at(self, images: Tensor) -> tuple[dict[str, Tensor], dict[str, tuple[int, int]]]:
        """Run a forward pass that gives the same numbers in every run, on a GPU as well."""
        half = torch.autocast(images.device.type, torch.float16, enabled=self.mixed_precision and images.is_cuda)
        with torch.inference_mode(), half, torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            values, grids = self._read(images, self.layer_names)
        if self.mixed_precision and (large := [name for name in values if not bool(values[name].isfinite().all())]):
            raise BrainalignError(f"layer(s) {listed(large)} leave float16's range; leave mixed_precision out")
        return values, grids

    def _affordable(self, load: Callable[[NDArray[np.intp]], Tensor], pending: NDArray[np.intp]) -> int:
        """Size a batch: on a GPU by the memory that the first images took there, and their features here."""
        device = pick_device(self.device)
        if device.type != "cuda" or not len(pending):
            return READ_AT_ONCE
        some = load(pending[:READ_AT_ONCE]).to(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        values, _ = self._looked_at(some)
        each = (torch.cuda.max_memory_allocated(device) - before) // len(some)
        kept = sum(value[0].nbytes for value in values.values())
        return min(target_block(MOST_AT_ONCE, each, device), max(1, MOST_BYTES // kept))

    def features(self, images: Tensor, layers: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, tuple[int, int]]]:
        """Return the features of some layers, and the grids of their tokens, for images in [0, 1]."""
        return self._read(self.network.preprocessing(images), layers)

    def _read(self, images: Tensor, layers: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, tuple[int, int]]]:
        network = self.network
        found: dict[str, Tensor] = {}
        grids: dict[str, tuple[int, int]] = {}
        size = (int(images.shape[2]), int(images.shape[3]))

        def read(layer: str, output: object) -> None:
            values = as_tensor(output, layer)
            values = values.to(torch.promote_types(values.dtype, torch.float32))
            if network.channels_last and values.ndim == 4:
                values = values.permute(0, 3, 1, 2)
            # PVT has a class token in its last stage alone: without it the others fill their grid.
            early = not token_grid(values, network.n_prefix, size) and bool(token_grid(values, 0, size))
            n_prefix, has_cls = (0, False) if early else (network.n_prefix, network.has_cls)
            found[layer] = self._projected(layer, pool(values, self.pooling, n_prefix, has_cls, layer))
            if self.pooling == "tokens" and (grid := token_grid(values, n_prefix, size)):
                grids[layer] = grid

        read_layers(network.module, images, {network.module_of(layer): partial(read, layer) for layer in layers})
        if unseen := [layer for layer in layers if layer not in found]:
            raise BrainalignError(
                f"the forward pass never reached layer(s) {listed(unseen)}, or two names mean the same module; "
                "leave them out"
            )
        return {layer: found[layer] for layer in layers}, grids

    def _projected(self, layer: str, values: Tensor) -> Tensor:
        n_features = values.shape[-1]
        if self.reduce is None or n_features <= self.reduce:
            return values
        if layer not in self._projections:
            # Layers of equal size get projections of their own, the same ones in every run.
            seed = zlib.crc32(f"{self.seed} {layer}".encode())
            self._projections[layer] = SparseProjection(n_features, self.reduce, seed)
        return self._projections[layer](values)


def main_blocks(module: nn.Module) -> dict[str, str]:
    """Name a network's main blocks, by themselves: the items of its outermost lists of modules, not of lists of lists.

    Where it has no such list, its direct parts that have weights, a sequence among them item by item unless there are
    several.
    """
    lists: list[str] = []
    for name, part in module.named_modules():
        items = isinstance(part, nn.ModuleList) and len(part) and not isinstance(part[0], nn.ModuleList)
        if items and not any(name.startswith(f"{other}.") for other in lists):
            lists.append(name)
    names = [f"{name}.{key}" for name in lists for key, _ in module.get_submodule(name).named_children()]
    parts = {name: part for name, part in module.named_children() if not lists and _has_weights(part)}
    sequences = [name for name, part in parts.items() if isinstance(part, nn.Sequential)]
    for name, part in parts.items():
        if len(sequences) <= 2 and name in sequences:  # features, classifier
            names += [f"{name}.{key}" for key, item in part.named_children() if _has_weights(item)]
        else:
            names.append(name)
    return dict(zip(names, names, strict=True))


def _has_weights(part: nn.Module) -> bool:
    return next(part.parameters(), None) is not None


class _AllSeen(Exception):
    """Ends a forward pass as soon as the last layer asked for has been seen."""


def read_layers(module: nn.Module, images: Tensor, readers: Mapping[nn.Module, Callable[[Any], None]]) -> None:
    """Run one forward pass, handing each reader the output of its module at its first call."""
    waiting = set(readers)

    def hook(part: nn.Module, _: object, output: object) -> None:
        if part in waiting:
            readers[part](output)
            waiting.discard(part)
            if not waiting:
                raise _AllSeen

    handles = [part.register_forward_hook(hook) for part in readers]
    try:
        with suppress(_AllSeen):
            module(images)
    finally:
        for handle in handles:
            handle.remove()


Pooling = Literal["cls", "mean", "flatten", "tokens"]
POOLINGS = ("cls", "mean", "flatten", "tokens")


def as_tensor(output: object, layer: str) -> Tensor:
    """Return the activations in what a module returned: a tensor, or the first one of a tuple or model output."""
    if isinstance(output, torch.Tensor):
        return output
    parts = list(output.values()) if isinstance(output, dict) else output
    if isinstance(parts, Sequence) and parts and isinstance(parts[0], torch.Tensor):
        return parts[0]
    raise BrainalignError(f"layer {layer!r} returns {type(output).__name__}, not a tensor; choose a layer inside it")


def pool(values: Tensor, pooling: Pooling, n_prefix: int, has_cls: bool, layer: str) -> Tensor:
    """Return (n, n_features), or for "tokens" (n, n_tokens, n_channels), newly allocated.

    Parameters
    ----------
    values : tensor (n, channels, rows, columns), (n, n_tokens, n_channels) or (n, n_features)
    pooling : {"cls", "mean", "flatten", "tokens"}
        The class token; the mean over space (class and register tokens left out); everything; the spatial tokens. What
        has no space, such as a projection, is itself but for "tokens".
    n_prefix : int
        Class and register tokens in front of the spatial ones.
    has_cls : bool
    layer : str
        For messages.
    """
    if pooling == "flatten" or (values.ndim == 2 and pooling in ("mean", "cls")):
        return values.flatten(1).clone()  # a later layer may work in place
    if pooling == "cls":
        if values.ndim != 3 or not has_cls:
            raise BrainalignError(
                f"layer {layer!r} of shape {tuple(values.shape)} has no class token; use pooling 'mean' or 'flatten'"
            )
        return values[:, 0].clone()
    if values.ndim == 4:
        values = values.flatten(2).transpose(1, 2)  # (n, rows * columns, channels)
    elif values.ndim == 3:
        values = values[:, n_prefix:]
    else:
        raise BrainalignError(f"layer {layer!r} of shape {tuple(values.shape)} has no tokens; use pooling 'flatten'")
    return values.mean(dim=1) if pooling == "mean" else values.clone(memory_format=torch.contiguous_format)


def token_grid(values: Tensor, n_prefix: int, image: tuple[int, int]) -> tuple[int, int] | None:
    """Return (rows, columns) of a layer's spatial tokens, from its map or the proportions of the image.

    None where the tokens fill no such grid.
    """
    if values.ndim == 4:
        return int(values.shape[2]), int(values.shape[3])
    if values.ndim != 3:
        return None
    n_tokens = int(values.shape[1]) - n_prefix
    rows = round((n_tokens * image[0] / image[1]) ** 0.5)
    return (rows, n_tokens // rows) if rows and rows * (n_tokens // rows) == n_tokens else None


class PixelsExtractor(NetworkExtractor):
    """One layer, "pixels": red, green and blue in [0, 1] at every place, as tokens with their grid.

    An image is resized to a square, whatever its proportions were, with antialiasing. Ridge regression on the tokens is
    what a network has to beat; an image takes 12 · image_size² bytes, so 10,000 of 64 × 64 pixels are 490 MB.

    Parameters
    ----------
    image_size : int
        Rows and columns of pixels.
    batch_size : int
        Images read at once.

    Raises
    ------
    BrainalignError
        If image_size or batch_size is not positive.

    Examples
    --------
    >>> PixelsExtractor(image_size=16).module("pixels")(torch.rand(2, 3, 40, 30)).shape
    torch.Size([2, 256, 3])
    """

    def __init__(self, image_size: int = 64, batch_size: int = 64) -> None:
        super().__init__(pooling="tokens", batch_size=batch_size, device="cpu")
        if image_size < 1:
            raise BrainalignError(f"image_size is {image_size}; it must be positive")
        self.image_size = image_size

    def build(self) -> Network:
        """Return a network that does nothing to the resized image."""
        module = nn.Sequential(OrderedDict(pixels=nn.Identity()))
        return Network(module, Preprocessing(resize=(self.image_size, self.image_size)), {"pixels": "pixels"})
