"""A fitted shared space as one safetensors file: weights, scales of subjects, and the arguments it was made with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from brainalign.decoding.shared_space.linear_paths import LinearPath
from brainalign.decoding.training import SubjectScale
from brainalign.io import reading

if TYPE_CHECKING:
    from brainalign.decoding.shared_space.space import SharedSpace

ARGUMENTS = (
    "size",
    "width",
    "n_experts",
    "router",
    "subject_layers",
    "phases",
    "steps",
    "learning_rate",
    "weight_decay",
    "batch_size",
    "regression",
    "scale",
    "schedule",
    "patience",
    "blend",
    "penalty",
    "options",
    "seed",
)


def write_space(space: SharedSpace, path: Path) -> None:
    """Write a fitted space.

    Parameters
    ----------
    space : SharedSpace
    path : path
    """
    from safetensors.torch import save_file

    tensors = {f"network.{name}": value.cpu().contiguous() for name, value in space.network_.state_dict().items()}
    subjects = {}
    for name, scale in space.scales_.items():
        subjects[name] = list(scale.names)
        tensors[f"mean.{name}"] = torch.from_numpy(scale.mean)
        tensors[f"deviation.{name}"] = torch.from_numpy(scale.deviation)
    for name, ridge in space.linear_.items():
        tensors[f"linear.{name}"] = torch.from_numpy(ridge.weights)
        tensors[f"intercepts.{name}"] = torch.from_numpy(ridge.intercepts)
    about = {
        "blend": space.blend_,
        "arguments": {name: getattr(space, name) for name in ARGUMENTS},
        "subjects": subjects,
        "n_dimensions": space.n_dimensions_,
    }
    save_file(tensors, path, {"shared_space": json.dumps(about)})


def read_space(
    path: Path,
) -> tuple[dict[str, Any], dict[str, SubjectScale], int, dict[str, Tensor], dict[str, float], dict[str, LinearPath]]:
    """Return arguments, scales by modality, the size of the space, the network's weights, shares of ridge, and ridge.

    Parameters
    ----------
    path : path

    Raises
    ------
    BrainalignError
        If it is no such file.
    """
    from safetensors import safe_open

    with reading(path, "is no shared space", "give a file that SharedSpace.save wrote"):
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {})["shared_space"])
        scales = {
            name: SubjectScale(names, *(np.asarray(tensors[f"{part}.{name}"]) for part in ("mean", "deviation")))
            for name, names in about["subjects"].items()
        }
        about["arguments"]["scale"] = tuple(about["arguments"]["scale"])
        state = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
        linear = {
            name: LinearPath(*(np.asarray(tensors[f"{part}.{name}"]) for part in ("linear", "intercepts")))
            for name in about["blend"]
            if f"linear.{name}" in tensors
        }
        return about["arguments"], scales, about["n_dimensions"], state, about["blend"], linear
