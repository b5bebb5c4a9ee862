"""The raw EEG of THINGS-EEG2, cut into an epoch per image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError, listed
from brainalign.datasets.formats import epochs_to_responses, make_epochs
from brainalign.datasets.published.common import Published, load_pickled_dict, required, subject_number
from brainalign.datasets.published.things_images import concept_splits, things_image_rows

KEYS = ("raw_eeg_data", "ch_names", "ch_types", "sfreq")
TARGET = 99999  # marks the trials in which EEG2 asked for a key press
REMEDY = "give the folder of the raw data, with sub-01/ses-01 ... below it"


def read_things_eeg2_raw(
    folder: Path | str,
    subject: str,
    *,
    images: Path | str,
    trust_pickle: bool = False,
    sessions: Sequence[int] = (1, 2, 3, 4),
    band_hz: tuple[float, float] | None = (0.1, 40.0),
    tmin: float = -0.2,
    tmax: float = 1.0,
    baseline: tuple[float, float] | None = (-0.2, 0.0),
    decimate: int = 4,
    bad_channels: Literal["raise", "drop"] = "raise",
    hashes: bool = True,
) -> Published:
    """Read the raw EEG of one subject (63 channels, 1 kHz) and cut an epoch per image.

    Parameters
    ----------
    folder : path
        Holds sub-01/ses-01/raw_eeg_training.npy and raw_eeg_test.npy, ...: pickled dictionaries of raw_eeg_data
        (channels, samples) in V, ch_names, ch_types, sfreq. The channel of type stim holds the number of the condition,
        from 1, at the onset of its image.
    subject, images, trust_pickle, hashes
        See `read_things_epochs`.
    sessions : sequence of int
    band_hz, tmin, tmax, baseline, decimate, bad_channels
        See `make_epochs` and `epochs_to_responses`.

    Returns
    -------
    Published
        Responses in µV; a session and partition is a run. Nothing is whitened: `fit_whitener` does so on training data.

    Raises
    ------
    BrainalignError
        If pickles are not trusted, a file is missing or has other contents, a condition has no image, or decimation
        would alias.
    """
    import mne

    place = required(Path(folder) / f"sub-{subject_number(subject):02d}", REMEDY)
    recordings = []
    for partition in ("training", "test"):
        table = things_image_rows(images, partition, trust_pickle=trust_pickle, hashes=hashes)
        for session in sessions:
            path = place / f"ses-{session:02d}" / f"raw_eeg_{partition}.npy"
            raw, events = _raw(path, load_pickled_dict(path, REMEDY, KEYS, trust_pickle=trust_pickle), table, mne)
            events = events.assign(session=str(session), partition=partition)
            recordings.append(
                make_epochs(raw, events, band_hz=band_hz, tmin=tmin, tmax=tmax, baseline=baseline).pick("eeg")
            )
    responses = epochs_to_responses(recordings, decimate=decimate, bad_channels=bad_channels)
    return Published(responses, concept_splits(responses.trials))


def _raw(path: Path, content: Mapping[Any, Any], table: pd.DataFrame, mne: Any) -> tuple[Any, pd.DataFrame]:
    values = np.asarray(content["raw_eeg_data"], dtype=np.float64)
    kinds = [str(kind) for kind in content["ch_types"]]
    if values.ndim != 2 or len(values) != len(kinds) or len(content["ch_names"]) != len(kinds):
        has = f"{len(content['ch_names'])} names and {len(kinds)} types of channels"
        raise BrainalignError(f"{path}: raw_eeg_data has shape {values.shape}, but there are {has}")
    if kinds.count("stim") != 1:
        raise BrainalignError(f"{path}: {kinds.count('stim')} channels of type stim; expected one, with the conditions")
    info = mne.create_info([str(name) for name in content["ch_names"]], float(content["sfreq"]), kinds, verbose="error")
    raw = mne.io.RawArray(values, info, verbose="error")
    stim = values[kinds.index("stim")].astype(np.int64)
    onsets = np.flatnonzero((stim != 0) & (np.diff(stim, prepend=0) != 0))
    onsets = onsets[stim[onsets] != TARGET]
    numbers = stim[onsets]
    wrong = sorted({int(number) for number in numbers if not 1 <= number <= len(table)})
    if wrong or not len(numbers):
        raise BrainalignError(
            f"{path}: conditions {listed(wrong) or 'none'}, but there are {len(table)} images; give the images that "
            "were shown, all of them"
        )
    shown = table.iloc[numbers - 1].reset_index(drop=True)
    return raw, shown.assign(sample=onsets, onset_s=onsets / float(content["sfreq"]), category=shown["concept"])
