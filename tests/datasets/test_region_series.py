import json
import re
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from made import write_table, write_yaml
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, LabelAxis, ScalarAxis, SeriesAxis
from refusals import refused

from brainalign.datasets import SeriesFile, audit_study, detrended, find_series, read_region_series
from brainalign.datasets.formats import check_sides, read_region_runs
from brainalign.simulation import roi_lagged, roi_series
from brainalign.study import SeriesWorld, load_descriptor

TR, FRAMES, SHAPE = 0.8, 120, (6, 5, 4)
NUMBERS = (1, 20, 30, 40)  # of the regions in the atlas
NAMES = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]


def drifting(n: int, rng, motion: np.ndarray) -> np.ndarray:
    """Return (frames, n): noise around 500 with a trend, a slow drift, and some of the motion."""
    time = np.arange(FRAMES)[:, None]
    return 500 + (rng.normal(size=(FRAMES, n)) + 0.05 * time + 3 * np.sin(time / 45)) + motion @ rng.normal(size=(6, n))


class Study:
    """Two runs of a subject as fMRIPrep writes them, an atlas of four regions, and what was planted."""

    def __init__(self, folder) -> None:
        self.folder, rng = folder, np.random.default_rng(0)
        self.func = folder / "sub-01" / "func"
        self.func.mkdir(parents=True)
        self.labels = np.zeros(SHAPE, np.int16)
        for k, number in enumerate(NUMBERS):
            self.labels[k + 1, 1:4, 1:3] = number
        self.atlas = folder / "atlas.nii.gz"
        nibabel.save(nibabel.Nifti1Image(self.labels, np.eye(4)), self.atlas)
        self.mask = np.ones(SHAPE, np.uint8)
        self.mask[1, 1, 1] = 0
        self.volumes, self.motion = {}, {}
        for run in ("1", "2"):
            motion = np.cumsum(rng.normal(size=(FRAMES, 6)), axis=0)
            values = drifting(int(np.prod(SHAPE)), rng, motion).T.reshape(*SHAPE, FRAMES).astype(np.float32)
            self.volumes[run], self.motion[run] = values, motion
            self.write(run)

    def stem(self, run) -> str:
        return f"sub-01_task-rest_run-{run}"

    def write(self, run) -> None:
        stem = f"{self.stem(run)}_space-MNI152NLin2009cAsym"
        nibabel.save(nibabel.Nifti1Image(self.volumes[run], np.eye(4)), self.func / f"{stem}_desc-preproc_bold.nii.gz")
        nibabel.save(nibabel.Nifti1Image(self.mask, np.eye(4)), self.func / f"{stem}_desc-brain_mask.nii.gz")
        (self.func / f"{stem}_desc-preproc_bold.json").write_text(json.dumps({"RepetitionTime": TR}))
        table = pd.DataFrame(self.motion[run], columns=NAMES).assign(csf=["n/a"] + ["0.5"] * (FRAMES - 1))
        table.to_csv(self.func / f"{self.stem(run)}_desc-confounds_timeseries.tsv", sep="\t", index=False)

    def files(self, **options):
        return find_series(self.folder, "01", **options)

    def means(self, run) -> np.ndarray:
        inside = [(self.labels == number) & (self.mask > 0) for number in NUMBERS]
        return np.stack([self.volumes[run][part].astype(float).mean(axis=0) for part in inside], axis=1)


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(tmp_path)


def residual(values: np.ndarray, confounds: np.ndarray) -> np.ndarray:
    """Return what a constant, a trend and confounds do not explain, z-scored, by least squares in one step."""
    design = np.column_stack([np.ones(len(values)), np.arange(len(values)), confounds])
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return left / left.std(axis=0, ddof=1)


