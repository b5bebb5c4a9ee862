"""Writers, image folders and tiny networks that the tests of extractors share."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image


class Rows:
    def __init__(self, n_rows: int, given: tuple[int, ...] = ()) -> None:
        self.done = np.isin(np.arange(n_rows), given)
        self.layers: dict[str, np.ndarray] = {}
        self.grids: dict[str, tuple[int, int]] = {}
        self.sizes: list[int] = []

    @property
    def pending(self) -> np.ndarray:
        return np.flatnonzero(~self.done)

    def finite(self) -> dict[str, np.ndarray]:
        return {name: rows[np.isfinite(rows)] for name, rows in self.layers.items()}

    def write(self, rows: np.ndarray, values: dict[str, np.ndarray], grids: dict | None = None) -> None:
        assert not self.done[rows].any()
        self.done[rows] = True
        self.sizes.append(len(rows))
        self.grids |= grids or {}
        for name, tensor in values.items():
            if name not in self.layers:
                self.layers[name] = np.full((len(self.done), *tensor.shape[1:]), np.nan, dtype=tensor.dtype)
            self.layers[name][rows] = tensor


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    folder = tmp_path / "images"
    folder.mkdir()
    paths = [folder / f"s{k}.png" for k in range(7)]
    for k, path in enumerate(paths):
        small = np.random.default_rng(k).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(small).resize((40 + 3 * k, 32 + k), Image.Resampling.BICUBIC).save(path)
    return pd.DataFrame({"stimulus_id": [path.stem for path in paths], "path": [str(path) for path in paths]})


@pytest.fixture
def new_rows() -> type[Rows]:
    return Rows
