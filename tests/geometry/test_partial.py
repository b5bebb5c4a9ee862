from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import rsatoolbox
from refusals import refused
from scipy.stats import ttest_1samp

from brainalign.condensed import square_rdms
from brainalign.geometry import dual_bootstrap, fixed_test, rdm, rdm_partial_test
from brainalign.geometry.rdms import rank_rdms

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


@pytest.mark.parametrize(("test", "name"), [("t", "t-test"), ("wilcoxon", "ranksum")])
def test_fixed_tests_equal_rsatoolbox(test: str, name: str) -> None:
    rng = np.random.default_rng(3)
    truth = rdm(rng.normal(size=(N, 4)), "euclidean")
    subjects = truth + rng.normal(size=(8, len(truth))) * 2
    models = truth + rng.normal(size=(3, len(truth))) * np.array([[1.0], [3.0], [9.0]])
    fixed = [rsatoolbox.model.ModelFixed(str(k), model) for k, model in enumerate(models)]
    theirs = rsatoolbox.inference.eval_fixed(fixed, rsatoolbox.rdm.RDMs(subjects), method="corr")
    per_subject = dual_bootstrap(subjects, models, "pearson", 2, rng).per_subject
    contrasts = np.array([[1.0, -1, 0], [1, 0, -1], [0, 1, -1]])
    expected = theirs.test_pairwise(name)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(fixed_test(per_subject, contrasts, test)[1], expected, atol=1e-10)
    both = test == "wilcoxon"  # theirs against zero is two-sided for ranks, one-sided for t
    found = fixed_test(per_subject, None, test, two_sided=both)[1]
    np.testing.assert_allclose(found, theirs.test_zero(name), atol=1e-10)


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
