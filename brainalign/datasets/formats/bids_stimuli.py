"""M/EEG of a BIDS dataset whose events name the stimulus: sentences, images, words."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from brainalign.checks import BrainalignError, check_choice, check_columns, import_optional, listed
from brainalign.io import MISSING, read_text_table, reading

CHANNELS = {"eeg": ("eeg",), "meg": ("mag", "grad")}


def import_bids() -> Any:
    """Return mne-bids, or raise with how it is installed."""
    return import_optional("mne_bids", "bids", "a BIDS folder")


def read_bids_stimuli(
    root: Path,
    participant: str,
    *,
    task: str,
    stimulus_column: str,
    where: Mapping[str, Sequence[str]] | None = None,
    names: Literal["as written", "file stem"] = "as written",
    session: str | None = None,
    run: str | None = None,
    datatype: Literal["eeg", "meg"] = "eeg",
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
    clean : callable (raw, name of the recording), optional
        Applied while channels of the eyes are still there; returns raw data, see `clean_raw`.

    Returns
    -------
    raw : mne.io.Raw
        Only the channels of EEG, or the magnetometers and gradiometers of MEG; those that channels.tsv calls bad are
        marked, and `epochs_to_responses` drops them.
    events : DataFrame
        sample, onset_s, stimulus_id, which is the category, too, and the other columns of the file.

    Raises
    ------
    BrainalignError
        If mne-bids is missing, there is no such file, channel or column, an onset is no number or lies outside the
        recording, or no event is left.
    """
    check_choice("names", names, ("as written", "file stem"))
    check_choice("datatype", datatype, CHANNELS)
    mne_bids = import_bids()
    sidecars = (".json", ".eeg", ".vmrk", ".fdt")
    there = sorted(p.name for p in root.glob(f"sub-{participant}/**/*_{datatype}.*") if p.suffix not in sidecars)
    there = there or sorted(path.name for path in root.glob("sub-*"))
    remedy = f"correct participant, session, task or run; there is {listed(there, 6) or 'no recording'}"
    named = {"subject": participant, "session": session, "task": task, "run": run}
    what = ", ".join(f"{key} {name}" for key, name in named.items() if name is not None)
    with reading(f"{root}: {what}", "cannot be read", remedy):
        place = mne_bids.BIDSPath(**named, datatype=datatype, suffix=datatype, root=root)
        try:
            raw = mne_bids.read_raw_bids(place, verbose="error")
        except FileNotFoundError as error:
            raise BrainalignError(f"{place}: cannot be read ({error}); {remedy}") from error
    raw = raw if clean is None else clean(raw, str(place))
    kinds = raw.get_channel_types()
    sensors = [name for name, kind in zip(raw.ch_names, kinds, strict=True) if kind in CHANNELS[datatype]]
    if not sensors:
        raise BrainalignError(f"{place}: no {datatype} channels; it has {listed(sorted(set(kinds)), 8)}")
    raw.pick(sensors, exclude=(), verbose="error")
    path = Path(place.copy().update(suffix="events", extension=".tsv").fpath)
    above = (of for folder in path.parents if root in (folder, *folder.parents) for of in folder.glob("*events.tsv"))
    those = [of for of in above if {*of.stem.split("_")} <= {*path.stem.split("_")}]
    path = max(those, key=lambda of: (len(of.parts), len(of.stem)), default=path)  # the nearest holds
    if not path.exists():
        raise BrainalignError(f"{path}: no such file; write when each stimulus was shown (BIDS events)")
    table = read_text_table(path)
    check_columns(path, table, ("onset", stimulus_column, *(where or {})), "correct stimulus_column or where")
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
    rest = table.drop(columns=["onset", "sample", "onset_s", "stimulus_id", "category"], errors="ignore")
    sample = np.round(onsets * raw.info["sfreq"]).astype(int)
    return raw, rest.assign(sample=sample, onset_s=onsets, stimulus_id=stimuli, category=stimuli)
