import os
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest
from made import muse_table, write_table
from refusals import refused
from scipy.io import savemat
from sklearn.covariance import LedoitWolf

from brainalign.arrays import Responses
from brainalign.cli import main
from brainalign.datasets import audit_study, epochs_to_responses, make_epochs, read_epochs, read_muse, read_subject
from brainalign.datasets.formats import check_same_channels, fit_whitener, read_raw_run, read_recordings
from brainalign.simulation import sensor_info
from brainalign.study import RawOptions, Study, load_descriptor, parse

N170 = Path(os.environ.get("BRAINALIGN_DATA", "nowhere"), "eeg-n170")
MARKERS = {"1": "house", "2": "face"}
PLACES = {"Fp1": 1.0, "Fp2": 0.9, "Fz": 0.5, "Cz": 0.2, "Pz": 0.05, "Oz": 0.02}  # how much of a blink each sees
SHOWN = [f"image{k:02d}" for k in range(12)]
CLEAN = {"band_hz": (0.5, 40.0), "notch_hz": 50.0}
RATE_HZ, SECONDS = 100.0, 20


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
    assert (len(responses.trials), responses.trials.attrs["n_rejected"]) == (len(events) - 1, [1])
    assert 2 * len(responses.times) - len(epochs.times) in (0, 1)
    wide = make_epochs(raw, events, band_hz=None, tmin=-0.1, tmax=0.4)
    wide.drop_log = (("IGNORED",), *wide.drop_log, ("TP9",))
    assert epochs_to_responses([wide]).trials.attrs["n_rejected"] == [1]  # other events are not counted
    refused(r"decimate 2 leaves 128 samples per second, .* reach up to 128", epochs_to_responses, [wide], decimate=2)
    refused(r"all 24 epochs exceed reject_uv", make_epochs, raw, events, band_hz=None, tmin=-0.1, tmax=0.4, reject_uv=1)


def descriptor(folder: Path, **changes: object) -> Study:
    files = {"format": "epochs", "epochs": ["a-epo.fif", "b-epo.fif"]}
    content = {"name": "small", "folder": folder, "recordings": {"1": files}, "epochs": {"tmin_s": -0.1, "tmax_s": 0.3}}
    return parse(Study, content | changes, "test")


def save_epochs(path: Path, kinds: dict[str, str], samples=None, bads=(), metadata=True, shown="xyxy") -> None:
    info = mne.create_info(list(kinds), 100.0, list(kinds.values()))
    events = None if samples is None else np.column_stack([samples, 0 * samples, 0 * samples + 1])
    values = 1e-6 * np.random.default_rng(0).normal(size=(4, len(kinds), 61))
    values[0, 0, 40:42] = np.nan if "NaN" in bads else values[0, 0, 40:42]
    info["bads"] = [name for name in bads if name != "NaN"]
    table = pd.DataFrame({"category": [name.strip() if name != "-" else None for name in shown]}) if metadata else None
    epochs = mne.EpochsArray(values, info, events, tmin=-0.2, metadata=table, verbose="error")
    epochs.save(path, overwrite=True, verbose="error")


