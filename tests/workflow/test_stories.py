"""A story from fifteen lines to a page: what was planted is found, and what could not be computed is refused."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import h5py
import mne
import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import run_all
from refusals import refused
from worlds.story import configured, described, write_release

from brainalign.cli import main
from brainalign.config import Config, load_descriptors
from brainalign.datasets import audit_study, read_continuous, read_events
from brainalign.encoding import mean_over_runs
from brainalign.io import artifact_path, sidecar_path
from brainalign.pipelines.encode import encode_runs
from brainalign.simulation import STORY_GROUPS, story, write_story
from brainalign.statistics import RELIABLE, cross_validated_interval
from brainalign.study import Shape, known_shape, load_descriptor, parse
from brainalign.workflow import report_path

N_VOXELS = 6


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
            assert tested.loc[(model, region), "r"] > 0.25
            assert tested.loc[(model, region), "p"] == 1 / 40
            assert tested.loc[(model, region), "r"] > 3 * tested.loc[(model, region), "null_95"]
        assert tested.loc[(other, model), "r"] < 0.5 * tested.loc[(model, model), "r"]
    controls = tested.loc[["random", "event rate"]]
    assert (controls.loc[controls["n_targets"] == N_VOXELS, "r"].abs() < 0.15).all()
    assert tested.loc[("all", "both"), "r"] > tested.loc[[("language", "both"), ("sound", "both")], "r"].max() + 0.05
    ceilings = pd.read_parquet(artifact_path(config.results, "story", "ceiling", subject="01"))["ceiling"]
    # Half of the variance is planted: of the mean of 2 presentations 2 s / (2 s + n) repeats, of one s / (s + n).
    assert abs(ceilings[: 3 * N_VOXELS].mean() - (2 * 2 / 3 + 3 * 1 / 2) / 5) < 0.07
    assert abs(ceilings[3 * N_VOXELS :].mean()) < 0.2
    shares = pd.read_parquet(artifact_path(config.results, "story", "runshares", subject="01"))
    unique = shares.set_index(["model", "region"])["unique"]
    assert unique[("language", "language")] > 0.15 > 0.05 > abs(unique[("sound", "language")])
    assert min(unique[("language", "both")], unique[("sound", "both")]) > 0.05
    common = unique["language & sound"]  # of correlated features, where both are heard
    assert common["both"] > 0.05 > common[["language", "sound"]].abs().max()
    parts = shares.groupby("region")["unique"].sum()
    np.testing.assert_allclose(parts, shares[shares["model"] == "all"].set_index("region")["product"][parts.index])
    assert not shares["model"].str.contains("random &|& random").any()
    places = pd.read_csv(folder / "targets.tsv", sep="\t")
    read = {
        suffix: pd.read_parquet(artifact_path(config.results, "story", suffix, subject="01"))
        for suffix in ("runtargets", "runfolds", "rundelays", "rununiques")
    }
    stories, models = [f"story{run}" for run in range(1, 6)], ["language", "sound", "random", "event rate"]
    assert read["runfolds"].groupby("model", sort=False)["run"].unique().map(list).to_dict() == dict.fromkeys(
        [*models, "all"], stories
    )
    delays = read["rundelays"].groupby("model", sort=False)["delay_s"].apply(list)
    assert list(delays.index) == models
    assert all(of == [2.0, 4.0, 6.0, 8.0] for of in delays)
    assert set(scores.loc[scores["kind"] == "layer", "model"]) == set(models[:3])
    kinds = tested.reset_index().drop_duplicates("model").set_index("model")["kind"].to_dict()
    assert kinds == dict.fromkeys(models[:3], "model") | {"event rate": "control", "all": "joint"}
    for (model, region), row in tested.iterrows():
        inside = places.loc[places["roi"] == region, "target_id"].tolist()
        if len(inside) == row["n_targets"]:  # of a region of which all targets repeat
            rows = read["runtargets"].set_index(["model", "target_id"]).loc[[(model, name) for name in inside]]
            assert rows["r"].mean() == pytest.approx(row["r"])
            assert (rows["p_fwer"] < 0.05).mean() == row["share"]
            assert (rows["p"] <= rows["p_fwer"]).all()
            assert np.sqrt(rows["ceiling"].clip(lower=0)).mean() == pytest.approx(row["ceiling"])
            assert np.isnan(row["low"])  # five runs are too few for an interval
            if model in models:
                added = read["rununiques"].set_index(["model", "target_id"]).loc[rows.index]
                assert added["unique"].mean() == pytest.approx(unique[model, region], abs=1e-6)
                assert (added["p"] <= added["p_fwer"]).all()
    for suffix, column in (("runtargets", "r"), ("rununiques", "unique")):
        path = artifact_path(config.results, "story", suffix, subject="01")
        written = nibabel.load(path.with_name(f"{path.stem}_statmap.nii.gz"))
        rows = pd.read_parquet(path)
        models = json.loads(sidecar_path(path).read_text())["details"]["maps"]
        heard = models.index(f"{'r' if column == 'r' else 'unique R²'}, language")
        volume = written.get_fdata()[..., heard][tuple(places[["i", "j", "k"]].to_numpy().T)]
        np.testing.assert_allclose(volume, rows.loc[rows["model"] == "language", column], atol=1e-6)
        assert volume[places["roi"] == "language"].min() > volume[places["roi"] == "sound"].max()
        np.testing.assert_allclose(written.affine @ [1, 2, 0, 1], [-24, -92, -8, 1], atol=1e-6)
    page = re.sub(r"\s+", " ", report_path(config.results, "story", "01").read_text())
    assert "language: language predicts the runs left out" in page
    assert "2 of them were presented more than once" in page
    assert "shifted circularly by 30 s or more, and refitted (39 times)" in page
    assert "at delays of 2, 4, 6, 8 s" in page
    maps = ("runmap", "glassbrain", "projection")
    for figure in (*maps, "uniquemap-language", "uniquemap-sound", "uniquemap-language-sound"):
        assert f'id="figure-{figure}"' in page


@pytest.mark.parametrize(
    ("ceiling", "expected"),
    [
        ([0.5, 0.1, 0.3, 0.6, 0.2], {RELIABLE: [0, 2, 3], "a": [0], "b": [2]}),
        ([0.5, np.nan, np.nan, np.nan, 0.3], {RELIABLE: [0, 4], "a": [0], "c": [4]}),
        ([np.nan] * 5, {encode_runs.EVERYWHERE: [0, 1, 2, 3, 4], "a": [0, 1], "b": [1, 2], "c": [4]}),
        ([0.3] * 5, {encode_runs.EVERYWHERE: [0, 1, 2, 3, 4], "a": [0, 1], "b": [1, 2], "c": [4]}),
        ([0.1] * 5, {encode_runs.EVERYWHERE: [0, 1, 2, 3, 4]}),
    ],
)
def test_regions_are_of_targets_that_repeat(ceiling: list[float], expected: dict[str, list[int]]) -> None:
    targets = pd.DataFrame({"roi": [["a"], ["a", "b"], ["b"], [], ["c"]]})
    found = encode_runs._regions(targets, np.array(ceiling), 0.2)
    assert {name: rows.tolist() for name, rows in found.items()} == expected


def against(mean: float, null: np.ndarray) -> dict[str, float]:
    return {"null_mean": null.mean(), "null_95": np.quantile(null, 0.95), "p": (1 + (null >= mean).sum()) / 40}


@pytest.mark.parametrize("n_runs", [5, 6])  # too few for an interval, and enough
def test_rows_of_scores_and_shares(n_runs: int) -> None:
    """Every number of both tables by its definition."""
    rng, regions = np.random.default_rng(0), {"one": np.array([0]), "two": np.array([1, 2])}
    r, null = rng.uniform(-0.2, 0.6, (n_runs, 3)), 0.2 * rng.normal(size=(39, 3))
    ceiling, mean = np.array([0.25, 0.36, -0.1]), mean_over_runs(r)
    corrected = (1 + (null.max(axis=1)[:, None] >= mean).sum(axis=0)) / 40

    def interval(of_runs: np.ndarray) -> dict[str, float]:
        if n_runs == 5:
            return {"low": np.nan, "high": np.nan}
        found = cross_validated_interval(of_runs, 0.2, 0.9)
        return {"low": found.low, "high": found.high}

    expected = []
    for name, rows in regions.items():
        row = {"model": "m", "layer": "l", "kind": "k", "region": name, "n_targets": len(rows), "r": mean[rows].mean()}
        row |= {"ceiling": {"one": 0.5, "two": 0.3}[name]} | interval(r[:, rows].mean(axis=1))
        row |= {"share": (corrected[rows] < 0.05).mean()}
        expected.append(row | against(row["r"], null[:, rows].mean(axis=1)))
    found = encode_runs._score_rows("m", "l", "k", r, ceiling, regions, null, 0.2, 0.9)
    pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(expected), check_like=True)
    plain = pd.DataFrame(encode_runs._score_rows("m", "l", "k", r, ceiling, regions))
    assert plain[["low", "high", "null_mean", "null_95", "p", "share"]].isna().all(axis=None)
    np.testing.assert_allclose(plain["r"], [row["r"] for row in expected])
    r2, split = rng.random((n_runs, 3)), {name: rng.random((n_runs, 3)) for name in "ab"}
    common = {name: rng.random((n_runs, 3)) for name in ("a", "b", "a & b")}
    nulls = {name: rng.random((39, 3)) for name in "ab"}
    expected = []
    for name, rows in regions.items():
        expected.append({"model": "all", "region": name, "product": r2[:, rows].mean()})
        for model, part in common.items():
            row = {"model": model, "region": name, "unique": part[:, rows].mean()}
            row |= interval(part[:, rows].mean(axis=1))
            if model in split:
                row |= {"product": split[model][:, rows].mean()}
                row |= against(row["unique"], nulls[model][:, rows].mean(axis=1))
            expected.append(row)
        told = sum(part[:, rows].mean() for part in common.values())
        expected.append({"model": "shared", "region": name, "unique": r2[:, rows].mean() - told})
    shares = encode_runs._share_rows(r2, split, common, nulls, regions, 0.2, 0.9)
    pd.testing.assert_frame_equal(pd.DataFrame(shares), pd.DataFrame(expected), check_like=True)


def test_what_others_share_predicts_a_subject(folder: Path, tmp_path: Path) -> None:
    """Three share a space and what they hear, of whom one lacks a target; the fourth lies in a space of its own."""
    rng, names, kept = np.random.default_rng(3), np.array(["v0", "v1", "v2"]), {"02": [0, 2]}
    common, recordings = rng.normal(size=(3, 75, 3)).cumsum(axis=1), {}
    for subject in ("01", "02", "03", "own"):
        targets = kept.get(subject, [0, 1, 2])
        for run, values in enumerate(common + 3 * rng.normal(size=common.shape) * [0, 1, 1]):
            np.save(tmp_path / f"{subject}_{run}.npy", values[:, targets])
        pd.DataFrame({"target_id": names[targets]}).to_csv(tmp_path / f"{subject}.tsv", sep="\t", index=False)
        files = {f"story{run + 1}": f"{subject}_{run}.npy" for run in range(3)}
        recordings[subject] = {"format": "runs", "tr_s": 2.0, "targets": f"{subject}.tsv", "files": files}
        recordings[subject] |= {"space": "scanner" if subject == "own" else "parcels"}
    for name in ("words.tsv", "language.npy", "sound.npy"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    content = {"name": "story", "stimuli": "words.tsv", "recordings": recordings, "splits": {"s": {"leave_out": "run"}}}
    (tmp_path / "story.yaml").write_text(yaml.safe_dump(content))
    config = configured(tmp_path)
    run_all(config, "prepare_events", "prepare_runs", "correlate_subjects")
    path = partial(artifact_path, config.results, "story", "intersubject")
    table = {subject: pd.read_parquet(path(subject=subject)).set_index("target_id") for subject in ("01", "02", "03")}
    assert not path(subject="own").exists()
    study = load_descriptor(tmp_path / "story.yaml")
    values = {name: read_continuous(study, name).responses.values.reshape(3, 60, -1) for name in table}
    mean = (values["02"][..., 1] + values["03"][..., 2]) / 2
    by_run = [np.corrcoef(own, others)[0, 1] for own, others in zip(values["01"][..., 2], mean, strict=True)]
    assert table["01"].loc["v2", "r"] == pytest.approx(np.tanh(np.arctanh(by_run).mean()), abs=1e-5)
    assert table["01"]["n_others"].to_dict() == {"v0": 2, "v1": 1, "v2": 2}
    assert list(table["02"].index) == ["v0", "v2"]
    assert all(of.loc["v0", "r"] > 0.99 > 0.9 > of.loc["v2", "r"] for of in table.values())


def test_a_set_never_trained_on_stands_beside_the_rest(folder: Path, tmp_path: Path) -> None:
    """One set holds what was planted, the other responses to something else."""
    for file in folder.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    strange = np.random.default_rng(0).normal(size=(75, 4 * N_VOXELS))
    np.save(tmp_path / "story5.npy", strange)
    content = described(tmp_path)
    content["continuous"] = {"test_sets": {"alike": ["story4"], "strange": ["story5"]}}
    (tmp_path / "story.yaml").write_text(yaml.safe_dump(content))
    config = configured(tmp_path)
    run_all(config)
    scores = pd.read_parquet(artifact_path(config.results, "story", "runscores", subject="01"))
    r = scores[scores["region"] == "sound"].set_index(["test_set", "kind", "model"])["r"]
    assert min(r["", "model", "sound"], r["alike", "model", "sound"]) > 0.2 > 0.1 > abs(r["strange", "model", "sound"])
    assert (scores[scores["kind"] == "layer"]["test_set"] == "").all()
    page = re.sub(r"\s+", " ", report_path(config.results, "story", "01").read_text())
    assert "Test set alike, never trained on, all targets: language r = " in page
    assert all(f'id="figure-testset-{name}"' in page for name in ("alike", "strange"))
    assert "predicted from all others: alike: story4; strange: story5." in page


def test_volumes_and_tables_hold_the_same(folder: Path, tmp_path: Path) -> None:
    """The same numbers in a mask, in a .npy: the same responses; volumes know where they lie."""
    inside = np.zeros((4, 3, 4), dtype=bool)
    inside.flat[: len(STORY_GROUPS) * N_VOXELS] = True
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(inside.astype(np.uint8), affine), tmp_path / "mask.nii.gz")
    for run in range(5):
        values = np.load(folder / f"story{run + 1}.npy")
        volumes = np.zeros((*inside.shape, len(values)), dtype=np.float32)
        volumes[inside] = values.T
        image = nibabel.Nifti1Image(volumes, affine)
        image.header.set_zooms((3, 3, 3, 2.0))
        nibabel.save(image, tmp_path / f"story{run + 1}.nii.gz")
        np.save(tmp_path / f"story{run + 1}.npy", values)
    for name in ("words.tsv", "targets.tsv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    described(tmp_path)
    tables = read_continuous(load_descriptor(tmp_path / "story.yaml"), "01").responses
    size = known_shape(load_descriptor(tmp_path / "story.yaml"))
    files = {f"story{run + 1}": f"story{run + 1}.nii.gz" for run in range(5)}
    described(tmp_path, files=files, mask="mask.nii.gz", targets=None)
    volumes = read_continuous(load_descriptor(tmp_path / "story.yaml"), "01").responses
    np.testing.assert_array_equal(volumes.values, tables.values)
    assert size == known_shape(load_descriptor(tmp_path / "story.yaml")) == Shape(runs=5, trials=375, targets=24)
    assert tables.trials["onset_s"].iloc[0] == 21.0  # the first 20 s are left out; rows stand in the middle
    assert (tables.trials["run"].value_counts() == 60).all()
    np.testing.assert_array_equal(volumes.targets[["i", "j", "k"]], np.argwhere(inside))
    assert volumes.targets.attrs["space"]["shape"] == list(inside.shape)
    described(tmp_path, files=files, mask="mask.nii.gz", targets=None, tr_s=1.5)
    refused(
        "tr_s is 1.5, but the header of bold says 2 s", read_continuous, load_descriptor(tmp_path / "story.yaml"), "01"
    )


def test_drifts_are_removed_and_faster_responses_stay(folder: Path, tmp_path: Path) -> None:
    """Runs and subjects have any name; cosines slower than 0.01 Hz are gone, one at 0.03 Hz is as it was."""
    time = 2.0 * np.arange(175)[:, None]
    fast = np.cos(2 * np.pi * 0.03 * time + np.arange(3))
    for run in ("run-1", "the_end", "x"):
        np.save(tmp_path / f"{run}.npy", 100 + fast + 5 * np.cos(2 * np.pi * 0.003 * time) + 0.01 * time)
    content = described(tmp_path, files={run: f"{run}.npy" for run in ("run-1", "the_end", "x")}, targets=None)
    content["recordings"] = {"sub-01": content["recordings"]["01"]}
    for high_pass, least, most in ((None, 0.98, 1.0), (0.0, 0.0, 0.5)):
        (tmp_path / "story.yaml").write_text(yaml.safe_dump(content | {"continuous": {"high_pass_hz": high_pass}}))
        values = read_continuous(load_descriptor(tmp_path / "story.yaml"), "01").responses.values[:160]
        r = [np.corrcoef(values[:, k], fast[10:170, k])[0, 1] for k in range(3)]
        assert least < min(r)
        assert max(r) < most


def test_a_folder_of_stories_is_described_by_a_pattern(folder: Path, tmp_path: Path) -> None:
    """As OpenNeuro ds003020: rows cut at both ends and z-scored are those of whole runs, at their times."""
    write_release(tmp_path, folder, cut=(10, 5), repeated=("story1", "story2"))
    assert main(["init", str(tmp_path), "--yes"]) == 0
    content = yaml.safe_load((tmp_path / "study.yaml").read_text())
    assert content["recordings"]["01"] == {
        "format": "runs", "files": "derivative/preprocessed_data/UTS03/*.hf5", "key": "data", "tr_s": 2.0,
        "repeats": "individual_repeats",
    }  # fmt: skip
    content["recordings"]["01"]["first_row_s"] = 20
    content["continuous"] = {"trim_s": [0, 0]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    assert main(["check", str(tmp_path / "study.yaml")]) == 0
    study, whole = load_descriptor(tmp_path / "study.yaml"), load_descriptor(folder / "story.yaml")
    read, expected = read_continuous(study, "01"), read_continuous(whole, "01")
    pd.testing.assert_frame_equal(read.responses.trials, expected.responses.trials)
    np.testing.assert_allclose(read.responses.values, expected.responses.values, atol=1e-4)
    np.testing.assert_allclose(read.repeats.values, expected.repeats.values, atol=1e-4)
    assert read.presentations == expected.presentations == {f"story{k}": 1 + (k < 3) for k in range(1, 6)}
    assert known_shape(study) == Shape(runs=5, trials=300, targets=24)
    events, words = read_events(study), read_events(whole)
    assert events["caption"].unique().tolist() == ["word"]
    np.testing.assert_allclose(events["onset_s"], words["onset_s"])


def test_one_file_may_hold_all_runs(folder: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for k in range(1, 6):
            file[f"ses-{k:03d}_task-story{k}"] = np.load(folder / f"story{k}.npy")
    for name in ("targets.tsv", "words.tsv", *(f"story{k}.npy" for k in range(1, 6))):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    described(tmp_path)
    expected = read_continuous(load_descriptor(tmp_path / "story.yaml"), "01").responses
    described(tmp_path, files="all.h5", key="ses-???_task-*")
    study = load_descriptor(tmp_path / "story.yaml")
    np.testing.assert_array_equal(read_continuous(study, "01").responses.values, expected.values)
    assert known_shape(study) == Shape(runs=5, trials=375, targets=24)
    for key, message in (
        ("task*", "key: task. gives no runs of the arrays ses-001_task-story1"),
        ("*_*", "write one ."),
    ):
        described(tmp_path, files="all.h5", key=key)
        refused(message, load_descriptor, tmp_path / "story.yaml")


def listened(folder: Path, **changes: object) -> dict[str, object]:
    """Write three recordings of a story that begins at an event, each in its own way: what Cz to Oz are at any time."""
    rng, sensors = np.random.default_rng(2), ["Cz", "Pz", "Oz"]
    waves = rng.uniform(1, 12, (3, 5)), rng.uniform(0, 6, (3, 5))

    def planted(seconds: np.ndarray) -> np.ndarray:
        return np.cos(2 * np.pi * waves[0][..., None] * seconds + waves[1][..., None]).sum(axis=1)

    for k, offset in enumerate((3.5, 0.25, 7.0), start=1):
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


def test_recordings_of_eeg_begin_with_their_stimulus(tmp_path: Path) -> None:
    content = listened(tmp_path)
    planted = content.pop("planted")
    content["continuous"] = {"raw": {"notch_hz": 50, "band_hz": [0.5, 30]}, "detrend": "none"}
    (tmp_path / "story.yaml").write_text(yaml.safe_dump(content))
    assert main(["check", str(tmp_path / "story.yaml")]) == 0
    read = read_continuous(load_descriptor(tmp_path / "story.yaml"), "01")
    assert read.responses.targets["target_id"].tolist() == ["Cz", "Oz"]  # Pz is bad in one of them
    assert read.n_dropped == 1
    for run, rows in read.responses.trials.groupby("run"):
        onsets = rows["onset_s"].to_numpy()
        np.testing.assert_allclose(onsets, np.arange(len(onsets)) / 64)
        assert len(rows) == {"story1": 4256, "story2": 4464, "story3": 4032}[run]
        inner = (onsets > 3) & (onsets < 57)  # filters ring at the ends
        expected = planted(onsets[inner])[[0, 2]]
        values = read.responses.values[rows.index][inner].T
        assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(values, expected, strict=True)) > 0.995


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_event": "story"}, "0 events are called 'story' .did you mean 'story_onset'"),
        ({"sfreq_hz": 500.0}, "resample_hz of 256 at most"),
        ({"sfreq_hz": None, "tr_s": 2.0}, "recordings of M/EEG take sfreq_hz"),
    ],
)
def test_recordings_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    listened(tmp_path, **changes)
    refused(message, lambda: read_continuous(load_descriptor(tmp_path / "story.yaml"), "01"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": "preprocessed/*.hf5"}, "no file fits preprocessed/.*.hf5 in"),
        ({"files": "*/UTS03/*.hf5"}, "has not one . in the name of the file, which stands for the run"),
        ({"files": "derivative/UTS03"}, "has not one . in the name of the file"),
    ],
)
def test_patterns_that_fit_nothing_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    described(tmp_path, **changes)
    refused(message, load_descriptor, tmp_path / "story.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"splits": {"images": {"share": 0.2}}}, "whole runs are left out; give runs: {leave_out: run}"),
        ({"continuous": {"test_sets": {"ood": ["story9"]}}}, "story9 is in two sets, or no run of a recording"),
        ({"continuous": {"test_sets": {"a": ["story3", "story4", "story5"]}}}, "2 runs to train on; .* takes three or"),
        ({"splits": {"images": {"leave_out": "run", "size": 2}}}, "whole runs are left out; .*or folds"),
        ({"continuous": {"delays_s": [2, 3]}}, "continuous.delays_s: 3 are no multiples of the 2 s between rows"),
        (
            {"continuous": {"high_pass_hz": 0.1}},
            "continuous.high_pass_hz: 0.1 Hz leaves little of rows 2 s apart; .*0.05",
        ),
        ({"recorded": {"sfreq_hz": 10.0}}, "give tr_s .volumes. or sfreq_hz .samples., one of them"),
        (
            {"recorded": {"files": {"story1": "story1.npy", "story2": "story2.npy"}}},
            "2 runs to train on; .* takes three or more",
        ),
        ({"recorded": {"files": {"story1": "story1.npy", "story2": "a.nii", "b": "b.nii"}}}, "volumes with a mask, or"),
    ],
)
def test_descriptors_that_cannot_run_are_refused(
    folder: Path, tmp_path: Path, change: dict[str, dict[str, object]], message: str
) -> None:
    content = described(tmp_path, **change.get("recorded", {}))
    (tmp_path / "story.yaml").write_text(
        yaml.safe_dump(content | {name: value for name, value in change.items() if name != "recorded"})
    )
    refused(message, load_descriptor, tmp_path / "story.yaml")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.rename(columns={"onset_s": "start"}), "no column onset_s"),
        (lambda t: t.assign(onset_s=["soon", *t["onset_s"][1:]]), "onset_s is 'soon' in row 1; give seconds"),
        (lambda t: t.assign(onset_s=1000 * t["onset_s"]), "begin after its end .*in seconds from the start of the run"),
        (lambda t: t.assign(run=t["run"].replace("story2", "story02")), "story2: no event is of such a run"),
        (lambda t: t.assign(stimulus_id="word"), "stimulus ids are there twice"),
        (lambda t: t.assign(text=["a\tb", *t["text"][1:]]), "row 1 has a quotation mark that closes in a later row"),
    ],
)
def test_check_finds_events_that_do_not_fit(folder: Path, tmp_path: Path, spoil, message: str) -> None:
    for file in folder.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    spoil(pd.read_csv(folder / "words.tsv", sep="\t")).to_csv(tmp_path / "words.tsv", sep="\t", index=False)
    described(tmp_path)
    problems = "\n".join(map(str, audit_study(load_descriptor(tmp_path / "story.yaml")).errors))
    assert re.search(message, problems), problems


def test_places_outside_of_the_head_that_the_descriptor_names(folder: Path, tmp_path: Path) -> None:
    for file in folder.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    described(tmp_path, space="MNI152")
    assert not audit_study(load_descriptor(tmp_path / "story.yaml")).errors
    table = pd.read_csv(folder / "targets.tsv", sep="\t")
    table.assign(x_mm=10 * table["x_mm"]).to_csv(tmp_path / "targets.tsv", sep="\t", index=False)
    (problem,) = audit_study(load_descriptor(tmp_path / "story.yaml")).errors
    assert "100% of its targets lie outside of that head (x -280 to -160" in str(problem)
    described(tmp_path, space="scanner")
    assert not audit_study(load_descriptor(tmp_path / "story.yaml")).errors


def test_models_that_cannot_read_events_are_refused(folder: Path) -> None:
    config = configured(folder).model_dump(mode="json") | {"models": {"net": {"extractor": "efficientnet"}}}
    refused(
        "net read a path of every event, but words.tsv has no column path", load_descriptors, parse(Config, config, "t")
    )


@pytest.mark.parametrize(("tr_s", "rows"), [(3.0, [1, 2, 3]), (2.0, [1, 2, 3, 4]), (0.8, [2, 5, 8, 10]), (9.0, [1])])
def test_no_delay_stands_twice_in_the_default(tmp_path: Path, tr_s: float, rows: list[int]) -> None:
    described(tmp_path, tr_s=tr_s)
    study = load_descriptor(tmp_path / "story.yaml")
    assert study.continuous.delays(study.recordings["01"]) == rows
