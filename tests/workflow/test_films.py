"""A film with sound: controls of what was heard and seen stand beside models, and take what is theirs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import run_all
from refusals import refused
from scipy.io import wavfile
from worlds.film import FPS, SOUND_HZ, write_film

from brainalign.config import Config
from brainalign.datasets import audit_study
from brainalign.io import artifact_path, read_sound
from brainalign.study import load_descriptor, parse
from brainalign.workflow import report_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    (folder / "film.yaml").write_text(yaml.safe_dump(write_film(folder, seed=31)))
    return folder


def configured(folder: Path) -> Config:
    content = {
        "results": str(folder / "results"),
        "datasets": {"film": {"descriptor": str(folder / "film.yaml")}},
        "models": {"language": {"extractor": "table", "file": str(folder / "words.npy")}},
        "methods": {"ridge": {"encoder": "ridge"}},
        "encode_runs": {"permutations": 39, "n_candidates": 5},
    }
    return parse(Config, content, "test")


def test_what_loudness_drives_is_not_of_the_language_that_goes_with_it(folder: Path) -> None:
    config = configured(folder)
    run_all(config)
    read = {
        name: pd.read_parquet(artifact_path(config.results, "film", name, subject="01"))
        for name in ("runscores", "runshares")
    }
    scores = read["runscores"][read["runscores"]["kind"] != "layer"].set_index(["model", "region"])["r"]
    unique = read["runshares"].set_index(["model", "region"])["unique"]
    assert scores["language", "loudness"] > 0.4
    assert abs(unique["language", "loudness"]) < 0.03
    assert unique["sound loudness", "loudness"] > 0.1
    assert scores["film motion", "motion"] > 0.5
    assert unique["film motion", "motion"] > 0.3
    assert abs(scores["film luminance", "motion"]) < 0.15
    assert (scores[:, "none"].abs() < 0.1).all()
    page = re.sub(r"\s+", " ", report_path(config.results, "film", "01").read_text())
    assert "loudness: language predicts the runs left out" in page
    assert "sound loudness alone: " in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sounds": {"run1": "run1.wav"}}, "continuous.sounds: none for run2, .* of recordings.01; name one a run"),
        ({"fps": None}, "films and fps go together"),
    ],
)
def test_descriptors_that_cannot_run_are_refused(
    folder: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    content = yaml.safe_load((folder / "film.yaml").read_text())
    content["continuous"] |= change
    (tmp_path / "film.yaml").write_text(yaml.safe_dump(content))
    refused(message, load_descriptor, tmp_path / "film.yaml")


def _cut(folder: Path) -> None:
    rate, values = wavfile.read(folder / "run2.wav")
    wavfile.write(folder / "run2.wav", rate, values[: 120 * rate])


def _double_rate(folder: Path) -> None:
    content = yaml.safe_load((folder / "film.yaml").read_text())
    content["continuous"]["fps"] = 2 * FPS
    (folder / "film.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut, "continuous.sounds.run2: lasts 120 s, but rows of subject 01 go on to 139 s: give the whole of it"),
        (_double_rate, "continuous.films.run1: lasts 75 s, .* go on to 139 s: .* or correct fps, which is 4"),
        (lambda folder: (folder / "run3.wav").unlink(), "continuous.sounds.run3: no file run3.wav"),
        (lambda folder: (folder / "run3.wav").write_bytes(b"RIFF"), "run3.wav: not a readable .wav"),
        (lambda folder: shutil.rmtree(folder / "run4"), "continuous.films.run4: no file run4"),
        (lambda folder: [file.unlink() for file in (folder / "run4").iterdir()], "run4 is no folder of images"),
    ],
)
def test_check_finds_signals_that_do_not_fit(folder: Path, tmp_path: Path, spoil, message: str) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["results"])
    assert not audit_study(load_descriptor(tmp_path / "film.yaml")).errors
    spoil(tmp_path)
    problems = "\n".join(map(str, audit_study(load_descriptor(tmp_path / "film.yaml")).errors))
    assert re.search(message, problems), problems


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_sounds_of_any_encoding_are_the_mean_of_their_channels(tmp_path: Path, dtype: str) -> None:
    full, offset = {"uint8": (127, 128), "int16": (2**15 - 1, 0), "int32": (2**31 - 256, 0), "float32": (1, 0)}[dtype]
    wave = np.sin(np.arange(SOUND_HZ) / 10)[:, None] * [0.5, 1.0]
    wavfile.write(tmp_path / "tone.wav", SOUND_HZ, (full * wave + offset).astype(dtype))
    values, rate = read_sound(tmp_path / "tone.wav")
    assert rate == SOUND_HZ
    np.testing.assert_allclose(values, wave.mean(axis=1), atol=0.016 if dtype == "uint8" else 1e-4)
