from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from refusals import refused
from scipy.io import wavfile
from scipy.signal import resample_poly

from brainalign.features import SpeechExtractor
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
        make().save_pretrained(folder / name)
        reader = (
            transformers.WhisperFeatureExtractor(20, chunk_length=10)
            if name == "whisper"
            else transformers.Wav2Vec2FeatureExtractor()
        )
        reader.save_pretrained(folder / name)
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


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_means_over_the_frames_of_a_window_read_by_hand(saved: Path, new_rows: type, name: str) -> None:
    table = pieces(saved, "one", "two")
    rows, rest = new_rows(len(table)), new_rows(len(table), given=tuple(range(30)))
    extractor = SpeechExtractor(str(saved / name), rate_hz=5, context_s=3, chunk_s=1, batch_size=3)
    extractor.extract(table, rows)
    assert rows.done.all()
    assert list(rows.layers) == ["layer0", "layer1", "layer2"]
    extractor.extract(table, rest)
    model = MODELS[name]().from_pretrained(saved / name).eval()
    kind = transformers.WhisperFeatureExtractor if name == "whisper" else transformers.Wav2Vec2FeatureExtractor
    reader = kind.from_pretrained(saved / name)
    for run, start in (("one", 0), ("two", 36)):
        sound, rate = read_sound(saved / f"{run}.wav")
        sound = sound if rate == HZ else resample_poly(sound, 640, 441)
        heard = np.concatenate([np.zeros(3 * HZ, dtype=np.float32), sound, np.zeros(HZ, dtype=np.float32)])
        for chunk in (0, 4, 7):  # the second of which rows are new, and the three before it
            window = heard[chunk * HZ : (chunk + 4) * HZ]
            given = reader(window, sampling_rate=HZ, return_tensors="pt")[reader.model_input_names[0]]
            with torch.inference_mode():
                part = model.get_encoder() if name == "whisper" else model
                states = part(given, output_hidden_states=True).hidden_states
            times = (np.arange(states[0].shape[1]) + 0.5) * (10 if name == "whisper" else 4) / states[0].shape[1]
            for row in range(start + 5 * chunk, min(start + 5 * chunk + 5, start + 36)):
                begin = 3 + (row - start - 5 * chunk) / 5
                inside = torch.tensor((times >= begin - 1e-9) & (times < begin + 0.2 - 1e-9))
                for k, state in enumerate(states):
                    expected = state[0][inside].mean(dim=0).numpy()
                    np.testing.assert_allclose(rows.layers[f"layer{k}"][row], expected, atol=2e-5)
    np.testing.assert_allclose(rest.layers["layer2"][30:], rows.layers["layer2"][30:], atol=1e-5)
    assert np.isnan(rest.layers["layer2"][:30]).all()


def test_random_weights_are_drawn(saved: Path, new_rows: type) -> None:
    table, found = pieces(saved, "one"), []
    for seed, drawn in ((0, False), (0, True), (0, True), (1, True)):
        extractor = SpeechExtractor(str(saved / "wav2vec2"), ["layer1"], 5, random_weights=drawn, seed=seed)
        extractor.extract(table, rows := new_rows(36))
        assert list(rows.layers) == ["layer1"]
        found.append((rows.layers["layer1"], extractor.digest()))
    assert len({digest for _, digest in found}) == 3
    np.testing.assert_array_equal(found[1][0], found[2][0])
    assert not np.allclose(found[0][0], found[1][0], atol=1e-3)
    assert not np.allclose(found[1][0], found[3][0], atol=1e-3)


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
