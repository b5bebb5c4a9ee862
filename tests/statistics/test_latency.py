import numpy as np
import pandas as pd
import pytest
from mne.stats import combine_adjacency, permutation_cluster_1samp_test, ttest_1samp_no_p
from refusals import refused
from worlds.small import ring, smooth_on_ring

from brainalign.statistics import cluster_permutation, first_hump, hump_latency, score_latency, sensor_adjacency

TIMES = np.arange(-0.1, 0.5, 0.01).round(2)
HUMP_TIMES = np.arange(0, 0.5, 0.01)


def bump(peak: float, width: float = 0.04) -> np.ndarray:
    return np.exp(-(((TIMES - peak) / width) ** 2) / 2)


def noisy(course: np.ndarray, noise: float, n: int, seed: int) -> np.ndarray:
    return course + noise * np.random.default_rng(seed).normal(size=(n, len(TIMES)))


def test_peak_and_onset_by_hand() -> None:
    course = np.zeros(len(TIMES))
    course[20:24] = [0.24, 0.3, 0.5, 0.2]
    course[12] = 0.22  # one sample above the threshold is no onset
    null = np.full((99, len(TIMES)), 0.1)
    null[:3, 5] = 0.15
    found = score_latency(course, np.tile(course, (50, 1)), null, TIMES)
    assert found.peak == found.peak_low == found.peak_high == TIMES[22]
    assert found.onset == found.onset_low == found.onset_high == TIMES[20]
    assert (found.p, found.decided, found.reason) == (1 / 100, True, "")
    # The hump (half of .5) is samples 21 and 22; the best time outside it has .24.
    assert (found.margin, found.margin_se) == pytest.approx((0.26, 0))
    assert score_latency(course, null, null, TIMES, n_consecutive=1, confidence=0.9).onset == TIMES[12]
    quiet = score_latency(0.2 * course, np.tile(0.2 * course, (50, 1)), null, TIMES)
    assert (quiet.p, quiet.decided, np.isnan(quiet.onset_low)) == (1, False, True)
    assert "not above its permuted null" in quiet.reason
    refused("n_draws, n_times", score_latency, course, null[:, :5], null, TIMES)
    refused(r"window 1 to 2; times go -0.1 to 0.49", score_latency, course, null, null, TIMES, window=(1, 2))
    refused("NaN", score_latency, course * np.nan, null, null, TIMES)
    flat = score_latency(0 * course, null[3:], null, TIMES)
    assert (flat.decided, flat.peak_low, flat.peak_high) == (False, TIMES[0], TIMES[-1])  # all times are as good


def test_two_equal_peaks_are_undecided() -> None:
    course, null = bump(0.1, 0.02) + 0.98 * bump(0.35, 0.02), noisy(0 * TIMES, 0.05, 200, 4)
    found = score_latency(course, noisy(course, 0.05, 300, 5), null, TIMES)
    assert not found.decided
    assert found.reason == "peak does not beat the next one by more than 2 SE"
    assert found.margin == pytest.approx(0.02, abs=0.001)
    assert found.margin_se == pytest.approx(0.05 * np.sqrt(2), rel=0.2)
    # A window that holds one of them decides it, and its times are those asked for.
    later = score_latency(course, noisy(course, 0.05, 300, 5), null, TIMES, window=(0.2, np.inf))
    assert (later.decided, later.peak) == (True, 0.35)


@pytest.mark.parametrize("onset", [-0.1, 0.1])
def test_a_peak_that_noise_places_on_a_plateau_is_undecided(onset: float) -> None:
    """A response that lasts, with or without a time before it, against a peak as high in the same noise"""
    null = noisy(0 * TIMES, 0.02, 99, 7)
    lasting, peaked, peaks = 0, 0, []
    for seed in range(30):
        score = noisy(0.2 * (onset <= TIMES), 0.02, 1, seed)[0]
        found = score_latency(score, noisy(score, 0.02, 100, 100 + seed), null, TIMES)
        lasting += found.decided
        peaks.append(found.peak)
        assert "interval of the peak is" in found.reason
        score = noisy(0.2 * bump(0.2, 0.06), 0.02, 1, seed)[0]
        peaked += score_latency(score, noisy(score, 0.02, 100, 100 + seed), null, TIMES).decided
    assert np.std(peaks) > 0.08  # noise places it
    assert lasting == 0
    assert peaked >= 28


