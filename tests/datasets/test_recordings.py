"""Muse files, BIDS folders and epochs of categories become responses; the N170 recordings where they can be found."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.datasets import (
    audit_study,
    epochs_to_responses,
    make_epochs,
    read_bids_stimuli,
    read_muse,
    read_recordings,
    read_subject,
)
from brainalign.study import Study, load_descriptor, parse

N170 = Path(os.environ.get("BRAINALIGN_DATA", "nowhere"), "eeg-n170")
MARKERS = {"1": "house", "2": "face"}


def muse_table(seconds: float = 20.0, seed: int = 0) -> pd.DataFrame:
    """Noise of 10 µV with a marker every .8 s, 1 and 2 in turn."""
    n = int(256 * seconds)
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"timestamps": 1000 + np.arange(n) / 256})
    for name in ("TP9", "AF7", "AF8", "TP10", "Right AUX"):
        table[name] = 10 * rng.normal(size=n)
    table["Marker0"] = 0
    table.loc[np.arange(200, n - 200, 205), "Marker0"] = np.resize([1, 2], len(np.arange(200, n - 200, 205)))
    return table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    muse_table().to_csv(tmp_path / "one.csv", index=False)
    return tmp_path / "one.csv"


def test_values_events_and_places(path: Path) -> None:
    raw, events = read_muse(path, MARKERS)
    table = muse_table()
    np.testing.assert_allclose(raw.get_data()[3], 1e-6 * table["TP10"], atol=1e-12)
    assert events["sample"].tolist() == np.flatnonzero(table["Marker0"]).tolist()
    assert events["category"].tolist()[:3] == ["house", "face", "house"]
    epochs = make_epochs(raw, events, band_hz=None, tmin=-0.1, tmax=0.4)
    responses = epochs_to_responses([epochs, epochs])
    k, sample = 4, int(events["sample"][4])
    at = int(np.abs(responses.times).argmin())
    np.testing.assert_allclose(responses.values[k, 3, at : at + 50], table["TP10"][sample : sample + 50], rtol=1e-4)
    assert responses.units == "µV"
    assert responses.trials["run"].tolist() == ["1"] * len(events) + ["2"] * len(events)
    assert responses.trials["onset_s"][k] == pytest.approx(sample / 256)
    assert responses.trials["stimulus_id"].equals(responses.trials["category"])
    place = responses.targets.set_index("target_id")
    assert place.loc["TP9", "x_mm"] < -40 < 40 < place.loc["TP10", "x_mm"]
    assert place.loc["AF7", "y_mm"] > 40 > -10 > place.loc["TP9", "y_mm"]


def test_filter_rejection_and_decimation(tmp_path: Path) -> None:
    table = muse_table()
    at = np.flatnonzero(table["Marker0"])[2]
    table.loc[at : at + 5, "AF7"] = 400.0  # a blink
    table.to_csv(tmp_path / "blink.csv", index=False)
    raw, events = read_muse(tmp_path / "blink.csv", MARKERS)
    epochs = make_epochs(raw, events, band_hz=(1, 30), tmin=-0.1, tmax=0.4, reject_uv=100)
    responses = epochs_to_responses([epochs], decimate=2)
    assert len(responses.trials) == len(events) - 1
    assert responses.trials.attrs["n_rejected"] == [1]
    assert 2 * len(responses.times) - len(epochs.times) in (0, 1)
    wide = make_epochs(raw, events, band_hz=None, tmin=-0.1, tmax=0.4)
    with pytest.raises(BrainalignError, match=r"decimate 2 leaves 128 samples per second, .* reaches up to 128 Hz"):
        epochs_to_responses([wide], decimate=2)
    refused(r"all 24 epochs exceed reject_uv", make_epochs, raw, events, band_hz=None, tmin=-0.1, tmax=0.4, reject_uv=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="AF7"), r"no column AF7"),
        (lambda t: t.assign(TP9=["x", *t["TP9"][1:]]), r"1 cells are no numbers \(first in row 1\)"),
        (lambda t: pd.concat([t[:1500], t[2500:]]), r"samples per second by its clock, not 256"),
        (lambda t: t.assign(Marker0=3 * (t["Marker0"] > 0)), r"no marker is among 1, 2; it has 3"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, change, message: str) -> None:
    change(muse_table()).to_csv(tmp_path / "bad.csv", index=False)
    refused(message, read_muse, tmp_path / "bad.csv", MARKERS)


def descriptor(folder: Path, **changes: object) -> Study:
    content = {
        "name": "small",
        "recordings": {"1": {"format": "epochs", "epochs": ["a-epo.fif", "b-epo.fif"]}},
        "epochs": {"tmin_s": -0.1, "tmax_s": 0.3},
        "folder": folder,
    }
    return parse(Study, content | changes, "test")


def test_mne_epochs_in(tmp_path: Path) -> None:
    info = mne.create_info(["Cz", "Pz"], 100.0, "eeg")
    rng = np.random.default_rng(0)
    for name in "ab":
        metadata = pd.DataFrame({"category": list("xyxy"), "onset_s": np.arange(4.0)})
        epochs = mne.EpochsArray(
            1e-6 * rng.normal(size=(4, 2, 61)), info, tmin=-0.2, metadata=metadata, verbose="error"
        )
        epochs.save(tmp_path / f"{name}-epo.fif", verbose="error")
    responses = read_recordings(descriptor(tmp_path), "1")
    assert responses.values.shape == (8, 2, 41)
    assert responses.trials["run"].tolist() == ["1"] * 4 + ["2"] * 4
    mne.EpochsArray(np.zeros((2, 2, 61)), info, tmin=-0.2, verbose="error").save(
        tmp_path / "b-epo.fif", overwrite=True, verbose="error"
    )
    refused(r"the epochs of recording 2 have no column category", read_recordings, descriptor(tmp_path), "1")


def save_epochs(
    path: Path, kinds: dict[str, str], samples: np.ndarray | None = None, bads: tuple[str, ...] = ()
) -> None:
    info = mne.create_info(list(kinds), 100.0, list(kinds.values()))
    info["bads"] = list(bads)
    events = None if samples is None else np.column_stack([samples, 0 * samples, 0 * samples + 1])
    values = 1e-6 * np.random.default_rng(0).normal(size=(4, len(kinds), 61))
    metadata = pd.DataFrame({"category": list("xyxy")})
    epochs = mne.EpochsArray(values, info, events, tmin=-0.2, metadata=metadata, verbose="error")
    epochs.save(path, overwrite=True, verbose="error")


def test_only_sensors_that_are_not_marked_are_decoded(tmp_path: Path) -> None:
    kinds = {"Cz": "eeg", "Pz": "eeg", "Oz": "eeg", "EOG1": "eog", "STI": "stim"}
    save_epochs(tmp_path / "a-epo.fif", kinds)
    save_epochs(tmp_path / "b-epo.fif", kinds, bads=("Pz", "EOG1"))
    with pytest.warns(RuntimeWarning, match="1 of 3 channels are marked bad in some recording and left out \\(Pz\\)"):
        responses = read_recordings(descriptor(tmp_path), "1")
    assert responses.targets["target_id"].tolist() == ["Cz", "Oz"]
    assert responses.targets.attrs["n_dropped"] == 1
    save_epochs(tmp_path / "b-epo.fif", {"EOG1": "eog"})
    refused("recording 2 has no channel of EEG or MEG, only eog", read_recordings, descriptor(tmp_path), "1")


def test_onsets_of_epochs_without_them_are_those_of_their_events(tmp_path: Path) -> None:
    save_epochs(tmp_path / "a-epo.fif", {"Cz": "eeg"}, np.array([50, 150, 400, 500]))
    save_epochs(tmp_path / "b-epo.fif", {"Cz": "eeg"})  # numbered 0, 1, 2, 3: no samples of a recording
    responses = read_recordings(descriptor(tmp_path, epochs={"tmin_s": -0.1, "tmax_s": 0.3, "decimate": 1}), "1")
    np.testing.assert_allclose(responses.trials["onset_s"], [0.5, 1.5, 4.0, 5.0, *[np.nan] * 4])


def test_other_events_are_not_counted_as_rejected(path: Path) -> None:
    raw, events = read_muse(path, MARKERS)
    epochs = make_epochs(raw, events, band_hz=None, tmin=-0.1, tmax=0.4)
    epochs.drop_log = (("IGNORED",), *epochs.drop_log, ("TP9",))
    assert epochs_to_responses([epochs]).trials.attrs["n_rejected"] == [1]


def test_descriptors_that_cannot_be_decoded_are_refused(tmp_path: Path) -> None:
    muse = {"1": {"format": "muse", "recordings": ["a.csv"]}}
    with pytest.raises(BrainalignError, match="markers: give the category of two markers or more"):
        descriptor(tmp_path, recordings=muse, markers={"1": "house"})
    with pytest.raises(BrainalignError, match=r"windows.late: 0.2 to 0.9 s do not lie in order within the epochs"):
        descriptor(tmp_path, windows={"late": (0.2, 0.9)})


def test_without_mne_bids_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mne_bids", None)
    with pytest.raises(
        BrainalignError, match=r'BIDS folders need mne-bids; install it with: pip install "brainalign\[bids\]"'
    ):
        read_bids_stimuli(Path(), "01", task="faces", stimulus_column="trial_type")


def test_a_real_bids_folder(path: Path, tmp_path: Path) -> None:
    raw, events = read_muse(path, MARKERS)
    raw.set_annotations(mne.Annotations(events["onset_s"], 0.1, events["category"].tolist()))
    place = mne_bids.BIDSPath(subject="01", task="faces", run="1", datatype="eeg", root=tmp_path / "bids")
    mne_bids.write_raw_bids(raw, place, allow_preload=True, format="BrainVision", verbose="error")
    files = {"format": "bids", "root": "bids", "participant": "01", "task": "faces", "runs": ["1"]}
    study = descriptor(tmp_path, recordings={"1": files}, markers={"face": "face", "house": "house"})
    responses = read_recordings(study, "1")
    direct = epochs_to_responses([make_epochs(raw, events, band_hz=None, tmin=-0.1, tmax=0.3)])
    assert responses.trials["category"].tolist() == direct.trials["category"].tolist()
    np.testing.assert_allclose(responses.values, direct.values, atol=0.1)


def test_other_channels_of_a_bids_folder_are_left_out(path: Path, tmp_path: Path) -> None:
    raw, events = read_muse(path, MARKERS)
    raw.set_channel_types({"AF7": "eog"}, verbose="error")
    raw.info["bads"] = ["TP9"]
    raw.set_annotations(mne.Annotations(events["onset_s"], 0.1, events["category"].tolist()))
    place = mne_bids.BIDSPath(subject="01", task="faces", run="1", datatype="eeg", root=tmp_path / "bids")
    mne_bids.write_raw_bids(raw, place, allow_preload=True, format="BrainVision", verbose="error")
    files = {"format": "bids", "root": "bids", "participant": "01", "task": "faces", "runs": ["1"]}
    study = descriptor(tmp_path, recordings={"1": files}, markers={"face": "face", "house": "house"})
    with pytest.warns(RuntimeWarning, match="left out \\(TP9\\)"):
        responses = read_recordings(study, "1")
    assert responses.targets["target_id"].tolist() == ["AF8", "TP10"]


PLACES = {"Fp1": 1.0, "Fp2": 0.9, "Fz": 0.5, "Cz": 0.2, "Pz": 0.05, "Oz": 0.02}  # how much of a blink each sees
SHOWN = [f"image{k:02d}" for k in range(12)]


@pytest.fixture(scope="module")
def viewing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs of EEG in BIDS: Oz answers each image with an amplitude of its own, among blinks and mains."""
    folder, rng = tmp_path_factory.mktemp("viewing"), np.random.default_rng(5)
    amplitudes = pd.Series(np.linspace(-8, 8, len(SHOWN)), SHOWN)
    rate, n = 250.0, 250 * 50
    time = np.arange(n) / rate
    for run in "1234":
        onsets = 2 + 1.9 * np.arange(24) + rng.uniform(0, 0.2, 24)
        shown = np.tile(rng.permutation(SHOWN), 2)
        blinks = sum(150 * np.exp(-0.5 * ((time - at) / 0.08) ** 2) for at in onsets + rng.uniform(0, 0.5, 24))
        evoked = sum(
            amplitudes[name] * np.exp(-0.5 * ((time - at - 0.2) / 0.04) ** 2)
            for name, at in zip(shown, onsets, strict=True)
        )
        mains = 20 * np.sin(2 * np.pi * 50 * time)
        sources = rng.normal(size=(3, n)).cumsum(axis=1)
        sources = 2 * sources / sources.std(axis=1, keepdims=True)
        values = rng.normal(size=(len(PLACES), 3)) @ sources + rng.normal(size=(len(PLACES), n)) + mains
        values += np.array([*PLACES.values()])[:, None] * blinks
        values[-1] += evoked
        data = np.vstack([values, 1.5 * blinks + rng.normal(size=n) + mains])
        info = mne.create_info([*PLACES, "VEOG"], rate, ["eeg"] * len(PLACES) + ["eog"], verbose="error")
        raw = mne.io.RawArray(1e-6 * data, info, verbose="error")
        raw.info["line_freq"] = 50
        raw.set_annotations(mne.Annotations(onsets, 0.5, "image"))
        place = mne_bids.BIDSPath(subject="01", task="view", run=run, datatype="eeg", root=folder / "bids")
        mne_bids.write_raw_bids(raw, place, allow_preload=True, format="BrainVision", verbose="error")
        path = place.copy().update(suffix="events", extension=".tsv").fpath
        events = pd.read_csv(path, sep="\t").assign(stim_file=[f"images/{name}.png" for name in shown])
        events.to_csv(path, sep="\t", index=False)
    table = pd.DataFrame({"stimulus_id": SHOWN, "amplitude": amplitudes.to_numpy()})
    table.to_csv(folder / "stimuli.tsv", sep="\t", index=False)
    return folder


