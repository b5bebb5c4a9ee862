"""Summaries: ceilings of a group, preferences of areas, and what represents a model, chosen in training alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from jobs import run_step

from brainalign.arrays import Responses
from brainalign.io import Provenance, artifact_path, load, save
from brainalign.pipelines.summarize import summarize_images
from brainalign.pipelines.summarize.summarize_images import _preferences
from brainalign.simulation import draw_scenes, preferences
from brainalign.statistics import RELIABLE, RegionDraws, family_contest

N_IMAGES, N_TARGETS, N_REPEATS = 40, 30, 2


def write_subject(root: Path, subject: str, values: np.ndarray, n_targets: int = N_TARGETS) -> list[str]:
    """Write responses (n_images, n_targets) shown twice each, the first half for training; return the paths."""
    images = [f"image{k}" for k in range(N_IMAGES)]
    trials = pd.DataFrame(
        {
            "trial_id": [f"trial{k}" for k in range(N_IMAGES * N_REPEATS)],
            "stimulus_id": images * N_REPEATS,
            "session": "1",
            "run": "1",
            "repeat": np.repeat(np.arange(N_REPEATS), N_IMAGES),
            "onset_s": 0.0,
        }
    )
    targets = pd.DataFrame({"target_id": [f"vertex{k}" for k in range(n_targets)], "kind": "vertex", "hemi": "L"})
    targets["roi"] = [["early"] if k < 10 else ["late"] if k < 20 else [] for k in range(n_targets)]
    responses = Responses(np.tile(values, (N_REPEATS, 1)), trials, targets, "z")
    splits = trials[["trial_id", "stimulus_id"]].assign(
        split=np.where(np.arange(len(trials)) % N_IMAGES < N_IMAGES // 2, "train", "test"), fold=0, name="shared"
    )
    provenance = Provenance("prepare", {}, "")
    paths = [artifact_path(root, "study", suffix, subject=subject) for suffix in ("responses", "splits")]
    save(paths[0], responses, provenance)
    save(paths[1], splits, provenance)
    return [str(path) for path in paths]


def ceilings(root: Path, subjects: list[list[str]]) -> pd.DataFrame:
    output = artifact_path(root, "study", "ceiling")
    responses, splits = zip(*subjects, strict=True)
    inputs = {"responses": responses, "splits": splits}
    assert run_step("summarize_group", inputs=inputs, outputs={"ceiling": output}) == 0
    return load(output, pd.DataFrame)


def test_what_subjects_share_is_found_where_it_was_planted(tmp_path: Path) -> None:
    """Early targets follow the same signal in three subjects, the others do not; training images play no part."""
    rng = np.random.default_rng(0)
    shared, subjects = rng.normal(size=(N_IMAGES, 10)), []
    for name in ("01", "02", "03"):
        values = rng.normal(size=(N_IMAGES, N_TARGETS))
        values[:, :10] = shared + 0.5 * rng.normal(size=(N_IMAGES, 10))
        values[: N_IMAGES // 2] = 1e3 * rng.normal(size=(N_IMAGES // 2, N_TARGETS))
        subjects.append(write_subject(tmp_path, name, values.astype(np.float32)))
    table = ceilings(tmp_path, subjects).set_index(["group", "subject"])
    assert set(table["n_images"]) == {N_IMAGES // 2}
    # Signal variance 1, noise .25; the mean of two others has .125: r² = 1 / (1.25 · 1.125)
    assert abs(table.loc["early", "lower"].mean() - 0.71) < 0.1
    assert (table.loc["early", "upper"] > table.loc["early", "lower"]).all()
    assert abs(table.loc["late", "lower"].mean()) < 0.1


def test_subjects_with_other_targets_are_not_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N_IMAGES, N_TARGETS)).astype(np.float32)
    subjects = [write_subject(tmp_path, "01", values), write_subject(tmp_path, "02", values[:, :25], 25)]
    assert ceilings(tmp_path, subjects).empty


def test_the_layer_of_a_model_is_not_chosen_by_its_test_score() -> None:
    profile = pd.DataFrame(
        {
            "group": [RELIABLE, "V1"] * 2,
            "layer": ["early", "early", "late", "late"],
            "r": [0.2, 0.2, 0.9, 0.9],
            "cv_score": [0.5, 0.1, 0.4, 0.9],
        }
    )
    assert summarize_images._chosen_layer(profile) == "early"
    assert summarize_images._chosen_layer(profile.assign(cv_score=np.nan)) == "early"  # the first: none was scored


def test_a_family_enters_a_contest_with_what_training_chose() -> None:
    columns = {"p": [0.01] * 4, "layer": ["early"] * 2 + ["late"] * 2}
    scores = pd.DataFrame({"r": [0.2, 0.3, 0.9, 0.8], "cv_r": [0.6, 0.5, 0.4, 0.3]} | columns)
    rows = {"V1": np.arange(2)}
    one, null = np.full((20, 1), 0.5, dtype=np.float32), np.zeros((20, 1), dtype=np.float32)
    draws = RegionDraws(rows, {"early": one, "late": 2 * one}, {"early": null, "late": null}, ["i"] * 9, 30)
    mine = summarize_images._candidates(("networks", "net", "ridge"), scores, draws)
    other = summarize_images._candidates(("language", "mini", "ridge"), scores.iloc[:2], draws)
    assert [each.layer for each in mine] == ["early", "late"]
    assert [each.draws.max() for each in mine] == [0.5, 1.0]
    contest = family_contest([*mine, *other], rows, n_train=30, n_test=9).set_index("family")
    assert contest.loc["networks", ["model", "method", "layer"]].tolist() == ["net", "ridge", "early"]
    np.testing.assert_allclose(contest.loc["networks", ["r", "cv_r"]].astype(float), [0.25, 0.55])


def test_planted_preferences_are_found_and_noise_is_undecided() -> None:
    scenes = draw_scenes(120, seed=4)
    wanted, rng = preferences(scenes), np.random.default_rng(0)
    areas = {"a": "red", "b": "cross", "c": "large", "d": "bluecircle", "nothing": "red"}
    signals = [np.zeros(120) if area == "nothing" else wanted[name].to_numpy() for area, name in areas.items()]
    values = np.repeat(np.stack(signals, axis=1), 6, axis=1) + 2 * rng.normal(size=(120, 30))  # 6 targets each
    order = rng.permutation(120)  # trials in another order than the table of scenes
    trials = pd.DataFrame(
        {"trial_id": [f"t{k}" for k in range(120)], "stimulus_id": scenes["stimulus_id"].to_numpy()[order]}
    )
    trials = trials.assign(session="1", run="1", repeat=0, onset_s=0.0)
    names = np.repeat(list(areas), 6)
    targets = pd.DataFrame({"target_id": [f"v{k}" for k in range(30)], "kind": "vertex", "hemi": "L"})
    targets["roi"] = [[name] for name in names]
    responses = Responses(values[order].astype(np.float32), trials, targets, "z")
    truth = pd.DataFrame({"roi": names, "preference": [areas[name] for name in names]})
    found = _preferences(truth, responses, scenes).set_index("area")
    planted = found.drop(index="nothing")
    assert (planted["recovered_preference"] == planted["planted_preference"]).all()
    assert planted["decided"].all()
    assert not found.loc["nothing", "decided"]
