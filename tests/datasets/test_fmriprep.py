import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from jobs import kept
from nibabel.gifti import GiftiDataArray, GiftiImage
from nilearn.glm.first_level import make_first_level_design_matrix
from nilearn.signal import clean
from refusals import refused

from brainalign.datasets import read_fmri, read_fmriprep
from brainalign.datasets.formats import find_blocks, read_labels
from brainalign.statistics import pearson
from brainalign.study import FmriOptions, FmriprepFiles, load_descriptor

TR, VOLUMES, SHAPE = 1.5, 240, (4, 4, 3)
SPACE = "MNI152NLin2009cAsym"
MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


class Tree:
    """Two sessions of two runs; 12 stimuli, once per run; drift, motion and noise on top of the planted betas."""

    def __init__(self, folder, noise=0.1, surface=False) -> None:
        self.raw, self.derivatives = folder / "raw", folder / "fmriprep"
        rng = np.random.default_rng(0)
        self.patterns = rng.normal(size=(12, 2 * 642 if surface else int(np.prod(SHAPE))))
        self.shown, self.betas = [], []
        for session in ("01", "02"):
            for run in ("1", "2"):
                self.write(session, run, rng, noise, surface)

    def stem(self, session, run) -> str:
        return f"sub-01_ses-{session}_task-images_run-{run}"

    def write(self, session, run, rng, noise, surface) -> None:
        raw, func = (base / "sub-01" / f"ses-{session}" / "func" for base in (self.raw, self.derivatives))
        raw.mkdir(parents=True, exist_ok=True)
        func.mkdir(parents=True, exist_ok=True)
        stem, order = self.stem(session, run), rng.permutation(12)
        onsets = np.maximum.accumulate(np.sort(rng.uniform(4, VOLUMES * TR - 30, 300))[::24][:12] + np.arange(12) * 1.0)
        names = [f"img{k:02d}" for k in order]
        events = pd.DataFrame({"onset": onsets, "duration": 2.0, "trial_type": "image", "stimulus_id": names})
        press = pd.DataFrame({"onset": [20.3], "duration": 0.5, "trial_type": "press", "stimulus_id": "n/a"})
        events = pd.concat([events, press]).sort_values("onset")
        events.to_csv(raw / f"{stem}_events.tsv", sep="\t", index=False)
        motion = np.cumsum(rng.normal(size=(VOLUMES, 6)), axis=0) * 0.05
        table = pd.DataFrame(motion, columns=MOTION).assign(framewise_displacement=["n/a"] + [0.1] * (VOLUMES - 1))
        table.to_csv(func / f"{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False)
        frames = 0.75 + TR * np.arange(VOLUMES)  # slice-time reference in the middle of the volume
        named = events.assign(trial_type=[f"t{k:03d}" for k in range(len(events))])[["onset", "duration", "trial_type"]]
        design = make_first_level_design_matrix(frames, named, hrf_model="spm", drift_model=None)
        amplitude, at = np.zeros((13, self.patterns.shape[1])), events["stimulus_id"].ne("n/a").to_numpy()
        amplitude[at] = self.patterns[order] + 1.0
        amplitude[~at] = 3.0
        series = design.to_numpy()[:, :13] @ amplitude
        series += motion @ rng.normal(size=(6, amplitude.shape[1])) + 2 * np.sin(frames / 90)[:, None]
        series += noise * rng.normal(size=series.shape)
        series = 500 * (1 + series / 100)
        self.shown += names
        self.betas.append(self.patterns[order])
        if surface:
            for half, hemi in enumerate("LR"):
                rows = series[:, 642 * half : 642 * (half + 1)].astype(np.float32)
                image = GiftiImage(darrays=[GiftiDataArray(row, datatype="NIFTI_TYPE_FLOAT32") for row in rows])
                nibabel.save(image, func / f"{stem}_hemi-{hemi}_space-fsaverage3_bold.func.gii")
                sidecar = func / f"{stem}_hemi-{hemi}_space-fsaverage3_bold.json"
                sidecar.write_text(json.dumps({"RepetitionTime": TR, "StartTime": 0.75}))
            return
        bold = func / f"{stem}_space-{SPACE}_desc-preproc_bold.nii.gz"
        nibabel.save(nibabel.Nifti1Image(series.T.reshape(*SHAPE, VOLUMES).astype(np.float32), np.eye(4)), bold)
        mask = np.ones(SHAPE, np.uint8)
        mask[0, 0, 0 if run == "1" else 1] = 0  # the masks of runs differ a little
        nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), func / f"{stem}_space-{SPACE}_desc-brain_mask.nii.gz")
        sidecar = func / f"{stem}_space-{SPACE}_desc-preproc_bold.json"
        sidecar.write_text(json.dumps({"RepetitionTime": TR, "StartTime": 0.75}))

    def read(self, **options):
        return read_fmriprep(self.derivatives, self.raw, "01", **({"standardize": "none"} | options))

    def planted(self, responses) -> np.ndarray:
        columns = np.ravel_multi_index(responses.targets[["i", "j", "k"]].to_numpy().T, SHAPE)
        return np.concatenate(self.betas)[:, columns]


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize("noise_model", ["ols", "ar1"])
def test_planted_betas_come_back(tree, noise_model) -> None:
    responses = tree.read(noise_model=noise_model)
    assert responses.values.shape == (48, 46)  # voxels outside either mask are left out
    assert responses.trials["stimulus_id"].tolist() == tree.shown
    assert responses.trials["session"].tolist() == ["01"] * 24 + ["02"] * 24
    assert (responses.trials["run"].tolist(), responses.trials["repeat"].max()) == ((["1"] * 12 + ["2"] * 12) * 2, 4)
    planted = tree.planted(responses)
    assert pearson(responses.values, planted).min() > 0.9
    centred = planted - planted.mean(axis=0)
    slope = (responses.values * centred).sum() / (centred**2).sum()
    assert slope == pytest.approx(1, abs=0.05)  # percent signal change, as planted
    scored = tree.read(noise_model=noise_model, standardize="session").values
    np.testing.assert_allclose(scored[:24].std(axis=0, ddof=1), 1, rtol=1e-4)