def viewed(folder: Path, files: dict[str, object] | None = None, **epochs: object) -> Study:
    recorded = {"format": "bids", "root": "bids", "participant": "01", "task": "view", "runs": ["1", "2", "3", "4"]}
    recorded |= {"stimulus_column": "stim_file", "names": "file stem"} | (files or {})
    content = {"name": "view", "folder": folder, "stimuli": "stimuli.tsv", "recordings": {"1": recorded}}
    content |= {"splits": {"runs": {"leave_out": "run"}}, "epochs": {"tmin_s": -0.2, "tmax_s": 0.6, **epochs}}
    return parse(Study, content, "test")


CLEAN = {"band_hz": (0.5, 40.0), "notch_hz": 50.0}


def test_images_of_a_bids_folder_are_predicted_from(viewing: Path) -> None:
    """What Oz answers to each image comes back at its time; what the eyes and the mains add is gone."""
    planted = pd.read_csv(viewing / "stimuli.tsv", sep="\t").set_index("stimulus_id")["amplitude"]
    eyes = {}
    for how in (None, "ica", "ssp"):
        study = viewed(viewing, artifacts=how, resample_hz=100.0, **CLEAN)
        responses = read_subject(study, "1")
        assert responses.trials["run"].value_counts().to_dict() == dict.fromkeys("1234", 24)
        assert "category" not in responses.trials
        at = int(np.abs(responses.times - 0.2).argmin())
        answer = responses.values[:, responses.targets["target_id"].tolist().index("Oz"), at]
        expected = planted[responses.trials["stimulus_id"]].to_numpy()
        assert np.corrcoef(answer, expected)[0, 1] > 0.9
        assert abs(np.polyfit(expected, answer, 1)[0] - 1) < (0.1 if how != "ssp" else 0.3)
        np.testing.assert_allclose(np.diff(responses.times), 0.01, atol=1e-9)
        eyes[how] = responses.values[:, 0].std()
    assert max(eyes["ica"], eyes["ssp"]) < 0.2 * eyes[None]
    assert not audit_study(viewed(viewing, artifacts="ica", **CLEAN)).errors


