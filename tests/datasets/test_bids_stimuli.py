"""A BIDS dataset that mne-bids writes, with sentences and images in its events."""

from __future__ import annotations

import sys
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.datasets import epochs_to_responses, make_epochs, read_bids_stimuli

ONSETS = np.array([1.0, 2.5, 4.0, 5.5, 7.0])
SHOWN = ("bat/bat_01b", "cow/cow_02s", "", "bat/bat_07n", "bat/bat_01b")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Ten seconds of EEG at 100 Hz; after the k-th event the first channel is at k µV for half a second."""
    folder = tmp_path_factory.mktemp("bids")
    data = np.zeros((4, 1000))  # Oz stays flat
    data[1] = 1e-6 * np.random.default_rng(0).normal(size=1000)
    for k, onset in enumerate(ONSETS, start=1):
        data[0, int(100 * onset) : int(100 * onset) + 50] = 1e-6 * k
    data[3] = 1e-4 * np.random.default_rng(1).normal(size=1000)
    info = mne.create_info(["Cz", "Pz", "Oz", "HEO"], 100.0, ["eeg", "eeg", "eeg", "eog"])
    raw = mne.io.RawArray(data, info, verbose="error")
    raw.info["line_freq"] = 50
    raw.set_annotations(mne.Annotations(ONSETS, 0.5, ["exp"] * 5))
    place = mne_bids.BIDSPath(subject="01", task="read", run="1", datatype="eeg", root=folder)
    mne_bids.write_raw_bids(raw, place, allow_preload=True, format="BrainVision", overwrite=True, verbose="error")
    return folder


@pytest.fixture
def events(root) -> Path:
    path = root / "sub-01" / "eeg" / "sub-01_task-read_run-1_events.tsv"
    pd.DataFrame(
        {
            "onset": ONSETS,
            "duration": 0.5,
            "trial_type": ["exp", "exp", "catch", "exp", "test"],
            "file_path": [f"images/{name}.jpg" if name else "n/a" for name in SHOWN],
            "category": ["bat", "cow", "n/a", "bat", "bat"],
        }
    ).to_csv(path, sep="\t", index=False)
    return path


def read(root, **options):
    return read_bids_stimuli(root, "01", **({"task": "read", "run": "1", "stimulus_column": "file_path"} | options))


def test_stimuli_become_epochs_of_responses(root, events) -> None:
    raw, table = read(root, names="file stem", category_column="category")
    assert table["stimulus_id"].tolist() == ["bat_01b", "cow_02s", "bat_07n", "bat_01b"]
    assert table["sample"].tolist() == [100, 250, 550, 700]
    responses = epochs_to_responses([make_epochs(raw, table, band_hz=None, tmin=-0.2, tmax=0.4)])
    assert responses.trials["stimulus_id"].tolist() == table["stimulus_id"].tolist()
    assert responses.trials["category"].tolist() == ["bat", "cow", "bat", "bat"]
    assert responses.trials["trial_type"].tolist() == ["exp", "exp", "exp", "test"]
    assert responses.trials["repeat"].tolist() == [1, 1, 1, 2]
    np.testing.assert_allclose(responses.trials["onset_s"], [1.0, 2.5, 5.5, 7.0])
    after = responses.values[:, 0, responses.times > -0.005]
    np.testing.assert_allclose(after, np.array([1, 2, 4, 5])[:, None] * np.ones(after.shape), rtol=1e-3)
    before = responses.values[:, 0, responses.times < -0.005]
    np.testing.assert_allclose(before, 0, atol=1e-3)


def test_flat_and_bad_channels(root, events) -> None:
    raw, table = read(root)
    assert raw.ch_names == ["Cz", "Pz", "Oz"]  # without the eyes
    epochs = make_epochs(raw, table, band_hz=None, tmin=-0.2, tmax=0.4)
    with pytest.raises(BrainalignError, match=r"the epochs: 0 channels hold NaN and 1 are flat \(Oz\)"):
        epochs_to_responses([epochs], bad_channels="raise")
    responses = epochs_to_responses([epochs], bad_channels="drop")
    assert responses.targets["target_id"].tolist() == ["Cz", "Pz"]
    channels = root / "sub-01" / "eeg" / "sub-01_task-read_run-1_channels.tsv"
    content = pd.read_csv(channels, sep="\t", dtype=str, keep_default_na=False)
    content.assign(status=["good", "bad", "good", "good"]).to_csv(channels, sep="\t", index=False)
    try:
        refused(r"1 of 3 channels are marked bad \(Pz\); interpolate", read, root)
        assert read(root, bad_channels="drop")[0].ch_names == ["Cz", "Oz"]
        refused("cannot be read", read, root, datatype="meg")
    finally:
        content.to_csv(channels, sep="\t", index=False)


def test_events_may_be_chosen_by_other_columns(root, events) -> None:
    _, table = read(root, where={"trial_type": ["test"]})
    assert table["stimulus_id"].tolist() == ["images/bat/bat_01b.jpg"]
    assert table["category"].tolist() == ["images/bat/bat_01b.jpg"]
    with pytest.raises(BrainalignError, match=r"none of 5 events names a stimulus in file_path with trial_type in"):
        read(root, where={"trial_type": ["catch"]})


def test_what_is_missing_is_named(root, events, monkeypatch) -> None:
    refused(r"no column 'filepath' \(did you mean 'file_path'\?\)", read, root, stimulus_column="filepath")
    refused(r"no column 'kind'", read, root, where={"kind": ["x"]})
    refused("cannot be read", read, root, task="rest")
    refused("datatype must be one of", read, root, datatype="ieeg")
    table = pd.read_csv(events, sep="\t", dtype=str, keep_default_na=False)
    table.loc[1, "onset"] = "99.0"
    table.to_csv(events, sep="\t", index=False)
    refused(r"1 onsets are no seconds .* of 10.0 s \(first: '99.0', stimulus", read, root)
    monkeypatch.setitem(sys.modules, "mne_bids", None)
    refused(r'pip install "brainalign\[bids\]"', read, root)
