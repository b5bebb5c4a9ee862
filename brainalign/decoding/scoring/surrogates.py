"""Signals that keep one property of a recording and lose another: what a decoder can do without the rest.

| | keeps | loses |
|---|---|---|
| phase_randomised | amplitude of every frequency, channel and trial | when anything happens |
| time_reversed | amplitudes, and every value | the order of time |
| spectrum_noise | the mean power spectrum (or cross-spectrum) | everything about single trials |

With `keep="cross-spectrum"` channels also keep their relative phases, so their covariance.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_choice, check_finite, check_rows, generator

Keep = Literal["power", "cross-spectrum"]
KEEPS = ("power", "cross-spectrum")


def phase_randomised(
    signals: Values, rng: np.random.Generator, keep: Keep = "power", n_samples: NDArray[np.intp] | None = None
) -> Values:
    """Return trials with random phases.

    Parameters
    ----------
    signals : array (n_trials, n_channels, n_times)
    rng : Generator
    keep : {"power", "cross-spectrum"}
        Each channel its own phases, or a trial's channels the same shifts of phase.
    n_samples : array (n_trials,), optional
        Samples of each trial; what follows is padding and stays.

    Returns
    -------
    array like `signals`, in float32 or float64
        The mean of a channel keeps its size and has a random sign, which is its phase.

    Raises
    ------
    BrainalignError
        If signals have another shape or are not finite.

    References
    ----------
    Theiler J, Eubank S, Longtin A, Galdrikian B, Farmer JD (1992). Testing for nonlinearity in time series: the method
    of surrogate data. Physica D 58:77-94. doi:10.1016/0167-2789(92)90102-S
    Prichard D, Theiler J (1994). Generating surrogate data for time series with several simultaneously measured
    variables. Physical Review Letters 73:951-954. doi:10.1103/PhysRevLett.73.951
    """
    _check(signals, keep, n_samples)
    found, rng = np.array(signals, dtype=np.result_type(signals, np.float32)), generator(rng)
    for length, rows in _by_length(signals, n_samples):
        spectrum = np.fft.rfft(signals[rows, :, :length], axis=2)
        channels = spectrum.shape[1] if keep == "power" else 1
        shift = np.exp(2j * np.pi * rng.random((len(rows), channels, spectrum.shape[2])))
        ends = [0] if length % 2 else [0, -1]  # bins of the mean and of the highest frequency are real
        shift[..., ends] = rng.choice([-1.0, 1.0], size=(len(rows), channels, len(ends)))
        found[rows, :, :length] = np.fft.irfft(spectrum * shift, n=length, axis=2)
    return found


def time_reversed(signals: Values, n_samples: NDArray[np.intp] | None = None) -> Values:
    """Return trials played backwards; parameters are those of `phase_randomised`."""
    _check(signals, "power", n_samples)
    found = np.array(signals)
    for length, rows in _by_length(signals, n_samples):
        found[rows, :, :length] = signals[rows, :, :length][..., ::-1]
    return found


def spectrum_noise(
    signals: Values,
    rng: np.random.Generator,
    groups: NDArray[Any] | None = None,
    keep: Keep = "power",
    n_samples: NDArray[np.intp] | None = None,
) -> Values:
    """Return Gaussian noise with the mean spectrum of the trials of a group.

    Parameters
    ----------
    signals, rng, n_samples
        As for `phase_randomised`.
    groups : array (n_trials,), optional
        For example the subject, whose spectrum is part of who it is.
    keep : {"power", "cross-spectrum"}
        Channels are independent, or as related as in the recording at every frequency.
    """
    _check(signals, keep, n_samples)
    n, n_channels, n_times = signals.shape
    labels = np.zeros(n, dtype=int) if groups is None else np.asarray(groups)
    check_rows("groups", len(labels), "signals", n, "give one per trial")
    inside = np.arange(n_times) < (np.full(n, n_times) if n_samples is None else n_samples)[:, None]
    found, rng = np.array(signals, dtype=np.result_type(signals, np.float32)), generator(rng)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        spectrum = np.fft.rfft(signals[rows] * inside[rows, None], axis=2)
        # Padding takes its share of the power away.
        weight = inside[rows].sum() / n_times
        white = np.fft.rfft(rng.normal(size=(len(rows), n_channels, n_times)), axis=2) / np.sqrt(n_times)
        if keep == "power":
            coloured = white * np.sqrt(np.square(np.abs(spectrum)).sum(axis=0) / weight)
        else:
            coloured = np.empty_like(white)
            for f in range(spectrum.shape[2]):
                cross = spectrum[:, :, f].T @ spectrum[:, :, f].conj() / weight  # (n_channels, n_channels)
                # A real bin stays real: its cross-spectrum is.
                values, vectors = np.linalg.eigh(cross.real if f == 0 or 2 * f == n_times else cross)
                coloured[:, :, f] = white[:, :, f] @ (vectors * np.sqrt(np.clip(values, 0, None))).T  # by its root
        found[rows] = np.where(inside[rows, None], np.fft.irfft(coloured, n=n_times, axis=2), signals[rows])
    return found


def _check(signals: Values, keep: str, n_samples: NDArray[np.intp] | None) -> None:
    check_choice("keep", keep, KEEPS)
    if signals.ndim != 3:
        raise BrainalignError(f"signals of shape {signals.shape} must be (n_trials, n_channels, n_times)")
    check_finite("signals", signals, "drop those trials or interpolate those channels")
    if n_samples is not None:
        check_rows("n_samples", len(n_samples), "signals", len(signals), "give one per trial")
        if np.min(n_samples) < 2 or np.max(n_samples) > signals.shape[2]:
            raise BrainalignError(
                f"n_samples from {np.min(n_samples)} to {np.max(n_samples)} do not fit {signals.shape[2]} times; "
                "count the samples of each trial, at least 2"
            )


def _by_length(signals: Values, n_samples: NDArray[np.intp] | None) -> list[tuple[int, NDArray[np.intp]]]:
    lengths = np.full(len(signals), signals.shape[2]) if n_samples is None else np.asarray(n_samples)
    return [(int(length), np.flatnonzero(lengths == length)) for length in np.unique(lengths)]
