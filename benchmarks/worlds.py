"""The data of the benchmarks: shapes, and responses that a share of the features explains in noise."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent.parent / "build" / "bench" / "data"
N_FOLDS, N_RUNS = 5, 10


@dataclass(frozen=True)
class World:
    """Sizes of one benchmark; `power` gives features a spectrum j^-2, as those of networks are ill conditioned.

    With several delays (1, 2, ... rows) rows are of ten runs, and features are so many for each delay.
    """

    n: int
    p: int
    t: int
    spectrum: Literal["flat", "power"] = "flat"
    bands: int = 1
    n_candidates: int = 1
    delays: int = 1

    @property
    def name(self) -> str:
        """Return a name for files and cells."""
        kind = "" if self.spectrum == "flat" else f"-{self.spectrum}"
        return (
            f"{self.n}x{self.p}x{self.t}{kind}"
            + (f"-{self.bands}bands" if self.bands > 1 else "")
            + "-delays" * (self.delays > 1)
        )

    @property
    def title(self) -> str:
        """Return the sizes for a table."""
        kind = "" if self.spectrum == "flat" else ", power-law spectrum"
        features = f"({self.bands} x {self.p // self.bands:,})" if self.bands > 1 else f"{self.p:,}"
        features = f"{self.delays} x {features}" if self.delays > 1 else features
        many = f", {self.n_candidates} candidates" if self.bands > 1 else ""
        return f"{self.n:,} x {features} x {self.t:,}{kind}{many}"


@dataclass(frozen=True)
class Data:
    """What every contender gets: float32 arrays of numpy, penalties and, for bands, their candidates."""

    X: NDArray[np.float32]
    Y: NDArray[np.float32]
    alphas: NDArray[np.float64]
    candidates: NDArray[np.float64]
    n_folds: int = N_FOLDS
    delays: tuple[int, ...] = (0,)

    @property
    def bands(self) -> list[NDArray[np.float32]]:
        """Return the features of each band."""
        width = self.X.shape[1] // self.candidates.shape[1]
        return [np.ascontiguousarray(self.X[:, i : i + width]) for i in range(0, self.X.shape[1], width)]

    @property
    def runs(self) -> NDArray[np.intp]:
        """Return the run of every row; folds in order are of whole ones."""
        return np.arange(len(self.X)) // -(-len(self.X) // N_RUNS)

    def design(self) -> NDArray[np.float32]:
        """Delay features within runs, written out."""
        if self.delays == (0,):
            return self.X
        n, p = self.X.shape
        out = np.zeros((n, p * len(self.delays)), dtype=self.X.dtype)
        for run in np.unique(self.runs):
            rows = np.flatnonzero(self.runs == run)
            for k, delay in enumerate(self.delays):
                out[rows[delay:], k * p : (k + 1) * p] = self.X[rows[: len(rows) - delay]]
        return out


def make(world: World, n_alphas: int = 20) -> Data:
    """Draw a world; a seed of its own makes every process draw the same."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((world.n, world.p), dtype=np.float32)
    if world.spectrum == "power":
        scale = 1 / np.arange(1, world.p + 1)
        rotation = np.linalg.qr(rng.standard_normal((world.p, world.p)))[0]
        X = (X * (scale * np.sqrt(world.p / np.square(scale).sum()))) @ rotation
        X = X.astype(np.float32)
    data = Data(X, X, penalties(n_alphas), candidates(world), delays=delays(world))
    design = data.design()
    width = design.shape[1]
    Y = design @ (rng.standard_normal((width, world.t), dtype=np.float32) / np.float32(np.sqrt(width)))
    for row in Y:
        row += 2 * rng.standard_normal(world.t, dtype=np.float32)
    return replace(data, Y=Y)


def delays(world: World) -> tuple[int, ...]:
    """Return the delays in rows; 0 alone is none."""
    return tuple(range(1, world.delays + 1)) if world.delays > 1 else (0,)


def penalties(n_alphas: int) -> NDArray[np.float64]:
    """Return the grid of penalties."""
    return np.logspace(-1, 5, n_alphas)


def candidates(world: World) -> NDArray[np.float64]:
    """Return weights of the bands on the simplex; none is 0, by which himalaya would divide."""
    drawn = np.random.default_rng(1).dirichlet([0.5] * world.bands, size=world.n_candidates).clip(1e-3)
    drawn[0] = 1
    return drawn / drawn.sum(axis=1, keepdims=True)


def save(world: World) -> None:
    """Write the arrays of a world, so that a measured process reads them without the memory it takes to draw them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    data = make(world)
    np.save(FOLDER / f"{world.name}-X.npy", data.X)
    np.save(FOLDER / f"{world.name}-Y.npy", data.Y)


def load(world: World, n_alphas: int = 20) -> Data:
    """Read what `save` wrote."""
    X, Y = (np.load(FOLDER / f"{world.name}-{part}.npy") for part in "XY")
    return Data(X, Y, penalties(n_alphas), candidates(world), delays=delays(world))


def saved(world: World) -> bool:
    """Return whether the arrays of a world are there."""
    return (FOLDER / f"{world.name}-Y.npy").exists()


def remove(world: World) -> None:
    """Delete the arrays of a world: the largest take 700 MB."""
    for part in "YX":
        (FOLDER / f"{world.name}-{part}.npy").unlink(missing_ok=True)
