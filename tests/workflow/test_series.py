"""Simulated rest through the stages to the page: what is saved, what the page says, what stops it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import config_of, draw_page, run_all, run_step
from made import responses_of, write_yaml
from refusals import refused
from seeded.recorded import Record, Stage
from sklearn.decomposition import PCA

from brainalign.arrays import Arrays
from brainalign.cli import main
from brainalign.config import Config
from brainalign.decoding import MaskedBrainModel
from brainalign.io import Provenance, artifact_path, load, load_sidecar, save
from brainalign.pipelines.decode import decode_series
from brainalign.workflow import jobs, report_path

OUTPUTS = ("maskedmodel", "filled", "filledtraces", "regionnetworks", "regionmap", "personscores")
SENSORS = {"target_id": list("vwxyz"), "kind": "sensor", "hemi": "", "sensor_type": "eeg"}
TIMES = ("timescores", "timesensors", "timewindows", "timepeaks", "timeclusters", "timesquares")
OPTIONS: dict[str, object] = {"model": {"n_steps": 30, "width": 16, "hidden_width": 32}, "lags": [0, 3], "halves": 1}
OPTIONS |= {"nulls": ["regions shifted"], "ablations": ["no masking"], "repeats": 1, "traces": 2}
OPTIONS |= {"permutations": 19, "draws": 200, "network_permutations": 19}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], Config]:
    world = {"world": "roi_series", "n_subjects": 16, "n_frames": 160, "regions_per_network": 4}
    world |= {"state_strength": 0.7, "labels": ["state"]}
    content = {"name": "rest", "title": "Rest <of> 16", "simulate": world}
    descriptor = write_yaml(tmp_path_factory.mktemp("series") / "rest.yaml", content)
    models = {"random": {"extractor": "random", "n_features": 12}}
    config = config_of(descriptor, models=models, decode_series=OPTIONS | {"folds": 2}, confidence=0.9)
    assert [job.rule for job in jobs(config)] == ["prepare_series", "decode_series", "report_group"]
    run_all(config, "prepare_series", "decode_series")
    return {name: artifact_path(config.results, "rest", name) for name in ("series", "people", *OUTPUTS)}, config


def test_tables_hold_the_model_and_all_that_stands_beside_it(study) -> None:
    filled = load(study[0]["filled"], pd.DataFrame)
    kinds = filled.drop_duplicates("name").set_index("name")["kind"]
    assert kinds.tolist() == ["model", "baseline", "baseline", "baseline", "ablation", "null", "ablation"]
    by = filled[(filled["network"] == "") & (filled["hidden"] == "half of the regions")].set_index("name")["r2"]
    assert by["instantaneous Gaussian"] > 0.1
    assert by["regions shifted"] <= 0.02
    scores = load(study[0]["personscores"], pd.DataFrame)
    assert scores[(scores["label"] == "state") & (scores["name"] == "correlation")].iloc[0]["score"] > 0.75
    about = load_sidecar(study[0]["maskedmodel"])["details"]
    arrays = {name: np.asarray(values) for name, values in load(study[0]["maskedmodel"], Arrays).items()}
    model = MaskedBrainModel.from_state(arrays, about["config"], about["regions"], "cpu")
    series = np.asarray(load(study[0]["series"], Arrays)["series"])
    traces = {name: np.asarray(values) for name, values in load(study[0]["filledtraces"], Arrays).items()}
    assert np.allclose(series[traces["run"], :, traces["region"]], traces["true"])
    assert (model.reconstruct(series[:1], np.arange(24) < 6).shape, draw_page(study[1], "rest")) == ((1, 80, 24), 0)
    page = report_path(study[1].results, "rest").read_text()
    assert about["steps"] == {"masked model": 30, "regions shifted": 30, "no masking": 30}
    assert set(about["converged"].values()) == {False}  # 30 steps are the most there are
    assert "Rest &lt;of&gt; 16" in page
    assert "Rest <of> 16" not in page


def test_a_small_study_is_decoded_as_it_was() -> None:
    series = np.random.default_rng(2).normal(size=(12, 60, 6)).astype(np.float32).cumsum(axis=1)
    series = (series - series.mean(axis=1, keepdims=True)) / series.std(axis=1, keepdims=True)
    people = pd.DataFrame({"subject": np.repeat(list("cabfde"), 2), "split": ""})
    age = np.repeat([3, 1, 4, 1.5, 9, 2], 2)
    people = people.assign(trait=list("uuvvuuvvuuvv"), state=list("xyyxxyxyyxyx"), age=age)
    people["some"] = people["trait"].where(people["subject"] != "c", "n/a")
    about = {"regions": [f"r{k}" for k in range(6)], "networks": ["n", "m"] * 3, "tr_s": 1.4}
    about["labels"] = ["state", "age", "some"]
    small = {"n_steps": 2, "width": 4, "hidden_width": 4, "batch_size": 3, "device": "cpu"}
    options = OPTIONS | {"model": small, "folds": 2, "draws": 100}
    job = Stage(options, {"series": Arrays({"series": series}), "people": people, "series details": about}, {})
    decode_series.decode_series(job)  # type: ignore[arg-type]
    del job.saved["maskedmodel"][1]["losses"]
    regions = job.saved["regionmap"][0]["region_id"].tolist()
    found = job.saved | {"maskedmodel": job.saved["maskedmodel"][1], "regionmap": regions}
    Record(Path(__file__).parent / "recorded_stages.json").check("decode_series", found)


def test_splits_are_of_people_and_all_or_none_are_given() -> None:
    people = pd.DataFrame({"subject": list("aabbccdd"), "split": ""})
    assert people["subject"][decode_series.test_runs(people, 0)].nunique() == 1
    people.loc[0, "split"] = "test"
    refused("some runs only", decode_series.test_runs, people, 0)
    people = pd.DataFrame({"subject": list("aabb"), "trait": list("xxyy")})
    joined, rows = decode_series.per_person(np.arange(4 * 25, dtype=np.float32).reshape(4, 25, 1), people, 10)
    assert (joined.shape, joined[0, 19:21, 0].tolist(), rows["trait"].tolist()) == ((2, 40, 1), [19, 25], ["x", "y"])
    values = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    found, expected = decode_series.region_map(values, list("abcdefg"), list("nnmmmkk")), PCA(2).fit(values)
    np.testing.assert_allclose(found[["x", "y"]].abs(), np.abs(expected.transform(values)), atol=1e-5)
    np.testing.assert_allclose(found["share"], expected.explained_variance_ratio_.sum(), rtol=1e-5)
    assert found[["region_id", "network"]].agg("".join, axis=1).tolist() == ["an", "bn", "cm", "dm", "em", "fk", "gk"]


def test_a_job_runs_again_from_its_sidecar(study, capfd: pytest.CaptureFixture[str]) -> None:
    path = study[0]["series"]
    before = path.read_bytes()
    path.unlink()
    assert (main(["rerun", str(path)]), path.read_bytes()) == (0, before)
    assert "prepare_series of dataset rest: writes " in capfd.readouterr().out


def test_stimuli_that_are_shown_again_are_exchanged_as_wholes(tmp_path: Path) -> None:
    """Eight stimuli whose categories are arbitrary: telling stimuli apart is no sign of categories."""
    rng = np.random.default_rng(4)
    ids, runs = np.tile(np.arange(8), 12), np.repeat(["1", "2", "3"], 32)
    values = 2 * rng.normal(size=(8, 5))[ids][:, :, None] + rng.normal(size=(96, 5, 6))
    path, output = (artifact_path(tmp_path, "d", name, subject="1") for name in ("responses", "timewindows"))
    options = {"permutations": 39, "square_permutations": 19, "draws": 100, "square_step": 3, "noise": "none"}
    settings = {"decode_times": options, "confidence": 0.8, "sensors": {}, "windows": {"all": [0.0, 0.2]}}
    targets = SENSORS | {"x_mm": np.arange(5.0), "y_mm": 0.0, "z_mm": 0.0}
    trials = {"category": np.array(list("abbaabab"))[ids], "run": runs, "onset_s": np.arange(96) % 32 * 2.0}
    p = []
    for names in (ids, np.arange(96)):  # and as if every trial had shown a stimulus of its own
        of = responses_of(values, names.astype(str), targets=targets, times=np.arange(6) / 25, **trials)
        save(path, of, Provenance("test", {}, ""))
        outputs = {name: artifact_path(tmp_path, "d", name, subject="1") for name in TIMES}
        assert run_step("decode_times", settings, inputs={"responses": path}, outputs=outputs) == 0
        row = load(output, pd.DataFrame).iloc[0]
        assert row["score"] > 0.8
        p.append(row["p"])
    assert p[0] > 0.05 > p[1]


@pytest.mark.parametrize("kinds", ["abab", "abca"])
def test_categories_over_time_are_decoded_as_they_were(tmp_path: Path, kinds: str) -> None:
    rng = np.random.default_rng(3)
    n, times = 48, np.round(np.arange(-4, 12) * 0.04, 2)
    labels, course = np.array(list(kinds))[np.arange(n) % 4], np.exp(-0.5 * ((times - 0.2) / 0.07) ** 2)
    place = np.array([{"a": 0, "b": 1, "c": 2}[label] for label in labels])
    values = rng.normal(size=(n, 5, len(times))) + 1.2 * rng.normal(size=(3, 5))[place][:, :, None] * course
    targets = SENSORS | {"x_mm": [0.0, 9, 20, 33, 50], "y_mm": 0.0, "z_mm": [0.0, 1, 0, 4, 2]}
    trials = {"category": labels, "run": np.repeat(["1", "2"], n // 2), "onset_s": np.arange(n) % 24 * 2.0}
    responses = artifact_path(tmp_path, "d", "responses", subject="1")
    save(responses, responses_of(values, labels, targets=targets, times=times, **trials), Provenance("test", {}, ""))
    outputs = {name: artifact_path(tmp_path, "d", name, subject="1") for name in TIMES}
    options = {"permutations": 39, "square_permutations": 39, "draws": 100, "square_step": 3, "n_folds": 3}
    options |= {"latency_window_s": [0.08, 0.36]} if kinds == "abab" else {"noise": "none"}
    settings = {"decode_times": options, "confidence": 0.8, "sensors": {"left": ["x", "v"]}, "windows": {}}
    if kinds == "abab":
        settings["windows"] = {"early": [0.0, 0.2], "before": [-0.16, 0.0]}
    assert run_step("decode_times", settings, inputs={"responses": responses}, outputs=outputs) == 0
    found = {name: load(path, Arrays if name == "timesquares" else pd.DataFrame) for name, path in outputs.items()}
    found |= {f"{name} details": load_sidecar(path)["details"] for name, path in outputs.items()}
    Record(Path(__file__).parent / "recorded_stages.json").check(f"times {kinds}", found)
