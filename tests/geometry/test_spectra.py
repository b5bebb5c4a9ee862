from types import SimpleNamespace

import numpy as np
import pytest
from refusals import refused
from scipy.integrate import dblquad
from scipy.optimize import minimize
from scipy.stats import entropy
from sklearn.linear_model import Ridge as PlainRidge

import brainalign.geometry as g
from brainalign.regression import Ridge

N = 240
READ_OUT = Ridge(np.logspace(-3, 6, 10), per_target_alpha=False, dtype="float64")
LABELS = np.repeat(list("abcd"), 8)


def power(n: int, p: int, rng: np.random.Generator, alpha: float = 1.0) -> np.ndarray:
    turned = np.linalg.qr(rng.normal(size=(p, p)))[0]
    return (rng.normal(size=(n, p)) * np.arange(1, p + 1) ** (-alpha / 2)) @ turned


def test_participation_ratio_and_rankme(rng: np.random.Generator) -> None:
    for n, p in ((200, 50), (100, 300)):
        found = np.mean([g.participation_ratio(rng.normal(size=(n, p)) + 5) for _ in range(5)])
        assert found == pytest.approx(p / (1 + p / n), rel=0.03)
    assert g.participation_ratio(np.eye(9)[:, :8] * 3) == pytest.approx(8, rel=0.3)
    assert np.isnan(g.participation_ratio(np.ones((5, 3))))
    X = np.random.default_rng(1).normal(size=(60, 12)) + 4
    for spectrum in ("singular", "eigen"):
        for center in (True, False):
            sizes = np.linalg.svd(X - center * X.mean(0), compute_uv=False) ** (2 if spectrum == "eigen" else 1)
            assert g.rankme(X, spectrum=spectrum, center=center) == pytest.approx(np.exp(entropy(sizes)), rel=1e-4)
    assert g.rankme(np.eye(7)) == pytest.approx(7, rel=1e-4)
    assert g.rankme(X, center=False) < g.rankme(X, center=True)  # an offset is one large dimension
    refused("spectrum must be one of 'eigen', 'singular'", g.rankme, X, spectrum="squared")


def test_exponent_over_a_fixed_range_and_without_noise_by_cross_validation() -> None:
    exact = np.arange(1.0, 201) ** -1.3
    found = g.power_law(exact)
    assert (found.exponent, found.r2, found.n_left_out) == (pytest.approx(1.3, abs=1e-12), pytest.approx(1), 0)
    values = g.eigenspectrum(power(500, 500, np.random.default_rng(2)))
    assert g.power_law(values).exponent == pytest.approx(1, abs=0.12)
    assert g.power_law(values, (200, 450)).exponent > 1.3  # the tail of a sample is not that of the truth
    assert g.power_law(np.where(np.arange(200) % 2 == 1, -exact, exact)).n_left_out == 45
    refused("ranks 11 to 100 does not lie in a spectrum of 40", g.power_law, exact[:40])
    rng = np.random.default_rng(3)
    signal = power(1000, 700, rng)
    A, B = (signal + 0.2 * rng.normal(size=signal.shape) for _ in range(2))
    assert g.power_law(g.eigenspectrum(A)).exponent == pytest.approx(0.28, abs=0.04)
    assert g.power_law(g.cross_validated_spectrum(A, B)).exponent == pytest.approx(0.74, abs=0.06)
    noise = g.cross_validated_spectrum(rng.normal(size=(200, 50)), rng.normal(size=(200, 50)))
    assert abs(noise.mean()) < 4 * noise.std() / np.sqrt(50)
    assert (noise < 0).any()
    assert g.cross_validated_spectrum(A[:50, :9], A[:50, :9]) == pytest.approx(g.eigenspectrum(A[:50, :9]))
    refused("repeats have the same units", g.cross_validated_spectrum, A, B[:, :5])


@pytest.mark.parametrize("d", [2, 5, 10])
def test_two_nearest_neighbours(d: int) -> None:
    rng = np.random.default_rng(d)
    X = rng.normal(size=(1500, d)) @ np.linalg.qr(rng.normal(size=(20, d)))[0].T
    found = g.two_nn(X)
    assert found.dimension == pytest.approx(d, rel=0.1)
    twice = g.two_nn(np.vstack([X, X[:100]]))
    assert (twice.n, twice.n_duplicates, twice.dimension) == (1500, 100, pytest.approx(found.dimension))
    assert np.isnan(g.two_nn(np.ones((8, 2))).dimension)
    three = g.two_nn(np.array([[0.0], [1.0], [3.0], [3.0]]))
    assert three.dimension == pytest.approx(2 / np.log([3 / 1, 2 / 1, 3 / 2]).sum())
    assert (three.n, three.n_duplicates) == (3, 1)


