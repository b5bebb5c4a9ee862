"""A meta-trained network on disk: a safetensors file, and beside it a .json with what made it and its digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from brainalign.checks import BrainalignError
from brainalign.encoding.in_context_network import NETWORKS, InContextNetwork

__all__ = ["parameter_hash", "read_checkpoint", "write_checkpoint"]


def parameter_hash(network: InContextNetwork) -> str:
    """Return a digest of all weights and their names."""
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_checkpoint(path: Path, network: InContextNetwork, parameters: dict[str, Any], losses: list[float]) -> None:
    """Write a network and the constructor arguments of its encoder."""
    content = {
        "n_features": network.n_features,
        "parameters": parameters,
        "losses": losses,
        "hash": parameter_hash(network),
    }
    save_file({name: values.contiguous() for name, values in network.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


def read_checkpoint(path: Path) -> tuple[InContextNetwork, dict[str, Any], list[float]]:
    """Return the network, the constructor arguments and the losses that were written.

    Raises
    ------
    BrainalignError
        If a file is missing or the two do not belong together.
    """
    for file in (path, path.with_suffix(".json")):
        if not file.exists():
            raise BrainalignError(f"{file} is missing; a checkpoint is a safetensors file and its .json beside it")
    content = json.loads(path.with_suffix(".json").read_text())
    parameters: dict[str, Any] = content["parameters"]
    parameters |= {name: tuple(value) for name, value in parameters.items() if isinstance(value, list)}
    size, knows_units = NETWORKS[parameters["network"]], parameters["units"] == "prior"
    network = InContextNetwork(content["n_features"], size, knows_units=knows_units)
    try:
        network.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise BrainalignError(f"{path} does not hold the network of its .json; save both again") from error
    if parameter_hash(network) != content["hash"]:
        raise BrainalignError(f"{path} has another digest than its .json says; save both again")
    return network.eval(), parameters, content["losses"]
