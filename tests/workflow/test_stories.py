"""A story from fifteen lines to a page, and subjects in one space: what was planted is found, the rest refused."""

import html
import json
import re
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import mne
import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import run_all, run_step
from made import write_yaml
from refusals import refused
from scipy.special import ndtr
from scipy.stats import false_discovery_control
from seeded.recorded import Record
from worlds.films_and_stories import configured, described, told, write_release
from worlds.labs import volume

from brainalign.arrays import Responses
from brainalign.cli import main
from brainalign.config import Config, load_config, load_descriptors
from brainalign.datasets import audit_study
from brainalign.datasets.studies import read_continuous, read_events
from brainalign.encoding.scoring import fit_runs, mean_over_runs
from brainalign.io import Provenance, artifact_path, load, save, sidecar_path
from brainalign.pipelines.encode import continuous
from brainalign.report.kit import StudyMaterial
from brainalign.report.pages import group_of_runs_chapter
from brainalign.simulation import STORY_GROUPS, story, write_story
from brainalign.statistics import RELIABLE, noise_ceiling_from_share, pearson, permuted_correlations, reliable_targets
from brainalign.study import Shape, known_shape, load_descriptor, parse, shape_of
from brainalign.workflow import Run, job_of, planned, report_path

N_VOXELS, ROOT = 6, Path(__file__).parents[2]
NOTED: Any = {"detrend": "none", "high_pass_hz": 0.0, "resample": "mean", "hrf": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story")
    write_story(story(5, 75, N_VOXELS, explained=0.5, n_features=(12, 7), seed=21), folder)
    table = pd.read_csv(folder / "targets.tsv", sep="\t")
    ijk = np.argwhere(np.ones((4, 3, len(table) // 12)))  # a block at the left occipital pole
    table[["i", "j", "k"]], table[["x_mm", "y_mm", "z_mm"]] = ijk, 4 * ijk + [-28, -100, -8]
    table.to_csv(folder / "targets.tsv", sep="\t", index=False)
    again = {f"story{run + 1}": [f"story{run + 1}.npy", f"story{run + 1}_again.npy"] for run in range(2)}
    described(folder, files=again | {f"story{run + 1}": f"story{run + 1}.npy" for run in range(2, 5)}, space="MNI152")
    return folder


def test_planted_models_reach_the_page(folder: Path) -> None:
    assert main(["check", str(folder / "story.yaml")]) == 0
    config = configured(folder)
    run_all(config)
    scores = pd.read_parquet(artifact_path(config.results, "story", "runscores", subject="01"))
    tested = scores[scores["kind"] != "layer"].set_index(["model", "region"])
    for model, other in (("language", "sound"), ("sound", "language")):
        for region in (model, "both"):
            assert tested.loc[(model, region), "r"] > (0.6 if region == model else 0.44)  # of rows alone .59 and .43
            assert tested.loc[(model, region), "p"] == 1 / 60
            assert tested.loc[(model, region), "r"] > 3 * tested.loc[(model, region), "null_95"]
        assert tested.loc[(other, model), "r"] < 0.5 * tested.loc[(model, model), "r"]
    controls = tested.loc[["random", "event rate"]]
    assert (controls.loc[controls["n_targets"] == N_VOXELS, "r"].abs() < 0.15).all()
    assert tested.loc[("all", "both"), "r"] > tested.loc[[("language", "both"), ("sound", "both")], "r"].max() + 0.05
    ceilings = pd.read_parquet(artifact_path(config.results, "story", "ceiling", subject="01"))["ceiling"]
    # Half of the variance is planted: of the mean of 2 presentations 2 s / (2 s + n) repeats, of one s / (s + n).
    assert abs(ceilings[: 3 * N_VOXELS].mean() - (2 * 2 / 3 + 3 * 1 / 2) / 5) < 0.07
    shares = pd.read_parquet(artifact_path(config.results, "story", "runshares", subject="01"))
    unique = shares.set_index(["model", "region"])["unique"]
    assert unique[("language", "language")] > 0.15 > 0.05 > abs(unique[("sound", "language")])
    assert min(unique[("language", "both")], unique[("sound", "both")]) > 0.05
    common = unique["language & sound"]  # of correlated features, where both are heard
    assert common["both"] > 0.05 > common[["language", "sound"]].abs().max()
    parts = shares.groupby("region")["unique"].sum()
    np.testing.assert_allclose(parts, shares[shares["model"] == "all"].set_index("region")["product"][parts.index])
    page = re.sub(r"\s+", " ", report_path(config.results, "story", "01").read_text())
    assert "language: language predicts the runs left out" in page
    for figure in ("runmap", "glassbrain", "projection", "uniquemap-language-sound"):
        assert f'id="figure-{figure}"' in page
    tables_agree(config, scores, pd.read_csv(folder / "targets.tsv", sep="\t"))


def test_a_simulated_story_needs_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(shutil.copy(ROOT / "data/simulated-story.yaml", tmp_path))
    content = yaml.safe_load(path.read_text())
    content["simulate"] |= {"n_rows": 75, "n_targets": N_VOXELS, "seed": 21}
    write_yaml(path, content | {"encode": {"permutations": 39, "n_candidates": 5, "n_components": 8}})
    assert main(["check", str(path)]) == 0
    config = load_config(path)
    assert shape_of(load_descriptor(path)) == Shape(runs=6, trials=450, targets=4 * N_VOXELS)
    run_all(config, "simulate_story", "prepare_events", "prepare_runs", "extract", "encode_continuous")
    raw = config.raw_folder("simulated-story")
    told = story(6, 75, N_VOXELS, explained=0.5, n_features=(12, 7), seed=21)
    np.testing.assert_array_equal(np.load(raw / "story2_again.npy"), told.responses["story2"][1])
    pd.testing.assert_frame_equal(pd.read_parquet(raw / "truth/targets.parquet"), told.targets)
    assert "story6.npy" in json.loads((raw / "simulated.json").read_text())["files"]
    scores = pd.read_parquet(artifact_path(config.results, "simulated-story", "runtargets", subject="01"))
    r = scores.merge(told.targets, on="target_id").groupby(["roi", "model"])["r"].mean()
    for group in ("language", "sound"):
        assert r[group, group] > 0.3 > 0.15 > abs(r[group, "random"])
    assert r["language", "language"] < 0.52  # of 12 features 8 components; of all .58
    assert min(r["both", "language"], r["both", "sound"]) > 0.2
    assert r["none"].abs().max() < 0.1
    monkeypatch.setattr(continuous, "MOST_COLUMNS", 47)
    config = config.model_copy(update={"encode": config.encode.model_copy(update={"n_components": None})})
    (job,) = [job_of(Run(config), step, of) for step, of in planned(Run(config)) if step.rule == "encode_continuous"]
    refused("12 features at 4 delays are 48 columns .* or 12 for all", continuous.encode_continuous, job)


def test_a_story_that_cannot_be_told_is_refused_in_a_sentence(tmp_path: Path) -> None:
    content = yaml.safe_load((ROOT / "data/simulated-story.yaml").read_text())
    for wrong, message in (
        ({"n_row": 75}, r"unknown key 'simulate.n_row' \(did you mean 'n_rows'\?\)"),
        ({"n_features": [12, 5]}, "simulate.n_features.1: .* greater than 6; got 5"),
        ({"repeated": 7}, "simulate: repeated: 7 of 6 runs are heard twice; give n_runs or fewer"),
        ({"n_runs": 2}, "simulate.n_runs: .* 3; got 2"),
    ):
        path = write_yaml(tmp_path / "story.yaml", content | {"simulate": content["simulate"] | wrong})
        refused(f"^[^\n]*{message}$", load_descriptor, path)


def tables_agree(config: Config, scores: pd.DataFrame, places: pd.DataFrame) -> None:
    """Assert that rows of regions are means of rows of their targets, and that maps hold what tables do."""
    rows = pd.read_parquet(path := artifact_path(config.results, "story", "runtargets", subject="01"))
    of_targets = rows.set_index(["model", "target_id"])
    models = ["language", "sound", "random", "event rate"]
    kinds = {(kind, name) for name in models[:3] for kind in ("layer", "model")}
    assert set(zip(scores["kind"], scores["model"], strict=True)) == kinds | {("control", models[3]), ("joint", "all")}
    for (model, region), row in scores[scores["kind"] != "layer"].set_index(["model", "region"]).iterrows():
        inside = places.loc[places["roi"] == region, "target_id"].tolist()
        if len(inside) == row["n_targets"]:  # of a region of which all targets repeat
            mine = of_targets.loc[[(model, name) for name in inside]]
            assert (mine["r"].mean(), (mine["p_fwer"] < 0.05).mean()) == (pytest.approx(row["r"]), row["share"])
            assert np.sqrt(mine["ceiling"].clip(lower=0)).mean() == pytest.approx(row["ceiling"])
            assert np.isnan(row["low"])  # five runs are too few for an interval
    assert (rows["q"] == rows.groupby("model")["p"].transform(false_discovery_control)).all()
    noted = json.loads(sidecar_path(path).read_text())["details"]
    largest = (rows["alpha"] == noted["alphas"][-1]).groupby(rows["model"]).mean()
    assert largest["random"] > 0.5 > largest["language"]
    written = nibabel.load(path.with_name(f"{path.stem}_statmap.nii.gz"))
    volume = written.get_fdata()[..., noted["maps"].index("r, language")][tuple(places[["i", "j", "k"]].to_numpy().T)]
    np.testing.assert_allclose(volume, rows.loc[rows["model"] == "language", "r"], atol=1e-6)
    np.testing.assert_allclose(written.affine @ [1, 2, 0, 1], [-24, -92, -8, 1], atol=1e-6)


def test_regions_are_of_targets_that_repeat() -> None:
    targets = pd.DataFrame({"roi": [["a"], ["a", "b"], ["b"], [], ["c"]]})
    for ceiling, expected in (
        ([0.5, 0.1, 0.3, 0.6, 0.2], {RELIABLE: [0, 2, 3], "a": [0], "b": [2]}),
        ([0.5, np.nan, np.nan, np.nan, 0.3], {RELIABLE: [0, 4], "a": [0], "c": [4]}),
        ([np.nan] * 5, {continuous.EVERYWHERE: [0, 1, 2, 3, 4], "a": [0, 1], "b": [1, 2], "c": [4]}),
        ([0.3] * 5, {continuous.EVERYWHERE: [0, 1, 2, 3, 4], "a": [0, 1], "b": [1, 2], "c": [4]}),
        ([0.1] * 5, {continuous.EVERYWHERE: [0, 1, 2, 3, 4]}),
    ):
        kept = reliable_targets(pd.DataFrame({"ceiling": ceiling, "repeats_q": np.nan}), 0.2)
        assert {name: rows.tolist() for name, rows in continuous._regions(targets, kept).items()} == expected


@pytest.mark.parametrize("n_runs", [5, 6])  # too few for an interval, and enough
def test_rows_of_scores_and_shares(n_runs: int) -> None:
    rng, regions = np.random.default_rng(0), {"one": np.array([0]), "two": np.array([1, 2])}
    r, null = rng.uniform(-0.2, 0.6, (n_runs, 3)), 0.2 * rng.normal(size=(39, 3))
    ceiling, mean = np.array([0.25, 0.36, -0.1]), mean_over_runs(r)
    names: Any = [f"run{k}" for k in range(n_runs)]
    runs = continuous._Runs(None, None, 6 * [()], names, {"": names}, {}, "", [], None, regions, {}, 0.9)
    labels = {"model": "m", "layer": "l", "kind": "k", "test_set": ""}
    found = pd.DataFrame(continuous._score_rows(runs, labels, r, ceiling, null))
    np.testing.assert_allclose(found["r"], [mean[rows].mean() for rows in regions.values()])
    assert found["low"].isna().all() == (n_runs == 5)
    plain = continuous._score_rows(runs, labels, r, ceiling)
    r2, split = rng.random((n_runs, 3)), {name: rng.random((n_runs, 3)) for name in "ab"}
    common = {name: rng.random((n_runs, 3)) for name in ("a", "b", "a & b")}
    tests = {name: (rng.random(3), rng.random((39, 3))) for name in "ab"}
    corrected = {name: 1 - part for name, part in (common | {"all": r2}).items()}
    shares = continuous._share_rows(runs, r2, split, common, corrected, tests)
    tables = {"scores": found, "plain": pd.DataFrame(plain), "shares": pd.DataFrame(shares)}
    Record(Path(__file__).parent / "recorded_stages.json").check(f"rows of {n_runs} runs", tables)


LATE = 4  # rows


def test_what_others_share_predicts_a_subject(folder: Path, tmp_path: Path) -> None:
    """Three share a space and what they hear, of whom one lacks a target and is late; the fourth has its own space."""
    rng, names, kept = np.random.default_rng(3), np.array(["v0", "v1", "v2"]), {"02": [0, 2]}
    common, recordings = rng.normal(size=(3, 75, 3)).cumsum(axis=1), {}
    for subject in ("01", "02", "03", "own"):
        targets = kept.get(subject, [0, 1, 2])
        for run, values in enumerate(common + 3 * rng.normal(size=common.shape) * [0, 1, 1]):
            np.save(tmp_path / f"{subject}_{run}.npy", values[LATE * (subject == "02") :, targets])
        pd.DataFrame({"target_id": names[targets]}).to_csv(tmp_path / f"{subject}.tsv", sep="\t", index=False)
        files = {f"story{run + 1}": f"{subject}_{run}.npy" for run in range(3)}
        recordings[subject] = {"format": "runs", "tr_s": 2.0, "targets": f"{subject}.tsv", "files": files}
        recordings[subject] |= {"space": "scanner" if subject == "own" else "parcels"}
        recordings[subject] |= {"first_row_s": 2.0 * LATE} if subject == "02" else {}
    for name in ("words.tsv", "language.npy", "sound.npy"):
        shutil.copy(folder / name, tmp_path)
    content = {"name": "story", "stimuli": "words.tsv", "recordings": recordings, "splits": {"s": {"leave_out": "run"}}}
    (tmp_path / "story.yaml").write_text(yaml.safe_dump(content))
    config = configured(tmp_path)
    run_all(config, "prepare_events", "prepare_runs", "correlate_subjects")
    path = partial(artifact_path, config.results, "story", "intersubject")
    table = {subject: pd.read_parquet(path(subject=subject)).set_index("target_id") for subject in ("01", "02", "03")}
    assert not path(subject="own").exists()
    study = load_descriptor(tmp_path / "story.yaml")
    read = {name: read_continuous(study, name).responses.values for name in table}
    values = {name: of.reshape(3, -1, of.shape[1]) for name, of in read.items()}
    late = np.pad(values["02"], ((0, 0), (LATE, 0), (0, 0)), constant_values=np.nan)
    mean = np.nanmean([late[..., 1], values["03"][..., 2]], axis=0)
    by_run = [np.corrcoef(own, others)[0, 1] for own, others in zip(values["01"][..., 2], mean, strict=True)]
    assert table["01"].loc["v2", "r"] == pytest.approx(np.tanh(np.arctanh(by_run).mean()), abs=1e-5)
    assert table["01"]["n_others"].to_dict() == {"v0": 2, "v1": 1, "v2": 2}
    assert all(of.loc["v0", "r"] > 0.9 > of.loc["v2", "r"] for of in table.values())


def test_a_set_never_trained_on_stands_beside_the_rest(folder: Path, tmp_path: Path) -> None:
    """One set holds what was planted, the other responses to something else."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["results"])
    np.save(tmp_path / "story5.npy", np.random.default_rng(0).normal(size=(75, 4 * N_VOXELS)))
    heard = np.load(tmp_path / "story4.npy")
    np.save(tmp_path / "story4_again.npy", heard + np.random.default_rng(1).normal(size=heard.shape))
    files = {f"story{run + 1}": f"story{run + 1}.npy" for run in range(5)}
    content = described(tmp_path, files=files | {"story4": ["story4.npy", "story4_again.npy"]})
    content["continuous"] = {"test_sets": {"alike": ["story4"], "strange": ["story5"]}, "hrf": "spm"}
    (tmp_path / "story.yaml").write_text(yaml.safe_dump(content))
    config = configured(tmp_path)
    run_all(config)
    scores = pd.read_parquet(artifact_path(config.results, "story", "runscores", subject="01"))
    r = scores[scores["region"] == "sound"].set_index(["test_set", "kind", "model"])["r"]
    assert min(r["", "model", "sound"], r["alike", "model", "sound"]) > 0.2 > 0.1 > abs(r["strange", "model", "sound"])
    share = pd.read_parquet(artifact_path(config.results, "story", "ceiling", subject="01"))["signal_share"]
    for of, presentations in (("", [1, 1, 1]), ("alike", [2])):  # a ceiling of the runs that a score is of
        bound = np.mean([noise_ceiling_from_share(share, n) for n in presentations], axis=0)
        found = scores.loc[scores["test_set"].eq(of) & scores["kind"].eq("joint"), ["n_targets", "ceiling"]]
        assert np.abs(found["ceiling"] - np.sqrt(np.maximum(bound, 0))[:N_VOXELS].mean()).min() < 1e-6
    page = re.sub(r"\s+", " ", report_path(config.results, "story", "01").read_text())
    assert "predicted from all others: alike: story4; strange: story5." in page
    assert "convolved with SPM's response function and its derivatives to onset and dispersion" in html.unescape(page)
    weights = pd.read_parquet(artifact_path(config.results, "story", "rundelays", subject="01"))
    weights = weights[weights["region"] == weights["model"]]
    largest = weights.loc[weights.groupby("model")["weight"].idxmax()].set_index("model")["delay_s"]
    assert largest[["language", "sound"]].between(4, 6).all()  # planted at 4 to 7 s
    shares = pd.read_parquet(artifact_path(config.results, "story", "runshares", subject="01"))
    planted = shares[shares["region"].eq(shares["model"])]
    assert (planted["corrected"] > planted["unique"] + 0.01).all()


def test_constant_features_are_zero_without_their_drifts(rng) -> None:
    drifts = np.linalg.qr(np.vander(np.linspace(-1, 1, 90), 3))[0]
    X = np.c_[rng.normal(size=90), np.full((90, 2), [0.3, 1e4]), 5 + 1e-3 * rng.normal(size=90)]
    left = continuous.without_drifts(X, drifts)
    assert not left[:, 1:3].any()
    np.testing.assert_allclose(left[:, [0, 3]], (X - drifts @ (drifts.T @ X))[:, [0, 3]])


def test_features_of_volumes_are_averaged_between_delays() -> None:
    told = story(4, 190, 6, 0.8, repeated=0, n_features=(12, 7), seed=24)
    rows = pd.DataFrame([(run, 0.8 * k + 0.4) for run in told.planted for k in range(190)], columns=["run", "onset_s"])
    noted: Any = NOTED | {"step_s": 0.8, "delays": [2, 5, 8, 10]}
    planted = np.concatenate([values[:, :6] for values in told.planted.values()]).astype(np.float32)
    r = []
    for slow in (False, True):
        X = continuous._resampled(rows, told.words, told.features["language"], noted | {"slow": slow}, None)
        r.append(fit_runs([X], planted, rows["run"].to_numpy(dtype=str), noted["delays"]).r.mean())
    assert r[1] > r[0] + 0.05


@pytest.mark.parametrize(("slow", "time"), [(False, 1.0), (True, 1.25)])
def test_words_stand_at_onsets_for_what_answers_at_once_and_else_at_middles(slow: bool, time: float) -> None:
    rows, word = pd.DataFrame({"run": "a", "onset_s": np.arange(60) / 20}), {"onset_s": 1.0, "duration_s": 0.5}
    noted = NOTED | {"step_s": 0.05, "delays": [0, 1], "slow": slow}
    X = continuous._resampled(rows, pd.DataFrame({"run": ["a"]} | word), np.ones((1, 1)), noted, None)
    assert rows["onset_s"][X[:, 0].argmax()] == time


def test_volumes_and_tables_hold_the_same(folder: Path, tmp_path: Path) -> None:
    inside = np.zeros((4, 3, 4), dtype=bool)
    inside.flat[: len(STORY_GROUPS) * N_VOXELS] = True
    nibabel.save(volume(inside.ravel(), inside.shape), tmp_path / "mask.nii.gz")
    for run in range(5):
        values = np.load(folder / f"story{run + 1}.npy")
        whole = np.pad(values, ((0, 0), (0, inside.size - values.shape[1])))
        nibabel.save(volume(whole, inside.shape, 2.0), tmp_path / f"story{run + 1}.nii.gz")
        np.save(tmp_path / f"story{run + 1}.npy", values)
    for name in ("words.tsv", "targets.tsv"):
        shutil.copy(folder / name, tmp_path)
    of_tables = told(tmp_path)
    tables, size = read_continuous(of_tables, "01").responses, known_shape(of_tables)
    files = {f"story{run + 1}": f"story{run + 1}.nii.gz" for run in range(5)}
    study = told(tmp_path, files=files, mask="mask.nii.gz", targets=None)
    volumes = read_continuous(study, "01").responses
    np.testing.assert_array_equal(volumes.values, tables.values)
    assert size == known_shape(study) == Shape(runs=5, trials=375, targets=24)
    assert tables.trials["onset_s"].iloc[0] == 21.0  # the first 20 s are left out; rows stand in the middle
    np.testing.assert_array_equal(volumes.targets[["i", "j", "k"]], np.argwhere(inside))
    other = told(tmp_path, files=files, mask="mask.nii.gz", targets=None, tr_s=1.5)
    refused("header of bold says 2 s", read_continuous, other, "01")


def test_a_folder_of_stories_is_described_by_a_pattern(folder: Path, tmp_path: Path) -> None:
    """As OpenNeuro ds003020: rows cut at both ends and z-scored are those of whole runs, at their times."""
    write_release(tmp_path, folder, cut=(10, 5), repeated=("story1", "story2"))
    assert main(["init", str(tmp_path), "--yes"]) == 0
    content = yaml.safe_load((tmp_path / "study.yaml").read_text())
    files = {"format": "runs", "files": "derivative/preprocessed_data/UTS03/*.hf5", "key": "data", "tr_s": 2.0}
    assert content["recordings"]["01"] == files | {"repeats": "individual_repeats"}
    content["recordings"]["01"]["first_row_s"] = 20
    content["continuous"] = {"trim_s": [0, 0]}
    assert main(["check", str(write_yaml(tmp_path / "study.yaml", content))]) == 0
    study, whole = load_descriptor(tmp_path / "study.yaml"), load_descriptor(folder / "story.yaml")
    read, expected = read_continuous(study, "01"), read_continuous(whole, "01")
    pd.testing.assert_frame_equal(read.responses.trials, expected.responses.trials)
    np.testing.assert_allclose(read.responses.values, expected.responses.values, atol=1e-4)
    np.testing.assert_allclose(read.repeats.values, expected.repeats.values, atol=1e-4)
    assert read.presentations == expected.presentations == {f"story{k}": 1 + (k < 3) for k in range(1, 6)}
    assert known_shape(study) == Shape(runs=5, trials=300, targets=24)
    events, words = read_events(study), read_events(whole)
    np.testing.assert_allclose(events["onset_s"], words["onset_s"])


def test_one_file_may_hold_all_runs(folder: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for k in range(1, 6):
            file[f"ses-{k:03d}_task-story{k}"] = np.load(folder / f"story{k}.npy")
    for name in ("targets.tsv", "words.tsv", *(f"story{k}.npy" for k in range(1, 6))):
        shutil.copy(folder / name, tmp_path)
    expected = read_continuous(told(tmp_path), "01").responses
    study = told(tmp_path, files="all.h5", key="ses-???_task-*")
    np.testing.assert_array_equal(read_continuous(study, "01").responses.values, expected.values)
    assert known_shape(study) == Shape(runs=5, trials=375, targets=24)
    for key, message in (("task*", "key: task. gives no runs of the arrays ses-001"), ("*_*", "write one .")):
        refused(message, told, tmp_path, files="all.h5", key=key)


def listened(folder: Path, **changes: object) -> dict[str, object]:
    rng, sensors = np.random.default_rng(2), ["Cz", "Pz", "Oz"]
    waves = rng.uniform(1, 12, (3, 5)), rng.uniform(0, 6, (3, 5))

    def planted(seconds: np.ndarray) -> np.ndarray:
        return np.cos(2 * np.pi * waves[0][..., None] * seconds + waves[1][..., None]).sum(axis=1)

    for k, offset in enumerate((898 / 256, 0.25, 7.0), start=1):  # one lies between samples of 64 Hz
        seconds = np.arange(256 * 70) / 256
        info = mne.create_info([*sensors, "VEOG"], 256.0, ["eeg"] * 3 + ["eog"])
        mains = 30 * np.sin(2 * np.pi * 50 * seconds)
        values = np.vstack([planted(seconds - offset) + 50 + mains, 100 * rng.normal(size=len(seconds))])
        raw = mne.io.RawArray(1e-6 * values, info, verbose="error")
        raw.info["bads"] = ["Pz"] if k == 2 else []
        raw.set_annotations(mne.Annotations([0.1, offset], 0.1, ["trigger", "story_onset"]))
        raw.save(folder / f"story{k}_raw.fif", verbose="error")
    words = [pd.DataFrame({"run": f"story{k}", "onset_s": np.arange(0.5, 60, 0.5), "text": "word"}) for k in (1, 2, 3)]
    pd.concat(words).to_csv(folder / "words.tsv", sep="\t", index=False)
    recorded = {"files": "*_raw.fif", "tr_s": None, "targets": None, "sfreq_hz": 64.0, "start_event": "story_onset"}
    return described(folder, **recorded | changes) | {"planted": planted}


def test_recordings_of_eeg_begin_with_their_stimulus(tmp_path: Path, monkeypatch, capsys) -> None:
    content = listened(tmp_path)
    planted = content.pop("planted")
    answers = iter(["story_onset", "1 20", "", ""])
    monkeypatch.setattr("builtins.input", lambda *_: next(answers))
    assert main(["init", str(tmp_path)]) == 0
    assert "stimuli begin at which of trigger, story_onset" in " ".join(capsys.readouterr().out.split())
    written = yaml.safe_load((tmp_path / "study.yaml").read_text())
    files = {f"story{k}": f"story{k}_raw.fif" for k in (1, 2, 3)}
    recorded = {"format": "runs", "files": files, "sfreq_hz": 64.0, "start_event": "story_onset"}
    assert (written["recordings"]["01"], written["continuous"]) == (recorded, {"raw": {"band_hz": [1.0, 20.0]}})
    assert written["encode"] == {"n_components": 50}
    content["continuous"] = {"raw": {"notch_hz": 50, "band_hz": [0.5, 30]}, "detrend": "none"}
    assert main(["check", str(write_yaml(tmp_path / "story.yaml", content))]) == 0
    read = read_continuous(study := load_descriptor(tmp_path / "story.yaml"), "01")
    assert known_shape(study) == Shape(runs=3, trials=3 * 70 * 64, targets=3)
    assert read.responses.targets["target_id"].tolist() == ["Cz", "Oz"]  # Pz is bad in one of them
    for run, rows in read.responses.trials.groupby("run"):
        onsets = rows["onset_s"].to_numpy()
        np.testing.assert_allclose(onsets, np.arange(len(onsets)) / 64)
        assert len(rows) == {"story1": 4255, "story2": 4464, "story3": 4032}[run]
        inner = (onsets > 3) & (onsets < 57)  # filters ring at the ends
        expected, values = planted(onsets[inner])[[0, 2]], read.responses.values[rows.index][inner].T
        assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(values, expected, strict=True)) > 0.995
    files = {"a": ["story1_raw.fif", "story3_raw.fif"], "b": "story2_raw.fif", "c": "story2_raw.fif"}
    read = read_continuous(told(tmp_path, **content["recordings"]["01"] | {"files": files}), "01")
    assert (read.responses.trials["run"] == "a").sum() == 4032  # as many rows as the shorter one has


def test_recordings_and_descriptors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    recorded = listened(tmp_path)["recordings"]["01"]
    for changes, message in (
        ({"start_event": "story"}, "did you mean 'story_onset'"),
        ({"sfreq_hz": 500.0}, "resample_hz of 256 at most"),
        ({"sfreq_hz": None, "tr_s": 2.0}, "take sfreq_hz"),
    ):
        refused(message, lambda of=changes: read_continuous(told(tmp_path, **recorded | of), "01"))
    for recorded, message in (
        ({"sfreq_hz": 10.0}, "give tr_s .* or sfreq_hz"),
        ({"files": {"a": "a.npy", "b": "b.nii", "c": "c.nii"}}, "volumes with a mask, or"),
        ({"files": "preprocessed/*.hf5"}, "no file fits preprocessed"),
        ({"files": "*/UTS03/*.hf5"}, "has not one . in the name"),
        ({"files": "derivative/UTS03"}, "has not one . in the name"),
        ({"sfreq_hz": 50.0, "tr_s": None}, "hrf: spm is of volumes.* rows are 0.02 s apart"),
    ):
        content = described(tmp_path, **recorded) | {"continuous": {"hrf": "spm"}}
        refused(message, load_descriptor, write_yaml(tmp_path / "story.yaml", content))
    path = write_yaml(tmp_path / "story.yaml", described(tmp_path) | {"splits": {"s": {"share": 0.2}}})
    refused("whole runs are left out", load_descriptor, path)


def test_check_finds_events_and_places_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["results"])
    assert not audit_study(told(tmp_path, space="MNI152")).errors
    write_yaml(tmp_path / "story.yaml", described(tmp_path, space="MNI152") | {"continuous": {"hrf": "spm"}})
    config = configured(tmp_path).model_dump(mode="json") | {"encode": {"n_components": 3}}
    refused("three copies of a feature would mix", load_descriptors, parse(Config, config, "t"))
    for spoil, message in (
        (lambda words, places: words.pop("onset_s"), "no column 'onset_s'"),
        (lambda words, places: words.insert(0, "stimulus_id", "word"), "ids are there twice"),
        (lambda words, places: words.loc.__setitem__((0, "text"), "a\tb"), "quotation mark"),
        (lambda words, places: places.__setitem__("x_mm", 10 * places["x_mm"]), r"100% .* \(x -280 to -160"),
    ):
        tables = {name: pd.read_csv(folder / f"{name}.tsv", sep="\t") for name in ("words", "targets")}
        spoil(*tables.values())
        for name, table in tables.items():
            table.to_csv(tmp_path / f"{name}.tsv", sep="\t", index=False)
        problems = "\n".join(map(str, audit_study(load_descriptor(tmp_path / "story.yaml")).errors))
        assert re.search(message, problems), problems
    config = configured(folder).model_dump(mode="json") | {"models": {"net": {"extractor": "efficientnet"}}}
    refused("words.tsv has no column path", load_descriptors, parse(Config, config, "t"))


SHAPE, AFFINE = (5, 4, 3), np.diag([4.0, 4.0, 4.0, 1.0])
MODELS = ("language", "event rate", "all")


@pytest.fixture
def subjects(tmp_path: Path) -> list[str]:
    rng, names, ijk = np.random.default_rng(4), [f"0{k}" for k in range(1, 8)], np.argwhere(np.ones(SHAPE))
    every = pd.DataFrame(ijk, columns=["i", "j", "k"]).assign(target_id=[f"voxel-{i}-{j}-{k}" for i, j, k in ijk])
    every[["x_mm", "y_mm", "z_mm"]] = ijk * 4.0
    every = every.assign(kind="voxel", hemi="", roi=[[] for _ in ijk])
    every.attrs["space"] = {"name": "MNI152", "shape": list(SHAPE), "affine": AFFINE.tolist()}
    for k, name in enumerate(names):
        targets = every.drop(index=k).reset_index(drop=True)  # another voxel is lost in each
        n = len(targets)
        trials = pd.DataFrame({"trial_id": ["a", "b"], "stimulus_id": ["a", "b"], "onset_s": [0.0, 2.0]})
        trials, patch = trials.assign(session="", run="1", repeat=1), (targets["i"] >= 3).to_numpy()
        told = {"p": rng.uniform(size=n), "p_fwer": 1.0}
        found = [targets[["target_id"]].assign(model=model, r=rng.normal(0, 0.05, n), **told) for model in MODELS]
        found[0] = found[0].assign(r=found[0]["r"] + 0.3 * patch, p_fwer=np.where(patch & (k != 5), 0.01, 1))
        contents = {"responses": Responses(rng.normal(size=(2, n)).astype(np.float32), trials, targets, "z")}
        contents |= {"runtargets": pd.concat(found), "rununiques": found[0].rename(columns={"r": "unique"})}
        scores = pd.DataFrame({"model": MODELS, "kind": ["model", "control", "joint"]})
        about = {"layer": "", "region": "all targets", "test_set": "", "ceiling": np.nan, "low": np.nan, "high": np.nan}
        contents["runscores"] = scores.assign(**about, r=[float(part["r"].mean()) for part in found])
        for suffix, content in contents.items():
            put(tmp_path, suffix, name, content)
    return names


def put(folder: Path, suffix: str, subject: str, content: Any, **fit: str) -> None:
    save(artifact_path(folder, "story", suffix, subject=subject, **fit), content, Provenance("test", {}, 0))


def summarized(folder: Path, names: list[str], spaces: dict[str, str], **settings: Any) -> Path:
    suffixes = ["runscores", "runtargets", "rununiques"]
    if "fits" in settings:
        suffixes = ["summary"] + ["splits"] * ("held_out" in settings)
    suffixes.append("responses")
    inputs = {suffix: [artifact_path(folder, "story", suffix, subject=name) for name in names] for suffix in suffixes}
    for model, method in settings.get("fits", ()):
        scores = [artifact_path(folder, "story", "scores", subject=name, model=model, method=method) for name in names]
        inputs["scores"] = inputs.get("scores", []) + scores
    outputs = {name: artifact_path(folder, "story", name) for name in ("groupscores", "grouptargets", "groupmaps")}
    assert run_step("map_subjects", {"spaces": spaces, **settings}, inputs=inputs, outputs=outputs) == 0
    return outputs["groupmaps"]


def test_a_patch_that_subjects_share_is_in_the_map_over_them(tmp_path: Path, subjects: list[str]) -> None:
    path = summarized(tmp_path, subjects, dict.fromkeys(subjects[:6], "MNI152") | {"07": ""})
    table = pd.read_parquet(path)
    assert set(table["n_subjects"]) == {6}
    assert len(set(table["target_id"])) == np.prod(SHAPE) - 6  # what every one of the six has
    told = json.loads(sidecar_path(path).read_text())["details"]
    image = nibabel.load(path.with_name(f"{path.stem}_statmap.nii.gz"))
    volume = image.get_fdata()[..., told["maps"].index("mean r, language")]
    assert np.nanmin(volume[3:]) > 0.2 > 0.1 > np.nanmax(volume[:3])
    language = table[(table["model"] == "language") & (table["quantity"] == "r")].set_index("target_id")
    patch = language.index.str.slice(6, 7).astype(int) >= 3
    assert (language.loc[patch, "p_fwer"] <= 2 / 64).all()
    assert (language.loc[~patch, "p_fwer"] > 0.05).all()
    tables = {name: artifact_path(tmp_path, "story", name) for name in ("groupscores", "grouptargets")}
    tables = {name: pd.read_parquet(place) for name, place in tables.items()} | {"groupmaps": table}
    study: Any = SimpleNamespace(recordings=dict.fromkeys(subjects), notes=())
    read: Any = SimpleNamespace(random=False, extractor="table")
    encode = SimpleNamespace(of=lambda kind: SimpleNamespace(null_draws=0))
    models = {"models": {"language": read}, "models_of": lambda dataset: ["language"]}
    config: Any = SimpleNamespace(**models, encode=encode, confidence=0.95)
    page = group_of_runs_chapter(StudyMaterial(config, "story", study, "", tables=tables))
    (maps,) = [section for section in page.sections if section.title == "Maps over subjects"]
    assert all('class="volume"' in panel.html for panel in maps.panels)  # can be sliced
    found = page.findings[0]
    assert f"over 6 subjects in one space; {patch.sum()} of 54 shared targets are predicted over subjects" in found


@pytest.mark.parametrize("chosen", [True, False])
def test_subjects_who_saw_images_have_the_same_map(tmp_path: Path, subjects: list[str], chosen: bool) -> None:
    """Scores of a fit per model, of two layers, are those of runs: of the chosen layer, or else over both."""
    early, late = (0.9, 0.0) if chosen else (0.04, -0.04)
    fits = [("language", "ridge"), ("language", "banded")]
    rows = [(*fit, layer, layer == "late") for fit in fits for layer in ("early", "late")]
    summary = pd.DataFrame(rows, columns=["model", "method", "layer", "chosen"])
    for name in subjects:
        table = pd.read_parquet(artifact_path(tmp_path, "story", "runtargets", subject=name))
        of = table[table["model"] == "language"].drop(columns="model").assign(split="test", layer="late")
        content = pd.concat([of.assign(layer="early", r=of["r"] + early), of.assign(r=of["r"] + late)])
        for model, method in fits:
            put(tmp_path, "scores", name, content, model=model, method=method)
        put(tmp_path, "summary", name, summary if chosen else summary.drop(columns="chosen"))
    spaces = dict.fromkeys(subjects[:6], "MNI152") | {"07": ""}
    expected = pd.read_parquet(summarized(tmp_path, subjects, spaces)).query("model == 'language' and quantity == 'r'")
    found = pd.read_parquet(summarized(tmp_path, subjects, spaces, fits=fits))
    for name in ("language (ridge)", "language (banded)"):
        mine = found[found["model"] == name].assign(model="language").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, expected.reset_index(drop=True))


def test_a_weak_effect_over_images_held_out_is_found_and_nothing_else(tmp_path: Path, subjects: list[str]) -> None:
    """Of images that all saw and answered alike. Eight models know nothing, and predict the same for everybody."""
    rng, ids, models = np.random.default_rng(9), [f"{k}" for k in range(61)], [f"nothing{k}" for k in range(8)]
    every = [f"voxel-{i}-{j}-{k}" for i, j, k in np.ndindex(SHAPE)]
    common, *known = (pd.DataFrame(rng.normal(size=(60, len(every))), columns=every) for _ in range(10))
    trials = pd.DataFrame({"trial_id": ids, "stimulus_id": ids, "onset_s": 0.0, "session": "", "run": "1", "repeat": 1})
    for name in subjects:
        targets = load(artifact_path(tmp_path, "story", "responses", subject=name), Responses).targets
        own = (0.5 * common + 0.3 * known[-1] + rng.normal(size=common.shape))[targets["target_id"]].to_numpy("f4")
        put(tmp_path, "responses", name, Responses(np.vstack([own, own[:1]]), trials, targets, "z"))
        put(tmp_path, "splits", name, trials.assign(name="", fold=0, split=["test"] * 60 + ["train"], group=ids))
        put(tmp_path, "summary", name, pd.DataFrame({"model": models}))
        for model, of in zip([*models, "little"], known, strict=True):
            predicted = of[targets["target_id"]].to_numpy()
            told = {"r": pearson(predicted, own), "p": permuted_correlations(predicted, own, 200, 0).p, "p_fwer": 1.0}
            table = targets[["target_id"]].assign(split="test", layer="one", **told)
            put(tmp_path, "scores", name, table, model=model, method="m")
    fits, spaces = [(model, "m") for model in (*models, "little")], dict.fromkeys(subjects, "A")
    table = pd.read_parquet(summarized(tmp_path, subjects, spaces, fits=fits, held_out=True)).set_index("model")
    assert (table.loc[models, "p"] < 0.05).mean() <= 0.06
    assert table.loc[models, "p_fwer"].min() > 0.05
    assert (table.loc["little", "p"] < 0.05).mean() > 0.9


def test_accidents_of_stimuli_that_all_saw_are_in_no_map(tmp_path: Path, subjects: list[str]) -> None:
    """Forty models that know nothing: flips of signs alone called all of them."""
    rng, every = np.random.default_rng(8), [f"voxel-{i}-{j}-{k}" for i, j, k in np.ndindex(SHAPE)]
    shared = pd.DataFrame(np.sqrt(0.7) * rng.normal(size=(len(every), 40)), every)
    for name in subjects:
        path = artifact_path(tmp_path, "story", "runtargets", subject=name)
        own = shared.loc[pd.read_parquet(path)["target_id"].unique()]
        table = (own + np.sqrt(0.3) * rng.normal(size=own.shape)).reset_index(names="target_id")
        table = table.melt("target_id", var_name="model", value_name="z").astype({"model": str})
        p = ndtr(-table["z"])
        save(path, table.assign(r=table["z"] / 10, p=p, p_fwer=1 - (1 - p) ** len(own)), Provenance("test", {}, 0))
    found = pd.read_parquet(summarized(tmp_path, subjects, dict.fromkeys(subjects, "MNI152"))).query("quantity == 'r'")
    assert (found["p_fwer"] < 0.05).groupby(found["model"]).any().mean() <= 0.05
    assert (found["p"] < 0.05).mean() <= 0.06


def test_few_subjects_have_a_map_but_no_test(tmp_path: Path, subjects: list[str]) -> None:
    path = summarized(tmp_path, subjects, dict.fromkeys(subjects, "") | dict.fromkeys(subjects[:4], "MNI152"))
    table = pd.read_parquet(path)
    assert table[["t", "p", "p_fwer"]].isna().all(axis=None)
    assert table["mean"].notna().all()
    assert "fewer than 5 subjects: maps are descriptive" in sidecar_path(path).read_text()
    assert pd.read_parquet(summarized(tmp_path, subjects, dict.fromkeys(subjects, ""))).empty
