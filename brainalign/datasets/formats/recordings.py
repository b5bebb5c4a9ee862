"""M/EEG of labelled categories: continuous recordings, MNE epochs or a BIDS folder become epochs, and these responses.

read_muse        CSV files of a Muse headset with a column of markers
read_raw_run     a recording while a stimulus went on
clean_raw        filters, artifacts, reference and resampling by MNE
epochs_to_responses     MNE epochs whose metadata have the column category
"""

import importlib
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_columns, check_named, did_you_mean, listed
from brainalign.datasets.formats import meeg
from brainalign.datasets.formats.bids_stimuli import import_bids, read_bids_stimuli
from brainalign.datasets.formats.trials import complete_trials, kept_trials
from brainalign.io import MISSING, read_text_table, reading
from brainalign.study import BidsFiles, RawOptions, Study, table_column

MUSE_CHANNELS = ("TP9", "AF7", "AF8", "TP10")
MUSE_RATE_HZ = 256.0
FOLLOWS = 0.7  # |r| with a channel of the eyes or the heart above which a component is theirs
RATE_ERROR = 0.02  # a clock this far from the nominal rate means lost samples


def read_muse(path: Path, markers: Mapping[str, str]) -> tuple[Any, pd.DataFrame]:
    """Read a CSV file of a Muse headset: timestamps (s), TP9, AF7, AF8, TP10 (µV) and Marker0.

    Raises BrainalignError if columns are missing, values are no numbers, the clock contradicts the rate, or no marker
    is known.

    Parameters
    ----------
    path : Path
    markers : mapping
        Category by the marker's number.

    Returns
    -------
    raw : mne.io.RawArray
        256 samples per second, in volts, with the places of the 10-05 system.
    events : DataFrame
        sample, onset_s (s from the first sample), category.
    """
    mne: Any = importlib.import_module("mne")
    table = read_text_table(path, ",")
    needed = ["timestamps", *MUSE_CHANNELS, "Marker0"]
    check_columns(path, table, needed)
    values = table[needed].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise BrainalignError(f"{path}: {(~np.isfinite(values)).sum()} cells are no numbers (first in row {row + 1})")
    # Packets arrive in bursts, so single steps of the clock vary; over the whole recording it must agree.
    rate = (len(values) - 1) / (values[-1, 0] - values[0, 0]) if len(values) > 1 else np.nan
    if not abs(rate / MUSE_RATE_HZ - 1) < RATE_ERROR:
        raise BrainalignError(
            f"{path}: {rate:.1f} samples per second by its clock, not {MUSE_RATE_HZ:g}: samples are missing, and what "
            "follows them would be read too early; leave this recording out"
        )
    info = mne.create_info(list(MUSE_CHANNELS), MUSE_RATE_HZ, "eeg", verbose="error")
    raw = mne.io.RawArray(1e-6 * values[:, 1:5].T, info, verbose="error")
    raw.set_montage(meeg.TEN_FIVE, verbose="error")
    samples = np.flatnonzero(values[:, -1])
    names = [str(int(number)) for number in values[samples, -1]]
    known = np.array([name in markers for name in names], dtype=bool)
    if not known.any():
        raise BrainalignError(
            f"{path}: no marker is among {listed(list(markers))}; it has {listed(sorted(set(names))) or 'none'}"
        )
    events = pd.DataFrame({"sample": samples[known], "onset_s": samples[known] / MUSE_RATE_HZ})
    return raw, events.assign(category=[markers[name] for name, kept in zip(names, known, strict=True) if kept])


