"""Maps in every space: a planted patch is read back from what is written, and seen where it lies."""

import gc
import gzip
import re
from base64 import b64decode
from itertools import product
from pathlib import Path

import matplotlib
import nibabel
import numpy as np
import pandas as pd
import pytest
from made import write_table
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import to_rgba
from nibabel.cifti2.cifti2_axes import BrainModelAxis, ScalarAxis
from nibabel.gifti.gifti import GiftiDataArray, GiftiImage
from nilearn.datasets import load_fsaverage, load_mni152_brain_mask
from refusals import refused

from brainalign.datasets import read_array, read_betas
from brainalign.datasets.checks import space_problems
from brainalign.io import brain_maps
from brainalign.report.kit import HIDDEN, draw_map, drawn_vertices, maps_in_mni, place_map, slice_positions

TRIALS = 4
LEFT_V1 = np.array([-10.0, -92.0, 0.0])  # mm in MNI152


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    return write_table(tmp_path / "trials.tsv", stimulus_id=list("abcd"))


def read(trials: Path, betas: object, **options: object) -> pd.DataFrame:
    kept = trials.with_name("targets.parquet")
    read_betas(betas, trials, standardize="none", bad_targets="keep", **options).targets.to_parquet(kept)
    return pd.read_parquet(kept)


def written(folder: Path, targets: pd.DataFrame, scores: np.ndarray) -> dict[str, object]:
    images = {}
    for name, image in brain_maps(targets, scores, names=["a", "b"]).items():
        image.to_filename(folder / name)
        images[name] = nibabel.load(folder / name)
    return images


def surface_maps(path: Path, n: int) -> Path:
    noise = np.random.default_rng(n).normal(size=(TRIALS, n)).astype(np.float32)
    nibabel.save(GiftiImage(darrays=[GiftiDataArray(row) for row in noise]), path)
    return path


def test_a_volume_keeps_its_grid_even_where_one_slice_is_read(tmp_path: Path, trials: Path, rng) -> None:
    affine = np.array([[-3.0, 0, 0, 40], [0, 3, 0.2, -60], [0, 0, 3.5, 10], [0, 0, 0, 1]])
    inside = np.zeros((9, 8, 7), dtype=np.uint8)
    inside[2:6, 1:5, 3] = 1
    nibabel.save(nibabel.Nifti1Image(inside, affine), tmp_path / "mask.nii.gz")
    nibabel.save(nibabel.Nifti1Image(rng.normal(size=(9, 8, 7, TRIALS)), affine), tmp_path / "betas.nii.gz")
    targets = read(trials, tmp_path / "betas.nii.gz", mask=tmp_path / "mask.nii.gz")
    patch = ((targets["i"] == 4) & (targets["j"] == 2)).to_numpy(dtype=float)
    (image,) = written(tmp_path, targets, np.stack([patch, 2 * patch])).values()
    assert image.shape == (9, 8, 7, 2)
    np.testing.assert_allclose(image.affine, affine, atol=1e-6)
    volume = image.get_fdata()
    assert (np.argwhere(volume > 0).tolist(), volume[4, 2, 3].tolist()) == ([[4, 2, 3, 0], [4, 2, 3, 1]], [1, 2])
    assert np.isfinite(volume[..., 0]).sum() == 16


@pytest.mark.parametrize("n", [642, 2562, 10242, 40962])
def test_every_fsaverage_is_drawn_on_the_vertices_of_the_fifth(tmp_path: Path, trials: Path, n: int) -> None:
    targets = read(trials, {hemi: surface_maps(tmp_path / f"{hemi}.func.gii", n) for hemi in "LR"})
    patch = targets["target_id"].eq("vertex-R-300").to_numpy()
    image = written(tmp_path, targets, np.stack([patch, patch]).astype(float))["hemi-R_statmap.func.gii"]
    assert ([array.meta["Name"] for array in image.darrays], len(image.darrays[0].data)) == (["a", "b"], n)
    assert np.flatnonzero(image.darrays[0].data).tolist() == [300]
    assert image.meta["AnatomicalStructurePrimary"] == "CortexRight"
    drawn = drawn_vertices(targets)
    assert sorted(zip(drawn["hemi"], drawn["vertex"], strict=True)) == [*product("LR", range(10242))]
    there = drawn.loc[drawn["target_id"] == "vertex-R-300"]
    assert set(there["hemi"]) == {"R"}
    assert 300 in set(there["vertex"])
    sphere = load_fsaverage("fsaverage5")["sphere"].parts["right"].coordinates
    away = np.linalg.norm(sphere[there["vertex"]] - sphere[300], axis=1)
    assert away.max() <= {642: 12, 2562: 6}.get(n, 0)  # half an edge of the mesh on a sphere of 100 mm


