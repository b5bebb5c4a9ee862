"""Directions of regions, tried out: images of the same seeds over alpha, judged by others, beside directions of chance.

Seeds that directions are found with are not among those they are tried on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainalign.checks import BrainalignError
from brainalign.synthesis.directions.bottleneck import Trajectories, record_trajectories
from brainalign.synthesis.directions.directions import (
    Directions,
    Method,
    cosines,
    random_directions,
    semantic_directions,
)
from brainalign.synthesis.guidance import Judges, Objective

if TYPE_CHECKING:
    from brainalign.synthesis.guidance import BrainGuidedPipeline

ASKING = ("supervised", "ridge", "pullback")  # methods that find one direction per region
SHUFFLED = ("supervised", "ridge")  # of these, those that scores in another order mean something to
FOUND = 200_000  # seeds of the images that directions are found with start here

Key = tuple[str, str, int, bool]  # method, region, number of the direction, whether others were taken out
Values = NDArray[np.floating]
Said = tuple[dict[str, Values], dict[str, Values]]  # by judges of images, and of images in every region


@dataclass(frozen=True)
class StudiedDirections:
    """What a study found.

    Attributes
    ----------
    directions : dict of Directions
        One direction each, by (method, region or "", number, whether the other regions' were taken out).
    images : array (n_images, size, size, 3), uint8
    table : DataFrame
        A row per image and region that judges it: method, region (of the direction, or ""), direction (number),
        orthogonal, control ("" | random | shuffled), number (of the control, or -1), alpha (in standard deviations),
        image (row of `images`, or -1 for controls), seed, what `Judges.by_image` say, scored (region), and what
        `Judges.by_region` say.
    cosines : DataFrame
        method, orthogonal, region_a, region_b, cosine.
    """

    directions: dict[Key, Directions]
    images: NDArray[np.uint8]
    table: pd.DataFrame
    cosines: pd.DataFrame


@dataclass(frozen=True)
class DirectionStudy:
    """Find directions and try them out.

    Parameters
    ----------
    objectives : mapping of callables
        By region, images (n, 3, H, W) in [0, 1] to (n,): the annotators.
    judges : Judges
        Their regions are those of `objectives`, in this order.
    methods : sequence of str
        Of `semantic_directions`. The supervised ones find a direction per region, also without what the others span.
    n_seeds : int
        Images that directions are found with.
    n_directions : int
        Of methods that ask no region.
    alphas : sequence of float
        Rising, 0 among them.
    n_images : int
        Seeds that directions are tried on.
    n_controls, n_control_images : int
        Directions of chance, as long as the longest of a region: random maps, and what shuffled scores find. They are
        tried at the first and the last alpha.
    progress : callable, optional
        Called with a line of words.
    """

    pipe: "BrainGuidedPipeline"
    objectives: Mapping[str, Objective]
    judges: Judges
    methods: Sequence[Method] = ("supervised",)
    n_seeds: int = 256
    n_directions: int = 3
    spatial: Literal["full", "mean"] = "full"
    alphas: Sequence[float] = (-3.0, -1.5, 0.0, 1.5, 3.0)
    n_images: int = 16
    n_controls: int = 19
    n_control_images: int = 8
    n_steps: int = 25
    batch_size: int = 64
    seed: int = 0
    progress: Callable[[str], object] = lambda words: None
    rows: list[pd.DataFrame] = field(default_factory=list, init=False, repr=False)

    def run(self) -> StudiedDirections:
        """Return directions, images and scores."""
        alphas = np.asarray(self.alphas, dtype=float)
        if len(alphas) < 2 or 0 not in alphas or (np.diff(alphas) <= 0).any():
            raise BrainalignError(f"alphas must rise, with 0 among them; got {tuple(self.alphas)}")
        if not self.objectives:
            raise BrainalignError("directions of regions need a region, whose response is the annotator; got none")
        self.rows.clear()
        first = 1_000_003 * self.seed
        self.progress(f"{self.n_seeds} seeds to find directions with")
        seeds, options = range(first + FOUND, first + FOUND + self.n_seeds), {"num_inference_steps": self.n_steps}
        recorded = record_trajectories(self.pipe, seeds, batch_size=self.batch_size, **options)
        found = dict(self._found(recorded))
        longest = max(found.values(), key=lambda one: float(one.scale[0]))
        tried = list(range(first, first + self.n_images))
        self.progress(f"{len(found)} directions at {len(alphas)} strengths")
        plain = self._edited(longest, np.zeros(len(tried)), tried)
        shown, of_plain = [plain], self._judged(plain)
        for key, direction in found.items():
            for alpha in alphas:
                images, said, start = plain, of_plain, 0
                if alpha != 0:
                    images = self._edited(direction, np.full(len(tried), alpha), tried)
                    said, start = self._judged(images), sum(map(len, shown))
                    shown.append(images)
                self._note(key, ("", -1), np.full(len(tried), alpha), tried, said, start)
        few = tried[: self.n_control_images]
        ends = np.repeat([alphas[0], alphas[-1]], len(few))
        for control, number, direction in self._controls(recorded, longest):
            said = self._judged(self._edited(direction, ends, few + few))
            self._note(("", "", 0, False), (control, number), ends, few + few, said, None)
        pixels = (torch.cat(shown) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return StudiedDirections(found, pixels, pd.concat(self.rows, ignore_index=True), self._cosines(found))

    def _found(self, recorded: Trajectories) -> Iterator[tuple[Key, Directions]]:
        options: dict[str, Any] = {"recorded": recorded, "spatial": self.spatial}
        for method in self.methods:
            self.progress(f"directions: {method}")
            if method not in ASKING:
                several = semantic_directions(self.pipe, method, n_directions=self.n_directions, **options)
                for k in range(len(several)):
                    yield (method, "", k, False), several.select([k])
                continue
            own = {name: semantic_directions(self.pipe, method, of, **options) for name, of in self.objectives.items()}
            for name, direction in own.items():
                yield (method, name, 0, False), direction
                if others := [one for other, one in own.items() if other != name]:
                    yield (method, name, 0, True), direction.without(others, recorded)

    def _controls(self, recorded: Trajectories, longest: Directions) -> Iterator[tuple[str, int, Directions]]:
        drawn = random_directions(longest, max(self.n_controls, 1), self.seed)
        for k in range(self.n_controls):
            self.progress(f"direction of chance {k + 1} of {self.n_controls}")
            yield "random", k, drawn.select([k])
            method = next((name for name in self.methods if name in SHUFFLED), None)
            if method is None:
                continue
            objective = list(self.objectives.values())[k % len(self.objectives)]
            with torch.no_grad():
                scores = objective(recorded.images)
            order = torch.from_numpy(np.random.default_rng([self.seed, k]).permutation(len(scores)))
            shuffled = scores[order.to(scores.device)]
            options: dict[str, Any] = {"objective": lambda _, scores=shuffled: scores, "spatial": self.spatial}
            found = semantic_directions(self.pipe, method, recorded=recorded, **options)
            yield "shuffled", k, replace(found, scale=longest.scale)

    def _edited(self, direction: Directions, alphas: Values, seeds: list[int]) -> Tensor:
        parts = []
        for start in range(0, len(seeds), self.batch_size):
            some = slice(start, start + self.batch_size)
            parts.append(direction.edit(self.pipe, alphas[some], seeds[some]).images)
        return (torch.cat(parts).float() * 255).round() / 255  # as in the file that people will open

    def _judged(self, images: Tensor) -> Said:
        by_image = {name: judge(images) for name, judge in self.judges.by_image.items()}
        return by_image, {name: judge(images) for name, judge in self.judges.by_region.items()}

    def _note(
        self, key: Key, control: tuple[str, int], alphas: Values, seeds: list[int], said: Said, start: int | None
    ) -> None:
        by_image, by_region = said
        about: dict[str, object] = dict(zip(("method", "region", "direction", "orthogonal"), key, strict=True))
        about |= dict(zip(("control", "number"), control, strict=True))
        images = -1 if start is None else start + np.arange(len(seeds))
        about |= {"alpha": alphas, "image": images, "seed": seeds}
        for k, scored in enumerate(self.objectives):
            values = {name: matrix[:, k] for name, matrix in by_region.items()}
            self.rows.append(pd.DataFrame(about | by_image | {"scored": scored} | values))

    def _cosines(self, found: Mapping[Key, Directions]) -> pd.DataFrame:
        rows = []
        for method in (name for name in self.methods if name in ASKING):
            for orthogonal in (False, True):
                mine = {key[1]: one for key, one in found.items() if key[0] == method and key[3] == orthogonal}
                plain = {key[1]: one for key, one in found.items() if key[0] == method and not key[3]}
                if not mine:
                    continue
                # What was taken out of a direction is what the plain directions of the others span.
                grid = cosines([*mine.values(), *plain.values()])[: len(mine), len(mine) :]
                for a, row in zip(mine, grid, strict=True):
                    for b, value in zip(plain, row, strict=True):
                        rows.append((method, orthogonal, a, b, float(value)))
        return pd.DataFrame(rows, columns=["method", "orthogonal", "region_a", "region_b", "cosine"])
