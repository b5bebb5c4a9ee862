import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from nilearn.glm.first_level import compute_regressor
from PIL import Image
from refusals import refused
from scipy.io import wavfile
from scipy.signal import resample_poly, upfirdn

from brainalign import features
from brainalign.features import SpeechExtractor, VideoExtractor
from brainalign.io import read_sound

HZ, SECONDS = 16000, 7.3
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
FRONT = {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
WHISPER = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "num_mel_bins": 20}
WHISPER |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "max_source_positions": 500}
WHISPER |= {"vocab_size": 60} | dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 1)
MODELS = {
    "wav2vec2": lambda: transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**SIZES, **FRONT)),
    "hubert": lambda: transformers.HubertModel(transformers.HubertConfig(**SIZES, **FRONT)),
    "whisper": lambda: transformers.WhisperModel(transformers.WhisperConfig(**WHISPER, decoder_start_token_id=1)),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    for name, make in MODELS.items():
        torch.manual_seed(3)
        make().half().save_pretrained(folder / name)
        whisper = transformers.WhisperFeatureExtractor(20, chunk_length=10)
        (whisper if name == "whisper" else transformers.Wav2Vec2FeatureExtractor()).save_pretrained(folder / name)
    MODELS["hubert"]().save_pretrained(folder / "unprepared")
    rng = np.random.default_rng(0)
    for run, rate in (("one", HZ), ("two", 11025)):
        wavfile.write(folder / f"{run}.wav", rate, rng.normal(0, 0.1, round(SECONDS * rate)).astype(np.float32))
    return folder


def pieces(folder: Path, *runs: str, rate_hz: float = 5.0) -> pd.DataFrame:
    onsets = np.arange(int(SECONDS * rate_hz)) / rate_hz
    parts = [pd.DataFrame({"run": run, "onset_s": onsets, "path": str(folder / f"{run}.wav")}) for run in runs]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(stimulus_id=[f"s{k}" for k in range(len(table))])


@pytest.mark.parametrize(("name", "hz"), [("wav2vec2", 5), ("hubert", 50), ("whisper", 5)])
def test_rows_are_means_over_the_frames_of_a_window_read_by_hand(saved: Path, new_rows, name: str, hz: int) -> None:
    """Frames of convolutions see 400 samples every 320."""
    table, edge = pieces(saved, "one", "two", rate_hz=hz), 0 if name == "whisper" else 40
    n = len(table) // 2
    rows, rest = new_rows(len(table)), new_rows(len(table), given=tuple(range(30)))
    extractor = SpeechExtractor(str(saved / name), rate_hz=hz, context_s=3, chunk_s=1, batch_size=3)
    extractor.extract(table, rows)
    assert rows.done.all()
    assert list(rows.layers) == ["layer0", "layer1", "layer2"]
    extractor.extract(table, rest)
    model = MODELS[name]().from_pretrained(saved / name).float().eval()
    kind = transformers.WhisperFeatureExtractor if name == "whisper" else transformers.Wav2Vec2FeatureExtractor
    reader = kind.from_pretrained(saved / name)
    for run, start in (("one", 0), ("two", n)):
        sound, rate = read_sound(saved / f"{run}.wav")
        sound = sound if rate == HZ else resample_poly(sound, 640, 441)
        heard = np.pad(sound.astype(np.float32), (3 * HZ + edge, HZ + edge))
        for chunk in (0, 4, 7):  # the second of which rows are new, and the three before it
            window = heard[chunk * HZ : (chunk + 4) * HZ + 2 * edge]
            given = reader(window, sampling_rate=HZ, return_tensors="pt")[reader.model_input_names[0]]
            with torch.inference_mode():
                part = model.get_encoder() if name == "whisper" else model
                states = part(given, output_hidden_states=True).hidden_states
            times = (np.arange(states[0].shape[1]) + 0.5) / 50
            for row in range(start + hz * chunk, min(start + hz * (chunk + 1), start + n)):
                begin = 3 + (row - start) / hz - chunk
                inside = torch.tensor((times >= begin - 1e-9) & (times < begin + 1 / hz - 1e-9))
                for k, state in enumerate(states):
                    expected = state[0][inside].mean(dim=0).numpy()
                    np.testing.assert_allclose(rows.layers[f"layer{k}"][row], expected, atol=2e-5)
    np.testing.assert_allclose(rest.layers["layer2"][30:], rows.layers["layer2"][30:], atol=1e-5)
    assert np.isnan(rest.layers["layer2"][:30]).all()


