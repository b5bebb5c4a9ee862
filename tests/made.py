"""Tables to draw, in which a wrong column or row is seen, and responses as a step that prepares them leaves them. Rows
of tables to draw are in no order, and every column has values of its own."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from brainalign.arrays import Responses


def made(levels: Mapping[str, Sequence[Any]], *columns: str, value: str = "value", seed: int = 1) -> pd.DataFrame:
    """Return a row for every combination of labels with a value, its interval (low, high) and further columns."""
    table = pd.DataFrame(list(product(*levels.values())), columns=list(levels)).astype(object)
    table = table.sample(frac=1, random_state=seed, ignore_index=True).infer_objects()
    table = changing(table, [value, *columns], seed=seed)
    below, above = np.random.default_rng(seed + 7).uniform(0.01, 0.06, (2, len(table)))
    return table.assign(low=table[value] - below, high=table[value] + above)


def changing(table: pd.DataFrame, columns: Sequence[str], low=0.11, high=0.64, seed=5) -> pd.DataFrame:
    """Return a table whose columns hold numbers that occur once in all of them."""
    values = np.random.default_rng(seed).permutation(np.linspace(low, high, max(len(columns) * len(table), 2)))
    return table.assign(**{name: values[k * len(table) : (k + 1) * len(table)] for k, name in enumerate(columns)})


def responses_of(
    values: np.ndarray,
    stimuli: Sequence[str],
    *,
    roi: Sequence[str | list[str]] | None = None,
    targets: Mapping[str, Any] | None = None,
    times: np.ndarray | None = None,
    **trials: Any,
) -> Responses:
    n_trials, n_targets = values.shape[:2]
    shown = pd.DataFrame({"trial_id": [f"t{k}" for k in range(n_trials)], "stimulus_id": np.asarray(stimuli)})
    repeat = shown.groupby("stimulus_id").cumcount()
    shown = shown.assign(**{"session": "1", "run": "1", "repeat": repeat, "onset_s": 0.0} | trials)
    measured = pd.DataFrame({"target_id": [f"v{k}" for k in range(n_targets)], "kind": "voxel", "hemi": "L"})
    regions = [[] for _ in range(n_targets)] if roi is None else roi
    measured["roi"] = [[names] if isinstance(names, str) else list(names) for names in regions]
    return Responses(values, shown, measured.assign(**targets or {}), "z", times)


def splits_of(responses: Responses, tested: Sequence[str]) -> pd.DataFrame:
    """Return the sides of trials of whose stimuli some are tested and all others trained on."""
    table = responses.trials[["trial_id", "stimulus_id"]]
    side = np.where(table["stimulus_id"].isin(tested), "test", "train")
    return table.assign(name="shared", group=table["stimulus_id"], split=side, fold=0, seed=0)


def muse_table(seed: int = 0) -> pd.DataFrame:
    """Return twenty seconds of a Muse headset: noise of 10 µV with a marker every .8 s, 1 and 2 in turn."""
    n, rng = 5120, np.random.default_rng(seed)
    table = pd.DataFrame({"timestamps": 1000 + np.arange(n) / 256})
    for name in ("TP9", "AF7", "AF8", "TP10", "Right AUX"):
        table[name] = 10 * rng.normal(size=n)
    table["Marker0"] = 0
    at = np.arange(200, n - 200, 205)
    table.loc[at, "Marker0"] = np.resize([1, 2], len(at))
    return table


def save_epochs(
    path: Path, values: np.ndarray, names: Sequence[str], trials: pd.DataFrame, rate_hz: float, tmin: float, kinds="eeg"
) -> None:
    """Save epochs in µV of sensors whose places are known."""
    import mne

    info = mne.create_info(list(names), rate_hz, kinds, verbose="error")
    info.set_montage("standard_1020", verbose="error")
    epochs = mne.EpochsArray(1e-6 * values, info, tmin=tmin, metadata=trials, verbose="error")
    epochs.save(path, overwrite=True, verbose="error")


def write_table(file: Path, /, **columns: Any) -> Path:
    pd.DataFrame(columns).to_csv(file, sep="," if file.suffix == ".csv" else "\t", index=False)
    return file


def write_yaml(path: Path, content: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