def test_mne_epochs_in(tmp_path: Path) -> None:
    """Onsets are those of their events, unless these are numbered 0, 1, 2, 3: no samples of a recording."""
    kinds = {"Cz": "eeg", "Pz": "eeg"}
    save_epochs(tmp_path / "a-epo.fif", kinds, np.array([50, 150, 400, 500]))
    save_epochs(tmp_path / "b-epo.fif", kinds)
    responses = read_recordings(descriptor(tmp_path), "1")
    assert (responses.values.shape, responses.trials["run"].tolist()) == ((8, 2, 41), ["1"] * 4 + ["2"] * 4)
    np.testing.assert_allclose(responses.trials["onset_s"], [0.5, 1.5, 4.0, 5.0, *[np.nan] * 4])
    save_epochs(tmp_path / "b-epo.fif", kinds, metadata=False)
    refused(r"the epochs of recording 2 have no column category", read_recordings, descriptor(tmp_path), "1")
    save_epochs(tmp_path / "b-epo.fif", kinds, shown="x- y")
    refused("2 epochs of recording 2 have no category", read_recordings, descriptor(tmp_path), "1")
    save_epochs(tmp_path / "b-epo.fif", kinds, bads=("NaN",))
    assert "1 of 2 targets are NaN" in str(audit_study(descriptor(tmp_path)).problems)
    for change, message in (
        ({"epochs": {"baseline_s": [-0.5, 0.0]}}, r"baseline -0.5 s lies outside the epochs, .* -0.200 to 0.400"),
        ({"epochs": {"tmin_s": -0.3, "tmax_s": 0.3}}, "tmin -0.3 s lies outside"),
        ({"recordings": {"1": {"format": "epochs", "epochs": ["a-epo.fif"], "picks": "mag"}}}, "no mag channels"),
    ):
        refused(message, read_recordings, descriptor(tmp_path, **change), "1")
    kinds = {"Cz": "eeg", "Pz": "eeg", "Oz": "eeg", "EOG1": "eog", "STI": "stim"}
    save_epochs(tmp_path / "a-epo.fif", kinds)
    save_epochs(tmp_path / "b-epo.fif", kinds, bads=("Pz", "EOG1"))
    with pytest.warns(RuntimeWarning, match="1 of 3 channels are marked bad in some recording and left out \\(Pz\\)"):
        responses = read_recordings(descriptor(tmp_path), "1")
    assert (responses.targets["target_id"].tolist(), responses.targets.attrs["n_dropped"]) == (["Cz", "Oz"], 1)
    save_epochs(tmp_path / "b-epo.fif", {"EOG1": "eog"})
    refused("recording 2 has no channel of EEG or MEG, only eog", read_recordings, descriptor(tmp_path), "1")


def test_a_bids_folder_of_categories(path: Path, tmp_path: Path) -> None:
    raw, events = read_muse(path, MARKERS)
    raw.set_annotations(mne.Annotations(events["onset_s"], 0.1, events["category"].tolist()))
    files = {"format": "bids", "root": "bids", "participant": "01", "task": "faces", "runs": ["1"]}
    study = descriptor(tmp_path, recordings={"1": files}, markers={"face": "face", "house": "house"})

    def read() -> Responses:
        place = mne_bids.BIDSPath(subject="01", task="faces", run="1", datatype="eeg", root=tmp_path / "bids")
        options = {"allow_preload": True, "format": "BrainVision", "overwrite": True, "verbose": "error"}
        mne_bids.write_raw_bids(raw, place, **options)
        return read_recordings(study, "1")

    responses = read()
    direct = epochs_to_responses([make_epochs(raw, events, band_hz=None, tmin=-0.1, tmax=0.3)])
    refused("cut .Event time samples", make_epochs, raw, pd.concat([events] * 2), band_hz=None, tmin=0.0, tmax=0.3)
    assert responses.trials["category"].tolist() == direct.trials["category"].tolist()
    np.testing.assert_allclose(responses.values, direct.values, atol=0.1)
    misspelt = descriptor(tmp_path, recordings={"1": files}, markers={"face": "face", "huose": "house"})
    refused("no event 'huose' .did you mean 'house'", read_recordings, misspelt, "1")
    other = descriptor(tmp_path, recordings={"1": files | {"participant": "sub-1_1"}}, markers=study.markers)
    refused("cannot be read .*there is sub-01", read_recordings, other, "1")
    raw.set_channel_types({"AF7": "eog"}, verbose="error")
    raw.info["bads"] = ["TP9"]
    with pytest.warns(RuntimeWarning, match="left out \\(TP9\\)"):
        responses = read()
    assert responses.targets["target_id"].tolist() == ["AF8", "TP10"]


