from __future__ import annotations

import numpy as np
import pytest
import rsatoolbox
import torch
from refusals import refused

from brainalign.geometry import DISTANCES, WHITENED, rdm

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
    mine = rdm(patterns["patterns"], "mahalanobis", patterns["conditions"], precision=patterns["precision"])
    expected = toolbox_rdm(patterns, "mahalanobis", noise=patterns["precision"])
    np.testing.assert_allclose(mine, expected, atol=1e-10, rtol=0)


def test_poisson_equals_rsatoolbox(patterns: dict[str, np.ndarray]) -> None:
    patterns["patterns"] = np.random.default_rng(1).poisson(2.0, size=patterns["patterns"].shape).astype(float)
    mine = rdm(patterns["patterns"], "poisson", patterns["conditions"], patterns["runs"])
    np.testing.assert_allclose(mine, toolbox_rdm(patterns, "poisson"), atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", ["correlation", "euclidean", "mahalanobis", "poisson"])
def test_averages_are_over_all_rows_of_a_condition_however_many(method: str, patterns: dict[str, np.ndarray]) -> None:
    keep = np.random.default_rng(2).permutation(RUNS * CONDITIONS)[:30]  # unequal numbers of rows in unequal runs
    keep = np.r_[np.arange(CONDITIONS), keep[keep >= CONDITIONS]]
    data = {name: patterns[name][keep] for name in ("conditions", "runs")}
    data["patterns"] = np.abs(patterns["patterns"][keep])
    noise = {"noise": patterns["precision"]} if method == "mahalanobis" else {}
    precision = patterns["precision"] if method == "mahalanobis" else None
    mine = rdm(data["patterns"], method, data["conditions"], data["runs"], precision)
    np.testing.assert_allclose(mine, toolbox_rdm(data, method, **noise), atol=1e-10, rtol=0)


def test_leading_dimensions_are_batched(patterns: dict[str, np.ndarray]) -> None:
    stack = np.random.default_rng(1).normal(size=(2, 3, RUNS * CONDITIONS, CHANNELS))
    for method in DISTANCES:
        given = np.abs(stack) if method == "poisson" else stack
        options = {"precision": patterns["precision"]} if method == "mahalanobis" else {}
        together = rdm(given, method, patterns["conditions"], patterns["runs"], **options)
        assert together.shape == (2, 3, CONDITIONS * (CONDITIONS - 1) // 2)
        alone = rdm(given[1, 2], method, patterns["conditions"], patterns["runs"], **options)
        np.testing.assert_allclose(together[1, 2], alone, atol=1e-12)


@pytest.mark.parametrize("method", DISTANCES)
def test_tensors_in_tensors_out(method: str, patterns: dict[str, np.ndarray]) -> None:
    """Unequal numbers of rows too: the last two rows go to a condition of the last run."""
    precision = patterns["precision"] if method in WHITENED else None
    conditions = np.r_[patterns["conditions"][:-2], [patterns["conditions"][-3]] * 2]
    for values, tolerance in ((np.abs(patterns["patterns"]), 1e-10), (patterns["patterns"].astype("f4") ** 2, 1e-4)):
        for labels in (patterns["conditions"], conditions):
            expected = rdm(values, method, labels, patterns["runs"], precision)
            tensor = torch.from_numpy(values).requires_grad_()
            found = rdm(tensor, method, labels, patterns["runs"], precision)
            assert isinstance(found, torch.Tensor)
            assert found.dtype is torch.float64
            np.testing.assert_allclose(found.detach(), expected, atol=tolerance, rtol=0)
            found.sum().backward()  # tensors keep their gradient
            assert bool(torch.isfinite(tensor.grad).all())


def test_float32_is_accumulated_in_float64() -> None:
    X = np.random.default_rng(3).normal(size=(5, 3000)).astype(np.float32) + np.float32(1000)
    for method in ("correlation", "euclidean"):
        np.testing.assert_allclose(rdm(X, method), rdm(X.astype(np.float64), method), rtol=1e-12)


@pytest.mark.parametrize("method", DISTANCES)
def test_inputs_are_never_changed(method: str, patterns: dict[str, np.ndarray]) -> None:
    patterns["patterns"] = np.abs(patterns["patterns"])
    matrix = patterns.pop("precision")
    precision = matrix if method in WHITENED else None
    before = {name: values.tobytes() for name, values in (patterns | {"p": precision}).items() if values is not None}
    rdm(method=method, precision=precision, **patterns)
    after = {name: values.tobytes() for name, values in (patterns | {"p": precision}).items() if values is not None}
    assert before == after


def test_invariances() -> None:
    rng = np.random.default_rng(2)
    X, shift = rng.uniform(1, 2, size=(5, 30)), rng.uniform(size=30)
    mixing = rng.normal(size=(30, 30))
    noise = mixing @ mixing.T
    for method in ("euclidean", "mahalanobis"):
        P = None if method == "euclidean" else np.linalg.inv(noise)
        np.testing.assert_allclose(rdm(X + shift, method, precision=P), rdm(X, method, precision=P), rtol=1e-9)
        np.testing.assert_allclose(rdm(3 * X, method, precision=P), 9 * rdm(X, method, precision=P), rtol=1e-9)
    # Mahalanobis distances do not ask which linear mixture of channels was measured.
    mixed = rdm(X @ mixing, "mahalanobis", precision=np.linalg.inv(mixing.T @ mixing))
    np.testing.assert_allclose(mixed, rdm(X, "euclidean"), rtol=1e-6)
    np.testing.assert_allclose(rdm(3 * X + 2, "correlation"), rdm(X, "correlation"), atol=1e-12)
    rows, order = rng.normal(size=(4, 5, 30)), np.tile(np.arange(5), 4)
    per_run = rows + rng.normal(size=(4, 1, 30)) * 50  # what a run adds to all its conditions cancels
    runs = np.repeat(np.arange(4), 5)
    found = [rdm(x.reshape(20, 30), "crossnobis", order, runs) for x in (rows, per_run)]
    np.testing.assert_allclose(found[1], found[0], atol=1e-10)


@pytest.mark.parametrize("method", ["crossnobis", "euclidean", "mahalanobis"])
def test_what_all_conditions_share_does_not_cost_digits(method: str, patterns: dict[str, np.ndarray]) -> None:
    matrix = patterns.pop("precision")
    precision = matrix if method != "euclidean" else None
    exact = np.round(patterns["patterns"] * 2**20) / 2**20  # so that adding 2^16 loses nothing
    labels = patterns["conditions"], patterns["runs"]
    expected = rdm(exact, method, *labels, precision)
    for shift in (1.0, 2.0**8, 2.0**16):
        np.testing.assert_allclose(rdm(exact + shift, method, *labels, precision), expected, atol=1e-9, rtol=0)


def test_distances_of_rates_keep_their_digits_far_from_zero() -> None:
    rates = 1e6 + np.random.default_rng(3).uniform(size=(4, 50))
    m = (rates + 0.1) / 1.1
    i, j = np.triu_indices(4, 1)
    expected = ((m[i] - m[j]) * np.log1p((m[i] - m[j]) / m[j])).mean(axis=1)
    np.testing.assert_allclose(rdm(rates, "poisson"), expected, rtol=1e-6)


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


@pytest.mark.parametrize("method", DISTANCES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_item_that_is_not_finite_is_nan_and_counted(
    method: str, bad: float, patterns: dict[str, np.ndarray]
) -> None:
    precision = patterns["precision"] if method in WHITENED else None
    stack = np.abs(np.random.default_rng(1).normal(size=(2, 2, RUNS * CONDITIONS, CHANNELS)))
    whole = rdm(stack, method, patterns["conditions"], patterns["runs"], precision)
    stack[1, 0, 3, 7] = bad
    for given in (stack, torch.from_numpy(stack)):
        with pytest.warns(RuntimeWarning, match=r"1 of 4 RDMs are NaN: .* in 1 of 40 channels \(first: 7\)"):
            found = rdm(given, method, patterns["conditions"], patterns["runs"], precision)
        assert np.isnan(np.asarray(found[1, 0])).all()
        for place in ((0, 0), (0, 1), (1, 1)):
            np.testing.assert_allclose(found[place], whole[place], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": np.zeros(RUNS * CONDITIONS)}, "needs 2 or more; got 1"),
        ({"conditions": np.arange(RUNS * CONDITIONS)}, "48 conditions share 2 or more runs with no other"),
        ({"conditions": None, "runs": np.repeat([0, 1], [20, 28])}, "run '0' has 20 rows and run '1' 28"),
        ({"conditions": np.r_[np.nan, np.arange(47.0)]}, "conditions has 1 missing labels .first: row 0"),
        ({"runs": np.array([None] + [1] * 47)}, "runs has 1 missing labels"),
        ({"conditions": np.arange(3)}, "conditions has 3 rows but patterns has 48"),
        ({"precision": np.eye(3)}, "precision is of 3 channels but patterns have 40"),
        ({"precision": np.ones((40, 3))}, "precision has shape .40, 3."),
        ({"precision": np.stack([np.eye(40)] * 5)}, "precision has 5 rows but the runs of patterns has 6"),
        ({"precision": -np.eye(40)}, "not symmetric with a positive diagonal"),
        ({"precision": np.full((40, 40), np.nan)}, "precision of shape .40, 40. has 1600 NaN"),
        ({"method": "crossnobi"}, "did you mean 'crossnobis'"),
        ({"method": "correlation"}, "use no precision; choose crossnobis or mahalanobis"),
        ({"method": "euclidean"}, "use no precision; choose mahalanobis"),
        ({"method": "mahalanobis", "precision": None}, "mahalanobis takes one precision for all runs; got none"),
        ({"method": "mahalanobis", "precision": [np.eye(40)] * 6}, "got one per run"),
        ({"method": "poisson", "precision": None}, "rates, which are not negative; got -"),
        ({"patterns": np.full((RUNS * CONDITIONS, CHANNELS), np.nan)}, "in 40 of 40 channels .first: 0"),
        ({"patterns": np.ones(48)}, "patterns have shape .48,."),
        ({"patterns": np.ones((48, 0))}, "patterns have shape .48, 0."),
    ],
)
def test_bad_input(patterns: dict[str, np.ndarray], change: dict[str, object], message: str) -> None:
    given = {"method": "crossnobis"} | patterns | change
    refused(message, rdm, **given)


def test_precision_that_is_no_inverse_covariance_is_refused() -> None:
    rng = np.random.default_rng(5)
    patterns, runs = rng.normal(size=(12, 6)), np.repeat([0, 1], 6)
    conditions = np.tile(np.arange(6), 2)
    whole = np.linalg.inv(np.cov(rng.normal(size=(40, 6)).T))
    centred = np.eye(6) - 1 / 6  # of channels that sum to 0
    values, vectors = np.linalg.eigh(whole)
    indefinite = (vectors * np.where(np.arange(6) == 0, -0.1 * values, values)) @ vectors.T
    units = np.diag(10.0 ** np.arange(-6, 6, 2))
    for method in WHITENED:
        labels = {"conditions": conditions, "runs": runs if method == "crossnobis" else None}
        for wrong, kind in ((centred, "singular"), (indefinite, "indefinite"), (units @ centred @ units, "singular")):
            refused(kind, rdm, patterns, method, precision=wrong, **labels)
        assert np.isfinite(rdm(patterns, method, precision=units @ whole @ units, **labels)).all()
    refused("singular", rdm, patterns, "crossnobis", conditions, runs, np.stack([whole, centred]))
