"""MEG and EEG epochs of a simulated subject: dipoles that follow a network's layers, each layer at its own latency.

    sensors(trial, t) = Σ_layer course_layer(t) · Σ_k drive_layer,k(stimulus) · field(dipole_layer,k)
                        + evoked(t) + background dipoles + sensor noise

A layer's course is Gaussian around its latency. The fields come from MNE's spherical head model at the positions of
real sensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_choice

if TYPE_CHECKING:
    import mne

Floats = NDArray[np.float64]

FIRST_S, STEP_S, WIDTH_S = 0.08, 0.05, 0.025  # latency of the first layer, from one layer to the next, sd
START_S, STOP_S, SFREQ_HZ = -0.1, 0.5, 100.0
CENTRE_M, RADIUS_M = (0.0, 0.0, 0.038), 0.09  # of the head sphere, in head coordinates
# Centres of the layers' sources from the centre of the head (x right, y front, z up), posterior to anterior; every
# other dipole lies in the left hemisphere instead.
SOURCES_M = (
    (0.015, -0.065, 0.005),
    (0.025, -0.058, 0.025),
    (0.042, -0.045, 0.010),
    (0.055, -0.020, 0.005),
    (0.050, 0.010, 0.030),
)
SPREAD_M, DEEPEST_M, HIGHEST_M = 0.012, 0.04, 0.075  # of dipoles around these; their distance from the centre
SNR = 0.8  # sd of the signal over stimuli, at its latency, relative to one trial's noise: root mean square of sensors
NOISE_SD = {"mag": 100e-15, "grad": 2500e-15, "eeg": 10e-6}  # T, T/m, V in one trial, root mean square of sensors
N_BACKGROUND = 60  # dipoles whose activity is noise
BACKGROUND_SHARE = 0.6  # of the noise variance; the rest is independent between sensors
AUTOCORRELATION = 0.6  # of the noise from one sample to the next

SENSORS = {"meg": "Neuromag: 102 magnetometers, 204 planar gradiometers", "eeg": "BioSemi: 64 electrodes"}


@dataclass(frozen=True)
class MeegTruth:
    """What was planted.

    Attributes
    ----------
    layers : DataFrame (n_layers)
        layer, depth (0 to 1), latency_s, width_s.
    sensors : DataFrame (n_sensors · n_times)
        target_id, time_s, ceiling (true share of signal in the average of all repeats), ceiling_single_trial, and
        layer: the one with most signal there.
    """

    layers: pd.DataFrame
    sensors: pd.DataFrame


def layer_latencies(layers: Sequence[str]) -> pd.DataFrame:
    """Return when each layer is expressed: layer, depth (0 to 1), latency_s, width_s; all must fit the epoch."""
    latency = (FIRST_S + STEP_S * np.arange(len(layers))).round(6)
    if latency[-1] + 2 * WIDTH_S > STOP_S or len(layers) > len(SOURCES_M):
        raise BrainalignError(f"{len(layers)} layers do not fit; plant at most {len(SOURCES_M)}")
    depth = np.linspace(0, 1, len(layers)) if len(layers) > 1 else np.zeros(1)
    return pd.DataFrame({"layer": list(layers), "depth": depth, "latency_s": latency, "width_s": WIDTH_S})


def sensor_info(kind: str, sensors: Literal["all", "mag"] = "all") -> mne.Info:
    """Return real sensor positions of "meg" or "eeg", in head coordinates; "mag" leaves the gradiometers out."""
    import mne

    check_choice("kind", kind, SENSORS)
    if kind == "eeg":
        montage = mne.channels.make_standard_montage("biosemi64", head_size=RADIUS_M)
        info = mne.create_info(montage.ch_names, SFREQ_HZ, "eeg", verbose=False)
        info.set_montage(montage)
        return info
    check_choice("sensors", sensors, ("all", "mag"))
    canonical = mne.channels.read_meg_canonical_info("neuromag", verbose=False)
    coils = {channel["ch_name"]: channel for channel in canonical["chs"]}
    # In Neuromag names the last digit tells magnetometers (1) from gradiometers (2, 3).
    names = [name for name in coils if sensors == "all" or name.endswith("1")]
    info = mne.create_info(names, SFREQ_HZ, ["mag" if name.endswith("1") else "grad" for name in names], verbose=False)
    for channel in info["chs"]:
        channel["loc"] = coils[channel["ch_name"]]["loc"].copy()
        channel["coil_type"] = coils[channel["ch_name"]]["coil_type"]
    with info._unlock():  # the helmet is drawn around its own origin; the head's sphere is put there
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", mne.transforms.translation(*CENTRE_M))
    return info


def _dipoles(places: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw positions in the brain near `places`, and tangential directions: radial dipoles are silent in MEG."""
    positions = places + rng.normal(0, SPREAD_M, places.shape)
    radius = np.linalg.norm(positions, axis=1, keepdims=True)
    outward = positions / radius
    directions = rng.normal(size=positions.shape)
    directions -= (directions * outward).sum(axis=1, keepdims=True) * outward
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return outward * radius.clip(DEEPEST_M, HIGHEST_M), directions


