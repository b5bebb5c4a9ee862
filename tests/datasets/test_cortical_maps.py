import os
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from refusals import refused

from brainalign import datasets
from brainalign.datasets import formats, published
from brainalign.datasets.checks import space_problems
from brainalign.io import inflated_fslr
from brainalign.report.kit import HIDDEN, place_map

N = 32492
REAL = Path(os.environ.get("BRAINALIGN_DATA", "nowhere"), "cortical-maps")
ROWS = [("V1", "L", -10, -99, 5, 2.0, 1.5), ("V4", "L", -60, -80, 5, 2.5, None), ("V1", "R", 10, -99, 5, 2.2, 1.7)]
TABLE = pd.DataFrame(ROWS, columns=["area", "hemi", "sphere_x", "sphere_y", "sphere_z", "thickness", "myelin"])
LIMIT = -0.325  # of a hundred points above it two radii reach four in five places of the sphere


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a map, masks, spheres and labels: parcel 1 and 2 left, 3 and 4 right, 100 vertices of wall each."""
    folder, rng = tmp_path_factory.mktemp("maps"), np.random.default_rng(0)
    cortex = np.arange(N) >= 100
    for name, flip in (("lh", 1.0), ("rh", -1.0)):
        np.savetxt(folder / f"conte69_32k_{name}_mask.csv", cortex.astype(int), fmt="%d")
        points = rng.normal(size=(N, 3)) * [flip, 1, 1]
        points *= 100 / np.linalg.norm(points, axis=1, keepdims=True)
        arrays = [nibabel.gifti.GiftiDataArray(points.astype(np.float32), "NIFTI_INTENT_POINTSET")]
        nibabel.save(nibabel.GiftiImage(darrays=arrays), folder / f"conte69_32k_{name}_sphere.gii")
    labels = np.repeat([1, 2, 3, 4], N // 2)
    labels[~np.tile(cortex, 2)] = 0
    np.savetxt(folder / "schaefer_4_conte69.csv", labels, fmt="%d")
    np.savetxt(folder / "conte69_32k_thickness.csv", np.where(labels > 0, 10.0 * labels, 7.0))
    return folder


def write_glasser(folder: Path, n_cortex: int = N - 50) -> tuple[Path, Path]:
    """Write labels of the last n_cortex vertices of each side and 5 voxels, and a CIFTI file on them."""
    vertices = np.arange(N - n_cortex, N)
    axes = [nibabel.cifti2.BrainModelAxis.from_surface(vertices, N, f"Cortex{side}") for side in ("Left", "Right")]
    voxels = nibabel.cifti2.BrainModelAxis.from_mask(np.ones((5, 1, 1), bool), name="thalamus_left", affine=np.eye(4))
    axis = axes[0] + axes[1] + voxels
    header = nibabel.cifti2.Cifti2Header.from_axes((nibabel.cifti2.ScalarAxis(["x"]), axis))
    nibabel.save(nibabel.Cifti2Image(np.zeros((1, len(axis)), np.float32), header), folder / "grey.dscalar.nii")
    keys = np.concatenate([np.where(vertices % 2, 1, 2), np.where(vertices % 2, 181, 182), np.full(5, 361)])
    names = np.array(["", "L_V1", "L_MST", "R_V1", "R_MST", "thalamus_left"])
    np.savez(folder / "mmp.npz", map_all=keys, ids=np.array([0, 1, 2, 181, 182, 361]), labels=names)
    return folder / "mmp.npz", folder / "grey.dscalar.nii"


def test_maps_and_parcel_means(folder: Path, tmp_path: Path) -> None:
    maps = datasets.read_cortical_maps(folder)
    assert list(maps.maps) == ["thickness"]
    assert np.isnan(maps.maps["thickness"]).sum() == (~maps.cortex).sum() == 200  # whatever the file says of the wall
    assert (maps.hemi[:N] == "L").all()
    assert np.linalg.norm(maps.sphere, axis=1) == pytest.approx(100, abs=1e-3)
    parcels = datasets.read_schaefer(folder / "schaefer_4_conte69.csv", maps)
    assert parcels.names == ["parcel 1", "parcel 2", "parcel 3", "parcel 4"]
    assert (parcels.hemi.tolist(), (parcels.labels == -1).sum()) == (["L", "L", "R", "R"], 200)
    assert np.linalg.norm(parcels.centres, axis=1) == pytest.approx(100, abs=1e-3)
    means = datasets.parcel_means(maps.maps | {"one": np.where(parcels.labels == 0, 1.0, np.nan)}, parcels)
    assert (means["thickness"].tolist(), means["one"].isna().tolist()) == ([10, 20, 30, 40], [False, True, True, True])
    parcels = datasets.read_glasser(*write_glasser(tmp_path), datasets.read_cortical_maps(folder))
    assert (parcels.names, parcels.hemi.tolist()) == (["L_V1", "L_MST", "R_V1", "R_MST"], ["L", "L", "R", "R"])
    vertices = np.arange(100, N)
    assert np.array_equal(parcels.labels[100:N], np.where(vertices % 2, 0, 1))
    assert np.array_equal(parcels.labels[N + 100 :], np.where(vertices % 2, 2, 3))
    assert (parcels.labels[:100] == -1).all()  # 50 of them have a label, but no value in any map


def test_bad_files(folder: Path, tmp_path: Path) -> None:
    maps = datasets.read_cortical_maps(folder)
    refused("no such file; give the folder that holds the fs_LR-32k maps", datasets.read_cortical_maps, tmp_path)
    short = tmp_path / "short.csv"
    np.savetxt(short, np.ones(400), fmt="%d")
    refused(r"has shape \(400,\) but fs_LR-32k needs \(64984,\)", datasets.read_schaefer, short, maps)
    swapped = tmp_path / "mixed.csv"
    np.savetxt(swapped, np.arange(2 * N) % 2 + 1, fmt="%d")
    refused("parcel 1, parcel 2 lie in both hemispheres", datasets.read_schaefer, swapped, maps)
    words = tmp_path / "words.csv"
    words.write_text("V1\n" * 2 * N)
    refused(r"words\.csv: not one number per line", datasets.read_schaefer, words, maps)
    _, grayordinates = write_glasser(tmp_path)
    np.savez(tmp_path / "other.npz", map_all=np.ones(7), ids=np.ones(1), labels=np.array(["L_V1"]))
    refused(r"other\.npz has 7 rows", datasets.read_glasser, tmp_path / "other.npz", grayordinates, maps)
    refused(r"grey\.dscalar\.nii: no whole \.npz", datasets.read_glasser, grayordinates, grayordinates, maps)
    parcels = datasets.read_schaefer(folder / "schaefer_4_conte69.csv", maps)
    refused("the labels has 64984", datasets.parcel_means, {"x": np.ones(5)}, parcels)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs cortical-maps in the folder named by BRAINALIGN_DATA")
def test_the_real_maps_become_a_table_of_parcels(tmp_path: Path) -> None:
    maps = datasets.read_cortical_maps(REAL)
    parcels = datasets.read_schaefer(REAL / "schaefer_100_conte69.csv", maps)
    means = datasets.parcel_means(maps.maps, parcels)
    assert (list(means), means.shape) == (["fc_gradient0", "mpc_gradient0", "t1wt2w", "thickness"], (100, 4))
    assert means.notna().all(axis=None)
    assert means["thickness"].between(1.5, 4).all()
    sided = replace(parcels, names=[f"{side}_{name}" for side, name in zip(parcels.hemi, parcels.names, strict=True)])
    found = datasets.read_area_maps(write(tmp_path, datasets.area_maps_table(means, sided)))
    assert found.areas == list(parcels.names)
    assert found.hemi.tolist() == ["L"] * 50 + ["R"] * 50  # each parcel lies in one
    assert found.maps["thickness"] == pytest.approx(means["thickness"].to_numpy())
    assert found.covers_sphere
    assert parcels.hemi.tolist() == ["L"] * 50 + ["R"] * 50
    # Myelin is high where the cortex is thin (Glasser & Van Essen 2011, doi:10.1523/JNEUROSCI.2180-11.2011).
    assert means["t1wt2w"].corr(means["thickness"]) == pytest.approx(-0.698, abs=0.001)


def write(folder: Path, table: pd.DataFrame) -> Path:
    table.to_csv(folder / "maps.tsv", sep="\t", index=False, na_rep="n/a")
    return folder / "maps.tsv"


def test_hemispheres_are_averaged_and_mirrored(tmp_path: Path) -> None:
    found = datasets.read_area_maps(write(tmp_path, TABLE))
    assert (found.areas, found.maps["thickness"].tolist()) == (["V1", "V4"], pytest.approx([2.1, 2.5]))
    assert found.maps["myelin"][0] == pytest.approx(1.6)
    assert np.isnan(found.maps["myelin"][1])
    assert found.places[0, 0] < 0  # the right hemisphere mirrored, not cancelled
    radius = np.linalg.norm(found.places, axis=1)
    assert radius[0] == pytest.approx(radius[1])
    angle = np.arccos(found.places[0] @ found.places[1] / radius[0] ** 2)
    assert found.separation_mm[0, 1] == pytest.approx(radius[0] * angle)
    TABLE.to_parquet(tmp_path / "maps.parquet")
    assert datasets.read_area_maps(tmp_path / "maps.parquet").areas == found.areas
    places = 10 * np.array([[-1.0, 0, 0], [1, 0, 0], [0, 2, 0], [-1, 0, 0]])
    places[2] /= 2
    maps = published.AreaMaps(list("abcd"), np.array(["L", "R", "L", "R"]), places, {})
    expected = [[0, 0, 1, 2], [0, 0, 1, 2], [1, 1, 0, 1], [2, 2, 1, 0]]
    np.testing.assert_allclose(maps.separation_mm, (5 * np.pi) * np.array(expected), atol=1e-9)


def spread(n: int, lowest: float) -> np.ndarray:
    z, angle = np.linspace(1, lowest, n + 2)[1:-1], np.pi * (1 + 5**0.5) * np.arange(n)
    return np.column_stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z])


def test_what_covers_a_sphere() -> None:
    """On both sides of the limits of number and of cover, for one hemisphere beside nothing and beside a whole one."""
    of_cover = (100, LIMIT - 0.05, True), (100, LIMIT + 0.05, False)
    for n, lowest, covers in ((20, -1.0, True), (19, -1.0, False), *of_cover):
        cap = 7 * spread(n, lowest)
        assert published.AreaMaps([], np.array(["R"] * n), cap, {}).covers_sphere == covers
        both = published.AreaMaps([], np.array(["L"] * 200 + ["R"] * n), np.concatenate([spread(200, -1.0), cap]), {})
        assert both.covers_sphere == covers


def test_bad_tables(tmp_path: Path) -> None:
    for table, message in (
        (TABLE.drop(columns="sphere_y"), "no column .sphere_y"),
        (TABLE.assign(hemi=["L", "L", "L"]), "V1 have several rows in one hemisphere"),
        (TABLE.assign(hemi=["L", "L", "right"]), "hemi must be L or R; got 'right'"),
        (TABLE.drop(columns=["thickness", "myelin"]), "no column is a map"),
        (TABLE.assign(thickness=["thin", "2", "2"]), "column thickness holds other things than numbers"),
        (TABLE.assign(sphere_x=[np.nan, 1, 2]), "give every area its centre on the sphere"),
        (TABLE.assign(sphere_x=0.0, sphere_y=0.0, sphere_z=0.0), "in the middle of the sphere"),
    ):
        refused(message, datasets.read_area_maps, write(tmp_path, table))


@pytest.mark.parametrize("n_vertices", [642, 2562])
def test_coarser_meshes_are_whole(n_vertices: int) -> None:
    """A closed mesh of n vertices has 2n - 4 triangles and 3n - 6 edges (Euler); its edges are short."""
    mesh = formats.load_mesh("R", n_vertices)
    assert len(mesh.coordinates) == len(mesh.cortex) == n_vertices
    assert (mesh.faces.shape, np.unique(mesh.faces).tolist()) == ((2 * n_vertices - 4, 3), list(range(n_vertices)))
    ends = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    edges = np.unique(np.sort(ends), axis=0)
    assert len(edges) == 3 * n_vertices - 6
    lengths = np.linalg.norm(np.diff(mesh.coordinates[edges], axis=1)[:, 0], axis=1)
    assert np.median(lengths) == pytest.approx(10.6 * np.sqrt(642 / n_vertices), rel=0.1)
    assert 0.85 < mesh.cortex.mean() < 0.95


def cortex() -> pd.DataFrame:
    targets = pd.DataFrame({"hemi": "L", "kind": "vertex", "vertex": np.arange(0, 32492, 2)})
    targets[["x_mm", "y_mm", "z_mm"]] = np.nan
    targets.attrs["space"] = {"name": "fsLR32k", "n_vertices": {"L": 32492, "R": 32492}}
    return targets


def test_a_patch_lies_where_its_vertices_are() -> None:
    places, targets = inflated_fslr("L"), cortex()
    back = int(targets["vertex"][places[targets["vertex"], 1].argmin()])  # the occipital pole, seen from both sides
    near = np.linalg.norm(places[targets["vertex"]] - places[back], axis=1) < 15
    drawn = place_map(targets, np.where(near, 0.6, np.nan), label="Pearson r", vmax=0.6)
    assert "fsLR 32k" in drawn.where
    for ax, n_coloured in zip(drawn.figure.axes[:4], (near.sum(), near.sum(), 0, 0), strict=True):
        (marks,) = ax.collections
        coloured = np.abs(marks.get_facecolors() - to_rgba(HIDDEN)).max(axis=1) > 0.01
        assert (len(coloured), coloured.sum()) == (32492, n_coloured)
        if n_coloured:
            across, up = np.asarray(marks.get_offsets())[coloured].T  # across is y, or -y from the other side
            assert np.abs(np.abs(across) + places[back, 1]).max() < 15
            assert np.abs(up - places[back, 2]).max() < 15


def test_without_the_surfaces_check_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert space_problems("study", "", cortex()) == []
    monkeypatch.setattr("brainalign.io.maps.find_spec", lambda _: None)
    (problem,) = space_problems("study", "", cortex())
    assert "brainalign[fslr]" in problem.what
    assert place_map(cortex(), np.ones(16246), label="Pearson r", vmax=0.6) is None
