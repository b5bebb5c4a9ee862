"""Stages on recordings of categories, in this process: a small study of planted epochs, then the N170 recordings."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import config_of, draw_page, run_all, run_step
from made import save_epochs, write_yaml
from shown import Record
from worlds.small import category_epochs

from brainalign.arrays import Arrays, Responses
from brainalign.config import Config, DecodeTimesSettings, load_descriptors
from brainalign.io import artifact_path, load, load_sidecar
from brainalign.pipelines.decode import decode_times
from brainalign.workflow import jobs, report_path

N170 = Path(os.environ.get("BRAINALIGN_DATA", "nowhere"), "eeg-n170")
OUTPUTS = ("scores", "sensors", "windows", "clusters", "peaks", "squares")
OPTIONS = {"permutations": 39, "square_permutations": 39, "square_step": 4, "draws": 100}

SECTIONS: dict[str, object] = {"models": {"onehot": {"extractor": "onehot"}}, "decode_times": OPTIONS}


def write_study(folder: Path) -> Path:
    """Write two recordings of MNE epochs and a descriptor; the categories differ around 170 ms."""
    folder.mkdir()
    world = category_epochs(120, 2, 4, amplitude=4, step_s=0.02, smoothness=0.7)
    names, sensors = [], ["Fz", "Cz", "Pz", "Oz"]
    for number in range(2):
        rows = world.recordings == number
        metadata = pd.DataFrame({"category": world.labels[rows], "onset_s": 0.65 * np.arange(rows.sum())})
        names.append(f"run{number}-epo.fif")
        save_epochs(folder / names[-1], world.values[rows], sensors, metadata, rate_hz=50.0, tmin=-0.1)
    content = {"name": "planted", "recordings": {"1": {"format": "epochs", "epochs": names}}}
    content |= {"epochs": {"tmin_s": -0.1, "tmax_s": 0.48}, "windows": {"response": [0.0, 0.48], "before": [-0.1, 0.0]}}
    content |= {"notes": ["Nothing here was measured: 2 < 3 & so on."]}
    return write_yaml(folder / "planted.yaml", content)


def run_stages(descriptor: Path, results: Path) -> tuple[Config, str]:
    config = config_of(descriptor, results=str(results), **SECTIONS)
    (dataset,) = load_descriptors(config)
    assert [job.rule for job in jobs(config)] == ["prepare_recordings", "decode_times", "report"]
    run_all(config, "prepare_recordings", "decode_times")
    assert draw_page(config, dataset, "1") == 0
    return config, dataset


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, str]:
    folder = tmp_path_factory.mktemp("recordings")
    return run_stages(write_study(folder / "planted"), folder / "results")


def tables_of(config: Config, dataset: str) -> dict[str, pd.DataFrame]:
    places = {name: artifact_path(config.results, dataset, f"time{name}", subject="1") for name in OUTPUTS[:-1]}
    return {name: load(place, pd.DataFrame) for name, place in places.items()}


def test_what_is_planted_is_in_the_tables_and_on_the_page(planted: tuple[Config, str]) -> None:
    tables = tables_of(*planted)
    assert tables["windows"].set_index("window").loc["response", "score"].min() > 0.8
    peak = tables["peaks"].iloc[0]
    assert (peak["decided"], peak["centre"]) == (True, pytest.approx(0.17, abs=0.02))
    clusters = tables["clusters"]
    for kind in ("time", "sensors x time", "time x time"):
        best = clusters[clusters["kind"] == kind].sort_values("p").iloc[0]
        assert best["p"] < 0.05, kind
        assert best["start_s"] <= 0.17 <= best["stop_s"], kind
    course = tables["scores"].set_index("time_s")["score"]
    assert course.idxmax() == pytest.approx(0.17, abs=0.04)
    squares = load(artifact_path(planted[0].results, planted[1], "timesquares", subject="1"), Arrays)
    told, at = clusters.query("kind == 'time' and group == 'all' and p < .05"), squares["square_times"]
    known = ((told[["start_s"]].to_numpy() <= at) & (at <= told[["stop_s"]].to_numpy())).any(axis=0)
    assert squares["significant"][np.ix_(known, known)].any()
    assert not squares["significant"][~np.logical_and.outer(known, known)].any()  # nothing is learned, or to be told
    assert squares["pairs"][:, 0] == pytest.approx(course.to_numpy(), abs=1e-9)  # of two categories: the course
    page = report_path(planted[0].results, planted[1], "1").read_text()
    assert "no statement about people" in page
    assert "2 &lt; 3 &amp; so on" in page
    assert "a against b, recordings left out, 0 to 480 ms" in page


def test_what_drifts_does_not_tell_blocks_of_categories_apart(planted: tuple[Config, str]) -> None:
    """Slow noise, categories in blocks: of eight worlds without an effect four passed while trials were exchanged."""
    found, passed = load(artifact_path(planted[0].results, planted[1], "responses", subject="1"), Responses), 0
    for seed, length in enumerate([10, 2] * 4):
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.concatenate([rng.permutation(["a", "b"]) for _ in range(60 // length)]), length)
        values = rng.normal(size=(120, 4, 1)).cumsum(axis=0) + rng.normal(size=found.values.shape)
        drifting = replace(found, values=values, trials=found.trials.assign(category=labels, stimulus_id=labels))
        study = decode_times._study(drifting, None, DecodeTimesSettings(**OPTIONS), 0.95, 0)
        windows = decode_times._windows(study, {"all": np.arange(4)}, {"response": (0.0, 0.48)})
        passed += bool((windows["p"] < 0.05).any())
        assert (study.permuted.reshape(39, -1, length) == study.permuted[:, ::length, None]).all(), study.note
    assert (passed <= 1, study.note[:19]) == (True, "Categories came in ")
    own = drifting.trials.assign(stimulus_id=drifting.trials["run"] + labels)  # stimuli of each recording
    study = decode_times._study(replace(drifting, trials=own), None, DecodeTimesSettings(**OPTIONS), 0.95, 0)
    assert study.note.partition(":")[0] == "Permutations exchange the 4 stimuli"
    assert {len({*row}) for row in study.permuted[:, own["run"] == "1"]} == {2}  # of which both categories are left


def test_a_window_asked_for_and_a_recording_of_one_category(planted: tuple[Config, str], tmp_path: Path) -> None:
    config, dataset = planted
    responses = artifact_path(config.results, dataset, "responses", subject="1")
    options = OPTIONS | {"permutations": 19, "latency_window_s": [0.18, 0.4]}  # behind the peak
    settings = {"decode_times": options, "confidence": 0.95, "sensors": {}, "windows": {}}
    suffixes = {name: "safetensors" if name == "squares" else "parquet" for name in OUTPUTS}
    outputs = {f"time{name}": tmp_path / f"{name}.{suffix}" for name, suffix in suffixes.items()}
    assert run_step("decode_times", settings, inputs={"responses": responses}, outputs=outputs) == 0
    peaks = pd.read_parquet(tmp_path / "peaks.parquet")
    assert peaks["hump"].tolist() == ["window asked for", "highest hump"]
    assert "edge of the window" in peaks["reason"].iloc[0]
    # Eight recordings, of which one has one category: it cannot be trained on for itself, and tests nothing.
    found = load(responses, Responses)
    part = np.arange(len(found.trials)) * 8 // len(found.trials)
    trials = found.trials.assign(run=part.astype(str), category=found.trials["category"].where(part > 0, "a"))
    study = decode_times._study(replace(found, trials=trials), None, DecodeTimesSettings(**OPTIONS), 0.95, 0)
    (row,) = decode_times._windows(study, {"all": np.arange(4)}, {"response": (0.0, 0.48)}).to_dict("records")
    assert (row["scheme"], row["n_folds"]) == ("recordings left out", 8)
    assert row["low"] < row["score"]


@pytest.mark.acceptance
@pytest.mark.skipif(not N170.is_dir(), reason="needs eeg-n170 in the folder named by BRAINALIGN_DATA")
def test_the_n170_recordings(root: Path, tmp_path: Path, record: Record) -> None:
    """N170, one person, six recordings: faces against houses, area under the curve"""
    tables = tables_of(*run_stages(root / "data" / "n170.yaml", tmp_path / "results"))
    windows = tables["windows"].set_index(["scheme", "group", "window"])
    for (scheme, group, window), row in windows.iterrows():
        values = f"{row['score']:.3f}; logistic {row['logistic']:.3f}; permuted {row['null_mean']:.3f}"
        record(f"{scheme}, {group}, {window}", values, ".70 and .65 +/- .03 of all, before <= .55, frontal < .58")
        assert row["null_mean"] == pytest.approx(0.5, abs=0.03)
        assert row[["score", "logistic"]].max() <= 0.55 or window == "response"
        assert row["score"] < 0.58 or group != "frontal"
    for scheme, expected in (("recordings left out", 0.70), ("within recordings", 0.65)):
        found = windows.loc[(scheme, "all", "response")]
        assert found["score"] == pytest.approx(expected, abs=0.03)
        assert found["logistic"] == pytest.approx(expected, abs=0.03)
        assert found["low"] < found["score"] < found["high"]
        p = windows.loc[scheme, "p"][:, "response"]
        assert p["temporal"] <= 0.05 < p["frontal"]
    clusters = tables["clusters"]
    mine = clusters[(clusters["kind"] == "time") & (clusters["group"] == "temporal") & (clusters["p"] <= 0.05)]
    assert ((mine["start_s"] <= 0.215) & (mine["stop_s"] >= 0.205)).any()
    # The N170, some tens of milliseconds late by the markers; the response that follows is as large.
    peaks = tables["peaks"].set_index(["group", "hump"])
    for group in ("all", "temporal"):
        first, highest = peaks.loc[(group, "first hump")], peaks.loc[(group, "highest hump")]
        assert first["decided"]
        assert 0.19 <= first["peak_low"] <= first["peak"] <= first["peak_high"] <= 0.23
        assert highest["peak"] == pytest.approx(0.289, abs=0.02)
        assert not highest["decided"]
    assert not peaks.loc["frontal", "decided"].any()


def test_categories_of_images_are_decoded_on_test_images(scenes, tmp_path: Path) -> None:
    """A subject of a study of images: trained on training images, tested on test images, several categories."""
    config = config_of(scenes.write(decoded=["02"]), results=str(tmp_path), **SECTIONS)
    run_all(config, "prepare", "decode_times", subjects=["02"])
    paths = {name: artifact_path(tmp_path, "scenes", f"time{name}", subject="02") for name in OUTPUTS}
    facts = load_sidecar(paths["scores"])["details"]
    assert (facts["scheme"], facts["measure"], facts["n_folds"]) == ("images left out", "balanced accuracy", 1)
    windows = load(paths["windows"], pd.DataFrame)
    assert windows["window"].tolist() == ["response", "before"]
    assert windows["chance"].iloc[0] == pytest.approx(1 / len(facts["categories"]))
    n = len(facts["categories"])
    assert load(paths["squares"], Arrays)["pairs"].shape == (20, n * (n - 1) // 2)
