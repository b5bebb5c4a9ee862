import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from PIL import Image
from refusals import refused

from brainalign.features import VideoExtractor

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
FRAMES = {"one": 11, "two": 3}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
def test_rows_are_means_over_the_patches_of_windows_read_by_hand(saved: Path, new_rows: type, name: str) -> None:
    table = frames(saved)
    VideoExtractor(str(saved / name), batch_size=3).extract(table, rows := new_rows(14))
    VideoExtractor(str(saved / name), batch_size=1).extract(table, rest := new_rows(14, given=tuple(range(5))))
    assert list(rows.layers) == ["layer0", "layer1", "layer2"]
    model = transformers.AutoModel.from_pretrained(saved / name).eval()
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
    assert VideoExtractor(str(saved / name)).describe()["sees_ahead_frames"] == 2


def test_random_weights_are_drawn(saved: Path, new_rows: type) -> None:
    found = []
    for seed, drawn in ((0, False), (0, True), (0, True), (1, True)):
        extractor = VideoExtractor(str(saved / "videomae"), ["layer1"], random_weights=drawn, seed=seed)
        extractor.extract(frames(saved), rows := new_rows(14))
        found.append((rows.layers["layer1"], extractor.digest()))
    assert len({digest for _, digest in found}) == 3
    np.testing.assert_array_equal(found[1][0], found[2][0])
    assert not np.allclose(found[0][0], found[1][0], atol=1e-3)
    assert not np.allclose(found[1][0], found[3][0], atol=1e-3)


def test_what_reads_no_film_is_refused(saved: Path, new_rows: type) -> None:
    images = VideoExtractor(str(saved / "vit"))
    refused(r"\(ViTModel\) reads no frames over time; give a video model", images.extract, frames(saved), new_rows(14))
    layers = VideoExtractor(str(saved / "videomae"), ["layer5"])
    refused("layers: layer5 not in .* layer0 to layer2", layers.extract, frames(saved), new_rows(14))
