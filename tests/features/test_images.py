import itertools
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from refusals import refused

from brainalign import features
from brainalign.decoding import Trials, nuisance_scores
from brainalign.features import PixelsExtractor, Preprocessing, check_images, load_image, low_level_vectors
from brainalign.features.images import check_stored_features, image_features, load_images, load_in_processes


@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(31, 24), (90, 70)])
def test_resizing_is_pillows(images: pd.DataFrame, resample: str, size: tuple[int, int]) -> None:
    """Pillow rounds to 8 bits after each axis; beyond that nothing may differ, whether it shrinks or grows."""
    ours = Preprocessing(resize=size, resample=resample)(load_image(images["path"][2])[None])[0]
    with Image.open(images["path"][2]) as file:
        expected = np.asarray(file.resize(size[::-1], Image.Resampling[resample.upper()]))
    np.testing.assert_allclose(ours.permute(1, 2, 0) * 255, expected, atol=1.6)
    assert np.abs(ours.permute(1, 2, 0).numpy() * 255 - expected).mean() < 0.5


def test_crop_scale_and_normalisation_are_what_they_say_and_in_the_digest() -> None:
    image = torch.arange(3 * 6 * 8.0).reshape(1, 3, 6, 8) / 143
    out = Preprocessing(crop=(4, 4), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), scale=2.0)(image)
    for channel, (mean, std) in enumerate(zip((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), strict=True)):
        np.testing.assert_allclose(out[0, channel], (2 * image[0, channel, 1:5, 2:6] - mean) / std, rtol=1e-5)
    assert Preprocessing(resize=12)(torch.rand(1, 3, 6, 8)).shape == (1, 3, 12, 16)
    assert torch.equal(Preprocessing(crop=(2, 4))(image), Preprocessing(crop=(4, 4))(image)[:, :, 1:3])
    assert Preprocessing(crop=(8, 8))(torch.ones(1, 3, 6, 8))[0, 0, :, 0].tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    changes = {
        "resize": 3, "crop": (3, 3), "mean": (0.5, 0, 0), "std": (0.5, 1, 1), "resample": "nearest", "scale": 255,
    }  # fmt: skip
    digests = {Preprocessing(**{name: value}).digest() for name, value in changes.items()}
    assert len(digests | {Preprocessing().digest()}) == 7


