"""Simulated rest through the stages to the page: what is saved, what the page says, what stops it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import draw_page, run_all
from refusals import refused

from brainalign.arrays import Arrays
from brainalign.cli import main
from brainalign.config import Config
from brainalign.decoding import MaskedBrainModel
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.pipelines.decode import decode_series
from brainalign.study import parse
from brainalign.workflow import group_report_path, jobs

OUTPUTS = ("maskedmodel", "filled", "filledtraces", "regionnetworks", "regionmap", "personscores")
OPTIONS = {
    "model": {"n_steps": 30, "width": 16, "hidden_width": 32},
    "lags": [0, 3],
    "halves": 1,
    "nulls": ["regions shifted"],
    "ablations": ["no masking"],
    "repeats": 1,
    "permutations": 19,
    "draws": 200,
    "network_permutations": 19,
    "traces": 2,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], Config]:
    """Run prepare and decode in this process."""
    folder = tmp_path_factory.mktemp("series")
    descriptor = folder / "rest.yaml"
    content = {
        "name": "rest",
        "title": "Rest <of> 16",
        "citation": {"text": "Nobody (2026)."},
        "licence": "CC0",
        "source": "tests",
        "simulate": {
            "world": "roi_series",
            "n_subjects": 16,
            "n_frames": 160,
            "regions_per_network": 4,
            "state_strength": 0.7,
            "labels": ["trait", "state"],
        },
    }
    descriptor.write_text(yaml.safe_dump(content))
    results = folder / "results"
    settings = {
        "results": str(results),
        "datasets": {"rest": {"descriptor": str(descriptor)}},
        "models": {"random": {"extractor": "random", "n_features": 12}},
        "methods": {"ridge": {"encoder": "ridge"}},
        "decode_series": OPTIONS,
        "confidence": 0.9,
    }
    paths = {name: artifact_path(results, "rest", name) for name in ("series", "people", *OUTPUTS)}
    config = parse(Config, settings, "test")
    run_all(config, "prepare_series", "decode_series")
    return paths, config


def test_tables_hold_the_model_and_all_that_stands_beside_it(study) -> None:
    filled = load(study[0]["filled"], pd.DataFrame)
    kinds = filled.drop_duplicates("name").set_index("name")["kind"].to_dict()
    assert kinds == {
        "masked model": "model",
        "instantaneous Gaussian": "baseline",
        "lagged Gaussian": "baseline",
        "regions shifted": "null",
        "no masking": "ablation",
    }
    by = filled[(filled["network"] == "") & (filled["hidden"] == "half of the regions")].set_index("name")["r2"]
    assert by["instantaneous Gaussian"] > 0.1
    assert by["regions shifted"] <= 0.02
    scores = load(study[0]["personscores"], pd.DataFrame)
    assert scores.groupby("label")["kind"].first().to_dict() == {"trait": "trait", "state": "state"}
    states = scores[(scores["label"] == "state") & (scores["name"] == "correlation")].iloc[0]
    assert states["score"] > 0.75
    assert states["n_rows"] == 32
    assert set(scores["n_people"]) == {16}


def test_the_saved_weights_are_the_model(study) -> None:
    about = load_sidecar(study[0]["maskedmodel"])["details"]
    arrays = {name: np.asarray(values) for name, values in load(study[0]["maskedmodel"], Arrays).items()}
    model = MaskedBrainModel.from_state(arrays, about["config"], about["regions"], "cpu")
    series = np.asarray(load(study[0]["series"], Arrays)["series"])
    traces = {name: np.asarray(values) for name, values in load(study[0]["filledtraces"], Arrays).items()}
    assert np.allclose(series[traces["run"], :, traces["region"]], traces["true"])
    assert model.segment_frames == 21  # 15 s at .72 s
    assert model.reconstruct(series[:1], np.arange(24) < 6).shape == (1, 80, 24)


def test_the_page_says_what_was_found_and_escapes_what_came_from_data(study) -> None:
    config = study[1]
    assert draw_page(config, "rest") == 0
    page = group_report_path(config.results, "rest").read_text()
    for words in (
        "masked model",
        "lagged Gaussian",
        "regions shifted",
        "no masking",
        "latent connectivity",
        "adjusted",
    ):
        assert words in page
    about = load_sidecar(study[0]["maskedmodel"])["details"]
    assert about["steps"] == {"masked model": 30, "regions shifted": 30, "no masking": 30}
    assert set(about["converged"].values()) == {False}  # 30 steps are the most there are
    assert page.index("Not converged") < page.index("explains")
    lag = about["lag"]
    said = (f"also sees {lag} frames before and after" in page, "the lag chosen for it is 0" in page)
    assert said == (lag > 0, lag == 0)
    assert "Rest &lt;of&gt; 16" in page
    assert "Rest <of> 16" not in page
    assert len(page) < 3_000_000


def test_three_jobs_are_planned(study) -> None:
    assert [job.stage for job in jobs(study[1])] == ["prepare_series", "decode_series", "report_group"]


def test_splits_are_of_people_and_all_or_none_are_given() -> None:
    people = pd.DataFrame({"subject": list("aabbccdd"), "split": ""})
    test = decode_series.test_runs(people, 0)
    assert people["subject"][test].nunique() == 1
    assert test.sum() == 2
    people.loc[0, "split"] = "test"
    refused("some runs only", decode_series.test_runs, people, 0)
    refused("both sides need some", decode_series.test_runs, people.assign(split="train"), 0)


def test_runs_of_a_person_are_joined_without_a_segment_of_two() -> None:
    series = np.arange(4 * 25, dtype=np.float32).reshape(4, 25, 1)
    people = pd.DataFrame({"subject": list("aabb"), "trait": list("xxyy")})
    joined, rows = decode_series.per_person(series, people, 10)
    assert joined.shape == (2, 40, 1)
    assert joined[0, 19:21, 0].tolist() == [19, 25]
    assert rows["trait"].tolist() == ["x", "y"]


def test_a_job_runs_again_from_its_sidecar(study, capfd: pytest.CaptureFixture[str]) -> None:
    """With the settings it had, and to the same bytes."""
    path = study[0]["series"]
    before = path.read_bytes()
    path.unlink()
    assert main(["rerun", str(path)]) == 0
    assert path.read_bytes() == before
    assert "prepare_series of dataset rest: writes " in capfd.readouterr().out
