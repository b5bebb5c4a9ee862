import mne
import numpy as np
import pandas as pd
import pytest
from refusals import refused
from sklearn.covariance import LedoitWolf

from brainalign.datasets import read_epochs
from brainalign.datasets.formats import check_same_channels, fit_whitener

RATE, TRIALS = 100.0, 6
EEG = ("Fz", "Cz", "Pz", "Oz", "C3", "C4")
TIMES = np.arange(-20, 50) / 100


def eeg_epochs(names=EEG, metadata=True, scale=1e-5, lowpass=None, seed=0):
    info = mne.create_info(list(names), RATE, "eeg")
    data = np.random.default_rng(seed).normal(size=(TRIALS, len(names), 71)) * scale
    epochs = mne.EpochsArray(data, info, tmin=-0.2, verbose="error")
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
def path(tmp_path):
    return saved(eeg_epochs(), tmp_path / "sub-04_eeg-epo.fif")


def test_values_times_and_places(path) -> None:
    responses = read_epochs(path, picks="eeg")
    expected = eeg_epochs()
    np.testing.assert_allclose(responses.values, expected.get_data() * 1e6, rtol=1e-4, atol=1e-3)
    assert responses.units == "µV"
    np.testing.assert_allclose(responses.times, expected.times, atol=1e-9)
    assert responses.trials["stimulus_id"].tolist() == list("abcabc")
    assert responses.trials["repeat"].tolist() == [1, 1, 1, 2, 2, 2]
    assert responses.trials["session"].tolist() == list("111222")
    assert responses.targets["sensor_type"].tolist() == ["eeg"] * 6
    heads = [1000 * channel["loc"][:3] for channel in expected.info["chs"]]
    np.testing.assert_allclose(responses.targets[["x_mm", "y_mm", "z_mm"]].astype(float), heads, rtol=1e-5, atol=1e-3)


def test_meg_units_and_positions_in_the_head(tmp_path) -> None:
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


