"""A meta-trained network outside its encoder: named arrays and a description of what made it; on disk, two files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from brainalign.checks import BrainalignError
from brainalign.encoding.in_context.empirical_bayes import WeightPrior
from brainalign.encoding.in_context.network import NETWORKS, InContextNetwork
from brainalign.io import read_json, read_safetensors

PRIOR = "prior/"  # before the names of its two arrays
NetworkState = tuple[dict[str, NDArray[Any]], dict[str, Any]]


def parameter_hash(network: InContextNetwork) -> str:
    """Return a digest of all weights and their names."""
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def state_of(
    network: InContextNetwork, prior: WeightPrior, parameters: dict[str, Any], losses: list[float]
) -> NetworkState:
    """Return weights and prior as arrays, and a description for JSON: constructor arguments, losses, digest."""
    arrays = {name: values.cpu().numpy().copy() for name, values in network.state_dict().items()}
    arrays |= {f"{PRIOR}mean": np.array(prior.mean), f"{PRIOR}covariance": np.array(prior.covariance)}
    description = {
        "n_features": network.n_features,
        "parameters": parameters,
        "losses": losses,
        "hash": parameter_hash(network),
    }
    return arrays, description


def network_of(
    arrays: Mapping[str, NDArray[Any]], description: Mapping[str, Any], *, source: str
) -> tuple[InContextNetwork, WeightPrior, dict[str, Any], list[float]]:
    """Return network, prior, the constructor arguments of the encoder and the losses: the way back from `state_of`.

    Parameters
    ----------
    arrays, description
        As `state_of` gave them, the latter possibly through JSON.
    source : str
        Where they come from, for errors.

    Raises
    ------
    BrainalignError
        If the two do not belong together.
    """
    parameters: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in description["parameters"].items()
    }
    size, knows_units = NETWORKS[parameters["network"]], parameters["units"] == "prior"
    network = InContextNetwork(description["n_features"], size, knows_units=knows_units)
    weights = {name: torch.from_numpy(np.array(a)) for name, a in arrays.items() if not name.startswith(PRIOR)}
    try:
        network.load_state_dict(weights)
        prior = WeightPrior(*(np.array(arrays[f"{PRIOR}{part}"]) for part in ("mean", "covariance")))
    except (RuntimeError, KeyError) as error:
        raise BrainalignError(f"{source} does not hold the network of its description; save both again") from error
    if parameter_hash(network) != description["hash"]:
        raise BrainalignError(f"{source} has another digest than its description says; save both again")
    return network.eval(), prior, parameters, description["losses"]


def write_checkpoint(path: Path, state: NetworkState) -> None:
    """Write arrays into a safetensors file, and the description into a .json beside it."""
    arrays, description = state
    save_file(arrays, path)
    path.with_suffix(".json").write_text(json.dumps(description, indent=1) + "\n")


def read_checkpoint(path: Path) -> NetworkState:
    """Read the checkpoint that `write_checkpoint` wrote.

    Raises
    ------
    BrainalignError
        If a file is missing.
    """
    for file in (path, path.with_suffix(".json")):
        if not file.exists():
            raise BrainalignError(f"{file} is missing; a checkpoint is a safetensors file and its .json beside it")
    return read_safetensors(path)[0], read_json(path.with_suffix(".json"))
