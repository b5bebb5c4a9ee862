from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import rsatoolbox
import torch
from jobs import peak_bytes
from refusals import refused

from brainalign import geometry as g
from brainalign.arrays import Features
from brainalign.geometry.rdms import WholeCovariance

RUNS, CONDITIONS, CHANNELS = 6, 8, 40
N_RUNS, N_CONDITIONS, N_CHANNELS = 5, 6, 12
TOOLBOX = {"shrink-diagonal": "shrinkage_diag", "shrink-identity": "shrinkage_eye", "diag": "diag", "full": "full"}


@pytest.fixture
def patterns(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows in an order of their own in every run: sorting by label must not reorder the RDM."""
    names = np.array([f"c{k}" for k in [3, 1, 7, 0, 5, 2, 6, 4]])
    conditions = np.concatenate([names, *(rng.permutation(names) for _ in range(RUNS - 1))])
    made = {"patterns": rng.normal(size=(RUNS * CONDITIONS, CHANNELS)), "conditions": conditions}
    precision = np.linalg.inv(np.cov(rng.normal(size=(200, CHANNELS)).T))
    return made | {"runs": np.repeat(np.arange(RUNS), CONDITIONS), "precision": precision}


@pytest.mark.parametrize("method", [*g.DISTANCES, "averages of some rows"])
def test_equals_rsatoolbox(method: str, patterns: dict) -> None:
    """Averages also of unequal numbers of rows in unequal runs, where crossnobis has another form here."""
    data = patterns | {"patterns": np.abs(patterns["patterns"])}
    precision, methods = data.pop("precision"), [method]
    if method not in g.DISTANCES:
        methods = [name for name in g.DISTANCES if name != "crossnobis"]
        keep = np.random.default_rng(2).permutation(RUNS * CONDITIONS)[:30]
        keep = np.r_[np.arange(CONDITIONS), keep[keep >= CONDITIONS]]
        data = {name: values[keep] for name, values in data.items()}
    labels = {"condition": data["conditions"], "run": data["runs"]}
    dataset = rsatoolbox.data.Dataset(data["patterns"], obs_descriptors=labels)
    for name in methods:
        for P in {"mahalanobis": [precision], "crossnobis": [None, precision]}.get(name, [None]):
            options = {"cv_descriptor": "run"} if name == "crossnobis" else {}
            options |= {} if P is None else {"noise": P}
            theirs = rsatoolbox.rdm.calc_rdm(dataset, method=name, descriptor="condition", **options)
            sorted_by_label = list(theirs.pattern_descriptors["condition"])
            order = [sorted_by_label.index(label) for label in data["conditions"][:CONDITIONS]]
            expected = theirs.get_matrices()[0][np.ix_(order, order)][np.triu_indices(CONDITIONS, 1)]
            found = g.rdm(data["patterns"], name, data["conditions"], data["runs"], P)
            np.testing.assert_allclose(found, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", g.DISTANCES)
def test_tensors_in_tensors_out(method: str, patterns: dict) -> None:
    """Unequal numbers of rows too: the last two rows go to a condition of the last run."""
    precision = patterns["precision"] if method in g.WHITENED else None
    conditions = np.r_[patterns["conditions"][:-2], [patterns["conditions"][-3]] * 2]
    for values, tolerance in ((np.abs(patterns["patterns"]), 1e-10), (patterns["patterns"].astype("f4") ** 2, 1e-4)):
        for labels in (patterns["conditions"], conditions):
            before = [one.tobytes() for one in (values, labels, patterns["runs"], patterns["precision"])]
            expected = g.rdm(values, method, labels, patterns["runs"], precision)
            assert before == [one.tobytes() for one in (values, labels, patterns["runs"], patterns["precision"])]
            tensor = torch.from_numpy(values).requires_grad_()
            found = g.rdm(tensor, method, labels, patterns["runs"], precision)
            assert isinstance(found, torch.Tensor)
            assert found.dtype is torch.float64
            np.testing.assert_allclose(found.detach(), expected, atol=tolerance, rtol=0)
            found.sum().backward()  # tensors keep their gradient
            assert bool(torch.isfinite(tensor.grad).all())


@pytest.mark.parametrize("method", ["crossnobis", "euclidean", "mahalanobis"])
def test_what_all_conditions_share_does_not_cost_digits(method: str, patterns: dict) -> None:
    precision = patterns.pop("precision") if method != "euclidean" else None
    exact = np.round(patterns["patterns"] * 2**20) / 2**20  # so that adding 2^16 loses nothing
    labels = patterns["conditions"], patterns["runs"]
    expected = g.rdm(exact, method, *labels, precision)
    for shift in (1.0, 2.0**8, 2.0**16):
        np.testing.assert_allclose(g.rdm(exact + shift, method, *labels, precision), expected, atol=1e-9, rtol=0)


def test_digits_are_kept_far_from_zero_and_a_constant_is_undefined() -> None:
    X = np.random.default_rng(3).normal(size=(5, 3000)).astype(np.float32) + np.float32(1000)
    for method in ("correlation", "euclidean"):  # float32 is accumulated in float64
        np.testing.assert_allclose(g.rdm(X, method), g.rdm(X.astype(np.float64), method), rtol=1e-12)
    X[1] = 0.1
    assert np.isnan(g.rdm(X[:3], "correlation")).tolist() == [True, False, True]
    rates = 1e6 + np.random.default_rng(3).uniform(size=(4, 50))
    m = (rates + 0.1) / 1.1
    i, j = np.triu_indices(4, 1)
    expected = ((m[i] - m[j]) * np.log1p((m[i] - m[j]) / m[j])).mean(axis=1)
    np.testing.assert_allclose(g.rdm(rates, "poisson"), expected, rtol=1e-6)


@pytest.mark.parametrize("method", g.DISTANCES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_item_that_is_not_finite_is_nan_and_counted(method: str, bad: float, patterns: dict) -> None:
    precision = patterns["precision"] if method in g.WHITENED else None
    stack = np.abs(np.random.default_rng(1).normal(size=(2, 2, RUNS * CONDITIONS, CHANNELS)))
    whole = g.rdm(stack, method, patterns["conditions"], patterns["runs"], precision)
    assert whole.shape == (2, 2, CONDITIONS * (CONDITIONS - 1) // 2)
    alone = g.rdm(stack[1, 0], method, patterns["conditions"], patterns["runs"], precision)
    np.testing.assert_allclose(whole[1, 0], alone, atol=1e-12)  # leading dimensions are batched
    stack[1, 0, 3, 7] = bad
    for given in (stack, torch.from_numpy(stack)):
        with pytest.warns(RuntimeWarning, match=r"1 of 4 RDMs are NaN: .* in 1 of 40 channels \(first: 7\)"):
            found = g.rdm(given, method, patterns["conditions"], patterns["runs"], precision)
        assert np.isnan(np.asarray(found[1, 0])).all()
        for place in ((0, 0), (0, 1), (1, 1)):
            np.testing.assert_allclose(found[place], whole[place], atol=1e-12)


@pytest.mark.parametrize(("change", "message"), [
    ({"runs": np.zeros(RUNS * CONDITIONS)}, "needs 2 or more; got 1"),
    ({"conditions": np.arange(RUNS * CONDITIONS)}, "48 conditions share 2 or more runs with no other"),
    ({"conditions": None, "runs": np.repeat([0, 1], [20, 28])}, "run '0' has 20 rows and run '1' 28"),
    ({"conditions": np.r_[np.nan, np.arange(47.0)]}, "conditions has 1 missing labels .first: row 0"),
    ({"runs": np.array([None] + [1] * 47)}, "runs has 1 missing labels"),
    ({"conditions": np.arange(3)}, "conditions has 3 rows but patterns has 48"),
    ({"precision": np.eye(3)}, "precision has 3 channels but patterns has 40"),
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
])  # fmt: skip
def test_bad_input(patterns: dict, change: dict[str, object], message: str) -> None:
    refused(message, g.rdm, **({"method": "crossnobis"} | patterns | change))


def test_precision_that_is_no_inverse_covariance_is_refused() -> None:
    rng = np.random.default_rng(5)
    patterns, runs = rng.normal(size=(12, 6)), np.repeat([0, 1], 6)
    conditions, whole = np.tile(np.arange(6), 2), np.linalg.inv(np.cov(rng.normal(size=(40, 6)).T))
    centred = np.eye(6) - 1 / 6  # of channels that sum to 0
    values, vectors = np.linalg.eigh(whole)
    indefinite = (vectors * np.where(np.arange(6) == 0, -0.1 * values, values)) @ vectors.T
    units = np.diag(10.0 ** np.arange(-6, 6, 2))
    for method in g.WHITENED:
        labels = {"conditions": conditions, "runs": runs if method == "crossnobis" else None}
        for wrong, kind in ((centred, "singular"), (indefinite, "indefinite"), (units @ centred @ units, "singular")):
            refused(kind, g.rdm, patterns, method, precision=wrong, **labels)
        assert np.isfinite(g.rdm(patterns, method, precision=units @ whole @ units, **labels)).all()
    refused("singular", g.rdm, patterns, "crossnobis", conditions, runs, np.stack([whole, centred]))


def test_stimuli_are_matched_by_id_and_a_missing_one_is_named() -> None:
    values = np.random.default_rng(0).normal(size=(5, 2, 3))  # tokens are flattened
    layers = {"late": Features(values, pd.DataFrame({"stimulus_id": list("abcde")}), "late")}
    expected = g.rdm(values[[3, 0, 2]].reshape(3, -1), "euclidean")
    np.testing.assert_array_equal(g.feature_rdms(layers, ["d", "a", "c"], "euclidean")["late"], expected)
    missing = r"layer 'late' has no features for 1 of 3 stimuli \(x\); run extract"
    refused(missing, g.feature_rdms, layers, ["d", "x", "c"], "euclidean")


def by_hand(data: dict[str, np.ndarray], precisions: list[np.ndarray]) -> np.ndarray:
    """Average products of differences over the pairs of runs that hold both conditions."""
    (runs, names), found = (list(dict.fromkeys(data[of])) for of in ("runs", "conditions")), []
    for i, j in combinations(range(N_CONDITIONS), 2):
        products = []
        for a, b in combinations(range(N_RUNS), 2):
            cells = [(data["runs"] == runs[r]) & (data["conditions"] == names[c]) for r in (a, b) for c in (i, j)]
            rows = [data["patterns"][cell] for cell in cells]
            if all(len(row) for row in rows):
                x, y, u, v = (row.mean(axis=0) for row in rows)
                both = (np.linalg.inv(precisions[a]) + np.linalg.inv(precisions[b])) / 2
                products.append((x - y) @ np.linalg.inv(both) @ (u - v) / N_CHANNELS)
        found.append(np.mean(products))
    return np.array(found)


def test_pairs_take_the_runs_that_hold_both(rng: np.random.Generator) -> None:
    # Patterns whose runs lack conditions and list them in orders of their own; every pair shares 2 runs.
    runs, conditions = np.repeat(np.arange(N_RUNS), N_CONDITIONS), np.tile(np.arange(N_CONDITIONS), N_RUNS)
    keep = ~np.isin(np.arange(N_RUNS * N_CONDITIONS), [7, 10, 14, 15, 29])  # the first run holds all, in order
    order = np.r_[np.arange(N_CONDITIONS), N_CONDITIONS + rng.permutation((N_RUNS - 1) * N_CONDITIONS)]
    rows = order[keep[order]]
    unbalanced = {
        "patterns": rng.normal(size=(len(rows), N_CHANNELS)) + 3 * runs[rows, None],
        "conditions": np.array([f"c{k}" for k in [3, 1, 5, 0, 2, 4]])[conditions[rows]],
        "runs": np.array(["e", "d", "c", "b", "a"])[runs[rows]],
    }
    flat = np.random.default_rng(3).normal(size=(20, 20))
    runs = np.repeat(np.arange(4), 5)  # rows are conditions where no labels are given
    numbered = g.rdm(flat, "crossnobis", np.tile(range(5), 4), runs)
    np.testing.assert_allclose(g.rdm(flat, "crossnobis", runs=runs), numbered)
    own = [np.linalg.inv(np.cov(rng.normal(size=(60, 20)).T)) for _ in range(4)]
    named, shown = np.array(["d", "c", "b", "a"])[runs], np.tile(range(5), 4)
    other = np.random.default_rng(0).permutation(4)[2:]
    rows = np.isin(runs, other)
    half = g.rdm(flat[rows], "crossnobis", shown[rows], named[rows], [own[k] for k in sorted(other)])
    np.testing.assert_allclose(g.split_half_rdms(flat, "crossnobis", shown, named, own)[0, 1], half)
    rng = np.random.default_rng(1)
    precisions = [np.linalg.inv(np.cov(rng.normal(size=(40, N_CHANNELS)).T * (1 + r))) for r in range(N_RUNS)]
    same = (None, [np.eye(N_CHANNELS)] * N_RUNS), (precisions[0], precisions[:1] * N_RUNS)
    for precision, each in (*same, (precisions, precisions)):
        found = g.rdm(**unbalanced, method="crossnobis", precision=precision)
        np.testing.assert_allclose(found, by_hand(unbalanced, each), atol=1e-12)
    exact = np.round(unbalanced["patterns"] * 2**20) / 2**20  # so that adding 2^16 loses nothing
    found, shifted = (g.rdm(**unbalanced | {"patterns": x}, method="crossnobis") for x in (exact, exact + 2.0**16))
    np.testing.assert_allclose(shifted, found, atol=1e-9)


def test_conditions_that_share_too_few_runs() -> None:
    runs, conditions = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
    patterns = np.random.default_rng(6).normal(size=(20, N_CHANNELS))
    whole = g.rdm(patterns, "crossnobis", conditions, runs)
    # Condition 0 is left in runs 0 and 1, condition 1 in runs 0, 2 and 3: they share one.
    held = ~((conditions == 0) & (runs > 1)) & ~((conditions == 1) & (runs == 1))
    with pytest.warns(RuntimeWarning, match="1 of 10 pairs of conditions share fewer than 2 runs"):
        found = g.rdm(patterns[held], "crossnobis", conditions[held], runs[held])
    assert np.isnan(found).tolist() == [True] + [False] * 9
    np.testing.assert_allclose(found[7:], whole[7:], atol=1e-12)  # pairs of conditions 2, 3 and 4
    held &= ~((conditions == 0) & (runs == 1))
    alone = r"1 conditions share 2 or more runs with no other condition \(0\)"
    refused(alone, g.rdm, patterns[held], "crossnobis", conditions[held], runs[held])


def residuals_of(n: int, p: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = np.eye(p) + rng.normal(size=(p, p)) / np.sqrt(p) / 2
    return rng.normal(size=(n, p)) @ mixing * rng.uniform(0.5, 3, p)


@pytest.mark.parametrize("method", TOOLBOX)
@pytest.mark.parametrize(("n", "p"), [(60, 12), (30, 29), (20, 50)])
@pytest.mark.parametrize("dof", [None, 15])
def test_noise_equals_rsatoolbox(method: str, n: int, p: int, dof: int | None) -> None:
    if method == "full" and min(n - 1, dof or n) < p:
        return  # singular
    assert set(TOOLBOX) == set(g.NOISE_COVARIANCES)
    residuals = residuals_of(n, p)
    before, found = residuals.tobytes(), g.noise_covariance(residuals, dof, method)
    assert residuals.tobytes() == before
    covariance = rsatoolbox.data.noise.cov_from_residuals(residuals, dof, TOOLBOX[method])
    scale = np.abs(covariance).max()
    np.testing.assert_allclose(found.matrix() / scale, covariance / scale, atol=1e-10, rtol=0)
    precision = rsatoolbox.data.noise.prec_from_residuals(residuals, dof, TOOLBOX[method])
    np.testing.assert_allclose(g.noise_precision(residuals, dof, method), precision, atol=1e-10, rtol=1e-10)
    of_tensor = g.noise_precision(torch.from_numpy(residuals), dof, method)
    assert isinstance(of_tensor, torch.Tensor)
    np.testing.assert_allclose(of_tensor, precision, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("method", TOOLBOX)
@pytest.mark.parametrize(("n", "p"), [(60, 12), (20, 50)])
def test_all_forms_of_a_covariance_agree(method: str, n: int, p: int) -> None:
    if method == "full" and n < p:
        return
    noise = g.noise_covariance(residuals_of(n, p), method=method)
    assert isinstance(noise, WholeCovariance) == (n > p and method != "diag")
    covariance, precision = noise.matrix(), noise.precision()
    np.testing.assert_allclose(covariance @ precision, np.eye(p), atol=1e-9)
    patterns = np.random.default_rng(2).normal(size=(2, 3, p))
    np.testing.assert_allclose(noise.solve(patterns), patterns @ precision, atol=1e-9)
    np.testing.assert_allclose(noise.solve(torch.from_numpy(patterns)), noise.solve(patterns), atol=1e-12)
    rows, labels = np.random.default_rng(3).normal(size=(12, p)), (np.tile(np.arange(4), 3), np.repeat(np.arange(3), 4))
    for measure in ("mahalanobis", "crossnobis"):
        expected = g.rdm(rows, measure, *labels, precision)
        for given in (rows, torch.from_numpy(rows)):
            np.testing.assert_allclose(g.rdm(given, measure, *labels, noise), expected, atol=1e-10)


@pytest.mark.parametrize(("method", "most"), [("shrink-diagonal", 0.25), ("shrink-identity", 0.25), ("diag", 0.1)])
def test_many_channels_need_no_matrix_of_channels(method: str, most: float) -> None:
    rng, p = np.random.default_rng(0), 1500
    residuals, patterns = rng.normal(size=(40, p)), rng.normal(size=(20, p))
    assert peak_bytes(lambda: g.noise_covariance(residuals, method=method).solve(patterns)) < most * 8 * p**2


@pytest.mark.parametrize("method", ["shrink-diagonal", "shrink-identity", "full"])
def test_few_channels_need_one_matrix_of_channels(method: str) -> None:
    rng, p = np.random.default_rng(0), 400
    residuals, patterns = rng.normal(size=(420, p)), rng.normal(size=(20, p))
    noise = g.noise_covariance(residuals, method=method)
    assert peak_bytes(lambda: noise.solve(patterns)) < 0.2 * 8 * p**2
    # Beside the matrix, only copies of the residuals.
    assert peak_bytes(lambda: g.noise_covariance(residuals, method=method)) < 8 * p**2 + 4 * residuals.nbytes


def test_noise_precision_bad_input() -> None:
    refused("1 channels never deviate", g.noise_precision, np.c_[np.arange(4.0), np.zeros(4)], dof=3)
    steady = np.random.default_rng(5).normal(size=(12, 4)) * [1, 1, 0, 1] + 0.1  # whatever rounding leaves of it
    refused(r"1 channels never deviate \(first: 2\)", g.noise_covariance, steady)
    refused("0 degrees of freedom", g.noise_precision, np.ones((4, 2)), dof=0)
    rows = np.random.default_rng(0).normal(size=(10, 12))
    refused("do not determine the covariance of 12 channels", g.noise_covariance, rows, method="full")
    refused("do not determine the covariance of 9 channels", g.noise_covariance, rows[:, :9], dof=5, method="full")
    refused("not positive definite", g.noise_covariance, np.c_[rows[:, :3], rows[:, :3].sum(axis=1)], method="full")
    refused("did you mean 'full'", g.noise_covariance, rows, method="ful")
    refused("2 NaN", g.noise_covariance, np.where(np.arange(12) < 2, np.nan, rows[:1]))
    refused("rows × channels", g.noise_covariance, rows[0])
