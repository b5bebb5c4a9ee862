"""M/EEG of a BIDS dataset whose events name the stimulus: sentences, images, words."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError, check_choice, did_you_mean, listed
from brainalign.io import MISSING, read_text_table, reading

CHANNELS = {"eeg": ("eeg",), "meg": ("mag", "grad")}


def import_bids() -> Any:
    """Return mne-bids, or raise with how it is installed."""
    try:
        return importlib.import_module("mne_bids")
    except ImportError as error:
        raise BrainalignError('BIDS folders need mne-bids; install it with: pip install "brainalign[bids]"') from error


def open_bids(
    root: Path, participant: str, *, task: str, session: str | None, run: str | None, datatype: str
) -> tuple[Any, Any]:
    """Return the path of a recording of a BIDS dataset and its raw data."""
    mne_bids = import_bids()
    sidecars = (".json", ".eeg", ".vmrk", ".fdt")
    there = sorted(p.name for p in root.glob(f"sub-{participant}/**/*_{datatype}.*") if p.suffix not in sidecars)
    there = there or sorted(path.name for path in root.glob("sub-*"))
    remedy = f"correct participant, session, task or run; there is {listed(there, 6) or 'no recording'}"
    names = {"subject": participant, "session": session, "task": task, "run": run}
    where = f"{root}: {', '.join(f'{key} {name}' for key, name in names.items() if name is not None)}"
    with reading(where, "cannot be read", remedy):
        place = mne_bids.BIDSPath(**names, datatype=datatype, suffix=datatype, root=root)
        try:
            raw = mne_bids.read_raw_bids(place, verbose="error")
        except FileNotFoundError as error:
            raise BrainalignError(f"{place}: cannot be read ({error}); {remedy}") from error
    return place, raw


def read_bids_stimuli(
    root: Path,
    participant: str,
    *,
    task: str,
    stimulus_column: str,
    where: Mapping[str, Sequence[str]] | None = None,
    names: Literal["as written", "file stem"] = "as written",
    category_column: str | None = None,
    session: str | None = None,
    run: str | None = None,
    datatype: Literal["eeg", "meg"] = "eeg",
    bad_channels: Literal["raise", "drop", "keep"] = "raise",
    clean: Callable[[Any, str], Any] | None = None,
) -> tuple[Any, pd.DataFrame]:
    """Read a raw recording and its *_events.tsv; `make_epochs` and `epochs_to_responses` make responses of them.

    Parameters
    ----------
    root : Path
    participant, task, session, run, datatype : str
        The entities of the file, without their prefixes.
    stimulus_column : str
        Column of the events that names what was shown, for example "file_path"; events where it is n/a are left out.
    where : mapping, optional
        Values that other columns must have, for example {"trial_type": ["exp", "test"]}.
    names : {"as written", "file stem"}
        Whether "images/aardvark/aardvark_01b.jpg" is the stimulus of that name, or "aardvark_01b".
    category_column : str, optional
        What is the category of a trial; the stimulus where not given.
    bad_channels : {"raise", "drop", "keep"}
        What to do with channels that channels.tsv calls bad; `epochs_to_responses` looks for flat ones, and drops
        those that are kept and marked.
    clean : callable (raw, name of the recording), optional
        Applied while channels of the eyes are still there; returns raw data, see `clean_raw`.

    Returns
    -------
    raw : mne.io.Raw
        Only the channels of EEG, or the magnetometers and gradiometers of MEG.
    events : DataFrame
        sample, onset_s, stimulus_id, category, and the other columns of the file.

    Raises
    ------
    BrainalignError
        If mne-bids is missing, there is no such file, channel or column, channels are bad, an onset is no number or
        lies outside the recording, or no event is left.
    """
    check_choice("names", names, ("as written", "file stem"))
    check_choice("datatype", datatype, CHANNELS)
    place, raw = open_bids(root, participant, task=task, session=session, run=run, datatype=datatype)
    raw = raw if clean is None else clean(raw, str(place))
    pick_sensors(place, raw, datatype, bad_channels)
    path = Path(place.copy().update(suffix="events", extension=".tsv").fpath)
    if not path.exists():
        raise BrainalignError(f"{path}: no such file; write when each stimulus was shown (BIDS events)")
    table = read_text_table(path)
    columns = [str(column) for column in table]
    for column in ("onset", stimulus_column, *(where or {}), *([category_column] if category_column else [])):
        if column not in columns:
            raise BrainalignError(f"{path}: no column {column!r}{did_you_mean(column, columns)}; it has {columns}")
    kept = ~table[stimulus_column].isin(MISSING)
    for column, values in (where or {}).items():
        kept &= table[column].isin(list(values))
    if not kept.any():
        rules = "; ".join(f"{column} in {list(values)}" for column, values in (where or {}).items())
        raise BrainalignError(
            f"{path}: none of {len(table)} events names a stimulus in {stimulus_column}{' with ' if rules else ''}"
            f"{rules}; correct stimulus_column or where"
        )
    table = table[kept].reset_index(drop=True)
    onsets = pd.to_numeric(table["onset"], errors="coerce")
    wrong = onsets.isna() | (onsets < 0) | (onsets > raw.times[-1])
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BrainalignError(
            f"{path}: {int(wrong.sum())} onsets are no seconds within the recording of {raw.times[-1]:.1f} s (first: "
            f"{table['onset'].iloc[row]!r}, stimulus {table[stimulus_column].iloc[row]!r}); correct them"
        )
    shown = table[stimulus_column]
    stimuli = shown if names == "as written" else shown.map(lambda name: Path(name).stem)
    category = stimuli if category_column is None else table[category_column]
    rest = table.drop(columns=["onset", "sample", "onset_s", "stimulus_id", "category"], errors="ignore")
    sample = np.round(onsets * raw.info["sfreq"]).astype(int)
    return raw, rest.assign(sample=sample, onset_s=onsets, stimulus_id=stimuli, category=category)


def pick_sensors(place: Any, raw: Any, datatype: str, bad_channels: str = "raise") -> None:
    """Leave in raw data only the channels of EEG, or the magnetometers and gradiometers of MEG."""
    check_choice("bad_channels", bad_channels, ("raise", "drop", "keep"))
    kinds = raw.get_channel_types()
    wanted = [name for name, kind in zip(raw.ch_names, kinds, strict=True) if kind in CHANNELS[datatype]]
    if not wanted:
        raise BrainalignError(f"{place}: no {datatype} channels; it has {listed(sorted(set(kinds)), 8)}")
    bad = [name for name in raw.info["bads"] if name in wanted and bad_channels != "keep"]
    if bad and (bad_channels == "raise" or len(bad) == len(wanted)):
        raise BrainalignError(
            f"{place}: {len(bad)} of {len(wanted)} channels are marked bad ({listed(bad)}); interpolate them, or set "
            "bad_channels: drop"
        )
    raw.pick([name for name in wanted if name not in bad], verbose="error")