def test_baseline_crop_and_decimation_follow_mne(tmp_path, path) -> None:
    smooth = saved(eeg_epochs(lowpass=20.0), tmp_path / "a-epo.fif")
    responses = read_epochs(smooth, picks="eeg", baseline=(-0.2, 0), tmin=0, tmax=0.4, decimate=2)
    expected = mne.read_epochs(smooth, verbose="error").apply_baseline((-0.2, 0), verbose="error")
    expected = expected.crop(0, 0.4).decimate(2, verbose="error")
    np.testing.assert_allclose(responses.values, expected.get_data() * 1e6, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(np.diff(responses.times), 0.02)
    refused(r"tmax 0\.9 s lies outside the epochs, which last from -0\.200", read_epochs, path, picks="eeg", tmax=0.9)
    refused(r"baseline -0\.3 s lies outside", read_epochs, path, picks="eeg", baseline=(-0.3, 0))
    refused(r"decimate 2 leaves 50 samples per second.*reach up to 50 Hz", read_epochs, path, picks="eeg", decimate=2)


def test_epochs_without_metadata_need_a_table(tmp_path) -> None:
    path = saved(eeg_epochs(metadata=False), tmp_path / "a-epo.fif")
    refused("the epochs have no metadata", read_epochs, path, picks="eeg")
    table = tmp_path / "trials.tsv"
    pd.DataFrame({"stimulus_id": list("xyzxyz")}).to_csv(table, sep="\t", index=False)
    assert read_epochs(path, picks="eeg", trials=table).trials["stimulus_id"].tolist() == list("xyzxyz")
    pd.DataFrame({"stimulus_id": list("xyzx")}).to_csv(table, sep="\t", index=False)
    refused(r"lists 4 trials but .* has 6 epochs", read_epochs, path, picks="eeg", trials=table)
    epochs = eeg_epochs(metadata=False).drop([1, 4], verbose="error")  # a table of all events follows what was rejected
    pd.DataFrame({"stimulus_id": list("uvwxyz")}).to_csv(table, sep="\t", index=False)
    named = read_epochs(saved(epochs, path), picks="eeg", trials=table)
    assert named.trials["stimulus_id"].tolist() == list("uwxz")
    epochs = eeg_epochs()
    epochs.metadata = epochs.metadata.rename(columns={"stimulus_id": "stim_id"})
    refused(r"no column 'stimulus_id' \(did you mean 'stim_id'", read_epochs, saved(epochs, path), picks="eeg")


def test_bad_flat_and_other_channels(tmp_path, path) -> None:
    epochs = eeg_epochs()
    epochs.info["bads"] = ["Pz"]
    epochs._data[:, EEG.index("Oz")] = 0
    bad = saved(epochs, tmp_path / "a-epo.fif")
    refused(r"1 of 6 channels are marked bad \(Pz\); interpolate", read_epochs, bad, picks="eeg")
    dropped = read_epochs(bad, picks="eeg", bad_channels="drop")
    assert dropped.targets["target_id"].tolist() == ["Fz", "Cz", "C3", "C4"]
    assert dropped.targets.attrs["n_dropped"] == 2
    epochs.info["bads"] = []
    refused(r"0 channels hold NaN and 1 are flat \(Oz\)", read_epochs, saved(epochs, bad), picks="eeg")
    refused("6 channels but 6 expected: lacks CZ", read_epochs, path, picks="eeg", channels=["Fz", "CZ", *EEG[2:]])
    other = saved(eeg_epochs(("Fz", "Cz", "Pz", "Oz", "C3", "F4")), tmp_path / "b-epo.fif")
    tables = {name: read_epochs(p, picks="eeg").targets for name, p in {"one": path, "two": other}.items()}
    refused("two against one: 6 channels but 6 expected: lacks C4, has besides F4", check_same_channels, tables)
    refused(r"lacks C4.*has besides F4", read_epochs, [path, other], picks="eeg")
    refused("in another order", check_same_channels, {"a": tables["one"], "b": tables["one"].iloc[::-1]})
    check_same_channels({"a": tables["one"], "b": tables["one"]})


def test_several_files_are_one_recording(tmp_path, path) -> None:
    second = saved(eeg_epochs(seed=1), tmp_path / "b-epo.fif")
    responses = read_epochs([path, second], picks="eeg")
    assert responses.values.shape == (12, 6, 71)
    assert responses.trials["repeat"].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert responses.trials["session"].tolist() == [*"111222"] * 2
    assert responses.trials["trial_id"].tolist() == [f"trial-{k:04d}" for k in range(12)]
    np.testing.assert_allclose(responses.values[6:], eeg_epochs(seed=1).get_data() * 1e6, rtol=1e-4, atol=1e-3)
    for name, file in (("c", path), ("d", second)):
        epochs = mne.read_epochs(file, verbose="error")
        epochs.metadata = epochs.metadata.drop(columns="session").assign(trial_id="x", repeat=9)
        saved(epochs, tmp_path / f"{name}-epo.fif")
    named = read_epochs([tmp_path / "c-epo.fif", tmp_path / "d-epo.fif"], picks="eeg").trials
    assert named["session"].tolist() == [*"111111222222"]  # a file each
    assert named["repeat"].tolist() == responses.trials["repeat"].tolist()
    assert named["trial_id"].is_unique
    table = tmp_path / "trials.tsv"
    dropped = []
    for name, gone in (("c", [1, 4]), ("d", [0])):
        epochs = mne.read_epochs(tmp_path / f"{name}-epo.fif", verbose="error").drop(gone, verbose="error")
        dropped.append(saved(epochs, tmp_path / f"{name}{name}-epo.fif"))
    pd.DataFrame({"stimulus_id": list("abcdefghijkl")}).to_csv(table, sep="\t", index=False)
    assert read_epochs(dropped, picks="eeg", trials=table).trials["stimulus_id"].tolist() == list("acdfhijkl")
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"not a fif file at all"):
        path.write_bytes(content)
        refused(r"sub-04_eeg-epo\.fif: truncated, or not epochs that MNE saved", read_epochs, path, picks="eeg")
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


def test_it_is_the_inverse_root_of_ledoit_wolf() -> None:
    values, ids, targets, *_ = world(n_stimuli=4, n_repeats=3)
    whitener = fit_whitener(values, TIMES, targets, stimulus_ids=ids)
    cells = values.reshape(4, 3, 12, len(TIMES))
    residuals = (cells - cells.mean(axis=1, keepdims=True)).reshape(12, 12, len(TIMES)) * np.sqrt(12 / 8)
    reference = LedoitWolf(assume_centered=True).fit(np.moveaxis(residuals, 1, 2).reshape(-1, 12))
    np.testing.assert_allclose(np.linalg.inv(whitener.matrix @ whitener.matrix), reference.covariance_, rtol=1e-8)
    assert whitener.shrinkage["eeg"] == pytest.approx(reference.shrinkage_)
    values, ids, targets, *_ = world(n_stimuli=6, n_repeats=4)
    single, *_ = world(n_stimuli=20, n_repeats=1, seed=1)
    alone = fit_whitener(values, TIMES, targets, stimulus_ids=ids).matrix
    both, names = np.concatenate([values, single]), [*ids, *[f"x{k}" for k in range(20)]]
    np.testing.assert_allclose(fit_whitener(both, TIMES, targets, stimulus_ids=names).matrix, alone)


def test_sensor_types_are_apart_and_an_average_reference_stays_removed() -> None:
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
