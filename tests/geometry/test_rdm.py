from __future__ import annotations

import numpy as np
import pytest
import rsatoolbox

from brainalign.checks import BrainalignError
from brainalign.geometry import noise_precision, rdm

RUNS, CONDITIONS, CHANNELS = 6, 8, 40


@pytest.fixture
def patterns() -> dict[str, np.ndarray]:
    """Rows in an order of their own in every run: sorting by label must not reorder the RDM."""
    rng = np.random.default_rng(0)
    names = np.array([f"c{k}" for k in [3, 1, 7, 0, 5, 2, 6, 4]])
    first = names[None]
    others = np.stack([rng.permutation(names) for _ in range(RUNS - 1)])
    return {
        "patterns": rng.normal(size=(RUNS * CONDITIONS, CHANNELS)),
        "conditions": np.concatenate([first, others]).ravel(),
        "runs": np.repeat(np.arange(RUNS), CONDITIONS),
        "precision": np.linalg.inv(np.cov(rng.normal(size=(200, CHANNELS)).T)),
    }


def toolbox_rdm(data: dict[str, np.ndarray], method: str, **options: object) -> np.ndarray:
    """Return rsatoolbox's RDM with pairs in our order; it sorts conditions by label."""
    dataset = rsatoolbox.data.Dataset(
        data["patterns"], obs_descriptors={"condition": data["conditions"], "run": data["runs"]}
    )
    found = rsatoolbox.rdm.calc_rdm(dataset, method=method, descriptor="condition", **options)
    matrix = found.get_matrices()[0]
    order = [list(found.pattern_descriptors["condition"]).index(name) for name in data["conditions"][:CONDITIONS]]
    return matrix[np.ix_(order, order)][np.triu_indices(CONDITIONS, 1)]


def test_crossnobis_equals_rsatoolbox(patterns: dict[str, np.ndarray]) -> None:
    for precision in (None, patterns["precision"]):
        noise = {} if precision is None else {"noise": precision}
        expected = toolbox_rdm(patterns, "crossnobis", cv_descriptor="run", **noise)
        mine = rdm(patterns["patterns"], "crossnobis", patterns["conditions"], patterns["runs"], precision)
        np.testing.assert_allclose(mine, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", ["correlation", "euclidean"])
def test_averaged_distances_equal_rsatoolbox(patterns: dict[str, np.ndarray], method: str) -> None:
    mine = rdm(patterns["patterns"], method, patterns["conditions"], patterns["runs"])
    np.testing.assert_allclose(mine, toolbox_rdm(patterns, method), atol=1e-10, rtol=0)


def test_mahalanobis_equals_rsatoolbox(patterns: dict[str, np.ndarray]) -> None:
    mine = rdm(patterns["patterns"], "euclidean", patterns["conditions"], precision=patterns["precision"])
    expected = toolbox_rdm(patterns, "mahalanobis", noise=patterns["precision"])
    np.testing.assert_allclose(mine, expected, atol=1e-10, rtol=0)


def test_leading_dimensions_are_batched(patterns: dict[str, np.ndarray]) -> None:
    stack = np.random.default_rng(1).normal(size=(2, 3, RUNS * CONDITIONS, CHANNELS))
    for method in ("crossnobis", "correlation", "euclidean"):
        together = rdm(stack, method, patterns["conditions"], patterns["runs"])
        assert together.shape == (2, 3, CONDITIONS * (CONDITIONS - 1) // 2)
        np.testing.assert_allclose(
            together[1, 2], rdm(stack[1, 2], method, patterns["conditions"], patterns["runs"]), atol=1e-12
        )


def test_invariances() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(5, 30))
    np.testing.assert_allclose(rdm(X + rng.normal(size=30), "euclidean"), rdm(X, "euclidean"), atol=1e-12)
    np.testing.assert_allclose(rdm(3 * X + 2, "correlation"), rdm(X, "correlation"), atol=1e-12)
    before = X.copy()
    rdm(X, "correlation")
    np.testing.assert_array_equal(X, before)


def test_rows_are_conditions_without_labels() -> None:
    cube = np.random.default_rng(3).normal(size=(4, 5, 20))
    flat = cube.reshape(20, 20)
    runs = np.repeat(np.arange(4), 5)
    np.testing.assert_allclose(
        rdm(flat, "crossnobis", runs=runs), rdm(flat, "crossnobis", np.tile(np.arange(5), 4), runs)
    )


def test_a_constant_pattern_is_undefined_not_fatal() -> None:
    X = np.random.default_rng(4).normal(size=(3, 10))
    X[1] = 0.1
    found = rdm(X, "correlation")
    assert np.isnan(found).tolist() == [True, False, True]


def test_crossnobis_keeps_negative_values_and_is_unbiased_on_noise() -> None:
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(400, 6 * 5, 20))
    runs, conditions = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    means = rdm(noise, "crossnobis", conditions, runs).mean(axis=1)
    assert abs(means.mean()) < 3 * means.std() / np.sqrt(400)
    assert (means < 0).any()
    # Euclidean distances of averages carry 2·sigma²/R.
    assert rdm(noise, "euclidean", conditions, runs).mean() == pytest.approx(2 / 6, abs=0.005)