def test_reference_and_chosen_events(viewing: Path) -> None:
    responses = read_subject(viewed(viewing, reference="average", **CLEAN), "1")
    np.testing.assert_allclose(responses.values.mean(axis=1), 0, atol=1e-3)
    to_fz = read_subject(viewed(viewing, reference=["Fz"], bad_channels="drop", **CLEAN), "1")
    assert "Fz" not in to_fz.targets["target_id"].tolist()  # it is flat
    written = read_subject(viewed(viewing, {"names": "as written", "where": {"trial_type": ["image"]}}), "1")
    assert written.trials["stimulus_id"].iloc[0].startswith("images/image")


@pytest.mark.parametrize(
    ("files", "epochs", "message"),
    [
        ({"stimulus_column": "stimfile"}, {}, "no column 'stimfile' .did you mean 'stim_file'"),
        ({"where": {"trial_type": ["word"]}}, {}, "none of 24 events names a stimulus in stim_file with trial_type in"),
        ({"runs": ["7"]}, {}, "cannot be read"),
        ({}, {"reference": ["Cx"]}, "no channel Cx.*it has Fp1, Fp2"),
        ({}, {"band_hz": (1.0, 200.0)}, "250 samples per second hold up to 125 Hz; give band_hz"),
        ({}, {"resample_hz": 1000.0}, "resample_hz of 250 at most"),
        ({}, {"artifacts": "ica", "eog": ["VEOX"]}, "no channel VEOX"),
    ],
)
def test_bids_folders_that_do_not_fit_are_refused(
    viewing: Path, files: dict[str, object], epochs: dict[str, object], message: str
) -> None:
    refused(message, read_subject, viewed(viewing, files, **epochs), "1")


