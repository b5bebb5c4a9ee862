import re
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io
from dask.distributed import Client
from jobs import described, prepare
from PIL import Image
from refusals import Trap, refused

from brainalign import datasets
from brainalign.datasets import audit_study, make_image_split, read_algonauts, read_algonauts_images, read_braincorl
from brainalign.datasets.published import ALGONAUTS_ROIS, NSD_SESSIONS, read_nsd_design
from brainalign.encoding import Ridge
from brainalign.regression import fit_distributed
from brainalign.statistics import noise_ceiling_from_ncsnr
from brainalign.study import load_descriptor

GRID = (7, 6, 5)
AFFINE = np.diag([1.8, 1.8, 1.8, 1.0])
SPACE, BETAS = "func1pt8mm", "betas_fithrf_GLMdenoise_RR"
NAMES = {"prf-visualrois": "0 Unknown\n1 V1v\n2 V1d\n3 V2v\n", "floc-faces": "0 Unknown 0 0 0 0\n1 FFA-1 255 0 0 0\n"}
OPTIONS = {"sessions": [1, 2], "rois": ["nsdgeneral", *NAMES]}
N = 163842
# Neighbours in the file, so that few of its pages are written.
CHOSEN = {"lh": np.array([0, 5, 163841]), "rh": np.array([0, 77])}
GAPPED = 9  # a vertex of the left hemisphere with a missing response, in the region "EBA"


class Nsd:
    """Two sessions of one subject on a small grid; the design has its true size."""

    def __init__(self, root, number: int = 4) -> None:
        rng = np.random.default_rng(0)
        self.root, self.rng, self.subject = root, rng, f"subj{number:02d}"
        self.place = root / "nsddata" / "ppdata" / self.subject / SPACE
        self.betas = root / "nsddata_betas" / "ppdata" / self.subject / SPACE / BETAS
        self.labels = root / "nsddata" / "freesurfer" / self.subject / "label"
        experiment = root / "nsddata" / "experiments" / "nsd"
        for folder in (self.place / "roi", self.betas, self.labels, experiment):
            folder.mkdir(parents=True)
        self.design = experiment / "nsd_expdesign.mat"
        self.shared = np.sort(rng.permutation(73000)[:1000]) + 1
        own = rng.permutation(np.setdiff1d(np.arange(1, 73001), self.shared)).reshape(8, 9000)
        self.images = np.c_[np.tile(self.shared, (8, 1)), own]
        self.order = rng.permutation(np.repeat(np.arange(1, 10001), 3))
        self.write_design()
        self.inside = rng.random(GRID) < 0.5
        self.ids = {name: np.zeros(GRID) for name in NAMES}
        self.ids["prf-visualrois"][rng.random(GRID) < 0.3] = 1
        self.ids["prf-visualrois"][0] = 2
        self.ids["prf-visualrois"][~self.inside] = -1
        self.ids["floc-faces"][3] = 1
        self.write_roi("nsdgeneral", np.where(self.inside, 1, -1))
        for name, ids in self.ids.items():
            self.write_roi(name, ids)
            (self.labels / f"{name}.mgz.ctab").write_text(NAMES[name])
        self.ncsnr = rng.uniform(0, 1.5, GRID).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(self.ncsnr, AFFINE), self.betas / "ncsnr.nii.gz")
        self.values = {session: rng.integers(-2000, 2000, (*GRID, 750), dtype=np.int16) for session in (1, 2)}
        for session in self.values:
            self.write_session(session)

    def write_design(self, **changes) -> None:
        content = {"subjectim": self.images, "masterordering": self.order[None], "sharedix": self.shared[None]}
        content = {name: np.asarray(value, dtype=float) for name, value in (content | changes).items() if len(value)}
        scipy.io.savemat(self.design, content)

    def write_roi(self, name, ids) -> None:
        image = nibabel.Nifti1Image(np.asarray(ids, dtype=np.float32), AFFINE)
        nibabel.save(image, self.place / "roi" / f"{name}.nii.gz")

    def write_images(self, shown) -> None:
        path = self.root / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5"
        path.parent.mkdir(parents=True)
        with h5py.File(path, "w") as file:
            bricks = file.create_dataset("imgBrick", (73000, 32, 32, 3), np.uint8, chunks=(1, 32, 32, 3))
            for name in set(shown):
                bricks[int(name[4:])] = self.picture(name)

    def picture(self, name: str) -> np.ndarray:
        return np.random.default_rng(int(name[4:])).integers(0, 255, (32, 32, 3), dtype=np.uint8)

    def session(self, number: int):
        return self.betas / f"betas_session{number:02d}.hdf5"

    def write_session(self, number: int, values=None, name="betas", chunks=(750, 1, 1, 1)) -> None:
        values = self.values[number] if values is None else values
        with h5py.File(self.session(number), "w") as file:
            whole = chunks and tuple(np.minimum(chunks, values.T.shape))  # MATLAB's h5write reverses (x, y, z, trial)
            file.create_dataset(name, data=values.T, chunks=whole, compression="gzip" if chunks else None)

    def open(self, **changes):
        return datasets.open_nsd(self.root, self.subject, **OPTIONS | changes)

    def read(self, **changes):
        return datasets.read_nsd(self.root, self.subject, **OPTIONS | changes)

    @property
    def planted(self) -> np.ndarray:
        """The integers of the voxels inside, (n_trials, n_voxels)."""
        return np.concatenate([self.values[session][self.inside].T for session in (1, 2)])


