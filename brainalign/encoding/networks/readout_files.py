"""A fitted read-out on disk: parameters as safetensors, everything else as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.utils.validation import check_is_fitted

from brainalign.checks import BrainalignError
from brainalign.devices import pick_device
from brainalign.encoding.networks.readout_arrays import Shape
from brainalign.encoding.networks.readout_fit import Readout, Standardised, describe, start
from brainalign.io import read_json, reading, write_atomically, write_json
from brainalign.regression import Epoch

AnyReadout = TypeVar("AnyReadout", bound=Readout)
NOT_KEPT = {"checkpoint", "progress"}  # where it was trained and who watched


def save_readout(readout: Readout, folder: str | Path) -> None:
    """Write readout.safetensors (parameters) and readout.json (options, shapes, epochs) into a folder."""
    check_is_fitted(readout, "module_")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.cpu().contiguous() for name, value in readout.module_.state_dict().items()}
    for name in ("validation_r", "restart"):
        tensors[name] = torch.as_tensor(getattr(readout, f"{name}_")).cpu().contiguous()
    write_atomically(folder / "readout.safetensors", lambda path: save_file(tensors, path))
    content = {
        "readout": type(readout).__name__,
        "options": {name: value for name, value in readout.get_params().items() if name not in NOT_KEPT},
        "shape": readout.module_.shape._asdict(),
        "history": [tuple(epoch) for epoch in readout.history_],
    }
    write_json(folder / "readout.json", content)


def load_readout(kind: type[AnyReadout], folder: str | Path) -> AnyReadout:
    """Load the read-out that `save_readout` wrote; it predicts the same, to the bit.

    Raises
    ------
    BrainalignError
        If the folder holds no read-out, or one of another kind.
    """
    folder = Path(folder)
    if not (folder / "readout.json").exists():
        raise BrainalignError(f"{folder} holds no readout.json; give the folder that save() wrote")
    with reading(folder, "holds no whole read-out", "give the folder that save() wrote"):
        return _loaded(kind, folder)


def _loaded(kind: type[AnyReadout], folder: Path) -> AnyReadout:
    content = read_json(folder / "readout.json")
    if content["readout"] != kind.__name__:
        raise BrainalignError(f"{folder} holds a {content['readout']}; load it with {content['readout']}.load")
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in content["options"].items()}
    readout = kind(**options)
    shape = Shape(**content["shape"] | {"grid": tuple(content["shape"]["grid"])})
    tensors = load_file(folder / "readout.safetensors")
    readout.validation_r_, readout.restart_ = (np.asarray(tensors.pop(name)) for name in ("validation_r", "restart"))
    readout.history_ = [Epoch(*values) for values in content["history"]]
    whole, chosen = Standardised(shape), tensors["chosen"]
    network = start(readout, shape, readout.seed)
    whole.keep([network] * (int(chosen.max()) + 1), chosen)
    whole.load_state_dict(tensors)
    describe(readout, whole.to(pick_device(readout.device)), lambda tensor: np.asarray(tensor.cpu()))
    return readout
