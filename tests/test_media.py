"""Films and sounds in files: a frame by its time, a sound as samples, a film in place of its frames."""

import shutil
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from jobs import config_of, run_all
from made import write_yaml
from PIL import Image
from refusals import refused
from scipy.io import wavfile
from worlds.films_and_stories import FPS, write_film

from brainalign.arrays import Layers
from brainalign.datasets.studies import film_frames, signal_lengths
from brainalign.features import load_image
from brainalign.io import artifact_path, film_length, load, name_frame, open_pictures, read_sound
from brainalign.study import load_descriptor

RATE = 25


def write(path: Path, frames: list[np.ndarray], codec: str, pix_fmt: str, rate: int = RATE) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = pix_fmt
        stream.gop_size = 12
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray").reformat(format=pix_fmt)))
        container.mux(stream.encode())


@pytest.mark.parametrize(("ending", "codec", "pix_fmt"), [("mp4", "libx264", "yuv420p"), ("mkv", "ffv1", "gray")])
def test_a_frame_is_what_is_shown_at_its_time(tmp_path: Path, ending: str, codec: str, pix_fmt: str) -> None:
    """Forwards, backwards, twice, between two frames and behind the last, with key frames every twelve."""
    levels, film = np.random.default_rng(0).permutation(np.arange(20, 220, 4)), tmp_path / f"film.{ending}"
    write(film, [np.full((32, 48), level, dtype=np.uint8) for level in levels], codec, pix_fmt)
    assert film_length(film) == pytest.approx(2.0, abs=1 / RATE)
    times = np.array([0, 0.04, 0.05, 0.079, 0.08, 1.2, 1.2, 0.5, 1.96, 5.0, 0.0])
    shown = [*open_pictures([name_frame(film, seconds) for seconds in times])]
    expected = levels[np.minimum(np.floor(times * RATE + 1e-6).astype(int), 49)]
    np.testing.assert_allclose([np.asarray(picture).mean() for picture in shown], expected, atol=2)
    assert load_image(name_frame(film, 1.2)).shape == (3, 32, 48)
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "black.png")
    mixed = [name_frame(film, 0.4), tmp_path / "black.png", name_frame(film, 0.4)]
    assert [picture.size for picture in open_pictures(mixed)] == [(48, 32), (8, 8), (48, 32)]


@pytest.mark.parametrize(("ending", "codec", "layout", "tolerance"), [
    ("flac", "flac", "s16", 1e-4), ("mp3", "libmp3lame", "s16p", 0.05), ("m4a", "aac", "fltp", 0.05),
])  # fmt: skip
def test_a_sound_of_any_file_is_that_of_its_wav(tmp_path: Path, ending, codec, layout, tolerance) -> None:
    """The mean of two channels, at the same samples: what an encoder puts before the start is left out."""
    rate = 22050
    wave = 0.4 * np.sin(2 * np.pi * 300 * (np.arange(rate) / rate)) * np.hanning(rate)
    both = np.stack([wave, 0.5 * wave], axis=1)
    wavfile.write(tmp_path / "tone.wav", rate, (both * (2**15 - 1)).astype(np.int16))
    path = tmp_path / f"tone.{ending}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray((both * (2**15 - 1)).astype(np.int16).reshape(1, -1), "s16", "stereo")
        frame.sample_rate, frame.pts = rate, 0
        for piece in av.AudioResampler(layout, "stereo", rate).resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode())
    expected, _ = read_sound(tmp_path / "tone.wav")
    found, found_rate = read_sound(path)
    assert found_rate == rate
    np.testing.assert_allclose(expected, 0.75 * wave, atol=1e-3)
    np.testing.assert_allclose(found[: len(expected) - 2000], expected[:-2000], atol=tolerance)


def test_a_sound_that_begins_late_is_preceded_by_silence(tmp_path: Path) -> None:
    path, rate = tmp_path / "late.mkv", 8000
    with av.open(str(path), "w") as container:
        film = container.add_stream("ffv1", rate=RATE, width=8, height=8, pix_fmt="gray")
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        container.mux(film.encode(av.VideoFrame.from_ndarray(np.zeros((8, 8), dtype=np.uint8), format="gray")))
        container.mux(film.encode())
        frame = av.AudioFrame.from_ndarray(np.full((1, rate), 2**14, dtype=np.int16), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, rate // 2, Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    values, _ = read_sound(path)
    assert len(values) == 12000
    np.testing.assert_allclose(values[:3900], 0)
    np.testing.assert_allclose(values[4100:], 0.5)


def test_films_and_sounds_of_a_study_may_be_files(tmp_path: Path) -> None:
    """Without loss: the same frames, controls and lengths as of folders and .wav."""
    content = write_film(tmp_path, seed=5, n_runs=4, n_voxels=1)
    of_frames = load_descriptor(write_yaml(tmp_path / "frames.yaml", content))
    for run in content["continuous"]["films"]:
        files = sorted((tmp_path / run).iterdir(), key=lambda file: int(file.stem.removeprefix("frame")))
        write(tmp_path / f"{run}.mkv", [np.asarray(Image.open(file)) for file in files], "ffv1", "gray", FPS)
    content["continuous"]["films"] = {run: f"{run}.mkv" for run in content["continuous"]["films"]}
    of_films = load_descriptor(write_yaml(tmp_path / "film.yaml", content))
    controls, seen = [], []
    for name in ("frames", "film"):
        models = {"pixels": {"extractor": "pixels", "image_size": 4}}
        config = config_of(tmp_path / f"{name}.yaml", results=str(tmp_path / name), models=models)
        run_all(config, "prepare_events", "extract")
        seen.append(load(artifact_path(config.results, "film", "features", model="pixels"), Layers)["pixels"])
        controls.append(pd.read_parquet(artifact_path(config.results, "film", "runcontrols")))
    pd.testing.assert_frame_equal(*controls)
    assert controls[0]["control"].nunique() == 4
    np.testing.assert_array_equal(*(each.values for each in seen))
    assert np.ptp(seen[0].values, axis=0).min() > 0
    pd.testing.assert_frame_equal(signal_lengths(of_films), signal_lengths(of_frames))
    frames = film_frames(of_films)
    assert frames["stimulus_id"].tolist() == film_frames(of_frames)["stimulus_id"].tolist()
    np.testing.assert_array_equal(load_image(frames["path"][37]), load_image(film_frames(of_frames)["path"][37]))


def test_what_is_no_film_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "film.mp4").write_text("no film")
    refused("film.mp4: no file with video that FFmpeg reads .*; see that it plays", film_length, tmp_path / "film.mp4")
    write(tmp_path / "silent.mkv", [np.zeros((4, 6), dtype=np.uint8)] * 3, "ffv1", "gray")
    refused("silent.mkv: no file with audio .*holds no audio", read_sound, tmp_path / "silent.mkv")
    (tmp_path / "cut.mkv").write_bytes((tmp_path / "silent.mkv").read_bytes()[:300])
    refused("cut.mkv: ", lambda: [*open_pictures([name_frame(tmp_path / "cut.mkv", 0.0)])])
    refused("no image file .*gone.mp4", load_image, name_frame(tmp_path / "gone.mp4", 1.0))
    monkeypatch.setitem(sys.modules, "av", None)
    shutil.copy(tmp_path / "silent.mkv", tmp_path / "other.mkv")
    refused(r"other.mkv is read by the package av: .*brainalign\[media\]", film_length, tmp_path / "other.mkv")