def test_confounds_matter_and_may_be_patterns(tree) -> None:
    def recovered(**options) -> float:
        responses = tree.read(**options)
        return float(pearson(responses.values, tree.planted(responses)).mean())

    assert recovered(confounds=["trans_*", "rot_*"]) == pytest.approx(recovered(), abs=1e-3)
    assert recovered(confounds=[]) < recovered()
    refused(r"no confound 'trans_w' \(did you mean 'trans_[xyz]'\?\)", tree.read, confounds=["trans_w"])
    assert np.isfinite(tree.read(confounds=["framewise_displacement"]).values).all()  # begins with n/a


def test_surface_series(tmp_path) -> None:
    tree = Tree(tmp_path, surface=True)
    responses = tree.read(space="fsaverage3")
    assert responses.targets["hemi"].tolist() == ["L"] * 642 + ["R"] * 642
    assert np.median(pearson(responses.values, np.concatenate(tree.betas))) > 0.9


def paths(tree, pattern):
    found = sorted(tree.derivatives.parent.rglob(pattern))
    assert found, pattern
    return found


def test_what_is_missing_or_cannot_be_used_is_named(tree) -> None:
    for gone, message in (
        ("*run-2_events.tsv", r"no sub-01_ses-01_task-images_run-2_events\.tsv; write when each stimulus was shown"),
        ("*run-1_desc-confounds_timeseries.tsv", r"no sub-01_ses-01_task-images_run-1_desc-confounds_timeseries\.tsv"),
        ("*_bold.nii.gz", "no .*desc-preproc_bold.nii.gz and no .*bold.func.gii; run fMRIPrep first"),
        ("*_desc-brain_mask.nii.gz", "no .*desc-brain_mask.nii.gz beside it"),
        ("*_bold.json", "RepetitionTime is in none of"),
    ):
        with kept(*paths(tree, gone)):
            for path in paths(tree, gone):
                path.unlink()
            refused(message, tree.read)
    events = paths(tree, "*ses-01*run-1_events.tsv")[0]
    whole = pd.read_csv(events, sep="\t", dtype=str, keep_default_na=False)
    many = [whole.iloc[[0]].assign(onset=str(1.37 * k), stimulus_id=f"s{k}") for k in range(240)]
    for table, message in (
        (whole.rename(columns={"stimulus_id": "stimulus"}), r"no column 'stimulus_id' \(did you mean 'stimulus'"),
        (whole.assign(stimulus_id="n/a"), "stimulus_id is empty in every row"),
        (whole.assign(onset=["x", *whole["onset"][1:]]), "onset or duration in row 1 is no number"),
        (whole.assign(onset=["4000", *whole["onset"][1:]]), "1 events begin after the last volume"),
        (whole.assign(duration="2000"), r"13 events last less than 0 s, or longer than the run \(the first 2000 s"),
        (whole.assign(duration="0"), r"12 trials last 0 s \(the first: img\d\d\) and others up to 2"),
        (pd.concat([whole, whole.iloc[:1]]), "depend on each other"),
        (pd.concat(many), r"240 trials and .* for 240 volumes cannot be estimated"),
    ):
        table.to_csv(events, sep="\t", index=False)
        refused(message, tree.read)