@pytest.fixture(scope="module")
def viewing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs of EEG in BIDS: Oz answers each image with an amplitude of its own, among blinks and mains."""
    folder, rng = tmp_path_factory.mktemp("viewing"), np.random.default_rng(5)
    amplitudes = pd.Series(np.linspace(-8, 8, len(SHOWN)), SHOWN)
    rate, n = 250.0, 250 * 50
    time = np.arange(n) / rate
    for run in "1234":
        onsets, shown = 2 + 1.9 * np.arange(24) + rng.uniform(0, 0.2, 24), np.tile(rng.permutation(SHOWN), 2)
        blinks = sum(150 * np.exp(-0.5 * ((time - at) / 0.08) ** 2) for at in onsets + rng.uniform(0, 0.5, 24))
        evoked = amplitudes[shown].to_numpy() @ [np.exp(-0.5 * ((time - at - 0.2) / 0.04) ** 2) for at in onsets]
        mains, sources = 20 * np.sin(2 * np.pi * 50 * time), rng.normal(size=(3, n)).cumsum(axis=1)
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
    write_table(folder / "stimuli.tsv", stimulus_id=SHOWN, amplitude=amplitudes.to_numpy())
    return folder


def viewed(folder: Path, files: dict[str, object] | None = None, **epochs: object) -> Study:
    recorded = {"format": "bids", "root": "bids", "participant": "01", "task": "view", "runs": ["1", "2", "3", "4"]}
    recorded |= {"stimulus_column": "stim_file", "names": "file stem"} | (files or {})
    content = {"name": "view", "folder": folder, "stimuli": "stimuli.tsv", "recordings": {"1": recorded}}
    content |= {"splits": {"runs": {"leave_out": "run"}}, "epochs": {"tmin_s": -0.2, "tmax_s": 0.6, **epochs}}
    return parse(Study, content, "test")


def test_images_of_a_bids_folder_are_predicted_from(viewing: Path) -> None:
    """What Oz answers to each image comes back at its time; what the eyes and the mains add is gone."""
    planted = pd.read_csv(viewing / "stimuli.tsv", sep="\t").set_index("stimulus_id")["amplitude"]
    eyes = {}
    for how in (None, "ica", "ssp"):
        responses = read_subject(viewed(viewing, artifacts=how, resample_hz=100.0, **CLEAN), "1")
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
    for files, epochs, message in (
        ({"stimulus_column": "stimfile"}, {}, "no column 'stimfile' .did you mean 'stim_file'"),
        ({"where": {"trial_type": ["word"]}}, {}, "none of 24 events names a stimulus in stim_file with trial_type in"),
        ({"runs": ["1", "7"]}, {}, "cannot be read"),
        ({}, {"reference": ["Cx"]}, "no channel 'Cx'.*it has Fp1, Fp2"),
        ({}, {"band_hz": (1.0, 200.0)}, "250 samples per second hold up to 125 Hz; give band_hz"),
        ({}, {"resample_hz": 1000.0}, "resample_hz of 250 at most"),
        ({}, {"artifacts": "ica", "eog": ["VEOX"]}, "no channel 'VEOX'"),
    ):
        refused(message, read_subject, viewed(viewing, files, **epochs), "1")


def test_a_flat_channel_takes_no_part_in_the_reference(tmp_path: Path) -> None:
    """It counts as bad: after referencing it would be the reference with its sign turned, and no longer flat."""
    values = np.random.default_rng(0).normal(size=(4, 500)) * [[1.0], [1.0], [1.0], [0.0]]
    raw = mne.io.RawArray(1e-6 * values, mne.create_info(["Fz", "Cz", "Pz", "Oz"], 100.0, "eeg"), verbose="error")
    raw.save(tmp_path / "run_raw.fif", fmt="double", verbose="error")
    with pytest.warns(RuntimeWarning, match=r"1 channels are flat throughout \(Oz\) and count as bad"):
        found, _ = read_raw_run(tmp_path / "run_raw.fif", RawOptions(reference="average"), 100.0)
    expected = np.vstack([values[:3] - values[:3].mean(axis=0), np.full(500, np.nan)])
    np.testing.assert_allclose(found.T, expected, atol=1e-5)


def test_muse_files_and_descriptors_that_cannot_be_decoded(path: Path, tmp_path: Path) -> None:
    for change, message in (
        (lambda t: t.drop(columns="AF7"), r"no column .AF7"),
        (lambda t: t.assign(TP9=["x", *t["TP9"][1:]]), r"1 cells are no numbers \(first in row 1\)"),
        (lambda t: pd.concat([t[:1500], t[2500:]]), r"samples per second by its clock, not 256"),
        (lambda t: t.assign(Marker0=3 * (t["Marker0"] > 0)), r"no marker is among 1, 2; it has 3"),
    ):
        change(muse_table()).to_csv(tmp_path / "bad.csv", index=False)
        refused(message, read_muse, tmp_path / "bad.csv", MARKERS)
    muse = {"1": {"format": "muse", "recordings": ["one.csv"]}}
    refused("markers: give the category of two markers", descriptor, tmp_path, recordings=muse, markers={"1": "house"})
    refused(r"windows.late: 0.2 to 0.9 s do not lie in order", descriptor, tmp_path, windows={"late": (0.2, 0.9)})
    study = descriptor(tmp_path, recordings=muse, epochs={"artifacts": "ica"}, markers=MARKERS)
    refused("no channel is of type eog; name channels beside the eyes with epochs.eog", read_recordings, study, "1")


@pytest.mark.skipif(not N170.is_dir(), reason="needs eeg-n170 in the folder named by BRAINALIGN_DATA")
def test_faces_are_marker_two(root: Path) -> None:
    """What the descriptor says: the temporal electrodes are more negative for marker 2, 209 ms after it."""
    responses = read_recordings(load_descriptor(root / "data" / "n170.yaml"), "1")
    assert (len(responses.trials), responses.trials["run"].nunique()) == (1139, 6)
    at, face = int(np.abs(responses.times - 0.209).argmin()), (responses.trials["category"] == "face").to_numpy()
    for sensor, least in (("TP9", -4), ("TP10", -5)):
        x = responses.values[:, responses.targets["target_id"].tolist().index(sensor), at]
        error = np.sqrt(x[face].var() / face.sum() + x[~face].var() / (~face).sum())
        assert (x[face].mean() - x[~face].mean()) / error < least
        runs = responses.trials["run"].to_numpy()
        by_run = [x[face & (runs == run)].mean() - x[~face & (runs == run)].mean() for run in np.unique(runs)]
        assert (np.array(by_run) < 0).sum() >= 5


def recorded(folder: Path) -> tuple[np.ndarray, int]:
    """Save a recording of a dipole and a far magnet; return the field of the dipole, and the channel that was dead."""
    info = sensor_info("meg", "all")
    sphere = mne.make_sphere_model(r0=(0, 0, 0.04), head_radius=None, verbose="error")
    dipole = mne.Dipole([0.0], [[0.03, 0.0, 0.08]], [2e-8], [[0.0, 1.0, 0.0]], [100.0])
    field = mne.make_forward_dipole(dipole, sphere, info, verbose="error")[0]["sol"]["data"][:, :1]
    t = np.arange(int(SECONDS * RATE_HZ)) / RATE_HZ
    inside = 2e-8 * field * np.sin(2 * np.pi * 7 * t)
    # A field alike everywhere, along z: each coil sees what of it is normal to it, gradiometers see nothing.
    normal = np.array([channel["loc"][11] for channel in info["chs"]])
    normal[[kind != "mag" for kind in info.get_channel_types()]] = 0
    outside = 3e-12 * normal[:, None] * np.sin(2 * np.pi * 3 * t)
    noise = np.where(np.array(info.get_channel_types()) == "mag", 3e-15, 1e-13)[:, None]
    noise = noise * np.random.default_rng(0).normal(size=inside.shape)
    raw = mne.io.RawArray(inside + outside + noise, info, verbose="error")
    dead = int(np.abs(np.where(noise.std(axis=1) < 1e-14, field[:, 0], 0)).argmax())  # the magnetometer that sees most
    raw._data[dead] = 0
    raw.info["bads"] = [raw.ch_names[dead]]
    raw.save(folder / "run_raw.fif", verbose="error")
    return inside, dead


@pytest.mark.parametrize("how", ["sss", "tsss"])
def test_what_comes_from_outside_is_removed(how: str, tmp_path: Path) -> None:
    inside, dead = recorded(tmp_path)
    plain, sensors = read_raw_run(tmp_path / "run_raw.fif", RawOptions(), RATE_HZ)
    found, _ = read_raw_run(tmp_path / "run_raw.fif", RawOptions(maxwell=how), RATE_HZ)
    assert np.isnan(plain[:, dead]).all()
    mags = np.flatnonzero(sensors["sensor_type"] == "mag")
    wanted = 1e15 * inside[mags].T  # fT
    assert np.nanmax(np.abs(plain[:, mags] - wanted)) > 10 * np.abs(wanted).max()
    assert np.abs(found[:, mags] - wanted).max() < 0.2 * np.abs(wanted).max()
    assert np.corrcoef(found[:, dead], inside[dead])[0, 1] > 0.98  # it says what it should have said


def test_recordings_without_meg_are_refused(tmp_path: Path) -> None:
    info = mne.create_info(["Cz", "Pz"], RATE_HZ, "eeg")
    mne.io.RawArray(np.zeros((2, 500)), info, verbose="error").save(tmp_path / "run_raw.fif", verbose="error")
    refused("is for MEG", read_raw_run, tmp_path / "run_raw.fif", RawOptions(maxwell="sss"), RATE_HZ)


RATE, TRIALS = 100.0, 6
EEG = ("Fz", "Cz", "Pz", "Oz", "C3", "C4")
TIMES = np.arange(-20, 50) / 100


def eeg_epochs(names=EEG, metadata=True, scale=1e-5, lowpass=None, seed=0):
    data = np.random.default_rng(seed).normal(size=(TRIALS, len(names), 71)) * scale
    epochs = mne.EpochsArray(data, mne.create_info(list(names), RATE, "eeg"), tmin=-0.2, verbose="error")
    epochs.set_montage("standard_1020", on_missing="ignore", verbose="error")
    if lowpass:
        with epochs.info._unlock():
            epochs.info["lowpass"] = lowpass
    if metadata:
        epochs.metadata = pd.DataFrame({"stimulus_id": list("abcabc"), "session": ["1"] * 3 + ["2"] * 3})
    return epochs


def saved(epochs, path):
    epochs.save(path, overwrite=True, verbose="error")
    return path


@pytest.fixture
def sub04(tmp_path):
    return saved(eeg_epochs(), tmp_path / "sub-04_eeg-epo.fif")


def test_values_times_places_and_units_of_meg_in_the_head(sub04, tmp_path) -> None:
    responses, expected = read_epochs(sub04, picks="eeg"), eeg_epochs()
    np.testing.assert_allclose(responses.values, expected.get_data() * 1e6, rtol=1e-4, atol=1e-3)
    assert responses.units == "µV"
    np.testing.assert_allclose(responses.times, expected.times, atol=1e-9)
    assert responses.trials["stimulus_id"].tolist() == list("abcabc")
    assert responses.trials["repeat"].tolist() == [1, 1, 1, 2, 2, 2]
    assert responses.trials["session"].tolist() == list("111222")
    assert responses.targets["sensor_type"].tolist() == ["eeg"] * 6
    heads = [1000 * channel["loc"][:3] for channel in expected.info["chs"]]
    np.testing.assert_allclose(responses.targets[["x_mm", "y_mm", "z_mm"]].astype(float), heads, rtol=1e-5, atol=1e-3)
    info = mne.create_info(["M1", "M2", "G1"], RATE, ["mag", "mag", "grad"])
    with info._unlock():
        for k, channel in enumerate(info["chs"]):
            channel["loc"][:3] = [0.01 * (k + 1) if k != 1 else np.nan, 0.0, 0.1]
        shift = np.eye(4)
        shift[2, 3] = 0.05  # the head lies 50 mm away from the device's origin
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", shift)
    epochs = mne.EpochsArray(np.ones((3, 3, 5)) * np.arange(5) * 1e-13, info, verbose="error")
    epochs.metadata = pd.DataFrame({"stimulus_id": list("aab")})
    responses = read_epochs(saved(epochs, tmp_path / "meg-epo.fif"))
    np.testing.assert_allclose(responses.values[0, :, 2], [200.0, 200.0, 2.0], rtol=1e-5)  # fT, fT, fT/cm
    assert responses.units == "fT (mag), fT/cm (grad)"
    np.testing.assert_allclose(responses.targets["z_mm"], [150.0, np.nan, 150.0], rtol=1e-5)
    assert read_epochs(tmp_path / "meg-epo.fif", picks="grad").targets["target_id"].tolist() == ["G1"]
    refused(r"no eeg channels; it has grad, mag: correct picks", read_epochs, tmp_path / "meg-epo.fif", picks="eeg")


def test_baseline_crop_and_decimation_follow_mne(tmp_path, sub04) -> None:
    smooth = saved(eeg_epochs(lowpass=20.0), tmp_path / "a-epo.fif")
    responses = read_epochs(smooth, picks="eeg", baseline=(-0.2, 0), tmin=0, tmax=0.4, decimate=2)
    expected = mne.read_epochs(smooth, verbose="error").apply_baseline((-0.2, 0), verbose="error")
    expected = expected.crop(0, 0.4).decimate(2, verbose="error")
    np.testing.assert_allclose(responses.values, expected.get_data() * 1e6, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(np.diff(responses.times), 0.02)
    refused(r"tmax 0\.9 s lies outside the epochs, .* from -0\.200", read_epochs, sub04, picks="eeg", tmax=0.9)
    refused(r"baseline -0\.3 s lies outside", read_epochs, sub04, picks="eeg", baseline=(-0.3, 0))
    refused(r"decimate 2 leaves 50 samples per second.*up to 50 Hz", read_epochs, sub04, picks="eeg", decimate=2)


def test_epochs_without_metadata_need_a_table(tmp_path) -> None:
    sub04 = saved(eeg_epochs(metadata=False), tmp_path / "a-epo.fif")
    refused("the epochs have no metadata", read_epochs, sub04, picks="eeg")
    table = write_table(tmp_path / "trials.tsv", stimulus_id=list("xyzxyz"))
    assert read_epochs(sub04, picks="eeg", trials=table).trials["stimulus_id"].tolist() == list("xyzxyz")
    write_table(table, stimulus_id=list("xyzx"))
    refused(r"lists 4 trials but .* has 6 epochs", read_epochs, sub04, picks="eeg", trials=table)
    epochs = eeg_epochs(metadata=False).drop([1, 4], verbose="error")  # a table of all events follows what was rejected
    write_table(table, stimulus_id=list("uvwxyz"))
    assert read_epochs(saved(epochs, sub04), picks="eeg", trials=table).trials["stimulus_id"].tolist() == list("uwxz")
    epochs = eeg_epochs()
    epochs.metadata = epochs.metadata.rename(columns={"stimulus_id": "stim_id"})
    refused(r"no column 'stimulus_id' \(did you mean 'stim_id'", read_epochs, saved(epochs, sub04), picks="eeg")


def test_epochs_of_eeglab(tmp_path: Path) -> None:
    """Their events are the stimuli of trials, or the categories of a study without stimuli."""
    values, names = np.random.default_rng(0).normal(size=(12, 3, 50)), ["face", "7", "S 12"] * 4
    types = [float(name) if name == "7" else name for name in names]  # numbers where they are no texts
    events = np.array([(name, 11 + 50 * k, k + 1) for k, name in enumerate(types)], "O,O,O")
    of_epochs = np.array([(k + 1, name, 0.0) for k, name in enumerate(types)], "O,O,O")
    events.dtype.names, of_epochs.dtype.names = ("type", "latency", "epoch"), ("event", "eventtype", "eventlatency")
    stored = dict.fromkeys(("urevent", "icawinv", "icaweights", "icasphere"), ()) | {"setname": "a", "ref": "common"}
    stored |= {"nbchan": 3, "pnts": 50, "trials": 12, "srate": 100.0, "xmin": -0.1, "xmax": 0.39}
    stored |= {"chanlocs": np.array([("Cz",), ("Pz",), ("Oz",)], [("labels", "O")]), "event": events}
    stored |= {"epoch": of_epochs, "data": values.transpose(1, 2, 0)}  # microvolts
    savemat(tmp_path / "a.set", {"EEG": stored}, appendmat=False)
    responses = read_epochs(tmp_path / "a.set", picks="eeg")
    assert responses.trials["stimulus_id"].tolist() == names
    np.testing.assert_allclose(responses.values, values, rtol=1e-5)
    assert main(["init", str(tmp_path), "--yes"]) == 0
    assert read_recordings(load_descriptor(tmp_path / "study.yaml"), "01").trials["category"].tolist() == names


def test_bad_flat_and_other_channels(tmp_path, sub04) -> None:
    epochs = eeg_epochs()
    epochs.info["bads"] = ["Pz"]
    epochs._data[:, EEG.index("Oz")] = 0
    bad = saved(epochs, tmp_path / "a-epo.fif")
    refused(r"1 of 6 channels are marked bad \(Pz\); interpolate", read_epochs, bad, picks="eeg")
    dropped = read_epochs(bad, picks="eeg", bad_channels="drop")
    assert (dropped.targets["target_id"].tolist(), dropped.targets.attrs["n_dropped"]) == (["Fz", "Cz", "C3", "C4"], 2)
    epochs.info["bads"] = []
    refused(r"0 channels hold NaN and 1 are flat \(Oz\)", read_epochs, saved(epochs, bad), picks="eeg")
    refused("6 channels but 6 expected: lacks CZ", read_epochs, sub04, picks="eeg", channels=["Fz", "CZ", *EEG[2:]])
    other = saved(eeg_epochs(("Fz", "Cz", "Pz", "Oz", "C3", "F4")), tmp_path / "b-epo.fif")
    tables = {name: read_epochs(p, picks="eeg").targets for name, p in {"one": sub04, "two": other}.items()}
    refused("two against one: 6 channels but 6 expected: lacks C4, has besides F4", check_same_channels, tables)
    refused(r"lacks C4.*has besides F4", read_epochs, [sub04, other], picks="eeg")
    refused("in another order", check_same_channels, {"a": tables["one"], "b": tables["one"].iloc[::-1]})
    check_same_channels({"a": tables["one"], "b": tables["one"]})


def test_several_files_are_one_recording(tmp_path, sub04) -> None:
    second = saved(eeg_epochs(seed=1), tmp_path / "b-epo.fif")
    responses = read_epochs([sub04, second], picks="eeg")
    assert responses.trials["repeat"].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert responses.trials["session"].tolist() == [*"111222"] * 2
    assert responses.trials["trial_id"].tolist() == [f"trial-{k:04d}" for k in range(12)]
    np.testing.assert_allclose(responses.values[6:], eeg_epochs(seed=1).get_data() * 1e6, rtol=1e-4, atol=1e-3)
    for name, path in (("c", sub04), ("d", second)):
        epochs = mne.read_epochs(path, verbose="error")
        epochs.metadata = epochs.metadata.drop(columns="session").assign(trial_id="x", repeat=9)
        saved(epochs, tmp_path / f"{name}-epo.fif")
    named = read_epochs([tmp_path / "c-epo.fif", tmp_path / "d-epo.fif"], picks="eeg").trials
    assert named["session"].tolist() == [*"111111222222"]  # a file each
    assert named["repeat"].tolist() == responses.trials["repeat"].tolist()
    assert named["trial_id"].is_unique
    dropped = []
    for name, gone in (("c", [1, 4]), ("d", [0])):
        epochs = mne.read_epochs(tmp_path / f"{name}-epo.fif", verbose="error").drop(gone, verbose="error")
        dropped.append(saved(epochs, tmp_path / f"{name}{name}-epo.fif"))
    table = write_table(tmp_path / "trials.tsv", stimulus_id=list("abcdefghijkl"))
    assert read_epochs(dropped, picks="eeg", trials=table).trials["stimulus_id"].tolist() == list("acdfhijkl")
    whole = sub04.read_bytes()
    damaged = r"sub-04_eeg-epo\.fif: truncated, or not epochs that MNE or EEGLAB saved"
    for content in (whole[: len(whole) // 2], b"not a fif file at all"):
        sub04.write_bytes(content)
        refused(damaged, read_epochs, sub04, picks="eeg")
    refused("no such file", read_epochs, tmp_path / "none-epo.fif")


def world(n_stimuli=30, n_repeats=8, n_sensors=12, seed=0, reference=False):
    """Return epochs with a known noise covariance, stimulus ids, targets and that covariance."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_sensors, n_sensors)) / np.sqrt(n_sensors) + np.eye(n_sensors)
    if reference:
        mixing -= mixing.mean(axis=0)
    signal = 3 * rng.normal(size=(n_stimuli, n_sensors, len(TIMES))) * (TIMES >= 0)
    noise = np.einsum("st,rtk->rsk", mixing, rng.normal(size=(n_stimuli * n_repeats, n_sensors, len(TIMES))))
    values = np.repeat(signal, n_repeats, axis=0) + noise
    ids = [str(k) for k in np.repeat(np.arange(n_stimuli), n_repeats)]
    targets = pd.DataFrame({"target_id": [f"s{k}" for k in range(n_sensors)], "sensor_type": "eeg"})
    return values, ids, targets, mixing @ mixing.T, noise


