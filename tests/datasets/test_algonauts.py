import numpy as np
import pandas as pd
import pytest
import yaml
from jobs import prepare
from PIL import Image
from refusals import Trap, refused

from brainalign.datasets import audit_study, make_image_split, read_algonauts, read_algonauts_images
from brainalign.datasets.published import ALGONAUTS_ROIS
from brainalign.study import load_descriptor

N = {"L": 40, "R": 50}
SIDES = {"L": "lh", "R": "rh"}
IMAGES = [13, 845, 27, 72999, 4, 500, 12, 33, 60000, 41, 42, 43]
NAMES = {roi: {0: "Unknown", 1: f"{roi[-5:]}-1", 2: f"{roi[-5:]}-2"} for roi in ALGONAUTS_ROIS}


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
        self.values = {hemi: rng.normal(size=(len(IMAGES), n)).astype(np.float32) for hemi, n in N.items()}
        self.ids = {(hemi, roi): rng.integers(0, 3, n) for hemi, n in N.items() for roi in ALGONAUTS_ROIS}
        self.ids["L", "streams"][:] = np.minimum(self.ids["L", "streams"], 1)  # streams-2 is in the right one only
        self.vertices = {hemi: np.sort(rng.permutation(163842)[:n]) for hemi, n in N.items()}
        for hemi, side in SIDES.items():
            np.save(self.fmri / f"{side}_training_fmri.npy", self.values[hemi])
            whole = np.zeros(163842, dtype=np.int64)
            whole[self.vertices[hemi]] = 1
            np.save(self.masks / f"{side}.all-vertices_fsaverage_space.npy", whole)
            for roi in ALGONAUTS_ROIS:
                np.save(self.masks / f"{side}.{roi}_challenge_space.npy", self.ids[hemi, roi])
        for roi, names in NAMES.items():
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
    assert targets["hemi"].tolist() == ["L"] * N["L"] + ["R"] * N["R"]
    assert targets["vertex"].tolist() == [*challenge.vertices["L"], *challenge.vertices["R"]]
    assert targets["challenge_vertex"].tolist() == [*range(N["L"]), *range(N["R"])]
    rows = [(hemi, vertex) for hemi, n in N.items() for vertex in range(n)]
    for (hemi, vertex), names in zip(rows, targets["roi"], strict=True):
        ids = {roi: challenge.ids[hemi, roi][vertex] for roi in ALGONAUTS_ROIS}
        assert set(names) == {NAMES[roi][key] for roi, key in ids.items() if key}


def test_regions_that_are_read_and_missing_responses(challenge) -> None:
    whole = challenge.read().responses
    chosen = ["reams-2", "faces-1"]
    part = challenge.read(within=chosen).responses
    rows = np.flatnonzero([bool(set(chosen) & set(names)) for names in whole.targets["roi"]])
    np.testing.assert_array_equal(part.values, whole.values[:, rows])
    assert part.targets["target_id"].tolist() == whole.targets["target_id"].iloc[rows].tolist()
    refused(r"within: no ROI 'faces-3' \(did you mean 'faces-", challenge.read, within=["faces-3"])
    challenge.values["R"][3, 7] = -999
    np.save(challenge.fmri / "rh_training_fmri.npy", challenge.values["R"])
    refused("1 of 90 targets hold NaN", challenge.read)
    assert len(challenge.read(bad_targets="drop").responses.targets) == 89
    kept = challenge.read(bad_targets="keep").responses.values
    assert np.argwhere(np.isnan(kept)).tolist() == [[3, N["L"] + 7]]


def test_splits_follow_the_seed_and_places_may_be_unknown(challenge) -> None:
    for side in SIDES.values():
        (challenge.masks / f"{side}.all-vertices_fsaverage_space.npy").unlink()
    found = challenge.read(test=0.25, val=0.25, seed=3)
    expected = make_image_split(found.responses.trials, test=0.25, val=0.25, seed=3)
    pd.testing.assert_frame_equal(found.splits, expected)
    assert found.ceiling is None
    # The challenge's numbers are no vertices of a mesh, and no map may take them for such.
    targets = found.responses.targets
    assert "vertex" not in targets
    assert targets["challenge_vertex"].tolist() == [*range(N["L"]), *range(N["R"])]


