from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from refusals import refused

from brainalign.decoding import Trials, nuisance_scores
from brainalign.features import image_properties, low_level_vectors

N = 64


def grating(cycles: float, contrast: float = 1.0, mean: float = 0.5) -> torch.Tensor:
    wave = mean * (1 + contrast * torch.sin(2 * torch.pi * cycles * torch.arange(N) / N))
    return wave.expand(3, N, N)


def test_known_images_have_known_luminance_and_contrast() -> None:
    found = image_properties([torch.full((3, N, N), 0.25), grating(8), grating(8, 0.5), grating(8, 0.5, 0.25)])
    np.testing.assert_allclose(found["luminance"], [0.25, 0.5, 0.5, 0.25], atol=1e-6)
    np.testing.assert_allclose(found["contrast"], [0, 0.5**0.5, 0.5**0.5 / 2, 0.5**0.5 / 2], atol=1e-6)
    np.testing.assert_allclose(found.filter(like="spectrum").iloc[0], -np.log(6), atol=1e-6)  # no power
    green, blue = torch.zeros(3, N, N), torch.zeros(3, N, N)
    green[1], blue[2] = 1, 1
    colours = image_properties([green, blue])
    np.testing.assert_allclose(colours["luminance"], [0.7152, 0.0722], atol=1e-6)


@pytest.mark.parametrize(("cycles", "band"), [(24, 1), (12, 2), (6, 3)])
def test_a_grating_has_its_power_in_its_own_octave(cycles: float, band: int) -> None:
    table = image_properties([grating(cycles)], n_bands=5)
    spectrum = table[[f"spectrum_{k}" for k in range(1, 6)]].iloc[0]
    assert spectrum.idxmax() == f"spectrum_{band}"
    assert np.exp(spectrum).sum() == pytest.approx(1, abs=1e-6)
    assert np.exp(spectrum.max()) > 0.95
    brighter = image_properties([grating(cycles, 0.5, 0.3)], n_bands=5)
    np.testing.assert_allclose(brighter[spectrum.index].iloc[0].max(), spectrum.max(), atol=1e-6)


def test_vectors_of_files_are_those_of_reduced_images(tmp_path: Path) -> None:
    blocks = np.random.default_rng(0).integers(0, 256, size=(2, 256, 300, 3)).astype(np.uint8)
    for k, block in enumerate(blocks):  # every value four times, which the reduction takes back
        Image.fromarray(block.repeat(2, axis=0).repeat(2, axis=1)).save(tmp_path / f"{k}.png")
    paths = [tmp_path / f"{k}.png" for k in range(2)]
    images = [torch.from_numpy(block).permute(2, 0, 1) / 255 for block in blocks]
    np.testing.assert_allclose(low_level_vectors(paths), image_properties(images).to_numpy(), atol=1e-5)
    Image.fromarray(blocks[0][:20, :40]).save(tmp_path / "small.png")
    assert low_level_vectors([*paths, tmp_path / "small.png"]).shape == (3, 2 + 4)  # 20 pixels have four octaves
    refused(r"no image file .*absent", low_level_vectors, [tmp_path / "absent.png"])


def test_a_file_is_read_and_what_does_not_fit_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.full((80, 70, 3), 51, dtype=np.uint8)).save(tmp_path / "a.png")
    assert image_properties([tmp_path / "a.png"])["luminance"][0] == pytest.approx(0.2)
    refused("64 x 64 pixels has no 7 octaves", image_properties, [grating(3)], n_bands=7)
    refused(r"shape \(64, 64\)", image_properties, [torch.zeros(N, N)])


def test_vectors_of_contrast_are_decoded_from_contrast_and_those_of_fixations_from_fixations() -> None:
    rng = np.random.default_rng(0)
    contrast, n = rng.uniform(0.1, 1, 300), 300
    fixations = rng.integers(2, 40, n)
    images = [grating(8, float(c)) for c in contrast]
    meta = pd.DataFrame({"stimulus_id": np.arange(n), "subject": "a", "task": "x", "n_fixations": fixations})
    meta = pd.concat([meta, image_properties(images, 3)], axis=1)
    signals = rng.normal(size=(n, 2, 8))
    for truth, name, other in ((contrast / 0.1, "contrast", "fixations"), (fixations / 5, "fixations", "contrast")):
        targets = np.column_stack([np.cos(truth / 3), np.sin(truth / 3)])
        trials = Trials(signals, targets, meta)
        train, test = trials.select(np.arange(250)), trials.select(np.arange(250, n))
        found = nuisance_scores(train, test, n_permutations=300).table.set_index(["nuisance", "measure"])
        assert found.loc[(name, "top-5"), "p"] < 0.01
        assert found.loc[("all", "top-5"), "p"] < 0.01
        assert found.loc[(other, "top-5"), "p"] > 0.01
        assert found.loc[("luminance", "top-5"), "p"] > 0.01
    short = Trials(signals, targets, meta.drop(columns="contrast")).select(np.arange(250, n))
    refused("only one of train and test has the column 'contrast'", nuisance_scores, train, short)
    holes = Trials(signals, targets, meta.assign(n_fixations=np.where(fixations > 3, fixations, np.nan)))
    refused("fixations.*n_fixations", nuisance_scores, holes.select(np.arange(250)), holes.select(np.arange(250, n)))
