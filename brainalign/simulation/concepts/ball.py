"""A ball that bounces in a box, a curtain that hides it, and neurons that follow the ball all the same.

    rate(condition, t) = W · (x, y, vx, vy) of the true ball, in standard deviations

The ball is reflected by the walls, so that it is soon where neither its last place nor its last velocity says.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError

Values = NDArray[np.float64]

WALL = 0.1  # the centre of the ball stays so far from the border
SPEED = (0.03, 0.06)  # of the box, per frame
BLOB = 1.5  # standard deviation of the ball in pixels


@dataclass(frozen=True)
class OccludedBall:
    """Frames, neurons and the truth behind both.

    Attributes
    ----------
    frames : array (n_conditions, n_times, side, side) of uint8
        Empty where the curtain is down.
    visible : array (n_conditions, n_times) of bool
    neural : array (n_conditions, n_times, n_neurons, n_repeats)
    training_frames : array (n_videos, n_times, side, side) of uint8
        Other balls, never hidden: what a model can learn the motion from.
    states : array (n_conditions, n_times, 4)
        x, y and velocities, per frame and width of the box.
    """

    frames: NDArray[np.uint8]
    visible: NDArray[np.bool_]
    neural: Values
    training_frames: NDArray[np.uint8]
    states: Values


def occluded_ball(
    n_conditions: int = 60,
    n_times: int = 30,
    n_neurons: int = 30,
    n_repeats: int = 8,
    *,
    n_videos: int = 200,
    noise: float = 1.0,
    n_silent: int = 3,
    side: int = 20,
    seed: int = 0,
) -> OccludedBall:
    """Draw balls, hide each of them after 9 to 12 frames until the end, and let neurons follow where it really is.

    Parameters
    ----------
    n_times : int
        16 or more, so that the curtain comes down before the end.
    n_videos : int
        For training.
    noise : float
        Standard deviation of one trial; that of the rate is 1.
    n_silent : int
        Last neurons, which are noise alone.
    side : int
        Pixels of a frame.
    """
    if n_times < 16:
        raise BrainalignError(f"the ball is hidden after up to 12 frames; give n_times of 16 or more, got {n_times}")
    rng = np.random.default_rng([seed, 0xBA11])
    states = _fly(n_conditions, n_times, rng)
    visible = np.arange(n_times) < rng.integers(9, 13, size=n_conditions)[:, None]
    frames = _render(states, side) * visible[:, :, None, None].astype(np.uint8)
    scaled = (states - states.mean(axis=(0, 1))) / states.std(axis=(0, 1))
    rates = scaled @ (rng.normal(size=(4, n_neurons)) * np.array([1.0, 1.0, 0.5, 0.5])[:, None])
    rates /= rates.std(axis=(0, 1))
    rates[:, :, n_neurons - n_silent :] = 0
    neural = rates[..., None] + noise * rng.normal(size=(*rates.shape, n_repeats))
    return OccludedBall(frames, visible, neural, _render(_fly(n_videos, n_times, rng), side), states)


def ball_features(frames: NDArray[np.generic]) -> Values:
    """Compute a frozen encoder's features of a ball: centre of brightness and its change, (n, n_times, 4).

    Frames are (n_conditions, n_times, side, side); an empty one has its centre in the middle of the box.
    """
    light = np.asarray(frames, dtype=np.float64)
    total = light.sum(axis=(2, 3))
    places = (np.arange(light.shape[2]) + 0.5) / light.shape[2]
    with np.errstate(invalid="ignore", divide="ignore"):
        x = np.where(total > 0, light.sum(axis=2) @ places / total, 0.5)
        y = np.where(total > 0, light.sum(axis=3) @ places / total, 0.5)
    centre = np.stack([x, y], axis=-1)
    change = np.diff(centre, axis=1)
    return np.concatenate([centre, np.concatenate([change[:, :1], change], axis=1)], axis=2)


def ball_future(context: Values, n_steps: int) -> Values:
    """Roll the features of `ball_features` out by the true law of motion: straight on, reflected by the walls.

    The context is (n, n_context, 4), what comes of it (n, n_steps, 4).
    """
    place, velocity = context[:, -1, :2].copy(), context[:, -1, 2:].copy()
    found = []
    for _ in range(n_steps):
        place = place + velocity
        over, under = place > 1 - WALL, place < WALL
        place = np.where(over, 2 * (1 - WALL) - place, np.where(under, 2 * WALL - place, place))
        velocity = np.where(over, -np.abs(velocity), np.where(under, np.abs(velocity), velocity))
        found.append(np.concatenate([place, velocity], axis=1))
    return np.stack(found, axis=1)


def _fly(n: int, n_times: int, rng: np.random.Generator) -> Values:
    angle, speed = rng.uniform(0, 2 * np.pi, size=n), rng.uniform(*SPEED, size=n)
    velocity = speed[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    start = np.concatenate([rng.uniform(WALL, 1 - WALL, size=(n, 2)), velocity], axis=1)
    return np.concatenate([start[:, None], ball_future(start[:, None], n_times - 1)], axis=1)


def _render(states: Values, side: int) -> NDArray[np.uint8]:
    places = (np.arange(side) + 0.5) / side
    x, y = (np.exp(-0.5 * ((states[:, :, k, None] - places) * side / BLOB) ** 2) for k in (0, 1))  # (n, n_times, side)
    return np.asarray(255 * y[..., :, None] * x[..., None, :]).round().astype(np.uint8)