@pytest.mark.parametrize(("name", "options", "message"), [
    ("wav2vec2", {"rate_hz": 100}, "rate_hz: .* frames per second, fewer than 100 rows; lower it"),
    ("whisper", {"context_s": 12}, "hears 10 s at once, not 14 s"),
    ("hubert", {"layers": ["layer3"]}, "layers: layer3 not in .* layer0 to layer2"),
    ("unprepared", {}, "cannot load a sound model"),
])  # fmt: skip
def test_what_a_model_cannot_hear_is_refused(saved, new_rows: type, name: str, options: dict, message: str) -> None:
    given = {"rate_hz": 5.0, "context_s": 4.0} | options
    table = pieces(saved, "one", rate_hz=given["rate_hz"])
    refused(message, SpeechExtractor(str(saved / name), **given).extract, table, new_rows(len(table)))


FRAMES = {"one": 11, "two": 3}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    torch.manual_seed(3)
    tubes = {"image_size": 16, "patch_size": 8, "num_frames": 4, "tubelet_size": 2}
    transformers.VideoMAEModel(transformers.VideoMAEConfig(**SIZES, **tubes)).save_pretrained(folder / "videomae")
    transformers.ViTModel(transformers.ViTConfig(**SIZES, image_size=16, patch_size=8)).save_pretrained(folder / "vit")
    sizes = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    for name in ("videomae", "vit"):
        transformers.VideoMAEImageProcessorPil(**sizes).save_pretrained(folder / name)
    predictor = {"pred_hidden_size": 16, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    heads = {name: size for name, size in SIZES.items() if name != "intermediate_size"}
    config = transformers.VJEPA2Config(**heads, **predictor, crop_size=16, patch_size=8, frames_per_clip=4)
    transformers.VJEPA2Model(config).save_pretrained(folder / "vjepa2")
    prepared = {"do_center_crop": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, **sizes}
    (folder / "vjepa2" / "video_preprocessor_config.json").write_text(json.dumps(prepared))
    rng = np.random.default_rng(0)
    for run, n in FRAMES.items():
        (folder / run).mkdir()
        for k in range(n):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / run / f"{k:02d}.png")
    return folder


def frames(folder: Path) -> pd.DataFrame:
    rows = [(run, k / 2, str(folder / run / f"{k:02d}.png")) for run, n in FRAMES.items() for k in range(n)]
    table = pd.DataFrame(rows, columns=["run", "onset_s", "path"])
    return table.assign(stimulus_id=[f"s{k}" for k in range(len(table))])


