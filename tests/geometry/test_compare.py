from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import rsatoolbox
import scipy.sparse.linalg
import torch
from refusals import refused
from scipy.stats import rankdata, ttest_1samp

from brainalign.checks import BrainalignError
from brainalign.condensed import square_rdms
from brainalign.geometry import (
    COMPARISONS,
    FlexibleModel,
    compare,
    dual_bootstrap,
    flexible_permutation_test,
    geotopological,
    rdm,
    rdm_noise_ceiling,
    rdm_partial_test,
    rdm_permutation_places,
    rdm_permutation_test,
    replicate_rdms,
    session_average,
)
from brainalign.geometry.inference import METHODS
from brainalign.geometry.rdms import rank_rdms


@pytest.fixture
def stacks() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(5, 28)), rng.uniform(size=(3, 28))
    b[0, :9] = b[0, 0]  # ties
    return a, b


TOOLBOX = {
    "spearman": "spearman",
    "rho-a": "rho-a",
    "tau-a": "tau-a",
    "pearson": "corr",
    "cosine": "cosine",
    "whitened-pearson": "corr_cov",
    "whitened-cosine": "cosine_cov",
}


def test_every_comparison_has_a_reference() -> None:
    assert set(TOOLBOX) == set(COMPARISONS)


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau")
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("method", TOOLBOX)
def test_equals_rsatoolbox(stacks: tuple[np.ndarray, np.ndarray], method: str, missing: bool) -> None:
    a, b = stacks
    a[1, :6] = a[1, 6]
    if missing:  # rsatoolbox needs the same pairs missing everywhere
        a[:, [3, 17]] = b[:, [3, 17]] = np.nan
    expected = rsatoolbox.rdm.compare(rsatoolbox.rdm.RDMs(a), rsatoolbox.rdm.RDMs(b), method=TOOLBOX[method])
    np.testing.assert_allclose(compare(a, b, method), expected, atol=1e-10, rtol=0)
    descriptors = {"index": np.arange(len(a))}
    expected = rsatoolbox.inference.boot_noise_ceiling(
        rsatoolbox.rdm.RDMs(a, rdm_descriptors=descriptors), method=TOOLBOX[method], rdm_descriptor="index"
    )
    np.testing.assert_allclose(rdm_noise_ceiling(a, method), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", TOOLBOX)
def test_missing_pairs_are_left_out_per_comparison(stacks: tuple[np.ndarray, np.ndarray], method: str) -> None:
    a, b = stacks
    whole = compare(a, b, method)
    a[0, [3, 17]] = b[1, 5] = a[4] = np.nan
    found = compare(a, b, method)
    assert np.isnan(found[4]).all()
    np.testing.assert_allclose(found[1:4, [0, 2]], whole[1:4, [0, 2]])
    kept = np.delete(np.arange(28), [3, 5, 17])
    if "whitened" not in method:
        np.testing.assert_allclose(found[0, 1], compare(a[0, kept], b[1, kept], method)[0, 0])


def covariance_of_pairs(n: int, sigma: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(n, 1)
    contrasts = np.eye(n)[i] - np.eye(n)[j]
    return np.square(contrasts @ sigma @ contrasts.T)


@pytest.mark.parametrize("n", [4, 9, 14])
@pytest.mark.parametrize("share_missing", [0, 0.15, 0.4])
@pytest.mark.parametrize("noise", ["equal", "unequal", "correlated"])
def test_whitening_equals_the_inverse_of_the_covariance_written_out(n: int, share_missing: float, noise: str) -> None:
    """Every RDM lacks pairs of its own."""
    rng = np.random.default_rng(10)
    n_pairs, mixing = n * (n - 1) // 2, rng.normal(size=(n, n))
    sigma = {
        "equal": np.eye(n),
        "unequal": np.diag(rng.uniform(0.2, 3, n)),
        "correlated": mixing @ mixing.T + np.eye(n),
    }
    V = covariance_of_pairs(n, sigma[noise])
    rdms = rng.uniform(size=(5, n_pairs))
    rdms[rng.uniform(size=rdms.shape) < share_missing] = np.nan
    given = {"equal": None, "unequal": np.diag(sigma["unequal"]), "correlated": sigma["correlated"]}[noise]
    for method in ("whitened-cosine", "whitened-pearson"):
        found = compare(rdms[:3], rdms[3:], method, given)
        for r, c in np.ndindex(3, 2):
            seen = np.isfinite(rdms[r]) & np.isfinite(rdms[3 + c])
            if seen.sum() < 2:
                assert np.isnan(found[r, c])
                continue
            x, y = rdms[r, seen], rdms[3 + c, seen]
            if method == "whitened-pearson":
                x, y = x - x.mean(), y - y.mean()
            solved = np.linalg.solve(V[np.ix_(seen, seen)], np.stack([x, y], axis=1)).T
            expected = x @ solved[1] / np.sqrt((x @ solved[0]) * (y @ solved[1]))
            assert found[r, c] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("method", ["whitened-cosine", "whitened-pearson"])
def test_correlated_noise_equals_rsatoolbox_with_an_exact_solver(
    method: str, missing: bool, stacks: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It solves by conjugate gradients to five digits, which hides the others."""
    a, b = stacks
    if missing:
        a[:, [3, 17, 20]] = b[:, [3, 17, 20]] = np.nan
    mixing = np.random.default_rng(4).normal(size=(8, 8))
    sigma = mixing @ mixing.T + np.eye(8)
    as_given = compare(a, b, method, sigma)
    theirs = rsatoolbox.rdm.compare(*map(rsatoolbox.rdm.RDMs, (a, b)), method=TOOLBOX[method], sigma_k=sigma)
    np.testing.assert_allclose(as_given, theirs, atol=1e-4)
    monkeypatch.setattr(
        scipy.sparse.linalg, "cg", lambda V, x, atol: (np.linalg.solve(getattr(V, "toarray", lambda: V)(), x), 0)
    )
    theirs = rsatoolbox.rdm.compare(*map(rsatoolbox.rdm.RDMs, (a, b)), method=TOOLBOX[method], sigma_k=sigma)
    np.testing.assert_allclose(as_given, theirs, atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", TOOLBOX)
def test_tensors_in_tensors_out_and_inputs_unchanged(method: str, stacks: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = stacks
    a[2, 5] = np.nan
    before = a.tobytes(), b.tobytes()
    found = compare(torch.from_numpy(a), torch.from_numpy(b), method)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found, compare(a, b, method), atol=1e-12)
    assert (a.tobytes(), b.tobytes()) == before


def test_a_constant_rdm_has_no_ranks() -> None:
    one_hot = rdm(np.eye(8), "correlation")
    assert np.isnan(compare(np.arange(28.0), one_hot, "spearman")).all()
    assert np.isfinite(compare(np.arange(28.0), one_hot, "cosine")).all()


def test_no_permutation_tests_a_constant_rdm() -> None:
    rng = np.random.default_rng(2)
    test = rdm_permutation_test(rng.uniform(size=(4, 28)), np.ones(28), "cosine", 50, rng)
    assert np.isfinite(test.score)
    assert np.isnan(test.p)


def test_replicates_are_disjoint_pairs_of_runs() -> None:
    rng = np.random.default_rng(3)
    runs = np.repeat(["r1", "r2", "r3", "r4", "r5"], 4)
    conditions = np.concatenate([np.arange(4)] + [rng.permutation(4) for _ in range(4)])
    patterns = rng.normal(size=(20, 15))
    found = replicate_rdms(patterns, "crossnobis", conditions, runs)
    assert found.shape == (2, 6)  # the fifth run joins no pair
    cube = np.stack([patterns[runs == r][np.argsort(conditions[runs == r])] for r in ("r3", "r4")])
    i, j = np.triu_indices(4, 1)
    by_hand = ((cube[0, i] - cube[0, j]) * (cube[1, i] - cube[1, j])).mean(axis=1)
    np.testing.assert_allclose(found[1], by_hand, atol=1e-12)


@pytest.mark.filterwarnings("ignore:1 of 10 pairs of conditions share fewer than 2 runs")
def test_replicates_of_other_conditions_stay_aligned() -> None:
    """Conditions 0 to 3 in the first pair of runs, 1 to 4 in the second: absent ones are missing pairs."""
    rng = np.random.default_rng(4)
    runs = np.repeat([1, 2, 3, 4], 4)
    conditions = np.r_[0:4, 0:4, 1:5, 1:5]
    means = rng.normal(size=(5, 40)) * np.arange(1, 6)[:, None]
    patterns = means[conditions] + 0.1 * rng.normal(size=(16, 40))
    for method in ("crossnobis", "correlation"):
        found = replicate_rdms(patterns, method, conditions, runs)
        i, j = np.triu_indices(5, 1)
        np.testing.assert_array_equal(np.isnan(found), [j == 4, i == 0])
        whole = rdm(patterns, method, conditions, runs)
        both = (i > 0) & (j < 4)
        np.testing.assert_allclose(found[:, both], np.tile(whole[both], (2, 1)), rtol=0.1)
        assert compare(found[:1], found[1:], "pearson")[0, 0] > 0.95
        assert rdm_noise_ceiling(found, "spearman")[0] > 0.8


def test_bad_input() -> None:
    refused("28 and 36 pairs", compare, np.ones(28), np.ones(36), "cosine")
    refused("2 or more; got 1", rdm_noise_ceiling, np.ones((1, 28)), "cosine")
    refused("did you mean 'spearman'", compare, np.ones(28), np.ones(28), "sperman")
    refused("28 dissimilarities are infinite", compare, np.full(28, np.inf), np.ones(28), "cosine")
    refused("sigma_k has 3 rows", compare, np.ones(28), np.ones(28), "whitened-cosine", np.eye(3))
    with pytest.raises(BrainalignError, match="not symmetric and positive definite"):
        compare(np.ones(28), np.ones(28), "whitened-cosine", np.ones((8, 8)) - 2 * np.eye(8))
    with pytest.raises(BrainalignError, match=r"sigma_k of shape \(8, 8\) has 1 NaN"):
        compare(np.ones(28), np.ones(28), "whitened-cosine", np.r_[np.nan, np.ones(7)])


def test_session_averages_are_ranks_of_mean_ranks(stacks: tuple[np.ndarray, np.ndarray]) -> None:
    a, _ = stacks
    sessions = np.stack([a[:2] * 100, a[2:4]], axis=1)  # (2 subjects, 2 sessions): scale must not weigh
    expected = [rankdata((rankdata(x) + rankdata(y)) / 2) for x, y in sessions]
    np.testing.assert_allclose(session_average(sessions), expected)
    sessions[0, 1, 4] = np.nan
    assert np.isfinite(session_average(sessions)).all()
    sessions[0, 0, 4] = np.nan
    assert np.argwhere(np.isnan(session_average(sessions))).tolist() == [[0, 4]]


def test_many_rdms_are_ranked_as_each_of_them_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks, whatever is missing; values that differ by rounding are tied, on the scale of their own RDM."""
    monkeypatch.setitem(rank_rdms.__globals__, "RANKED_AT_ONCE", 50)
    rng = np.random.default_rng(3)
    rdms = rng.integers(0, 6, size=(40, 15)) * 10.0 ** rng.integers(-9, 9, size=(40, 1))
    nearly = rdms * (1 + 1e-14 * rng.normal(size=rdms.shape))
    nearly[::7, 3:5] = np.nan
    nearly[5] = np.nan
    ranks = rank_rdms(nearly)
    for row, missing, values in zip(ranks, np.isnan(nearly), rdms, strict=True):
        np.testing.assert_array_equal(row[~missing], rankdata(values[~missing]))
        assert np.isnan(row[missing]).all()


def test_one_huge_entry_leaves_the_order_of_the_others() -> None:
    """Also in all that ranks for itself: the bootstrap, cross-validation, places, topology."""
    values = np.random.default_rng(5).random(45)
    for factor in (1e13, 1e40):
        huge = np.append(values[:-1], factor)
        for method in ("spearman", "rho-a", "tau-a"):
            assert compare(huge, rankdata(huge), method)[0, 0] == pytest.approx(1)
        np.testing.assert_array_equal(geotopological(huge, 0, 1), (rankdata(huge) - 1) / 44)
        both = np.stack([huge, values])
        draws = np.zeros((1, 2), dtype=int), np.arange(10)[None]
        found = dual_bootstrap(both, rankdata(huge), "spearman", draws=draws)
        assert found.draws["both"][0, 0] == pytest.approx(1)


def test_distances_equal_but_for_rounding_are_ties() -> None:
    rng = np.random.default_rng(6)
    two = (np.arange(12) < 3)[:, None] * rng.normal(size=20)  # nine copies of one pattern, three of another
    exact = rdm((np.arange(12) < 3)[:, None] * 1.0, "euclidean")
    noisy = rdm(two, "euclidean") + 1e-15 * rng.normal(size=66)
    assert len(np.unique(noisy)) > 40
    assert len(np.unique(rank_rdms(noisy[None]))) == 2
    assert compare(noisy, exact, "spearman")[0, 0] == pytest.approx(1)
    constant = 0.3 + 1e-16 * rng.normal(size=66)
    assert np.isnan(compare(np.where(np.arange(66) < 9, np.nextafter(0.3, 1), constant), exact, "pearson")).all()


def test_a_constant_subject_is_left_out_and_counted() -> None:
    rng = np.random.default_rng(7)
    truth = rdm(rng.normal(size=(12, 5)), "euclidean")
    others = rdm(rng.normal(size=(2, 12, 5)), "euclidean")
    rdms = truth + rng.normal(size=(6, 66))
    with_one = np.insert(rdms, 2, 0.3, axis=0)
    tests = {
        "whole": lambda x: rdm_permutation_test(x, truth, "pearson", 99, np.random.default_rng(8)),
        "partial": lambda x: rdm_partial_test(x, truth, others, "pearson", 99, np.random.default_rng(8)),
    }
    for test in tests.values():
        expected, found = test(rdms), test(with_one)
        assert found.p == pytest.approx(expected.p)
        assert found.score == pytest.approx(expected.score)
        np.testing.assert_allclose(found.null, expected.null)
        assert (found.n_undefined, expected.n_undefined) == (1, 0)
        assert np.isnan(found.per_replicate[2])
        assert np.isnan(test(with_one[[2]]).p)
    model = FlexibleModel(np.concatenate([truth[None], others]))
    flexible = flexible_permutation_test(with_one, model, "pearson", 9, np.random.default_rng(8), 2)
    assert flexible.n_undefined == 1
    assert flexible.p == 0.1
    places = rdm_permutation_places(with_one[None], truth[None], "pearson", 99, np.random.default_rng(8))
    np.testing.assert_allclose(places.scores, expected := compare(rdms, truth, "pearson").mean(keepdims=True))
    assert np.isfinite(places.p).all()
    assert expected > 0


N = 9
PAIRS = np.triu_indices(N, 1)


def world(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return RDMs of three subjects, a model and two related others."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=(N, 4)), rng.normal(size=(3, N, 4))
    model, *others = (rdm(np.hstack([shared, x]), "euclidean") for x in own)
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
    warned = pytest.warns(RuntimeWarning, match=r"\.07 of chance findings") if method == "spearman" else nullcontext()
    with warned:
        found = rdm_partial_test(rdms, model, others, method, 20, np.random.default_rng(1))
    y, x, z = rdms, model[None], others
    if method == "spearman":
        y, x, z = (rank_rdms(v) for v in (y, x, z))
        z = np.concatenate([z, z**2, z**3])
    if method != "cosine":
        y, x, z = (v - v.mean(axis=1, keepdims=True) for v in (y, x, z))
    contrasts = np.eye(N)[PAIRS[0]] - np.eye(N)[PAIRS[1]]
    metric = np.linalg.inv((contrasts @ contrasts.T) ** 2) if "whitened" in method else np.eye(len(model))
    np.testing.assert_allclose(found.per_replicate, [partial(row, x[0], z, metric) for row in y], atol=1e-10)
    orders = np.random.default_rng(1).permuted(np.tile(np.arange(N), (20, 1)), axis=1)
    for order, expected in zip(orders, found.null, strict=True):
        back = np.argsort(order)
        scores = []
        for row in y:
            fitted = z.T @ np.linalg.solve(z @ metric @ z.T, z @ metric @ row)
            residuals = square_rdms(row - fitted)[np.ix_(back, back)][PAIRS]
            scores.append(partial(fitted + residuals, x[0], z, metric))
        np.testing.assert_allclose(np.mean(scores), expected, atol=1e-10)
    assert found.p == (1 + (found.null >= found.score).sum()) / 21


def test_a_sum_of_the_others_and_missing_pairs() -> None:
    rdms, model, others = world(2)
    with pytest.warns(RuntimeWarning, match="orders"):
        rdm_partial_test(rdms[:, :6], model[:6], others[:1, :6], "pearson", 9, np.random.default_rng(0))
    assert np.isnan(rdm_partial_test(rdms, others.sum(axis=0), others, "pearson", 9, np.random.default_rng(0)).p)
    rdms[0, 3] = np.nan
    refused("1 pairs are missing", rdm_partial_test, rdms, model, others, "pearson", 9, np.random.default_rng(0))
    refused("method must be one of", rdm_partial_test, rdms, model, others, "tau-a", 9, np.random.default_rng(0))


def test_several_subjects_must_agree() -> None:
    """The larger p of stimuli and subjects; of three subjects there is that of stimuli alone."""
    rdms, model, others = world(5)
    rng = np.random.default_rng(6)
    six = np.concatenate([rdms, rdms]) + 2 * model + rng.normal(size=(6, len(model)))
    found = rdm_partial_test(six, model, others, "pearson", 99, np.random.default_rng(7))
    assert found.p_subjects == pytest.approx(ttest_1samp(found.per_replicate, 0, alternative="greater").pvalue)
    assert found.p == max(found.p_stimuli, found.p_subjects)
    assert found.p_subjects < found.p_stimuli == 0.01
    six[2:] -= 2 * model  # two of six have it
    found = rdm_partial_test(six, model, others, "pearson", 99, np.random.default_rng(7))
    assert found.p == found.p_subjects > 0.05 >= found.p_stimuli
    three = rdm_partial_test(rdms, model, others, "pearson", 99, np.random.default_rng(7))
    assert np.isnan(three.p_subjects)
    assert three.p == three.p_stimuli


STIMULI = 12


@pytest.fixture
def places_world() -> tuple[np.ndarray, np.ndarray]:
    """RDMs of four places, the first driven by the first of three models."""
    rng = np.random.default_rng(3)
    models = np.stack([rdm(rng.normal(size=(STIMULI, 6)), "euclidean") for _ in range(3)])
    places = np.stack([rdm(rng.normal(size=(STIMULI, 20)), "euclidean") for _ in range(4)])
    places[0] = models[0] + 0.1 * models[0].std() * rng.normal(size=models.shape[1])
    return places, models


@pytest.mark.parametrize("method", METHODS)
def test_scores_and_nulls_equal_a_plain_loop(places_world: tuple[np.ndarray, np.ndarray], method: str) -> None:
    places, models = places_world
    found = rdm_permutation_places(places, models, method, 50, np.random.default_rng(0))
    np.testing.assert_allclose(found.scores, compare(places, models, method), atol=1e-12)
    rng, (i, j) = np.random.default_rng(0), np.triu_indices(STIMULI, 1)
    null = []
    for _ in range(50):
        order = rng.permutation(STIMULI)
        moved = []
        for model in models:
            square = np.zeros((STIMULI, STIMULI))
            square[i, j] = square[j, i] = model
            moved.append(square[np.ix_(order, order)][i, j])
        null.append(compare(places, np.stack(moved), method))
    stack = np.stack(null)
    np.testing.assert_allclose(found.p, (1 + (stack >= found.scores).sum(axis=0)) / 51)
    largest = stack.max(axis=1, keepdims=True)
    np.testing.assert_allclose(found.p_fwer, (1 + (largest >= found.scores).sum(axis=0)) / 51)
    np.testing.assert_allclose(found.null_mean, stack.mean(axis=0), atol=1e-12)


def test_undefined_rdms_are_nan_and_harm_no_other(places_world: tuple[np.ndarray, np.ndarray]) -> None:
    places, models = places_world
    whole = rdm_permutation_places(places, models, "spearman", 50, np.random.default_rng(0))
    broken = places.copy()
    broken[1], broken[2, 3] = 1.0, np.nan
    found = rdm_permutation_places(broken, models, "spearman", 50, np.random.default_rng(0))
    assert np.isnan(found.scores[1:3]).all()
    assert np.isnan(found.p_fwer[1:3]).all()
    np.testing.assert_allclose(found.scores[[0, 3]], whole.scores[[0, 3]])


def test_other_stimuli_are_refused(places_world: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(BrainalignError, match=r"66 pairs and those of models 65"):
        rdm_permutation_places(places_world[0], places_world[1][:, :-1], "spearman", 9, np.random.default_rng(0))


def test_repeats_are_averaged_after_the_comparison(places_world: tuple[np.ndarray, np.ndarray]) -> None:
    places, models = places_world
    repeats = np.stack([places, places[::-1]], axis=1)  # (n_places, 2, n_pairs)
    found = rdm_permutation_places(repeats, models, "spearman", 50, np.random.default_rng(0))
    single = compare(places, models, "spearman")
    np.testing.assert_allclose(found.scores, (single + single[::-1]) / 2, atol=1e-12)
    assert found.p[0, 0] == 1 / 51


def test_few_stimuli_are_warned_of() -> None:
    rng = np.random.default_rng(9)
    with pytest.warns(RuntimeWarning, match="4 stimuli have 24 orders"):
        rdm_permutation_places(rng.uniform(size=(2, 6)), rng.uniform(size=(1, 6)), "cosine", 9, rng)


@pytest.mark.parametrize("method", ["spearman", "pearson", "whitened-cosine"])
def test_exchanges_that_change_nothing_count_as_reached(method: str) -> None:
    """Two categories of four: 1,152 of the 40,320 orders leave the model as it is, so no p is below .029."""
    model = rdm(np.repeat(np.eye(2), 4, axis=0), "euclidean")
    rng = np.random.default_rng(10)
    places = 10 * model + rng.uniform(size=(5, 28))
    found = rdm_permutation_places(places, model[None], method, 2000, np.random.default_rng(0))
    single = [rdm_permutation_test(p[None], model, method, 2000, np.random.default_rng(1)).p for p in places]
    np.testing.assert_allclose(single, 0.029, atol=0.011)  # 3 SE
    np.testing.assert_allclose(found.p[:, 0], 0.029, atol=0.011)
    assert (found.p_fwer >= found.p).all()
