import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiLabel, GiftiLabelTable, GiftiMetaData
from nilearn.datasets import load_fsaverage
from refusals import refused

from brainalign.datasets import read_betas

N, TRIALS = 642, 12  # fsaverage3


def gifti(path, arrays, *, structure=None, kind="NIFTI_TYPE_FLOAT32", labels=None):
    meta = GiftiMetaData({"AnatomicalStructurePrimary": structure} if structure else {})
    data, table = [GiftiDataArray(a, datatype=kind, meta=meta) for a in arrays], None
    if labels:
        table = GiftiLabelTable()
        for key, name in labels.items():
            label = GiftiLabel(key)
            label.label = name
            table.labels.append(label)
    nibabel.save(GiftiImage(darrays=data, labeltable=table), path)
    return path


class Study:
    def __init__(self, folder) -> None:
        self.folder = folder
        rng = np.random.default_rng(0)
        self.values = {h: rng.normal(size=(TRIALS, N)).astype(np.float32) for h in "LR"}
        self.betas = {h: gifti(folder / f"{h}.func.gii", list(self.values[h])) for h in "LR"}
        self.trials = folder / "trials.tsv"
        self.table = pd.DataFrame({"stimulus_id": list("abcdef") * 2, "session": ["1"] * 6 + ["2"] * 6})
        self.table.to_csv(self.trials, sep="\t", index=False)

    def labels(self, hemi="L", n=N, **changes):
        keys = np.zeros(n, dtype=np.int32)
        keys[10:20] = 1
        names = {0: "???", 1: "V1"} | changes.pop("names", {})
        return gifti(self.folder / f"{hemi}.label.gii", [keys], kind="NIFTI_TYPE_INT32", labels=names, **changes)

    def read(self, betas=None, **options):
        return read_betas(betas or self.betas, self.trials, **({"standardize": "none"} | options))


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(tmp_path)


def test_surface_values_places_and_rois(study) -> None:
    responses = study.read(rois={"L": study.labels("L"), "R": study.labels("R")})
    np.testing.assert_array_equal(responses.values, np.c_[study.values["L"], study.values["R"]])
    targets = responses.targets
    assert (targets["hemi"].tolist(), targets["vertex"].tolist()) == (["L"] * N + ["R"] * N, list(range(N)) * 2)
    inside = [row for row, names in enumerate(targets["roi"]) if names == ["V1"]]
    assert inside == [*range(10, 20), *range(N + 10, N + 20)]
    pial, xyz = load_fsaverage("fsaverage5")["pial"].parts, targets[["x_mm", "y_mm", "z_mm"]].to_numpy()
    assert np.linalg.norm(xyz[:N] - pial["left"].coordinates[:N], axis=1).max() < 4  # half the cortex away at most
    assert (xyz[:N, 0] < 5).all()
    assert xyz[N:, 0].mean() > 20


def test_arrays_in_either_layout_and_files_of_sessions(study) -> None:
    expected = np.c_[study.values["L"], study.values["R"]]
    paths = {hemi: [study.folder / f"{hemi}{part}.func.gii" for part in (0, 1)] for hemi in "LR"}
    for hemi, values in study.values.items():
        for part, path in enumerate(paths[hemi]):
            gifti(path, list(values[6 * part : 6 * part + 6]))
    np.testing.assert_array_equal(study.read(paths).values, expected)
    for layout in (np.asarray, np.transpose):
        for hemi, values in study.values.items():
            gifti(study.betas[hemi], [np.ascontiguousarray(layout(values))])
        np.testing.assert_array_equal(study.read().values, expected)
    halves = [(half - half.mean(axis=0)) / half.std(axis=0, ddof=1) for half in np.split(expected, 2)]
    np.testing.assert_allclose(study.read(standardize="session").values, np.concatenate(halves), atol=1e-5)
    study.table.assign(session=["1"] * 11 + ["2"]).to_csv(study.trials, sep="\t", index=False)
    refused("session 2 has a single trial", study.read, standardize="session")


def test_truncated_gifti_names_file_and_remedy(study) -> None:
    path = study.betas["R"]
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        refused(r"R\.func\.gii: truncated.*copy or download it again", study.read)
    at = whole.index(b"<Data>") + 200
    path.write_bytes(whole[:at] + whole[at + 400 :])  # bytes lost inside: the XML is whole, the data are not
    refused(r"R\.func\.gii: truncated", study.read)


def test_files_that_do_not_fit(study) -> None:
    gifti(study.betas["R"], [row[:600] for row in study.values["R"]])
    refused(r"L has 642, R has 600, but no known mesh.*fsaverage5 10,242", study.read)
    refused("R has 600, but fsaverage3 has 642 vertices", study.read, space="fsaverage3")
    native = study.read(space="native")
    assert native.values.shape == (TRIALS, 1242)
    assert native.targets["x_mm"].isna().all()
    refused("hemisphere must be one of 'L', 'R'; got 'left'", study.read, {"left": study.betas["L"]})
    study.table[:-1].to_csv(study.trials, sep="\t", index=False)
    refused(r"has 12 maps but the table of trials .*trials\.tsv has 11", study.read, space="native")
    gifti(study.betas["R"], list(study.values["R"][:5]))
    refused("'L': 12, 'R': 5", study.read)
    gifti(study.betas["L"], list(study.values["L"]), structure="CortexRight")
    refused("holds CortexRight, but the descriptor gives it as hemisphere L", study.read)


