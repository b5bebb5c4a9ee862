"""A text decoder in one safetensors file: weights, and as JSON what made them. Never a pickle."""

from __future__ import annotations

import inspect
import json
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from brainalign.checks import BrainalignError
from brainalign.decoding.text.text_network import TextNetwork
from brainalign.io import reading

if TYPE_CHECKING:
    from brainalign.decoding.text.decoder import TextDecoder

KEY = "brainalign_text_decoder"


def write_decoder(decoder: TextDecoder, path: Path) -> None:
    """Write weights, settings and what is known of training.

    Parameters
    ----------
    decoder : TextDecoder
        Fitted. Its language model is not written.
    path : Path
    """
    names = [name for name in inspect.signature(type(decoder)).parameters if name != "language"]
    about = {
        "settings": {name: getattr(decoder, name) for name in names},
        "known": astuple(decoder.known_),
        "shape": astuple(decoder.network_.shape),
        "spread": decoder.spread_,
        "penalty": decoder.penalty_,
    }
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in decoder.network_.state_dict().items()}
    save_file(state, path, {KEY: json.dumps(about)})


def read_decoder(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what `write_decoder` wrote about a decoder, and the state of its network.

    Parameters
    ----------
    path : Path

    Raises
    ------
    BrainalignError
        If the file cannot be read or holds no decoder.
    """
    with (
        reading(path, "not a readable text decoder", "give a file that TextDecoder.save wrote"),
        safe_open(path, "pt") as file,
    ):
        about = json.loads((file.metadata() or {}).get(KEY, "null"))
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    if about is None:
        raise BrainalignError(f"{path} holds no text decoder; give a file that TextDecoder.save wrote")
    return about, state


def load_state(network: TextNetwork, state: dict[str, Tensor], path: Path) -> None:
    """Give a network the state that was read; that of a bridge is left out where the network has none.

    Parameters
    ----------
    network : TextNetwork
    state : dict of Tensor
    path : Path
        Named in errors.

    Raises
    ------
    BrainalignError
        If they do not fit.
    """
    if network.bridge is None:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("bridge.")}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise BrainalignError(f"{path} does not fit this language model or version of brainalign: {error}") from error