def test_regions_of_volumes_against_least_squares_and_filtered_by_the_masker(study) -> None:
    read = read_region_series(study.files(), study.atlas, high_pass_hz=None)
    assert read.regions["region_id"].tolist() == [f"region-{number}" for number in NUMBERS]
    assert read.regions["size"].tolist() == [5, 6, 6, 6]  # one voxel lies outside the mask
    assert read.runs["run_id"].tolist() == ["sub-01_ses-1_task-rest_run-1", "sub-01_ses-1_task-rest_run-2"]
    assert (read.runs["tr_s"].tolist(), read.runs["sha256"].nunique()) == ([TR, TR], 2)
    for run, series in zip(("1", "2"), read.series, strict=True):
        # nilearn takes trends out of signals and confounds before it regresses: the same for a trend (Frisch-Waugh).
        np.testing.assert_allclose(series, residual(study.means(run), study.motion[run]), atol=2e-3)
    assert (read.stack().shape, read.stack(50).shape) == ((2, FRAMES, 4), (2, 50, 4))
    refused("121 frames asked for, but run sub-01_ses-1_task-rest_run-1 has 120", read.stack, 121)
    from nilearn.maskers import NiftiLabelsMasker

    (first, _), options = study.files(), {"high_pass": 0.01, "low_pass": 0.2}
    read = read_region_series([first], study.atlas, high_pass_hz=0.01, low_pass_hz=0.2)
    options |= {"detrend": True, "standardize": "zscore_sample", "t_r": TR}
    masker = NiftiLabelsMasker(str(study.atlas), mask_img=str(first.mask), **options)
    expected = masker.fit_transform(str(first.bold), confounds=study.motion["1"])
    np.testing.assert_allclose(read.series[0], expected, atol=1e-4)


def test_confounds_patterns_names_and_settling(study) -> None:
    names = study.folder / "atlas.tsv"
    names.write_text("index\tname\n1\tL_V1\n20\tR_V1\n30\tthalamus\n40\tR_PFC\n")
    read = read_region_series(study.files(), study.atlas, names=names, confounds=["trans_*", "csf"], skip_frames=20)
    assert read.regions["region_id"].tolist() == ["L_V1", "R_V1", "thalamus", "R_PFC"]
    assert (read.regions["hemi"].tolist(), read.series[0].shape) == (["L", "R", "", "R"], (100, 4))
    late = read_region_series(study.files(), study.atlas, skip_frames=20, high_pass_hz=None)
    np.testing.assert_allclose(late.series[0], residual(study.means("1")[20:], study.motion["1"][20:]), atol=2e-3)
    bare = read_region_series(study.files(), study.atlas, confounds=[])
    assert np.abs(bare.series[0] - read_region_series(study.files(), study.atlas).series[0]).max() > 0.1
    names.write_text("index\tname\n1\tL_V1\n")
    refused("labels 20, 30, 40 of the atlas have no name", read_region_series, study.files(), study.atlas, names=names)
    fine = np.repeat(np.repeat(np.repeat(study.labels, 2, 0), 2, 1), 2, 2)
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = -0.25
    nibabel.save(nibabel.Nifti1Image(fine, affine), study.folder / "fine.nii.gz")
    found, expected = (read_region_series(study.files(), study.folder / f"{name}.nii.gz") for name in ("fine", "atlas"))
    np.testing.assert_allclose(found.stack(), expected.stack(), atol=1e-5)


def test_bad_regions_are_named_or_dropped(study) -> None:
    study.volumes["2"][study.labels == 20] = 7.0
    study.volumes["2"][3, 1, 1, 8] = np.nan
    study.write("2")
    study.mask[study.labels == 40] = 0
    study.write("1")
    refused(r"3 of 4 regions .* \(region-40, region-20, region-30; ", read_region_series, study.files(), study.atlas)
    read = read_region_series(study.files(), study.atlas, bad_regions="drop")
    assert read.regions["region_id"].tolist() == ["region-1"]
    reasons = read.dropped.groupby("region_id")["reason"].first()
    assert reasons["region-40"].startswith("nothing of it in sub-01_task-rest_run-1")
    assert reasons["region-20"].startswith("constant in sub-01_task-rest_run-2")
    assert reasons["region-30"].startswith("1 NaN or infinite in")