def read_raw_run(
    path: Path, options: RawOptions, sfreq_hz: float, start_event: str | None = None
) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Read a recording of M/EEG from the moment that a stimulus began, cleaned and resampled.

    That is the annotation `start_event` (trial_type, in BIDS), else the first sample. Of a BIDS dataset, where
    channels.tsv lies beside it, sidecars are read. Returns values (n_samples, n_sensors) in µV, fT or fT/cm, NaN of
    channels that are marked bad, and the table of sensors.
    """
    mne: Any = importlib.import_module("mne")
    with reading(path, "no recording that MNE reads", "copy it again, with the files beside it"):
        if path.with_name(f"{path.name.rpartition('_')[0]}_channels.tsv").exists():
            mne_bids = import_bids()
            raw = mne_bids.read_raw_bids(mne_bids.get_bids_path_from_fname(path), verbose="error")
        else:
            raw = mne.io.read_raw(path, verbose="error")
    raw = clean_raw(raw, options, str(path), sfreq_hz, start_event)
    bads = set(raw.info["bads"])
    sensors = [name for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True) if kind in meeg.UNITS]
    if not sensors:
        raise BrainalignError(f"{path}: no channel of EEG or MEG; correct the types of its channels (channels.tsv)")
    targets = meeg.sensor_table(raw.pick(sensors, exclude=(), verbose="error"))
    values = raw.get_data().T * np.array([meeg.UNITS[kind][0] for kind in targets["sensor_type"]])
    values[:, targets["target_id"].isin(bads).to_numpy()] = np.nan
    return values.astype(np.float32), targets


def clean_raw(
    raw: Any, options: RawOptions, where: str, resample_hz: float | None = None, start_event: str | None = None
) -> Any:
    """Clean a recording by MNE, in place but for `maxwell`, and in the usual order.

    Signal space separation, filters (no delay), components or projections of the eyes and the heart, reference, what is
    before `start_event` cut off, resampling. Bad and flat channels take no part; separation makes those of MEG anew.
    """
    raw.load_data(verbose="error")
    rate = float(raw.info["sfreq"])
    named = [*(options.reference if isinstance(options.reference, tuple) else ()), *options.eog]
    check_named(where, raw.ch_names, named, "channel", "correct `reference` or `eog`")
    if max([*(options.band_hz or ()), options.notch_hz or 0]) >= rate / 2 or (resample_hz or 0) > rate:
        raise BrainalignError(
            f"{where}: {rate:g} samples per second hold up to {rate / 2:g} Hz; give band_hz and notch_hz below that, "
            f"and resample_hz of {rate:g} at most"
        )
    kinds = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    live = [name for name, kind in kinds.items() if kind in meeg.UNITS and name not in raw.info["bads"]]
    if flat := [name for name in live if np.ptp(raw.get_data([name])) == 0]:
        raw.info["bads"] += flat  # a reference would give them its own signal, and an average takes them in
        warnings.warn(
            f"{where}: {len(flat)} channels are flat throughout ({listed(flat)}) and count as bad; interpolate them in "
            "MNE to keep them",
            RuntimeWarning,
            stacklevel=2,
        )
    if options.maxwell is not None:
        raw = _separated(raw, options.maxwell, where)
    if options.notch_hz is not None:
        raw.notch_filter(np.arange(options.notch_hz, rate / 2, options.notch_hz), verbose="error")
    if options.band_hz is not None:
        raw.filter(*options.band_hz, verbose="error")
    if options.artifacts is not None:
        _remove_artifacts(raw, options, where)
    if options.reference is not None:
        channels = options.reference if options.reference == "average" else list(options.reference)
        raw.set_eeg_reference(channels, verbose="error")
    if start_event is not None:
        at = raw.annotations.onset[raw.annotations.description == start_event]
        if len(at) != 1:
            known = sorted(set(map(str, raw.annotations.description)))
            raise BrainalignError(
                f"{where}: {len(at)} events are called {start_event!r}{did_you_mean(start_event, known)}, where the "
                f"stimulus begins at one; there are {listed(known, 8) or 'none'}: correct start_event"
            )
        # Before resampling: samples and first_time are rounded to the new rate.
        raw.crop(float(at[0]) - raw.first_time, None, verbose="error")
    if resample_hz is not None and resample_hz != rate:
        whole = Fraction(resample_hz / rate).limit_denominator(1000).denominator
        # Where length or padding are no whole number of new samples, MNE moves these by up to half of one.
        raw.crop(0, raw.times[len(raw.times) // whole * whole - 1], verbose="error")
        raw.resample(resample_hz, npad=whole * -(-100 // whole), verbose="error")
    return raw


def _separated(raw: Any, how: str, where: str) -> Any:
    """Return a recording without what comes from outside of the head: signal space separation, temporal in 10 s.

    Taulu S, Simola J (2006). Spatiotemporal signal space separation method for rejecting nearby interference in MEG
    measurements. Physics in Medicine and Biology 51: 1759-1768. doi:10.1088/0031-9155/51/7/008
    """
    mne: Any = importlib.import_module("mne")
    if not {"mag", "grad"} & set(raw.get_channel_types()):
        raise BrainalignError(f"{where}: maxwell: {how} is for MEG, and there is no channel of it; leave it out")
    # Where the head's shape was not measured, its usual place is taken: 4 cm above the origin of the head.
    place = {"coord_frame": "head", "origin": "auto" if raw.info["dig"] else (0.0, 0.0, 0.04)}
    if raw.info["dev_head_t"] is None:
        place = {"coord_frame": "meg", "origin": (0.0, 0.0, 0.0)}
    seconds = {"st_duration": min(10.0, float(raw.times[-1]))} if how == "tsss" else {}
    with reading(Path(where), f"no MEG that maxwell: {how} can separate", "leave maxwell out where it was done before"):
        return mne.preprocessing.maxwell_filter(raw, **place, **seconds, verbose="error")


def _remove_artifacts(raw: Any, options: RawOptions, where: str) -> None:
    """Remove what follows the eyes, and the heart where it was recorded, in place."""
    mne: Any = importlib.import_module("mne")
    kinds = raw.get_channel_types()
    eyes = list(options.eog) or [name for name, kind in zip(raw.ch_names, kinds, strict=True) if kind == "eog"]
    if not eyes:
        raise BrainalignError(
            f"{where}: artifacts: {options.artifacts} looks for what follows the eyes, but no channel is of type eog; "
            "name channels beside the eyes with epochs.eog, such as [Fp1, Fp2], or leave artifacts out"
        )
    if options.artifacts == "ssp":
        projections, _ = mne.preprocessing.compute_proj_eog(
            raw, n_grad=1, n_mag=1, n_eeg=1, ch_name=eyes, average=True, reject=None, no_proj=True, verbose="error"
        )
        if not projections:
            raise BrainalignError(f"{where}: artifacts: no blink in {listed(eyes)}; name others, or leave it out")
        raw.add_proj(projections, verbose="error").apply_proj(verbose="error")
        return
    slow = raw.copy().filter(1.0, None, verbose="error")  # drifts would take the first components
    ica = mne.preprocessing.ICA(n_components=0.999, random_state=0, max_iter=1000, verbose="error")
    ica.fit(slow, verbose="error")
    # Correlations: of few components none is three standard deviations from the others, as MNE would ask by default.
    alike = {"measure": "correlation", "threshold": FOLLOWS, "verbose": "error"}
    bad = ica.find_bads_eog(slow, ch_name=eyes, **alike)[0]
    if "ecg" in kinds:
        bad += ica.find_bads_ecg(slow, method="correlation", **alike)[0]
    if not bad:
        warnings.warn(
            f"{where}: no component follows {listed(eyes)} (r > {FOLLOWS}), so none was removed; name other channels "
            "with epochs.eog, or leave artifacts out",
            RuntimeWarning,
            stacklevel=3,
        )
    ica.apply(raw, exclude=sorted(set(map(int, bad))), verbose="error")


def make_epochs(
    raw: Any,
    events: pd.DataFrame,
    *,
    band_hz: tuple[float, float] | None,
    tmin: float,
    tmax: float,
    baseline: tuple[float, float] | None = None,
    reject_uv: float | None = None,
) -> Any:
    """Filter a recording without delay (FIR) and cut epochs; metadata hold the columns of the events.

    Raises BrainalignError if no epoch is left.

    Parameters
    ----------
    raw : mne.io.Raw
    events : DataFrame
        sample, onset_s, category, and any others.
    band_hz : (float, float), optional
        What the filter lets through.
    tmin, tmax : float
        Seconds from the event.
    baseline : (float, float), optional
        Seconds whose mean is subtracted.
    reject_uv : float, optional
        Epochs in which an EEG channel spans more than this (µV, largest minus smallest) are left out.
    """
    mne: Any = importlib.import_module("mne")
    raw = raw.copy().load_data(verbose="error")
    if band_hz is not None:
        raw.filter(*band_hz, verbose="error")
    n = len(events)
    table = np.column_stack([events["sample"] + raw.first_samp, np.zeros(n), np.ones(n)]).astype(int)
    remedy = "list every event once, and leave reject_uv out where there is no EEG"
    with reading(str(raw.filenames[0] or "the recording"), "its epochs cannot be cut", remedy):
        epochs = mne.Epochs(
            raw,
            table,
            {"shown": 1},
            tmin,
            tmax,
            baseline=baseline,
            reject=None if reject_uv is None else {"eeg": 1e-6 * reject_uv},
            metadata=events.drop(columns="sample").reset_index(drop=True),
            preload=True,
            verbose="error",
        )
    if not len(epochs):
        why = "exceed reject_uv or lie" if reject_uv is not None else "lie"
        raise BrainalignError(f"all {n} epochs {why} beyond the recording's ends; check tmin, tmax, reject_uv")
    return epochs


def epochs_to_responses(
    recordings: Sequence[Any], *, decimate: int = 1, bad_channels: Literal["raise", "drop", "keep"] = "keep"
) -> Responses:
    """Return the epochs of one subject's recordings as responses.

    Raises BrainalignError if there are no metadata, categories or sensors, channels or times differ between recordings,
    channels are bad and `bad_channels` is "raise", or decimation aliases.

    Parameters
    ----------
    recordings : sequence of mne.Epochs
        Metadata with the column category, and onset_s (s from the start of the recording); where not given, the time
        of the event that epochs were cut around. Recordings are numbered from 1, as runs. The id of a trial's stimulus
        is its category where metadata have no stimulus_id. Only channels of EEG and MEG are read.
    decimate : int
        Keep every so many-th sample.
    bad_channels : {"raise", "drop", "keep"}
        What to do with channels that hold NaN or are flat. Those that a recording marks bad are left out of all, with
        a warning, unless it is "raise". `targets.attrs["n_dropped"]` counts both.
    """
    tables, parts = [], []
    used, n_marked = _sensors_of(recordings, bad_channels)
    for number, epochs in enumerate(used, start=1):
        if epochs.metadata is None or "category" not in epochs.metadata:
            raise BrainalignError(f"the epochs of recording {number} have no column category in metadata; set one")
        table = epochs.metadata.reset_index(drop=True)
        if n := (table["category"].isna() | table["category"].isin(MISSING)).sum():
            raise BrainalignError(f"{n} epochs of recording {number} have no category; name one, or drop them")
        table = table if "stimulus_id" in table else table.assign(stimulus_id=table["category"])
        table = table if {"onset_s", "onset"} & set(table) else table.assign(onset_s=_onsets_s(epochs))
        tables.append(table.drop(columns=["trial_id", "repeat"], errors="ignore").assign(run=str(number)))
        meeg.check_decimation(f"recording {number}", epochs, decimate)
        parts.append(epochs.copy().decimate(decimate, verbose="error") if decimate > 1 else epochs)
    meeg.check_same_channels({f"recording {k}": meeg.sensor_table(part) for k, part in enumerate(parts, start=1)})
    times = parts[0].times
    if any(len(part.times) != len(times) or not np.allclose(part.times, times) for part in parts):
        raise BrainalignError("recordings have epochs of other times than each other; cut them alike")
    targets = meeg.sensor_table(parts[0])
    scale = np.array([meeg.UNITS[kind][0] for kind in targets["sensor_type"]])
    values = np.concatenate([part.get_data(copy=False, verbose="error") for part in parts]) * scale[:, None]
    trials = complete_trials(pd.concat(tables, ignore_index=True), "metadata of the epochs")
    units = ", ".join(dict.fromkeys(meeg.UNITS[kind][1] for kind in targets["sensor_type"]))
    responses = kept_trials(Responses(values.astype(np.float32), trials, targets, units, times=times.copy()))
    responses.targets.attrs["n_dropped"] = n_marked
    if bad_channels != "keep":
        responses = meeg.without_bad_sensors(responses, "the epochs", bad_channels, n_marked)
    # Events that were not asked for are IGNORED, not rejected.
    responses.trials.attrs["n_rejected"] = [
        sum(any(reason != "IGNORED" for reason in reasons) for reasons in epochs.drop_log) for epochs in recordings
    ]
    return responses


def _sensors_of(recordings: Sequence[Any], bad_channels: str) -> tuple[list[Any], int]:
    """Return recordings with channels of EEG and MEG alone, none of them marked bad in any, and how many were."""
    found = []
    for number, epochs in enumerate(recordings, start=1):
        kinds = epochs.get_channel_types()
        sensors = [name for name, kind in zip(epochs.ch_names, kinds, strict=True) if kind in meeg.UNITS]
        if not sensors:
            raise BrainalignError(
                f"recording {number} has no channel of EEG or MEG, only {listed(sorted(set(kinds)))}; correct the "
                "types of its channels (set_channel_types)"
            )
        whole = len(sensors) == len(kinds) and not epochs.info["bads"]
        found.append(epochs if whole else epochs.copy().pick(sensors, exclude=(), verbose="error"))
    marked = list(dict.fromkeys(name for epochs in found for name in epochs.info["bads"]))
    if not marked:
        return found, 0
    meeg.check_same_channels({f"recording {k}": meeg.sensor_table(epochs) for k, epochs in enumerate(found, start=1)})
    n_channels = len(found[0].ch_names)
    found = [epochs.copy() for epochs in found]
    meeg.drop_marked([f"recording {k}" for k in range(1, len(found) + 1)], found, bad_channels)
    warnings.warn(
        f"{len(marked)} of {n_channels} channels are marked bad in some recording and left out ({listed(marked)}); "
        "interpolate them in MNE (interpolate_bads) to keep them",
        RuntimeWarning,
        stacklevel=3,
    )
    return found, len(marked)


def _onsets_s(epochs: Any) -> NDArray[np.float64]:
    """Return when each epoch's event was, in seconds of the recording; NaN where events have numbers for times."""
    samples = epochs.events[:, 0]
    if len(samples) and samples.max() < len(epochs.drop_log):  # EpochsArray without events numbers them 0, 1, 2
        return np.full(len(samples), np.nan)
    # Decimation and resampling leave events in samples of the recording.
    return np.asarray(samples / (getattr(epochs, "_raw_sfreq", None) or epochs.info["sfreq"]), dtype=np.float64)


