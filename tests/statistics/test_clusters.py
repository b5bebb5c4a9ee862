import numpy as np
import pandas as pd
import pytest
from mne.stats import combine_adjacency, permutation_cluster_1samp_test
from refusals import refused
from scipy import ndimage, sparse

from brainalign.statistics import cluster_permutation, sensor_adjacency


def ring(n: int) -> sparse.coo_array:
    i = np.arange(n)
    rows, columns = np.r_[i, i], np.r_[(i + 1) % n, (i - 1) % n]
    return sparse.coo_array((np.ones(2 * n), (rows, columns)), shape=(n, n))


def smooth(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Noise over sensors of a ring and time, smooth over both."""
    noise = rng.normal(size=shape)
    noise = ndimage.gaussian_filter1d(noise, 2, axis=-1)
    noise = ndimage.gaussian_filter1d(noise, 1, axis=-2, mode="wrap")
    return noise / noise.std()


def test_equal_to_mne() -> None:
    """Same clusters, same masses, and the same p over all sign flips."""
    n_subjects, n_times, n_sensors = 8, 12, 7
    data = smooth(np.random.default_rng(0), n_subjects, n_sensors, n_times)
    data[:, 2:4, 4:8] += 1.5

    def t_map(values: np.ndarray) -> np.ndarray:
        return values.mean(axis=0) / (values.std(axis=0, ddof=1) / np.sqrt(n_subjects))

    t, clusters, p, null = permutation_cluster_1samp_test(
        data.transpose(0, 2, 1), threshold=1.9, n_permutations=2**n_subjects, tail=1,
        adjacency=combine_adjacency(n_times, ring(n_sensors)), out_type="mask", verbose="error",
    )  # fmt: skip
    # With the identity and without "all flipped": the 255 flips that MNE takes.
    signs = np.array(np.meshgrid(*[[1, -1]] * n_subjects)).reshape(n_subjects, -1).T[:-1]
    maps = np.stack([t_map(data * sign[:, None, None]) for sign in signs])
    found = cluster_permutation(t_map(data), maps, ring(n_sensors), threshold=1.9, kind="score")
    masses = np.array([t[mask].sum() for mask in clusters])
    order = np.argsort(-masses)
    assert len(found.clusters) == len(clusters) > 1
    for mine, theirs in zip(found.clusters, order, strict=True):
        np.testing.assert_array_equal(mine.mask.T, clusters[theirs])
        assert mine.mass == pytest.approx(masses[theirs])
        # The identity is among the flips: a tie, which MNE may miss by rounding.
        assert mine.p == pytest.approx((null >= masses[theirs] - 1e-9).mean())
        assert mine.p == pytest.approx(p[theirs], abs=1.1 / 256)
    # MNE appends the observed mass to its null.
    np.testing.assert_allclose(np.sort(np.append(found.null_mass, masses.max())), np.sort(null))
    assert found.clusters[0].p < 0.05 < found.clusters[-1].p


def test_both_tails_equal_to_mne() -> None:
    data = smooth(np.random.default_rng(1), 7, 5, 10)
    data[:, 2] += np.repeat([1.0, -1.0], 5)
    options = {"n_permutations": 1, "tail": 0, "adjacency": None, "out_type": "mask", "verbose": "error"}
    t, clusters, _, _ = permutation_cluster_1samp_test(data[:, 2], threshold=0.8, **options)
    observed = t[None]
    found = cluster_permutation(observed, np.zeros((1, 1, 10)), threshold=0.8, kind="score", tail="both")
    expected = sorted(float(t[np.r_[mask]].sum()) for mask in clusters)
    assert sorted(c.mass for c in found.clusters) == pytest.approx(expected)
    assert expected[0] < 0 < expected[-1]


def test_a_tie_counts_against() -> None:
    observed = np.array([[0.0, 2.0, 0.0]])
    nothing = cluster_permutation(0 * observed, np.zeros((9, 1, 3)), threshold=1, kind="score")
    assert nothing.clusters == []
    assert nothing.table().empty
    assert list(nothing.table())[:3] == ["cluster", "mass", "p"]
    assert not nothing.mask().any()
    assert cluster_permutation(observed, observed[None], threshold=1, kind="score").clusters[0].p == 1
    found = cluster_permutation(observed, np.zeros((12, 1, 3)), threshold=1, kind="score")
    assert found.clusters[0].p == 1 / 13
    assert (found.mask().sum(), found.mask(0.08).sum()) == (0, 1)  # .05 is what counts if nothing is said
    below = cluster_permutation(-observed, np.zeros((12, 1, 3)), threshold=1, kind="score")
    assert below.clusters == []
    deep = cluster_permutation(-observed, -2 * np.stack([observed] * 12), threshold=1, kind="score", tail="both")
    assert (deep.clusters[0].mass, deep.clusters[0].p) == (-2, 1)
    np.testing.assert_array_equal(deep.null_mass, np.full(12, 4.0))


def test_neighbours_are_the_nearest_six_of_a_type() -> None:
    places = np.random.default_rng(5).normal(size=(13, 3))
    kinds = np.array(["mag", "grad", *["mag"] * 9, "grad", "eog"])
    targets = pd.DataFrame(places, columns=["x_mm", "y_mm", "z_mm"]).assign(sensor_type=kinds)
    expected = np.zeros((13, 13), dtype=bool)
    for one in range(13):
        others = [other for other in range(13) if other != one and kinds[other] == kinds[one]]
        for other in sorted(others, key=lambda other: np.linalg.norm(places[one] - places[other]))[:6]:
            expected[one, other] = expected[other, one] = True
    np.testing.assert_array_equal(sensor_adjacency(targets).toarray(), expected)
    assert sensor_adjacency(targets.assign(y_mm=np.where(kinds == "eog", np.nan, 0))).nnz == 0


def test_bad_input() -> None:
    observed, null = np.zeros((3, 5)), np.zeros((4, 3, 5))
    for adjacency in (ring(4), np.zeros((3, 4))):
        refused("3 sensors", cluster_permutation, observed, null, adjacency)
    for one, many in ((observed, null[:, :2]), (observed, null[:0]), (observed[0], null[:, 0])):
        refused("n_permutations", cluster_permutation, one, many)
    refused("kind must be one of", cluster_permutation, observed, null, kind="t")
    refused("tail must be one of", cluster_permutation, observed, null, tail="less")
    for threshold in (2.3, 0.5):
        refused(r"in \(.5, 1\)", cluster_permutation, observed, null, kind="quantile", threshold=threshold)
    refused("NaN", cluster_permutation, observed * np.nan, null)
    refused("NaN", cluster_permutation, observed, null * np.nan)
    refused("4 entries", cluster_permutation, observed, null, times=np.arange(4))