def test_grayordinates_come_back_in_their_structures(tmp_path: Path, trials: Path) -> None:
    affine = np.diag([-2.0, 2, 2, 1]) + np.c_[np.zeros((4, 3)), [90, -126, -72, 0]]
    cortex = np.ones(32492, dtype=bool)
    cortex[:100] = False
    thalamus = np.zeros((91, 109, 91), dtype=bool)
    thalamus[40:44, 50:53, 40] = True
    left, right = (BrainModelAxis.from_mask(cortex, f"Cortex{side}") for side in ("Left", "Right"))
    axis = left + right + BrainModelAxis.from_mask(thalamus, "thalamus_left", affine)
    values = np.random.default_rng(0).normal(size=(TRIALS, len(axis))).astype(np.float32)
    nibabel.Cifti2Image(values, (ScalarAxis(list("abcd")), axis)).to_filename(tmp_path / "betas.dscalar.nii")
    targets = read(trials, tmp_path / "betas.dscalar.nii")
    patch = targets["target_id"].isin(["vertex-R-20000", "voxel-41-51-40"]).to_numpy(dtype=float)
    ((name, image),) = written(tmp_path, targets, np.stack([patch, patch])).items()
    assert (name, image.nifti_header.get_intent()[0]) == ("statmap.dscalar.nii", "ConnDenseScalar")
    assert (image.header.get_axis(0).name.tolist(), image.header.get_axis(1)) == (["a", "b"], axis)
    found = [image.header.get_axis(1)[int(row)] for row in np.flatnonzero(image.get_fdata()[0])]
    assert [str(name) for _, _, name in found] == ["CIFTI_STRUCTURE_CORTEX_RIGHT", "CIFTI_STRUCTURE_THALAMUS_LEFT"]
    assert (found[0][1], tuple(found[1][1])) == (20000, (41, 51, 40))
    (image,) = written(tmp_path, targets[patch > 0].reset_index(drop=True), np.ones((2, 2))).values()
    assert image.shape == (2, 2)
    targets = read(trials, {"L": surface_maps(tmp_path / "L.func.gii", 32492)})
    assert targets.attrs["space"] == {"name": "fsLR32k", "n_vertices": {"L": 32492}}
    assert drawn_vertices(targets) is None


def voxels(name: str) -> pd.DataFrame:
    mask = load_mni152_brain_mask(resolution=6)
    ijk = np.argwhere(np.asarray(mask.dataobj) > 0)
    table = pd.DataFrame(ijk, columns=["i", "j", "k"]).assign(kind="voxel", hemi="")
    table[["x_mm", "y_mm", "z_mm"]] = ijk @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    table.attrs["space"] = {"name": name, "shape": list(mask.shape), "affine": mask.affine.tolist()}
    return table.assign(target_id=[f"v{row}" for row in range(len(table))])


def test_a_patch_in_mni_is_seen_in_the_glass_brain_and_on_the_cortex_below() -> None:
    targets = voxels("MNI152NLin2009cAsym")
    away = np.linalg.norm(targets[["x_mm", "y_mm", "z_mm"]].to_numpy() - LEFT_V1, axis=1)
    drawn = maps_in_mni(targets, np.where(away < 14, 0.5, np.nan), label="Pearson r", vmax=0.6)
    assert list(drawn) == ["glassbrain", "projection"]
    pictures = [np.ma.filled(ax.images[-1].get_array(), np.nan) for ax in drawn["glassbrain"].axes if ax.images]
    assert len(pictures) >= 3  # no voxel lies in the right half
    assert {round(float(np.nanmax(picture)), 6) for picture in pictures if np.isfinite(picture).any()} == {0.5}
    halves = drawn["projection"].axes[:2]
    left, right = ([part for part in ax.collections if isinstance(part, PolyCollection)] for ax in halves)
    np.testing.assert_allclose(left[0].get_array(), 0.5, atol=1e-6)  # not thinned out at the border of the patch
    flat = load_fsaverage("fsaverage5")
    pial, white = (flat[name].parts["left"].coordinates for name in ("pial", "white_matter"))
    near = np.linalg.norm((pial + white) / 2 - LEFT_V1, axis=1)
    middles = np.array([path.vertices[:3].mean(axis=0) for path in left[0].get_paths()])
    points = flat["flat"].parts["left"].coordinates[:, :2]
    assert near[np.array([np.linalg.norm(points - middle, axis=1).argmin() for middle in middles[::20]])].max() < 25
    assert len(left[0].get_array()) > 100
    assert sum(len(part.get_array()) for part in right) < 0.2 * len(left[0].get_array())