@pytest.mark.parametrize("noise", ["baseline", "residuals"])
@pytest.mark.parametrize("shrinkage", ["ledoit_wolf", "oas"])
def test_noise_of_new_epochs_becomes_white(noise, shrinkage) -> None:
    values, ids, targets, covariance, true_noise = world()
    whitener = fit_whitener(values[:160], TIMES, targets, noise=noise, stimulus_ids=ids[:160], shrinkage=shrinkage)
    found = np.cov(np.moveaxis(whitener.transform(true_noise[160:]), 1, 2).reshape(-1, 12).T)
    before = np.corrcoef(np.moveaxis(true_noise[160:], 1, 2).reshape(-1, 12).T)
    np.testing.assert_allclose(found, np.eye(12), atol=0.12)
    assert np.abs(before - np.eye(12)).max() > 0.4  # there was something to whiten
    np.testing.assert_allclose(whitener.matrix @ covariance @ whitener.matrix.T, np.eye(12), atol=0.12)


def test_it_is_the_inverse_root_of_ledoit_wolf_by_sensor_type_and_of_averages() -> None:
    values, ids, targets, *_ = world(n_stimuli=4, n_repeats=3)
    whitener, cells = fit_whitener(values, TIMES, targets, stimulus_ids=ids), values.reshape(4, 3, 12, len(TIMES))
    residuals = (cells - cells.mean(axis=1, keepdims=True)).reshape(12, 12, len(TIMES)) * np.sqrt(12 / 8)
    reference = LedoitWolf(assume_centered=True).fit(np.moveaxis(residuals, 1, 2).reshape(-1, 12))
    np.testing.assert_allclose(np.linalg.inv(whitener.matrix @ whitener.matrix), reference.covariance_, rtol=1e-8)
    assert whitener.shrinkage["eeg"] == pytest.approx(reference.shrinkage_)
    values, ids, targets, *_ = world(n_stimuli=6, n_repeats=4)
    single, *_ = world(n_stimuli=20, n_repeats=1, seed=1)
    alone = fit_whitener(values, TIMES, targets, stimulus_ids=ids).matrix
    both, names = np.concatenate([values, single]), [*ids, *[f"x{k}" for k in range(20)]]
    np.testing.assert_allclose(fit_whitener(both, TIMES, targets, stimulus_ids=names).matrix, alone)
    values, ids, targets, *_ = world()
    values[:, 6:] *= 1e-3
    targets["sensor_type"] = ["mag"] * 6 + ["grad"] * 6
    matrix = fit_whitener(values, TIMES, targets, stimulus_ids=ids).matrix
    assert not matrix[:6, 6:].any()
    assert np.median(np.diag(matrix)[6:] / np.diag(matrix)[:6]) == pytest.approx(1000, rel=0.7)
    values, ids, targets, *_ = world(reference=True)
    values -= values.mean(axis=1, keepdims=True)
    whitener = fit_whitener(values, TIMES, targets, stimulus_ids=ids)
    assert whitener.rank == {"eeg": 11}
    np.testing.assert_allclose(whitener.matrix.sum(axis=0), 0, atol=1e-6)
    assert np.abs(whitener.matrix).max() < 20


def test_what_is_missing_is_named() -> None:
    values, ids, targets, *_ = world(n_stimuli=4, n_repeats=2)
    refused("needs stimulus_ids", fit_whitener, values, TIMES, targets)
    refused("none of the 8 training stimuli was", fit_whitener, values, TIMES, targets, stimulus_ids=list("abcdefgh"))
    refused("no time of the baseline", fit_whitener, values[:, :, 20:], TIMES[20:], targets, noise="baseline")
    whitener = fit_whitener(values, TIMES, targets, stimulus_ids=ids)
    refused("has 11 rows but the whitener has 12", whitener.transform, values[:, :11])
    values[0, 0, 0] = np.nan
    refused("1 NaN", fit_whitener, values, TIMES, targets, stimulus_ids=ids)