def test_runs_that_do_not_fit(study) -> None:
    first, second = study.files()
    refused(r"does not go with atlas.dlabel.nii", read_region_series, [first], study.folder / "atlas.dlabel.nii")
    nibabel.save(nibabel.Nifti1Image(study.volumes["1"][..., :100], np.eye(4)), first.bold)
    refused(r"has 120 rows but .* has 100", read_region_series, [first], study.atlas)
    refused("1 runs are there twice", read_region_series, [second, second], study.atlas)
    refused("20 frames for 6 confounds", read_region_series, [second], study.atlas, skip_frames=100)
    refused("no run is given", read_region_series, [], study.atlas)
    slow = SeriesFile("01", second.bold, tr_s=800.0)
    refused("repetition time would be 800 s; give tr_s in seconds", read_region_series, [slow], study.atlas)
    second.bold.write_bytes(second.bold.read_bytes()[:2000])
    refused("run-2", read_region_series, [second], study.atlas)


def test_series_are_found_without_events(study) -> None:
    files = study.files()
    found = [(file.subject, file.run, file.task, file.tr_s) for file in files]
    assert found == [("01", run, "rest", TR) for run in "12"]
    assert all(file.mask and file.confounds for file in files)
    refused(r"no \*_bold.dtseries.nii", study.files, kind="cifti")
    refused("sub-02: no such folder", find_series, study.folder, "02")


def cifti(folder):
    """Write 60 left, 50 right vertices and 8 voxels over time, and labels of all vertices of the mesh."""
    rng = np.random.default_rng(5)
    left, right = np.sort(rng.permutation(80)[:60]), np.sort(rng.permutation(80)[:50])
    voxels = np.stack(np.unravel_index(np.arange(8), (2, 2, 2)), axis=1)
    axis = BrainModelAxis.from_surface(left, 80, "CortexLeft")
    axis += BrainModelAxis.from_surface(right, 80, "CortexRight")
    axis += BrainModelAxis("thalamus_left", voxel=voxels, affine=np.eye(4), volume_shape=(2, 2, 2))
    values = drifting(118, rng, np.zeros((FRAMES, 6))).astype(np.float32)
    func = folder / "sub-01" / "func"
    func.mkdir(parents=True)
    series = func / "sub-01_task-rest_run-1_space-fsLR_den-91k_bold.dtseries.nii"
    nibabel.save(Cifti2Image(values, (SeriesAxis(0, TR, FRAMES), axis)), series)
    mesh = BrainModelAxis.from_surface(np.arange(80), 80, "CortexLeft")
    mesh += BrainModelAxis.from_surface(np.arange(80), 80, "CortexRight")
    keys = np.repeat([1, 2, 3, 4], 40)[None].astype(np.float32)
    keys[0, :5] = 0
    colour = (1.0, 0.0, 0.0, 1.0)
    table = {0: ("???", colour)} | {k: (f"parcel{k}", colour) for k in range(1, 5)}
    atlas = folder / "atlas.dlabel.nii"
    nibabel.save(Cifti2Image(keys, (LabelAxis(["parcels"], [table]), mesh)), atlas)
    return series, atlas, values, left, right


