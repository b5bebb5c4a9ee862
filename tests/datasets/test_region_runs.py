import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from refusals import refused

from brainalign.datasets import audit_study, detrended
from brainalign.datasets.formats import check_sides, read_region_runs
from brainalign.simulation import roi_lagged, roi_series
from brainalign.study import SeriesWorld, load_descriptor

N_REGIONS = 5


def write(folder: Path, **changes: object) -> Path:
    """Write four runs of two people, one longer than the others, and their descriptor."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, rows = np.random.default_rng(0), []
    for k, (subject, task) in enumerate([("01", "rest"), ("01", "film"), ("02", "rest"), ("02", "film")]):
        values = rng.normal(size=(44 if k == 2 else 40, N_REGIONS)) + 0.1 * np.arange(44 if k == 2 else 40)[:, None]
        if k % 2:
            pd.DataFrame(values, columns=[f"r{i}" for i in range(N_REGIONS)]).to_csv(folder / f"{k}.csv", index=False)
        else:
            np.save(folder / f"{k}.npy", values)
        rows.append((subject, f"{k}.csv" if k % 2 else f"{k}.npy", task, str(20 + 5 * (k // 2))))
    pd.DataFrame(rows, columns=["subject", "path", "task", "age"]).to_csv(folder / "people.tsv", sep="\t", index=False)
    table = pd.DataFrame({"region_id": [f"r{i}" for i in range(N_REGIONS)], "network": list("aabbb")})
    table.to_csv(folder / "regions.tsv", sep="\t", index=False)
    files = {"format": "series", "people": "people.tsv", "regions": "regions.tsv", "tr_s": 0.72}
    files |= {"labels": ["age", "task"]} | changes
    path = folder / "rest.yaml"
    path.write_text(yaml.safe_dump({"name": "rest", "recordings": {"all": files}}))
    return path


def read(path: Path):
    return read_region_runs(load_descriptor(path))


def without_names(folder: Path) -> None:
    for k in (1, 3):
        np.save(folder / f"{k}.npy", pd.read_csv(folder / f"{k}.csv").to_numpy())
    people = pd.read_csv(folder / "people.tsv", sep="\t", dtype=str)
    people["path"] = people["path"].str.replace("csv", "npy")
    people.to_csv(folder / "people.tsv", sep="\t", index=False)


def test_runs_are_detrended_and_people_and_regions_tabled(tmp_path: Path) -> None:
    """Whole tables: runs numbered by person, labels kept and nothing else; regions with and without their file."""
    path = write(tmp_path, labels=["task"])
    without_names(tmp_path)
    study = read(path)
    expected = pd.DataFrame({"subject": ["01", "01", "02", "02"], "run": ["1", "2"] * 2, "split": ""})
    pd.testing.assert_frame_equal(study.people, expected.assign(n_frames=[40, 40, 44, 40], task=["rest", "film"] * 2))
    assert study.regions.to_dict("list") == {"region_id": [f"r{k}" for k in range(5)], "network": list("aabbb")}
    assert (study.dropped, study.tr_s, study.series.shape) == ([], 0.72, (4, 40, N_REGIONS))
    for k, values in enumerate(study.series):
        raw, line = np.load(tmp_path / f"{k}.npy")[:40], np.column_stack([np.ones(40), np.arange(40)])
        left = raw - line @ np.linalg.lstsq(line, raw, rcond=None)[0]
        np.testing.assert_allclose(values, left / left.std(axis=0), atol=1e-5)
    path = write(tmp_path / "bare", regions=None)
    without_names(tmp_path / "bare")
    bare = read(path)
    assert bare.regions.to_dict("list") == {"region_id": [f"region-{k}" for k in range(1, 6)], "network": ["all"] * 5}
    named = tmp_path / "named"
    path, people = write(named, labels=[]), pd.read_csv(named / "people.tsv", sep="\t", dtype=str)
    people.iloc[[1, 3]].assign(subject=["01", "02"]).to_csv(named / "people.tsv", sep="\t", index=False)
    table = pd.read_csv(named / "regions.tsv", sep="\t").iloc[::-1]
    table.to_csv(named / "regions.tsv", sep="\t", index=False)  # by name, whatever their order
    assert read(path).regions.to_dict("list") == {"region_id": [f"r{k}" for k in range(5)], "network": list("aabbb")}
    table[:-1].to_csv(named / "regions.tsv", sep="\t", index=False)
    refused(r"regions.tsv: no network of 1 of 5 regions \(r0\); add them", read, path)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    refused("names other regions", read, write(tmp_path / "mixed"))
    folder = tmp_path / "bad"
    path = write(folder)
    without_names(folder)
    values = np.load(folder / "0.npy")
    np.save(folder / "0.npy", values[:, :4])
    refused("4, 5 regions", read, path)
    values[3, 2] = np.nan
    np.save(folder / "0.npy", values)
    refused("subject 01, run 1", read, path)
    values[:, 2] = 7.0
    np.save(folder / "0.npy", values)
    refused("constant", read, path)
    np.save(folder / "0.npy", values[:12])
    refused("12 frames", read, path)
    refused("did you mean 'age'", read, write(folder, labels=["agee"]))
    refused("tr_s is not given", load_descriptor, write(tmp_path, tr_s=None))
    refused("belong together", load_descriptor, write(tmp_path, derivatives="out"))
    path = write(tmp_path)
    path.write_text(path.read_text() + "simulate: {world: roi_series}\n")
    refused("one of them: roi_series is a world with its own", load_descriptor, path)


def test_runs_and_derivatives_are_inputs(tmp_path: Path) -> None:
    """A rule that declares them runs again when a run was written again."""
    path, tables = write(tmp_path), {"people.tsv", "regions.tsv"}
    assert {file.name for file in load_descriptor(path).inputs()} == tables | {"0.npy", "1.csv", "2.npy", "3.csv"}
    (tmp_path / "2.npy").unlink()  # left to the stage, which names it
    assert {file.name for file in load_descriptor(path).inputs()} == tables | {"0.npy", "1.csv", "3.csv"}
    stem = "sub-01_task-rest"
    series = [f"{stem}_desc-preproc_bold.nii.gz", f"{stem}_desc-preproc_bold.json", f"{stem}_desc-brain_mask.nii.gz"]
    named = [*series, f"{stem}_desc-confounds_timeseries.tsv"]
    func = tmp_path / "out" / "sub-01" / "ses-1" / "func"
    func.mkdir(parents=True)
    for file in (*(func / name for name in named), tmp_path / "out" / "task-rest_bold.json", tmp_path / "atlas.nii.gz"):
        file.touch()
    scanned = {"regions": None, "tr_s": None, "derivatives": "out", "scans": {"atlas": "atlas.nii.gz"}}
    found = load_descriptor(write(tmp_path, **scanned)).inputs()
    assert {file.name for file in found} == {"people.tsv", "atlas.nii.gz", "task-rest_bold.json", *named}


def test_sides_that_stop_decoding_are_found_by_check(tmp_path: Path) -> None:
    path = write(tmp_path)
    without_names(tmp_path)
    assert audit_study(load_descriptor(path)).errors == []
    people = pd.read_csv(tmp_path / "people.tsv", sep="\t", dtype=str)
    for subjects, split, message in (
        (["a", "a", "b", "b"], ["train", "test", "test", "test"], "1 subjects are in both train and test (a)"),
        (["a", "a", "b", "b"], ["train", "train", "", ""], "split is given for some runs only"),
        (["a", "a", "b", "b"], ["train"] * 4, "0 of 4 runs are tested; both sides need some"),
        (["a"] * 4, [""] * 4, "all runs are of one subject"),
    ):
        people.assign(subject=subjects, split=split).to_csv(tmp_path / "people.tsv", sep="\t", index=False)
        assert [message in str(problem) for problem in audit_study(load_descriptor(path)).errors] == [True]
        if "both train and test" in message:
            sides = pd.DataFrame({"subject": subjects, "split": split})
            refused(re.escape(message), check_sides, sides)
            check_sides(sides.assign(split=["train", "train", "test", "test"]))


@pytest.mark.parametrize("world", [{"state_strength": 0.5, "state_frames": 80}, {}, {"world": "roi_lagged"}])
def test_a_simulated_study_says_what_it_knows_of_people(world: dict[str, object]) -> None:
    from brainalign.pipelines.prepare.prepare_series import simulated

    small = SeriesWorld(n_subjects=8, n_frames=170, regions_per_network=2, seed=3, **world)
    found, sizes = simulated(small), (8, 170, 2)
    assert set(small.known) == set(found.people) - {"subject", "run", "split", "n_frames"}
    states = {"state_strength": small.state_strength, "state_frames": small.state_frames}
    made = roi_lagged(*sizes, seed=3) if "world" in world else roi_series(*sizes, **states, seed=3)
    length, n = (80, 2) if "state" in small.known else (170, 1)  # stretches of one state, the rest left out
    cut = [(person, k * length) for person in range(8) for k in range(n)]
    expected = [detrended(made.series[person, at : at + length]) for person, at in cut]
    np.testing.assert_array_equal(found.series, expected)
    assert found.people["subject"].tolist() == [made.subjects["subject"].iloc[person] for person, _ in cut]
    assert (found.people["run"].tolist(), set(found.people["n_frames"])) == (["1", "2"][:n] * 8, {length})
    assert set(found.people["split"]) == {""}
    if n == 2:
        assert found.people["state"].tolist() == ["on" if made.states[person, at] == 1 else "off" for person, at in cut]
    assert (found.tr_s, found.dropped) == (0.72, [])
    pd.testing.assert_frame_equal(found.regions, made.regions[["region_id", "network"]])
    assert SeriesWorld(labels=small.known, **world).labels == small.known
    with pytest.raises(ValueError, match=r"labels: the simulated study has no 'age'; it has "):
        SeriesWorld(labels=["age"], **world)


def test_a_constant_region_is_found_after_its_trend_is_gone() -> None:
    values = np.random.default_rng(0).normal(size=(30, 3))
    assert detrended(values).std(axis=0) == pytest.approx(1, abs=1e-5)
    values[:, 1] = np.linspace(0, 1, 30)
    refused("regions 1", detrended, values)