def test_eyes_that_were_not_recorded_are_named(path: Path, tmp_path: Path) -> None:
    files = {"format": "muse", "recordings": ["one.csv"]}
    (tmp_path / "one.csv").write_bytes(path.read_bytes())
    study = descriptor(tmp_path, recordings={"1": files}, epochs={"artifacts": "ica"}, markers=MARKERS)
    refused("no channel is of type eog; name channels beside the eyes with epochs.eog", read_recordings, study, "1")


@pytest.mark.skipif(not N170.is_dir(), reason="needs eeg-n170 in the folder named by BRAINALIGN_DATA")
def test_faces_are_marker_two(root: Path) -> None:
    """What the descriptor says: the temporal electrodes are more negative for marker 2, 209 ms after it."""
    study = load_descriptor(root / "data" / "n170.yaml")
    responses = read_recordings(study, "1")
    assert len(responses.trials) == 1139
    assert responses.trials["run"].nunique() == 6
    at = int(np.abs(responses.times - 0.209).argmin())
    face = (responses.trials["category"] == "face").to_numpy()
    for sensor, least in (("TP9", -4), ("TP10", -5)):
        x = responses.values[:, responses.targets["target_id"].tolist().index(sensor), at]
        error = np.sqrt(x[face].var() / face.sum() + x[~face].var() / (~face).sum())
        assert (x[face].mean() - x[~face].mean()) / error < least
        runs = responses.trials["run"].to_numpy()
        by_run = [x[face & (runs == run)].mean() - x[~face & (runs == run)].mean() for run in np.unique(runs)]
        assert (np.array(by_run) < 0).sum() >= 5
        print(sensor, (x[face].mean() - x[~face].mean()) / error, by_run)