def test_parcels_of_grayordinates(tmp_path) -> None:
    series, atlas, values, left, right = cifti(tmp_path)
    read = read_region_series([SeriesFile("01", series)], atlas, high_pass_hz=None)
    assert read.regions["region_id"].tolist() == [f"parcel{k}" for k in range(1, 5)]
    assert read.regions["hemi"].tolist() == ["L", "L", "R", "R"]
    keys = np.concatenate([np.where(left < 5, 0, 1 + left // 40), 3 + right // 40, np.zeros(8, int)])
    assert read.regions["size"].tolist() == [int((keys == k).sum()) for k in range(1, 5)]
    means = np.stack([values[:, keys == k].astype(float).mean(axis=1) for k in range(1, 5)], axis=1)
    np.testing.assert_allclose(read.series[0], residual(means, np.zeros((FRAMES, 0))), atol=2e-3)
    assert read.runs["tr_s"].tolist() == [TR]  # of the file itself
    volume = tmp_path / "atlas.nii.gz"
    refused(r"grayordinates .* need a .dlabel.nii", read_region_series, [SeriesFile("01", series)], volume)


def test_grayordinates_of_fmriprep_and_maps_that_are_no_series(tmp_path) -> None:
    series, atlas, values, *_ = cifti(tmp_path)
    refused(r"desc-confounds_timeseries.tsv; fMRIPrep writes it", find_series, tmp_path, "01", kind="cifti")
    motion = pd.DataFrame(np.random.default_rng(0).normal(size=(FRAMES, 6)), columns=NAMES)
    motion.to_csv(series.parent / "sub-01_task-rest_run-1_desc-confounds_timeseries.tsv", sep="\t", index=False)
    refused("RepetitionTime is in none of", find_series, tmp_path, "01", kind="cifti")
    series.with_name(series.name.replace(".dtseries.nii", ".json")).write_text('{"RepetitionTime": 0.8}')
    (file,) = find_series(tmp_path, "01", kind="cifti")
    assert file.tr_s == TR
    assert file.mask is None
    centred, explained = motion - motion.mean(), {}
    for name, confounds in (("clean", NAMES), ("bare", [])):
        series_of = read_region_series([file], atlas, high_pass_hz=None, confounds=confounds).series[0]
        explained[name] = np.abs(series_of.T @ centred.to_numpy()).max()
    assert explained["clean"] < 0.5 < 5 < explained["bare"]
    axis, maps = nibabel.load(series).header.get_axis(1), tmp_path / "maps.dtseries.nii"
    nibabel.save(Cifti2Image(values[:3], (ScalarAxis(["a", "b", "c"]), axis)), maps)
    refused("its rows are no frames", read_region_series, [SeriesFile("01", maps)], atlas)


def test_a_person_written_in_two_ways_is_one(study) -> None:
    for file in list(study.func.iterdir()):
        other = study.folder / "sub-02" / "func" / file.name.replace("sub-01", "sub-02")
        other.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, other)
    (study.folder / "people.csv").write_text("subject,run\nsub-01,1\n01,2\n02,1\nsub-02,2\n")
    files = {"format": "series", "people": "people.csv", "derivatives": ".", "scans": {"atlas": "atlas.nii.gz"}}
    path = study.folder / "rest.yaml"
    found = read_region_runs(load_descriptor(write_yaml(path, {"name": "rest", "recordings": {"all": files}})))
    expected = [[name, run] for name in ("01", "02") for run in ("1.1", "1.2")]
    assert (found.people[["subject", "run"]].to_numpy().tolist(), len(found.series)) == (expected, 4)


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
    write_table(folder / "regions.tsv", region_id=[f"r{i}" for i in range(N_REGIONS)], network=list("aabbb"))
    files = {"format": "series", "people": "people.tsv", "regions": "regions.tsv", "tr_s": 0.72}
    files |= {"labels": ["age", "task"]} | changes
    return write_yaml(folder / "rest.yaml", {"name": "rest", "recordings": {"all": files}})


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
    refused(r"regions.tsv: no network of region 'r0'; it has r4, r3, r2, r1: add", read, path)


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
    np.save(folder / "0.npy", np.load(folder / "2.npy")[:12])
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
    with pytest.raises(ValueError, match=r"labels of the simulated study: no label 'age'; it has "):
        SeriesWorld(labels=["age"], **world)


def test_a_constant_region_is_found_after_its_trend_is_gone() -> None:
    values = np.random.default_rng(0).normal(size=(30, 3))
    assert detrended(values).std(axis=0) == pytest.approx(1, abs=1e-5)
    values[:, 1] = np.linspace(0, 1, 30)
    refused("regions 1", detrended, values)