@pytest.fixture
def nsd(tmp_path) -> Nsd:
    return Nsd(tmp_path)


def test_values_voxels_and_regions(nsd) -> None:
    responses = nsd.read(standardize="none").responses
    np.testing.assert_allclose(responses.values, nsd.planted / 300, atol=1e-5)
    assert responses.units == "percent signal change"
    targets = responses.targets
    ijk = targets[["i", "j", "k"]].to_numpy()
    np.testing.assert_array_equal(ijk, np.argwhere(nsd.inside))
    np.testing.assert_allclose(targets[["x_mm", "y_mm", "z_mm"]], ijk * 1.8)
    for row, names in enumerate(targets["roi"]):
        voxel, expected = tuple(ijk[row]), {"nsdgeneral"}
        expected |= {1: {"V1v"}, 2: {"V1d"}}.get(int(nsd.ids["prf-visualrois"][voxel]), set())
        expected |= {"FFA-1"} if nsd.ids["floc-faces"][voxel] == 1 else set()
        assert set(names) == expected


def test_trials_follow_the_design(nsd) -> None:
    trials = nsd.read(standardize="none", sessions=[2]).responses.trials
    shown = nsd.images[3][nsd.order - 1] - 1
    assert trials["stimulus_id"].tolist() == [f"nsd-{image:05d}" for image in shown[750:1500]]
    before = [int((shown[: 750 + row] == shown[750 + row]).sum()) + 1 for row in range(750)]
    assert trials["repeat"].tolist() == before  # counted from the subject's first session on
    assert trials["session"].unique().tolist() == ["2"]
    assert trials.groupby("run", sort=False).size().tolist() == [63, 62] * 6
    assert trials["trial_id"].iloc[[0, -1]].tolist() == ["ses-02_trial-001", "ses-02_trial-750"]
    nsd.write_design(sharedix=[])
    refused(r"nsd_expdesign.mat: no variable 'sharedix'", nsd.read)
    nsd.write_design(masterordering=nsd.order[None, :100])
    refused("masterordering 100 trials; expected", nsd.read)
    nsd.write_design(masterordering=nsd.order[None] + 1)
    refused("masterordering runs from 2 to 10001; expected 1 to 10000", nsd.read)
    nsd.design.write_text("nothing")
    refused("not a readable MATLAB file", nsd.read)


def test_z_scores_are_within_session_and_shared_images_tested(nsd) -> None:
    found, shared = nsd.read(val=0.1, seed=3), [f"nsd-{image - 1:05d}" for image in nsd.shared]
    expected = datasets.make_image_split(found.responses.trials, test=shared, val=0.1, seed=3)
    pd.testing.assert_frame_equal(found.splits, expected)
    halves = [(half - half.mean(axis=0)) / half.std(axis=0, ddof=1) for half in np.split(nsd.planted / 300, 2)]
    np.testing.assert_allclose(found.responses.values, np.concatenate(halves), atol=1e-4)
    splits = nsd.read(strict=True).splits  # tests on what all saw three times
    first = nsd.order[: 750 * min(NSD_SESSIONS)]
    thrice = {f"nsd-{nsd.shared[number - 1] - 1:05d}" for number in range(1, 1001) if (first == number).sum() == 3}
    assert read_nsd_design(nsd.design).seen_by_all() == sorted(thrice)
    assert set(splits["stimulus_id"][splits["split"] == "test"]) <= thrice
    assert not set(splits["stimulus_id"][splits["split"] == "train"]) & set(shared)
    nsd.values[2][tuple(np.argwhere(nsd.inside)[4])] = 0
    nsd.write_session(2)
    refused("1 are constant within a session", nsd.read)
    dropped = nsd.read(bad_targets="drop")
    assert len(dropped.responses.targets) == len(dropped.ceiling) == nsd.inside.sum() - 1
    assert dropped.ceiling["target_id"].tolist() == dropped.responses.targets["target_id"].tolist()
    assert dropped.responses.targets.attrs["n_dropped"] == 1
    whole = nsd.read(bad_targets="keep").responses
    assert whole.targets.attrs["n_dropped"] == 0
    assert np.isnan(whole.values[:, 4]).tolist() == [False] * 750 + [True] * 750
    np.testing.assert_allclose(np.delete(whole.values, 4, axis=1), dropped.responses.values, atol=1e-5)