def hump(centre: float, width: float = 0.04, height: float = 0.3) -> np.ndarray:
    return 0.5 + height * np.exp(-0.5 * ((HUMP_TIMES - centre) / width) ** 2)


def test_a_hump_that_begins_before_the_epoch_and_none_at_all() -> None:
    draws = np.stack([hump(0.0)] * 2)
    assert hump_latency(hump(0.0), draws, HUMP_TIMES, chance=0.5).rise == 0
    flat = np.full(len(HUMP_TIMES), 0.4)
    assert hump_latency(flat, np.stack([flat] * 2), HUMP_TIMES, chance=0.5).centre == 0
    refused("2 or more; got 1", hump_latency, hump(0.0), draws, HUMP_TIMES, n_folds=1)
    refused(r"got \(49,\)", hump_latency, flat[1:], draws, HUMP_TIMES)


def two_humps(first: float = 0.1, second: float = 0.15) -> np.ndarray:
    return hump(0.17, 0.02, first) + hump(0.3, 0.03, second) - 0.5


def test_the_first_hump_is_not_the_highest_nor_below_the_threshold_or_short() -> None:
    window = first_hump(two_humps(), HUMP_TIMES, 0.55, chance=0.5)
    assert window[0] < 0.13
    assert 0.2 <= window[1] <= 0.25  # the valley between
    draws = np.stack([two_humps(0.1, height) for height in np.linspace(0.05, 0.3, 21)])
    found = hump_latency(two_humps(), draws, HUMP_TIMES, chance=0.5, window=window)
    assert found.centre == pytest.approx(0.17, abs=0.005)
    assert (found.centre_low, found.centre_high) == pytest.approx((0.17, 0.17), abs=0.01)
    assert hump_latency(two_humps(), draws, HUMP_TIMES, chance=0.5).centre == pytest.approx(0.3, abs=0.005)
    assert first_hump(two_humps(0.03), HUMP_TIMES, 0.55, chance=0.5)[0] > 0.2  # type: ignore[index]
    assert first_hump(two_humps(0.03, 0.03), HUMP_TIMES, 0.55, chance=0.5) is None
    spike = np.where(np.arange(len(HUMP_TIMES)) == 5, 0.9, two_humps())
    assert first_hump(spike, HUMP_TIMES, 0.55, chance=0.5) == (HUMP_TIMES[6], HUMP_TIMES[22])
    assert first_hump(spike, HUMP_TIMES, 0.55, chance=0.5, n_consecutive=1) == (HUMP_TIMES[0], HUMP_TIMES[6])
    refused("no time lies in the window", hump_latency, spike, np.stack([spike] * 2), HUMP_TIMES, window=(2, 3))


def test_equal_to_mne() -> None:
    """Same clusters, same masses, and the same p over all sign flips."""
    n_subjects, n_times, n_sensors = 8, 12, 7
    data = smooth_on_ring(np.random.default_rng(0), n_subjects, n_sensors, n_times)
    data[:, 2:4, 4:8] += 1.5
    t, clusters, p, null = permutation_cluster_1samp_test(
        data.transpose(0, 2, 1), threshold=1.9, n_permutations=2**n_subjects, tail=1,
        adjacency=combine_adjacency(n_times, ring(n_sensors)), out_type="mask", verbose="error",
    )  # fmt: skip
    # With the identity and without "all flipped": the 255 flips that MNE takes.
    signs = np.array(np.meshgrid(*[[1, -1]] * n_subjects)).reshape(n_subjects, -1).T[:-1]
    maps = np.stack([ttest_1samp_no_p(data * sign[:, None, None]) for sign in signs])
    found = cluster_permutation(ttest_1samp_no_p(data), maps, ring(n_sensors), threshold=1.9, kind="score")
    masses = np.array([t[mask].sum() for mask in clusters])
    assert len(found.clusters) == len(clusters) > 1
    for mine, theirs in zip(found.clusters, np.argsort(-masses), strict=True):
        np.testing.assert_array_equal(mine.mask.T, clusters[theirs])
        assert mine.mass == pytest.approx(masses[theirs])
        # The identity is among the flips: a tie, which MNE may miss by rounding.
        assert mine.p == pytest.approx((null >= masses[theirs] - 1e-9).mean())
        assert mine.p == pytest.approx(p[theirs], abs=1.1 / 256)
    # MNE appends the observed mass to its null.
    np.testing.assert_allclose(np.sort(np.append(found.null_mass, masses.max())), np.sort(null))
    assert found.clusters[0].p < 0.05 < found.clusters[-1].p


