from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from torch import Tensor

from brainalign.report.kit import FoundDirections, direction_gains
from brainalign.synthesis import (
    DirectionStudy,
    Judges,
    StudiedDirections,
    cosines,
    random_directions,
    record_trajectories,
    semantic_directions,
)

REGIONS = ("red", "green")
OBJECTIVES = {name: lambda x, k=k: x[:, k].mean(dim=(1, 2)) for k, name in enumerate(REGIONS)}


def channels(images: Tensor) -> np.ndarray:
    return images[:, :2].mean(dim=(2, 3)).numpy()


@pytest.fixture(scope="module")
def studied(plain_pipe: Callable[[int], object]) -> StudiedDirections:
    judges = Judges({"guide": channels, "check": lambda x: -channels(x)}, {"typical": lambda x: np.ones(len(x))})
    sizes = {"n_seeds": 24, "n_directions": 2, "n_images": 6, "n_controls": 3, "n_control_images": 4, "n_steps": 3}
    options = {"methods": ("supervised", "pca"), "alphas": (-2.0, 0.0, 2.0), "batch_size": 10, "seed": 3}
    return DirectionStudy(plain_pipe(8), OBJECTIVES, judges, **sizes, **options).run()


def test_all_of_a_study_by_hand(studied: StudiedDirections, plain_pipe: Callable[[int], object]) -> None:
    """Directions are found with seeds of their own and tried on others; those of chance are as long as the longest."""
    pipe, objectives, table, first = plain_pipe(8), OBJECTIVES, studied.table, 3_000_009
    recorded = record_trajectories(pipe, range(first + 200_000, first + 200_024), num_inference_steps=3)
    own = {name: semantic_directions(pipe, "supervised", of, recorded=recorded) for name, of in objectives.items()}
    components = semantic_directions(pipe, "pca", n_directions=2, recorded=recorded)
    expected = {("supervised", name, 0, False): one for name, one in own.items()}
    expected["supervised", "red", 0, True] = own["red"].without([own["green"]], recorded)
    expected["supervised", "green", 0, True] = own["green"].without([own["red"]], recorded)
    expected |= {("pca", "", k, False): components.select([k]) for k in range(2)}
    assert set(studied.directions) == set(expected)
    stored, seeds = studied.images.astype(int), [first + k for k in range(6)]
    mine = table[(table["control"] == "") & (table["scored"] == "green")]
    for key, direction in expected.items():
        torch.testing.assert_close(studied.directions[key].vectors, direction.vectors, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(studied.directions[key].scale, direction.scale, atol=1e-4, rtol=1e-3)
        rows = mine[(mine[["method", "region", "direction", "orthogonal"]] == list(key)).all(axis=1)]
        assert rows["alpha"].tolist() == [-2.0] * 6 + [0.0] * 6 + [2.0] * 6
        assert rows["seed"].tolist() == seeds * 3
        for alpha, part in rows.groupby("alpha"):
            images = direction.edit(pipe, alpha, seeds).images.permute(0, 2, 3, 1).numpy() * 255
            assert np.abs(stored[part["image"].tolist()] - images).max() < 1.6, key
    longest = max(expected.values(), key=lambda one: float(one.scale[0]))
    chance = table[(table["control"] != "") & (table["scored"] == "green")]
    drawn = random_directions(longest, 3, 3)
    for k in range(3):
        scores = list(objectives.values())[k % 2](recorded.images)
        scores = scores[torch.from_numpy(np.random.default_rng([3, k]).permutation(24))]
        shuffled = semantic_directions(pipe, "supervised", lambda _, scores=scores: scores, recorded=recorded)
        for control, direction in (("random", drawn.select([k])), ("shuffled", replace(shuffled, scale=longest.scale))):
            rows = chance[(chance["control"] == control) & (chance["number"] == k)]
            assert rows["alpha"].tolist() == [-2.0] * 4 + [2.0] * 4
            assert rows["seed"].tolist() == seeds[:4] * 2
            assert set(rows["image"]) == {-1}
            images = direction.edit(pipe, rows["alpha"].to_numpy(), rows["seed"].tolist()).images
            np.testing.assert_allclose(rows["guide"], channels(images)[:, 1], atol=2e-3)
            np.testing.assert_allclose(rows["check"], -channels(images)[:, 1], atol=2e-3)

    own |= {f"{name} alone": expected["supervised", name, 0, True] for name in REGIONS}
    grid = cosines([*own.values()])[:, :2]
    given = [studied.cosines["cosine"][k : k + 2].tolist() for k in range(0, 8, 2)]
    np.testing.assert_allclose(given, grid, atol=1e-3)


def test_strengths_must_rise_through_nothing() -> None:
    refused("must rise, with 0 among them", DirectionStudy(None, {"a": len}, Judges({}), alphas=(1.0, 2.0)).run)
    refused("need a region", DirectionStudy(None, {}, Judges({})).run)


def made_up(rise: float, check: float) -> FoundDirections:
    """Return a study of two regions in which the guide rises by `rise` per strength and the judges by `check`."""
    rng = np.random.default_rng(0)
    tried = product(REGIONS, (False, True), enumerate((-2.0, 0.0, 2.0)), range(8), REGIONS)
    rows = [
        {
            "region": region, "orthogonal": orthogonal, "control": "", "number": -1, "alpha": alpha,
            "image": place * 8 + image, "seed": image, "scored": scored, "guide": own * rise * alpha + noise[0],
            "check": own * check * alpha + noise[1], "true": own * check * alpha + noise[2],
        }
        for region, orthogonal, (place, alpha), image, scored in tried
        for own, noise in [(scored == region, 0.1 * rng.normal(size=3))]
    ]  # fmt: skip
    for control, k, alpha, image in product(("random", "shuffled"), range(19), (-2.0, 2.0), range(4)):
        said = dict.fromkeys(("guide", "check", "true"), 0.05 * rng.normal())
        about = said | {"region": "", "orthogonal": False, "image": -1, "control": control, "number": k}
        rows += [about | {"alpha": alpha, "seed": image, "scored": name} for name in REGIONS]
    table = pd.DataFrame(rows).assign(direction=0)
    table["method"] = np.where(table["control"] == "", "supervised", "")
    images = rng.integers(0, 255, size=(24, 8, 8, 3)).astype(np.uint8)
    cosines = pd.DataFrame(
        [("supervised", o, a, b, float(a == b)) for o in (False, True) for a in REGIONS for b in REGIONS],
        columns=["method", "orthogonal", "region_a", "region_b", "cosine"],
    )
    return FoundDirections(images, table, cosines)


def test_a_direction_that_works_is_said_to_work() -> None:
    found = made_up(0.5, 0.4)
    gains = direction_gains(found).set_index(["region", "judge", "orthogonal"])
    row = gains.loc["red", "true", False]
    assert row["gain"] == pytest.approx(1.6, abs=0.15)
    assert row["monotone"]
    assert row["p"] == pytest.approx(0.05)
    assert 0 < row["chance"] < 0.3
    assert abs(row["other_gain"]) < 0.3