def _fields(info: mne.Info, positions: Floats, directions: Floats) -> Floats:
    """Compute the field of a dipole of 1 Am at each position, at each sensor, (n_dipoles, n_sensors)."""
    import mne

    n = len(positions)
    sphere = mne.make_sphere_model(CENTRE_M, RADIUS_M, verbose=False)
    dipoles = mne.Dipole(np.arange(n), positions + CENTRE_M, np.ones(n), directions, np.full(n, 100.0))
    forward, _ = mne.make_forward_dipole(dipoles, sphere, info, verbose=False)
    return np.asarray(forward["sol"]["data"].T)


def _noise(
    background: Floats, white_sd: Floats, n_trials: int, n_times: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (n_trials, n_sensors, n_times): dipoles seen by all sensors and noise of each, both autocorrelated."""

    def autocorrelated(n_series: int) -> NDArray[np.float32]:
        series = rng.standard_normal((n_trials, n_series, n_times), dtype=np.float32)
        for t in range(1, n_times):  # stationary: variance 1 at every sample
            series[..., t] *= np.float32(np.sqrt(1 - AUTOCORRELATION**2))
            series[..., t] += np.float32(AUTOCORRELATION) * series[..., t - 1]
        return series

    noise = autocorrelated(len(white_sd))
    noise *= white_sd.astype(np.float32)[:, None]
    noise += np.matmul(background.T.astype(np.float32), autocorrelated(len(background)))
    return noise


def _scaled_fields(
    info: mne.Info, n_layers: int, n_drives: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Place dipoles and scale their fields: noise to `NOISE_SD` in each type of sensor, signals to `SNR`.

    Of signals (n_layers, n_drives, n_sensors), of the background (N_BACKGROUND, n_sensors), and the sd of white noise.
    """
    places = np.repeat(np.array(SOURCES_M[:n_layers]), n_drives, axis=0)
    places[1::2, 0] *= -1
    everywhere = rng.normal(size=(N_BACKGROUND, 3))
    everywhere *= 0.06 / np.linalg.norm(everywhere, axis=1, keepdims=True)
    positions, directions = _dipoles(np.concatenate([places, everywhere]), rng)
    fields = _fields(info, positions, directions)
    types = np.array(info.get_channel_types())
    if "eeg" in types:
        fields -= fields.mean(axis=1, keepdims=True)  # average reference
    signal, background = fields[: len(places)].reshape(n_layers, n_drives, -1), fields[len(places) :]
    white_sd = np.empty(len(types))
    for name in np.unique(types):
        mine = types == name
        noise = np.sqrt((background[:, mine] ** 2).sum(axis=0).mean() / BACKGROUND_SHARE)
        background[:, mine] *= NOISE_SD[name] / noise
        white_sd[mine] = NOISE_SD[name] * np.sqrt(1 - BACKGROUND_SHARE)
        strength = np.sqrt((signal[..., mine] ** 2).sum(axis=1).mean(axis=1))  # per layer
        signal[..., mine] *= (SNR * NOISE_SD[name] / strength)[:, None, None]
    return signal, background, white_sd


def simulate_meeg(
    trials: pd.DataFrame, drives: Mapping[str, Floats], stimulus_ids: Sequence[str], info: mne.Info, seed: int
) -> tuple[Responses, MeegTruth]:
    """Simulate one subject's epochs.

    Parameters
    ----------
    trials : DataFrame (n_trials)
        From `schedule`.
    drives : mapping of arrays (n_stimuli, n_drives)
        By layer, in order of depth: `CortexDrives.what`.
    stimulus_ids : sequence of str
        Rows of the drives.
    info : mne.Info
        From `sensor_info`.
    seed : int
        The subject's: it places the dipoles and draws the noise.

    Returns
    -------
    Responses
        (n_trials, n_sensors, n_times) in T, T/m and V.
    MeegTruth
    """
    rng = np.random.default_rng([seed, 0x3E6])
    layers = layer_latencies(list(drives))
    times = np.round(np.arange(START_S, STOP_S + 0.5 / SFREQ_HZ, 1 / SFREQ_HZ), 6)
    n_repeats = int(trials["repeat"].max()) + 1
    stacked = np.stack(list(drives.values()), axis=1)  # (n_stimuli, n_layers, n_drives)
    signal, background, white_sd = _scaled_fields(info, stacked.shape[1], stacked.shape[2], rng)
    course = np.exp(-((times - layers["latency_s"].to_numpy()[:, None]) ** 2) / (2 * WIDTH_S**2))

    position = {stimulus_id: k for k, stimulus_id in enumerate(stimulus_ids)}
    seen, stimulus = np.unique(trials["stimulus_id"].map(position).to_numpy(), return_inverse=True)
    patterns = np.einsum("nlk,lks->nls", stacked[seen], signal)
    signals = np.einsum("nls,lt->nst", patterns, course, optimize=True)
    evoked = np.einsum("ls,lt->st", 2 * signal.mean(axis=1), course)  # the same in every trial
    values = _noise(background, white_sd, len(trials), len(times), rng)
    values += (signals + evoked).astype(np.float32)[stimulus]
    white = white_sd**2
    if "eeg" in info.get_channel_types(unique=True):  # average reference; the fields have it already
        values -= values.mean(axis=1, keepdims=True)
        white = white * (1 - 2 / len(white)) + white.mean() / len(white)
    noise = (background**2).sum(axis=0) + white
    targets = _sensor_targets(info)
    variance = signals.var(axis=0)  # (n_sensors, n_times)
    parts = patterns.var(axis=0)[:, :, None] * course[:, None, :] ** 2  # (n_layers, n_sensors, n_times)
    truth = pd.DataFrame(
        {
            "target_id": np.repeat(targets["target_id"].to_numpy(), len(times)),
            "time_s": np.tile(times, len(targets)),
            "layer": layers["layer"].to_numpy()[parts.argmax(axis=0)].ravel(),
            "ceiling": (variance / (variance + noise[:, None] / n_repeats)).ravel(),
            "ceiling_single_trial": (variance / (variance + noise[:, None])).ravel(),
        }
    )
    return Responses(values, trials, targets, "T, T/m and V", times), MeegTruth(layers, truth)


def _sensor_targets(info: mne.Info) -> pd.DataFrame:
    """Return the table of sensors, places in head coordinates in mm."""
    from mne.transforms import apply_trans

    places = np.array([channel["loc"][:3] for channel in info["chs"]])
    types = info.get_channel_types()
    if "eeg" not in types:
        places = apply_trans(info["dev_head_t"], places)
    return pd.DataFrame(
        {
            "target_id": info["ch_names"],
            "kind": "sensor",
            "hemi": "",
            "roi": [[name] for name in types],
            "sensor_type": types,
            **dict(zip(("x_mm", "y_mm", "z_mm"), 1000 * places.T, strict=True)),
        }
    )


def to_epochs(responses: Responses, info: mne.Info) -> mne.BaseEpochs:
    """Return responses (n_trials, n_sensors, n_times) as epochs of MNE, the table of trials as their metadata."""
    import mne

    if responses.times is None:
        raise BrainalignError(f"responses of shape {responses.values.shape} have no times; epochs need them")
    n = len(responses.trials)
    events = np.stack([200 * np.arange(n), np.zeros(n, int), np.ones(n, int)], axis=1)  # one every 2 s
    about: dict[str, Any] = {"event_id": {"stimulus": 1}, "metadata": responses.trials, "verbose": False}
    epochs = mne.EpochsArray(responses.values, info, events, tmin=float(responses.times[0]), **about)
    if "eeg" in epochs.get_channel_types(unique=True):
        epochs.set_eeg_reference("average", projection=False, verbose=False)
    return epochs