def test_ceilings_are_those_of_the_paper(nsd) -> None:
    found = nsd.read(within=["V1v"])
    rows = found.responses.targets[["i", "j", "k"]].to_numpy()
    ncsnr, test = nsd.ncsnr[tuple(rows.T)].astype(np.float64), found.splits[found.splits["split"] == "test"]
    expected = noise_ceiling_from_ncsnr(ncsnr, test.groupby("stimulus_id").size().to_numpy())
    np.testing.assert_allclose(found.ceiling["ceiling"], expected)
    np.testing.assert_allclose(found.ceiling["signal_share"], noise_ceiling_from_ncsnr(ncsnr, [1]))
    assert found.ceiling["target_id"].tolist() == found.responses.targets["target_id"].tolist()
    assert list(found.ceiling) == ["target_id", "signal_share", "ceiling"]
    assert list(found.responses.targets) == ["target_id", "i", "j", "k", "x_mm", "y_mm", "z_mm", "kind", "hemi", "roi"]
    assert found.responses.targets.index.tolist() == list(range(len(rows)))
    assert found.responses.targets.attrs["space"]["shape"] == list(GRID)
    np.testing.assert_allclose(found.responses.targets.attrs["space"]["affine"], AFFINE)


def test_however_a_file_is_stored(nsd) -> None:
    chosen = np.array([9, 2, 30])
    for chunks in (None, (1, *GRID[::-1]), (750, 1, 1, 1), (750, 2, 6, 7), (100, 2, 3, 7)):
        nsd.write_session(1, chunks=chunks)
        found = nsd.open(sessions=[1])
        np.testing.assert_array_equal(found.read(), nsd.planted[:750])
        np.testing.assert_array_equal(found.read(targets=chosen), nsd.planted[:750][:, chosen])


def test_blocks_stay_integers_and_fit_as_responses_do(nsd, tmp_path) -> None:
    found = nsd.open()
    block = found.read([2], targets=np.array([3, 1]))
    assert block.dtype == np.int16
    np.testing.assert_array_equal(block, nsd.planted[750:][:, [3, 1]])
    chosen = [bool({"FFA-1", "V1d"} & set(names)) for names in found.targets["roi"]]
    assert 0 < sum(chosen) < len(chosen)
    np.testing.assert_array_equal(nsd.open(within=["FFA-1", "V1d"]).read(), nsd.planted[:, chosen])
    refused("open sessions: no session '3'.*; it has 1, 2", found.read, [3])
    refused("1 sessions and 0 targets are asked for", found.read, [1], targets=np.zeros(len(found.targets), dtype=bool))
    found = nsd.open(sessions=[1], within=["V1d"])
    path = found.write(tmp_path / "betas.npy")
    assert np.load(path, mmap_mode="r").dtype == np.int16
    X = np.random.default_rng(1).normal(size=(750, 5)).astype(np.float32)
    ridge = Ridge([1.0, 100.0], device="cpu")
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        fitted = fit_distributed(ridge, X, path, coef=tmp_path / "coef.npy", scale=found.scale, client=client)
    expected = Ridge([1.0, 100.0], device="cpu").fit(X, found.responses().values)
    np.testing.assert_allclose(fitted.coef_, expected.coef_, atol=1e-5)


