from itertools import product

import numpy as np
import pytest
import rsatoolbox
from refusals import refused
from scipy.stats import rankdata

import brainalign.geometry as g
from brainalign.arrays import Arrays
from brainalign.condensed import square_rdms
from brainalign.geometry.inference import METHODS
from brainalign.geometry.rdms import rank_rdms
from brainalign.pipelines.compare.references import _same
from brainalign.report.pages.rdms import _matrices

TOOLBOX = {
    "spearman": "spearman", "rho-a": "rho-a", "tau-a": "tau-a", "pearson": "corr", "cosine": "cosine",
    "whitened-pearson": "corr_cov", "whitened-cosine": "cosine_cov",
}  # fmt: skip
N = 9
PAIRS = np.triu_indices(N, 1)
STIMULI = 12


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau")
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("method", TOOLBOX)
def test_equals_rsatoolbox(method: str, missing: bool, rng: np.random.Generator) -> None:
    a, b = rng.uniform(size=(5, 28)), rng.uniform(size=(3, 28))
    b[0, :9] = b[0, 0]  # ties
    a[1, :6] = a[1, 6]
    assert set(TOOLBOX) == set(g.COMPARISONS)
    if missing:  # rsatoolbox needs the same pairs missing everywhere
        a[:, [3, 17]] = b[:, [3, 17]] = np.nan
    expected = rsatoolbox.rdm.compare(rsatoolbox.rdm.RDMs(a), rsatoolbox.rdm.RDMs(b), method=TOOLBOX[method])
    np.testing.assert_allclose(g.compare(a, b, method), expected, atol=1e-10, rtol=0)
    theirs = rsatoolbox.rdm.RDMs(a, rdm_descriptors={"index": np.arange(len(a))})
    expected = rsatoolbox.inference.boot_noise_ceiling(theirs, method=TOOLBOX[method], rdm_descriptor="index")
    np.testing.assert_allclose(g.rdm_noise_ceiling(a, method), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("n", [4, 9, 14])
@pytest.mark.parametrize("share_missing", [0, 0.15, 0.4])
@pytest.mark.parametrize("noise", ["equal", "unequal", "correlated"])
def test_whitening_equals_the_inverse_of_the_covariance_written_out(n: int, share_missing: float, noise: str) -> None:
    """Every RDM lacks pairs of its own."""
    rng = np.random.default_rng(10)
    n_pairs, mixing = n * (n - 1) // 2, rng.normal(size=(n, n))
    sigma = {"equal": np.eye(n), "unequal": np.diag(rng.uniform(0.2, 3, n))}
    sigma["correlated"] = mixing @ mixing.T + np.eye(n)
    contrasts = np.subtract(*np.eye(n)[np.stack(np.triu_indices(n, 1))])
    V = np.square(contrasts @ sigma[noise] @ contrasts.T)
    rdms = rng.uniform(size=(5, n_pairs))
    rdms[rng.uniform(size=rdms.shape) < share_missing] = np.nan
    given = {"equal": None, "unequal": np.diag(sigma["unequal"]), "correlated": sigma["correlated"]}[noise]
    for method in ("whitened-cosine", "whitened-pearson"):
        found = g.compare(rdms[:3], rdms[3:], method, given)
        for r, c in np.ndindex(3, 2):
            seen = np.isfinite(rdms[r]) & np.isfinite(rdms[3 + c])
            if seen.sum() < 2:
                assert np.isnan(found[r, c])
                continue
            x, y = rdms[r, seen], rdms[3 + c, seen]
            if method == "whitened-pearson":
                x, y = x - x.mean(), y - y.mean()
            solved = np.linalg.solve(V[np.ix_(seen, seen)], np.stack([x, y], axis=1)).T
            assert found[r, c] == pytest.approx(x @ solved[1] / np.sqrt((x @ solved[0]) * (y @ solved[1])), abs=1e-12)


def test_what_is_constant_is_undefined_and_what_does_not_fit_is_refused() -> None:
    rng, order, one_hot, ones = np.random.default_rng(2), np.arange(28.0), g.rdm(np.eye(8), "correlation"), np.ones(28)
    assert np.isnan(g.compare(order, one_hot, "spearman")).all()
    assert np.isfinite(g.compare(order, one_hot, "cosine")).all()
    test = g.rdm_permutation_test(rng.uniform(size=(4, 28)), ones, "cosine", 50, rng)
    assert np.isfinite(test.score)
    assert np.isnan(test.p)
    refused("28 pairs but one of rdms_b has 36", g.compare, ones, np.ones(36), "cosine")
    refused("2 or more; got 1", g.rdm_noise_ceiling, ones[None], "cosine")
    refused("did you mean 'spearman'", g.compare, ones, ones, "sperman")
    refused("28 dissimilarities are infinite", g.compare, np.full(28, np.inf), ones, "cosine")
    refused("sigma_k has 3 rows", g.compare, ones, ones, "whitened-cosine", np.eye(3))
    indefinite, missing = np.ones((8, 8)) - 2 * np.eye(8), np.r_[np.nan, np.ones(7)]
    refused("not symmetric and positive definite", g.compare, ones, ones, "whitened-cosine", indefinite)
    refused(r"sigma_k of shape \(8, 8\) has 1 NaN", g.compare, ones, ones, "whitened-cosine", missing)


def test_rdms_that_lack_pairs_are_pooled_shown_and_known_again() -> None:
    whole, some, odd = np.arange(1.0, 7), np.array([np.nan, 2, np.nan, 4, np.nan, 6]), [[0] * 6, [1, 0] * 3]
    assert g.pooled_rdm(np.ma.array([whole] * 2, mask=odd), "spearman").tolist() == [1, 1.75, 3, 3.75, 5, 5.75]
    for method in ("cosine", "pearson"):
        found = g.subject_rdms(np.stack([[whole, 10 * some], [whole, np.nan * whole]]), method)
        assert g.compare(found, whole, method).min() > 0.95
        assert found[1].tolist() == whole.tolist()  # a session more or less changes no scale
    assert _same(some, some[None, None])
    section = _matrices(Arrays(set_a=some, set_b=whole, layer_c=whole[::-1]), ["x"] * 4)
    assert [panel.id for panel in section.panels] == ["matrices", "mdsb"]
    assert section.paragraphs == ["Of 3 RDMs those of a and b are most alike (Pearson r 1.000)."]


def test_the_true_geometry_compares_within_the_bounds_of_split_halves() -> None:
    """However many runs and however noisy: products of signal and noise fall with runs, those of noise faster."""
    of_truth = {"crossnobis": "euclidean", "correlation": "correlation"}
    for distance, n_runs, signal in product(of_truth, (3, 5, 8), (0.6, 0.9)):
        runs, conditions, found = np.repeat(np.arange(n_runs), 20), np.tile(np.arange(20), n_runs), []
        for rng in map(np.random.default_rng, range(15)):
            truth = rng.normal(size=(20, 10)) @ rng.normal(size=(10, 50)) / np.sqrt(10)
            patterns = signal * truth[conditions] + rng.normal(size=(len(runs), 50))
            halves = g.split_half_rdms(patterns, distance, conditions, runs)
            rdms = g.rdm(patterns, distance, conditions, runs), g.rdm(truth, of_truth[distance])
            bounds = g.split_half_ceiling(halves, "spearman", n_runs / (n_runs // 2))
            found.append([*bounds, g.compare(*rdms, "spearman")[0, 0]])
        low, high, true = np.mean(found, axis=0)
        assert low - 0.02 < true < high + 0.02 or (distance == "crossnobis" and n_runs < 4 and np.isnan(low))
    order = np.concatenate([np.arange(20), *(20 * k + rng.permutation(20) for k in range(1, 8))])
    np.testing.assert_allclose(g.split_half_rdms(patterns[order].tolist(), distance, conditions[order], runs), halves)
    some = (conditions > 0) | (runs == 0)
    refused("lack a condition", g.split_half_rdms, patterns[some], distance, conditions[some], runs[some])


def test_many_rdms_are_ranked_as_each_of_them_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks, whatever is missing; values that differ by rounding are tied, on the scale of their own RDM."""
    monkeypatch.setitem(rank_rdms.__globals__, "RANKED_AT_ONCE", 50)
    rng = np.random.default_rng(3)
    rdms = rng.integers(0, 6, size=(40, 15)) * 10.0 ** rng.integers(-9, 9, size=(40, 1))
    nearly = rdms * (1 + 1e-14 * rng.normal(size=rdms.shape))
    nearly[::7, 3:5] = np.nan
    nearly[5] = np.nan
    for row, missing, values in zip(rank_rdms(nearly), np.isnan(nearly), rdms, strict=True):
        np.testing.assert_array_equal(row[~missing], rankdata(values[~missing]))
        assert np.isnan(row[missing]).all()


def test_one_huge_entry_leaves_the_order_of_the_others() -> None:
    """Also in all that ranks for itself: the bootstrap, cross-validation, places, topology."""
    values = np.random.default_rng(5).random(45)
    for factor in (1e13, 1e40):
        huge = np.append(values[:-1], factor)
        for method in ("spearman", "rho-a", "tau-a"):
            assert g.compare(huge, rankdata(huge), method)[0, 0] == pytest.approx(1)
        np.testing.assert_array_equal(g.geotopological(huge, 0, 1), (rankdata(huge) - 1) / 44)
        both = np.stack([huge, values])
        draws = np.zeros((1, 2), dtype=int), np.arange(10)[None]
        assert g.dual_bootstrap(both, rankdata(huge), "spearman", draws=draws).draws["both"][0, 0] == pytest.approx(1)


def test_distances_equal_but_for_rounding_are_ties() -> None:
    rng = np.random.default_rng(6)
    two = (np.arange(12) < 3)[:, None] * rng.normal(size=20)  # nine copies of one pattern, three of another
    exact = g.rdm((np.arange(12) < 3)[:, None] * 1.0, "euclidean")
    noisy = g.rdm(two, "euclidean") + 1e-15 * rng.normal(size=66)
    assert len(np.unique(noisy)) > 40
    assert len(np.unique(rank_rdms(noisy[None]))) == 2
    assert g.compare(noisy, exact, "spearman")[0, 0] == pytest.approx(1)
    constant = 0.3 + 1e-16 * rng.normal(size=66)
    assert np.isnan(g.compare(np.where(np.arange(66) < 9, np.nextafter(0.3, 1), constant), exact, "pearson")).all()


def test_a_constant_subject_is_left_out_and_counted() -> None:
    rng = np.random.default_rng(7)
    truth = g.rdm(rng.normal(size=(12, 5)), "euclidean")
    others = g.rdm(rng.normal(size=(2, 12, 5)), "euclidean")
    rdms = truth + rng.normal(size=(6, 66))
    with_one = np.insert(rdms, 2, 0.3, axis=0)
    RNG, last = np.random.default_rng, ("pearson", 99)
    tests = {"whole": lambda x: g.rdm_permutation_test(x, truth, *last, RNG(8))}
    tests |= {"partial": lambda x: g.rdm_partial_test(x, truth, others, *last, RNG(8))}
    for test in tests.values():
        expected, found = test(rdms), test(with_one)
        assert (found.p, found.score) == (pytest.approx(expected.p), pytest.approx(expected.score))
        np.testing.assert_allclose(found.null, expected.null)
        assert (found.n_undefined, expected.n_undefined) == (1, 0)
        assert np.isnan(found.per_replicate[2])
        assert np.isnan(test(with_one[[2]]).p)
    model = g.FlexibleModel(np.concatenate([truth[None], others]))
    flexible = g.flexible_permutation_test(with_one, model, "pearson", 9, np.random.default_rng(8), 2)
    assert (flexible.n_undefined, flexible.p) == (1, 0.1)


def world(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=(N, 4)), rng.normal(size=(3, N, 4))
    model, *others = (g.rdm(np.hstack([shared, x]), "euclidean") for x in own)
    return others[0] + rng.normal(size=(3, len(model))), model, np.stack(others)


def partial(y: np.ndarray, x: np.ndarray, z: np.ndarray, metric: np.ndarray) -> float:
    """Return the partial comparison by regression, generalised least squares where the metric is not I."""
    root = np.linalg.cholesky(metric).T
    y, x, z = root @ y, root @ x, root @ z.T
    y, x = (v - z @ np.linalg.lstsq(z, v, rcond=None)[0] for v in (y, x))
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


@pytest.mark.parametrize("method", ["pearson", "spearman", "cosine", "whitened-pearson"])
def test_equals_freedman_and_lane_step_by_step(method: str) -> None:
    rdms, model, others = world(0)
    with pytest.warns(RuntimeWarning, match=f"up to .20 of fewer subjects; these are {method} of 3"):
        found = g.rdm_partial_test(rdms, model, others, method, 20, np.random.default_rng(1))
    y, x, z = rdms, model[None], others
    if method == "spearman":
        y, x, z = (rank_rdms(v) for v in (y, x, z))
        z = np.concatenate([z, z**2, z**3])
    if method != "cosine":
        y, x, z = (v - v.mean(axis=1, keepdims=True) for v in (y, x, z))
    contrasts = np.subtract(*np.eye(N)[np.stack(PAIRS)])
    metric = np.linalg.inv((contrasts @ contrasts.T) ** 2) if "whitened" in method else np.eye(len(model))
    np.testing.assert_allclose(found.per_replicate, [partial(row, x[0], z, metric) for row in y], atol=1e-10)
    orders = np.random.default_rng(1).permuted(np.tile(np.arange(N), (20, 1)), axis=1)
    for order, expected in zip(orders, found.null, strict=True):
        back, scores = np.argsort(order), []
        for row in y:
            fitted = z.T @ np.linalg.solve(z @ metric @ z.T, z @ metric @ row)
            scores.append(partial(fitted + square_rdms(row - fitted)[np.ix_(back, back)][PAIRS], x[0], z, metric))
        np.testing.assert_allclose(np.mean(scores), expected, atol=1e-10)
    assert found.p == (1 + (found.null >= found.score).sum()) / 21


@pytest.mark.filterwarnings("error:partial tests")
def test_a_sum_of_the_others_and_missing_pairs() -> None:
    rdms, model, others = world(2)
    rdms = np.tile(rdms, (2, 1))
    with pytest.warns(RuntimeWarning, match="orders"):
        g.rdm_partial_test(rdms[:, :6], model[:6], others[:1, :6], "pearson", 9, np.random.default_rng(0))
    assert np.isnan(g.rdm_partial_test(rdms, others.sum(axis=0), others, "pearson", 9, np.random.default_rng(0)).p)
    with pytest.warns(RuntimeWarning, match="07 of ranks.* spearman of 6"):
        g.rdm_partial_test(rdms, model, others, "spearman", 9, np.random.default_rng(0))
    rdms[0, 3] = np.nan
    refused("1 pairs are missing", g.rdm_partial_test, rdms, model, others, "pearson", 9, np.random.default_rng(0))
    refused("method must be one of", g.rdm_partial_test, rdms, model, others, "tau-a", 9, np.random.default_rng(0))


@pytest.mark.parametrize("method", METHODS)
def test_scores_and_nulls_equal_a_plain_loop(method: str) -> None:
    # RDMs of four places, the first driven by the first of three models.
    rng = np.random.default_rng(3)
    models = np.stack([g.rdm(rng.normal(size=(STIMULI, 6)), "euclidean") for _ in range(3)])
    places = np.stack([g.rdm(rng.normal(size=(STIMULI, 20)), "euclidean") for _ in range(4)])
    places[0] = models[0] + 0.1 * models[0].std() * rng.normal(size=models.shape[1])
    found = g.rdm_permutation_places(places, models, method, 50, np.random.default_rng(0))
    np.testing.assert_allclose(found.scores, g.compare(places, models, method), atol=1e-12)
    rng, (i, j) = np.random.default_rng(0), np.triu_indices(STIMULI, 1)
    null = []
    for _ in range(50):
        order = rng.permutation(STIMULI)
        null.append(g.compare(places, square_rdms(models)[:, order[i], order[j]], method))
    stack = np.stack(null)
    np.testing.assert_allclose(found.p, (1 + (stack >= found.scores).sum(axis=0)) / 51)
    np.testing.assert_allclose(found.p_fwer, (1 + (stack.max(axis=1, keepdims=True) >= found.scores).sum(axis=0)) / 51)
    np.testing.assert_allclose(found.null_mean, stack.mean(axis=0), atol=1e-12)
    layers = g.rdm_permutation_places(places, models, method, 50, np.random.default_rng(0), ["deep", "flat", "deep"])
    largest = stack[:, :, ::2].max(axis=(1, 2))[:, None, None]
    np.testing.assert_allclose(layers.p_fwer[:, ::2], (1 + (largest >= found.scores[:, ::2]).sum(axis=0)) / 51)
    np.testing.assert_array_equal(layers.p_fwer[:, 1], found.p_fwer[:, 1])
    broken = places.copy()
    broken[1], broken[2, 3] = 1.0, np.nan
    some = g.rdm_permutation_places(broken, models, "spearman", 50, np.random.default_rng(0))
    assert np.isnan([some.scores[1:3], some.p_fwer[1:3]]).all()
    np.testing.assert_allclose(some.scores[[0, 3]], g.compare(places[[0, 3]], models, "spearman"))
    refused("66 pairs but one of models has 65", g.rdm_permutation_places, places, models[:, 1:], method, 9, rng)
    with pytest.warns(RuntimeWarning, match="4 stimuli have 24 orders"):
        g.rdm_permutation_places(places[:, :6], models[:, :6], method, 9, rng)


@pytest.mark.parametrize("method", ["spearman", "pearson", "whitened-cosine"])
def test_exchanges_that_change_nothing_count_as_reached(method: str) -> None:
    """Two categories of four: 1,152 of the 40,320 orders leave the model as it is, so no p is below .029."""
    model = g.rdm(np.repeat(np.eye(2), 4, axis=0), "euclidean")
    places = 10 * model + np.random.default_rng(10).uniform(size=(5, 28))
    found = g.rdm_permutation_places(places, model[None], method, 2000, np.random.default_rng(0))
    single = [g.rdm_permutation_test(p[None], model, method, 2000, np.random.default_rng(1)).p for p in places]
    np.testing.assert_allclose(single, 0.029, atol=0.011)  # 3 SE
    np.testing.assert_allclose(found.p[:, 0], 0.029, atol=0.011)
    assert (found.p_fwer >= found.p).all()
