"""RDM movies and their generalisation over time against loops and rsatoolbox."""

from __future__ import annotations

import numpy as np
import pytest
import rsatoolbox
from refusals import refused

from brainalign.geometry import compare, rdm, rdm_movie, rdm_time_generalization

CONDITIONS, RUNS, SENSORS, TIMES = 5, 3, 6, 7


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(CONDITIONS * RUNS, SENSORS, TIMES))


NAMES = np.tile([f"c{k}" for k in range(CONDITIONS)], RUNS)
RUN = np.repeat(np.arange(RUNS), CONDITIONS)


@pytest.mark.parametrize("method", ["euclidean", "correlation", "crossnobis"])
@pytest.mark.parametrize("bin_size", [1, 2])
def test_as_rsatoolbox_moment_by_moment(values, method: str, bin_size: int) -> None:
    # rsatoolbox 0.3.2 drops bins and cv_descriptor of lists of datasets, so it is given one.
    times = np.arange(TIMES // bin_size * bin_size) / 100.0
    dataset = rsatoolbox.data.TemporalDataset(
        values[:, :, : len(times)],
        obs_descriptors={"conditions": NAMES, "runs": RUN},
        time_descriptors={"time": times},
    )
    bins = times.reshape(-1, bin_size)
    options = {"cv_descriptor": "runs"} if method == "crossnobis" else {}
    theirs = rsatoolbox.rdm.calc_rdm_movie(dataset, method, descriptor="conditions", bins=bins, **options)
    found = rdm_movie(values, method, NAMES, RUN, bin_size=bin_size)
    assert found.shape == (TIMES // bin_size, 10)
    np.testing.assert_allclose(found, theirs.dissimilarities, atol=1e-10)


def test_noise_of_each_moment_or_shared(values) -> None:
    rng = np.random.default_rng(1)
    roots = rng.normal(size=(TIMES, SENSORS, 2 * SENSORS))
    noise = roots @ np.swapaxes(roots, 1, 2)
    own = rdm_movie(values, "crossnobis", NAMES, RUN, precision=noise)
    shared = rdm_movie(values, "crossnobis", NAMES, RUN, precision=noise[2])
    for time in range(TIMES):
        frame = values[:, :, time]
        assert own[time] == pytest.approx(rdm(frame, "crossnobis", NAMES, RUN, noise[time]), abs=1e-12)
        assert shared[time] == pytest.approx(rdm(frame, "crossnobis", NAMES, RUN, noise[2]), abs=1e-12)
    refused(r"3 precisions but 7 moments", rdm_movie, values, "crossnobis", NAMES, RUN, precision=noise[:3])
    refused(r"bin_size 8", rdm_movie, values, "euclidean", bin_size=8)


def test_generalisation_of_the_geometry(values) -> None:
    movie = rdm_movie(values, "euclidean", NAMES, RUN)
    square = rdm_time_generalization(movie)
    np.testing.assert_allclose(square, np.corrcoef(movie), atol=1e-12)
    ranked = rdm_time_generalization(movie, movie[:3], "spearman")
    assert ranked[4, 1] == pytest.approx(float(compare(movie[4], movie[1], "spearman")[0, 0]), abs=1e-12)


def test_a_planted_geometry_that_lasts_and_one_that_moves() -> None:
    """Halves of the trials agree at all times where the geometry lasts, and within its two phases where it moves."""
    rng = np.random.default_rng(3)
    n, conditions, sensors = 12, 12, 10
    first, second = rng.normal(size=(2, conditions, sensors))
    names = np.tile(np.arange(conditions), 2 * n)
    lasting = 2 * np.repeat(first[:, :, None], 6, axis=2)
    moving = lasting.copy()
    moving[:, :, 3:] = 2 * second[:, :, None]
    half = np.arange(len(names)) < len(names) // 2
    for planted, across in ((lasting, (0.8, 1)), (moving, (-0.5, 0.5))):
        trials = planted[names] + rng.normal(size=(len(names), sensors, 6))
        movies = [rdm_movie(trials[rows], "correlation", names[rows]) for rows in (half, ~half)]
        square = rdm_time_generalization(*movies)
        assert square[:3, :3].min() > 0.8
        assert across[0] < square[:3, 3:].mean() < across[1]