def test_rois_that_are_empty_unknown_or_of_another_mesh(study) -> None:
    with pytest.warns(RuntimeWarning, match="ROI V9 is left out: none of the 1284 targets is labelled so"):
        found = study.read(rois={"L": study.labels(names={9: "V9"})})
    assert sum(map(bool, found.targets["roi"])) == 10
    with_v9 = {"L": study.labels(names={9: "V9"})}
    refused(r"ROI V9 is empty: .* leave it out of roi_names", study.read, rois=with_v9, roi_names=["V9"])
    other = study.labels("R", names={1: "V3"})
    both = study.read(rois={"L": study.labels(), "R": other}, roi_names=["V3"]).targets["roi"]
    assert [row for row, names in enumerate(both) if names] == list(range(N + 10, N + 20))
    named = {"L": study.labels()}
    refused(r"roi_names: no ROI 'V1x' \(did you mean 'V1'", study.read, rois=named, roi_names=["V1x"])
    refused("has 500 vertices but a map of hemisphere L has 642", study.read, rois={"L": study.labels(n=500)})
    assert sum(map(bool, study.read(rois={"L": study.labels(names={9: "V9"})}, roi_names=["V1"]).targets["roi"])) == 10


def test_annot_files(study) -> None:
    keys = np.full(N, -1)
    keys[:5] = 1
    colours = np.array([[0, 0, 0, 0, 0], [10, 20, 30, 0, 0]])
    nibabel.freesurfer.write_annot(study.folder / "L.annot", keys, colours, ["unknown", "V1"], fill_ctab=True)
    targets = study.read(rois={"L": study.folder / "L.annot"}).targets
    assert [row for row, names in enumerate(targets["roi"]) if names] == [0, 1, 2, 3, 4]
    whole = np.fromfile(study.folder / "L.annot", dtype=">i4")
    after = 1 + 2 * N  # whether there is a table of colours, its version, and how many colours it has at most
    for place, value, message in (
        (0, -1, "-1 vertices do not fit"),
        (0, len(whole), f"{len(whole)} vertices do not fit into {4 * len(whole):,} bytes"),
        (0, (len(whole) - 3) // 2 + 1, "vertices do not fit"),
        (after + 1, 10**8, "100000000 colours do not fit into"),
        (after + 2, 10**8, "100000000 colours do not fit into"),
    ):
        spoilt = whole.copy()
        spoilt[place] = value
        spoilt.tofile(study.folder / "L.annot")
        refused(message, study.read, rois={"L": study.folder / "L.annot"})
    (study.folder / "L.annot").write_bytes(b"\0\0")
    refused(r"not a readable \.annot file", study.read, rois={"L": study.folder / "L.annot"})


def test_bad_vertices_are_refused_dropped_or_kept(study) -> None:
    study.values["L"][3, 7] = np.nan
    study.values["L"][:6, 8] = 2.0  # constant in the first session only
    gifti(study.betas["L"], list(study.values["L"]))
    refused(r"1 of 1284 targets hold NaN.* 1 are constant.*vertex-L-7, vertex-L-8", study.read, standardize="session")
    dropped = study.read(standardize="session", bad_targets="drop")
    assert dropped.targets.attrs["n_dropped"] == 2
    assert {7, 8}.isdisjoint(dropped.targets["vertex"][dropped.targets["hemi"] == "L"])
    assert np.isfinite(dropped.values).all()
    assert len(study.read(bad_targets="keep").targets) == 2 * N
    study.values["L"][:, 10:20] = np.nan
    gifti(study.betas["L"], list(study.values["L"]))
    refused("every target of ROI V1 holds NaN", study.read, bad_targets="drop", rois={"L": study.labels()})


def test_volumes_with_masks_and_named_atlas(study) -> None:
    shape, affine = (5, 4, 3), np.diag([2.0, 2.0, 2.0, 1.0])
    data = np.random.default_rng(1).normal(size=(*shape, TRIALS)).astype(np.float32)
    mask = np.ones(shape, dtype=np.uint8)
    mask[0] = 0
    atlas = np.zeros(shape, dtype=np.int16)
    atlas[1], atlas[2], atlas[0] = 1, 2, 3
    for name, array in {"betas": data, "mask": mask, "atlas": atlas}.items():
        nibabel.save(nibabel.Nifti1Image(array, affine), study.folder / f"{name}.nii.gz")
    inside, folder = mask > 0, study.folder
    (folder / "atlas.tsv").write_text("index\tname\n0\tbackground\n1\tV1\n2\tV1\n")
    options = {"mask": folder / "mask.nii.gz", "rois": {"visual": folder / "atlas.nii.gz"}}
    responses = study.read(folder / "betas.nii.gz", **options)
    np.testing.assert_array_equal(responses.values, data[inside].T)
    first, named = responses.targets.iloc[0], responses.targets["roi"].explode().value_counts().to_dict()
    assert (first["i"], first["x_mm"], first["roi"], named) == (1, 2.0, ["V1"], {"V1": 24})  # of both hemispheres
    (folder / "atlas.tsv").unlink()
    (folder / "atlas.csv").write_text("index,name\n1,V1\n2,IT\n3,\n")
    assert study.read(folder / "betas.nii.gz", **options).targets["roi"].explode().value_counts()["IT"] == 12
    (folder / "atlas.csv").unlink()
    with pytest.warns(RuntimeWarning, match="ROI visual3 is left out"):  # it lies outside the mask
        again = study.read(folder / "betas.nii.gz", **options)
    assert again.targets["roi"].explode().value_counts().to_dict() == {"visual1": 12, "visual2": 12}
    mask = inside & (np.arange(5) > 2)[:, None, None]
    nibabel.save(nibabel.Nifti1Image(mask.astype(np.uint8), np.diag([2.0, 2, 2, 1])), folder / "mask.nii.gz")
    refused(r"ROI visual1, visual2, visual3 is empty: .* correct the", study.read, folder / "betas.nii.gz", **options)
    for name, there in {"mask": inside, "V1": atlas == 2, "half": inside / 2}.items():
        image = np.where(there, there, np.nan).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(image, np.diag([2.0, 2, 2, 1])), folder / f"{name}.nii.gz")
    responses = study.read(folder / "betas.nii.gz", mask=folder / "mask.nii.gz", rois={"V1": folder / "V1.nii.gz"})
    np.testing.assert_array_equal(responses.values, data[inside].T)
    assert responses.targets["roi"].explode().value_counts().to_dict() == {"V1": 12}
    refused("fractions .0.5.", study.read, folder / "betas.nii.gz", **options | {"rois": {"V": folder / "half.nii.gz"}})
    refused("a volume needs a mask", study.read, folder / "betas.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones((5, 4, 2), np.uint8), np.eye(4)), folder / "other.nii.gz")
    refused(r"has the grid \(5, 4, 3\) but", study.read, folder / "betas.nii.gz", mask=folder / "other.nii.gz")
    whole = (folder / "betas.nii.gz").read_bytes()
    (folder / "betas.nii.gz").write_bytes(whole[: len(whole) // 2])
    refused("truncated", study.read, folder / "betas.nii.gz", mask=folder / "mask.nii.gz")
    refused("a GIFTI holds one hemisphere", study.read, study.betas["L"])


def test_cifti_with_cortex_and_voxels(study) -> None:
    axes = nibabel.cifti2.cifti2_axes
    left = axes.BrainModelAxis.from_surface(np.arange(0, N, 2), N, name="CortexLeft")
    block = np.zeros((3, 3, 3), dtype=bool)
    block[1, 1] = True
    below = axes.BrainModelAxis.from_mask(block, name="thalamus_left", affine=np.diag([2.0, 2, 2, 1]))
    models = left + below
    data = np.random.default_rng(2).normal(size=(TRIALS, len(models))).astype(np.float32)
    path = study.folder / "betas.dscalar.nii"
    nibabel.save(nibabel.Cifti2Image(data, (axes.ScalarAxis([f"t{k}" for k in range(TRIALS)]), models)), path)
    keys = np.zeros((1, len(models)), dtype=np.float32)
    keys[0, -2:] = 4
    table = [{0: ("???", (0, 0, 0, 0)), 4: ("Thalamus", (1, 0, 0, 1))}]
    atlas = study.folder / "atlas.dlabel.nii"
    nibabel.save(nibabel.Cifti2Image(keys, (axes.LabelAxis(["atlas"], table), models)), atlas)
    responses = study.read(path, rois={"L": study.labels(), "deep": atlas})
    np.testing.assert_array_equal(responses.values, data)
    targets = responses.targets
    assert (targets["kind"].tolist(), targets["vertex"].tolist()[:3]) == (["vertex"] * 321 + ["voxel"] * 3, [0, 2, 4])
    assert [row for row, names in enumerate(targets["roi"]) if names == ["V1"]] == [5, 6, 7, 8, 9]
    assert targets["roi"].tolist()[-3:] == [[], ["Thalamus"], ["Thalamus"]]
    assert targets[["i", "j", "k", "z_mm"]].to_numpy()[-1].tolist() == [1, 1, 2, 4.0]
    halves = [study.folder / f"{k}.dscalar.nii" for k in range(2)]
    for half, rows in zip(halves, np.split(data, [TRIALS // 3]), strict=True):
        nibabel.save(nibabel.Cifti2Image(rows, (axes.ScalarAxis([*map(str, range(len(rows)))]), models)), half)
    both = study.read(halves, rois={"L": study.labels(), "deep": atlas})
    np.testing.assert_array_equal(both.values, data)
    assert both.targets["roi"].tolist() == targets["roi"].tolist()
    nibabel.save(nibabel.Cifti2Image(data[:1], (axes.ScalarAxis(["t0"]), below + left)), halves[1])
    refused(r"1.dscalar.nii: has other grayordinates than .*0.dscalar.nii", study.read, halves)
