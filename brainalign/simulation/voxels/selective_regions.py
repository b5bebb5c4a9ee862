"""Small scenes in which synthesis is tried: what a region prefers is known for every image, also for new ones."""

from __future__ import annotations

import pandas as pd

from brainalign.simulation.voxels.scenes import draw_scenes

# Narrower ranges than a study's: at 32 pixels every one of these scenes is a clear picture.
CLEAR_RADIUS, CLEAR_CENTRE = (0.22, 0.34), (0.37, 0.63)


def clear_scenes(n_scenes: int, seed: int = 0) -> pd.DataFrame:
    """Draw scenes that stay clear at 32 pixels: plain, large enough, near the centre.

    Parameters
    ----------
    n_scenes, seed : int
        As of `draw_scenes`.
    """
    return draw_scenes(n_scenes, seed, textures=("plain",), radius=CLEAR_RADIUS, centre=CLEAR_CENTRE)