def test_both_tails_equal_to_mne() -> None:
    """Masses of t, and of squares those of F, each sign by itself."""
    data = smooth_on_ring(np.random.default_rng(1), 7, 5, 10)
    data[:, 2] += np.repeat([1.0, -1.0], 5)
    t, options = ttest_1samp_no_p(data[:, 2]), {"n_permutations": 1, "out_type": "mask", "verbose": "error"}
    options |= {"stat_fun": lambda x: np.abs(ttest_1samp_no_p(x)) * ttest_1samp_no_p(x), "tail": 0}
    for power, own in ((1, {"stat_fun": ttest_1samp_no_p}), (2, {})):
        of, clusters, _, _ = permutation_cluster_1samp_test(data[:, 2], threshold=0.8**power, **options | own)
        found = cluster_permutation(t[None], 0 * t[None, None], threshold=0.8, kind="score", tail="both", power=power)
        expected = sorted(float(of[np.r_[mask]].sum()) for mask in clusters)
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
    assert (found.clusters[0].p, found.mask().sum(), found.mask(0.08).sum()) == (1 / 13, 0, 1)  # .05 counts
    assert cluster_permutation(-observed, np.zeros((12, 1, 3)), threshold=1, kind="score").clusters == []
    deep = cluster_permutation(-observed, -2 * np.stack([observed] * 12), threshold=1, kind="score", tail="both")
    assert (deep.clusters[0].mass, deep.clusters[0].p) == (-2, 1)
    np.testing.assert_array_equal(deep.null_mass, np.full(12, 4.0))


def test_neighbours_are_the_nearest_six_of_a_type_and_bad_input() -> None:
    places = np.random.default_rng(5).normal(size=(13, 3))
    kinds = np.array(["mag", "grad", *["mag"] * 9, "grad", "eog"])
    targets = pd.DataFrame(places, columns=["x_mm", "y_mm", "z_mm"]).assign(sensor_type=kinds)
    same = (kinds[:, None] == kinds) & ~np.eye(13, dtype=bool)
    apart = np.where(same, np.linalg.norm(places[:, None] - places, axis=2), np.inf)
    near = same & (apart.argsort().argsort() < 6)
    np.testing.assert_array_equal(sensor_adjacency(targets).toarray(), near | near.T)
    assert sensor_adjacency(targets.assign(y_mm=np.where(kinds == "eog", np.nan, 0))).nnz == 0
    observed, null = np.zeros((3, 5)), np.zeros((4, 3, 5))
    for adjacency in (ring(4), np.zeros((3, 4))):
        refused(r"sensors of the map need \(3, 3\)", cluster_permutation, observed, null, adjacency)
    for one, many in ((observed, null[:, :2]), (observed, null[:0]), (observed[0], null[:, 0])):
        refused("n_permutations", cluster_permutation, one, many)
    refused("kind must be one of", cluster_permutation, observed, null, kind="t")
    refused("tail must be one of", cluster_permutation, observed, null, tail="less")
    for threshold in (2.3, 0.5):
        refused(r"in \(.5, 1\)", cluster_permutation, observed, null, kind="quantile", threshold=threshold)
    refused("NaN", cluster_permutation, observed * np.nan, null)
    refused("NaN", cluster_permutation, observed, null * np.nan)
    refused("4 entries", cluster_permutation, observed, null, times=np.arange(4))
