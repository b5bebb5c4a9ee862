"""A film with sound: controls of what was heard and seen stand beside models, and take what is theirs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import run_all
from PIL import Image
from refusals import refused
from scipy.io import wavfile
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor
from worlds.film import SOUND_HZ, write_film

from brainalign.arrays import Layers
from brainalign.config import Config, load_descriptors
from brainalign.datasets import audit_study
from brainalign.io import artifact_path, load, read_sound
from brainalign.study import load_descriptor, parse
from brainalign.workflow import report_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    (folder / "film.yaml").write_text(yaml.safe_dump(write_film(folder, seed=31, n_voxels=3)))
    return folder


def configured(folder: Path, results: Path, models: dict[str, object], descriptor: str = "film.yaml") -> Config:
    content = {
        "results": str(results),
        "datasets": {"film": {"descriptor": str(folder / descriptor)}},
        "models": models,
        "methods": {"ridge": {"encoder": "ridge"}},
        "encode_runs": {"permutations": 39, "n_candidates": 5},
    }
    return parse(Config, content, "test")


def test_what_loudness_drives_is_not_of_the_language_that_goes_with_it(folder: Path) -> None:
    models = {"language": {"extractor": "table", "file": str(folder / "words.npy")}}
    config = configured(folder, folder / "results", models)
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
    assert (scores[:, "none"].abs() < 0.2).all()
    page = re.sub(r"\s+", " ", report_path(config.results, "film", "01").read_text())
    assert "loudness: language predicts the runs left out" in page
    assert "sound loudness alone: " in page


def test_models_look_at_frames_and_hear_sounds_of_a_study_without_events(folder: Path, tmp_path: Path) -> None:
    """Pixels predict what luminance drives, and add nothing to it; a network without events is refused."""
    content = yaml.safe_load((folder / "film.yaml").read_text())
    silent = {key: value for key, value in content.items() if key != "stimuli"}
    (folder / "silent.yaml").write_text(yaml.safe_dump(silent))
    front = {"conv_dim": (8,), "conv_kernel": (400,), "conv_stride": (320,), "num_feat_extract_layers": 1}
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    HubertModel(
        HubertConfig(**front, **sizes, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)
    ).save_pretrained(tmp_path / "hubert")
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "hubert")
    models = {
        "pixels": {"extractor": "pixels", "image_size": 4},
        "hubert": {"extractor": "speech", "weights": str(tmp_path / "hubert"), "rate_hz": 2, "context_s": 1},
        "noise": {"extractor": "random", "n_features": 4},
    }
    config = configured(folder, tmp_path / "results", descriptor="silent.yaml", models=models)
    run_all(config)
    scores = pd.read_parquet(artifact_path(config.results, "film", "runscores", subject="01"))
    scores = scores[scores["kind"] != "layer"].set_index(["model", "region"])["r"]
    assert "event rate" not in scores
    assert min(scores["pixels", "luminance"], scores["film luminance", "luminance"]) > 0.5
    assert abs(scores["noise"]).max() < 0.2
    unique = pd.read_parquet(artifact_path(config.results, "film", "runshares", subject="01"))
    assert abs(unique.set_index(["model", "region"])["unique"]["pixels", "luminance"]) < 0.03
    heard = load(artifact_path(config.results, "film", "features", model="hubert"), Layers)
    assert list(heard) == ["layer0", "layer1"]
    assert len(heard["layer1"].stimuli) == 5 * 150 * 2
    seen = load(artifact_path(config.results, "film", "features", model="pixels"), Layers)["pixels"]
    assert seen.stimuli["onset_s"].iloc[:3].tolist() == [0, 0.5, 1]
    frames = [np.asarray(Image.open(folder / "run1" / f"frame{k}.png")) for k in (1, 2, 10)]
    rows = np.asarray(seen.values).reshape(len(seen.values), -1)[[0, 1, 9]]
    assert np.abs(rows.mean(axis=1) - [frame.mean() / 255 for frame in frames]).max() < 0.01
    bare, text = content | {"continuous": {}}, {"extractor": "sentence", "weights": "w"}
    for study, model, message in (
        (silent, text, "a study without events has no column"),
        (bare, models["hubert"], "read sounds, but its descriptor names none"),
        (bare, {"extractor": "video", "weights": "w"}, "read films, but its descriptor names none"),
    ):
        (folder / "other.yaml").write_text(yaml.safe_dump(study))
        refused(message, load_descriptors, configured(folder, tmp_path, {"own": model}, "other.yaml"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sounds": {"run1": "run1.wav"}}, "continuous.sounds: none for run2, .*, but for run1"),
        ({"fps": None}, "films and fps go together"),
        ({"sounds": "sounds/*.wav"}, "continuous.sounds: no file fits sounds/"),
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


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut, "continuous.sounds.run2: lasts 120 s, but rows of subject 01 go on to 139 s"),
        (lambda folder: (folder / "run3.wav").unlink(), "continuous.sounds.run3: no file run3.wav"),
        (lambda folder: (folder / "run3.wav").write_bytes(b"RIFF"), "run3.wav: not a readable .wav"),
        (lambda folder: shutil.rmtree(folder / "run4"), "continuous.films.run4: no file run4"),
        (lambda folder: [file.unlink() for file in (folder / "run4").iterdir()], "run4 holds no image"),
    ],
)
def test_check_finds_signals_that_do_not_fit(folder: Path, tmp_path: Path, spoil, message: str) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["results"])
    assert not audit_study(load_descriptor(tmp_path / "film.yaml")).errors
    spoil(tmp_path)
    problems = "\n".join(map(str, audit_study(load_descriptor(tmp_path / "film.yaml")).errors))
    assert re.search(message, problems), problems


def test_sounds_are_found_by_a_pattern(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["results"])
    content = yaml.safe_load((folder / "film.yaml").read_text())
    content["continuous"]["sounds"] = "*.wav"
    (tmp_path / "film.yaml").write_text(yaml.safe_dump(content))
    listed = load_descriptor(folder / "film.yaml").continuous
    assert load_descriptor(tmp_path / "film.yaml").continuous == listed


def test_what_a_speech_model_cannot_hear_is_refused_before_it_is_loaded(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"conv_stride": [5, 2, 2, 2, 2, 2, 2]}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 16000, "n_samples": 480000}))
    (tmp_path / "model.safetensors").touch()
    for options, message in (
        ({"rate_hz": 60, "chunk_s": 1}, "models.speech: rate_hz: .* has 50 frames per second, not 60 rows"),
        ({"context_s": 29}, "models.speech: context_s and chunk_s: .* hears 30 s at once, not 31 s"),
    ):
        models = {"speech": {"extractor": "speech", "weights": str(tmp_path)} | options}
        refused(message, load_descriptors, configured(folder, tmp_path, models))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_sounds_of_any_encoding_are_the_mean_of_their_channels(tmp_path: Path, dtype: str) -> None:
    full, offset = {"uint8": (127, 128), "int16": (2**15 - 1, 0), "int32": (2**31 - 256, 0), "float32": (1, 0)}[dtype]
    wave = np.sin(np.arange(SOUND_HZ) / 10)[:, None] * [0.5, 1.0]
    wavfile.write(tmp_path / "tone.wav", SOUND_HZ, (full * wave + offset).astype(dtype))
    values, rate = read_sound(tmp_path / "tone.wav")
    assert rate == SOUND_HZ
    np.testing.assert_allclose(values, wave.mean(axis=1), atol=0.016 if dtype == "uint8" else 1e-4)
