"""Objects in grids of tokens: ROIs that follow an object wherever it is, look at one place, or do both. What they read
moves with the image, so no fixed weighting of places predicts the first and the last kind."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

GRID = (8, 8)
N_OBJECTS, N_ATTRIBUTES = 4, 8
OBJECT_ROIS = {f"what{k}": ("what", k) for k in range(N_OBJECTS)}
OBJECT_ROIS |= {f"where{place}": ("where", place) for place in (9, 54)}
OBJECT_ROIS |= {f"whatwhere{k}": ("whatwhere", k) for k in range(N_OBJECTS)}
"""Kind of each ROI, and the object it follows or the token it looks at."""


@dataclass(frozen=True)
class ObjectWorld:
    tokens: Values  # (n_images, 64, 12): row-major over `grid`; 4 channels of identity, then 8 of attributes
    grid: tuple[int, int]  # (8, 8)
    cells: NDArray[np.intp]  # (n_images, 4): token at which each object lies
    roi: NDArray[np.str_]  # (n_targets,): names of `OBJECT_ROIS`
    # both (n_images, n_targets): the responses are signal + noise of variance 1 / n_repeats of the image
    signal: Values
    responses: Values
    n_repeats: NDArray[np.intp]  # (n_images,)

    def ceiling(self, rows: slice) -> Values:
        """Return the noise ceiling (n_targets,) of some images with equal repeats: a share of variance."""
        signal = self.signal[rows].var(axis=0)
        return np.asarray(signal / (signal + 1 / self.n_repeats[rows][0]))


def object_world(n_training: int = 2400, n_test: int = 600, n_targets: int = 10, seed: int = 0) -> ObjectWorld:
    """Simulate images and responses; the first `n_training` images are shown once, the others three times.

    The tokens are noise of sd .3. One object of each of 4 categories lies at a random token of its own: its channel of
    identity is raised by 2 and its attributes a ~ N(0, I) take the place of the noise. Each target has weights
    w ~ N(0, I / 8) on attributes, and its ROI says whose:

    - what k: w · a of object k, wherever it lies.
    - where p: w · attributes at token p, scaled to unit variance.
    - what×where k: √2 w · a of object k while that lies in the left half (columns 0-3), else 0.
    """
    rng = np.random.default_rng(seed)
    n_images, n_tokens = n_training + n_test, GRID[0] * GRID[1]
    tokens = 0.3 * rng.normal(size=(n_images, n_tokens, N_OBJECTS + N_ATTRIBUTES))
    cells = rng.permuted(np.tile(np.arange(n_tokens), (n_images, 1)), axis=1)[:, :N_OBJECTS]
    attributes = rng.normal(size=(n_images, N_OBJECTS, N_ATTRIBUTES))
    for k in range(N_OBJECTS):
        tokens[np.arange(n_images), cells[:, k], k] += 2
        tokens[np.arange(n_images), cells[:, k], N_OBJECTS:] = attributes[:, k]
    left, parts = cells % GRID[1] < GRID[1] // 2, []
    for kind, which in OBJECT_ROIS.values():
        weights = rng.normal(size=(N_ATTRIBUTES, n_targets)) / np.sqrt(N_ATTRIBUTES)
        if kind == "where":
            part = tokens[:, which, N_OBJECTS:] @ weights
            parts.append(part / part.std(axis=0))
        else:
            shown = np.sqrt(2) * left[:, which] if kind == "whatwhere" else np.ones(n_images)
            parts.append(shown[:, None] * (attributes[:, which] @ weights))
    signal, n_repeats = np.hstack(parts), np.where(np.arange(n_images) < n_training, 1, 3)
    noise = rng.normal(size=signal.shape) / np.sqrt(n_repeats)[:, None]
    return ObjectWorld(tokens, GRID, cells, np.repeat(list(OBJECT_ROIS), n_targets), signal, signal + noise, n_repeats)
