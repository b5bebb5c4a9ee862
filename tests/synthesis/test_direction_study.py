"""Directions tried out: what is kept, what is judged, and what the section says of it, both ways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from torch import Tensor

from brainalign.report import FoundDirections, direction_gains, directions_section
from brainalign.synthesis import DirectionStudy, Judges, StudiedDirections

REGIONS = ("red", "green")


def channels(images: Tensor) -> np.ndarray:
    return images[:, :2].mean(dim=(2, 3)).numpy()


@pytest.fixture(scope="module")
def studied(plain_pipe: Callable[[int], object]) -> StudiedDirections:
    objectives = {name: lambda x, k=k: x[:, k].mean(dim=(1, 2)) for k, name in enumerate(REGIONS)}
    judges = Judges({"guide": channels, "check": channels}, {"typical": lambda x: np.ones(len(x))})
    study = DirectionStudy(
        plain_pipe(8),
        objectives,
        judges,
        methods=("supervised", "pca"),
        n_seeds=24,
        n_directions=2,
        alphas=(-2.0, 0.0, 2.0),
        n_images=6,
        n_controls=3,
        n_control_images=4,
        n_steps=3,
        batch_size=10,
    )
    return study.run()


def test_every_image_is_judged_by_every_region(studied: StudiedDirections) -> None:
    assert len(studied.directions) == 2 * 2 + 2  # regions, with and without the other's; two principal components
    table = studied.table
    tried = table[table["control"] == ""]
    assert len(tried) == len(studied.directions) * 3 * 6 * 2
    assert len(table) - len(tried) == 2 * 3 * 2 * 4 * 2  # kinds of chance, directions, ends, images, regions
    assert len(studied.images) == 6 + len(studied.directions) * 2 * 6
    stored = torch.from_numpy(studied.images).permute(0, 3, 1, 2).float() / 255
    for k, name in enumerate(REGIONS):
        mine = tried[tried["scored"] == name]
        assert np.allclose(channels(stored)[mine["image"], k], mine["guide"], atol=1e-6)
    assert set(table["seed"]) == set(range(6))
    plain = tried[tried["alpha"] == 0]
    assert set(plain["image"]) == set(range(6))  # the same unedited images stand beside all directions


def test_what_others_span_is_taken_out(studied: StudiedDirections) -> None:
    cosine = studied.cosines.set_index(["orthogonal", "region_a", "region_b"])["cosine"]
    assert cosine[False, "red", "red"] == pytest.approx(1)
    assert abs(cosine[False, "red", "green"]) > 0.01
    assert abs(cosine[True, "red", "green"]) < 1e-4
    assert abs(cosine[True, "green", "red"]) < 1e-4


def test_strengths_must_rise_through_nothing() -> None:
    refused("must rise, with 0 among them", DirectionStudy(None, {"a": len}, Judges({}), alphas=(1.0, 2.0)).run)
    refused("need a region", DirectionStudy(None, {}, Judges({})).run)


def made_up(rise: float, check: float, *, seed: int = 0, truth: bool = True) -> FoundDirections:
    """Return a study of two regions in which the guide rises by `rise` per strength and the judges by `check`."""
    rng = np.random.default_rng(seed)
    rows = []
    for region in REGIONS:
        for orthogonal in (False, True):
            for place, alpha in enumerate((-2.0, 0.0, 2.0)):
                for image in range(8):
                    for scored in REGIONS:
                        own = scored == region
                        noise = 0.1 * rng.normal(size=3)
                        rows.append(
                            {
                                "method": "supervised", "region": region, "direction": 0, "orthogonal": orthogonal,
                                "control": "", "number": -1, "alpha": alpha, "image": place * 8 + image, "seed": image,
                                "scored": scored, "guide": own * rise * alpha + noise[0],
                                "check": own * check * alpha + noise[1],
                                "true": own * check * alpha + noise[2] if truth else np.nan,
                            }
                        )  # fmt: skip
    for control in ("random", "shuffled"):
        for k in range(19):
            for alpha in (-2.0, 2.0):
                for image in range(4):
                    said = dict.fromkeys(("guide", "check"), 0.05 * rng.normal())
                    said["true"] = said["check"] if truth else np.nan
                    about = {"method": "", "region": "", "direction": 0, "orthogonal": False, "image": -1}
                    rows += [
                        about | said | {"control": control, "number": k, "alpha": alpha, "seed": image, "scored": name}
                        for name in REGIONS
                    ]
    images = rng.integers(0, 255, size=(24, 8, 8, 3)).astype(np.uint8)
    cosines = pd.DataFrame(
        [("supervised", o, a, b, float(a == b)) for o in (False, True) for a in REGIONS for b in REGIONS],
        columns=["method", "orthogonal", "region_a", "region_b", "cosine"],
    )
    return FoundDirections(images, pd.DataFrame(rows), cosines)


def test_a_direction_that_works_is_said_to_work() -> None:
    found = made_up(0.5, 0.4)
    gains = direction_gains(found).set_index(["region", "judge", "orthogonal"])
    row = gains.loc["red", "true", False]
    assert row["gain"] == pytest.approx(1.6, abs=0.15)
    assert row["monotone"]
    assert row["p"] == pytest.approx(0.05)
    assert 0 < row["chance"] < 0.3
    assert abs(row["other_gain"]) < 0.3
    section = directions_section(found)
    text = " ".join(section.paragraphs)
    assert "red: the true response rises at every step" in text
    assert "Warning" not in text
    pieces = [piece.id for panel in section.panels for piece in panel.pieces]
    assert pieces == ["directionstrips", "directioncurves", "directioncosines"]


def test_a_direction_that_pleases_only_its_encoder_is_called_so() -> None:
    section = directions_section(made_up(0.5, 0.0))
    text = " ".join(section.paragraphs)
    assert "Warning: in red, green the guiding encoder rises and who judges it does not" in text


def test_without_truth_the_other_encoder_judges() -> None:
    found = made_up(0.5, 0.4, truth=False)
    assert found.judge_of("red") == "check"
    text = " ".join(directions_section(found).paragraphs)
    assert "red: the checking encoder rises at every step" in text
    assert "Nobody knows the true responses" in text


def test_names_are_escaped(studied: StudiedDirections) -> None:
    found = made_up(0.5, 0.4)
    table = found.table.replace({"red": "<b>red"})
    section = directions_section(FoundDirections(found.images, table, found.cosines.replace({"red": "<b>red"})))
    assert "<b>red" not in str(section.blocks[0])


def test_the_section_of_a_real_study_is_drawn(studied: StudiedDirections) -> None:
    section = directions_section(FoundDirections(studied.images, studied.table, studied.cosines))
    assert "directionsfree" in [piece.id for panel in section.panels for piece in panel.pieces]
    assert all(panel.image for panel in section.panels)