def read_recordings(descriptor: Study, subject: str) -> Responses:
    """Return the responses of one subject of a study of recordings, read by the reader of its format."""
    files, cut = descriptor.recordings[subject], descriptor.epochs
    if files.format == "epochs":
        recordings = []
        for path in descriptor.found_files(subject).values():
            epochs = meeg.open_epochs(path)
            if files.picks is not None:
                meeg.pick_kind(path, epochs, files.picks)
            recordings.append(meeg.cut_epochs(path, epochs, cut.tmin_s, cut.tmax_s, 1, cut.baseline_s))
        return epochs_to_responses(recordings, decimate=cut.decimate)
    if files.format == "bids":
        root = descriptor.found_files(subject)["root"]
        raws = [_bids_run(descriptor, files, root, *place) for place in _bids_places(files, root)]
        tables = [*root.glob(of := f"*task-{files.task}_*events.tsv"), *root.glob(f"sub-*/**/{of}")]
        known = sorted({name for table in tables for name in table_column(table, "trial_type")})
        if files.stimulus_column is None:
            check_named(f"task {files.task}", known, descriptor.markers, "event", "correct markers")
    else:
        raws = [
            (clean_raw(raw, cut, str(path), cut.resample_hz), events)
            for path in descriptor.found_files(subject).values()
            for raw, events in [read_muse(path, descriptor.markers)]
        ]
    tmin, tmax = cut.span_s
    epochs = [
        make_epochs(
            raw,
            events.assign(sample=np.round(events["onset_s"] * raw.info["sfreq"]).astype(int)),
            band_hz=None,
            tmin=tmin,
            tmax=tmax,
            baseline=cut.baseline_s,
            reject_uv=cut.reject_uv,
        )
        for raw, events in raws
    ]
    if getattr(files, "stimulus_column", None) is None:
        return epochs_to_responses(epochs, decimate=cut.decimate)
    responses = epochs_to_responses(epochs, decimate=cut.decimate, bad_channels=cut.bad_channels)
    return replace(responses, trials=responses.trials.drop(columns="category"))  # that of the stimuli counts


