import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
from jobs import described
from refusals import Trap, refused

from brainalign.commands import init_study
from brainalign.datasets import make_image_split, read_subject, read_things
from brainalign.study import load_descriptor

VOXELS, SESSIONS, PER_SESSION = 30, 3, 20
TRIALS = SESSIONS * PER_SESSION
AXES = ["voxel_x", "voxel_y", "voxel_z"]


class Things:
    """Three sessions; the four test images are shown in each, the others once."""

    def __init__(self, root) -> None:
        self.root, rng = root, np.random.default_rng(0)
        self.betas = rng.normal(size=(VOXELS, TRIALS))
        places = np.stack(np.unravel_index(rng.permutation(6 * 6 * 6)[:VOXELS], (6, 6, 6)), axis=1)
        uniform = {"nc_singletrial": (0, 40), "splithalf_uncorrected": (-0.1, 0.5), "prf-eccentricity": (0, 5)}
        ids = {"voxel_id": np.arange(VOXELS), "subject_id": 1} | dict(zip(AXES, places.T, strict=True))
        self.voxels = pd.DataFrame(ids | {name: rng.uniform(*limits, VOXELS) for name, limits in uniform.items()})
        regions = {name: rng.integers(0, 2, VOXELS) for name in ("V1", "LO1 (prf)")} | {"lFFA": 0}
        self.voxels = self.voxels.assign(**regions, rFFA=(np.arange(VOXELS) == 7).astype(int), nc_testset=0.0)
        stimuli, kinds = [], []
        for session in range(SESSIONS):
            names = [f"test{k}_14s.jpg" for k in range(4)]
            names += [f"thing{session}{k:02d}_12s.jpg" for k in range(PER_SESSION - 4)]
            order = rng.permutation(PER_SESSION)
            stimuli += [names[row] for row in order]
            kinds += ["test" if row < 4 else "train" for row in order]
        self.trials = pd.DataFrame({"trial_type": kinds, "subject_id": 1, "trial_id": np.arange(TRIALS)})
        self.trials["session"] = np.repeat(np.arange(1, SESSIONS + 1), PER_SESSION)
        self.trials["run"] = np.tile(np.repeat([1, 2], PER_SESSION // 2), SESSIONS)
        self.trials["stimulus"] = stimuli
        self.write_tables()
        self.write_betas()

    def path(self, name: str):
        return self.root / f"sub-01_{name}"

    def write_tables(self) -> None:
        self.voxels.to_csv(self.path("VoxelMetadata.csv"), index=False)
        self.trials.to_csv(self.path("StimulusMetadata.csv"), index=False)

    def write_betas(self, values=None, ids=None, *, one_block=False, payload=None) -> None:
        """Write a table of voxel_id and a column per trial as pandas' HDF store does, column names pickled."""
        values = self.betas if values is None else values
        ids = np.arange(len(values)) if ids is None else ids
        names = np.frombuffer(pickle.dumps(payload or ["voxel_id", *range(TRIALS)]), dtype=np.uint8)
        with h5py.File(self.path("ResponseData.h5"), "w") as file:
            group = file.create_group("ResponseData")
            kinds = {"pandas_type": b"frame", "pandas_version": b"0.15.2", "axis0_variety": b"regular"}
            group.attrs.update(kinds | {"ndim": 2})
            group.create_dataset("axis0", (1,), dtype=h5py.vlen_dtype(np.uint8))[0] = names
            group["axis1"] = np.arange(len(values))
            if one_block:
                group["block0_values"] = np.c_[ids, values]
            else:
                group["block0_values"], group["block1_values"] = values, np.asarray(ids)[:, None]
            group.attrs["nblocks"] = 1 if one_block else 2

    def read(self, **options):
        return read_things(self.root, "01", **({"standardize": "none"} | options))


@pytest.fixture
def things(tmp_path) -> Things:
    return Things(tmp_path)


@pytest.mark.parametrize("one_block", [False, True])
def test_values_voxels_trials_and_regions(things, one_block, monkeypatch) -> None:
    things.write_betas(one_block=one_block)
    monkeypatch.setattr("brainalign.datasets.published.things.ROWS", 7)
    responses = things.read().responses
    np.testing.assert_array_equal(responses.values, things.betas.T.astype(np.float32))
    targets = responses.targets
    np.testing.assert_array_equal(targets[["i", "j", "k"]], things.voxels[AXES])
    for row, names in enumerate(targets["roi"]):
        assert names == [name for name in ("V1", "LO1 (prf)", "rFFA") if things.voxels[name][row]]
    trials = responses.trials
    assert trials["stimulus_id"].tolist() == [name.removesuffix(".jpg") for name in things.trials["stimulus"]]
    assert trials["session"].tolist() == things.trials["session"].astype(str).tolist()
    assert trials["repeat"].max() == SESSIONS


def test_z_scores_are_within_session_and_test_images_tested(things) -> None:
    found, tested = things.read(val=0.2, seed=3, standardize="session"), [f"test{k}_14s" for k in range(4)]
    pd.testing.assert_frame_equal(found.splits, make_image_split(found.responses.trials, test=tested, val=0.2, seed=3))
    parts = [(part - part.mean(axis=0)) / part.std(axis=0, ddof=1) for part in np.split(things.betas.T, SESSIONS)]
    np.testing.assert_allclose(found.responses.values, np.concatenate(parts), atol=1e-5)


def test_a_study_takes_the_folder(things) -> None:
    table = things.read().responses.trials.drop_duplicates("stimulus_id")[["stimulus_id", "trial_type"]]
    table.to_csv(things.root / "stimuli.tsv", sep="\t", index=False)
    files = {"format": "things_fmri", "root": ".", "participant": "01", "within": ["V1"]}
    study = load_descriptor(described(things.root, files, column="trial_type", value="test"))
    assert things.path("ResponseData.h5") in study.inputs("01")
    found, expected = read_subject(study, "01"), things.read(within=["V1"], standardize="session").responses
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.targets["target_id"].equals(expected.targets["target_id"])
    study = load_descriptor(init_study(things.root, lambda _, default: default))
    assert read_subject(study, "01").trials["stimulus_id"].equals(expected.trials["stimulus_id"])
    table = pd.read_csv(things.root / "things_images.tsv", sep="\t")
    assert {*table.loc[table["set"] == "test", "text"]} == {f"test{k}" for k in range(4)}


def test_a_block_of_sessions_and_voxels(things) -> None:
    part = things.read(sessions=[3, 1], within=["rFFA", "V1"])
    rows = np.flatnonzero(things.voxels["V1"] | things.voxels["rFFA"])
    columns = np.flatnonzero(things.trials["session"] != 2)
    np.testing.assert_array_equal(part.responses.values, things.betas[np.ix_(rows, columns)].T.astype(np.float32))
    trials = part.responses.trials
    assert trials["session"].tolist() == ["1"] * PER_SESSION + ["3"] * PER_SESSION
    assert trials["trial_id"].tolist() == [f"trial-{k:05d}" for k in columns]
    assert trials["run"].tolist() == things.trials["run"].astype(str).iloc[columns].tolist()
    names = ["trial_id", "stimulus_id", "session", "run", "repeat", "onset_s", "trial_type"]
    assert (list(trials), trials.index.tolist()) == (names, list(range(2 * PER_SESSION)))
    targets = part.responses.targets
    names = ["target_id", "i", "j", "k", "kind", "hemi", "x_mm", "y_mm", "z_mm", "roi"]
    assert (list(targets), targets.index.tolist()) == (names, list(range(len(rows))))
    places = things.voxels.iloc[rows][AXES].to_numpy()
    assert targets["target_id"].tolist() == [f"voxel-{i}-{j}-{k}" for i, j, k in places]
    assert part.responses.units == "single-trial betas (arbitrary units)"
    assert list(part.ceiling) == ["target_id", "signal_share", "ceiling"]
    assert part.ceiling["target_id"].tolist() == targets["target_id"].tolist()
    np.testing.assert_allclose(part.ceiling["signal_share"], things.voxels["nc_singletrial"].iloc[rows] / 100)


def test_ceilings_agree_with_those_of_the_release(things) -> None:
    """Rows of the release's own table: single-trial and (12 repeats) test-set ceilings, in percent."""
    single, test_set = np.array([1.102513, 2.134454, 0.446367]), np.array([11.799193, 20.743164, 5.105714])
    things.voxels.loc[:2, "nc_singletrial"] = single
    trials = pd.concat([things.trials.assign(session=things.trials["session"] + 3 * k) for k in range(4)])
    things.trials = trials.assign(trial_id=np.arange(4 * TRIALS))
    things.write_tables()
    things.write_betas(np.tile(things.betas, 4))
    ceiling = things.read().ceiling
    np.testing.assert_allclose(ceiling["signal_share"][:3], single / 100)
    np.testing.assert_allclose(ceiling["ceiling"][:3], test_set / 100, rtol=1e-4)


def test_betas_that_disagree_with_the_tables_and_wrong_tables(things) -> None:
    def other_group() -> None:
        with h5py.File(things.path("ResponseData.h5"), "w") as file:
            file["betas"] = things.betas

    shifted = np.roll(np.arange(VOXELS), 1)
    for spoil, message in (
        (lambda: things.write_betas(things.betas[:, :-1]), r"float64 \(30, 59\).*expected floats of shape \(30, 60\)"),
        (lambda: things.write_betas(things.betas[:-1]), r"expected floats of shape \(30, 60\)"),
        (lambda: things.write_betas(ids=shifted), r"row 1 is voxel 29, that of VoxelMetadata.csv is 0"),
        (lambda: things.write_betas(ids=shifted, one_block=True), "row 1 is voxel 29"),
        (other_group, "no group 'ResponseData'; it has betas"),
        (lambda: things.path("ResponseData.h5").write_bytes(b"no HDF5"), r"ResponseData.h5: not a whole HDF5 file"),
        (things.path("ResponseData.h5").unlink, r"sub-01_ResponseData.h5: no such file"),
    ):
        spoil()
        refused(message, things.read)
    for table, changes, message in (
        ("voxels", {"nc_singletrial": None}, "no column 'nc_singletrial'"),
        ("voxels", {"V1": 3}, r"VoxelMetadata.csv: column 'V1' holds 3; expected a region"),
        ("trials", {"trial_type": "catch"}, r"trial_type must be one of 'test', 'train'; got 'catch'"),
        ("trials", {"trial_type": ["train", "test"] * (TRIALS // 2)}, "images of .* occur in both train and test"),
    ):
        whole = getattr(things, table)
        setattr(things, table, whole.assign(**changes).dropna(axis=1, how="all"))
        things.write_tables()
        refused(message, things.read)
        setattr(things, table, whole)
        things.write_tables()
    refused(r"sub-03_VoxelMetadata.csv: no such file .*did you mean 'sub-01_Voxel", read_things, things.root, "3")
    refused("no session '4'; it has 1, 2, 3", things.read, sessions=[4])
    refused(r"within: no ROI 'lFFA' \(did you mean 'rFFA'", things.read, within=["lFFA"])  # of no voxel


def test_column_names_stay_pickled_and_missing_responses_are_counted(things, tmp_path) -> None:
    things.write_betas(payload=Trap(tmp_path / "loaded"))
    assert things.read().responses.values.shape == (TRIALS, VOXELS)
    assert not (tmp_path / "loaded").exists()
    things.betas[5, 3] = -999
    things.write_betas()
    refused("1 of 30 targets hold NaN", things.read)
    assert np.argwhere(np.isnan(things.read(bad_targets="keep").responses.values)).tolist() == [[3, 5]]
    ceiling = things.read(bad_targets="drop").ceiling
    assert list(ceiling) == ["target_id", "signal_share", "ceiling"]
    assert ceiling.index.tolist() == list(range(VOXELS - 1))
    np.testing.assert_allclose(ceiling["signal_share"], np.delete(things.voxels["nc_singletrial"].to_numpy(), 5) / 100)