def test_bold_of_another_place_or_without_its_mean_is_refused(tree) -> None:
    mask, first, *_, last = *paths(tree, "*brain_mask.nii.gz")[:1], *paths(tree, "*_bold.nii.gz")
    whole = nibabel.load(last).get_fdata(dtype="f4")
    nibabel.save(nibabel.Nifti1Image(whole, np.diag([1.0, 1, 2, 1])), last)
    refused(f"{last.name}: has the grid .* with another affine but .*{first.name}", tree.read, mask=mask)
    nibabel.save(nibabel.Nifti1Image(whole - whole.mean(axis=-1, keepdims=True), np.eye(4)), last)
    refused(r"mean over the run is below 0 in \d+ of 46 targets", tree.read, bad_targets="drop")


def test_a_response_that_the_run_ends_before_is_refused(tree) -> None:
    path = tree.raw / "sub-01" / "ses-02" / "func" / f"{tree.stem('02', '2')}_events.tsv"
    events = pd.read_csv(path, sep="\t", keep_default_na=False)
    events.iloc[-1, 0] = VOLUMES * TR - 1.5
    events.to_csv(path, sep="\t", index=False)
    refused(r"before the responses of 1 trials are seen \(rows 13\); write n/a", tree.read)
    events.iloc[-1, 0] = VOLUMES * TR - 5
    events.to_csv(path, sep="\t", index=False)
    assert len(tree.read().trials) == 48


def test_what_holds_for_all_subjects_may_stand_in_the_raw_data(tree) -> None:
    for path in paths(tree, "*_bold.json"):
        path.write_text(json.dumps({"StartTime": 0.75}))
    refused("RepetitionTime is in none of", tree.read)
    shared = [tree.raw / f"task-images_{name}" for name in ("bold.json", "events.tsv")]
    for path in shared:
        path.write_text(json.dumps({"RepetitionTime": TR}))
    assert tree.read().values.shape == (48, 46)
    files = FmriprepFiles(format="fmriprep", derivatives=tree.derivatives, raw=tree.raw, participant="01")
    found = {path for pattern in files.patterns for path in tree.raw.glob(pattern.format_map(vars(files)))}
    assert found == {*paths(tree, "*_ses*_events.tsv"), *shared}


def test_several_tasks_or_spaces_are_not_chosen_among(tree) -> None:
    first = paths(tree, "*ses-01*run-1_space*_bold.nii.gz")[0]
    other = first.with_name(first.name.replace(SPACE, "T1w"))
    other.write_bytes(first.read_bytes())
    refused(r"bold of 2 spaces \(MNI152NLin2009cAsym, T1w\); give space", tree.read)
    assert len(tree.read(space=SPACE).trials) == 48
    refused(r"no bold with task 'image'.*did you mean 'images'", tree.read, space=SPACE, task="image")
    other.rename(first.with_name(first.name.replace(f"space-{SPACE}", f"space-{SPACE}_res-2")))
    refused("are the same run; keep one", tree.read)
    refused("sub-09: no such folder", read_fmriprep, tree.derivatives, tree.raw, "09")


def test_one_run_is_enough_and_the_stimulus_may_have_another_column(tree) -> None:
    for path in paths(tree, "sub-01_*"):
        if not path.name.startswith(tree.stem("01", "1")):
            path.unlink()
    (events,) = paths(tree, "*_events.tsv")
    events.write_text(events.read_text().replace("stimulus_id", "image"))
    assert tree.read(stimulus_column="image").trials["stimulus_id"].tolist() == tree.shown[:12]


