"""What a model expects while it cannot see: features of frames that were shown, simulated ones of hidden frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite

Simulate = Callable[[Values, int], Values]  # context (n, n_context, n_units), n_steps -> (n, n_steps, n_units)

N_WAVES = 6  # of time alone


def hold_last(context: Values, n_steps: int) -> Values:
    """Expect that nothing changes: identity dynamics, (n, n_steps, n_units)."""
    return np.repeat(context[:, -1:], n_steps, axis=1)


def constant_velocity(context: Values, n_steps: int) -> Values:
    """Expect that the features go on changing as they did from the last but one frame to the last."""
    steps = np.arange(1, n_steps + 1)[:, None]
    return context[:, -1:] + steps * (context[:, -1:] - context[:, -2:-1])


SIMPLE_FUTURES: dict[str, Simulate] = {"hold last": hold_last, "constant velocity": constant_velocity}


def time_features(n_conditions: int, n_times: int) -> NDArray[np.float64]:
    """Compute features of time alone, the same for all conditions: slow cosines, (n_conditions, n_times, 6)."""
    phase = np.pi * (np.arange(n_times) + 0.5) / n_times
    waves = np.cos(phase[:, None] * np.arange(1, N_WAVES + 1))
    return np.repeat(waves[None], n_conditions, axis=0)


def roll_out(features: Values, visible: NDArray[np.bool_], simulate: Simulate, n_context: int = 7) -> Values:
    """Return features in which hidden frames are what `simulate` expects after the last frames before them.

    Parameters
    ----------
    features : array (n_conditions, n_times, n_units)
        Of the encoder; what it makes of hidden frames is not used.
    visible : array (n_conditions, n_times) of bool
        Each condition may be hidden once, for any number of frames.
    simulate : function of (context (n, n_context, n_units), n_steps)
        Returns (n, n_steps, n_units).
    n_context : int
        Frames seen right before.

    Returns
    -------
    array (n_conditions, n_times, n_units)

    Raises
    ------
    BrainalignError
        If shapes do not fit, a condition is hidden twice or has too few frames before, or what comes back is not
        finite or of another shape.

    References
    ----------
    Nayebi A, Rajalingham R, Jazayeri M, Yang GR (2023). Neural foundations of mental simulation: future prediction of
    latent representations on dynamic scenes. NeurIPS. arXiv:2305.11772
    """
    features, visible = np.asarray(features), np.asarray(visible, dtype=bool)
    if features.ndim != 3 or features.shape[:2] != visible.shape:
        raise BrainalignError(
            f"features have shape {features.shape} but the visible mask has {visible.shape}; give features "
            "(n_conditions, n_times, n_units) of every frame"
        )
    if n_context < 2:
        raise BrainalignError(f"n_context must be 2 or more, so that there is a motion to continue; got {n_context}")
    starts, lengths = _hidden(visible, n_context)
    out = features.astype(np.result_type(features, np.float32), copy=True)
    for start, length in sorted({pair for pair in zip(starts, lengths, strict=True) if pair[1]}):
        rows = np.flatnonzero((starts == start) & (lengths == length))
        found = np.asarray(simulate(out[rows, start - n_context : start], int(length)))
        expected = (len(rows), length, features.shape[2])
        if found.shape != expected:
            raise BrainalignError(
                f"simulate returned shape {found.shape} for a context of shape "
                f"{(len(rows), n_context, features.shape[2])} and {length} steps; it must return {expected}"
            )
        check_finite("what simulate returned", found, "it diverged: shorten its steps or train it longer")
        out[rows, start : start + length] = found
    return out


def _hidden(visible: NDArray[np.bool_], n_context: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each condition is hidden from, and for how many frames."""
    lengths = (~visible).sum(axis=1)
    starts = (~visible).argmax(axis=1)
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        if not length:
            continue
        if visible[row, start : start + length].any():
            raise BrainalignError(f"condition {row} is hidden more than once; cut it into conditions hidden once")
        if start < n_context:
            raise BrainalignError(
                f"condition {row} is hidden from frame {start} on, but the context are the {n_context} frames before; "
                "give a smaller context"
            )
    return starts, lengths
