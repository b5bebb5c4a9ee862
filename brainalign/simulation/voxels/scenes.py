"""Scenes of one coloured shape on grey ground: a table of variables, drawn at any size, with a caption each.

A scene is known completely, so every response to it can be known too: what an area answers to is a column of the
table, not a guess. The same table renders at 32 pixels (for a small diffusion model) and 128 (for networks).
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice

Floats = NDArray[np.float32]

COLOURS = {
    "red": (0.86, 0.13, 0.13),
    "green": (0.13, 0.70, 0.20),
    "blue": (0.16, 0.30, 0.90),
    "yellow": (0.92, 0.84, 0.12),
}
TEXTURES = ("plain", "striped")
CENTRE, RADIUS, GROUND = (0.33, 0.67), (0.16, 0.30), (0.35, 0.65)
RAMP = 0.12  # largest change of the ground across the image
STRIPE_PERIOD, STRIPE_SHADE = 0.08, 0.55  # share of the image's width; brightness of the dark stripes
SUPERSAMPLING = 2
CHUNK = 2**22  # supersampled pixels drawn at once


# In units of the radius around the centre; v points down, as rows do.
SHAPES: dict[str, Callable[[Floats, Floats], NDArray[np.bool_]]] = {
    "circle": lambda u, v: u * u + v * v <= 1,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) <= 0.85,
    "triangle": lambda u, v: (v <= 0.75) & (np.abs(u) * 1.8 <= v + 1.05),
    "cross": lambda u, v: (np.minimum(np.abs(u), np.abs(v)) <= 0.32) & (np.maximum(np.abs(u), np.abs(v)) <= 1),
}


def draw_scenes(
    n_scenes: int,
    seed: int = 0,
    *,
    textures: Sequence[str] = TEXTURES,
    radius: tuple[float, float] = RADIUS,
    centre: tuple[float, float] = CENTRE,
) -> pd.DataFrame:
    """Draw scenes: shape, colour and texture balanced, everything else uniform and independent.

    Parameters
    ----------
    seed : int
        The scenes are a function of n_scenes and seed.
    textures : sequence of str
        ("plain",) for a world without texture.
    radius, centre : pair of float
        Ranges of size and place, shares of the image's width.

    Returns
    -------
    DataFrame (n_scenes)
        stimulus_id, category (= shape), caption, shape, colour, texture, size (radius), x, y (centre, from the upper
        left corner; like size a share of the image), ground (grey level), ramp and ramp_angle (the grey's slope).

    Raises
    ------
    BrainalignError
        If there is no scene to draw, or a texture does not exist.

    Examples
    --------
    >>> draw_scenes(2, seed=1)["caption"][0]
    'a large red striped cross in the lower right on a light background'
    """
    if n_scenes < 1:
        raise BrainalignError(f"n_scenes must be at least 1; got {n_scenes}")
    for texture in textures:
        check_choice("texture", texture, TEXTURES)
    rng = np.random.default_rng([seed, 0x5CE])
    # Every combination equally often, up to one: preferences and categories are then never confounded.
    kinds = [(s, c, t) for s in SHAPES for c in COLOURS for t in textures]
    rounds = -(-n_scenes // len(kinds))
    order = np.concatenate([rng.permutation(len(kinds)) for _ in range(rounds)])[:n_scenes]
    shapes, colours, chosen = zip(*(kinds[k] for k in order), strict=True)
    width = len(str(n_scenes - 1))
    scenes = pd.DataFrame(
        {
            "stimulus_id": [f"scene{k:0{max(width, 4)}d}" for k in range(n_scenes)],
            "category": shapes,
            "caption": "",
            "shape": shapes,
            "colour": colours,
            "texture": chosen,
            "size": rng.uniform(*radius, n_scenes).round(4),
            "x": rng.uniform(*centre, n_scenes).round(4),
            "y": rng.uniform(*centre, n_scenes).round(4),
            "ground": rng.uniform(*GROUND, n_scenes).round(4),
            "ramp": rng.uniform(0, RAMP, n_scenes).round(4),
            "ramp_angle": rng.uniform(0, 2 * np.pi, n_scenes).round(4),
        }
    )
    scenes["caption"] = [caption(scene) for _, scene in scenes.iterrows()]
    return scenes


def _word(value: float, bounds: tuple[float, float], words: Sequence[str]) -> str:
    """Return the word of the equal part of `bounds` that holds the value."""
    share = (value - bounds[0]) / (bounds[1] - bounds[0])
    return words[int(np.clip(share * len(words), 0, len(words) - 1))]


def caption(scene: "pd.Series[Any]") -> str:
    """Describe a scene, a row of `draw_scenes`, in a sentence: size, colour, texture, shape, place, ground."""
    row = _word(float(scene["y"]), CENTRE, ("upper", "middle", "lower"))
    column = _word(float(scene["x"]), CENTRE, ("left", "centre", "right"))
    if row == "middle":
        place = "in the centre" if column == "centre" else f"on the {column}"
    else:
        place = f"in the {row} {'middle' if column == 'centre' else column}"
    size = _word(float(scene["size"]), RADIUS, ("small", "medium-sized", "large"))
    ground = _word(float(scene["ground"]), GROUND, ("dark", "grey", "light"))
    texture = "" if scene["texture"] == "plain" else f" {scene['texture']}"
    return f"a {size} {scene['colour']}{texture} {scene['shape']} {place} on a {ground} background"


def _column(scenes: pd.DataFrame, name: str) -> Floats:
    return scenes[name].to_numpy(np.float32)[:, None, None]  # (n_scenes, 1, 1)


def _coverage(scenes: pd.DataFrame, size: int) -> tuple[Floats, Floats]:
    """Return the share of each pixel that the bright and the dark part of the shape cover, (n_scenes, size, size)."""
    n = size * SUPERSAMPLING
    place = (np.arange(n, dtype=np.float32) + 0.5) / n
    u = (place[None, None, :] - _column(scenes, "x")) / _column(scenes, "size")
    v = (place[None, :, None] - _column(scenes, "y")) / _column(scenes, "size")
    inside = np.empty((len(scenes), n, n), dtype=bool)
    for name, shape in SHAPES.items():
        mine = scenes["shape"].to_numpy() == name
        inside[mine] = shape(u[mine], v[mine])
    stripes = ((place[None, :] + place[:, None]) % STRIPE_PERIOD < STRIPE_PERIOD / 2)[None]
    dark = inside & stripes & (scenes["texture"].to_numpy() == "striped")[:, None, None]

    def shrink(mask: NDArray[np.bool_]) -> Floats:
        blocks = mask.reshape(len(mask), size, SUPERSAMPLING, size, SUPERSAMPLING)
        return np.asarray(blocks.sum(axis=(2, 4), dtype=np.uint8) / np.float32(SUPERSAMPLING**2))

    covered_dark = shrink(dark)
    return shrink(inside) - covered_dark, covered_dark


def _render(scenes: pd.DataFrame, size: int) -> NDArray[np.uint8]:
    place = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    angle = _column(scenes, "ramp_angle")
    slope = np.cos(angle) * place[None, None, :] + np.sin(angle) * place[None, :, None]
    ground = _column(scenes, "ground") + _column(scenes, "ramp") * slope
    bright, dark = _coverage(scenes, size)
    ground *= 1 - bright - dark
    ink = bright + STRIPE_SHADE * dark
    colours = np.array([COLOURS[name] for name in scenes["colour"]], dtype=np.float32)
    images = ground[..., None] + ink[..., None] * colours[:, None, None, :]
    return np.asarray(np.rint(255 * images.clip(0, 1)).astype(np.uint8))


def render(scenes: pd.DataFrame, size: int = 128) -> NDArray[np.uint8]:
    """Draw scenes as uint8 (n_scenes, size, size, 3), antialiased by 2 × 2 supersampling.

    They come from `draw_scenes`, or are a table with its columns; shapes, colours and textures must exist.
    """
    if size < 1:
        raise BrainalignError(f"size must be a positive number of pixels; got {size}")
    menus: dict[str, Collection[str]] = {"shape": SHAPES, "colour": COLOURS, "texture": TEXTURES}
    for name, choices in menus.items():
        for value in scenes[name].unique():
            check_choice(name, value, choices)
    step = max(1, CHUNK // (size * SUPERSAMPLING) ** 2)
    return np.concatenate([_render(scenes.iloc[k : k + step], size) for k in range(0, len(scenes), step)])


# Narrower ranges than a study's: at 32 pixels every one of these scenes is a clear picture.
CLEAR_RADIUS, CLEAR_CENTRE = (0.22, 0.34), (0.37, 0.63)


def clear_scenes(n_scenes: int, seed: int = 0) -> pd.DataFrame:
    """Draw scenes that stay clear at 32 pixels: plain, large enough, near the centre; arguments as of `draw_scenes`."""
    return draw_scenes(n_scenes, seed, textures=("plain",), radius=CLEAR_RADIUS, centre=CLEAR_CENTRE)