def test_capacity_of_circles_against_the_integral() -> None:
    """F of a disc of radius R: 0, (R t - t0)² / (1 + R²), or t0² + t², by where the probe lies."""
    radius, angles = 0.8, np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rng = np.random.default_rng(6)
    axes = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    # Two manifolds of opposite centres: the mean of centres is 0, and their norms are 1.
    circle = radius * np.column_stack([np.cos(angles), np.sin(angles)]) @ axes[1:3]
    X = np.vstack([axes[0] + circle, -axes[0] + circle])

    def cost(t0: float, t: float) -> float:
        if t0 >= radius * t:
            value = 0.0
        elif t0 > -t / radius:
            value = (radius * t - t0) ** 2 / (1 + radius**2)
        else:
            value = t0**2 + t**2
        return value * t * np.exp(-(t**2) / 2) * np.exp(-(t0**2) / 2) / np.sqrt(2 * np.pi)

    found = g.manifold_capacity(X, np.repeat(["a", "b"], 24), 800)
    assert found.mean_capacity == pytest.approx(1 / dblquad(cost, 0, 8, -8, 8, epsabs=1e-4)[0], rel=0.06)
    assert found.radius == pytest.approx(np.full(2, radius), rel=0.1)
    points = g.manifold_capacity(np.repeat(rng.normal(size=(10, 40)), 3, axis=0), np.repeat(np.arange(10), 3), 200)
    assert (points.capacity, points.mean_capacity) == (pytest.approx(np.full(10, 2.0)), pytest.approx(2))
    assert points.radius == pytest.approx(np.zeros(10))
    wide = g.manifold_capacity(np.vstack([axes[0] + 3 * circle, -axes[0] + 3 * circle]), np.repeat([0, 1], 24), 100)
    assert wide.mean_capacity < found.mean_capacity < 2
    refused("2 manifolds and an even number of probes; got 1 and 200", g.manifold_capacity, X, np.zeros(48))


def test_noise_looks_collapsed_only_to_itself_and_more_classes_than_a_simplex() -> None:
    rng, labels = np.random.default_rng(8), np.repeat(np.arange(10), 30)
    drawn = [rng.normal(size=(300, 34)) for _ in range(8)]
    inside = [g.neural_collapse(X, labels, centroids="in_sample") for X in drawn]
    left_out = [g.neural_collapse(X, labels) for X in drawn]
    apart = [g.neural_collapse(X, labels, held_out=(Y, labels)) for X, Y in zip(drawn, drawn[::-1], strict=True)]
    for kind, told, within in ((inside, 0.38, 0.04), (left_out, 0.10, 0.03), (apart, 0.10, 0.03)):
        assert np.mean([found.accuracy for found in kind]) == pytest.approx(told, abs=within)
    twos = [g.neural_collapse(rng.normal(size=(24, 40)), np.repeat(np.arange(12), 2)) for _ in range(200)]
    assert np.mean([found.accuracy for found in twos]) == pytest.approx(1 / 12, abs=0.015)  # in classes of 2, too
    assert np.isfinite([found.cdnv for found in inside]).all()
    assert sum(found.n_undefined for found in left_out) > 45  # half of the pairs are no distance apart
    rng, labels = np.random.default_rng(10), np.repeat(np.arange(8), 4)
    X = rng.normal(size=(8, 3))[labels] + 0.01 * rng.normal(size=(32, 3))
    found = g.neural_collapse(X, labels)
    assert np.isnan([found.simplex, found.uniformity, found.cdnv]).tolist() == [True, False, False]
    refused("2 or more classes of 2 or more stimuli; got 8, the smallest of 1", g.neural_collapse, X[:-3], labels[:-3])
    refused("class 7 is not on both sides", g.neural_collapse, X, labels, held_out=(X[:-4], labels[:-4]))


