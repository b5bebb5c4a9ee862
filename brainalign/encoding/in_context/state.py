"""What a killed meta-training goes on from: everything that decides the steps to come."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from brainalign.io import write_atomically
from brainalign.regression import read_state


class TrainingState:
    """The state of a meta-training on disk.

    Parameters
    ----------
    parts : list of objects with state_dict and load_state_dict
        The network, then optimisers and schedules, before training.
    generator : torch.Generator
        Of episodes; dropout draws from torch's own.
    folder : Path or None
        None keeps nothing.
    identity : (str, sequence of tensor)
        Options and data: with the parts they name the file.
    """

    def __init__(
        self,
        parts: Sequence[Any],
        generator: torch.Generator,
        folder: Path | None,
        identity: tuple[str, Sequence[torch.Tensor]],
    ) -> None:
        self.parts, self.generator = parts, generator
        self.device = identity[1][0].device
        self.path = None if folder is None else folder / f"{_key(parts[0], generator, identity)}.pt"

    def resume(self) -> list[float]:
        """Take up where a killed training was; return the losses of its steps."""
        found = read_state(self.path)
        if found is None:
            return []
        for part, values in zip(self.parts, found["parts"], strict=True):
            part.load_state_dict(values)
        self.generator.set_state(found["generator"])
        torch.set_rng_state(found["torch"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(found["cuda"], self.device)
        return list(found["losses"])

    def keep(self, losses: list[float]) -> None:
        """Write the state after a step."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content: dict[str, Any] = {"parts": [part.state_dict() for part in self.parts], "losses": losses}
        content |= {"generator": self.generator.get_state(), "torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            content["cuda"] = torch.cuda.get_rng_state(self.device)
        write_atomically(self.path, lambda temporary: torch.save(content, temporary))

    def forget(self) -> None:
        """Delete the file: there is nothing more to resume."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _key(network: torch.nn.Module, generator: torch.Generator, identity: tuple[str, Sequence[torch.Tensor]]) -> str:
    """Name a training by its options, data, seed and initial parameters."""
    options, data = identity
    digest = hashlib.sha256(options.encode())
    for values in (*data, generator.get_state(), *network.state_dict().values()):
        digest.update(f"{values.dtype} {tuple(values.shape)}".encode() + values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
