"""Subjects of a story in one space: the map over them, as other tools read it, and what too few cannot say."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from jobs import run_step

from brainalign.arrays import Responses
from brainalign.io import Provenance, artifact_path, save, sidecar_path
from brainalign.report import StudyMaterial
from brainalign.report.pages import group_of_runs_chapter

SHAPE, AFFINE = (5, 4, 3), np.diag([4.0, 4.0, 4.0, 1.0])
MODELS = ("language", "event rate", "all")


def targets_of(lost: int) -> pd.DataFrame:
    ijk = np.argwhere(np.ones(SHAPE))
    table = pd.DataFrame(ijk, columns=["i", "j", "k"]).assign(target_id=[f"voxel-{i}-{j}-{k}" for i, j, k in ijk])
    table[["x_mm", "y_mm", "z_mm"]] = ijk * 4.0
    table = table.assign(kind="voxel", hemi="", roi=[[] for _ in ijk]).drop(index=lost).reset_index(drop=True)
    table.attrs["space"] = {"name": "MNI152", "shape": list(SHAPE), "affine": AFFINE.tolist()}
    return table


@pytest.fixture
def subjects(tmp_path: Path) -> list[str]:
    """Write scores of seven subjects, the last in a space of its own; every one lacks another voxel."""
    rng, names = np.random.default_rng(4), [f"0{k}" for k in range(1, 8)]
    for k, name in enumerate(names):
        targets = targets_of(k)
        n = len(targets)
        trials = pd.DataFrame(
            {"trial_id": ["a", "b"], "stimulus_id": ["a", "b"], "session": "", "run": "1", "repeat": 1}
        )
        trials["onset_s"] = [0.0, 2.0]
        patch = (targets["i"] >= 3).to_numpy()
        found = [
            pd.DataFrame({"target_id": targets["target_id"], "model": model, "r": rng.normal(0, 0.05, n)})
            for model in MODELS
        ]
        found[0]["r"] += 0.3 * patch
        contents = {
            "responses": Responses(rng.normal(size=(2, n)).astype(np.float32), trials, targets, "z"),
            "runtargets": pd.concat(found),
            "rununiques": found[0].rename(columns={"r": "unique"}),
            "runscores": pd.DataFrame(
                {
                    "model": MODELS, "layer": "", "kind": ["model", "control", "joint"], "region": "all targets",
                    "r": [float(part["r"].mean()) for part in found], "test_set": "",
                    "ceiling": np.nan, "low": np.nan, "high": np.nan,
                }
            ),
        }  # fmt: skip
        for suffix, content in contents.items():
            save(artifact_path(tmp_path, "story", suffix, subject=name), content, Provenance("test", {}, 0))
    return names


def summarized(folder: Path, names: list[str], spaces: dict[str, str]) -> Path:
    inputs = {
        suffix: [artifact_path(folder, "story", suffix, subject=name) for name in names]
        for suffix in ("responses", "runscores", "runtargets", "rununiques")
    }
    outputs = {name: artifact_path(folder, "story", name) for name in ("groupscores", "grouptargets", "groupmaps")}
    assert run_step("summarize_runs", {"spaces": spaces}, inputs=inputs, outputs=outputs) == 0
    return outputs["groupmaps"]


def test_a_patch_that_subjects_share_is_in_the_map_over_them(tmp_path: Path, subjects: list[str]) -> None:
    path = summarized(tmp_path, subjects, dict.fromkeys(subjects[:6], "MNI152") | {"07": ""})
    table = pd.read_parquet(path)
    assert set(table["n_subjects"]) == {6}
    assert len(set(table["target_id"])) == np.prod(SHAPE) - 6  # what every one of the six has
    told = json.loads(sidecar_path(path).read_text())["details"]
    assert told["subjects"] == subjects[:6]
    image = nibabel.load(path.with_name(f"{path.stem}_statmap.nii.gz"))
    np.testing.assert_allclose(image.affine, AFFINE)
    volume = image.get_fdata()[..., told["maps"].index("mean r, language")]
    assert np.nanmin(volume[3:]) > 0.2 > 0.1 > np.nanmax(volume[:3])
    assert np.isnan(volume.ravel()[:6]).all()
    language = table[(table["model"] == "language") & (table["quantity"] == "r")].set_index("target_id")
    patch = language.index.str.slice(6, 7).astype(int) >= 3
    assert (language.loc[patch, "p_fwer"] <= 2 / 64).all()
    assert (language.loc[~patch, "p_fwer"] > 0.05).all()
    assert (table.loc[table["model"] == "event rate", "p_fwer"] <= 0.05).sum() <= 1
    scores, targets = (
        pd.read_parquet(artifact_path(tmp_path, "story", name)) for name in ("groupscores", "grouptargets")
    )
    tables = {"groupscores": scores, "grouptargets": targets, "groupmaps": table}
    study: Any = SimpleNamespace(recordings=dict.fromkeys(subjects), notes=())
    read: Any = SimpleNamespace(random=False, extractor="table")
    config: Any = SimpleNamespace(models={"language": read}, models_of=lambda dataset: ["language"])
    chapter = group_of_runs_chapter(StudyMaterial(config, "story", study, "", tables=tables))
    language = chapter.findings[0]
    assert "language: mean r .1" in language
    assert f"over 6 subjects in one space; {patch.sum()} of 54 shared targets are predicted over subjects" in language
    beside, maps = chapter.sections
    assert [line.get_label() for line in beside.panels[0].figure.axes[0].containers] == list(MODELS)
    assert [panel.title for panel in maps.panels] == [*(f"r of {name}" for name in MODELS), "unique R² of language"]
    drawn = [np.asarray(image.get_array()) for ax in maps.panels[0].figure.axes for image in ax.images]
    assert max(np.nanmax(image) for image in drawn if image.size) == pytest.approx(np.nanmax(volume), abs=1e-5)
    assert scores.groupby("subject").size().to_dict() == dict.fromkeys(subjects, 3)


@pytest.mark.parametrize("chosen", [True, False])
def test_subjects_who_saw_images_have_the_same_map(tmp_path: Path, subjects: list[str], chosen: bool) -> None:
    """Scores of a fit per model, of two layers, are those of runs: of the chosen layer, or else over both."""
    early, late = (0.9, 0.0) if chosen else (0.04, -0.04)
    told, scores = [], []
    for name in subjects:
        table = pd.read_parquet(artifact_path(tmp_path, "story", "runtargets", subject=name))
        for model, method in (("language", "ridge"), ("language", "banded")):
            of = table[table["model"] == "language"].drop(columns="model").assign(split="test", layer="late")
            content = pd.concat([of.assign(layer="early", r=of["r"] + early), of.assign(r=of["r"] + late)])
            scores.append(artifact_path(tmp_path, "story", "scores", subject=name, model=model, method=method))
            save(scores[-1], content, Provenance("test", {}, 0))
        rows = [("language", how, layer, layer == "late") for how in ("ridge", "banded") for layer in ("early", "late")]
        summary = pd.DataFrame(rows, columns=["model", "method", "layer", "chosen"])
        told.append(artifact_path(tmp_path, "story", "summary", subject=name))
        save(told[-1], summary if chosen else summary.drop(columns="chosen"), Provenance("test", {}, 0))
    spaces = dict.fromkeys(subjects[:6], "MNI152") | {"07": ""}
    expected = pd.read_parquet(summarized(tmp_path, subjects, spaces)).query("model == 'language' and quantity == 'r'")
    responses = [artifact_path(tmp_path, "story", "responses", subject=name) for name in subjects]
    outputs = {name: artifact_path(tmp_path, "images", name) for name in ("grouptargets", "groupmaps")}
    settings = {"spaces": spaces, "fits": [["language", "ridge"], ["language", "banded"]]}
    inputs = {"responses": responses, "scores": scores, "summary": told}
    assert run_step("map_subjects", settings, inputs=inputs, outputs=outputs) == 0
    found = pd.read_parquet(outputs["groupmaps"])
    for name in ("language (ridge)", "language (banded)"):
        mine = found[found["model"] == name].assign(model="language").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, expected.reset_index(drop=True))


def test_few_subjects_have_a_map_but_no_test(tmp_path: Path, subjects: list[str]) -> None:
    path = summarized(tmp_path, subjects, dict.fromkeys(subjects, "") | dict.fromkeys(subjects[:4], "MNI152"))
    table = pd.read_parquet(path)
    assert table[["t", "p", "p_fwer"]].isna().all(axis=None)
    assert table["mean"].notna().all()
    assert "fewer than 5 subjects: maps are descriptive" in sidecar_path(path).read_text()
    assert pd.read_parquet(summarized(tmp_path, subjects, dict.fromkeys(subjects, ""))).empty