def test_electrodes_are_marks_in_the_glass_brain_of_a_standard_head_alone() -> None:
    places = np.array([[-50.0, -20, 10], [40, 30, 20], [10, -80, 5]])
    targets = pd.DataFrame(places, columns=["x_mm", "y_mm", "z_mm"]).assign(target_id=list("abc"), kind="electrode")
    targets.attrs["space"] = {"name": "MNI152"}
    drawn = maps_in_mni(targets, np.array([0.1, np.nan, 0.4]), label="r", vmax=0.5)
    assert list(drawn) == ["glassbrain"]
    marks = [part for ax in drawn["glassbrain"].axes for part in ax.collections if isinstance(part, PathCollection)]
    assert [[-50, -20], [10, -80]] in [part.get_offsets().tolist() for part in marks if len(part.get_offsets()) == 2]
    colours = next(part.get_facecolors() for part in marks if part.get_offsets().tolist() == [[-50, -20], [10, -80]])
    scale = matplotlib.colormaps["RdBu_r"]
    np.testing.assert_allclose(colours[:, :3], [scale((value + 0.5) / 1)[:3] for value in (0.1, 0.4)], atol=0.01)
    for name, value in (("scanner", 1), ("scanner coordinates", 1), ("", 1), ("native", 1), ("MNI152", np.nan)):
        targets = voxels(name)
        assert maps_in_mni(targets, np.full(len(targets), value), label="r", vmax=1.0) == {}


def test_parcels_are_painted_into_their_atlas(tmp_path: Path, trials: Path) -> None:
    """Targets in another order than labels, named by the table beside the atlas; one parcel is not recorded."""
    affine = np.array([[-2.0, 0, 0, 20], [0, 2, 0, -30], [0, 0, 2, 4], [0, 0, 0, 1]])
    labels = np.zeros((6, 5, 4), dtype=np.int16)
    labels[1:3, 1:3, 1:3], labels[3:5, 1:3, 1:3], labels[1:3, 3:, 1:3] = 7, 12, 300
    nibabel.save(nibabel.Nifti1Image(labels, affine), tmp_path / "atlas.nii.gz")
    write_table(tmp_path / "atlas.tsv", index=[7, 12, 300], name=["V1", "V2", "hV4"])
    np.save(tmp_path / "values.npy", np.random.default_rng(0).normal(size=(TRIALS, 2)))
    parcels = write_table(tmp_path / "targets.tsv", target_id=["hV4", "V1"])
    options = {"targets": parcels, "atlas": tmp_path / "atlas.nii.gz", "standardize": "none"}
    read_array(tmp_path / "values.npy", trials, **options).targets.to_parquet(tmp_path / "kept.parquet")
    targets = pd.read_parquet(tmp_path / "kept.parquet")
    (image,) = written(tmp_path, targets, np.array([[0.3, 0.5], [0.1, 0.2]])).values()
    np.testing.assert_allclose(image.affine, affine)
    expected = np.select([labels == 300, labels == 7], [0.3, 0.5], np.nan)
    np.testing.assert_allclose(image.get_fdata()[..., 0], expected, atol=1e-6)
    np.testing.assert_allclose(targets[["x_mm", "y_mm", "z_mm"]].iloc[1], (affine @ [1.5, 1.5, 1.5, 1])[:3])
    drawn = place_map(targets, np.array([0.3, 0.5]), label="r", vmax=0.5, diverging=False)
    assert "border of the parcels" in drawn.where
    slices = [np.ma.filled(shown.get_array(), np.nan) for ax in drawn.figure.axes for shown in ax.images]
    assert {round(float(value), 2) for shown in slices for value in shown[np.isfinite(shown)]} >= {0.3, 0.5}
    parcels.write_text("target_id\nhV4\nV3\n")
    (tmp_path / "atlas.tsv").write_text("index\tname\n7\tV3\n12\tV3\n300\thV4\n")
    refused("1 targets are no parcels of it .V3; it has", read_array, tmp_path / "values.npy", trials, **options)