@pytest.mark.parametrize("kept", [np.float64, np.float32, np.float16])
def test_near_copies_count_once(kept: type) -> None:
    """Eight of 400 stimuli shown twice, their features computed in another batch"""
    rng = np.random.default_rng(11)
    X = 3 + (rng.normal(size=(400, 5)) @ rng.normal(size=(5, 40)))
    copies = (X[:8] * (1 + 1e-7 * rng.normal(size=(8, 40)))).astype(np.float32)
    alone, both = g.two_nn(X.astype(kept)), g.two_nn(np.concatenate([X, copies]).astype(kept))
    assert (both.n, both.n_duplicates, both.dimension) == (400, 8, pytest.approx(alone.dimension, rel=0.01))
    assert (alone.n_duplicates, alone.dimension) == (0, pytest.approx(5, rel=0.15))
    given = np.concatenate([X.astype(kept), np.nextafter(X[:8].astype(kept), kept(99))])
    table = g.compare_dimensions({"both": given})
    assert table["n_duplicates"].eq(8).all()
    assert table["value"].iloc[-1] == g.two_nn(given).dimension


def test_distinct_points_stay_whatever_the_others_are() -> None:
    """Outliers, heavy tails and dense lines make no copies of what differs, and a chain of near points is many."""
    rng = np.random.default_rng(13)
    cloud = rng.normal(size=(800, 5))
    far = np.vstack([cloud, np.full((1, 5), 1e6)])
    assert g.two_nn(far).n_duplicates == 0
    assert g.two_nn(far).dimension == pytest.approx(g.two_nn(cloud).dimension, rel=0.01)
    assert g.two_nn(np.exp(4 * rng.normal(size=(2000, 3)))).n_duplicates <= 5
    line = g.two_nn(rng.random((20_000, 1)))
    assert line.n_duplicates <= 60
    assert line.dimension == pytest.approx(1, rel=0.03)
    thread = np.sort(rng.random(1500))[:, None] * rng.normal(size=30)
    for X in (thread, 1e6 + thread, 1e-30 * thread):
        assert g.two_nn(X).n_duplicates <= 15
        assert g.two_nn(X).dimension == pytest.approx(1, rel=0.1)
    chain = np.concatenate([np.linspace(0, 1e-4, 200), rng.random(200) + 1])[:, None]
    assert g.two_nn(chain).n >= 240  # every fourth of its points is farther from the one before than rounding is


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Easy: 55 % of the variance, hard: 5 %, a category: 20 %, the rest unknown."""
    rng = np.random.default_rng(0)
    features = {"easy": np.tile([-1.0, 1.0], N // 2), "hard": np.zeros(N)}
    features["kind"] = np.tile(np.repeat(["face", "house", "tool"], 2), N // 6)
    # Balanced, and no feature correlated with another: shares are exact.
    others = np.column_stack([features["easy"], features["kind"] == "face", features["kind"] == "house", np.ones(N)])
    hard = rng.normal(size=N)
    features["hard"] = hard - others @ np.linalg.lstsq(others, hard, rcond=None)[0]
    axes = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    kinds = (features["kind"][:, None] == np.array(["face", "house", "tool"])) - 1 / 3
    parts = [np.outer(features["easy"], axes[0]), np.outer(features["hard"], axes[1]), kinds @ axes[2:5]]
    parts.append(rng.normal(size=(N, 35)) @ axes[5:])
    middle = [part - part.mean(0) for part in parts]
    X = sum(np.sqrt(share) * part / part.std() for share, part in zip((0.55, 0.05, 0.2, 0.2), middle, strict=True))
    return X + 7, features


def test_planted_shares_come_back(planted: tuple[np.ndarray, dict[str, np.ndarray]]) -> None:
    X, features = planted
    rng = np.random.default_rng(1)
    table = g.feature_bias(X, features | {"none": rng.normal(size=N)}, PlainRidge(1e-3)).set_index("feature")
    for name, share in {"easy": 0.55, "hard": 0.05, "kind": 0.2}.items():
        assert table.loc[name, "explained"] == pytest.approx(share, abs=0.02)
        assert table.loc[name, "unique"] == pytest.approx(share, abs=0.02)
    # What can be read out says nothing of the variance.
    assert table.loc[["easy", "hard", "kind"], "decodability"].min() > 0.95
    assert table.loc["none", "decodability"] < 0.1
    assert table.loc["none", "explained"] < 4 * table.loc["none", "chance"]
    assert table.loc["kind", "n_columns"] == 2
    a = rng.normal(size=N)
    b = 0.8 * a + 0.6 * rng.normal(size=N)  # shares of correlated features are not given twice
    table, r = g.feature_bias(np.outer(a, np.ones(5)), {"a": a, "b": b}).set_index("feature"), np.corrcoef(a, b)[0, 1]
    assert table.loc["a", "unique"] == pytest.approx(1 - r**2)
    assert table.loc["b", ["explained", "unique"]].tolist() == pytest.approx([r**2, 0], abs=1e-12)


def test_features_of_equal_variance_and_whitened_ones(planted: tuple[np.ndarray, dict[str, np.ndarray]]) -> None:
    X, features = planted
    even = g.equal_variance(X, features)
    assert g.feature_bias(even, features)["unique"].tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    # A feature that is not there is not made out of noise.
    absent = features | {"none": np.random.default_rng(3).normal(size=N)}
    assert np.allclose(g.equal_variance(X, absent), even, atol=0.2)
    refused("feature 'kind' is the same for all 240 stimuli", g.equal_variance, X, {"kind": np.full(N, "face")})
    before, after = (g.feature_bias(Z, features).set_index("feature")["explained"] for Z in (X, g.whitened(X)))
    assert before["easy"] / before["hard"] > 9
    assert after["easy"] / after["hard"] < 1.5
    assert np.linalg.svd(g.whitened(X, 1e-6), compute_uv=False)[:39] ** 2 == pytest.approx(np.ones(39), rel=1e-3)
    assert not g.whitened(np.ones((5, 3))).any()
    refused(r"shrinkage must be above 0 and up to 1; got 0", g.whitened, X, 0)


def measured(X: np.ndarray, labels: np.ndarray = LABELS, draws: int = 3, seed: int = 0):
    through = SimpleNamespace(fit=READ_OUT.fit, predict=lambda X: X @ READ_OUT.coef_)  # without an intercept
    return g.category_manifolds(X, labels, through, draws, n_probes=20, seed=seed).set_index("measure")


def test_planted_categories_stand_out_whatever_rotation_unless_too_few(rng: np.random.Generator) -> None:
    words = np.repeat(["cup", "dog", "key", "sun"], [40, 31, 13, 7])
    few = g.balanced_categories(np.repeat(["cup", "dog"], [40, 7]))
    assert few.note == "1 of 2 categories have 8 or more stimuli; two are needed"
    assert not len(few.rows)
    refused("8 or more stimuli each; got most = 6", g.balanced_categories, words, 6)
    X = rng.normal(size=(32, 60)) + 1.5 * rng.normal(size=(4, 60))[np.repeat(np.arange(4), 8)]
    found = measured(X)
    assert found.loc["capacity", "value"] > 1.5 * found.loc["capacity", "null_high"]
    assert found.loc["radius", "value"] < found.loc["radius", "null_low"]
    assert (found.loc["accuracy", "value"], found.loc["told_apart", "value"]) == (1, 1)
    for measure in ("nc1", "cdnv"):
        assert found.loc[measure, "value"] < found.loc[measure, "null_low"] / 3
    turned = measured(X @ np.linalg.qr(rng.normal(size=(60, 60)))[0] + 5, draws=1)["value"]
    exact = ["nc1", "cdnv", "simplex", "equinorm", "nc3", "agreement"]
    np.testing.assert_allclose(turned[exact], found["value"][exact], rtol=1e-6)
    assert turned["capacity"] == pytest.approx(found.loc["capacity", "value"], rel=0.1)  # other probes


def test_categories_at_the_mean_of_all_have_no_capacity_and_stop_nothing() -> None:
    X, design = np.eye(2)[np.repeat([0, 1], 20)], np.repeat(np.eye(4), 8, axis=0)[:, :2]
    found = measured(X, np.repeat(["x", "y"], 20), draws=20)  # of two units, shuffled halves often have equal means
    assert np.isfinite(found.loc[["capacity", "nc1"], ["value", "null", "null_high"]].to_numpy(float)).all()
    crossed = measured(design, np.tile(["x", "y"], 16)).loc["capacity"]
    assert np.isnan(crossed["value"])
    assert crossed["note"] == "a category lies at the mean of all"


def test_halves_are_those_of_neural_collapse() -> None:
    """Its mean over both directions, with the least-squares read-out trained beside the means."""
    X, labels = np.random.default_rng(1).normal(size=(32, 5)) + np.repeat(np.eye(4, 5), 8, axis=0), LABELS
    first, expected = np.tile([True, False], 16), []
    for fit in (first, ~first):
        in_turn = np.arange(16).reshape(4, 4).T.ravel()  # of the four categories
        READ_OUT.fit(X[fit][in_turn], np.eye(4)[np.repeat(np.arange(4), 8)[fit]][in_turn])
        classifier = (READ_OUT.coef_.T, READ_OUT.intercept_)
        expected.append(g.neural_collapse(X[fit], labels[fit], held_out=(X[~fit], labels[~fit]), classifier=classifier))
    found = measured(X, draws=1)["value"]
    for name in ("nc1", "cdnv", "nc3", "agreement", "accuracy", "simplex"):
        assert found[name] == pytest.approx(np.mean([getattr(half, name) for half in expected]), rel=1e-6)


def test_capacity_is_that_of_the_nearest_feasible_points() -> None:
    rng = np.random.default_rng(3)
    X = np.vstack([rng.normal(size=(4, 5)) + 2 * np.eye(5)[0], rng.normal(size=(3, 5)) + 3 * np.eye(5)[1]])
    labels, rows = np.repeat(["b", "a"], [4, 3]), []
    centres = np.stack([X[:4].mean(axis=0), X[4:].mean(axis=0)])
    for number, group in enumerate((X[:4], X[4:])):
        middle = group.mean(axis=0) - centres.mean(axis=0)
        U, sizes, _ = np.linalg.svd((group - group.mean(axis=0)) / np.linalg.norm(middle), full_matrices=False)
        kept = sizes > 1e-9
        points = np.column_stack([U[:, kept] * sizes[kept], np.ones(len(group))])
        probes = np.random.default_rng([6, number]).normal(size=(8, points.shape[1]))
        probes[:, -1] /= np.sqrt(np.mean(probes[:, -1] ** 2))
        numbers = []
        for probe in np.concatenate([probes, -probes]):
            limits = {"type": "ineq", "fun": lambda v, s=points: s @ v, "jac": lambda v, s=points: s}
            nearest = minimize(lambda v, t=probe: ((v - t) ** 2).sum(), 0 * probe, constraints=limits, tol=1e-14)
            apart = nearest.x - probe
            anchor = points[(points @ probe).argmin()] if (points @ probe >= 0).all() else apart / apart[-1]
            axes = anchor[:-1]
            numbers.append((apart @ apart, axes @ axes, (probe[:-1] @ axes) ** 2 / (axes @ axes)))
        cost, squared, along = np.mean(numbers, axis=0)
        rows.append((1 / cost, np.sqrt(squared), along))
    found = g.manifold_capacity(X, labels, 16, 6)
    np.testing.assert_allclose(np.column_stack([found.capacity, found.radius, found.dimension]), rows, rtol=1e-3)
    assert found.mean_capacity == pytest.approx(2 / sum(1 / row[0] for row in rows), rel=1e-3)


@pytest.mark.parametrize("kind", ["leave_one_out", "in_sample"])
def test_collapse_follows_its_definitions(kind: str) -> None:
    rng, sizes = np.random.default_rng(8), [3, 4, 6]
    labels = np.repeat(list("bac"), sizes)
    X = rng.normal(size=(13, 5)) + np.repeat(1.2 * rng.normal(size=(3, 5)), sizes, axis=0)
    weights, biases = rng.normal(size=(3, 5)), rng.normal(size=3)
    found = g.neural_collapse(X, labels, classifier=(weights, biases), centroids=kind)
    left_out, names = kind == "leave_one_out", ["a", "b", "c"]
    groups = [X[labels == name] for name in names]
    means, own = np.stack([group.mean(axis=0) for group in groups]), []
    for group in groups:
        rest = [np.delete(group, k, axis=0) if left_out else group for k in range(len(group))]
        own.append(group - np.stack([part.mean(axis=0) for part in rest]))
    about, within = means - means.mean(axis=0), np.mean([part.T @ part / len(part) for part in own], axis=0)
    assert found.nc1 == pytest.approx(np.trace(within @ np.linalg.pinv(about.T @ about / 3, rcond=1e-9)) / 3)
    spread = [group.var(axis=0, ddof=1).sum() * left_out for group in groups]
    cdnv, cosines, kernels = [], [], []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        apart = ((means[i] - means[j]) ** 2).sum() - spread[i] / len(groups[i]) - spread[j] / len(groups[j])
        cdnv.append(sum(groups[k].var(axis=0, ddof=int(left_out)).sum() for k in (i, j)) / (2 * apart))
        u, v = (about[k] / np.linalg.norm(about[k]) for k in (i, j))
        cosines.append(u @ v)
        kernels.append(np.exp(-2 * ((u - v) ** 2).sum()))
    assert found.cdnv == pytest.approx(np.mean(cdnv))
    norms = np.linalg.norm(about, axis=1)
    assert found.equinorm == pytest.approx(norms.std() / norms.mean())
    assert found.equiangle == pytest.approx(np.std(cosines))
    assert found.simplex == pytest.approx(np.abs(np.array(cosines) + 1 / 2).mean())
    assert found.uniformity == pytest.approx(np.log(np.mean(kernels)))
    unit = [part / np.linalg.norm(part) for part in (weights, about)]
    assert found.nc3 == pytest.approx(np.linalg.norm(unit[0] - unit[1]))
    right, agree, pooled = [], [], np.dot(spread, [3, 2, 5]) / 10
    for k, group in enumerate(groups):  # the j-th of every class is left out, counted round again
        rests = [[np.delete(of, j % len(of), 0) if left_out else of for of in groups] for j in range(len(group))]
        means = np.array([[rest.mean(axis=0) for rest in row] for row in rests])
        nearest = (((group[:, None] - means) ** 2).sum(axis=2) - pooled / np.array([3, 2, 5])).argmin(axis=1)
        right.append((nearest == k).mean())
        agree += (nearest == (group @ weights.T + biases).argmax(axis=1)).tolist()
    assert (found.accuracy, found.agreement) == pytest.approx((np.mean(right), np.mean(agree)))
    assert (found.n_classes, found.n_undefined) == (3, 0)


def test_categories_without_a_difference_have_a_note_and_misfits_are_refused() -> None:
    X = np.random.default_rng(2).normal(size=(32, 6)) + np.repeat(2 * np.eye(4, 6), 8, axis=0)
    refused(r"2 categories of 15 to 17 stimuli .*balanced_categories", measured, X, np.repeat(["a", "b"], [17, 15]))
    constant = measured(np.ones((32, 3)))
    assert constant["value"].isna().all()
    assert set(constant["note"]) == {"the same for all stimuli"}
    assert measured(X[:, :2]).loc["simplex", "note"] == "more categories than units + 1: no simplex"
    same = measured(np.repeat(np.eye(2, 6), 16, axis=0) + 0.01 * X, np.tile([0, 1], 16), draws=1)
    assert same.loc["cdnv", "value"] == np.inf  # the means of no pair of categories lie apart
    assert same.loc["told_apart", "value"] == 0
    X, labels = np.random.default_rng(3).normal(size=(7, 5)), np.repeat(["b", "a"], [4, 3])
    refused("got 2 and 3", g.manifold_capacity, X, labels, 3)
    twice = np.vstack([X[:4], X[:4]]), list("bbbbaaaa")
    refused("manifold .b. lies at the mean of all centres", g.manifold_capacity, *twice)
    X, labels, weights, biases = np.eye(13, 5), np.repeat(list("bac"), [3, 4, 6]), np.ones((3, 5)), np.ones(3)
    refused(r"weights has .* units are \(3, 5\)", g.neural_collapse, X, labels, classifier=(weights.T, biases))


def test_dimensions_are_compared_at_equal_numbers() -> None:
    rng = np.random.default_rng(5)
    given = {"more": rng.normal(size=(120, 110)), "fewer": np.repeat(rng.normal(size=(53, 130)), 2, axis=0)}
    narrow = g.compare_dimensions({"narrow": given["more"][:, :60]}).set_index("measure")["value"]
    assert np.isnan(narrow[list(g.DIMENSIONS)[3]])  # the range does not fit into 60 units
    refused("more has 120 stimuli but fewer has 106: .* give n_stimuli=106", g.compare_dimensions, given)
    refused("n_stimuli must be 3 to the 106 stimuli of fewer; got 110", g.compare_dimensions, given, n_stimuli=110)