def test_kinds_of_files(tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    for mode in ("L", "RGBA", "P", "CMYK"):
        path = tmp_path / f"{mode}.{'tiff' if mode == 'CMYK' else 'png'}"
        Image.fromarray(pixels).convert(mode).save(path)
        assert load_image(path).shape == (3, 5, 7)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=turned)
    assert load_image(tmp_path / "turned.png").shape == (3, 7, 5)
    Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(tmp_path / "deep.png")
    refused(r"deep.png has mode 'I;16'; save it with 8 bits", load_image, tmp_path / "deep.png")


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_a_truncated_image_is_named(tmp_path, images: pd.DataFrame, extension: str) -> None:
    path = tmp_path / f"cut.{extension}"
    with Image.open(images["path"][0]) as file:
        file.resize((300, 300)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(rf"stimulus 'cat': cannot read the image .*cut.{extension}: .*copy it", load_image, path, "cat")
    path.write_text("no image")
    refused("cannot read the image", load_image, path)
    refused("no image file", load_image, tmp_path / "none.png")


def test_all_missing_images_are_counted_and_those_that_differ_in_size_named(images: pd.DataFrame) -> None:
    message = r"'s1' .* has \(33, 43\) pixels but 's0' has \(32, 40\)"
    refused(message, load_images, images["path"], images["stimulus_id"], Preprocessing())
    images.loc[[1, 4], "path"] = ["nowhere/a.png", ""]
    refused(r"2 of 7 stimuli have no image file \(s1: nowhere/a.png, s4: \)", check_images, images)
    refused("no `path`", check_images, images[["stimulus_id"]])


def test_rows_are_resized_images_pixel_by_pixel_and_gradients_reach_them(images: pd.DataFrame, new_rows: type) -> None:
    image = torch.rand(1, 3, 50, 40, requires_grad=True)
    Preprocessing(resize=28, crop=(24, 24), std=(0.5, 0.5, 0.5))(image).sum().backward()
    assert (image.grad[0, :, 10:40, 10:30] != 0).all()
    # As Pillow resizes them, red, green and blue of the top left pixel first
    PixelsExtractor(image_size=12, batch_size=3).extract(images, rows := new_rows(7))
    assert (rows.layers["pixels"].dtype, rows.grids, rows.sizes) == (np.float32, {"pixels": (12, 12)}, [3, 3, 1])
    for path, values in zip(images["path"], rows.layers["pixels"], strict=True):
        resized = Image.open(path).convert("RGB").resize((12, 12), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(values, np.asarray(resized).reshape(144, 3) / 255, atol=1.5 / 255)


def test_images_are_read_while_the_network_looks_at_those_before(images, new_rows: type, monkeypatch) -> None:
    """Every pass waits until the next image is asked for; rows come in order, and those before a bad file stay."""
    extractor, begun = PixelsExtractor(image_size=12, batch_size=1), [threading.Event() for _ in range(8)]

    def noted(paths: list[str], *others: object) -> torch.Tensor:
        begun[images["path"].tolist().index(paths[0])].set()
        return load_images(paths, *others)

    passes = itertools.count(1)
    extractor.network.module.register_forward_pre_hook(lambda *_: waited.append(begun[next(passes)].wait(60)))
    monkeypatch.setattr("brainalign.features.images.network.load_images", noted)
    waited: list[bool] = []
    begun[7].set()  # after the last image there is none
    n_threads = torch.get_num_threads()
    extractor.extract(images, rows := new_rows(7))
    assert (waited, torch.get_num_threads()) == ([True] * 7, n_threads)
    monkeypatch.undo()
    PixelsExtractor(image_size=12, batch_size=1).extract(images, alone := new_rows(7))
    np.testing.assert_array_equal(rows.layers["pixels"], alone.layers["pixels"])
    Path(images["path"][3]).write_bytes(Path(images["path"][3]).read_bytes()[:200])
    refused("'s3'", PixelsExtractor(image_size=12, batch_size=1).extract, images, rows := new_rows(7))
    assert rows.pending.tolist() == [3, 4, 5, 6]


def test_processes_read_what_threads_read(images: pd.DataFrame) -> None:
    """In order, and a bad file is named as it is here: as a GPU is fed."""
    paths, names, prepare = images["path"].tolist(), images["stimulus_id"].tolist(), Preprocessing(resize=(12, 12))

    def load(rows: np.ndarray) -> torch.Tensor:
        return load_images([paths[row] for row in rows], [names[row] for row in rows], prepare)

    parts = np.array_split(np.arange(7), 3)
    found = list(load_in_processes(load, parts, 2))
    assert all(torch.equal(one, load(part)) for one, part in zip(found, parts, strict=True))
    Path(paths[3]).write_bytes(Path(paths[3]).read_bytes()[:200])
    read = load_in_processes(load, parts, 2)
    assert torch.equal(next(read), found[0])
    refused("^stimulus 's3': cannot read the image", list, read)


def test_a_gpu_is_given_what_a_processor_is(images: pd.DataFrame, new_rows: type, monkeypatch) -> None:
    """Read by processes, looked at by a thread, written meanwhile: here with a processor that calls itself a GPU."""
    PixelsExtractor(image_size=12).extract(images, expected := new_rows(7))
    card = type("Card", (str,), {"type": "cuda"})("cpu")
    network, threads = "brainalign.features.images.network", []
    monkeypatch.setattr(f"{network}.pick_device", lambda _: card)
    note = lambda *given: (threads.append(threading.current_thread()) or found for found in load_in_processes(*given))  # noqa: E731
    monkeypatch.setattr(f"{network}.load_in_processes", note)
    PixelsExtractor(image_size=12, batch_size=3).extract(images, rows := new_rows(7))
    assert set(threads) == {threading.main_thread()}  # processes of a thread that ends before them end with an error
    assert rows.sizes == [3, 3, 1]
    np.testing.assert_array_equal(rows.layers["pixels"], expected.layers["pixels"])


def test_sizes_are_part_of_the_digest() -> None:
    one, other = PixelsExtractor(image_size=12), PixelsExtractor(image_size=16)
    assert one.digest() == PixelsExtractor(image_size=12, batch_size=2).digest() != other.digest()
    assert (one.describe()["layers"], one.describe()["pooling"]) == (["pixels"], "tokens")  # ridge reads it as a map
    assert features.EXTRACTORS["pixels"] is PixelsExtractor
    refused("image_size is 0; it must be positive", PixelsExtractor, image_size=0)
    refused("batch_size", PixelsExtractor, batch_size=0)
    refused("must be a list of different names", features.EXTRACTORS["efficientnet"], layers=["block2", "block2"])


def test_a_layer_is_set_up_as_the_configuration_says(tmp_path) -> None:
    """The device is the caller's, and the seed goes to networks that have one."""
    pixels = image_features({"extractor": "pixels", "image_size": 8}, "pixels", "plain", seed=3)
    assert (pixels(torch.rand(2, 3, 20, 30)).shape, pixels.layer, pixels.name) == ((2, 192), "pixels", "plain")
    random = {"extractor": "efficientnet", "weights": "random", "image_size": 32, "device": "cuda", "seed": 9}
    chosen = image_features(random, "stem", "drawn", "cpu", seed=3).inner._extractor
    assert (chosen.seed, chosen.device, chosen.weights) == (3, "cpu", "random")
    onehot = {"extractor": "onehot"}
    refused(r"words \(OneHotExtractor\) is no torch network", image_features, onehot, "onehot", "words")
    cut = "    def forward(self, x):\n        return super().forward(x.detach())\n"
    code = f"import torch\nclass Cut(torch.nn.Flatten):\n{cut}"
    (tmp_path / "cut.py").write_text(code + "def build():\n    return torch.nn.Sequential(Cut())\n")
    cut = {"extractor": "user", "function": f"{tmp_path / 'cut.py'}:build", "image_size": 4}
    refused("no gradient of layer '0' of mine reaches the image", image_features, cut, "0", "mine")


def test_stored_features_are_those_of_the_network(images: pd.DataFrame) -> None:
    module, paths = image_features({"extractor": "pixels", "image_size": 4}, "pixels", "plain"), images["path"].tolist()
    stored, spread = torch.cat([module(load_image(path)[None]) for path in paths]).numpy(), np.linspace(0.1, 0.5, 48)
    scale, off = np.sqrt((spread**2).mean()), np.zeros_like(stored)
    off[3, 5] = -0.009 * scale
    check_stored_features(module, paths, stored + off, spread)
    more = stored + 1.3 * off
    refused("gives other features than were extracted", check_stored_features, module, paths, more, spread)
    refused(r"48\) but what was extracted \(\d+, 47\)", check_stored_features, module, paths, stored[:, 1:], spread[1:])


N = 64


def grating(cycles: float, contrast: float = 1.0, mean: float = 0.5) -> torch.Tensor:
    return (mean * (1 + contrast * torch.sin(2 * torch.pi * cycles * torch.arange(N) / N))).expand(3, N, N)


def test_known_images_have_known_luminance_and_contrast() -> None:
    found = features.image_properties([torch.full((3, N, N), 0.25), grating(8), grating(8, 0.5), grating(8, 0.5, 0.25)])
    np.testing.assert_allclose(found["luminance"], [0.25, 0.5, 0.5, 0.25], atol=1e-6)
    np.testing.assert_allclose(found["contrast"], [0, 0.5**0.5, 0.5**0.5 / 2, 0.5**0.5 / 2], atol=1e-6)
    np.testing.assert_allclose(found.filter(like="spectrum").iloc[0], -np.log(6), atol=1e-6)  # no power
    green, blue = torch.zeros(3, N, N), torch.zeros(3, N, N)
    green[1], blue[2] = 1, 1
    np.testing.assert_allclose(features.image_properties([green, blue])["luminance"], [0.7152, 0.0722], atol=1e-6)


@pytest.mark.parametrize(("cycles", "band"), [(24, 1), (12, 2), (6, 3)])
def test_a_grating_has_its_power_in_its_own_octave(cycles: float, band: int) -> None:
    spectrum = features.image_properties([grating(cycles)], n_bands=5)[[f"spectrum_{k}" for k in range(1, 6)]].iloc[0]
    assert (spectrum.idxmax(), np.exp(spectrum).sum()) == (f"spectrum_{band}", pytest.approx(1, abs=1e-6))
    assert np.exp(spectrum.max()) > 0.95
    brighter = features.image_properties([grating(cycles, 0.5, 0.3)], n_bands=5)
    np.testing.assert_allclose(brighter[spectrum.index].iloc[0].max(), spectrum.max(), atol=1e-6)


def test_vectors_of_files_are_those_of_reduced_images_or_named(tmp_path: Path) -> None:
    blocks = np.random.default_rng(0).integers(0, 256, size=(2, 256, 300, 3)).astype(np.uint8)
    for k, block in enumerate(blocks):  # every value four times, which the reduction takes back
        Image.fromarray(block.repeat(2, axis=0).repeat(2, axis=1)).save(tmp_path / f"{k}.png")
    paths = [tmp_path / f"{k}.png" for k in range(2)]
    images = [torch.from_numpy(block).permute(2, 0, 1) / 255 for block in blocks]
    np.testing.assert_allclose(low_level_vectors(paths), features.image_properties(images).to_numpy(), atol=1e-5)
    Image.fromarray(blocks[0][:20, :40]).save(tmp_path / "small.png")
    assert low_level_vectors([*paths, tmp_path / "small.png"]).shape == (3, 2 + 4)  # 20 pixels have four octaves
    refused(r"no image file .*absent", low_level_vectors, [tmp_path / "absent.png"])
    Image.fromarray(np.full((80, 70, 3), 51, dtype=np.uint8)).save(tmp_path / "a.png")
    assert features.image_properties([tmp_path / "a.png"])["luminance"][0] == pytest.approx(0.2)
    refused("64 x 64 pixels has no 7 octaves", features.image_properties, [grating(3)], n_bands=7)
    refused(r"shape \(64, 64\)", features.image_properties, [torch.zeros(N, N)])


def test_vectors_that_go_round_with_a_nuisance_are_decoded_from_it_and_from_no_other(rng) -> None:
    contrast, n = rng.uniform(0.1, 1, 300), 300
    fixations, length = rng.integers(2, 40, (2, n))
    meta = pd.DataFrame({"stimulus_id": np.arange(n), "subject": "a", "task": "x", "n_fixations": fixations})
    meta = pd.concat([meta, features.image_properties([grating(8, float(c)) for c in contrast], 3)], axis=1)
    signals, meta["text"] = rng.normal(size=(n, 2, 8)), [f"x{k}" + " a" * many for k, many in enumerate(length)]
    planted = ((contrast / 0.1, "contrast"), (fixations / 5, "fixations"), (length / 5, "length"))
    for (truth, name), (_, other) in zip(planted, planted[1:] + planted[:1], strict=True):
        targets = np.column_stack([np.cos(truth), np.sin(truth)])
        trials = Trials(signals, targets, meta.assign(contrasts="a"))
        train, test = trials.select(np.arange(250)), trials.select(np.arange(250, n))
        found = nuisance_scores(train, test, n_permutations=300).table.set_index(["nuisance", "measure"])
        assert (found.loc[[(name, "top-5"), ("all", "top-5")], "p"] < 0.01).all()
        assert (found.loc[[(other, "top-5"), ("luminance", "top-5")], "p"] > 0.01).all()
    short = Trials(signals, targets, meta.drop(columns="contrast")).select(np.arange(250, n))
    refused("only one of train and test has the column 'contrast'", nuisance_scores, train, short)
    holes = Trials(signals, targets, meta.assign(n_fixations=np.where(fixations > 3, fixations, np.nan)))
    refused("fixations.*n_fixations", nuisance_scores, holes.select(np.arange(250)), holes.select(np.arange(250, n)))