@pytest.mark.parametrize("name", ["videomae", "vjepa2"])
def test_rows_are_means_over_the_patches_of_windows_read_by_hand(films: Path, new_rows: type, name: str) -> None:
    table = frames(films)
    VideoExtractor(str(films / name), batch_size=3).extract(table, rows := new_rows(14))
    VideoExtractor(str(films / name), batch_size=1).extract(table, rest := new_rows(14, given=tuple(range(5))))
    assert list(rows.layers) == ["layer0", "layer1", "layer2"]
    model = transformers.AutoModel.from_pretrained(films / name).eval()
    # Windows of four frames and the rows that are new in each; where a film ends, its last frame stays on.
    windows = {(0, 1, 2, 3): (0, 1, 2, 3), (2, 3, 4, 5): (4, 5), (8, 9, 10, 10): (10,), (11, 12, 13, 13): (11, 12, 13)}
    for window, kept in windows.items():
        pixels = [np.asarray(Image.open(table["path"][k])) / 255 for k in window]
        given = torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2).float() * 2 - 1
        with torch.inference_mode():
            states = model(given[None], output_hidden_states=True).hidden_states
        for layer, state in enumerate(states):
            moments = state[0].reshape(2, 4, 16).mean(dim=1).numpy()
            for row in kept:
                expected = moments[window.index(row) // 2]
                np.testing.assert_allclose(rows.layers[f"layer{layer}"][row], expected, atol=1e-5)
    np.testing.assert_allclose(rest.layers["layer2"][5:], rows.layers["layer2"][5:], atol=1e-5)
    assert VideoExtractor(str(films / name)).describe()["sees_ahead_frames"] == 2


@pytest.mark.parametrize("sound", [True, False])
def test_random_weights_are_drawn(saved: Path, films: Path, new_rows: type, sound: bool) -> None:
    table, found = pieces(saved, "one") if sound else frames(films), []
    make = partial(SpeechExtractor, str(saved / "wav2vec2"), rate_hz=5)
    make = make if sound else partial(VideoExtractor, str(films / "videomae"))
    for seed, drawn in ((0, False), (0, True), (0, True), (1, True)):
        extractor = make(layers=["layer1"], random_weights=drawn, seed=seed)
        extractor.extract(table, rows := new_rows(len(table)))
        assert list(rows.layers) == ["layer1"]
        found.append((rows.layers["layer1"], extractor.digest()))
    assert len({digest for _, digest in found}) == 3
    np.testing.assert_array_equal(found[1][0], found[2][0])
    assert not np.allclose(found[0][0], found[1][0], atol=1e-3)
    assert not np.allclose(found[1][0], found[3][0], atol=1e-3)


def test_what_reads_no_film_is_refused(films: Path, new_rows: type) -> None:
    images = VideoExtractor(str(films / "vit"))
    refused(r"\(ViTModel\) reads no frames over time; give a video model", images.extract, frames(films), new_rows(14))
    layers = VideoExtractor(str(films / "videomae"), ["layer5"])
    refused("layers: layer5 not in .* layer0 to layer2", layers.extract, frames(films), new_rows(14))


def test_lanczos_sums_are_those_written_out(rng: np.random.Generator) -> None:
    onsets, durations, times = rng.uniform(0, 60, 80), rng.uniform(0, 1, 80), np.arange(0.75, 60, 1.5)
    vectors, expected = rng.normal(size=(80, 3)), np.zeros((len(times), 3))
    for i, t in enumerate(times):
        for onset, duration, vector in zip(onsets, durations, vectors, strict=True):
            x = (t - onset - duration / 2) / 1.5
            if abs(x) < 3:
                expected[i] += np.sinc(x) * np.sinc(x / 3) * vector
    np.testing.assert_allclose(features.resample_events(onsets, durations, vectors, times), expected, atol=1e-5)


@pytest.mark.parametrize("step", [0.72, 2.0])
def test_responses_are_those_of_nilearn(step: float) -> None:
    times, values = step * np.arange(60), np.zeros((60, 2))
    values[[3, 20], 0], values[8, 1] = [1, -2], 0.5
    found = features.answered(values, features.hemodynamic_responses(step)).reshape(60, 3, 2)
    for k, events in enumerate(([[3, 20], [1, -2]], [[8], [0.5]])):
        condition = [step * np.array(events[0]), np.full(len(events[0]), 0.05), events[1]]
        theirs, names = compute_regressor(np.array(condition), "spm + derivative + dispersion", times)
        assert names == ["cond", "cond_derivative", "cond_dispersion"]
        # They make derivatives orthogonal to what stands before: all three span the same.
        for one in theirs.T:
            left = one - found[:, :, k] @ np.linalg.lstsq(found[:, :, k], one)[0]
            assert left @ left < 0.002 * (one @ one)
        assert np.corrcoef(theirs[:, 0], found[:, 0, k])[0, 1] > 0.999
    np.testing.assert_allclose(np.linalg.norm(features.hemodynamic_responses(step), axis=0), 1)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_number_is_refused(place: int) -> None:
    events = [np.arange(4.0), np.ones(4), np.ones((4, 2))]
    events[place].flat[0] = np.nan
    refused("NaN or infinite", features.resample_events, *events, np.arange(5.0))
    refused("rows 800 s apart; give seconds", features.hemodynamic_responses, 800.0)


def test_signals_are_filtered_as_scipy_does_keep_their_level_and_lose_what_is_fast() -> None:
    """50 samples a second onto rows of 0.5 s: a FIR filter whose taps are the kernel, every 25th sample."""
    times, rows = (np.arange(1000) + 0.5) / 50, np.arange(0.51, 20, 0.5)
    values, x = np.random.default_rng(0).normal(size=(1000, 2)), np.arange(-75, 76) / 25
    taps = np.sinc(x) * np.sinc(x / 3)
    theirs = upfirdn(taps / taps.sum(), values, down=25, axis=0)  # three rows late; rows are samples 25, 50 ...
    np.testing.assert_allclose(features.resample_signal(times, values, rows, 0.5)[2:36], theirs[6:40], atol=1e-5)
    times, rows = (np.arange(4000) + 0.5) / 40, np.arange(1.0, 110, 2.0)
    waves = np.stack([np.full(4000, 3.0), *(np.sin(2 * np.pi * hz * times) for hz in (0.05, 0.6, 2.0))], axis=1)
    found, inside = features.resample_signal(times, waves, rows, 2.0), rows < 95
    np.testing.assert_allclose(found[rows < 100, 0], 3, rtol=1e-5)
    assert np.abs(found[inside, 1] - np.sin(2 * np.pi * 0.05 * rows[inside])).max() < 0.05
    assert np.abs(found[inside][3:, 2:]).max() < 0.03
    assert not found[rows > 101].any()  # it has ended
    finer = features.resample_signal(times[:40], waves[:40], times[:40] + 0.0, 0.001)
    np.testing.assert_allclose(finer, waves[:40], atol=1e-5)  # rows that are closer than samples interpolate


def test_means_of_rows_are_those_of_pandas_and_loudness_and_motion_by_hand() -> None:
    """Samples before the first row and after the last are left out; a row without samples is zero."""
    rng = np.random.default_rng(2)
    times, values = rng.permutation(np.arange(0.02, 30, 0.04)), rng.normal(size=(750, 3))
    kept, rows = np.abs(times - 14) > 1.5, np.arange(3.0, 27, 2.0)
    expected = pd.DataFrame(values[kept]).groupby(pd.cut(times[kept], np.arange(2.0, 28, 2.0)), observed=False).mean()
    found = features.block_means(times[kept], values[kept], rows, 2.0)
    np.testing.assert_allclose(found, expected.fillna(0), atol=1e-6)
    rare = features.block_means(np.arange(4.0), np.arange(4.0)[:, None], np.arange(0, 3, 0.25), 0.25)
    np.testing.assert_allclose(rare.ravel(), [0, 0, 0.5, 1, 1, 1, 1.5, 2, 2, 2, 2.5, 3])
    refused("NaN or infinite", features.block_means, times, values * np.nan, rows, 2.0)
    refused("give one vector per time", features.block_means, times, values[1:], rows, 2.0)
    rate = 16000
    wave = np.repeat([0.1, 0.4], rate) * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)
    times, found = features.loudness(wave.astype(np.float32), rate)
    np.testing.assert_allclose(found, np.repeat([0.1, 0.4], 200) ** 0.6 / 2**0.3, rtol=1e-3)
    np.testing.assert_allclose(times[[0, -1]], [0.0025, 1.9975])
    frames = np.random.default_rng(1).random((5, 3, 4))
    luminance, motion = features.picture_changes(frames)
    np.testing.assert_allclose(luminance, frames.mean(axis=(1, 2)))
    np.testing.assert_allclose(motion, [0, *np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2))])
    grey, whole = (255 * frames).astype(np.uint8), np.round(3e4 * wave).astype(np.int16)  # as files hold them
    np.testing.assert_allclose(features.picture_changes(grey), features.picture_changes(grey + 0.0))
    np.testing.assert_allclose(features.loudness(whole, rate), features.loudness(whole + 0.0, rate))
