from pathlib import Path

import mne
import numpy as np
import pytest
from refusals import refused

from brainalign.datasets.formats import read_raw_run
from brainalign.simulation import sensor_info
from brainalign.study import RawOptions

RATE_HZ, SECONDS = 100.0, 20


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