def test_wrong_files(nsd) -> None:
    whole, path = nsd.session(2).read_bytes(), nsd.session(2)
    for change, message in (
        (lambda: nsd.write_session(2, nsd.values[2][..., :749]), r"session02.hdf5: .*\(749.*; expected int16 .*\(750"),
        (lambda: nsd.write_session(2, nsd.values[2][:6]), r"\(750, 5, 6, 6\); expected .*\(750, 5, 6, 7\): other vox"),
        (lambda: nsd.write_session(2, nsd.values[2].astype(np.float32) / 300), "'betas' is float32"),
        (lambda: nsd.write_session(2, name="beta"), "no dataset 'betas' .*it has beta"),
        (lambda: path.write_bytes(b"no HDF5"), r"session02.hdf5: not a whole HDF5 file"),
        (lambda: path.write_bytes(whole[: len(whole) // 2]), r"session02.hdf5: .*download it again"),
    ):
        change()
        refused(message, nsd.read)
    path.write_bytes(whole)
    refused(r"betas_session03.hdf5: .* lacks session 3, 4, .* of the 30 asked for", nsd.read, sessions=None)
    refused("sessions are 31; subject 4 of NSD has 1 to 30", nsd.read, sessions=[31])
    refused(r"subj02.* no such file", datasets.read_nsd, nsd.root, "2", sessions=[1])
    refused("subject is 9; NSD has 1 to 8", datasets.read_nsd, nsd.root, "09")
    refused("subject is 'anna'; give its number", datasets.read_nsd, nsd.root, "anna")
    refused(r"nsdgenral.nii.gz: no such file .*did you mean 'nsdgeneral.nii.gz'", nsd.read, mask="nsdgenral")
    (nsd.betas / "ncsnr.nii.gz").unlink()
    assert nsd.read().ceiling is None


def test_regions_that_do_not_fit(nsd) -> None:
    nsd.write_roi("Kastner2015", nsd.ids["prf-visualrois"])
    (nsd.labels / "Kastner2015.mgz.ctab").write_text("1 V1v\n2 V1d\n")
    refused(r"names ROI V1d, V1v, as a labelling read before it does", nsd.read, rois=["prf-visualrois", "Kastner2015"])
    table = nsd.labels / "prf-visualrois.mgz.ctab"
    table.write_text("0 Unknown\n1 V1v\n")
    refused(r"prf-visualrois.nii.gz: ROI id 2 has no name in .*ctab \(it names 0 Unkn", nsd.read)
    table.write_text("V1v 1\n")
    refused(r"ctab: line 1 is 'V1v 1'; expected an id and a name", nsd.read)
    table.unlink()
    refused("labels several regions, and there is no table of their names", nsd.read)
    nsd.write_roi("floc-faces", nsd.ids["floc-faces"][:5])
    refused(r"floc-faces.nii.gz has shape \(5, 6, 5\) but the mask has \(7, 6, 5\)", nsd.read, rois=["floc-faces"])


def test_images_come_out_of_their_file(nsd, tmp_path) -> None:
    shared, own = f"nsd-{nsd.shared[0] - 1:05d}", f"nsd-{nsd.images[3][-1] - 1:05d}"
    nsd.write_images([shared, own])
    table = datasets.write_nsd_images(nsd.root, [own, shared, own], tmp_path / "images").set_index("stimulus_id")
    assert table["set"].to_dict() == {shared: "shared", own: "unique"}
    for name in (shared, own):
        written = Image.open(tmp_path / "images" / table["path"][name])
        np.testing.assert_array_equal(np.asarray(written), nsd.picture(name))
    refused("has no image 'nsd-73000'; expected", datasets.write_nsd_images, nsd.root, ["nsd-73000"], tmp_path / "x")
    (nsd.root / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5").unlink()
    refused(r"nsd_stimuli.hdf5: no such file", datasets.write_nsd_images, nsd.root, [own], tmp_path / "images")


def test_prepare_takes_the_folder(nsd) -> None:
    shown = nsd.open(sessions=[1]).trials["stimulus_id"]
    nsd.write_images(shown)
    datasets.write_nsd_images(nsd.root, shown, nsd.root / "images")
    files = {"format": "nsd", "root": ".", "participant": "04", "sessions": [1], "mask": "nsdgeneral"}
    files |= {"rois": ["nsdgeneral", *NAMES], "within": ["V1d", "V1v"]}
    descriptor = described(nsd.root, files, "images/stimuli.tsv", column="set", value="shared")
    study = load_descriptor(descriptor)
    assert not datasets.audit_study(study).errors
    assert {"betas_session01.hdf5", "nsdgeneral.nii.gz", "nsd_expdesign.mat"} <= {p.name for p in study.inputs("01")}
    prepared, splits, ceiling = prepare(descriptor, nsd.root / "images" / "stimuli.tsv", "01")
    expected = nsd.read(sessions=[1], within=["V1d", "V1v"])
    np.testing.assert_array_equal(prepared.values, expected.responses.values)
    both = splits.set_index("trial_id")["split"], expected.splits.set_index("trial_id")["split"]
    assert both[0].equals(both[1])
    assert np.isfinite(ceiling["ceiling"]).all()


class Cortex:
    """Two sessions; all but a few vertices are zeros that take no room on disk."""

    def __init__(self, root, betas=None) -> None:
        self.root, rng = root, np.random.default_rng(0)
        self.values = {side: rng.normal(size=(1500, len(rows))).astype(np.float32) for side, rows in CHOSEN.items()}
        self.gapped = rng.normal(size=1500).astype(np.float32)
        self.gapped[10] = -999
        for side in CHOSEN:
            if betas is None:
                self.write(side)
            else:
                (root / f"{side}_betas_sub-01.npy").symlink_to(betas / f"{side}_betas_sub-01.npy")
        images = rng.permutation(73000)[:500]
        self.shown = rng.permutation(np.repeat(images, 3))
        self.ncsnr = {side: rng.uniform(0, 1, N).astype(np.float32) for side in CHOSEN}
        self.metadata = {
            "img_presentation_order": np.r_[self.shown, np.zeros(750, dtype=int)],  # the design goes on
            "train_img_num": images[:400], "val_img_num": images[400:420], "test_img_num": images[420:490],
            "lh_fsaverage_rois": {"V1v": CHOSEN["lh"], "EBA": np.array([5, GAPPED]), "OFA": np.array([], dtype=int)},
            "rh_fsaverage_rois": {"V1v": CHOSEN["rh"][:1], "FFA-1": CHOSEN["rh"][1:], "OFA": np.array([], dtype=int)},
            "lh_ncsnr": self.ncsnr["lh"], "rh_ncsnr": self.ncsnr["rh"],
        }  # fmt: skip
        self.describe()

    def write(self, side: str, shape=(1500, N)) -> None:
        path = self.root / f"{side}_betas_sub-01.npy"
        path.unlink(missing_ok=True)
        out = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        if shape == (1500, N):
            out[:, CHOSEN[side]] = self.values[side]
        if side == "lh" and shape == (1500, N):
            out[:, GAPPED] = self.gapped

    def describe(self, **changes) -> None:
        content = {key: value for key, value in (self.metadata | changes).items() if value is not None}
        np.save(self.root / "metadata_sub-01.npy", content, allow_pickle=True)

    def read(self, **options):
        return datasets.read_nsd_cortex(self.root, "01", **{"trust_pickle": True, "within": ["V1v", "FFA-1"]} | options)


@pytest.fixture(scope="module")
def betas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Cortex(tmp_path_factory.mktemp("betas")).root


@pytest.fixture
def cortex(tmp_path: Path, betas: Path) -> Cortex:
    return Cortex(tmp_path, betas)


def test_values_vertices_and_splits(cortex) -> None:
    found = cortex.read()
    responses = found.responses
    np.testing.assert_array_equal(responses.values, np.c_[cortex.values["lh"], cortex.values["rh"]])
    assert responses.targets["vertex"].tolist() == [0, 5, 163841, 0, 77]
    assert responses.targets["hemi"].tolist() == ["L"] * 3 + ["R"] * 2
    assert responses.targets["roi"].map(list).tolist() == [["V1v"], ["V1v", "EBA"], *[["V1v"]] * 2, ["FFA-1"]]
    assert responses.trials["stimulus_id"].tolist() == [f"nsd-{image:05d}" for image in cortex.shown]
    assert responses.trials["session"].tolist() == ["1"] * 750 + ["2"] * 750
    for name, images in found.splits.groupby("split")["stimulus_id"]:
        assert set(images) == {f"nsd-{image:05d}" for image in cortex.metadata[f"{name}_img_num"]}
    found = cortex.read(sessions=[2], within=["FFA-1"])
    np.testing.assert_array_equal(found.responses.values, cortex.values["rh"][750:, 1:])
    test = found.splits[found.splits["split"] == "test"]
    expected = noise_ceiling_from_ncsnr(cortex.ncsnr["rh"][[77]], test.groupby("stimulus_id").size().to_numpy())
    np.testing.assert_allclose(found.ceiling["ceiling"], expected, rtol=1e-6)
    within = ["EBA", "FFA-1"]
    refused("1 of 3 targets hold NaN", cortex.read, within=within)
    kept = cortex.read(within=within, bad_targets="keep", standardize="session").responses.values
    assert np.argwhere(np.isnan(kept)).tolist() == [[10, 1]]
    measured = np.delete(cortex.gapped[:750], 10).astype(np.float64)
    expected = (measured - measured.mean()) / measured.std(ddof=1)
    np.testing.assert_allclose(np.delete(kept[:750, 1], 10), expected, atol=1e-5)
    assert cortex.read(within=within, bad_targets="drop").responses.targets["vertex"].tolist() == [5, 77]


def test_a_study_takes_the_surface(cortex) -> None:
    table = pd.DataFrame({"stimulus_id": [f"nsd-{image:05d}" for image in np.unique(cortex.shown)]})
    tested = {f"nsd-{image:05d}" for image in cortex.metadata["test_img_num"]}
    table["set"] = ["test" if name in tested else "train" for name in table["stimulus_id"]]
    table.to_csv(cortex.root / "stimuli.tsv", sep="\t", index=False)
    files = {"format": "nsd_cortex", "root": ".", "participant": "01", "within": ["V1v", "FFA-1"], "sessions": [2]}
    split = {"column": "set", "value": "test"}
    study = load_descriptor(described(cortex.root, files | {"trust_pickle": True}, **split))
    assert {"lh_betas_sub-01.npy", "metadata_sub-01.npy"} <= {file.name for file in study.inputs("01")}
    expected = cortex.read(sessions=[2], standardize="session").responses
    np.testing.assert_array_equal(datasets.read_subject(study, "01").values, expected.values)
    refused("trust_pickle", datasets.read_subject, load_descriptor(described(cortex.root, files, **split)), "01")


def test_wrong_files_of_the_cortex(cortex) -> None:
    refused(r"sessions are 3; .* has 1 to 2", cortex.read, sessions=[3])
    wrong = cortex.root, "2"
    refused("sub-02.npy: .*did you mean 'lh_betas_sub-01", datasets.read_nsd_cortex, *wrong, trust_pickle=True)
    for changes, message in (
        ({"test_img_num": None}, r"metadata_sub-01.npy: no entry 'test_img_num'.*; it has "),
        ({"img_presentation_order": cortex.shown[:1400]}, r"has 1400 trials but .*lh_.* has 1500"),
        ({"lh_fsaverage_rois": {"V1v": np.array([N])}}, r"'V1v' of lh_.* has vertex 163842; expected 0 to 163841"),
        ({"lh_ncsnr": np.ones(9)}, "lh_ncsnr has 9 vertices but fsaverage has 163842"),
    ):
        cortex.describe(**changes)
        refused(message, cortex.read)
    cortex.describe()
    for shape, message in (
        ((750, N), r"lh_.* has 1500 trials but .*rh_betas_sub-01.npy has 750"),
        ((1499, N), r"has shape \(1499, 163842\); expected \(750 per session, 163842\)"),
        ((1500, 20544), r"has shape \(1500, 20544\)"),
    ):
        cortex.write("rh", shape)
        refused(message, cortex.read)


N_CHALLENGE = {"L": 40, "R": 50}
SIDES = {"L": "lh", "R": "rh"}
IMAGES = [13, 845, 27, 72999, 4, 500, 12, 33, 60000, 41, 42, 43]
CHALLENGE_NAMES = {roi: {0: "Unknown", 1: f"{roi[-5:]}-1", 2: f"{roi[-5:]}-2"} for roi in ALGONAUTS_ROIS}


class Challenge:
    def __init__(self, root) -> None:
        rng = np.random.default_rng(0)
        self.root, self.place = root, root / "subj01"
        self.fmri = self.place / "training_split" / "training_fmri"
        self.pictures = self.place / "training_split" / "training_images"
        self.masks = self.place / "roi_masks"
        for folder in (self.fmri, self.pictures, self.masks):
            folder.mkdir(parents=True)
        for number, image in enumerate(IMAGES, 1):
            Image.new("RGB", (8, 8)).save(self.pictures / f"train-{number:04d}_nsd-{image:05d}.png")
        self.values = {hemi: rng.normal(size=(len(IMAGES), n)).astype(np.float32) for hemi, n in N_CHALLENGE.items()}
        self.ids = {(hemi, roi): rng.integers(0, 3, n) for hemi, n in N_CHALLENGE.items() for roi in ALGONAUTS_ROIS}
        self.ids["L", "streams"][:] = np.minimum(self.ids["L", "streams"], 1)  # streams-2 is in the right one only
        self.vertices = {hemi: np.sort(rng.permutation(163842)[:n]) for hemi, n in N_CHALLENGE.items()}
        for hemi, side in SIDES.items():
            np.save(self.fmri / f"{side}_training_fmri.npy", self.values[hemi])
            whole = np.zeros(163842, dtype=np.int64)
            whole[self.vertices[hemi]] = 1
            np.save(self.masks / f"{side}.all-vertices_fsaverage_space.npy", whole)
            for roi in ALGONAUTS_ROIS:
                np.save(self.masks / f"{side}.{roi}_challenge_space.npy", self.ids[hemi, roi])
        for roi, names in CHALLENGE_NAMES.items():
            np.save(self.masks / f"mapping_{roi}.npy", names, allow_pickle=True)

    def read(self, **options):
        return read_algonauts(self.root, "01", **({"trust_pickle": True} | options))


@pytest.fixture
def challenge(tmp_path) -> Challenge:
    return Challenge(tmp_path)


def test_values_images_vertices_and_regions(challenge) -> None:
    responses = challenge.read().responses
    np.testing.assert_array_equal(responses.values, np.c_[challenge.values["L"], challenge.values["R"]])
    assert responses.trials["stimulus_id"].tolist() == [f"nsd-{image:05d}" for image in IMAGES]
    targets = responses.targets
    assert targets["hemi"].tolist() == ["L"] * N_CHALLENGE["L"] + ["R"] * N_CHALLENGE["R"]
    assert targets["vertex"].tolist() == [*challenge.vertices["L"], *challenge.vertices["R"]]
    assert targets["challenge_vertex"].tolist() == [*range(N_CHALLENGE["L"]), *range(N_CHALLENGE["R"])]
    rows = [(hemi, vertex) for hemi, n in N_CHALLENGE.items() for vertex in range(n)]
    for (hemi, vertex), names in zip(rows, targets["roi"], strict=True):
        ids = {roi: challenge.ids[hemi, roi][vertex] for roi in ALGONAUTS_ROIS}
        assert set(names) == {CHALLENGE_NAMES[roi][key] for roi, key in ids.items() if key}


def test_regions_that_are_read_and_missing_responses(challenge) -> None:
    whole, chosen = challenge.read().responses, ["reams-2", "faces-1"]
    part = challenge.read(within=chosen).responses
    rows = np.flatnonzero([bool(set(chosen) & set(names)) for names in whole.targets["roi"]])
    np.testing.assert_array_equal(part.values, whole.values[:, rows])
    assert part.targets["target_id"].tolist() == whole.targets["target_id"].iloc[rows].tolist()
    challenge.values["R"][3, 7] = -999
    np.save(challenge.fmri / "rh_training_fmri.npy", challenge.values["R"])
    refused("1 of 90 targets hold NaN", challenge.read)
    assert len(challenge.read(bad_targets="drop").responses.targets) == 89
    kept = challenge.read(bad_targets="keep").responses.values
    assert np.argwhere(np.isnan(kept)).tolist() == [[3, N_CHALLENGE["L"] + 7]]


def test_splits_follow_the_seed_and_places_may_be_unknown(challenge) -> None:
    for side in SIDES.values():
        (challenge.masks / f"{side}.all-vertices_fsaverage_space.npy").unlink()
    found = challenge.read(test=0.25, val=0.25, seed=3)
    pd.testing.assert_frame_equal(found.splits, make_image_split(found.responses.trials, test=0.25, val=0.25, seed=3))
    assert found.ceiling is None
    # The challenge's numbers are no vertices of a mesh, and no map may take them for such.
    assert "vertex" not in found.responses.targets


def test_nothing_is_unpickled_unasked(challenge, tmp_path) -> None:
    trap = tmp_path / "loaded"
    np.save(challenge.masks / "mapping_prf-visualrois.npy", np.array(Trap(trap), dtype=object), allow_pickle=True)
    refused(r"mapping_prf-visualrois.npy: is a pickled .* give trust_pickle=True", challenge.read, trust_pickle=False)
    np.save(challenge.fmri / "lh_training_fmri.npy", np.array(Trap(trap), dtype=object), allow_pickle=True)
    refused(r"lh_training_fmri.npy: no whole .npy file of numbers", challenge.read)
    assert not trap.exists()
    np.save(challenge.fmri / "lh_training_fmri.npy", challenge.values["L"])
    assert challenge.read(trust_pickle=False, rois=()).responses.targets["roi"].map(len).sum() == 0
    refused("holds a NoneType; expected a dictionary", challenge.read)  # trusted, and the trap is sprung
    assert trap.exists()


def test_files_that_disagree(challenge) -> None:
    path = challenge.fmri / "rh_training_fmri.npy"
    np.save(path, challenge.values["R"][:10])
    refused(r"rh_training_fmri.npy has 10 rows but training_images has 12", challenge.read)
    np.save(path, challenge.values["R"][:, :45])
    refused(r"challenge_space.npy has 50 vertices but rh_training_fmri.npy has 45", challenge.read)
    refused(r"fsaverage_space.npy has 50 vertices but rh_training_fmri.npy has 45", challenge.read, rois=())
    np.save(path, challenge.values["R"][0])
    refused(r"float32 of shape \(50,\); expected numbers with 2 axes", challenge.read)
    path.write_bytes(path.read_bytes()[:150])
    refused(r"rh_training_fmri.npy: no whole .npy file", challenge.read)


def test_what_is_not_there_or_has_no_name(challenge) -> None:
    mapping = challenge.masks / "mapping_streams.npy"
    np.save(mapping, {0: "Unknown", 1: "early"}, allow_pickle=True)
    refused(r"rh.streams_ch.*: ROI id 2 has no name in .*mapping_streams.npy", challenge.read)
    refused(r"subj05: no such file .*holds subj01", read_algonauts, challenge.root, "5")
    mapping.unlink()
    refused(r"mapping_streams.npy: no such file .* rois=", challenge.read)
    (challenge.fmri / "lh_training_fmri.npy").unlink()
    refused(r"lh_training_fmri.npy: no such file .*rh_training_fmri.npy", challenge.read)
    (challenge.pictures / "train-0002_nsd-00845.png").unlink()
    refused(r"11 images go up to 12, but 1 are missing \(first: train-0002\)", challenge.read)
    Image.new("RGB", (8, 8)).save(challenge.pictures / "cat.png")
    refused(r"holds cat.png; expected names like train-0001_nsd-00013.png", challenge.read)


def test_prepare_takes_the_folder_of_the_challenge(challenge) -> None:
    rng = np.random.default_rng(1)
    for path in challenge.pictures.glob("*.png"):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    folder = challenge.root
    read_algonauts_images(folder, "1").to_csv(folder / "stimuli.tsv", sep="\t", index=False)
    files = {"format": "algonauts", "root": ".", "participant": "01", "trust_pickle": True}
    descriptor = described(folder, files, share=0.6)
    study = load_descriptor(descriptor)
    assert not audit_study(study).errors
    inputs = {path.name for path in study.inputs("01")}
    assert {"lh_training_fmri.npy", "rh.streams_challenge_space.npy", "mapping_streams.npy"} <= inputs
    prepared, splits, ceiling = prepare(descriptor, folder / "stimuli.tsv", "01")
    np.testing.assert_array_equal(prepared.values, challenge.read().responses.values)
    assert prepared.targets["roi"].map(list).tolist() == challenge.read().responses.targets["roi"].tolist()
    assert splits["split"].value_counts().to_dict() == {"train": 5, "test": 7}
    assert ceiling["ceiling"].isna().all()  # averages over repeats tell nothing of their noise
    (error,) = audit_study(load_descriptor(described(folder, files | {"trust_pickle": False}, share=0.6))).errors
    assert "trust_pickle" in str(error)


N_OWN, N_COMMON, N_VOXELS, N_UNITS = 20, 7, 5, 16


class BrainCorl:
    def __init__(self, root) -> None:
        self.root, rng = root, np.random.default_rng(0)
        shapes = {
            "s2_unique_nrn_feats_msk.npy": (N_OWN, N_VOXELS),
            "s2_common_nrn_feats_msk.npy": (N_COMMON, N_VOXELS),
            "s2_gt.npy": (N_VOXELS, N_UNITS + 1),
        }
        self.files = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        for name, n in {"s2_unique_img_feats_normed.npy": N_OWN, "common_img_feats_normed.npy": N_COMMON}.items():
            x = rng.normal(size=(n, N_UNITS))
            self.files[name] = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)
        for name, values in self.files.items():
            np.save(root / name, values)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.files[name + ".npy"].astype(np.float32)


@pytest.fixture
def braincorl(tmp_path) -> BrainCorl:
    return BrainCorl(tmp_path)


def test_images_voxels_and_weights(braincorl) -> None:
    found = read_braincorl(braincorl.root, "2")
    responses, features = found.responses, found.features
    both = np.r_[braincorl["s2_unique_nrn_feats_msk"], braincorl["s2_common_nrn_feats_msk"]]
    np.testing.assert_array_equal(responses.values, both)
    aligned = features.align_to(responses).values
    both = np.r_[braincorl["s2_unique_img_feats_normed"], braincorl["common_img_feats_normed"]]
    np.testing.assert_array_equal(aligned, both)
    weights = braincorl["s2_gt"]
    expected = aligned @ weights[:, :-1].T + weights[:, -1]
    np.testing.assert_allclose(aligned @ found.coef + found.intercept, expected, rtol=1e-5, atol=1e-5)
    assert found.splits["split"].tolist() == ["train"] * N_OWN + ["test"] * N_COMMON
    values = braincorl["s2_unique_nrn_feats_msk"]
    values[3, 1] = -999
    np.save(braincorl.root / "s2_unique_nrn_feats_msk.npy", values)
    assert np.argwhere(np.isnan(read_braincorl(braincorl.root, "s2").responses.values)).tolist() == [[3, 1]]


@pytest.mark.parametrize(("name", "shape", "expected"), [
    ("s2_unique_nrn_feats_msk", (N_OWN - 1, N_VOXELS), (N_OWN, N_VOXELS)),
    ("s2_common_nrn_feats_msk", (N_COMMON, N_VOXELS + 1), (N_COMMON, N_VOXELS)),
    ("s2_gt", (N_VOXELS, N_UNITS), (N_VOXELS, N_UNITS + 1)),
    ("common_img_feats_normed", (N_COMMON, N_UNITS - 1), (N_COMMON, N_UNITS)),
])  # fmt: skip
def test_shapes_of_braincorl_that_disagree(braincorl, name, shape, expected) -> None:
    np.save(braincorl.root / f"{name}.npy", np.ones(shape, dtype=np.float32))
    refused(rf"{name}.* has .*{re.escape(str(shape))}.*{re.escape(str(expected))}", read_braincorl, braincorl.root, "2")


def test_wrong_arrays(braincorl) -> None:
    refused(r"s1_unique_img_feats_normed.npy: no such file .*did you mean 's2_uni", read_braincorl, braincorl.root, "1")
    np.save(braincorl.root / "common_img_feats_normed.npy", 2 * braincorl["common_img_feats_normed"])
    refused(r"7 of 7 rows are not of length 1 \(first: row 1 of length 2.00", read_braincorl, braincorl.root, "2")
    np.save(braincorl.root / "s2_gt.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    refused(r"s2_gt.npy: no whole .npy file of numbers", read_braincorl, braincorl.root, "2")