def _bids_places(files: BidsFiles, root: Path) -> list[tuple[str | None, str | None]]:
    """List the session and run of every recording in a BIDS folder that a descriptor asks for, in order."""
    found: set[tuple[str | None, str | None]] = set()
    for path in (path for pattern in files.signals for path in root.glob(pattern) if path.suffix != ".json"):
        session, run = (re.search(rf"_{key}-([A-Za-z0-9]+)_", path.name) for key in ("ses", "run"))
        found.add((session and session[1], run and run[1]))
    asked: list[tuple[str | None, str | None]] = [(files.session, run) for run in files.runs or (None,)]
    # What is not there is asked for all the same, and refused with its name.
    places = [place for place in asked if place[1] not in {None, *(run for _, run in found)}] or list(found) or asked
    return sorted(places, key=lambda place: [(len(name), name) for name in (place[0] or "", place[1] or "")])


def _bids_run(
    study: Study, files: BidsFiles, root: Path, session: str | None, run: str | None
) -> tuple[Any, pd.DataFrame]:
    """Return a cleaned recording, and its events with what was shown, or with the category of their trial_type."""
    column = files.stimulus_column or "trial_type"
    raw, events = read_bids_stimuli(
        root,
        files.participant,
        task=files.task,
        stimulus_column=column,
        where=files.where if files.stimulus_column else {column: list(study.markers)},
        names=files.names,
        session=session,
        run=run,
        datatype=files.datatype,
        clean=lambda raw, where: clean_raw(raw, study.epochs, where, study.epochs.resample_hz),
    )
    events = events if session is None else events.assign(session=session)
    if files.stimulus_column:
        return raw, events
    kept = [name for name in ("sample", "onset_s", "session") if name in events]
    return raw, events[kept].assign(category=events["stimulus_id"].map(study.markers))
