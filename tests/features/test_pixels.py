from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from PIL import Image
from refusals import refused

from brainalign.features import EXTRACTORS, PixelsExtractor


def test_rows_are_the_resized_images_pixel_by_pixel(images: pd.DataFrame, new_rows: type) -> None:
    """As Pillow resizes them, red, green and blue of the top left pixel first"""
    PixelsExtractor(image_size=12, batch_size=3).extract(images, rows := new_rows(7))
    assert rows.layers["pixels"].dtype == np.float32
    assert rows.grids == {"pixels": (12, 12)}
    assert rows.sizes == [3, 3, 1]
    for path, values in zip(images["path"], rows.layers["pixels"], strict=True):
        resized = Image.open(path).convert("RGB").resize((12, 12), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(values, np.asarray(resized).reshape(144, 3) / 255, atol=1.5 / 255)


def test_images_of_the_right_size_are_left_alone(tmp_path, new_rows: type) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    names = ["a", "grey"]
    table = pd.DataFrame({"stimulus_id": names, "path": [str(tmp_path / f"{name}.png") for name in names]})
    PixelsExtractor(image_size=10).extract(table, rows := new_rows(2))
    np.testing.assert_allclose(255 * rows.layers["pixels"][0].reshape(10, 10, 3), pixels, atol=1e-4)
    np.testing.assert_allclose(255 * rows.layers["pixels"][1], np.repeat(pixels[..., :1].reshape(100, 1), 3, 1))


def test_its_module_gives_the_same_and_gradients(images: pd.DataFrame, new_rows: type) -> None:
    extractor = PixelsExtractor(image_size=12)
    extractor.extract(images, rows := new_rows(7))
    picture = np.asarray(Image.open(images["path"][2]).convert("RGB"))
    image = torch.from_numpy(picture / np.float32(255)).permute(2, 0, 1)[None].requires_grad_()
    found = extractor.module("pixels")(image)
    np.testing.assert_allclose(found.detach()[0], rows.layers["pixels"][2], atol=1e-6)
    found.sum().backward()
    assert (image.grad != 0).any()


def test_sizes_are_part_of_the_digest() -> None:
    one, other = PixelsExtractor(image_size=12), PixelsExtractor(image_size=16)
    assert one.digest() == PixelsExtractor(image_size=12, batch_size=2).digest() != other.digest()
    assert one.describe()["layers"] == ["pixels"]
    assert one.describe()["pooling"] == "tokens"  # what makes ridge and encoders of tokens read it as a map
    assert EXTRACTORS["pixels"] is PixelsExtractor


def test_sizes_must_be_positive() -> None:
    refused("image_size is 0; it must be positive", PixelsExtractor, image_size=0)
    refused("batch_size", PixelsExtractor, batch_size=0)