def test_crossnobis_recovers_planted_distances() -> None:
    rng = np.random.default_rng(6)
    truth = rng.normal(size=(4, 30))
    noise = rng.normal(size=(500, 5, 4, 30))
    found = rdm(
        (truth + noise).reshape(500, 20, 30), "crossnobis", np.tile(np.arange(4), 5), np.repeat(np.arange(5), 4)
    )
    error = found.std(axis=0) / np.sqrt(500)
    assert (np.abs(found.mean(axis=0) - rdm(truth, "euclidean")) < 4 * error).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": np.zeros(RUNS * CONDITIONS)}, "needs 2 or more; got 1"),
        ({"conditions": np.arange(RUNS * CONDITIONS)}, "condition '8' is missing in run '0'"),
        ({"conditions": np.arange(3)}, "conditions has 3 rows but patterns has 48"),
        ({"precision": np.eye(3)}, "precision has shape"),
        ({"method": "crossnobi"}, "did you mean 'crossnobis'"),
        ({"method": "correlation"}, "uses no precision"),
        ({"patterns": np.full((RUNS * CONDITIONS, CHANNELS), np.nan)}, "NaN"),
    ],
)
def test_bad_input(patterns: dict[str, np.ndarray], change: dict[str, object], message: str) -> None:
    given = {"method": "crossnobis"} | patterns | change
    with pytest.raises(BrainalignError, match=message):
        rdm(**given)


def test_noise_precision_inverts_a_planted_covariance() -> None:
    rng = np.random.default_rng(7)
    mixing = rng.normal(size=(10, 10)) / 3 + np.diag(rng.uniform(0.5, 3, 10))
    residuals = rng.normal(size=(4000, 10)) @ mixing
    precision = noise_precision(residuals, dof=4000)
    np.testing.assert_allclose(precision @ (mixing.T @ mixing), np.eye(10), atol=0.15)


def test_noise_precision_shrinks_to_the_diagonal_when_rows_are_few() -> None:
    rng = np.random.default_rng(8)
    scale = rng.uniform(0.5, 3, size=200)
    precision = noise_precision(rng.normal(size=(30, 200)) * scale, dof=30)
    assert np.isfinite(precision).all()
    off = precision * np.outer(scale, scale) - np.diag(np.diag(precision) * scale**2)
    assert np.abs(off).max() < 0.2
    np.testing.assert_allclose(np.median(np.diag(precision) * scale**2), 1, atol=0.15)


def test_whitening_with_independent_residuals_keeps_crossnobis_unbiased() -> None:
    """Residuals of the very averages that are compared bias distances; those of volumes within blocks do not."""
    rng = np.random.default_rng(9)
    runs, conditions = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    circular, independent = [], []
    for _ in range(60):
        volumes = rng.normal(size=(30, 8, 60))
        means = volumes.mean(axis=1)
        within = (volumes - means[:, None]).reshape(-1, 60)
        independent.append(rdm(means, "crossnobis", conditions, runs, noise_precision(within, 30 * 7)).mean())
        around = means - np.stack([means[conditions == c].mean(axis=0) for c in conditions])
        circular.append(rdm(means, "crossnobis", conditions, runs, noise_precision(around, 25)).mean())
    assert abs(np.mean(independent)) < 3 * np.std(independent) / np.sqrt(60)
    assert np.mean(circular) > 10 * np.std(circular) / np.sqrt(60)


def test_noise_precision_bad_input() -> None:
    with pytest.raises(BrainalignError, match="1 channels never deviate"):
        noise_precision(np.c_[np.arange(4.0), np.zeros(4)], dof=3)
    with pytest.raises(BrainalignError, match="0 degrees of freedom"):
        noise_precision(np.ones((4, 2)), dof=0)