def test_blocks_are_found_after_the_lag_and_responses_are_their_means(small) -> None:
    descriptor, labels = load_descriptor(small.write()), read_labels(small.folder / "labels.txt")
    blocks = find_blocks(labels, descriptor.fmri)
    assert len(blocks) == 16
    # Two volumes of rest, three of a stimulus, read two volumes later.
    assert (blocks["first"].tolist()[:3], blocks["last"].tolist()[:3]) == ([4, 9, 14], [6, 11, 16])
    assert blocks["onset_s"].tolist()[:5] == [4.0, 14.0, 24.0, 34.0, 4.0]
    assert blocks["run"].tolist()[:5] == ["0", "0", "0", "0", "1"]
    blocks = find_blocks(labels, FmriOptions(tr_s=2.0, hrf_lag_s=10.0, space="x"))
    ends = labels.reset_index().groupby("run")["index"].max()
    assert all(row["last"] <= ends[row["run"]] for _, row in blocks.iterrows())
    refused("no volume left after a lag of 40", find_blocks, labels, FmriOptions(tr_s=2.0, hrf_lag_s=40.0, space="x"))
    descriptor = load_descriptor(small.write())
    recording, labels = read_fmri(descriptor, "1"), read_labels(small.folder / "labels.txt")
    series, runs = small.volumes().reshape(-1, len(labels)).T, labels["run"].astype(int).to_numpy()
    cleaned = clean(series, runs=runs, detrend=True, standardize="zscore_sample", t_r=2.0)
    for row, block in find_blocks(labels, descriptor.fmri).iterrows():
        expected = cleaned[block["first"] : block["last"] + 1]
        mean = expected.mean(axis=0)
        np.testing.assert_allclose(recording.responses.values[row], mean, atol=1e-5)
        np.testing.assert_allclose(recording.residuals[3 * row : 3 * row + 3], expected - mean, atol=1e-5)
    assert (recording.responses.units, recording.n_dropped) == ("z (within run)", 0)


def test_a_file_of_volumes_and_of_events_per_run_is_read_as_one_with_labels(small) -> None:
    """Events in another order, with names of rest, pauses and cells that say nothing."""
    whole = read_fmri(load_descriptor(small.write()), "1")
    labels, volumes = read_labels(small.folder / "labels.txt"), small.volumes()
    bold, tables = [], []
    for run, rows in labels.groupby("run", sort=False):
        bold.append(f"run-{run}_bold.nii.gz")
        image = nibabel.Nifti1Image(volumes[..., rows.index], np.diag([3.0, 3.0, 3.0, 1.0]))
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = 2.0
        nibabel.save(image, small.folder / bold[-1])
        starts = np.flatnonzero(rows["label"].to_numpy() != rows["label"].shift().to_numpy())
        onsets, ends = 2.0 * starts, 2.0 * np.r_[starts[1:], len(rows)]
        names = rows["label"].iloc[starts]
        events = pd.DataFrame({"onset": onsets, "duration": ends - onsets - 0.5, "trial_type": names})
        events.loc[len(rows) + 1000] = [1.0, 0.0, "n/a"]
        tables.append(f"run-{run}_events.tsv")
        events[::-1].to_csv(small.folder / tables[-1], sep="\t", index=False)
    files = {"format": "nifti", "bold": bold, "mask": "mask.nii.gz", "events": tables}
    path = small.folder / "runs.yaml"
    path.write_text(Path(small.write(recordings={"1": files})).read_text())
    recording = read_fmri(load_descriptor(path), "1")
    np.testing.assert_allclose(recording.responses.values, whole.responses.values, atol=1e-5)
    np.testing.assert_allclose(recording.residuals, whole.residuals, atol=1e-5)
    names = ["stimulus_id", "repeat"]
    pd.testing.assert_frame_equal(recording.responses.trials[names], whole.responses.trials[names])
    assert recording.responses.trials["run"].nunique() == labels["run"].nunique()


def test_voxels_know_their_place_and_bad_ones_are_dropped(small) -> None:
    mask = np.zeros(small.shape)
    mask[1, 2, 0] = mask[5, 4, 1] = 1
    recording = read_fmri(load_descriptor(small.write(mask=mask)), "1")
    table = recording.responses.targets
    assert table[["i", "j", "k"]].to_numpy().tolist() == [[1, 2, 0], [5, 4, 1]]
    assert table[["x_mm", "y_mm", "z_mm"]].to_numpy().tolist() == [[3.0, 6.0, 0.0], [15.0, 12.0, 3.0]]
    volumes = small.volumes()
    # A value written back at (i, j, k) is the value of that voxel: columns follow the table.
    assert np.corrcoef(volumes[5, 4, 1][4:7], recording.residuals[:3, 1])[0, 1] > 0.9
    volumes[0, 0, 0, 3] = np.nan
    volumes[1, 1, 1, : volumes.shape[-1] // 2] = 7.0
    path = small.write(volumes=volumes)
    refused("1 NaN and 1 constant voxels inside the mask", read_fmri, load_descriptor(path), "1")
    options = {"tr_s": 2.0, "hrf_lag_s": 4.0, "space": "simulated", "bad_voxels": "drop"}
    recording = read_fmri(load_descriptor(small.write(volumes=volumes, fmri=options)), "1")
    assert (recording.n_dropped, len(recording.responses.targets)) == (2, 58)
    assert np.isfinite(recording.responses.values).all()
    assert int(np.asarray(recording.mask.dataobj).sum()) == 58