def test_own_surfaces_are_seen_from_both_sides(tmp_path: Path, trials: Path, rng: np.random.Generator) -> None:
    """A patch on the outer side of the left hemisphere is in front there, and behind the others from within."""
    surfaces, betas = {}, {}
    for hemi, x in (("L", -40), ("R", 40)):
        places = rng.normal(size=(500, 3))
        places = 30 * places / np.linalg.norm(places, axis=1, keepdims=True) + [x, 0, 0]
        arrays = [
            GiftiDataArray(places.astype(np.float32), "NIFTI_INTENT_POINTSET", "NIFTI_TYPE_FLOAT32"),
            GiftiDataArray(np.array([[0, 1, 2]], dtype=np.int32), "NIFTI_INTENT_TRIANGLE", "NIFTI_TYPE_INT32"),
        ]
        surfaces[hemi] = tmp_path / f"{hemi}.surf.gii"
        nibabel.save(GiftiImage(darrays=arrays), surfaces[hemi])
        betas[hemi] = surface_maps(tmp_path / f"{hemi}.func.gii", 500)
    bare = read(trials, betas, space="native")
    assert place_map(bare, np.zeros(1000), label="r", vmax=1.0) is None
    (warning,) = space_problems("01", "native", bare)
    assert "scores are written, but not drawn: give surfaces" in str(warning)
    targets = read(trials, betas, space="native", mesh=surfaces)
    assert not space_problems("01", "native", targets)
    patch = np.where(targets["x_mm"] < -65, 0.8, np.where(targets["x_mm"] < 0, 0.0, np.nan))
    drawn = place_map(targets, patch, label="r", vmax=0.8)
    red, grey = matplotlib.colormaps["RdBu_r"](1.0), to_rgba(HIDDEN)
    colours, n = [ax.collections[0].get_facecolors() for ax in drawn.figure.axes[:4]], int((patch == 0.8).sum())
    np.testing.assert_allclose(colours[0][-n:], [red] * n)  # drawn last: on top
    np.testing.assert_allclose(colours[1][:n], [red] * n)
    np.testing.assert_allclose(colours[2], [grey] * 500)
    left = written(tmp_path, targets, np.stack([patch, patch]))["hemi-L_statmap.func.gii"].darrays[0].data
    np.testing.assert_array_equal(left == np.float32(0.8), patch[:500] == 0.8)


def image(values: np.ndarray) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(values.astype(np.float32), np.diag([3.0, 3.0, 3.0, 1.0]))


def test_a_zero_is_shown_on_the_page_and_what_has_no_score_is_not() -> None:
    places = pd.DataFrame(np.argwhere(np.ones((2, 2, 2))), columns=list("ijk"))
    targets = places.join(3.0 * places.set_axis(["x_mm", "y_mm", "z_mm"], axis=1))
    drawn = place_map(targets, np.array([0.0, np.nan, 1.0, -1.0, 0, 0, 0, 0]), label="R²", vmax=1.0)
    packed = re.search(r'text/plain">(.*?)<', str(drawn.slices))[1]
    codes, under = np.frombuffer(gzip.decompress(b64decode(packed)), dtype=np.uint8).reshape(2, 4, 4, 4)
    inside = codes[1:3, 1:3, 1:3].ravel()
    assert ((codes > 0).sum(), inside[1], inside[2] - inside[3], (under > 0).sum()) == (7, 0, 253, 8)


def test_slices_are_drawn_and_nothing_stays_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = np.zeros((8, 8, 6))
    inside[2:6, 2:6, 1:4] = 1
    values = np.where(inside > 0, 0.5, np.nan)
    gc.unfreeze()  # what the session froze
    collected: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda *_: collected.append(gc.get_freeze_count()) or 0)
    figure = draw_map(image(values), image(inside), image(inside), label="r", vmax=1.0, diverging=False)
    assert slice_positions(image(inside)) == [3.0, 6.0, 9.0]
    assert {"z=3", "z=6", "z=9"} <= {text.get_text() for ax in figure.axes for text in ax.texts}
    assert all(collected)  # what stood before is left out of every collection
    assert gc.get_freeze_count() == 0
    with pytest.raises(TypeError, match="dimension"):
        draw_map(image(values), image(inside), image(values[0]), label="r", vmax=1.0, diverging=False)
    assert gc.get_freeze_count() == 0
