import numpy as np
import pytest
import rsatoolbox
import scipy.sparse.linalg
from refusals import refused
from scipy.sparse import csr_array
from scipy.stats import rankdata

import brainalign.geometry as g
from brainalign.geometry.inference import METHODS
from brainalign.geometry.rdms import rank_rdms


@pytest.fixture
def stacks() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(5, 28)), rng.uniform(size=(3, 28))
    b[0, :9] = b[0, 0]  # ties
    return a, b


TOOLBOX = {
    "spearman": "spearman", "rho-a": "rho-a", "tau-a": "tau-a", "pearson": "corr", "cosine": "cosine",
    "whitened-pearson": "corr_cov", "whitened-cosine": "cosine_cov",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau")
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("method", TOOLBOX)
def test_equals_rsatoolbox(stacks: tuple, method: str, missing: bool) -> None:
    a, b = stacks
    a[1, :6] = a[1, 6]
    assert set(TOOLBOX) == set(g.COMPARISONS)
    if missing:  # rsatoolbox needs the same pairs missing everywhere
        a[:, [3, 17]] = b[:, [3, 17]] = np.nan
    expected = rsatoolbox.rdm.compare(rsatoolbox.rdm.RDMs(a), rsatoolbox.rdm.RDMs(b), method=TOOLBOX[method])
    np.testing.assert_allclose(g.compare(a, b, method), expected, atol=1e-10, rtol=0)
    descriptors = {"index": np.arange(len(a))}
    expected = rsatoolbox.inference.boot_noise_ceiling(
        rsatoolbox.rdm.RDMs(a, rdm_descriptors=descriptors), method=TOOLBOX[method], rdm_descriptor="index"
    )
    np.testing.assert_allclose(g.rdm_noise_ceiling(a, method), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("method", ["whitened-cosine", "whitened-pearson"])
def test_correlated_noise_equals_rsatoolbox_with_an_exact_solver(
    method: str, missing: bool, stacks: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It solves by conjugate gradients to five digits, which hides the others."""
    a, b = stacks
    if missing:
        a[:, [3, 17, 20]] = b[:, [3, 17, 20]] = np.nan
    mixing = np.random.default_rng(4).normal(size=(8, 8))
    sigma = mixing @ mixing.T + np.eye(8)
    as_given = g.compare(a, b, method, sigma)
    theirs = rsatoolbox.rdm.compare(*map(rsatoolbox.rdm.RDMs, (a, b)), method=TOOLBOX[method], sigma_k=sigma)
    np.testing.assert_allclose(as_given, theirs, atol=1e-4)
    solve = np.linalg.solve
    monkeypatch.setattr(scipy.sparse.linalg, "cg", lambda V, x, atol: (solve(csr_array(V).toarray(), x), 0))
    theirs = rsatoolbox.rdm.compare(*map(rsatoolbox.rdm.RDMs, (a, b)), method=TOOLBOX[method], sigma_k=sigma)
    np.testing.assert_allclose(as_given, theirs, atol=1e-10, rtol=0)


def test_what_is_constant_is_undefined_and_what_does_not_fit_is_refused() -> None:
    rng, order, one_hot, ones = np.random.default_rng(2), np.arange(28.0), g.rdm(np.eye(8), "correlation"), np.ones(28)
    assert np.isnan(g.compare(order, one_hot, "spearman")).all()
    assert np.isfinite(g.compare(order, one_hot, "cosine")).all()
    test = g.rdm_permutation_test(rng.uniform(size=(4, 28)), ones, "cosine", 50, rng)
    assert np.isfinite(test.score)
    assert np.isnan(test.p)
    refused("28 and 36 pairs", g.compare, ones, np.ones(36), "cosine")
    refused("2 or more; got 1", g.rdm_noise_ceiling, ones[None], "cosine")
    refused("did you mean 'spearman'", g.compare, ones, ones, "sperman")
    refused("28 dissimilarities are infinite", g.compare, np.full(28, np.inf), ones, "cosine")
    refused("sigma_k has 3 rows", g.compare, ones, ones, "whitened-cosine", np.eye(3))
    indefinite, missing = np.ones((8, 8)) - 2 * np.eye(8), np.r_[np.nan, np.ones(7)]
    refused("not symmetric and positive definite", g.compare, ones, ones, "whitened-cosine", indefinite)
    refused(r"sigma_k of shape \(8, 8\) has 1 NaN", g.compare, ones, ones, "whitened-cosine", missing)


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
            assert g.compare(huge, rankdata(huge), method)[0, 0] == pytest.approx(1)
        np.testing.assert_array_equal(g.geotopological(huge, 0, 1), (rankdata(huge) - 1) / 44)
        both = np.stack([huge, values])
        draws = np.zeros((1, 2), dtype=int), np.arange(10)[None]
        found = g.dual_bootstrap(both, rankdata(huge), "spearman", draws=draws)
        assert found.draws["both"][0, 0] == pytest.approx(1)


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


N = 9


def world(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return RDMs of three subjects, a model and two related others."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=(N, 4)), rng.normal(size=(3, N, 4))
    model, *others = (g.rdm(np.hstack([shared, x]), "euclidean") for x in own)
    return others[0] + rng.normal(size=(3, len(model))), model, np.stack(others)


def test_a_sum_of_the_others_and_missing_pairs() -> None:
    rdms, model, others = world(2)
    with pytest.warns(RuntimeWarning, match="orders"):
        g.rdm_partial_test(rdms[:, :6], model[:6], others[:1, :6], "pearson", 9, np.random.default_rng(0))
    assert np.isnan(g.rdm_partial_test(rdms, others.sum(axis=0), others, "pearson", 9, np.random.default_rng(0)).p)
    with pytest.warns(RuntimeWarning, match=r"\.07 of chance findings"):
        g.rdm_partial_test(rdms, model, others, "spearman", 9, np.random.default_rng(0))
    rdms[0, 3] = np.nan
    refused("1 pairs are missing", g.rdm_partial_test, rdms, model, others, "pearson", 9, np.random.default_rng(0))
    refused("method must be one of", g.rdm_partial_test, rdms, model, others, "tau-a", 9, np.random.default_rng(0))


def test_places_score_as_single_rdms_do() -> None:
    (places, model, others), rng = world(3), np.random.default_rng(0)
    for method in METHODS:
        found = g.rdm_permutation_places(places, np.vstack([model[None], others]), method, 50, rng)
        np.testing.assert_allclose(found.scores[:, 0], g.compare(places, model, method)[:, 0], atol=1e-12)
        assert (found.p <= found.p_fwer).all()
    refused("36 pairs and those of models 35", g.rdm_permutation_places, places, others[:, 1:], "cosine", 9, rng)
    with pytest.warns(RuntimeWarning, match="4 stimuli have 24 orders"):
        g.rdm_permutation_places(places[:, :6], others[:, :6], "cosine", 9, rng)


@pytest.mark.parametrize("method", ["spearman", "pearson", "whitened-cosine"])
def test_exchanges_that_change_nothing_count_as_reached(method: str) -> None:
    """Two categories of four: 1,152 of the 40,320 orders leave the model as it is, so no p is below .029."""
    model = g.rdm(np.repeat(np.eye(2), 4, axis=0), "euclidean")
    rng = np.random.default_rng(10)
    places = 10 * model + rng.uniform(size=(5, 28))
    found = g.rdm_permutation_places(places, model[None], method, 2000, np.random.default_rng(0))
    single = [g.rdm_permutation_test(p[None], model, method, 2000, np.random.default_rng(1)).p for p in places]
    np.testing.assert_allclose(single, 0.029, atol=0.011)  # 3 SE
    np.testing.assert_allclose(found.p[:, 0], 0.029, atol=0.011)
    assert (found.p_fwer >= found.p).all()
