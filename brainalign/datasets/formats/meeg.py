"""MEG and EEG: epochs that MNE-Python saved become responses per trial, sensor and time."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_choice, did_you_mean, listed
from brainalign.datasets.formats.surfaces import empty_lists
from brainalign.datasets.formats.trials import complete_trials, kept_trials, read_trials
from brainalign.io import reading
from brainalign.study import LEFT_OUT

# MNE keeps SI units, whose squares leave the range of float32; these are the ones its own figures use.
UNITS = {"eeg": (1e6, "µV"), "mag": (1e15, "fT"), "grad": (1e13, "fT/cm")}
TEN_FIVE = "colin27_1005"  # where electrodes lie that are called as in the 10-20 system and its refinements
PICKS = {"meg": ("mag", "grad"), "eeg": ("eeg",), "mag": ("mag",), "grad": ("grad",)}


def read_epochs(
    path: Path | Sequence[Path],
    *,
    trials: Path | None = None,
    picks: Literal["meg", "mag", "grad", "eeg"] = "meg",
    tmin: float | None = None,
    tmax: float | None = None,
    decimate: int = 1,
    baseline: tuple[float, float] | None = None,
    bad_channels: Literal["raise", "drop"] = "raise",
    channels: Sequence[str] | None = None,
) -> Responses:
    """Read epochs saved by MNE.

    Parameters
    ----------
    path : Path or list of Path
        -epo.fif; several (for example a file per session) are read one after the other.
    trials : Path, optional
        A row per epoch, or per event before epochs were rejected, or whose rows that left_out does not mark are the
        epochs; see `read_trials`. Where not given, the metadata of the epochs, which need the column stimulus_id.
    picks : {"meg", "mag", "grad", "eeg"}
        Which sensors.
    tmin, tmax : float, optional
        Seconds from stimulus onset; all where not given.
    decimate : int
        Keep every so many-th sample; the data must be low-passed well enough.
    baseline : (float, float), optional
        Seconds; its mean is subtracted from every epoch and sensor.
    bad_channels : {"raise", "drop"}
        What to do with channels that are marked bad, flat or hold NaN. `targets.attrs["n_dropped"]` counts them.
    channels : sequence of str, optional
        The channels expected; any difference is an error.

    Returns
    -------
    Responses
        values (n_trials, n_sensors, n_times) in µV, fT or fT/cm; times in seconds; targets with sensor_type and x_mm,
        y_mm, z_mm in head coordinates (device coordinates of MEG recorded without a head position).

    Raises
    ------
    BrainalignError
        If a file cannot be read, has no such sensors, other channels than expected or bad ones, no metadata where
        they are needed, another number of trials, or not the times asked for; or decimation would alias.
    """
    check_choice("picks", picks, PICKS)
    check_choice("bad_channels", bad_channels, ("raise", "drop"))
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(part) for part in path]
    epochs = [open_epochs(part) for part in paths]
    table = _trials_of(paths, epochs, trials)
    for part, recording in zip(paths, epochs, strict=True):
        pick_kind(part, recording, picks, channels)
    check_same_channels({str(p): sensor_table(e) for p, e in zip(paths, epochs, strict=True)})
    n_marked = drop_marked(paths, epochs, bad_channels)
    parts = [cut_epochs(p, e, tmin, tmax, decimate, baseline) for p, e in zip(paths, epochs, strict=True)]
    times = [recording.times for recording in parts]
    if any(len(other) != len(times[0]) or not np.allclose(other, times[0]) for other in times):
        raise BrainalignError(f"{listed(paths)} have other times than each other; epoch them alike or give tmin, tmax")
    targets = sensor_table(parts[0])
    scale = np.array([UNITS[kind][0] for kind in targets["sensor_type"]])
    values = np.concatenate([recording.get_data(copy=False, verbose="error") for recording in parts]) * scale[:, None]
    kinds = list(dict.fromkeys(targets["sensor_type"]))
    units = ", ".join(f"{UNITS[kind][1]} ({kind})" if len(kinds) > 1 else UNITS[kind][1] for kind in kinds)
    responses = Responses(values.astype(np.float32), table, targets, units, times=times[0].copy())
    return without_bad_sensors(kept_trials(responses), paths[0], bad_channels, n_marked)


def check_same_channels(recordings: Mapping[str, pd.DataFrame]) -> None:
    """Raise unless all recordings have the same sensors in the same order.

    Targets are given by the name of their recording (a file, a subject).
    """
    names = list(recordings)
    first = recordings[names[0]]["target_id"].tolist() if names else []
    for name in names[1:]:
        other = recordings[name]["target_id"].tolist()
        if other != first:
            raise BrainalignError(f"{name} against {names[0]}: {_difference(other, first)}")


def _difference(found: list[str], expected: list[str]) -> str:
    missing = [name for name in expected if name not in set(found)]
    extra = [name for name in found if name not in set(expected)]
    if not missing and not extra:
        return "the same channels in another order; reorder them with epochs.reorder_channels"
    near = did_you_mean(missing[0], extra) if missing else ""
    return (
        f"{len(found)} channels but {len(expected)} expected: lacks {listed(missing) or 'none'}{near}, has besides "
        f"{listed(extra) or 'none'}; give recordings with the same channels (epochs.rename_channels, epochs.pick)"
    )


def open_epochs(path: Path) -> Any:
    """Return the epochs of a file that MNE saved, or EEGLAB (.set): their events then say what was shown."""
    mne: Any = importlib.import_module("mne")
    remedy = "cut what goes on with mne.Epochs, and save epochs as ...-epo.fif with metadata; or put it into BIDS"
    with reading(path, "truncated, or not epochs that MNE or EEGLAB saved", remedy), mne.use_log_level("error"):
        of_set = path.suffix.lower() == ".set"
        epochs = mne.read_epochs_eeglab(path) if of_set else mne.read_epochs(path)
        if epochs.metadata is None and (of_set or len(epochs.event_id) > 1):
            names = {code: name.removesuffix(".0") for name, code in epochs.event_id.items()}  # numbers of MATLAB's
            epochs.metadata = pd.DataFrame({"category": [names[code] for code in epochs.events[:, 2]]})
    if not len(epochs):
        raise BrainalignError(
            f"{path}: holds no epochs (of {len(epochs.drop_log)} events all were dropped); reject fewer, or leave the "
            "subject out"
        )
    return epochs


def _trials_of(paths: list[Path], epochs: list[Any], trials: Path | None) -> pd.DataFrame:
    """Return a row per epoch, from a table or from the metadata."""
    n_epochs = sum(len(recording) for recording in epochs)
    if trials is not None:
        table = read_trials(trials)
        if len(table) == n_epochs:
            return table
        # Events dropped before saving are in the drop log, as are those of other kinds, which a table may leave out.
        is_kept = np.concatenate([np.isin(np.arange(len(e.drop_log)), e.selection) for e in epochs])
        is_asked = np.concatenate([[why != ("IGNORED",) for why in e.drop_log] for e in epochs])
        unmarked = table.get(LEFT_OUT, pd.Series(0, table.index)).astype(float).to_numpy() != 1
        for kept in (is_kept, is_kept[is_asked], unmarked):
            if (len(kept), kept.sum()) == (len(table), n_epochs):
                return table[kept].reset_index(drop=True)
        raise BrainalignError(
            f"{trials} lists {len(table)} trials but {listed(paths)} has {n_epochs} epochs (of {len(is_kept)} events); "
            f"give one row per epoch or per event, or mark all others in {LEFT_OUT} ({(~unmarked).sum()} are)"
        )
    tables = []
    for number, (path, recording) in enumerate(zip(paths, epochs, strict=True), start=1):
        if recording.metadata is None:
            raise BrainalignError(
                f"{path}: the epochs have no metadata, so nothing says which stimulus was shown; set epochs.metadata "
                "to a table with the column stimulus_id, or give trials: with a row per epoch"
            )
        metadata = recording.metadata
        if [*metadata] == ["category"]:  # of events
            metadata = metadata.rename(columns={"category": "stimulus_id"})
        if len(paths) > 1 and "session" not in metadata:
            metadata = metadata.assign(session=str(number))
        tables.append(metadata)
    table = pd.concat(tables, ignore_index=True)
    if len(paths) > 1:
        table = table.drop(columns=[name for name in ("trial_id", "repeat") if name in table])
    return complete_trials(table, f"metadata of {listed(paths)}")


def pick_kind(path: Path, epochs: Any, picks: str, channels: Sequence[str] | None = None) -> None:
    """Keep the sensors of one kind, in place; they must be `channels` where these are given."""
    present = epochs.get_channel_types()
    if not set(present) & set(PICKS[picks]):
        raise BrainalignError(f"{path}: no {picks} channels; it has {listed(sorted(set(present)), 8)}: correct picks")
    epochs.pick(list(PICKS[picks]) if picks != "meg" else "meg", exclude=(), verbose="error")
    if channels is not None and list(channels) != epochs.ch_names:
        raise BrainalignError(f"{path}: {_difference(epochs.ch_names, list(channels))}")


def drop_marked(paths: Sequence[Path | str], epochs: Sequence[Any], bad_channels: str) -> int:
    """Drop the channels that any of the recordings marks bad from all of them, in place; return how many."""
    bads = list(dict.fromkeys(name for recording in epochs for name in recording.info["bads"]))
    n_channels = len(epochs[0].ch_names)
    if bads and bad_channels == "raise":
        raise BrainalignError(
            f"{listed(paths)}: {len(bads)} of {n_channels} channels are marked bad ({listed(bads)}); interpolate them "
            "in MNE (epochs.interpolate_bads()) or set epochs: {bad_channels: drop}"
        )
    if len(bads) == n_channels:
        raise BrainalignError(f"{listed(paths)}: all {n_channels} channels are marked bad; correct info['bads']")
    for recording in epochs if bads else ():
        recording.drop_channels(bads)
    return len(bads)


def cut_epochs(
    path: Path, epochs: Any, tmin: float | None, tmax: float | None, decimate: int, baseline: tuple[float, float] | None
) -> Any:
    """Return the epochs with baseline, times and sampling as asked."""
    start, stop = float(epochs.times[0]), float(epochs.times[-1])
    half = 0.5 / epochs.info["sfreq"]
    for name, wanted in {"tmin": (tmin,), "tmax": (tmax,), "baseline": baseline or (None,)}.items():
        for second in wanted:
            if second is not None and not start - half <= second <= stop + half:
                raise BrainalignError(
                    f"{path}: {name} {second} s lies outside the epochs, which last from {start:.3f} to {stop:.3f} s"
                )
    if baseline is not None:
        epochs.apply_baseline(baseline, verbose="error")
    if tmin is not None or tmax is not None:
        if tmin is not None and tmax is not None and tmin >= tmax:
            raise BrainalignError(f"tmin {tmin} s is not before tmax {tmax} s; exchange them")
        epochs.crop(tmin, tmax, verbose="error")
    if decimate < 1:
        raise BrainalignError(f"decimate is {decimate}; give 1 (every sample) or more")
    if decimate > 1:
        check_decimation(path, epochs, decimate)
        epochs.decimate(decimate, verbose="error")
    return epochs


def check_decimation(where: Path | str, epochs: Any, decimate: int) -> None:
    """Raise where every so many-th sample of epochs would alias what they hold."""
    rate = epochs.info["sfreq"] / decimate
    if epochs.info["lowpass"] > rate / 2:
        raise BrainalignError(
            f"{where}: decimate {decimate} leaves {rate:g} samples per second, but the data reach up to "
            f"{epochs.info['lowpass']:g} Hz, which would alias; filter (band_hz) below {rate / 2:g} Hz or decimate less"
        )


def sensor_table(epochs: Any) -> pd.DataFrame:
    """Return a row per sensor, in the order of channels; places in mm of the head, NaN where they are unknown.

    Where no electrode has a place, but all are called as in the 10-20 system, theirs are those of a template head.
    """
    info, kinds = epochs.info, epochs.get_channel_types()
    eeg = [channel for channel, kind in zip(info["chs"], kinds, strict=True) if kind == "eeg"]
    if eeg and not np.nan_to_num([channel["loc"][:3] for channel in eeg]).any():
        known = importlib.import_module("mne").channels.make_standard_montage(TEN_FIVE)
        if {channel["ch_name"].lower() for channel in eeg} <= {name.lower() for name in known.ch_names}:
            info = info.copy().set_montage(known, match_case=False, on_missing="ignore", verbose="error")
    places = np.array([channel["loc"][:3] for channel in info["chs"]], dtype=np.float64)
    transform = info["dev_head_t"]
    if transform is not None:
        meg = np.array([kind in ("mag", "grad") for kind in kinds])
        places[meg] = (np.c_[places[meg], np.ones(meg.sum())] @ transform["trans"].T)[:, :3]
    places[~np.isfinite(places).all(axis=1) | (places == 0).all(axis=1)] = np.nan  # MNE's zeros: position unknown
    table = pd.DataFrame({"target_id": epochs.ch_names, "kind": "sensor", "hemi": "", "sensor_type": kinds})
    table[["x_mm", "y_mm", "z_mm"]] = 1000 * places
    return table.assign(roi=empty_lists(len(table)))


def without_bad_sensors(responses: Responses, where: Path | str, bad_channels: str, n_marked: int = 0) -> Responses:
    """Report or drop the sensors that hold NaN or are flat; `targets.attrs["n_dropped"]` counts them."""
    values: NDArray[Any] = responses.values
    broken = ~np.isfinite(values).all(axis=(0, 2))
    flat = np.ptp(values, axis=(0, 2)) == 0
    bad = broken | flat
    names = responses.targets["target_id"][bad].tolist()
    if bad.any() and bad_channels == "raise":
        raise BrainalignError(
            f"{where}: {broken.sum()} channels hold NaN and {flat.sum()} are flat ({listed(names)}); mark them bad and "
            "interpolate them in MNE, or set epochs: {bad_channels: drop}"
        )
    if bad.all():
        raise BrainalignError(f"{where}: all {len(bad)} channels are flat or hold NaN; check the file")
    responses = responses.select(targets=~bad) if bad.any() else replace(responses)
    responses.targets.attrs["n_dropped"] = int(bad.sum()) + n_marked
    return responses
