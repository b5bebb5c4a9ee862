"""What a descriptor says of neurons that were recorded while videos were shown."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from brainalign.study.parsing import Strict


class NeuralFiles(Strict):
    """Responses of one subject: paths as everywhere in a descriptor."""

    neural: Path = Field(
        description=".npz or .safetensors with the array neural (condition, time, neuron, repeat); frames after "
        "the end of a trial are NaN"
    )
    regions: dict[str, tuple[int, int]] = Field(
        {},
        description="first neuron of each region, counted from 0, and the one after its last; one region if not given",
    )

    @field_validator("regions")
    @classmethod
    def _in_order(cls, regions: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        for name, (first, stop) in regions.items():
            if not 0 <= first < stop:
                raise ValueError(f"{name}: neurons {first} to {stop} are not in order; give first and last + 1")
        return regions


def all_within(path: Path) -> list[Path]:
    """Return a file, or every file of a folder in order."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
