"""THINGS-EEG2 and THINGS-MEG: preprocessed epochs by image, as the releases pickle them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Responses
from brainalign.checks import BrainalignError, check_choice, check_rows, listed
from brainalign.datasets.formats import complete_trials, empty_lists, without_bad_sensors
from brainalign.datasets.published.common import Published, load_pickled_dict, required, subject_number
from brainalign.datasets.published.things_images import concept_splits, things_image_rows

# What each release calls its files and the values in them.
RELEASES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "eeg2": {
        "training": ("preprocessed_eeg_training.npy",),
        "test": ("preprocessed_eeg_test.npy",),
        "values": ("preprocessed_eeg_data",),
    },
    "meg": {
        "training": ("preprocessed_meg_training.pkl",),
        "test": ("preprocessed_meg_test.pkl", "preprocessed_meg_zs_test.pkl"),
        "values": ("preprocessed_meg_data", "meg_data"),
    },
}
REMEDY = "give the folder of the release, with sub-01 ... below it"


def read_things_epochs(
    folder: Path | str,
    subject: str,
    *,
    release: Literal["eeg2", "meg"],
    images: Path | str,
    trust_pickle: bool = False,
    bad_channels: Literal["raise", "drop"] = "raise",
    hashes: bool = True,
) -> Published:
    """Read the preprocessed epochs of one subject, which the releases distribute as pickles.

    Parameters
    ----------
    folder : path
        Holds sub-01/preprocessed_eeg_training.npy and _test.npy (EEG2), or preprocessed_meg_training.pkl and
        _test.pkl or _zs_test.pkl (MEG): dictionaries of values (conditions, repeats, channels, times), ch_names, times.
    subject : str
        "01", ...
    release : {"eeg2", "meg"}
    images : path
        See `things_image_rows`; the row of an image is the condition.
    trust_pickle : bool
        Load them: a pickle can run any program that somebody hid in it.
    bad_channels : {"raise", "drop"}
        What to do with channels that hold NaN or are flat.
    hashes : bool
        Read every image for its sha256.

    Returns
    -------
    Published
        Responses (n_trials, n_sensors, n_times), a trial per repeat, as released (whitened or standardised, so without
        a unit); trials with stimulus_id, concept, sha256, partition. Splits by concept; training concepts that are also
        tested are left out and counted in `responses.trials.attrs["n_dropped_concepts"]`.

    Raises
    ------
    BrainalignError
        If pickles are not trusted, a file is missing or has other contents, the images are not those of the conditions,
        or training and test have other channels or times.

    References
    ----------
    Gifford AT et al. (2022). A large and rich EEG dataset for modeling human visual object recognition. NeuroImage
    264:119754. doi:10.1016/j.neuroimage.2022.119754
    Hebart MN et al. (2023). THINGS-data. eLife 12:e82580. doi:10.7554/eLife.82580
    """
    check_choice("release", release, RELEASES)
    check_choice("bad_channels", bad_channels, ("raise", "drop"))
    place = required(Path(folder) / f"sub-{subject_number(subject):02d}", REMEDY)
    rows = {of: things_image_rows(images, of, trust_pickle=trust_pickle, hashes=hashes) for of in ("training", "test")}
    tested = set(rows["test"]["concept"])
    parts, tables, axes = [], [], []
    n_dropped = 0
    for name, table in rows.items():
        called = RELEASES[release][name]
        there = [place / one for one in called if (place / one).exists()]
        path = there[0] if there else required(place / called[0], f"give a folder with {' or '.join(called)}")
        content = load_pickled_dict(path, REMEDY, trust_pickle=trust_pickle)
        values, channels, times = _checked(path, content, RELEASES[release]["values"])
        axes.append((path, channels, times))
        shared = table["concept"].isin(tested).to_numpy() & (name == "training")
        if len(values) == (~shared).sum() != len(table):  # a file from which the tested concepts were dropped before
            table, shared = table[~shared], np.zeros(len(values), dtype=bool)
        remedy = "give the images that were shown, all of them"
        check_rows(path, len(values), f"{images}, {name},", len(table), remedy, "conditions or images")
        n_dropped += table["concept"][shared].nunique()
        values, table = values[~shared], table[~shared]
        n_repeats = values.shape[1]
        parts.append(values.reshape(-1, *values.shape[2:]))
        repeated = table.loc[table.index.repeat(n_repeats)].reset_index(drop=True)
        tables.append(repeated.assign(repeat=np.tile(np.arange(n_repeats) + 1, len(table)), partition=name, run=name))
    (one, channels, times), (other, other_channels, other_times) = axes
    if channels != other_channels or len(times) != len(other_times) or not np.allclose(times, other_times):
        raise BrainalignError(
            f"{one} has {len(channels)} channels at {len(times)} times but {other} has {len(other_channels)} at "
            f"{len(other_times)}, or others of the same number; take both files of one subject and preprocessing"
        )
    trials = complete_trials(pd.concat(tables, ignore_index=True), str(place))
    kind = "eeg" if release == "eeg2" else "mag"
    targets = pd.DataFrame({"target_id": channels, "kind": "sensor", "hemi": "", "sensor_type": kind})
    targets = targets.assign(x_mm=np.nan, y_mm=np.nan, z_mm=np.nan, roi=empty_lists(len(targets)))
    stacked = np.concatenate(parts).astype(np.float32, copy=False)
    responses = Responses(stacked, trials, targets, "as released", times=times)
    responses = without_bad_sensors(responses, place, bad_channels)
    responses.trials.attrs["n_dropped_concepts"] = int(n_dropped)
    return Published(responses, concept_splits(responses.trials))


def _checked(
    path: Path, content: Mapping[Any, Any], keys: Sequence[str]
) -> tuple[NDArray[Any], list[str], NDArray[np.float64]]:
    """Return values (conditions, repeats, channels, times), names of channels and times of a file."""
    key = next((name for name in keys if name in content), None)
    missing = [name for name in ("ch_names", "times") if name not in content]
    if key is None or missing:
        known = f"it has {listed([str(name) for name in content], 8)}"
        raise BrainalignError(f"{path}: lacks {listed([*missing, *([] if key else [' or '.join(keys)])])}; {known}")
    values = np.asarray(content[key])
    if values.ndim == 5:  # (concepts, images, repeats, channels, times)
        values = values.reshape(-1, *values.shape[2:])
    channels, times = [str(name) for name in content["ch_names"]], np.asarray(content["times"], dtype=np.float64)
    if values.dtype.kind not in "fiu" or values.ndim != 4 or values.shape[2:] != (len(channels), len(times)):
        raise BrainalignError(
            f"{path}: {key} is {values.dtype} of shape {values.shape}; expected numbers (conditions, repeats, "
            f"{len(channels)} channels, {len(times)} times) as ch_names and times say"
        )
    return values, channels, times
