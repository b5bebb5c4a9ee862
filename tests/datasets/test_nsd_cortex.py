"""NSD on the whole cortex: a matrix per hemisphere of its true width, and a dictionary about both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from brainalign.checks import BrainalignError
from brainalign.datasets import read_nsd_cortex
from brainalign.statistics import noise_ceiling_from_ncsnr

N = 163842
# Neighbours in the file, so that few of its pages are written.
CHOSEN = {"lh": np.array([0, 5, 163841]), "rh": np.array([0, 77])}
GAPPED = 9  # a vertex of the left hemisphere with a missing response, in the region "EBA"


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
            "train_img_num": images[:400],
            "val_img_num": images[400:420],
            "test_img_num": images[420:490],
            "lh_fsaverage_rois": {"V1v": CHOSEN["lh"], "EBA": np.array([5, GAPPED]), "OFA": np.array([], dtype=int)},
            "rh_fsaverage_rois": {"V1v": CHOSEN["rh"][:1], "FFA-1": CHOSEN["rh"][1:], "OFA": np.array([], dtype=int)},
            "lh_ncsnr": self.ncsnr["lh"],
            "rh_ncsnr": self.ncsnr["rh"],
        }
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
        return read_nsd_cortex(self.root, "01", **({"trust_pickle": True, "within": ["V1v", "FFA-1"]} | options))


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


def test_a_session_and_ceilings(cortex) -> None:
    found = cortex.read(sessions=[2], within=["FFA-1"])
    np.testing.assert_array_equal(found.responses.values, cortex.values["rh"][750:, 1:])
    test = found.splits[found.splits["split"] == "test"]
    expected = noise_ceiling_from_ncsnr(cortex.ncsnr["rh"][[77]], test.groupby("stimulus_id").size().to_numpy())
    np.testing.assert_allclose(found.ceiling["ceiling"], expected, rtol=1e-6)
    refused(r"sessions are 3; .* has 1 to 2", cortex.read, sessions=[3])


def test_missing_responses_are_left_out_of_z_scores(cortex) -> None:
    within = ["EBA", "FFA-1"]
    refused("1 of 3 targets hold NaN", cortex.read, within=within)
    kept = cortex.read(within=within, bad_targets="keep", standardize="session").responses.values
    assert np.argwhere(np.isnan(kept)).tolist() == [[10, 1]]
    measured = np.delete(cortex.gapped[:750], 10).astype(np.float64)
    expected = (measured - measured.mean()) / measured.std(ddof=1)
    np.testing.assert_allclose(np.delete(kept[:750, 1], 10), expected, atol=1e-5)
    assert cortex.read(within=within, bad_targets="drop").responses.targets["vertex"].tolist() == [5, 77]


def test_wrong_files(cortex) -> None:
    refused(r"metadata_sub-01.npy: is a pickled dictionary", cortex.read, trust_pickle=False)
    with pytest.raises(
        BrainalignError, match=r"lh_betas_sub-02.npy: no such file .*did you mean 'lh_betas_sub-01.npy'"
    ):
        read_nsd_cortex(cortex.root, "2", trust_pickle=True)
    cortex.describe(test_img_num=None)
    refused(r"metadata_sub-01.npy: lacks test_img_num; it has ", cortex.read)
    cortex.describe(img_presentation_order=cortex.shown[:1400])
    refused(r"img_presentation_order has 1400 trials but .*lh_.* has 1500", cortex.read)
    cortex.describe(lh_fsaverage_rois={"V1v": np.array([N])})
    refused(r"ROI 'V1v' of lh_fsaverage_rois has vertex 163842; expected 0 to 163841", cortex.read)
    cortex.describe(lh_ncsnr=np.ones(9))
    refused("lh_ncsnr has 9 values; expected 163842", cortex.read)


def test_shapes_that_disagree(cortex) -> None:
    cortex.write("rh", (750, N))
    refused(r"lh_.* has 1500 trials but .*rh_betas_sub-01.npy has 750", cortex.read)
    cortex.write("rh", (1499, N))
    refused(r"has shape \(1499, 163842\); expected \(750 per session, 163842\)", cortex.read)
    cortex.write("rh", (1500, 20544))
    refused(r"has shape \(1500, 20544\)", cortex.read)
