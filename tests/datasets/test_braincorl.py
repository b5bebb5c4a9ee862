import re

import numpy as np
import pytest
from refusals import refused

from brainalign.datasets import read_braincorl

N, M, V, E = 20, 7, 5, 16


class Arrays:
    def __init__(self, root) -> None:
        self.root, rng = root, np.random.default_rng(0)
        shapes = {"s2_unique_nrn_feats_msk.npy": (N, V), "s2_common_nrn_feats_msk.npy": (M, V), "s2_gt.npy": (V, E + 1)}
        self.files = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        for name, n in {"s2_unique_img_feats_normed.npy": N, "common_img_feats_normed.npy": M}.items():
            self.files[name] = self.units(rng, n)
        for name, values in self.files.items():
            np.save(root / name, values)

    @staticmethod
    def units(rng, n: int) -> np.ndarray:
        x = rng.normal(size=(n, E))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.files[name + ".npy"].astype(np.float32)


@pytest.fixture
def arrays(tmp_path) -> Arrays:
    return Arrays(tmp_path)


def test_images_voxels_and_weights(arrays) -> None:
    found = read_braincorl(arrays.root, "2")
    responses, features = found.responses, found.features
    both = np.r_[arrays["s2_unique_nrn_feats_msk"], arrays["s2_common_nrn_feats_msk"]]
    np.testing.assert_array_equal(responses.values, both)
    aligned = features.align_to(responses).values
    both = np.r_[arrays["s2_unique_img_feats_normed"], arrays["common_img_feats_normed"]]
    np.testing.assert_array_equal(aligned, both)
    weights = arrays["s2_gt"]
    expected = aligned @ weights[:, :-1].T + weights[:, -1]
    np.testing.assert_allclose(aligned @ found.coef + found.intercept, expected, rtol=1e-5, atol=1e-5)
    assert found.splits["split"].tolist() == ["train"] * N + ["test"] * M
    values = arrays["s2_unique_nrn_feats_msk"]
    values[3, 1] = -999
    np.save(arrays.root / "s2_unique_nrn_feats_msk.npy", values)
    assert np.argwhere(np.isnan(read_braincorl(arrays.root, "s2").responses.values)).tolist() == [[3, 1]]


@pytest.mark.parametrize(("name", "shape", "expected"), [
    ("s2_unique_nrn_feats_msk", (N - 1, V), (N, V)),
    ("s2_common_nrn_feats_msk", (M, V + 1), (M, V)),
    ("s2_gt", (V, E), (V, E + 1)),
    ("common_img_feats_normed", (M, E - 1), (M, E)),
])  # fmt: skip
def test_shapes_that_disagree(arrays, name, shape, expected) -> None:
    np.save(arrays.root / f"{name}.npy", np.ones(shape, dtype=np.float32))
    refused(re.escape(f"{name}.npy: has shape {shape}; expected {expected}"), read_braincorl, arrays.root, "2")


def test_wrong_files(arrays) -> None:
    refused(r"s1_unique_img_feats_normed.npy: no such file .*did you mean 's2_uni", read_braincorl, arrays.root, "1")
    np.save(arrays.root / "common_img_feats_normed.npy", 2 * arrays["common_img_feats_normed"])
    refused(r"7 of 7 rows are not of length 1 \(first: row 1 of length 2.00", read_braincorl, arrays.root, "2")
    np.save(arrays.root / "s2_gt.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    refused(r"s2_gt.npy: no whole .npy file of numbers", read_braincorl, arrays.root, "2")