def test_nothing_is_unpickled_unasked(challenge, tmp_path) -> None:
    trap = tmp_path / "loaded"
    path = challenge.masks / "mapping_prf-visualrois.npy"
    np.save(path, np.array(Trap(trap), dtype=object), allow_pickle=True)
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
    refused(r"rh_training_fmri.npy: has 10 rows but training_images holds 12 images", challenge.read)
    np.save(path, challenge.values["R"][:, :45])
    refused(r"labels 50 vertices but rh_training_fmri.npy has 45", challenge.read)
    refused(r"marks 50 vertices but rh_training_fmri.npy has 45", challenge.read, rois=())
    np.save(path, challenge.values["R"][0])
    refused(r"float32 of shape \(50,\); expected numbers with 2 axes", challenge.read)
    path.write_bytes(path.read_bytes()[:150])
    refused(r"rh_training_fmri.npy: no whole .npy file", challenge.read)


def test_what_is_not_there_or_has_no_name(challenge) -> None:
    mapping = challenge.masks / "mapping_streams.npy"
    np.save(mapping, {0: "Unknown", 1: "early"}, allow_pickle=True)
    refused(r"rh.streams_ch.*: ROI id 2 has no name in .*mapping_streams.npy", challenge.read)
    np.save(mapping, NAMES["floc-faces"], allow_pickle=True)
    refused("names ROI faces-1, as a labelling read before it does", challenge.read)
    refused(r"subj05: no such file .*holds subj01", read_algonauts, challenge.root, "5")
    mapping.unlink()
    refused(r"mapping_streams.npy: no such file .* rois=", challenge.read)
    (challenge.fmri / "lh_training_fmri.npy").unlink()
    refused(r"lh_training_fmri.npy: no such file .*rh_training_fmri.npy", challenge.read)
    (challenge.pictures / "train-0002_nsd-00845.png").unlink()
    refused(r"11 images go up to 12, but 1 are missing \(first: train-0002\)", challenge.read)
    Image.new("RGB", (8, 8)).save(challenge.pictures / "cat.png")
    refused(r"holds cat.png; expected names like train-0001_nsd-00013.png", challenge.read)


def test_prepare_takes_the_folder(challenge) -> None:
    rng = np.random.default_rng(1)
    for path in challenge.pictures.glob("*.png"):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    folder = challenge.root
    read_algonauts_images(folder, "1").to_csv(folder / "stimuli.tsv", sep="\t", index=False)
    files = {"format": "algonauts", "root": ".", "participant": "01", "trust_pickle": True}
    content = {"name": "challenge", "stimuli": "stimuli.tsv", "recordings": {"01": files}}
    content |= {"splits": {"drawn": {"share": 0.6}}}
    descriptor = folder / "challenge.yaml"
    descriptor.write_text(yaml.safe_dump(content))
    study = load_descriptor(descriptor)
    assert not audit_study(study).errors
    inputs = {path.name for path in study.inputs("01")}
    assert {"lh_training_fmri.npy", "rh.streams_challenge_space.npy", "mapping_streams.npy"} <= inputs
    prepared, splits, ceiling = prepare(descriptor, folder / "stimuli.tsv", "01")
    np.testing.assert_array_equal(prepared.values, challenge.read().responses.values)
    assert prepared.targets["roi"].map(list).tolist() == challenge.read().responses.targets["roi"].tolist()
    assert splits["split"].value_counts().to_dict() == {"train": 5, "test": 7}
    assert ceiling["ceiling"].isna().all()  # averages over repeats tell nothing of their noise
    content["recordings"]["01"] = files | {"trust_pickle": False}
    descriptor.write_text(yaml.safe_dump(content))
    (error,) = audit_study(load_descriptor(descriptor)).errors
    assert "trust_pickle" in str(error)
